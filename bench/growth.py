"""How the cost of a run grows with its size: each measure is taken inside one process, at a size that is asked for.

They give processor time as well as time, so that `tests/bench` can hold the growth to its bound on a busy machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ion
from ion import RunOptions, execute_workflow_sync, resume_workflow
from ion.core import events as e
from ion.core.fold import fold
from ion.core.state import RunState
from ion.engine.freeze import digest_of
from ion.engine.loading import no_collection
from ion.language.workflow import MAX_ITEMS, FanOut, Group, Node, Prompt, Scope, Workflow
from ion.stores.base import WorkflowStore

Figures = dict[str, float]
STORE = "sqlite:.ion/ion.db"
_OLD_RUN = 1000  # events


def workflow(shape: str, count: int) -> Workflow:
    """`chain` or `fan` of as many prompts; `items`: one prompt for each of as many items; `groups`: three in a group
    for each of a third as many."""
    if shape in ("items", "groups"):
        return Workflow(shape, (_fanned_out(shape, count),))
    chained = {"chain": True, "fan": False}[shape]
    nodes = (Node(f"n{i}", Prompt("go"), depends_on=(f"n{i - 1}",) if chained and i else ()) for i in range(count))
    return Workflow(shape, tuple(nodes))


def _fanned_out(shape: str, count: int) -> Node:
    prompts = (Prompt("go"), Group(Scope(tuple(Node(f"n{i}", Prompt("go")) for i in range(3)))))
    body, number = (prompts[0], count) if shape == "items" else (prompts[1], count // 3)
    return Node("all", body, fan_out=FanOut(items=[*range(number)], max_parallel=None, max_items=MAX_ITEMS))


def run_items(count: int, folder: Path) -> Figures:
    """A prompt for each item, in a store in memory."""
    return _run(workflow("items", count), folder, "memory:")


def run_groups(count: int, folder: Path) -> Figures:
    """Three prompts for each item, in a store in memory."""
    return _run(workflow("groups", count), folder, "memory:")


def run_flat(count: int, folder: Path) -> Figures:
    """As many prompts without items, in a store in memory."""
    return _run(workflow("fan", count), folder, "memory:")


def run_chain(count: int, folder: Path) -> Figures:
    """A chain in a store in memory: the engine alone."""
    return _run(workflow("chain", count), folder, "memory:")


def run_fan(count: int, folder: Path) -> Figures:
    """A fan in SQLite, where commits are shared."""
    return _run(workflow("fan", count), folder, STORE)


def resume(count: int, folder: Path) -> Figures:
    """A chain of which everything but the last node is done."""
    store = ion.create_store(STORE, project=folder)
    try:
        _prefill(store, workflow("chain", count), folder, "resumed", done=count - 1)
        figures = Figures()
        with _timed(figures):
            result = asyncio.run(resume_workflow("resumed", agent=_answer, store=store, project=folder))
    finally:
        store.close()
    assert result.status == "completed", result.status
    return figures


def show(count: int, folder: Path) -> Figures:
    """A whole run, described."""
    store = ion.create_store(STORE, project=folder)
    try:
        _prefill(store, workflow("chain", count), folder, "shown", done=count)
        figures = Figures()
        with _timed(figures):
            result = ion.get_run("shown", store=store, project=folder)
    finally:
        store.close()
    assert len(result.data["nodes"]) == count
    return figures


def fold_log(count: int, _folder: Path) -> Figures:
    """The state of a whole run from its events, as Ion makes it when it has read a log."""
    events = _log(workflow("chain", count), done=count)
    figures = Figures()
    with _timed(figures), no_collection():
        state = fold(events)
    assert len(state.nodes) == count
    return figures


def aged(count: int, folder: Path) -> Figures:
    """A chain in a store that holds 100,000 events of older runs."""
    store = ion.create_store(STORE, project=folder)
    try:
        if not store.list_workflow_runs(limit=1):
            made = workflow("chain", _OLD_RUN // 2)
            for number in range(100_000 // _OLD_RUN):
                _prefill(store, made, folder, f"old{number}", done=_OLD_RUN // 2)
    finally:
        store.close()
    return _run(workflow("chain", count), folder, STORE)


def new(count: int, folder: Path) -> Figures:
    """The same chain in a store that held nothing."""
    return _run(workflow("chain", count), folder, STORE)


def steadiness(count: int, folder: Path) -> Figures:
    """`flat`: how much longer the last tenth of a chain's events took than the second tenth, in processor time."""
    return _steadiness("chain", count, folder)


def steadiness_of_items(count: int, folder: Path) -> Figures:
    """The same for the items of a fan-out."""
    return _steadiness("items", count, folder)


def _steadiness(shape: str, count: int, folder: Path) -> Figures:
    clock = _Clock(2 * count)
    made = workflow(shape, count)
    execute_workflow_sync(made, agent=_answer, store="memory:", project=folder, options=RunOptions(observers=[clock]))
    return {"flat": clock.last_tenth() / clock.second_tenth()}


MEASURES: dict[str, Callable[[int, Path], Figures]] = {
    "run-chain": run_chain,
    "run-fan": run_fan,
    "resume": resume,
    "show": show,
    "fold": fold_log,
    "aged": aged,
    "new": new,
    "steadiness": steadiness,
    "steadiness-items": steadiness_of_items,
    "items": run_items,
    "groups": run_groups,
    "flat": run_flat,
}


class _Clock:
    """An observer that notes when each event of a node came, in this process's own time. Those of the fan-out itself do
    not count: it reads its items once before the first, and puts their outputs together once after the last."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._times: list[float] = []

    def event(self, _run_id: str, recorded: e.Recorded, _state: RunState) -> None:
        if isinstance(recorded.event, e.NodeEvent) and recorded.event.node != "all":
            self._times.append(time.process_time())

    def progress(self, _run_id: str, _node: str, _line: str) -> None:
        """Not of interest."""

    def second_tenth(self) -> float:
        return self._between(0.1, 0.2)

    def last_tenth(self) -> float:
        return self._between(0.9, 1.0)

    def _between(self, begin: float, end: float) -> float:
        last = len(self._times) - 1
        return self._times[int(last * end)] - self._times[int(last * begin)]


async def _answer(_request: Any) -> str:
    return "ok"


def _run(made: Workflow, folder: Path, store: str) -> Figures:
    figures = Figures()
    with _timed(figures):
        result = execute_workflow_sync(made, agent=_answer, store=store, project=folder)
    assert result.status == "completed", result.status
    return figures


@contextmanager
def _timed(figures: Figures) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    figures.update(seconds=time.perf_counter() - began, cpu=time.process_time() - used)


def _log(made: Workflow, *, done: int, source: str = "") -> list[e.Event]:
    """The log of a run of a chain that was cut off when `done` nodes were completed, or of a whole one."""
    nodes = tuple((node.id, node.kind) for node in made.nodes)
    events: list[e.Event] = [e.WorkflowStarted(1, made.name, digest_of(source), nodes, cwd=".")]
    output = e.Content("ok")
    seen = f"completed:{output.sha256[:16]}"
    for node in made.nodes[:done]:
        events.append(e.NodeStarted(1, node.id, "prompt", inputs=dict.fromkeys(node.depends_on, seen)))
        events.append(e.NodeCompleted(1, node.id, e.Reply(output)))
    if done == len(made.nodes):
        events.append(e.WorkflowCompleted(1, made.nodes[-1].id))
    return events


def _prefill(store: WorkflowStore, made: Workflow, folder: Path, run_id: str, *, done: int) -> None:
    import json

    source = json.dumps(made.to_json(), ensure_ascii=False, separators=(",", ":"))
    events = _log(made, done=done, source=source)
    store.import_workflow_run(run_id, project=str(folder), source=source, events=events)
