"""Following a run that another process drives: its log is read again and again. No event loop is loaded for this."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ion.api import reading
from ion.core.fold import apply
from ion.core.state import RunState

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.core.events import Recorded
    from ion.engine.observe import Observer

POLL_SECONDS = 0.25


def live(workspace: Workspace, run_id: str) -> bool:
    """Whether a living process drives the run."""
    return reading.status_of(workspace.store, workspace.store.get_workflow_run(run_id)) == "running"


def look_again(workspace: Workspace, run_id: str, after: int) -> tuple[bool, list[Recorded]]:
    """Whether a living process drives the run, and the events after number `after`: all of them, if it is no more."""
    alive = live(workspace, run_id)
    return alive, reading.read_events(workspace, run_id, after=after)


def follow_events(workspace: Workspace, run_id: str, *, after: int = 0) -> Iterator[Recorded]:
    """The events after number `after`, each as soon as it is there, until no living process drives the run."""
    while True:
        alive, events = look_again(workspace, run_id, after)
        for recorded in events:
            after = recorded.seq
            yield recorded
        if not alive:
            return
        time.sleep(POLL_SECONDS)


def follow(workspace: Workspace, run_id: str, observer: Observer, *, from_start: bool) -> None:
    """Show the events of a run until no living process drives it; `from_start`: also those that are there already."""
    state = RunState()
    after = 0
    for recorded in reading.read_events(workspace, run_id):
        apply(state, recorded.event)
        after = recorded.seq
        if from_start:
            observer.event(run_id, recorded, state)
    for recorded in follow_events(workspace, run_id, after=after):
        apply(state, recorded.event)
        observer.event(run_id, recorded, state)
