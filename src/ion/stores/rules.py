"""What all stores do alike: which ids and writes are admitted, and what a run's row becomes with its events.

All of that is a pure function of a row and events, so that a store is left with nothing but keeping; `BaseStore` has
the verbs that need no more than the store's other ones.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

from msgspec import Struct, structs

from ion.core import event_facts
from ion.core import events as e
from ion.errors import NotFoundError, RefusedError, StaleStateError, StoreError, UsageError
from ion.names import RUN_ID_RULE, is_run_id
from ion.stores import blobs
from ion.stores.base import Lease, Owner, WorkflowRun, WorkflowStore
from ion.stores.encoding import damaged
from ion.stores.lease import next_lease, require_free, require_lease


def require_run_id(run_id: str) -> None:
    """Raise `UsageError` for an invalid run id."""
    if not is_run_id(run_id):
        raise UsageError(f"{run_id!r:.80} cannot be a run's id", hint=RUN_ID_RULE)


def no_such_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"unknown run {run_id!r} in this store", hint="see which there are: ion runs")


def run_exists(run_id: str) -> RefusedError:
    return RefusedError(
        f"a run {run_id!r} exists already",
        hint=f"ion resume {run_id} continues it; or choose another id",
        code="run-exists",
    )


def answered(run_id: str, request: str) -> RefusedError:
    return RefusedError(
        f"run {run_id} does not wait for {request} any more: it was answered or is out of date",
        hint=f"see what it waits for: ion show {run_id}",
        code="answered",
    )


def first_row(
    run_id: str, project: str, events: Sequence[e.Event], owner: Owner | None, lease_expires_at: int | None
) -> WorkflowRun:
    """The row of a run whose log is `events`.

    Raises `UsageError` if it cannot have this id or does not begin with its start, `RefusedError` if it answers what it
    never asked.
    """
    require_run_id(run_id)
    if not events or not isinstance(start := events[0], e.WorkflowStarted):
        raise UsageError(f"the log of run {run_id} does not begin with its start")
    OpenRequests().require_open(run_id, events)
    first = WorkflowRun(
        run_id=run_id,
        workflow=start.workflow,
        project=project,
        status="pending",
        digest=start.digest,
        started_at=start.at,
        epoch=1,
        owner=owner,
        lease_expires_at=lease_expires_at,
    )
    return advanced(first, events)


def admit(run: WorkflowRun, lease: Lease | None, after: int | None) -> None:
    """Raise unless this write may go into the run's log now (`WorkflowStore.create_workflow_event`)."""
    if lease is not None:
        require_lease(run, lease)
    elif run.status in event_facts.TERMINAL_RUN_STATES:
        raise RefusedError(
            f"run {run.run_id} has ended: it is {run.status}", hint=f"see it: ion show {run.run_id}", code="ended"
        )
    if after is not None and after != run.last_seq:
        raise StaleStateError(f"run {run.run_id} has continued from event {after} to event {run.last_seq}")


def advanced(run: WorkflowRun, events: Sequence[e.Event]) -> WorkflowRun:
    """The row after these events."""
    return structs.replace(run, last_seq=run.last_seq + len(events), **changes(events))


def changes(events: Iterable[e.Event]) -> dict[str, Any]:
    """What these events change in a run's row, by its names: `status` and `ended_at`, and `due_at`."""
    changed: dict[str, Any] = {}
    for event in events:
        status = event_facts.status_after(event)
        if status is not None:
            changed["status"] = status
            changed["ended_at"] = event.at if status in event_facts.TERMINAL_RUN_STATES else None
        due_changes, due_at = event_facts.due_after(event)
        if due_changes:
            changed["due_at"] = due_at
    return changed


def require_agreement(run: WorkflowRun, newest_first: Iterable[e.Event]) -> None:
    """Raise `DamagedStoreError` if the row says otherwise than the log, whose events come newest first. Of a run that
    runs only the newest is looked at: the last word on its state may lie a long way back."""
    for event in newest_first:
        changed = changes([event])
        if "status" not in changed and run.status == "running":
            return
        if "status" in changed:
            if (changed["status"], changed["ended_at"]) != (run.status, run.ended_at):
                raise damaged(f"the row of run {run.run_id} says {run.status}, its log says {changed['status']}")
            return
    raise damaged(f"the log of run {run.run_id} does not say that it ever began")


# A clock looks at these whether or not they are due: their owner may have died, their place may be free.
AT_WORK = ("running", "queued")


class Wanted(Struct, frozen=True, gc=False):
    """Which runs to list: those with these `values` of their rows (None: any), newest first, after the one that started
    at this moment and has this id (`before`)."""

    values: dict[str, str | None]
    prefix: str
    limit: int | None
    before: tuple[int, str] | None = None


def selected(runs: Iterable[WorkflowRun], wanted: Wanted) -> list[WorkflowRun]:
    """Those that are wanted, for stores without a query language. A damaged run whose project cannot be read any more
    is in every project's list, so that it does not vanish."""
    tests = [(name, value) for name, value in wanted.values.items() if value is not None]
    fitting = [
        run
        for run in runs
        if run.run_id.startswith(wanted.prefix)
        and (wanted.before is None or (run.started_at, run.run_id) < wanted.before)
        and all(getattr(run, name) == value or (name == "project" and _is_unreadable(run)) for name, value in tests)
    ]
    return sorted(fitting, key=lambda run: (run.started_at, run.run_id), reverse=True)[: wanted.limit]


def due(runs: Iterable[WorkflowRun], project: str, until: int) -> list[WorkflowRun]:
    """Those that `WorkflowStore.list_due_runs` gives, for stores without a query language."""
    found = [
        run
        for run in runs
        if run.project == project
        and run.ended_at is None
        and (run.status in AT_WORK or (run.due_at is not None and run.due_at <= until))
    ]
    return sorted(found, key=due_order)


def due_order(run: WorkflowRun) -> tuple[bool, int, int, str]:
    """What is due first is first; then what has no such time, the oldest first."""
    return run.due_at is None, run.due_at or 0, run.started_at, run.run_id


def _is_unreadable(run: WorkflowRun) -> bool:
    return run.status == "damaged" and not run.project


class OpenRequests:
    """The requests of one run that wait for an answer, for stores that keep them in memory: request → node."""

    def __init__(self, node_of: dict[str, str] | None = None) -> None:
        self.node_of: dict[str, str] = {}
        self._of_node: dict[str, set[str]] = {}
        for request, node in (node_of or {}).items():
            self._open(request, node)

    def require_open(self, run_id: str, events: Sequence[e.Event]) -> None:
        """Raise `RefusedError` (code `answered`) if one of these events answers a request that is not open by then."""
        if any(event_facts.answers(event) for event in events):
            trial = copy.deepcopy(self)
            for event in events:
                request = event_facts.answers(event)
                if request is not None and request not in trial.node_of:
                    raise answered(run_id, request)
                trial.apply([event])

    def apply(self, events: Iterable[e.Event]) -> None:
        """Apply events that were admitted."""
        for event in events:
            request = event_facts.answers(event)
            if request is not None and request in self.node_of:
                self._of_node[self.node_of.pop(request)].discard(request)
            if event_facts.closes_all(event):
                self.node_of.clear()
                self._of_node.clear()
            for closed in self._of_node.pop(event_facts.closes_node(event) or "", ()):
                del self.node_of[closed]
            request = event_facts.opens(event)
            if request is not None and isinstance(event, e.NodeEvent):
                self._open(request, event.node)

    def _open(self, request: str, node: str) -> None:
        if request in self.node_of:
            self._of_node[self.node_of[request]].discard(request)
        self.node_of[request] = node
        self._of_node.setdefault(node, set()).add(request)


# Raises `DamagedStoreError` if a run with these events, whose outputs this store has, cannot have this frozen source.
FrozenCheck: TypeAlias = Callable[[str, Sequence[e.Event], WorkflowStore], None]
# The clock of an owner's leases, and what becomes of a run's lease: its epoch, owner and end; None: it stays as it is.
Clock: TypeAlias = Callable[[Owner | None], int]
NewLease: TypeAlias = tuple[int, Owner | None, int] | None


class BaseStore(WorkflowStore):
    """What every store does with its own methods: runs that are made and listed, their leases, the verbs that append
    one event, and blobs in files, for stores that have a `_blob_folder`."""

    _blob_folder: Path

    @property
    def unwritable(self) -> StoreError | None:
        return None

    def list_workflow_runs(
        self,
        *,
        project: str | None = None,
        status: str | None = None,
        workflow: str | None = None,
        prefix: str = "",
        limit: int | None = None,
        before: tuple[int, str] | None = None,
    ) -> list[WorkflowRun]:
        values = {"project": project, "status": status, "workflow": workflow}
        return self._list(Wanted(values, prefix, limit, before))

    def put_blob(self, data: bytes | Path) -> e.Content:
        return blobs.keep(self._blob_folder, data)

    def open_blob(self, sha256: str) -> BinaryIO:
        return blobs.open_kept(self._blob_folder, sha256)

    def delete_blobs(self, used: AbstractSet[str], *, before: int) -> tuple[int, int]:
        return blobs.forget(self._blob_folder, used, before)

    def create_workflow_run(
        self, run_id: str, *, project: str, source: str, event: e.WorkflowStarted, owner: Owner, lease_ms: int
    ) -> Lease:
        run = first_row(run_id, project, [event], owner, self.lease_clock(owner) + lease_ms)
        self._create(run, source, [event])
        return Lease(run_id, run.epoch, owner)

    def import_workflow_run(self, run_id: str, *, project: str, source: str, events: Sequence[e.Event]) -> None:
        self._create(first_row(run_id, project, events, None, None), source, events)

    def acquire_lease(self, run_id: str, owner: Owner, *, lease_ms: int) -> Lease:
        taken: list[Lease] = []

        def take(run: WorkflowRun, clock: Clock) -> NewLease:
            if taken and run.owner == owner:  # by a try before, whose answer was lost
                return None
            require_free(run, clock(run.owner))
            taken[:] = [self._next_lease(run, owner, clock)]
            return taken[0].epoch, owner, clock(owner) + lease_ms

        self._change_lease(run_id, take)
        return taken[0]

    def renew_lease(self, lease: Lease, *, lease_ms: int) -> None:
        def renew(run: WorkflowRun, clock: Clock) -> NewLease:
            require_lease(run, lease)
            return lease.epoch, lease.owner, clock(lease.owner) + lease_ms

        self._change_lease(lease.run_id, renew, owned=True)

    def release_lease(self, lease: Lease) -> None:
        def release(run: WorkflowRun, clock: Clock) -> NewLease:
            held = run.epoch == lease.epoch and run.owner == lease.owner
            return (lease.epoch, None, clock(lease.owner)) if held else None

        with contextlib.suppress(NotFoundError):
            self._change_lease(lease.run_id, release)

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, e.Content]:
        from ion.core.fold import fold

        nodes = fold(record.event for record in self.get_workflow_events(run_id)).nodes.values()
        return {node.id: node.output for node in nodes if node.status == "completed" and node.output is not None}

    def update_workflow_run(self, run_id: str, *, status: str, at: int, lease: Lease, reason: str = "") -> int:
        return self.create_workflow_event(run_id, [_status_event(status, at, reason)], lease=lease)

    def fail_workflow_run(self, run_id: str, *, error: e.Failure, at: int, lease: Lease) -> int:
        return self.create_workflow_event(run_id, [e.WorkflowFailed(at, error)], lease=lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _list(self, wanted: Wanted) -> list[WorkflowRun]:
        raise NotImplementedError

    def _change_lease(
        self, run_id: str, change: Callable[[WorkflowRun, Clock], NewLease], *, owned: bool = False
    ) -> None:
        """Give the run the lease that `change` makes of its row, in one transaction; it may be called again. `owned`:
        by whoever believes to own it."""
        raise NotImplementedError

    def _next_lease(self, run: WorkflowRun, owner: Owner, _clock: Clock) -> Lease:
        return next_lease(run, owner)

    def _create(self, run: WorkflowRun, source: str, events: Sequence[e.Event]) -> None:
        """Keep a new run, all or nothing. Raises `RefusedError` (code `run-exists`) if the id is taken."""
        raise NotImplementedError


def _status_event(status: str, at: int, reason: str) -> e.Event:
    """The event that brings a run to `status`. Raises `UsageError` for a status that needs an event with more in it."""
    if status == "cancelled":
        return e.WorkflowCancelled(at, reason)
    plain: dict[str, type[e.Event]] = {
        "paused": e.WorkflowPaused,
        "running": e.WorkflowResumed,
        "completed": e.WorkflowCompleted,
    }
    if status not in plain:
        raise UsageError(f"a run cannot be brought to {status!r}", hint=f"one of cancelled, {', '.join(plain)}")
    return plain[status](at)
