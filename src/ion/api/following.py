"""Following a run that another process, or a cluster, drives: its log is read repeatedly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ion.api import reading

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.core.events import Recorded

POLL_SECONDS = 0.25


def live(workspace: Workspace, run_id: str) -> bool:
    """Whether a living process, or a cluster, drives the run."""
    return reading.status_of(workspace.store, workspace.store.get_workflow_run(run_id)) == "running"


def read_new_events(workspace: Workspace, run_id: str, after: int) -> tuple[bool, list[Recorded]]:
    """Whether somebody alive drives the run, and the events after number `after`: all of them, if nobody does."""
    alive = live(workspace, run_id)
    return alive, reading.read_events(workspace, run_id, after=after)


def follow_events(workspace: Workspace, run_id: str, *, after: int = 0) -> Iterator[Recorded]:
    """The events after number `after`, each as soon as it is there, until nobody alive drives the run. Loads no
    event loop."""
    alive = True
    while alive:
        alive, found = read_new_events(workspace, run_id, after)
        for recorded in found:
            after = recorded.seq
            yield recorded
        if alive:
            time.sleep(POLL_SECONDS)


async def follow(workspace: Workspace, run_id: str, *, after: int = 0) -> AsyncIterator[Recorded]:
    """As `follow_events`, in an event loop."""
    import asyncio

    alive = True
    while alive:
        alive, found = await asyncio.to_thread(read_new_events, workspace, run_id, after)
        for recorded in found:
            after = recorded.seq
            yield recorded
        if alive:
            await asyncio.sleep(POLL_SECONDS)
