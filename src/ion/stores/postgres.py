"""The store in a PostgreSQL database: for several machines that share their runs.

Leases end by the database's clock, so that the machines' own need not agree. Outputs too big for the log are in the
database too, in pieces. A lost connection is made anew (`postgres_connection.py`), and what may have been written just
before is searched for, not written twice.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from ion import clocks, codec
from ion.core import event_facts
from ion.core.events import Content, Event
from ion.errors import StoreError
from ion.masking import without_password
from ion.stores import blobs, encoding, rules
from ion.stores.base import Lease, Owner, WorkflowRun
from ion.stores.disk import storage_errors
from ion.stores.lease import next_lease
from ion.stores.postgres_connection import Connection, PostgresConnection
from ion.stores.sql_store import EventRow, Result, SqlStore, Transaction, event_rows


class PostgresStore(SqlStore):
    """`WorkflowStore` in the database of `url`. `clock` (`lease.lease_clock`) replaces the database's own for
    leases."""

    _lock_row = "SELECT FROM ion.runs WHERE run_id = :run_id FOR UPDATE"

    def __init__(self, url: str, *, clock: Callable[[Owner | None], int] | None = None) -> None:
        self._url = url
        self._clock = clock
        self._link = PostgresConnection(url)

    @property
    def url(self) -> str:
        return without_password(self._url)

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        texts = [codec.encode(event) for event in events]
        tried_after = None
        if lease is not None and after is not None and events and not any(map(_touches_requests, events)):
            unsure = False

            def append(connection: Connection, again: bool) -> bool:
                nonlocal unsure
                unsure = again  # whether the first try is in: the long way finds out
                return not again and _append_own(connection, run_id, events, texts, lease, after)

            if self._link.work(append, one_statement=True):
                return after + len(texts)
            tried_after = after if unsure else None
        return self._write(run_id, events, texts, lease, after, tried_after)

    def _next_lease(self, run: WorkflowRun, owner: Owner, clock: rules.Clock) -> Lease:
        """Its `owned_until` goes from the database's clock to that of this machine, by which the run's events go."""
        lease = next_lease(run, owner)
        if lease.owned_until is None or self._clock is not None:
            return lease
        return replace(lease, owned_until=max(0, clocks.now_ms() - (clock(owner) - lease.owned_until)))

    def lease_clock(self, owner: Owner | None) -> int:
        return self._work(lambda sql, _again: self._now(sql, owner))

    def put_blob(self, data: bytes | Path) -> Content:
        with storage_errors("cannot keep an output"):
            digest, size = hashlib.sha256(), 0
            for chunk in blobs.chunks_of(data):
                digest.update(chunk)
                size += len(chunk)
            sha256 = digest.hexdigest()
            self._link.work(lambda connection, _again: _insert_blob(connection, sha256, size, data))
        return Content(blob=sha256, length=size)

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

    def close(self) -> None:
        self._link.close()

    def _work(self, do: Callable[[Transaction, bool], Result], *, write: bool = True) -> Result:  # noqa: ARG002
        return self._link.work(lambda connection, again: do(Transaction(connection, _written), again))

    def _append(self, sql: Transaction, run_id: str, rows: Sequence[EventRow]) -> None:
        if not rows:
            return
        query = "INSERT INTO ion.events SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::bigint[])"
        sql.connection.execute(query, (run_id, *map(list, zip(*rows, strict=True))))

    def _now(self, sql: Transaction, _owner: Owner | None) -> int:
        if self._clock is not None:
            return self._clock(None)
        return int(sql.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()[0])


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


@functools.cache
def _written(query: str) -> str:
    """With values as psycopg has them."""
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", query)


def _touches_requests(event: Event) -> bool:
    return event_facts.opens(event) is not None or event_facts.answers(event) is not None


def _append_own(
    connection: Connection, run_id: str, events: Sequence[Event], texts: list[str], lease: Lease, after: int
) -> bool:
    """Append the owner's events, none of which touches a request, and advance its row: the usual case, in one
    statement, which is one way to the server and back.

    False, and nothing is done, if the row is not as the owner thinks, or if a request is open; the long way then says
    why or does it.
    """
    changed = rules.changes(events)
    seqs, _, checks = map(list, zip(*event_rows(run_id, after, texts), strict=True))
    values = {
        "status": changed.get("status"),
        "ended_at": changed.get("ended_at"),
        "due_changes": "due_at" in changed,
        "due_at": changed.get("due_at"),
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
                due_at = CASE WHEN %(due_changes)s THEN %(due_at)s::bigint ELSE due_at END,
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
