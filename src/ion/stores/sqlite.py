"""The store in one SQLite file: the default, durable without a server and shared by every process of a machine.

WAL with `synchronous=FULL`: a commit that returned is on the disk. Each write is one `BEGIN IMMEDIATE` transaction that
checks (lease, open request, newest event) and writes (events, the run's row, its open requests), so that what raced
with it came wholly before or after. The work of a write does not grow with what is stored.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from ion.core import event_facts
from ion.core.events import Content, Event, Failure, NodeEvent, Recorded, WorkflowFailed, WorkflowStarted, to_json
from ion.errors import DamagedStoreError, StoreError
from ion.stores import blobs, encoding, rules
from ion.stores.base import Closing, Lease, Owner, WorkflowRun
from ion.stores.disk import identity, not_in_place
from ion.stores.lease import lease_clock, next_lease, require_free, require_lease
from ion.stores.sqlite_file import (
    DATABASE_ERRORS,
    UnwritableError,
    is_deadly,
    looking,
    open_database,
    store_error,
)

# The columns of `WorkflowRun`, in its order; then the newest event that the row knows, and whether there is a later.
_SELECT = """
SELECT runs.run_id, workflow, project, status, digest, started_at, ended_at, last_seq, epoch, owner, lease_expires_at,
    newest.event, newest.checksum,
    EXISTS (SELECT 1 FROM events WHERE events.run_id = runs.run_id AND events.seq > runs.last_seq)
FROM runs LEFT JOIN events AS newest ON newest.run_id = runs.run_id AND newest.seq = runs.last_seq
"""
_NEWEST_FIRST = "ORDER BY started_at DESC, runs.run_id DESC LIMIT :limit"


class SqliteStore(Closing):
    """`WorkflowStore` on the file `path`. `clock` gives the time for leases (`lease.lease_clock`)."""

    def __init__(self, path: Path, *, clock: Callable[[Owner | None], int] = lease_clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._unusable: StoreError | None = None
        self._connection: sqlite3.Connection | None = None
        self._unwritable: UnwritableError | None = None
        try:
            self._connection = open_database(path)
        except UnwritableError as error:
            with looking(path):
                self._unwritable = error
        self._files = (str(path), f"{path}-wal")
        self._identities = [identity(file) for file in self._files]

    @property
    def url(self) -> str:
        return f"sqlite:{self._path}"

    @property
    def unwritable(self) -> StoreError | None:
        return self._unwritable

    def create_workflow_run(
        self, run_id: str, *, project: str, source: str, event: WorkflowStarted, owner: Owner, lease_ms: int
    ) -> Lease:
        run = rules.first_row(run_id, project, [event], owner, self._clock(owner) + lease_ms)
        self._create(run, source, [event])
        return Lease(run_id, run.epoch, owner)

    def import_workflow_run(self, run_id: str, *, project: str, source: str, events: Sequence[Event]) -> None:
        self._create(rules.first_row(run_id, project, events, None, None), source, events)

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        with self._transaction("BEGIN") as connection:
            return self._get(connection, run_id)

    def list_workflow_runs(
        self,
        *,
        project: str | None = None,
        status: str | None = None,
        workflow: str | None = None,
        prefix: str = "",
        limit: int | None = None,
    ) -> list[WorkflowRun]:
        wanted = {"project": project, "status": encoding.kept_status(status), "workflow": workflow}
        values: dict[str, Any] = {n: encoding.column(value) for n, value in wanted.items() if value is not None}
        tests = [f"{name} = :{name}" for name in values]
        if prefix:
            values["prefix"] = encoding.column(prefix)
            tests.append("substr(runs.run_id, 1, length(:prefix)) = :prefix")
        found: list[WorkflowRun] = []
        with self._transaction("BEGIN") as connection:
            for when in encoding.TIMES_TO_LIST:
                left = -1 if limit is None else limit - len(found)
                query = f"{_SELECT} WHERE {' AND '.join([*tests, when])} {_NEWEST_FIRST}"
                rows = connection.execute(query, {**values, "limit": left})
                found += encoding.of_status(status, (_run_or_damage(connection, row) for row in rows.fetchall()))
        return found[:limit]

    def get_source(self, run_id: str) -> str:
        with self._transaction("BEGIN") as connection:
            self._get(connection, run_id)
            query = "SELECT source, checksum FROM sources WHERE run_id = ?"
            kept = connection.execute(query, (run_id,)).fetchone()
        return encoding.decode_source(run_id, *(kept or (None, None)))

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        with self._transaction() as connection:
            if lease is not None and after is not None and _advance_own(connection, run_id, events, lease, after):
                _insert_events(connection, run_id, after, events)
                return after + len(events)
            run = self._get(connection, run_id)
            rules.admit(run, lease, after)
            _insert_events(connection, run_id, run.last_seq, events)
            run = rules.advanced(run, events)
            connection.execute(
                "UPDATE runs SET status = ?, ended_at = ?, last_seq = ? WHERE run_id = ?",
                (run.status, run.ended_at, run.last_seq, run_id),
            )
        return run.last_seq

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        with self._transaction("BEGIN") as connection:
            last = self._get(connection, run_id).last_seq
            rows = connection.execute(
                "SELECT seq, event, checksum FROM events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (run_id, after, -1 if limit is None else limit),
            ).fetchall()
        records = [encoding.decode_event(run_id, *row) for row in rows]
        encoding.require_whole(run_id, records, after, last if limit is None else min(last, after + limit))
        return records

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        with self._transaction("BEGIN") as connection:
            self._get(connection, run_id)
            rows = connection.execute("SELECT request, node FROM requests WHERE run_id = ?", (run_id,)).fetchall()
        return {encoding.from_column(request): encoding.from_column(node) for request, node in rows}

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, Content]:
        return rules.completed_outputs(self.get_workflow_events(run_id))

    def update_workflow_run(self, run_id: str, *, status: str, at: int, lease: Lease, reason: str = "") -> int:
        return self.create_workflow_event(run_id, [rules.status_event(status, at, reason)], lease=lease)

    def fail_workflow_run(self, run_id: str, *, error: Failure, at: int, lease: Lease) -> int:
        return self.create_workflow_event(run_id, [WorkflowFailed(at, error)], lease=lease)

    def acquire_lease(self, run_id: str, owner: Owner, *, lease_ms: int) -> Lease:
        with self._transaction() as connection:
            run = self._get(connection, run_id)
            require_free(run, self._clock(run.owner))
            lease = next_lease(run, owner)
            _set_owner(connection, run_id, lease.epoch, owner, self._clock(owner) + lease_ms)
        return lease

    def renew_lease(self, lease: Lease, *, lease_ms: int) -> None:
        with self._transaction() as connection:
            require_lease(self._get(connection, lease.run_id), lease)
            _set_owner(connection, lease.run_id, lease.epoch, lease.owner, self._clock(lease.owner) + lease_ms)

    def lease_clock(self, owner: Owner | None) -> int:
        return self._clock(owner)

    def release_lease(self, lease: Lease) -> None:
        with self._transaction() as connection:
            run = self._find(connection, lease.run_id)
            if run is not None and run.epoch == lease.epoch and run.owner == lease.owner:
                _set_owner(connection, lease.run_id, lease.epoch, None, self._clock(lease.owner))

    def put_blob(self, data: bytes | Path) -> Content:
        return blobs.keep(self._path.parent / "blobs", data)

    def open_blob(self, sha256: str) -> BinaryIO:
        return blobs.open_kept(self._path.parent / "blobs", sha256)

    def delete_blobs(self, used: AbstractSet[str], *, before: int) -> tuple[int, int]:
        return blobs.forget(self._path.parent / "blobs", used, before)

    def delete_workflow_run(self, run_id: str) -> None:
        with self._transaction() as connection:
            row = self._row(connection, run_id)
            if row is None:
                raise rules.no_such_run(run_id)
            run = encoding.row_or_damage(row[:-3])
            require_free(run, self._clock(run.owner))
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    def close(self) -> None:
        with self._lock:
            self._give_up(self._unusable or StoreError(f"the store {self._path} is closed"))

    def _create(self, run: WorkflowRun, source: str, events: Sequence[Event]) -> None:
        with self._transaction() as connection:
            if self._find(connection, run.run_id) is not None:
                raise rules.run_exists(run.run_id)
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", encoding.columns(run))
            connection.execute("INSERT INTO sources VALUES (?, ?, ?)", (run.run_id, *encoding.encode_source(source)))
            _insert_events(connection, run.run_id, 0, events)

    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> AbstractContextManager[sqlite3.Connection]:
        """Everything in it is durable when it ends, or undone when it raises."""
        if self._connection is None and self._unusable is None:
            return self._look(begin)
        return self._work(begin)

    @contextlib.contextmanager
    def _look(self, begin: str) -> Iterator[sqlite3.Connection]:
        """What the medium has at this moment."""
        if self._unwritable is not None and begin != "BEGIN":
            raise self._unwritable.with_traceback(None)
        with self._lock, looking(self._path) as connection:
            try:
                connection.execute(begin)
                yield connection
            except DATABASE_ERRORS as error:
                raise store_error(error, self._path) from error

    @contextlib.contextmanager
    def _work(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._connection
            if self._unusable is not None or connection is None:
                raise (self._unusable or StoreError(f"the store {self._path} is closed")).with_traceback(None)
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
                self._require_in_place()
            except DATABASE_ERRORS as error:
                failure = store_error(error, self._path)
                if is_deadly(error) or not _rolled_back(connection):
                    self._give_up(failure)
                raise failure from error
            except BaseException:
                if self._unusable is None and not _rolled_back(connection):
                    self._give_up(StoreError(f"the store {self._path} could not undo a write"))
                raise

    def _give_up(self, failure: StoreError) -> None:
        """This connection is used no more: what it says could be untrue."""
        self._unusable = failure
        if self._connection is not None:
            self._connection.close()

    def _require_in_place(self) -> None:
        """What is read or acknowledged is in the files that others find."""
        if [identity(file) for file in self._files] != self._identities:
            failure = not_in_place(f"the store {self._path}")
            self._give_up(failure)
            raise failure

    def _find(self, connection: sqlite3.Connection, run_id: str) -> WorkflowRun | None:
        row = self._row(connection, run_id)
        return None if row is None else _run(connection, row)

    def _row(self, connection: sqlite3.Connection, run_id: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None
        row = connection.execute(_SELECT + "WHERE runs.run_id = ?", (encoding.column(run_id),)).fetchone()
        return row

    def _get(self, connection: sqlite3.Connection, run_id: str) -> WorkflowRun:
        run = self._find(connection, run_id)
        if run is None:
            raise rules.no_such_run(run_id)
        return run


def _run(connection: sqlite3.Connection, row: tuple[Any, ...]) -> WorkflowRun:
    """The run of this row. Raises `DamagedStoreError` if the row is damaged or its log says otherwise."""
    *columns, text, check, more = row
    run = encoding.row(columns)
    newest = encoding.decode_newest(run, text, check, more)
    rules.require_agreement(run, itertools.chain([newest], _backwards(connection, run)))
    return run


def _run_or_damage(connection: sqlite3.Connection, row: tuple[Any, ...]) -> WorkflowRun:
    try:
        return _run(connection, row)
    except DamagedStoreError:
        return encoding.damaged_row(row[:-3])


def _backwards(connection: sqlite3.Connection, run: WorkflowRun) -> Iterator[Event]:
    """The events before the newest, from there on to the first."""
    query = "SELECT seq, event, checksum FROM events WHERE run_id = ? AND seq < ? ORDER BY seq DESC"
    for seq, text, check in connection.execute(query, (run.run_id, run.last_seq)):
        yield encoding.decode_event(run.run_id, seq, text, check).event


def _rolled_back(connection: sqlite3.Connection) -> bool:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


def _advance_own(
    connection: sqlite3.Connection, run_id: str, events: Sequence[Event], lease: Lease, after: int
) -> bool:
    """Advance the row of a run by its owner's events, as `rules.advanced` does; the usual case, in one statement.

    False, and nothing is done, if the row is not as the owner thinks; `rules.admit` then says why.
    """
    status, ended_at = rules.outcome(events)
    updated = connection.execute(
        """
        UPDATE runs
        SET status = coalesce(:status, status), ended_at = iif(:status IS NULL, ended_at, :ended_at), last_seq = :last
        WHERE run_id = :run_id AND last_seq = :after AND epoch = :epoch AND owner = :owner
        """,
        {
            "status": status,
            "ended_at": ended_at,
            "last": after + len(events),
            "run_id": encoding.column(run_id),
            "after": after,
            "epoch": lease.epoch,
            "owner": encoding.owner_to_json(lease.owner),
        },
    )
    return updated.rowcount == 1


def _insert_events(connection: sqlite3.Connection, run_id: str, last_seq: int, events: Sequence[Event]) -> None:
    """Append events and what follows from them for the open requests; one that may not be answered raises."""
    waiting = connection.execute("SELECT EXISTS (SELECT 1 FROM requests WHERE run_id = ?)", (run_id,)).fetchone()[0]
    rows = []
    for seq, event in enumerate(events, last_seq + 1):
        waiting = waiting or event_facts.opens(event) is not None
        if waiting or event_facts.answers(event) is not None:
            _apply_to_requests(connection, run_id, event)
        text = encoding.encode(to_json(event))
        rows.append((run_id, seq, text, encoding.checksum(run_id, seq, text)))
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)


def _apply_to_requests(connection: sqlite3.Connection, run_id: str, event: Event) -> None:
    """Open and close requests as `rules.OpenRequests` does."""
    answered = event_facts.answers(event)
    if answered is not None:
        request = encoding.column(answered)
        deleted = connection.execute("DELETE FROM requests WHERE run_id = ? AND request = ?", (run_id, request))
        if deleted.rowcount == 0:
            raise rules.answered(run_id, answered)
    if event_facts.closes_all(event):
        connection.execute("DELETE FROM requests WHERE run_id = ?", (run_id,))
    closed = event_facts.closes_node(event)
    if closed is not None:
        connection.execute("DELETE FROM requests WHERE run_id = ? AND node = ?", (run_id, encoding.column(closed)))
    opened = event_facts.opens(event)
    if opened is not None and isinstance(event, NodeEvent):
        row = (run_id, encoding.column(opened), encoding.column(event.node))
        connection.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", row)


def _set_owner(
    connection: sqlite3.Connection, run_id: str, epoch: int, owner: Owner | None, expires_at: int | None
) -> None:
    connection.execute(
        "UPDATE runs SET epoch = ?, owner = ?, lease_expires_at = ? WHERE run_id = ?",
        (epoch, encoding.owner_to_json(owner), expires_at, run_id),
    )
