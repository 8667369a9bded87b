"""Listing runs: the rows that a store has of them, and their statuses. Of a log only the last events are read, and
nothing is loaded that reading all of it needs."""

from __future__ import annotations

from ion.api.workspace import Workspace
from ion.core.events import WorkflowCompleted, WorkflowFailed, WorkflowFinishing
from ion.errors import DamagedStoreError
from ion.stores.base import WorkflowRun, WorkflowStore
from ion.stores.lease import effective_status, lease_clock

# In so many events back the beginning of a `finally` is looked for.
_LAST_EVENTS = 500


def status_of(store: WorkflowStore, run: WorkflowRun) -> str:
    """The run's status, `interrupted` if the log says `running` and nobody alive owns it."""
    return effective_status(run, store.lease_clock(run.owner)) if run.status == "running" else run.status


def now_of(run: WorkflowRun) -> int:
    """The time by the clock of the run's owner, by which its events go; the wall clock may have jumped since."""
    return lease_clock(run.owner)


def list_runs(
    workspace: Workspace,
    *,
    status: str | None = None,
    workflow: str | None = None,
    limit: int | None = None,
    before: tuple[int, str] | None = None,
) -> list[tuple[WorkflowRun, str]]:
    """The project's runs with their statuses, newest first. `status` may be `interrupted`; `before` is a run's start
    (ms since the epoch) and id: those that come after it in this order."""
    if workspace.is_new:
        return []
    logged = "running" if status == "interrupted" else status
    found = workspace.store.list_workflow_runs(
        project=str(workspace.project),
        status=logged,
        workflow=workflow,
        limit=None if logged == "running" else limit,
        before=before,
    )
    shown = [(run, status_of(workspace.store, run)) for run in found]
    if status is not None:
        shown = [(run, now) for run, now in shown if now == status]
    return shown[:limit]


def is_clean(workspace: Workspace, run: WorkflowRun) -> bool | None:
    """Whether a run that completed did so without failures that were allowed or caught; None: it has not completed, or
    its log is damaged, which `ion doctor` says."""
    if run.status != "completed":
        return None
    try:
        last = workspace.store.get_workflow_events(run.run_id, after=run.last_seq - 1)
    except DamagedStoreError:
        return None
    return all(one.event.clean for one in last if isinstance(one.event, WorkflowCompleted))


def is_finishing(workspace: Workspace, run: WorkflowRun) -> bool:
    """Whether the end of a run that is running is decided, and its `finally` runs: as its last events say, so that a
    long log is not read whole."""
    if run.status != "running":
        return False
    try:
        last = workspace.store.get_workflow_events(run.run_id, after=max(0, run.last_seq - _LAST_EVENTS))
    except DamagedStoreError:
        return False
    found = [one.event for one in last if isinstance(one.event, WorkflowFinishing | WorkflowFailed)]
    return bool(found) and isinstance(found[-1], WorkflowFinishing)
