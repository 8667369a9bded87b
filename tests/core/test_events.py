"""Events go to JSON and back without loss, and what is no event is refused."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.core import events as e
from ion.errors import DamagedStoreError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENT = TEXT.map(e.Content.inline) | st.builds(e.Content, st.just("ab" * 32), st.integers(300_000, 10**9))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x), max_leaves=4
)
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    e.Content: CONTENT,
    e.Content | None: st.none() | CONTENT,
    e.Failure: st.builds(e.Failure, TEXT, TEXT, TEXT, st.none() | st.integers(0, 255)),
    tuple[tuple[str, str], ...]: st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    tuple[str, ...]: st.lists(TEXT).map(tuple),
    dict[str, Any]: st.dictionaries(TEXT, JSON),
    dict[str, str]: st.dictionaries(TEXT, TEXT),
    dict[str, dict[str, Any]]: st.dictionaries(TEXT, st.dictionaries(TEXT, JSON)),
    dict[str, Any] | None: st.none() | st.dictionaries(TEXT, JSON),
    str: TEXT,
    str | None: st.none() | TEXT,
    int: st.integers(0, 2**50),
    int | None: st.none() | st.integers(1, 100),
    bool: st.booleans(),
    float: st.floats(0, 1e6),
    float | None: st.none() | st.floats(0, 1e6),
}


def events() -> st.SearchStrategy[e.Event]:
    def build(cls: type[e.Event]) -> st.SearchStrategy[e.Event]:
        hints = typing.get_type_hints(cls)
        return st.builds(cls, **{f.name: STRATEGIES[hints[f.name]] for f in dataclasses.fields(cls)})

    return st.one_of([build(cls) for cls in e.EVENT_TYPES.values()])


@given(events())
def test_an_event_is_the_same_after_json(event: e.Event) -> None:
    assert e.from_json(json.loads(json.dumps(e.to_json(event)))) == event


@given(st.dictionaries(st.sampled_from(["type", "at", "node", "output", "error", "nodes", "reask"]) | TEXT, JSON))
def test_whatever_stands_in_a_log_gives_an_event_or_says_that_it_is_damaged(data: dict[str, Any]) -> None:
    try:
        event = e.from_json(data)
    except DamagedStoreError:
        return
    assert isinstance(event, e.Event)


def test_an_event_of_a_newer_ion_is_refused_by_name() -> None:
    with pytest.raises(DamagedStoreError, match="unknown type 'node_teleported'"):
        e.from_json({"type": "node_teleported", "at": 1})


def test_an_event_holds_a_large_text_only_as_a_reference() -> None:
    event = e.NodeCompleted(1, "a", e.Content("ab" * 32, 10**6))
    assert e.to_json(event) == {
        "type": "node_completed",
        "at": 1,
        "node": "a",
        "output": {"blob": "ab" * 32, "bytes": 10**6},
    }
