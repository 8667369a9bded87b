"""Runs that are looked at again and again: read once, in pieces, and then only what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ion
from ion.api import readers
from ion.api.readers import Readers
from ion.api.workspace import open_workspace
from ion.errors import NotFoundError
from ion.stores.memory import MemoryStore

TWO = """
name: two
description: x
nodes:
  - id: a
    bash: echo a
  - id: b
    depends_on: [a]
    approval: {message: ok?}
"""


class CountingStore(MemoryStore):
    """A store that remembers what was read of its logs: after which event, and how many."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Any]:
        found = super().get_workflow_events(run_id, after=after, limit=limit)
        self.reads.append((after, len(found)))
        return found


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def run_id(store: CountingStore, tmp_path: Path) -> str:
    workflow = ion.parse_workflow(TWO)
    return ion.execute_workflow_sync(workflow, store=store, project=tmp_path).run_id


@pytest.fixture
def found(store: CountingStore, tmp_path: Path, run_id: str) -> Readers:
    store.reads.clear()
    return Readers(open_workspace(tmp_path, store))


def test_a_log_is_read_once_and_then_what_is_new(found: Readers, store: CountingStore, run_id: str) -> None:
    with found.read(run_id) as run:
        seq = run.row.last_seq
        assert (run.status, run.state.nodes["a"].status) == ("paused", "completed")
    with found.read(run_id) as run:
        assert [node.id for node in run.state.nodes.values()] == ["a", "b"]
    assert store.reads == [(0, seq)]
    ion.approve(run_id, store=store, project=found.workspace.project)
    store.reads.clear()
    with found.read(run_id) as run:
        assert run.state.nodes["b"].is_answered
    assert store.reads == [(seq, 1)]


def test_a_log_is_read_in_pieces(
    found: Readers, store: CountingStore, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "STRETCH", 2)
    with found.read(run_id) as run:
        assert run.state == ion.get_run(run_id, store=store, project=found.workspace.project).state
    assert max(count for _, count in store.reads[:-1]) == 2


def test_the_events_of_a_node_are_found_again(found: Readers, run_id: str) -> None:
    with found.read(run_id) as run:
        assert [one.event.type for one in run.events_of("a", 10)] == ["node_started", "node_completed"]
        assert [one.event.type for one in run.events_of("a", 1)] == ["node_completed"]
        assert run.events_of("nothing", 10) == []


def test_another_run_of_the_same_id_is_another_run(found: Readers, store: CountingStore, run_id: str) -> None:
    with found.read(run_id):
        pass
    store.delete_workflow_run(run_id)
    with pytest.raises(NotFoundError), found.read(run_id):
        pass
    other = ion.parse_workflow(TWO.replace("id: a", "id: c").replace("[a]", "[c]"))
    ion.execute_workflow_sync(other, store=store, project=found.workspace.project, run_id=run_id)
    with found.read(run_id) as run:
        assert [*run.state.nodes] == ["c", "b"]


def test_only_so_much_is_kept(store: CountingStore, tmp_path: Path) -> None:
    workflow = ion.parse_workflow(TWO)
    runs = [ion.execute_workflow_sync(workflow, store=store, project=tmp_path).run_id for _ in range(3)]
    found = Readers(open_workspace(tmp_path, store), most_nodes=4)
    for run_id in runs:
        with found.read(run_id):
            pass
    store.reads.clear()
    for run_id in (runs[2], runs[1], runs[0]):
        with found.read(run_id):
            pass
    assert [after for after, _ in store.reads] == [0]
