"""What a clock does in a project: which runs it continues, and which it leaves alone and why (`ion tick`).

A clock runs what it finds with the rights of its user, while nobody looks. So it takes only runs of its own project
that this user started on this host, which their seals prove, and never an imported one; it takes what waits or is
queued, and of what was cut off only that of which no turn was unfinished. The row of a run says no more than that it
is worth a look: what counts is its log.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from msgspec import Struct

from ion import clocks
from ion.api.engine import Engine
from ion.api.listing import status_of
from ion.api.places import full, groups_of
from ion.api.run import Run
from ion.api.runs import require_continuable
from ion.api.settings import effect_of
from ion.api.workspace import Workspace, who
from ion.core.events import WorkflowStarted
from ion.core.resume import resume_cause
from ion.core.state import RunState
from ion.engine import git
from ion.engine.run_reader import read_run
from ion.engine.seals import is_sealed_here
from ion.errors import DamagedStoreError, IonError, NotFoundError
from ion.stores.base import WorkflowRun

RUNS_PER_PROCESSOR = 2
# How long a run that a clock drives may wait before it is left to the next pass, and its place is another's.
PATIENCE_MS = 10_000


class DueRun(Struct, frozen=True):
    """A run that a clock continues. `due_at` (ms since the epoch) is since when there is something to do; None of one
    that was cut off, or whose turn in a queue has come (`queued`)."""

    run_id: str
    workflow: str
    due_at: int | None
    queued: bool = False


class LeftRun(Struct, frozen=True):
    """A run that has something to do and that this clock leaves alone, and why."""

    run_id: str
    workflow: str
    reason: str


class Found(Struct, frozen=True):
    """What one look at the store found, in the order in which it is due."""

    due: tuple[DueRun, ...] = ()
    left: tuple[LeftRun, ...] = ()


def look(workspace: Workspace, *, any_host: bool = False, only: AbstractSet[str] | None = None) -> Found:
    """Find what a clock continues now. `any_host`: also runs that this user started on other hosts, as the store says,
    in a folder that is here with the git remote that it had there. `only`: these runs, and those that a hook started,
    and no others."""
    if workspace.is_new:
        return Found()
    due: list[DueRun] = []
    left: list[LeftRun] = []
    for row in workspace.store.list_due_runs(str(workspace.project), until=clocks.now_ms()):
        if only is not None and row.run_id not in only and not _is_of_hook(workspace, row):
            continue
        reason = _why_left(workspace, row, any_host=any_host)
        if reason:
            left.append(LeftRun(row.run_id, row.workflow, reason))
        elif reason is None:
            due.append(DueRun(row.run_id, row.workflow, row.due_at, row.status == "queued"))
    return Found(tuple(due), tuple(left))


def _is_of_hook(workspace: Workspace, row: WorkflowRun) -> bool:
    started = workspace.store.get_workflow_events(row.run_id, limit=1)[0].event
    return isinstance(started, WorkflowStarted) and "hook" in started.by


def _why_left(workspace: Workspace, row: WorkflowRun, *, any_host: bool) -> str | None:
    """Why this clock leaves a run alone; '' if there is nothing to do after all, None if it continues it."""
    if row.status == "damaged" or status_of(workspace.store, row) == "running":
        return ""
    try:
        return _why_not_continued(workspace, row, any_host=any_host)
    except IonError as error:
        return error.message


def _why_not_continued(workspace: Workspace, row: WorkflowRun, *, any_host: bool) -> str | None:
    """The same of a run without a live owner. Raises `IonError` if it cannot be continued here."""
    started = workspace.store.get_workflow_events(row.run_id, limit=1)[0].event
    if not isinstance(started, WorkflowStarted):  # whoever wrote it
        raise DamagedStoreError("its log does not begin with its start")
    if started.engine is not None:
        return ""  # its cluster has a clock
    foreign = _why_foreign(workspace, row, started, any_host=any_host)
    if foreign:
        return foreign
    found = read_run(workspace.store, row.run_id)
    if found.state.ended:
        return ""
    if started.by.get("settings") != effect_of(workspace.settings):
        return f"the settings have changed since it began, and with them what it may run: ion resume {row.run_id}"
    if found.state.status == "running" and (unfinished := _unfinished(found.state)):
        return f"its process died while {unfinished} ran; somebody has to see what that left: ion resume {row.run_id}"
    if resume_cause(found.state, agent=None, resume=False, at=clocks.now_ms()) is None:
        return ""
    queued = found.state.status == "queued" and found.state.cancel is None
    if queued and full(workspace, row.run_id, groups_of(workspace, started)) is not None:
        return ""  # any other one is to be queued
    require_continuable(workspace, found)
    return None


def _why_foreign(workspace: Workspace, row: WorkflowRun, started: WorkflowStarted, *, any_host: bool) -> str:
    """Why a run is not this clock's, '' if it is."""
    me, by, folder = who(workspace.via), started.by, Path(started.cwd)
    elsewhere = f"it was started on {_name(by.get('host'))}"
    is_here = by.get("host") == me["host"]
    if is_here and is_sealed_here(started, row.run_id, row.project):
        return ""  # whatever the user is called: a clock may have another environment
    if not isinstance(by.get("seal"), str):
        return "it was imported, or started by an older Ion"
    if by.get("user") != me["user"]:
        return f"{_name(by.get('user'))} started it"
    if is_here:
        return "its start does not have the seal of this user"
    if not any_host:
        return elsewhere
    if not folder.is_dir():
        return f"{elsewhere}, and its folder {folder} is not here"
    if not by.get("remote") or by["remote"] != git.remote(folder):
        return f"{elsewhere}, and {folder} is not a clone of the same git remote here"
    return ""


def _name(value: object) -> str:
    return repr(value)[1:-1][:80] if isinstance(value, str) else "somebody"


def _unfinished(state: RunState) -> str:
    """The node whose turn nobody finished, '' if there is none."""
    return next((node.id for node in state.nodes.values() if node.live), "")


def still_due(workspace: Workspace, run_id: str, *, any_host: bool = False) -> bool:
    """Whether a clock still continues a run: another process may have been faster."""
    try:
        return _why_left(workspace, workspace.store.get_workflow_run(run_id), any_host=any_host) is None
    except NotFoundError:
        return False


async def drive(
    engine: Engine, run_ids: Sequence[str], failed: Callable[[str, IonError], None], *, any_host: bool = False
) -> None:
    """Continue these runs, begun in this order, until each ends or waits again; what another process was faster to
    acquire is left to it. At most `RUNS_PER_PROCESSOR` for each processor run at a time. `failed` is told of each that
    cannot be continued."""
    workspace = engine.project.workspace
    places = asyncio.Semaphore(RUNS_PER_PROCESSOR * (os.cpu_count() or 1))

    async def drive_one(run: Run) -> None:
        async with places:
            try:
                if await asyncio.to_thread(still_due, workspace, run.run_id, any_host=any_host):
                    await engine.proceed(run)
                    await engine.join(run)
            except IonError as error:
                failed(run.run_id, error)

    async with asyncio.TaskGroup() as tasks:
        for run_id in run_ids:
            tasks.create_task(drive_one(Run(workspace, run_id)))
