"""The store in a PostgreSQL database: for several machines that share their runs.

A write locks the run's row, checks, inserts and updates in one transaction. Leases end by the database's clock, so that
the machines' own need not agree. Outputs too big for the log are in the database too, in pieces. A lost connection is
made anew (`postgres_link.py`), and what may have been written just before is looked for, not written twice.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ion import clocks
from ion.core import event_facts
from ion.core.events import Content, Event, Failure, NodeEvent, Recorded, WorkflowFailed, WorkflowStarted, to_json
from ion.errors import DamagedStoreError, StoreError
from ion.masking import without_password
from ion.stores import blobs, encoding, rules
from ion.stores.base import Closing, Lease, Owner, WorkflowRun
from ion.stores.disk import storage_errors
from ion.stores.lease import next_lease, require_free, require_lease
from ion.stores.postgres_connection import Connection, PostgresConnection

# As that of the store in SQLite.
_SELECT = """
SELECT runs.run_id, workflow, project, status, digest, started_at, ended_at, last_seq, epoch, owner, lease_expires_at,
    newest.event, newest.checksum,
    EXISTS (SELECT FROM ion.events WHERE events.run_id = runs.run_id AND events.seq > runs.last_seq)
FROM ion.runs LEFT JOIN ion.events AS newest ON newest.run_id = runs.run_id AND newest.seq = runs.last_seq
"""
_NEWEST_FIRST = "ORDER BY started_at DESC, runs.run_id DESC LIMIT %(limit)s"
# How many events are fetched at once when a log is read backwards.
_STRETCH = 100


class PostgresStore(Closing):
    """`WorkflowStore` in the database of `url`. `clock` (`lease.lease_clock`) takes the place of the database's
    own for leases."""

    def __init__(self, url: str, *, clock: Callable[[Owner | None], int] | None = None) -> None:
        self._url = url
        self._clock = clock
        self._link = PostgresConnection(url)

    @property
    def url(self) -> str:
        return without_password(self._url)

    @property
    def unwritable(self) -> StoreError | None:
        return None

    def create_workflow_run(
        self, run_id: str, *, project: str, source: str, event: WorkflowStarted, owner: Owner, lease_ms: int
    ) -> Lease:
        run = rules.first_row(run_id, project, [event], owner, lease_ms)
        self._create(run, source, [event])
        return Lease(run_id, run.epoch, owner)

    def import_workflow_run(self, run_id: str, *, project: str, source: str, events: Sequence[Event]) -> None:
        self._create(rules.first_row(run_id, project, events, None, None), source, events)

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        return self._link.work(lambda connection, _again: _get(connection, run_id))

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
        tests = [f"{name} = %({name})s" for name in values]
        if prefix:
            values["prefix"] = encoding.column(prefix)
            tests.append("starts_with(runs.run_id, %(prefix)s)")

        def read(connection: Connection, _again: bool) -> list[WorkflowRun]:
            found: list[WorkflowRun] = []
            for when in encoding.TIMES_TO_LIST:
                left = None if limit is None else limit - len(found)
                query = f"{_SELECT} WHERE {' AND '.join([*tests, when])} {_NEWEST_FIRST}"
                rows = connection.execute(query, {**values, "limit": left}).fetchall()
                found += encoding.of_status(status, (_run_or_damage(connection, row) for row in rows))
            return found

        return self._link.work(read)

    def get_source(self, run_id: str) -> str:
        def read(connection: Connection, _again: bool) -> tuple[Any, ...]:
            _get(connection, run_id)
            query = "SELECT source, checksum FROM ion.sources WHERE run_id = %s"
            return connection.execute(query, (run_id,)).fetchone() or (None, None)

        return encoding.decode_source(run_id, *self._link.work(read))

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        texts = [encoding.encode(to_json(event)) for event in events]
        tried_after: int | None = None
        unsure = False

        def advance(connection: Connection, again: bool) -> bool:
            nonlocal tried_after, unsure
            if again or lease is None or after is None:
                unsure = again  # whether the first try is in: the long way finds out
                return False
            tried_after = after
            return _advance_own(connection, run_id, events, texts, lease, after)

        def write(connection: Connection, again: bool) -> int:
            nonlocal tried_after
            run = _get(connection, run_id, lock=True)
            if (again or unsure) and tried_after is not None and _are_there(connection, run_id, tried_after, texts):
                return tried_after + len(texts)
            rules.admit(run, lease, after)
            tried_after = run.last_seq
            _insert_events(connection, run_id, run.last_seq, events, texts)
            moved = rules.advanced(run, events)
            connection.execute(
                "UPDATE ion.runs SET status = %s, ended_at = %s, last_seq = %s WHERE run_id = %s",
                (moved.status, moved.ended_at, moved.last_seq, run_id),
            )
            return moved.last_seq

        if lease is not None and after is not None and self._link.work(advance, one_statement=True):
            return after + len(texts)
        return self._link.work(write)

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        query = """
        SELECT runs.last_seq, events.seq, events.event, events.checksum
        FROM ion.runs LEFT JOIN ion.events ON events.run_id = runs.run_id AND events.seq > %s
        WHERE runs.run_id = %s ORDER BY events.seq LIMIT %s
        """
        values = (after, encoding.column(run_id), None if limit is None else max(limit, 1))
        rows = self._link.work(lambda connection, _again: connection.execute(query, values).fetchall())
        if not rows:
            raise rules.no_such_run(run_id)
        last = rows[0][0] if limit is None else min(rows[0][0], after + limit)
        records = [encoding.decode_event(run_id, *row[1:]) for row in rows[:limit] if row[1] is not None]
        encoding.require_whole(run_id, records, after, last)
        return records

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        def read(connection: Connection, _again: bool) -> list[tuple[Any, ...]]:
            _get(connection, run_id)
            query = "SELECT request, node FROM ion.requests WHERE run_id = %s"
            return connection.execute(query, (run_id,)).fetchall()

        return {encoding.from_column(request): encoding.from_column(node) for request, node in self._link.work(read)}

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, Content]:
        return rules.completed_outputs(self.get_workflow_events(run_id))

    def update_workflow_run(self, run_id: str, *, status: str, at: int, lease: Lease, reason: str = "") -> int:
        return self.create_workflow_event(run_id, [rules.status_event(status, at, reason)], lease=lease)

    def fail_workflow_run(self, run_id: str, *, error: Failure, at: int, lease: Lease) -> int:
        return self.create_workflow_event(run_id, [WorkflowFailed(at, error)], lease=lease)

    def acquire_lease(self, run_id: str, owner: Owner, *, lease_ms: int) -> Lease:
        taken: Lease | None = None

        def acquire(connection: Connection, again: bool) -> Lease:
            nonlocal taken
            run = _get(connection, run_id, lock=True)
            if again and taken is not None and run.owner == owner:
                return taken
            now = self._now(connection)
            require_free(run, now)
            taken = next_lease(run, owner)
            if taken.owned_until is not None and self._clock is None:
                # From the database's clock to that of this machine, by which the run's events go.
                taken = replace(taken, owned_until=max(0, clocks.now_ms() - (now - taken.owned_until)))
            _set_owner(connection, run_id, taken.epoch, owner, now + lease_ms)
            return taken

        return self._link.work(acquire)

    def renew_lease(self, lease: Lease, *, lease_ms: int) -> None:
        def renew(connection: Connection, _again: bool) -> None:
            require_lease(_get(connection, lease.run_id, lock=True), lease)
            _set_owner(connection, lease.run_id, lease.epoch, lease.owner, self._now(connection) + lease_ms)

        self._link.work(renew)

    def lease_clock(self, owner: Owner | None) -> int:  # noqa: ARG002  (one clock for all)
        return self._link.work(lambda connection, _again: self._now(connection))

    def release_lease(self, lease: Lease) -> None:
        def release(connection: Connection, _again: bool) -> None:
            run = _find(connection, lease.run_id, lock=True)
            if run is not None and run.epoch == lease.epoch and run.owner == lease.owner:
                _set_owner(connection, lease.run_id, lease.epoch, None, self._now(connection))

        self._link.work(release)

    def put_blob(self, data: bytes | Path) -> Content:
        with storage_errors("cannot keep an output"):
            digest, size = hashlib.sha256(), 0
            for chunk in blobs.chunks_of(data):
                digest.update(chunk)
                size += len(chunk)
            sha256 = digest.hexdigest()
            self._link.work(lambda connection, _again: _insert_blob(connection, sha256, size, data))
        return Content(sha256, size)

    def open_blob(self, sha256: str) -> BinaryIO:
        query = "SELECT size FROM ion.blobs WHERE sha256 = %s"
        name = encoding.column(sha256)
        if self._link.work(lambda connection, _again: connection.execute(query, (name,)).fetchone()) is None:
            raise blobs.missing(sha256)
        return blobs.verified(sha256, _Chunks(self._link, sha256).read, lambda: None)

    def delete_blobs(self, used: AbstractSet[str], *, before: int) -> tuple[int, int]:
        query = """
        DELETE FROM ion.blobs WHERE NOT sha256 = ANY (%s) AND put_at < to_timestamp(%s / 1000.0) RETURNING size
        """
        names = [encoding.column(sha256) for sha256 in used]
        gone = self._link.work(lambda connection, _again: connection.execute(query, (names, before)).fetchall())
        return len(gone), sum(size for (size,) in gone)

    def delete_workflow_run(self, run_id: str) -> None:
        def delete(connection: Connection, again: bool) -> None:
            row = _row(connection, run_id, lock=True)
            if row is None and again:
                return
            if row is None:
                raise rules.no_such_run(run_id)
            run = encoding.row_or_damage(row[:-3])
            require_free(run, self._now(connection))
            connection.execute("DELETE FROM ion.runs WHERE run_id = %s", (run_id,))

        self._link.work(delete)

    def close(self) -> None:
        self._link.close()

    def _create(self, run: WorkflowRun, source: str, events: Sequence[Event]) -> None:
        """Create the run; its `lease_expires_at` is counted from now."""
        texts = [encoding.encode(to_json(event)) for event in events]

        def create(connection: Connection, again: bool) -> None:
            *columns, lease_ms = encoding.columns(run)
            expires = None if lease_ms is None else self._now(connection) + lease_ms
            made = connection.execute(
                "INSERT INTO ion.runs VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (*columns, expires),
            )
            if made.rowcount == 0:
                present = _find(connection, run.run_id)
                mine = again and present is not None and present.owner == run.owner
                if mine and _are_there(connection, run.run_id, 0, texts):
                    return
                raise rules.run_exists(run.run_id)
            kept = (run.run_id, *encoding.encode_source(source))
            connection.execute("INSERT INTO ion.sources VALUES (%s, %s, %s)", kept)
            _insert_events(connection, run.run_id, 0, events, texts)

        self._link.work(create)

    def _now(self, connection: Connection) -> int:
        if self._clock is not None:
            return self._clock(None)
        row = connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()
        return int(row[0]) if row else 0


class _Chunks:
    """The pieces of a blob as a stream."""

    def __init__(self, link: PostgresConnection, sha256: str) -> None:
        self._link, self._sha256 = link, sha256
        self._number, self._rest = 0, b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            query = "SELECT data FROM ion.blob_chunks WHERE sha256 = %s AND number = %s"
            values = (self._sha256, self._number)
            row = self._link.work(lambda connection, _again: connection.execute(query, values).fetchone())
            self._rest, self._number = bytes(row[0]) if row else b"", self._number + 1
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _find(connection: Connection, run_id: str, *, lock: bool = False) -> WorkflowRun | None:
    row = _row(connection, run_id, lock=lock)
    return None if row is None else _run(connection, row)


def _row(connection: Connection, run_id: str, *, lock: bool) -> tuple[Any, ...] | None:
    name = (encoding.column(run_id),)
    if lock:  # by itself: what is joined to a row that was waited for is of before the wait
        connection.execute("SELECT FROM ion.runs WHERE run_id = %s FOR UPDATE", name)
    return connection.execute(_SELECT + "WHERE runs.run_id = %s", name).fetchone()


def _run(connection: Connection, row: tuple[Any, ...]) -> WorkflowRun:
    """The run of this row. Raises `DamagedStoreError` if the row is damaged or its log says otherwise."""
    *columns, text, check, more = row
    run = encoding.row(columns)
    newest = encoding.decode_newest(run, text, check, more)
    rules.require_agreement(run, itertools.chain([newest], _backwards(connection, run)))
    return run


def _run_or_damage(connection: Connection, row: tuple[Any, ...]) -> WorkflowRun:
    try:
        return _run(connection, row)
    except DamagedStoreError:
        return encoding.damaged_row(row[:-3])


def _backwards(connection: Connection, run: WorkflowRun) -> Iterator[Event]:
    """The events before the newest, from there on to the first."""
    query = "SELECT seq, event, checksum FROM ion.events WHERE run_id = %s AND seq < %s ORDER BY seq DESC LIMIT %s"
    seq = run.last_seq
    while rows := connection.execute(query, (run.run_id, seq, _STRETCH)).fetchall():
        for seq, text, check in rows:
            yield encoding.decode_event(run.run_id, seq, text, check).event


def _get(connection: Connection, run_id: str, *, lock: bool = False) -> WorkflowRun:
    run = _find(connection, run_id, lock=lock)
    if run is None:
        raise rules.no_such_run(run_id)
    return run


def _are_there(connection: Connection, run_id: str, last_seq: int, texts: list[str]) -> bool:
    """Whether these very events follow number `last_seq`: a try whose answer was lost has been carried out."""
    query = "SELECT event FROM ion.events WHERE run_id = %s AND seq > %s AND seq <= %s ORDER BY seq"
    rows = connection.execute(query, (run_id, last_seq, last_seq + len(texts))).fetchall()
    return [row[0] for row in rows] == texts


def _advance_own(
    connection: Connection, run_id: str, events: Sequence[Event], texts: list[str], lease: Lease, after: int
) -> bool:
    """Append the owner's events and advance its row; the usual case, in one statement.

    False, and nothing is done, if the row is not as the owner thinks, or if a request is or may be touched; the long
    way then says why or does it.
    """
    if not events or any(
        event_facts.opens(event) is not None or event_facts.answers(event) is not None for event in events
    ):
        return False
    status, ended_at = rules.outcome(events)
    seqs = list(range(after + 1, after + 1 + len(events)))
    checks = [encoding.checksum(run_id, seq, text) for seq, text in zip(seqs, texts, strict=True)]
    values = {
        "status": status,
        "ended_at": ended_at,
        "last": after + len(events),
        "run_id": encoding.column(run_id),
        "after": after,
        "epoch": lease.epoch,
        "owner": encoding.owner_to_json(lease.owner),
        "seqs": seqs,
        "texts": texts,
        "checks": checks,
    }
    made = connection.execute(
        """
        WITH moved AS (
            UPDATE ion.runs SET
                status = coalesce(%(status)s::text, status),
                ended_at = CASE WHEN %(status)s::text IS NULL THEN ended_at ELSE %(ended_at)s::bigint END,
                last_seq = %(last)s
            WHERE run_id = %(run_id)s AND last_seq = %(after)s AND epoch = %(epoch)s AND owner = %(owner)s
                AND NOT EXISTS (SELECT FROM ion.requests WHERE requests.run_id = runs.run_id)
            RETURNING run_id
        )
        INSERT INTO ion.events
        SELECT moved.run_id, made.* FROM moved, unnest(%(seqs)b::bigint[], %(texts)b::text[], %(checks)b::bigint[]) made
        """,
        values,
    )
    return made.rowcount == len(events)


def _insert_events(
    connection: Connection, run_id: str, last_seq: int, events: Sequence[Event], texts: list[str]
) -> None:
    """Append events and what follows from them for the open requests; one that may not be answered raises."""
    _move_requests(connection, run_id, events)
    seqs = list(range(last_seq + 1, last_seq + 1 + len(events)))
    checks = [encoding.checksum(run_id, seq, text) for seq, text in zip(seqs, texts, strict=True)]
    connection.execute(
        "INSERT INTO ion.events SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::bigint[])",
        (run_id, seqs, texts, checks),
    )


def _move_requests(connection: Connection, run_id: str, events: Sequence[Event]) -> None:
    """Open and close requests, looking only at those that these events can touch."""
    nodes = {encoding.column(event.node) for event in events if isinstance(event, NodeEvent)}
    requests = {
        encoding.column(r) for event in events for r in (event_facts.opens(event), event_facts.answers(event)) if r
    }
    everything = any(event_facts.closes_all(event) for event in events)
    if not (nodes or everything):
        return
    query = """
    SELECT request, node FROM ion.requests
    WHERE run_id = %s AND (%s OR node = ANY(%s) OR request = ANY(%s))
    """
    rows = connection.execute(query, (run_id, everything, list(nodes), list(requests))).fetchall()
    before = {encoding.from_column(request): encoding.from_column(node) for request, node in rows}
    open_now = rules.OpenRequests(before)
    open_now.require_open(run_id, events)
    open_now.apply(events)
    if open_now.node_of == before:
        return
    connection.execute(
        "DELETE FROM ion.requests WHERE run_id = %s AND request = ANY(%s)", (run_id, [r for r, _ in rows])
    )
    opened = [(encoding.column(request), encoding.column(node)) for request, node in open_now.node_of.items()]
    connection.execute(
        "INSERT INTO ion.requests SELECT %s, * FROM unnest(%s::text[], %s::text[])",
        (run_id, [request for request, _ in opened], [node for _, node in opened]),
    )


def _insert_blob(connection: Connection, sha256: str, size: int, data: bytes | Path) -> None:
    # A row that is there is marked as put now, and so locked against `delete_blobs`; xmax tells an update apart.
    made = connection.execute(
        "INSERT INTO ion.blobs VALUES (%s, %s) ON CONFLICT (sha256) DO UPDATE SET put_at = now() RETURNING xmax = 0",
        (sha256, size),
    ).fetchone()
    if made is None or not made[0]:
        return
    digest = hashlib.sha256()
    for number, chunk in enumerate(blobs.chunks_of(data)):
        digest.update(chunk)
        connection.execute("INSERT INTO ion.blob_chunks VALUES (%s, %s, %s)", (sha256, number, chunk))
    if digest.hexdigest() != sha256:
        raise StoreError(f"{data!r} changed while it was being kept", hint="try again")


def _set_owner(connection: Connection, run_id: str, epoch: int, owner: Owner | None, expires_at: int | None) -> None:
    connection.execute(
        "UPDATE ion.runs SET epoch = %s, owner = %s, lease_expires_at = %s WHERE run_id = %s",
        (epoch, encoding.owner_to_json(owner), expires_at, run_id),
    )
