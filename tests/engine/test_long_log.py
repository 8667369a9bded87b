"""A long log opens, folds and is resumed in work that grows as it does: counted in calls, so that no clock decides."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ion
from ion import PromptRequest
from ion.api.workflows import load
from ion.api.workspace import open_workspace
from ion.core import events as e
from ion.engine import freeze
from ion.stores.base import WorkflowStore

LOOP = "nodes:\n  - {id: l, loop: {prompt: again, until: DONE, max_iterations: 1000000}}\n"


def import_long(store: WorkflowStore, project: Path, run_id: str, turns: int) -> None:
    """A run that was cut off after so many turns of its loop: two events for each."""
    workflow = load(open_workspace(project, store), "w")
    source = freeze.freeze(workflow, store)
    reply = e.Content("not yet")
    log: list[e.Event] = [e.WorkflowStarted(1, "w", freeze.digest_of(source), (("l", "loop"),), cwd=str(project))]
    for turn in range(1, turns + 1):
        log += [e.NodeStarted(turn, "l", "prompt"), e.IterationCompleted(turn, "l", turn, e.Reply(reply))]
    store.import_workflow_run(run_id, project=str(project), source=source, events=log)


def resumed(store: WorkflowStore, project: Path, run_id: str) -> ion.RunResult:
    async def agent(request: PromptRequest) -> str:
        return "DONE"

    return ion.resume_workflow_sync(run_id, store=store, project=project, agent=agent)


@contextmanager
def calls_counted() -> Iterator[list[int]]:
    """The number of calls that are made in this thread and in new ones."""
    count = [0]

    def note(_frame: Any, event: str, _argument: Any) -> None:
        count[0] += event in ("call", "c_call")

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.mark.parametrize("kind", ["memory:", "sqlite:.ion/ion.db", "file:.ion/store"])
def test_the_work_grows_as_the_log_does(kind: str, write: Callable[..., Path], project: Path) -> None:
    write(LOOP)
    made: dict[int, int] = {}
    for turns in (10, 100, 300, 1_000):  # the first one loads modules
        store = ion.create_store(kind, project=project)
        import_long(store, project, f"long{turns}", turns)
        with calls_counted() as count:
            if kind != "memory:":
                store.close()
                store = ion.create_store(kind, project=project)
            assert ion.get_run(f"long{turns}", store=store, project=project).status == "interrupted"
            result = resumed(store, project, f"long{turns}")
        store.close()
        assert result.data["nodes"]["l"]["iterations"] == turns + 1
        made[turns] = count[0]
    early, late = (made[300] - made[100]) / 200, (made[1_000] - made[300]) / 700
    assert late < 1.2 * early, f"calls for each turn: {early:.1f} and then {late:.1f}"
