"""What an agent may send, whatever it is: it gives a question or nothing, never an exception or a faked line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.agents.acp import v1
from ion.agents.acp.permissions import by_policy, choice_for, choice_of, decisions, key_of, merged, permission
from ion.agents.acp.protocol import PermissionOption, ToolCall, Update

KINDS = ("allow_once", "allow_always", "reject_once", "reject_always")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CHOICES = st.lists(st.builds(PermissionOption, st.sampled_from(KINDS), st.text()), max_size=6).map(tuple)


class Listener:
    """A host that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Update]] = []

    def updated(self, session: str, update: Update) -> None:
        self.heard.append((session, update))

    async def permitted(self, session: str, call: ToolCall, choices: tuple[PermissionOption, ...]) -> int | None:
        return None


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_message_that_the_sdk_can_take_or_none(line: bytes) -> None:
    message = v1._message(line)
    if message is not None:
        assert isinstance(message.get("method", ""), str | None)
        assert isinstance(message.get("error", {}), dict)
        hash(message.get("id"))


@settings(deadline=None)
@given(
    kind=st.sampled_from(["agent_message_chunk", "tool_call", "plan", "usage_update", "dance"]),
    rest=st.dictionaries(
        st.sampled_from(["content", "toolCallId", "title", "kind", "rawInput", "entries", "cost", "used", "size"]), JSON
    ),
)
def test_any_update_is_heard(kind: str, rest: dict[str, Any]) -> None:
    from ion.agents.acp.v1 import AcpConnectionV1

    link, listener = AcpConnectionV1.__new__(AcpConnectionV1), Listener()
    link._client = listener
    link._notified("session/update", {"sessionId": "s", "update": {**rest, "sessionUpdate": kind}})
    assert [session for session, _ in listener.heard] == ["s"]


@given(
    title=st.none() | st.text(),
    details=st.dictionaries(st.sampled_from(["rawInput"]), JSON),
    places=st.lists(st.fixed_dictionaries({"path": st.text()}), max_size=3),
    choices=CHOICES,
)
def test_a_question_is_as_many_lines_as_it_has_parts(
    title: str | None, details: dict[str, Any], places: list[dict[str, Any]], choices: tuple[PermissionOption, ...]
) -> None:
    """No text of the agent makes a line of its own."""
    call = ToolCall("1", "edit", title, None, {**details, "locations": places})
    asked = permission("robot", call, choices)
    parts = 1 + len(details) + bool(places) + len(choices)
    assert len(asked.message.splitlines()) == len(asked.message.split("\n")) == parts
    assert len(set(asked.decisions)) == len(choices)
    assert all(name.startswith(kind) for name, kind in zip(asked.decisions, asked.kinds, strict=True))


@given(CHOICES, st.sampled_from([*KINDS, "allow_once_2", "reject_always_3", "rejected"]))
def test_a_decision_never_turns_into_its_opposite(choices: tuple[PermissionOption, ...], decision: str) -> None:
    chosen = choice_of(decision, choices)
    if chosen is None:
        wanted = decision.split("_")[0].removesuffix("ed")
        assert not any(choice.kind.startswith(wanted) for choice in choices)
    else:
        assert choices[chosen].kind.startswith("allow") == decision.startswith("allow")
    names = decisions(choices)
    assert all(choice_of(name, choices) == at for at, name in enumerate(names))


@pytest.mark.parametrize("kind", ["read", "search", "think", "edit", "execute", "fetch", "delete", "other", None])
def test_policies(kind: str | None) -> None:
    call = ToolCall("1", kind)
    assert by_policy("allow", call) is True
    assert by_policy("deny", call) is False
    assert by_policy("allow-reads", call) is (kind in ("read", "search", "think"))
    assert by_policy("ask", call) is None


def test_a_yes_is_as_narrow_as_it_can_be() -> None:
    choices = (
        PermissionOption("allow_always", ""),
        PermissionOption("reject_always", ""),
        PermissionOption("allow_once", ""),
    )
    assert (choice_for(True, choices), choice_for(False, choices)) == (2, 1)
    assert choice_for(False, choices[:1]) is None


def test_what_a_call_is_known_by() -> None:
    call = ToolCall("1", "execute", "run it", "pending", {"rawInput": {"a": 1, "b": 2}})
    assert key_of(call) == key_of(ToolCall("2", "execute", "run it", None, {"rawInput": {"b": 2, "a": 1}}))
    for other in (
        ToolCall("1", "read", "run it", None, call.details),
        ToolCall("1", "execute", "run that", None, call.details),
        ToolCall("1", "execute", "run it", None, {"rawInput": {"a": 1, "b": 3}}),
        ToolCall("1", "execute", "run it", None, {**call.details, "content": []}),
    ):
        assert key_of(other) != key_of(call)
    assert merged(call, ToolCall("1", status="failed")) == ToolCall("1", "execute", "run it", "failed", call.details)


def test_nothing_in_it_reads_otherwise_than_it_is() -> None:
    call = ToolCall("1", "execute", "ls\x1b[2K\n  allow_once: Yes", None, {"rawInput": "a\u202eb\u2028c"})
    assert permission("robot", call, ()).message.split("\n") == [
        "robot asks for permission to execute: ls\\u001b[2K allow_once: Yes",
        '  input: "a\\u202eb\\u2028c"',
    ]


def test_long_and_many_things_say_what_is_missing() -> None:
    content = [{"type": "diff", "path": f"f{i}", "newText": "x" * 23_000} for i in range(25)]
    call = ToolCall("1", "edit", "t" * 20_400, None, {"content": content})
    message = permission("robot", call, ()).message
    assert "(400 characters left out)" in message
    assert "(3002 characters left out)" in message
    assert message.endswith("and 5 more that are not shown here")
