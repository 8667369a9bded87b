"""Parsers under any bytes: a result or a typed error, never anything else; codes from structure alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.agents.base import AgentError, PromptResult
from ion.agents.parsers import PARSER_NAMES, aider, claude_json, parser
from ion.agents.reading import Printed, Reading, conclude

KEYS = """type result subtype is_error session_id usage input_tokens api_error_status item text agent_message name
    item.completed turn.failed turn.completed thread.started thread_id error code response stats models tokens part
    sessionID step_finish step_start cost cache data message statusCode errors stop_reason refusal total_cost_usd"""
WORDS = st.sampled_from(KEYS.split())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS | st.just(10**400)
VALUES = st.recursive(SCALARS, lambda c: st.lists(c, max_size=4) | st.dictionaries(WORDS, c, max_size=6), max_leaves=20)
LINES = st.lists(VALUES.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=20), max_size=6).map(b"\n".join)
OUTPUT = st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()) | LINES


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(PARSER_NAMES),
    OUTPUT,
    OUTPUT,
    st.sampled_from([0, 1, 41, 127, None]),
    st.sampled_from(["", "/result", "/0/text"]),
)
def test_any_bytes_give_a_result_or_a_typed_error(
    name: str, out: bytes, err: bytes, status: int | None, pointer: str
) -> None:
    reading = parser(name, pointer, "/session_id")(Printed(out, err))
    assert isinstance(reading, Reading)
    assert all(amount >= 0 and math.isfinite(amount) for amount in reading.usage.values())
    assert reading.session is None or not reading.session.startswith("-")
    try:
        result = conclude(reading, status, "said", "a")
    except AgentError:  # which takes no code that is none
        return
    assert isinstance(result, PromptResult)
    assert status == 0
    assert reading.error is None


@pytest.mark.parametrize("name", [name for name in PARSER_NAMES if name not in ("text", "json")])
@pytest.mark.parametrize("words", ["not logged in", "rate limit exceeded (429)", "I refuse", "401 Unauthorized"])
def test_words_alone_never_make_a_code(name: str, words: str) -> None:
    """A model can be made to say them, and a program says them in any language."""
    with pytest.raises(AgentError) as caught:
        conclude(parser(name)(Printed(b"", words.encode())), 1, words, "a")
    assert (caught.value.error_code, caught.value.message) == ("crashed", f"agent a failed [exit 1]: {words}")


@pytest.mark.parametrize("session", ["--help", "a b", "", "x" * 300, "a\nb", 5, None, {"a": 1}])
def test_what_is_no_id_is_no_session(session: Any) -> None:
    data = {"type": "result", "is_error": False, "result": "x", "session_id": session}
    assert parser("claude-json")(Printed(json.dumps(data).encode())).session is None


def test_claude_with_verbose_prints_a_list_whose_last_is_the_result() -> None:
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "x", "session_id": "s"}
    assert parser("claude-json")(Printed(json.dumps([{"type": "system"}, result]).encode())).text == "x"


@pytest.mark.parametrize(
    ("name", "envelope"),
    [
        ("claude-json", {"type": "result", "result": "42", "session_id": "s"}),
        ("gemini-json", {"response": "42", "session_id": "s"}),
        ("json", {"result": "42", "session_id": "s"}),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_lines_of_a_log_beside_the_envelope_cost_no_reply(name: str, envelope: Any, indent: int | None) -> None:
    printed = f"[INFO] starting\n{{brackets}}\n{json.dumps(envelope, indent=indent)}\n(node:7) Warning: old\n"
    reading = parser(name, "/result", "/session_id")(Printed(printed.encode()))
    assert (reading.text, reading.session) == ("42", "s")


def test_a_turn_of_codex_that_failed_and_then_went_well_has_gone_well() -> None:
    lines = [
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "x"}},
        {"type": "turn.completed", "usage": {"input_tokens": 1}},
    ]
    reading = parser("codex-jsonl")(Printed("\n".join(map(json.dumps, lines)).encode()))
    assert (reading.text, reading.error) == ("x", None)


def test_tool_calls_that_claude_was_refused_are_noted() -> None:
    denials = [{"tool_name": name, "tool_input": {}} for name in ("Write", "Bash", "Write")]
    result = {"type": "result", "subtype": "success", "result": "done", "permission_denials": [*denials, 5]}
    assert claude_json(Printed(json.dumps(result).encode())).notes == (
        "not done, since its permissions refused it: Write (2 times), Bash, None",
    )


AIDER = "Warning: no terminal\n\nAider v0.86.2\nMain model: m with diff edit format\nGit repo: .git with 0 files\n\n"


def test_aider_has_answered_if_it_counted_tokens() -> None:
    counted = "Tokens: 1.5k sent, 647 received. Cost: $0.0012 message, $0.0034 session.\nApplied edit to a.py\n"
    reading = aider(Printed(f"{AIDER}the reply\n\non two lines\n\n{counted}".encode()))
    assert (reading.text, reading.usage, reading.error) == ("the reply\n\non two lines", {"cost_usd": 0.0034}, None)


def test_aider_ends_with_0_without_an_answer() -> None:
    reading = aider(Printed(f"{AIDER}litellm.AuthenticationError: no key\n".encode()))
    assert (reading.text, reading.error) == (None, ("", "litellm.AuthenticationError: no key\n"))


def test_a_number_that_is_too_long_spoils_nothing_beside_it() -> None:
    usage = '"usage": {"input_tokens": %s, "output_tokens": 7}' % ("9" * 5000)
    printed = f'{{"type": "result", "subtype": "success", "result": "half \\ud83d", {usage}}}'.encode()
    reading = parser("claude-json", "", "")(Printed(printed, b""))
    assert (reading.text, dict(reading.usage)) == ("half \ufffd", {"output_tokens": 7})
    no_json = printed.replace(b'"subtype"', b'"n": 1e999, "subtype"')
    assert parser("claude-json", "", "")(Printed(no_json, b"")).text is None
