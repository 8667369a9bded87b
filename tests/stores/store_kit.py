"""What the tests of the stores share: the stores to hold to the contract, owners of every kind, a clock turned by hand,
and the events of a small run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import structs
from postgres_server import emptied_database

from ion.core import events as e
from ion.stores.base import Lease, Owner, WorkflowStore
from ion.stores.filesystem import FileStore
from ion.stores.lease import this_process
from ion.stores.memory import MemoryStore
from ion.stores.sqlite import SqliteStore

LEASE_MS = 30_000
STARTED = e.WorkflowStarted(1_000, "report", "d1", (("build", "bash"), ("ask", "approval"), ("write", "prompt")))


class HandClock:
    """Milliseconds that pass only when a test says so."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self, owner: Owner | None = None) -> int:
        return self.now


StoreMaker = Callable[[Path, HandClock], WorkflowStore]


def postgres(folder: Path, clock: HandClock) -> WorkflowStore:
    from ion.stores.postgres import PostgresStore

    return PostgresStore(emptied_database(folder), clock=clock)


# Adding a store to every test of the contract is one line here.
STORES: dict[str, StoreMaker] = {
    "memory": lambda _folder, clock: MemoryStore(clock=clock),
    "sqlite": lambda folder, clock: SqliteStore(folder / "ion.db", clock=clock),
    "file": lambda folder, clock: FileStore(folder / "store", clock=clock),
    "postgres": postgres,
}
SHARED_BETWEEN_PROCESSES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda _folder: "sqlite:ion.db",
    "file": lambda _folder: "file:store",
    "postgres": emptied_database,
}


def living() -> Owner:
    return this_process()


def dead() -> Owner:
    """A process of this host and boot that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        process.kill()
        process.wait()
    return structs.replace(this_process(), pid=process.pid, process_started=started)


def elsewhere() -> Owner:
    """A process of another host, of which nothing can be known."""
    return structs.replace(this_process(), host="another-host")


def begin(store: WorkflowStore, run_id: str = "r1", *, owner: Owner | None = None, at: int = 1_000) -> Lease:
    """Create a run of `STARTED` and return its first lease."""
    return store.create_workflow_run(
        run_id,
        project="/project",
        source='{"name": "report"}',
        event=structs.replace(STARTED, at=at),
        owner=owner or living(),
        lease_ms=LEASE_MS,
    )


def gate(request: str = "ask/1") -> e.ApprovalRequested:
    return e.ApprovalRequested(2_000, "ask", request, "Ship it?")


def approved(request: str = "ask/1") -> e.ApprovalResolved:
    return e.ApprovalResolved(3_000, "ask", request, "approved")


def log_of(store: WorkflowStore, run_id: str = "r1") -> list[e.Event]:
    return [record.event for record in store.get_workflow_events(run_id)]
