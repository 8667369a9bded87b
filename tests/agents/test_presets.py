"""The presets as data: what is in the file can be used, and what an option becomes on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ion.agents.base import AgentError, PromptRequest
from ion.agents.parsers import PARSER_NAMES
from ion.agents.presets import NAMES, Flags, InFile, Preset, launch, schema_for, without_effect
from ion.api.agents import driven_by
from ion.api.settings import AgentSettings, preset, presets

REQUEST = PromptRequest(run_id="r", node="n", prompt="hello", key="r/n", cwd=Path("/"))
PLACES = {"value", "list", "json", "file", "session", "prompt", "prompt_file", "names", "at_path"}


def known(name: str) -> Preset:
    found = preset(name)
    assert found is not None
    return found


def words(name: str, request: PromptRequest = REQUEST, *, session: str | None = None, **options: Any) -> list[Any]:
    made = launch(known(name), replace(request, options=options), request.prompt, session)
    return list(made.words[len(known(name).command) + len(known(name).arguments) :])


# It takes no value that is joined to its flag; what begins with a dash is refused.
ALONE = {"pi"}


def test_the_names_are_those_of_the_file_and_what_is_in_it_can_be_used() -> None:
    assert tuple(presets()) == NAMES
    for one in presets().values():
        assert one.command
        assert one.install
        assert one.login
        assert one.parser in PARSER_NAMES
        assert (one.type == "acp") == one.name.endswith("-acp")
        assert set(one.permission) <= {"allow", "allow-reads", "deny"}
        flags = [flag for known in one.options.values() for flag in (*known.some, *(known.none or ()))]
        for word in (*one.command, *one.arguments, *one.last, *one.resume, *one.schema, *flags):
            assert set(re.findall(r"\{(\w+)\}", word)) <= PLACES
            assert len(re.findall(r"\{\w+\}", word)) <= 1
            alone = re.match(r"^\{(value|list|json|names)\}$", word)
            assert not alone or one.name in ALONE, "a value of its own could be read as an option"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("claude", {"model": "opus"}, ["--model=opus"]),
        ("pi", {"model": "a/b", "allowed_tools": ["read", "grep"]}, ["--model", "a/b", "--tools", "read,grep"]),
        ("pi", {"allowed_tools": []}, ["--no-tools"]),
        (
            "claude",
            {"allowed_tools": ["Read", "Bash(git:*)", "Bash(ls)", "mcp__x__y"]},
            ["--tools=Read,Bash", "--allowedTools=Read,Bash(git:*),Bash(ls),mcp__x__y"],
        ),
        ("claude", {"allowed_tools": "Read,Grep"}, ["--tools=Read,Grep", "--allowedTools=Read,Grep"]),
        ("claude", {"allowed_tools": []}, ["--tools="]),
        ("claude", {"denied_tools": []}, []),
        ("claude", {"systemPrompt": "--- be\nkind"}, ["--append-system-prompt=--- be\nkind"]),
        ("claude", {"agents": {"a": {"prompt": "p"}}}, ['--agents={"a": {"prompt": "p"}}']),
        ("claude", {"maxBudgetUsd": 1.5}, ["--max-budget-usd=1.5"]),
        ("claude", {"temperature": 1, "model": None}, []),
        ("codex", {"effort": "high"}, ['--config=model_reasoning_effort="high"', "-"]),
        ("codex", {"model": "-rf"}, ["--model=-rf", "-"]),
        ("copilot", {"mcp": ".mcp.json"}, ["--additional-mcp-config=@.mcp.json"]),
        ("copilot", {"mcp": {"mcpServers": {}}}, ['--additional-mcp-config={"mcpServers": {}}']),
        ("copilot", {"mcp": '{"mcpServers": {}}'}, ['--additional-mcp-config={"mcpServers": {}}']),
        ("gemini", {"allowed_tools": ["a", "b"]}, []),  # its flag of that name grants
        ("gemini", {"allowed_tools": []}, []),
    ],
)
def test_options_become_flags(name: str, options: dict[str, Any], expected: list[str]) -> None:
    assert words(name, **options) == expected


def test_a_session_a_schema_and_the_prompt() -> None:
    schema = {"type": "object"}
    structured = replace(REQUEST, output_format=schema)
    assert words("claude", structured, session="s-1") == ['--json-schema={"type": "object"}', "--resume=s-1"]
    assert words("codex", structured, session="s-1") == [
        InFile("--output-schema=", '{"type": "object"}', ""),
        "resume",
        "s-1",
        "-",
    ]
    assert words("gemini", structured) == []
    assert words("aider") == [InFile("--message-file=", "hello", "")]
    assert words("copilot", replace(REQUEST), session="s-1") == ["--resume=s-1"]
    assert [launch(known(name), REQUEST, "hello", None).stdin for name in ("claude", "aider", "copilot")] == [
        "hello",
        "",
        "hello",
    ]


@pytest.mark.parametrize(
    ("permission", "sandbox", "expected"),
    [
        ("allow", "read-only", "read-only"),
        ("allow-reads", "danger-full-access", "read-only"),
        ("allow-reads", "unheard-of", "read-only"),
        ("allow", None, "workspace-write"),
        (None, "danger-full-access", "danger-full-access"),
    ],
)
def test_codex_takes_one_sandbox_and_a_node_cannot_widen_it(
    permission: str | None, sandbox: str | None, expected: str
) -> None:
    driven = driven_by("codex", AgentSettings(preset="codex", permission=permission))
    request = replace(REQUEST, options={"sandbox": sandbox})
    line = [word for word in launch(driven, request, "hello", None).words if isinstance(word, str)]
    assert [word for word in line if word.startswith("--sandbox")] == [f"--sandbox={expected}"]


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "taken"),
    [
        (OPEN, {**OPEN, "additionalProperties": False}),
        ({**OPEN, "properties": {"a": {"type": "array", "items": OPEN}}}, "closed inside"),
        ({**OPEN, "additionalProperties": True}, None),
        ({**OPEN, "required": []}, None),
        ({"type": "object"}, None),
        ({"type": "array", "items": OPEN}, None),
        ({**OPEN, "allOf": [{}]}, None),
    ],
)
def test_codex_takes_only_schemas_that_are_closed_without_another_meaning(schema: Any, taken: Any) -> None:
    if taken == "closed inside":
        closed = {**OPEN, "additionalProperties": False}
        taken = {**closed, "properties": {"a": {"type": "array", "items": closed}}}
    assert schema_for(known("codex"), schema) == taken
    assert schema_for(known("claude"), schema) == schema
    assert schema_for(known("gemini"), schema) is None


def test_what_an_agent_cannot_be_told_is_named() -> None:
    options = {"model": "x", "allowed_tools": [], "denied_tools": [], "hooks": {}, "betas": None, "maxBudgetUsd": 1}
    assert without_effect(known("claude"), options) == ["hooks"]
    assert without_effect(known("gemini"), options) == ["an empty allowed_tools", "an empty denied_tools", "hooks"]


def test_a_value_that_stands_alone_is_never_taken_for_an_option() -> None:
    mine = Preset("mine", command=("mine",), options={"m": Flags(("--model", "{value}"))})
    assert launch(mine, replace(REQUEST, options={"m": "x"}), "hi", None).words == ("mine", "--model", "x")
    with pytest.raises(AgentError, match="begins with a dash") as caught:
        launch(mine, replace(REQUEST, options={"m": "--evil"}), "hi", None)
    assert caught.value.error_code == "refused"


@pytest.mark.parametrize(("value", "why"), [("x" * 131_072, "128 KiB"), ("a\0b", "NUL")])
def test_a_value_that_no_argument_can_carry_is_refused(value: str, why: str) -> None:
    with pytest.raises(AgentError, match=why) as caught:
        words("claude", systemPrompt=value)
    assert caught.value.error_code == "refused"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    max_leaves=8,
)


@given(
    name=st.sampled_from(NAMES),
    options=st.dictionaries(
        st.sampled_from(["model", "allowed_tools", "systemPrompt", "mcp", "effort", "agents"]), _VALUES
    ),
    prompt=st.text(),
)
def test_no_value_ever_becomes_an_option_of_its_own(name: str, options: dict[str, Any], prompt: str) -> None:
    one = known(name)
    try:
        made = launch(one, replace(REQUEST, options=options), prompt, None)
    except AgentError:  # a NUL character
        return
    flags = [flag for known in one.options.values() for flag in (*known.some, *(known.none or ()))]
    starts = [re.split(r"\{\w+\}", word)[0] for word in (*one.command, *one.arguments, *one.last, *flags)]
    for word in made.words:
        text = word.before if isinstance(word, InFile) else word
        text.encode()
        joined = any(start and text.startswith(start) for start in starts)
        assert joined or (name in ALONE and not text.startswith("-"))
