"""Events go to JSON and back without loss, and what is not an event is refused."""

from __future__ import annotations

import json
import typing
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ion import codec, names
from ion.core import events as e
from ion.errors import DamagedStoreError
from ion.kinds import KINDS, TURNS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENT = TEXT.map(e.Content) | st.builds(e.Content, blob=st.just("ab" * 32), length=st.integers(300_000, 10**9))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x), max_leaves=4
)
NODE_IDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,9}", fullmatch=True).filter(names.is_node_id)
ADDRESSES = st.tuples(NODE_IDS, st.lists(st.one_of(st.integers(0, 999).map(str), NODE_IDS), max_size=3)).map(
    lambda parts: ".".join((parts[0], *parts[1]))
)
MOMENTS = st.integers(0, names.LATEST_MS)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "at": MOMENTS,
    "due_at": MOMENTS,
    "node": ADDRESSES,
    "output_node": st.none() | ADDRESSES,
    "dependency": st.none() | ADDRESSES,
    "values": st.dictionaries(
        TEXT,
        st.builds(e.Value, text=TEXT)
        | st.builds(e.Value, error=TEXT)
        | st.builds(e.Value, sha256=st.just("cd" * 32), length=st.integers(0, 9)),
    ),
    "nodes": st.lists(st.tuples(NODE_IDS, st.sampled_from(list(KINDS))), unique_by=lambda node: node[0]).map(tuple),
    "read": st.lists(st.dictionaries(TEXT, st.builds(e.Value, text=TEXT))).map(tuple),
    **dict.fromkeys(("finally_nodes", "finally_failed"), st.lists(NODE_IDS).map(tuple)),
    "caught": st.lists(ADDRESSES).map(tuple),
    "stderr": st.text(max_size=100),
    "keys": st.just(()),
    "numbers": st.just(()),
    "payload": st.none() | JSON.map(json.dumps),
    "target": st.none() | ADDRESSES,
    "remind_at": st.lists(MOMENTS).map(tuple),
    "turn": st.sampled_from(list(TURNS)),
}
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    e.Content: CONTENT,
    e.Content | None: st.none() | CONTENT,
    e.Failure: st.builds(e.Failure, TEXT, TEXT, TEXT, st.none() | st.integers(0, 255)),
    tuple[tuple[str, str], ...]: st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    tuple[str, ...]: st.lists(TEXT).map(tuple),
    dict[str, Any]: st.dictionaries(TEXT, JSON),
    dict[str, str]: st.dictionaries(TEXT, TEXT),
    dict[str, Any] | None: st.none() | st.dictionaries(TEXT, JSON),
    Literal["timer", "signal", "check"]: st.sampled_from([e.TIMER, e.SIGNAL, e.CHECK]),
    str: TEXT,
    str | None: st.none() | TEXT,
    int: st.integers(0, 2**50),
    int | None: st.none() | st.integers(1, 100),
    bool: st.booleans(),
    float: st.floats(0, 1e6),
    float | None: st.none() | st.floats(0, 1e6),
}


def build(cls: type[Any], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hints, known = typing.get_type_hints(cls), BY_NAME | given
    return st.builds(
        cls, **{name: known[name] if name in known else STRATEGIES[hints[name]] for name in cls.__struct_fields__}
    )


STRATEGIES[e.Reply] = build(e.Reply)
STRATEGIES[e.Reply | None] = st.none() | STRATEGIES[e.Reply]


FINISHING = {
    cls: build(cls, status=st.just("failed"), error=STRATEGIES[e.Failure])
    | build(cls, status=st.sampled_from(["completed", "cancelled"]), error=st.none())
    for cls in (e.WorkflowFinishing, e.ScopeFinishing)
}


def numbered(event: e.ScopeOpened, numbers: list[int]) -> e.ScopeOpened:
    """With a key for each number of an item."""
    return replace(event, numbers=tuple(numbers), keys=tuple(map(str, numbers)))


def events() -> st.SearchStrategy[e.Event]:
    fans = st.builds(numbered, build(e.ScopeOpened), st.lists(st.integers(0, 99), unique=True))
    return st.one_of(
        [*(build(cls) for cls in e.EVENT_TYPES.values() if cls not in FINISHING), *FINISHING.values(), fans]
    )


@given(events())
def test_an_event_is_the_same_after_json(event: e.Event) -> None:
    assert e.from_json(json.loads(json.dumps(codec.to_json(event)))) == event
    assert e.decode(codec.encode(event)) == event


@given(st.dictionaries(st.sampled_from(["type", "at", "node", "output", "error", "nodes", "reask"]) | TEXT, JSON))
def test_whatever_stands_in_a_log_gives_an_event_or_says_that_it_is_damaged(data: dict[str, Any]) -> None:
    try:
        event = e.from_json(data)
    except DamagedStoreError:
        return
    assert isinstance(event, e.Event)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", 10**18),
        ("at", -1),
        ("at", 1.5),
        ("at", True),
        ("node", "../up"),
        ("node", "INPUTS"),
        ("node", ["a"]),
        ("turn", None),
        ("attempt", 10**30),
        ("inputs", {"a": 1}),
        ("signaled", 1),
        ("usage", []),
        ("unheard_of", 1),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_refused(field: str, value: Any) -> None:
    data = {"type": "node_started", "at": 1, "node": "a", "turn": "bash", field: value}
    with pytest.raises(DamagedStoreError, match=field):
        e.from_json(data)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (e.WorkflowCompleted(1, "a"), "output_node"),
        (e.NodeInvalidated(1, "a", "dependency", "b"), "dependency"),
        (e.WorkflowCancelled(1, "x", "a"), "node"),
        (e.WorkflowResumed(1, owned_until=5), "owned_until"),
    ],
)
def test_what_may_be_left_out_is_checked_where_it_stands(event: e.Event, field: str) -> None:
    data = codec.to_json(event)
    assert e.from_json(data) == event
    assert getattr(e.from_json({**data, field: None}), field) is None
    with pytest.raises(DamagedStoreError, match=field):
        e.from_json({**data, field: "../up"})


@pytest.mark.parametrize("nodes", [[["a", "bash"], ["a", "bash"]], [["../up", "bash"]], [["a", 1]], [["a"]], "ab"])
def test_what_names_no_nodes_or_one_twice_is_refused(nodes: Any) -> None:
    with pytest.raises(DamagedStoreError):
        e.from_json({"type": "workflow_started", "at": 1, "workflow": "w", "digest": "d", "nodes": nodes})


@pytest.mark.parametrize("blob", [{"blob": "../up", "bytes": 1}, {"blob": "ab" * 32, "bytes": -1}, {"text": 1}, "text"])
def test_what_names_no_output_is_refused(blob: Any) -> None:
    with pytest.raises(DamagedStoreError):
        e.from_json({"type": "node_completed", "at": 1, "node": "a", "output": blob})


def test_an_event_of_a_newer_ion_is_refused_by_name() -> None:
    with pytest.raises(DamagedStoreError, match="unknown type 'node_teleported'"):
        e.from_json({"type": "node_teleported", "at": 1})


def test_an_event_holds_a_large_text_only_as_a_reference() -> None:
    event = e.NodeCompleted(1, "a", e.Reply(e.Content(blob="ab" * 32, length=10**6)))
    assert codec.to_json(event) == {
        "type": "node_completed",
        "at": 1,
        "node": "a",
        "reply": {"output": {"blob": "ab" * 32, "bytes": 10**6}},
    }
