"""What a store must provide: the `WorkflowStore` protocol and the records that pass through it.

A store keeps and never decides. `create_workflow_event` is the only write to a run's log: the events and everything
derived from them (the run's row, its open requests) are written together or not at all. There are two kinds of write:
the owner's, fenced by the epoch of its lease; and requests (answers, submissions, cancel) by anybody, guarded by
compare-and-set on the open request that they answer, none after the run's end. All methods are synchronous and may be
called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol, Self

from msgspec import Meta, Struct

from ion.core.events import Content, Event, Failure, Recorded, WorkflowStarted
from ion.errors import StoreError

DEFAULT_LEASE_MS = 30_000


class Owner(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A process, identified so that no other can be mistaken for it.

    `boot_id` changes with each boot of the host; `process_started` is the process's start time as the system reports it
    (on Linux field 22 of /proc/PID/stat), which distinguishes a reused pid. `token` is random. `clock_zero` sets the
    clock of its leases (`clocks.running_from`), None if they use the wall clock; `lease_ms` is how long one lasts.
    """

    host: str
    boot_id: str
    pid: Annotated[int, Meta(ge=0)]
    process_started: str
    token: str
    clock_zero: int | None = None
    lease_ms: int = 0


class Lease(Struct, frozen=True, gc=False):
    """The right to write to a run. `epoch` grows with each new owner and fences the writes of older ones.

    `owned_until` is when the previous owner is last known to have owned the run (ms since the epoch), if there was one;
    `owner_died` says that it did not release the run by itself.
    """

    run_id: str
    epoch: int
    owner: Owner
    owned_until: int | None = None
    owner_died: bool = False


class WorkflowRun(Struct, frozen=True, gc=False):
    """A run's row, derived from its log. Times are ms since the epoch.

    `status` is the log's; `stores.lease.effective_status` tells `interrupted` from `running`. A store that can read
    some runs and not others lists these as `damaged`. `owner` is None while nobody owns the run; `lease_expires_at` is
    then when the last one released it. `last_seq` is the number of the newest event. `due_at` is since when, or from
    when on, there is something to do that needs nobody's answer any more (`event_facts.due_after`).
    """

    run_id: str
    workflow: str
    project: str
    status: str
    digest: str
    started_at: int
    ended_at: int | None = None
    last_seq: int = 0
    epoch: int = 0
    owner: Owner | None = None
    lease_expires_at: int | None = None
    due_at: int | None = None


class WorkflowStore(Protocol):
    """A keeper of runs. Every method raises `StoreError` if the medium fails, `DamagedStoreError` if it was damaged,
    and `NotFoundError` for an unknown run."""

    @property
    def url(self) -> str:
        """The URL given to `create_store`, made absolute."""

    @property
    def unwritable(self) -> StoreError | None:
        """Why runs can only be read here (a mounted backup, a full disk), as far as it is known."""

    def create_workflow_run(
        self, run_id: str, *, project: str, source: str, event: WorkflowStarted, owner: Owner, lease_ms: int
    ) -> Lease:
        """Create a run with its frozen `source` (JSON text), its first event and its first lease, all or nothing.

        Raises `RefusedError` (code `run-exists`) if the id is taken.
        """

    def import_workflow_run(self, run_id: str, *, project: str, source: str, events: Sequence[Event]) -> None:
        """Create a run without an owner with its whole log, as another store returned it, all or nothing.

        Raises `RefusedError` (code `run-exists`) if the id is taken.
        """

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        """The run with exactly this id."""

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
        """Runs, newest first. `status` is the log's; `prefix` is the beginning of the run id, taken literally; `before`
        is a run's start (ms since the epoch) and id: those that come after it in this order."""

    def list_due_runs(self, project: str, *, until: int) -> list[WorkflowRun]:
        """The runs of a project that a clock looks at: those that are due by `until` (ms since the epoch), and all that
        run or are queued; the one that is due first is first. Runs that have ended make this no slower."""

    def get_record(self, name: str) -> str | None:
        """The text that is kept under this name beside the runs; None if there is none."""

    def set_record(self, name: str, text: str, *, instead_of: str | None) -> bool:
        """Keep a text under this name, durably, if what is kept there now is `instead_of`; whether it was."""

    def get_source(self, run_id: str) -> str:
        """The frozen source, exactly as it was given."""

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        """Append events in one durable transaction and return the number of the last.

        With a lease: the owner's write. Raises `OwnershipLostError` if the run has another epoch by now, and
        `StaleStateError` if `after` is given and is not the number of the newest event (somebody wrote a request
        meanwhile: read it, plan again). Without a lease: a request. Raises `RefusedError` with code `answered` if what
        it answers is not open any more, `ended` if the run has ended. Nothing is written when it raises.
        """

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The log from the event after number `after` on, in order."""

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        """The requests that can be answered now, by name, each with its node, as the store keeps them."""

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, Content]:
        """The output of each node that is completed now."""

    def update_workflow_run(self, run_id: str, *, status: str, at: int, lease: Lease, reason: str = "") -> int:
        """Bring the run to `paused`, `running`, `completed` or `cancelled` by appending the event for it."""

    def fail_workflow_run(self, run_id: str, *, error: Failure, at: int, lease: Lease) -> int:
        """Append `workflow_failed`."""

    def acquire_lease(self, run_id: str, owner: Owner, *, lease_ms: int) -> Lease:
        """Become the owner. Raises `RefusedError` (code `owned`, naming host and pid) while a live process owns it.

        A dead owner on this host and boot is replaced at once, any other when its lease has ended.
        """

    def renew_lease(self, lease: Lease, *, lease_ms: int) -> None:
        """Stay the owner for `lease_ms` more. Raises `OwnershipLostError` if the run has another owner."""

    def lease_clock(self, owner: Owner | None) -> int:
        """The time, in ms since the epoch, by the clock that the leases of this owner use in this store."""

    def release_lease(self, lease: Lease) -> None:
        """Stop being the owner; does nothing if this lease is not the run's any more."""

    def put_blob(self, data: bytes | Path) -> Content:
        """Keep bytes, or a file's bytes (streamed), durably under their sha256; the same bytes are kept once."""

    def open_blob(self, sha256: str) -> BinaryIO:
        """The bytes of a blob. Raises `DamagedStoreError` if it is missing."""

    def delete_blobs(self, used: AbstractSet[str], *, before: int) -> tuple[int, int]:
        """Forget the blobs that are not among `used` (sha256) and that nobody has put since `before` (ms since the
        epoch); returns how many and their bytes. One that is being put at this moment stays."""

    def delete_workflow_run(self, run_id: str) -> None:
        """Forget a run and its log. Raises `RefusedError` while a live process owns it."""

    def close(self) -> None:
        """Release files and connections; the store is not used afterwards."""

    def __enter__(self) -> Self:
        """The store itself; the end of the `with` closes it."""

    def __exit__(self, *_raised: object) -> None:
        """Close it."""
