"""Showing what happens in a run that another process drives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ion.api import reading
from ion.api.following import follow_events
from ion.core.fold import apply
from ion.core.state import RunState

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.engine.observe import Observer


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
