"""What the stores in a database do alike: all queries but those that only one of them needs.

A write is one transaction that checks (lease, open request, newest event) and writes (events, the run's row, its open
requests), so that what raced with it came wholly before or after. The work of a write does not grow with what is
stored. Queries are written once, with `:name` for a value; a store says how its database writes them, carries out a
transaction, and appends events. A database that may lose a connection carries one out again (`again`): what may be
there already is then looked for, not written twice.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from ion import codec
from ion.core import event_facts
from ion.core.events import Event, NodeEvent, Recorded
from ion.errors import DamagedStoreError, StoreError
from ion.stores import encoding, rules
from ion.stores.base import Lease, Owner, WorkflowRun
from ion.stores.lease import require_free

Result = TypeVar("Result")
# The number of an event, its text and its checksum.
EventRow = tuple[int, str, int]
# The columns of `WorkflowRun`, in its order; then the newest event that the row knows, and whether there is a later.
_SELECT = """
SELECT runs.run_id, workflow, project, status, digest, started_at, ended_at, last_seq, epoch, owner, lease_expires_at,
    due_at, newest.event, newest.checksum,
    EXISTS (SELECT 1 FROM ion.events WHERE events.run_id = runs.run_id AND events.seq > runs.last_seq)
FROM ion.runs LEFT JOIN ion.events AS newest ON newest.run_id = runs.run_id AND newest.seq = runs.last_seq
"""
_NEWEST_FIRST = "ORDER BY started_at DESC, runs.run_id DESC LIMIT :limit"

_INSERT_RUN = f"INSERT INTO ion.runs VALUES (:{', :'.join(encoding.ROW_NAMES)}) ON CONFLICT DO NOTHING"  # noqa: S608
_SET_LEASE = "UPDATE ion.runs SET epoch = :epoch, owner = :owner, lease_expires_at = :at WHERE run_id = :run_id"
_RECORD = "SELECT text FROM ion.records WHERE name = :name"
_NO_LIMIT = 2**62
# How many events are fetched at once when a log is read backwards.
_STRETCH = 100


class Transaction(Struct):
    """A connection in a transaction; `written` makes a query one of its database."""

    connection: Any
    written: Callable[[str], str]

    def execute(self, query: str, **values: Any) -> Any:
        """A cursor."""
        return self.connection.execute(self.written(query), values)


def migrations(database: str) -> dict[int, Path]:
    """The changes of the schema, in their order, by number; `database` is the folder of their files."""
    files = sorted((Path(__file__).parent / "sql" / database).glob("*.sql"))
    return {int(file.name.partition("_")[0]): file for file in files}


def require_known(present: int, newest: int, place: Path | str) -> int:
    """The number of the schema in the store at `place`. Raises `StoreError` for a newer one than this Ion knows."""
    if present > newest:
        raise StoreError(
            f"the store {place} was written by a newer Ion (its schema is number {present}, this Ion knows {newest})",
            hint="update Ion: uv tool upgrade ion-workflows",
        )
    return present


class SqlStore(rules.BaseStore):
    """`WorkflowStore` over `_work`, `_append` and `lease_clock`."""

    # The query that locks a run's row, where a transaction that writes does not lock everything.
    _lock_row: ClassVar[str | None] = None

    def _work(self, do: Callable[[Transaction, bool], Result], *, write: bool = True) -> Result:
        """`do(transaction, again)`; durable when this returns, undone when it raises."""
        raise NotImplementedError

    def _append(self, sql: Transaction, run_id: str, rows: Sequence[EventRow]) -> None:
        """Insert events."""
        raise NotImplementedError

    def _now(self, sql: Transaction, owner: Owner | None) -> int:
        """As `lease_clock`, within a transaction."""
        raise NotImplementedError

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        return self._work(lambda sql, _again: self._get(sql, run_id), write=False)

    def _list(self, wanted: rules.Wanted) -> list[WorkflowRun]:
        status = wanted.values["status"]
        asked = {**wanted.values, "status": encoding.kept_status(status)}
        values: dict[str, Any] = {name: encoding.column(value) for name, value in asked.items() if value is not None}
        tests = [f"{name} = :{name}" for name in values]
        if wanted.prefix:
            values["prefix"] = encoding.column(wanted.prefix)
            tests.append("substr(runs.run_id, 1, length(:prefix)) = :prefix")
        if wanted.before is not None:
            values["before_at"], values["before_id"] = wanted.before[0], encoding.column(wanted.before[1])

        def read(sql: Transaction, _again: bool) -> list[WorkflowRun]:
            found: list[WorkflowRun] = []
            for when in encoding.times_to_list(wanted.before):
                values["limit"] = _NO_LIMIT if wanted.limit is None else wanted.limit - len(found)
                rows = sql.execute(f"{_SELECT} WHERE {' AND '.join([*tests, when])} {_NEWEST_FIRST}", **values)
                found += encoding.of_status(status, (_run_or_damage(sql, row) for row in rows.fetchall()))
            return found[: wanted.limit]

        return self._work(read, write=False)

    def list_due_runs(self, project: str, *, until: int) -> list[WorkflowRun]:
        query = f"""{_SELECT} WHERE project = :project AND ended_at IS NULL
        AND (status IN ('{"', '".join(rules.AT_WORK)}') OR due_at <= :until)"""

        def read(sql: Transaction, _again: bool) -> list[WorkflowRun]:
            rows = sql.execute(query, project=encoding.column(project), until=until).fetchall()
            return sorted((_run_or_damage(sql, row) for row in rows), key=rules.due_order)

        return self._work(read, write=False)

    def get_record(self, name: str) -> str | None:
        row = self._work(lambda sql, _again: sql.execute(_RECORD, name=encoding.column(name)).fetchone(), write=False)
        return None if row is None else encoding.from_column(row[0])

    def set_record(self, name: str, text: str, *, instead_of: str | None) -> bool:
        values = {"name": encoding.column(name), "text": encoding.column(text)}

        def write(sql: Transaction, again: bool) -> bool:
            if instead_of is None:
                query = "INSERT INTO ion.records VALUES (:name, :text) ON CONFLICT DO NOTHING"
                done: bool = sql.execute(query, **values).rowcount == 1
            else:
                query = "UPDATE ion.records SET text = :text WHERE name = :name AND text = :before"
                done = sql.execute(query, **values, before=encoding.column(instead_of)).rowcount == 1
            if done or not again:
                return done
            found = sql.execute(_RECORD, name=values["name"]).fetchone()  # by a try before, whose answer was lost
            return found is not None and found[0] == values["text"]

        return self._work(write)

    def get_source(self, run_id: str) -> str:
        def read(sql: Transaction, _again: bool) -> tuple[Any, ...]:
            self._get(sql, run_id)
            query = "SELECT source, checksum FROM ion.sources WHERE run_id = :run_id"
            return sql.execute(query, run_id=run_id).fetchone() or (None, None)

        return encoding.decode_source(run_id, *self._work(read, write=False))

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        return self._write(run_id, events, [codec.encode(event) for event in events], lease, after)

    def _write(
        self,
        run_id: str,
        events: Sequence[Event],
        texts: list[str],
        lease: Lease | None,
        after: int | None,
        tried_after: int | None = None,
    ) -> int:
        """`tried_after`: a try before may have appended them after this event."""

        def write(sql: Transaction, _again: bool) -> int:
            nonlocal tried_after
            if tried_after is not None and _are_there(sql, run_id, tried_after, texts):
                return tried_after + len(texts)
            if lease is not None and after is not None and _advance_own(sql, run_id, events, lease, after):
                last_seq = after
            else:
                run = self._get(sql, run_id, lock=True)
                rules.admit(run, lease, after)
                last_seq = run.last_seq
                _advance(sql, run_id, events, last_seq)
            tried_after = last_seq
            _apply_to_requests(sql, run_id, events)
            self._append(sql, run_id, event_rows(run_id, last_seq, texts))
            return last_seq + len(events)

        return self._work(write)

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        query = """
        SELECT runs.last_seq, events.seq, events.event, events.checksum
        FROM ion.runs LEFT JOIN ion.events ON events.run_id = runs.run_id AND events.seq > :after
        WHERE runs.run_id = :run_id ORDER BY events.seq LIMIT :limit
        """
        most = _NO_LIMIT if limit is None else limit or 1
        values = {"after": after, "run_id": encoding.column(run_id), "limit": most}
        rows = self._work(lambda sql, _again: sql.execute(query, **values).fetchall(), write=False)
        if not rows:
            raise rules.no_such_run(run_id)
        last = rows[0][0] if limit is None else min(rows[0][0], after + limit)
        records = [encoding.decode_event(run_id, *row[1:]) for row in rows[:limit] if row[1] is not None]
        encoding.require_whole(run_id, records, after, last)
        return records

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        def read(sql: Transaction, _again: bool) -> dict[str, str]:
            self._get(sql, run_id)
            query = "SELECT request, node FROM ion.requests WHERE run_id = :run_id"
            rows = sql.execute(query, run_id=run_id).fetchall()
            return {encoding.from_column(request): encoding.from_column(node) for request, node in rows}

        return self._work(read, write=False)

    def delete_workflow_run(self, run_id: str) -> None:
        def delete(sql: Transaction, again: bool) -> None:
            row = self._row(sql, run_id, lock=True)
            if row is None and again:
                return
            if row is None:
                raise rules.no_such_run(run_id)
            run = encoding.row_or_damage(row[:-3])
            require_free(run, self._now(sql, run.owner))
            sql.execute("DELETE FROM ion.runs WHERE run_id = :run_id", run_id=run_id)

        self._work(delete)

    def _change_lease(
        self,
        run_id: str,
        change: Callable[[WorkflowRun, rules.Clock], rules.NewLease],
        *,
        owned: bool = False,  # noqa: ARG002
    ) -> None:
        def write(sql: Transaction, _again: bool) -> None:
            new = change(self._get(sql, run_id, lock=True), functools.partial(self._now, sql))
            if new is not None:
                epoch, owner, expires_at = new
                sql.execute(_SET_LEASE, epoch=epoch, owner=encoding.owner_to_json(owner), at=expires_at, run_id=run_id)

        self._work(write)

    def _create(self, run: WorkflowRun, source: str, events: Sequence[Event]) -> None:
        texts = [codec.encode(event) for event in events]
        columns = dict(zip(encoding.ROW_NAMES, encoding.columns(run), strict=True))
        requests = rules.OpenRequests()
        requests.apply(events)

        def create(sql: Transaction, again: bool) -> None:
            if sql.execute(_INSERT_RUN, **columns).rowcount == 0:
                present = self._find(sql, run.run_id) if again else None
                if present is None or present.owner != run.owner or not _are_there(sql, run.run_id, 0, texts):
                    raise rules.run_exists(run.run_id)
                return
            data, check = encoding.encode_source(source)
            query = "INSERT INTO ion.sources VALUES (:run_id, :data, :check)"
            sql.execute(query, run_id=run.run_id, data=data, check=check)
            for request, node in requests.node_of.items():
                _open_request(sql, run.run_id, request, node)
            self._append(sql, run.run_id, event_rows(run.run_id, 0, texts))

        self._work(create)

    def _row(self, sql: Transaction, run_id: str, *, lock: bool = False) -> tuple[Any, ...] | None:
        name = encoding.column(run_id)
        if lock and self._lock_row is not None:  # by itself: what is joined to a row that was waited for is older
            sql.execute(self._lock_row, run_id=name)
        row: tuple[Any, ...] | None = sql.execute(f"{_SELECT} WHERE runs.run_id = :run_id", run_id=name).fetchone()
        return row

    def _find(self, sql: Transaction, run_id: str, *, lock: bool = False) -> WorkflowRun | None:
        row = self._row(sql, run_id, lock=lock)
        return None if row is None else _run(sql, row)

    def _get(self, sql: Transaction, run_id: str, *, lock: bool = False) -> WorkflowRun:
        run = self._find(sql, run_id, lock=lock)
        if run is None:
            raise rules.no_such_run(run_id)
        return run


def event_rows(run_id: str, last_seq: int, texts: Sequence[str]) -> list[EventRow]:
    """What is kept of events, which come after number `last_seq`."""
    return [(seq, text, encoding.checksum(run_id, seq, text)) for seq, text in enumerate(texts, last_seq + 1)]


def _run(sql: Transaction, row: tuple[Any, ...]) -> WorkflowRun:
    """The run of this row. Raises `DamagedStoreError` if the row is damaged or its log says otherwise."""
    *columns, text, check, more = row
    run = encoding.row(columns)
    newest = encoding.decode_newest(run, text, check, more)
    rules.require_agreement(run, itertools.chain([newest], _backwards(sql, run)))
    return run


def _run_or_damage(sql: Transaction, row: tuple[Any, ...]) -> WorkflowRun:
    try:
        return _run(sql, row)
    except DamagedStoreError:
        return encoding.damaged_row(row[:-3])


def _backwards(sql: Transaction, run: WorkflowRun) -> Iterator[Event]:
    """The events before the newest, from there on to the first."""
    query = """
    SELECT seq, event, checksum FROM ion.events
    WHERE run_id = :run_id AND seq < :seq ORDER BY seq DESC LIMIT :limit
    """
    seq = run.last_seq
    while rows := sql.execute(query, run_id=run.run_id, seq=seq, limit=_STRETCH).fetchall():
        for seq, text, check in rows:
            yield encoding.decode_event(run.run_id, seq, text, check).event


def _are_there(sql: Transaction, run_id: str, last_seq: int, texts: list[str]) -> bool:
    """Whether these very events follow number `last_seq`: a try whose answer was lost has been carried out."""
    query = "SELECT event FROM ion.events WHERE run_id = :run_id AND seq > :after AND seq <= :last ORDER BY seq"
    rows = sql.execute(query, run_id=encoding.column(run_id), after=last_seq, last=last_seq + len(texts)).fetchall()
    return [row[0] for row in rows] == texts


def _advance(
    sql: Transaction, run_id: str, events: Sequence[Event], last_seq: int, and_if: str = "", **is_so: Any
) -> bool:
    """Advance the row of a run by events that come after number `last_seq`, as `rules.advanced` does; whether it was
    there, as `and_if` wants it."""
    changed = {**rules.changes(events), "last_seq": last_seq + len(events)}
    new = ", ".join(f"{name} = :{name}" for name in changed)
    updated = sql.execute(
        f"UPDATE ion.runs SET {new} WHERE run_id = :run_id {and_if}",  # noqa: S608
        **changed,
        run_id=encoding.column(run_id),
        **is_so,
    )
    return bool(updated.rowcount == 1)


def _advance_own(sql: Transaction, run_id: str, events: Sequence[Event], lease: Lease, after: int) -> bool:
    """Advance the row by its owner's events: the usual case, in one statement. False, and nothing is done, if the row
    is not as the owner thinks; `rules.admit` then says why."""
    unchanged = "AND last_seq = :after AND epoch = :epoch AND owner = :owner"
    owner = encoding.owner_to_json(lease.owner)
    return _advance(sql, run_id, events, after, unchanged, after=after, epoch=lease.epoch, owner=owner)


def _apply_to_requests(sql: Transaction, run_id: str, events: Sequence[Event]) -> None:
    """Open and close requests as `rules.OpenRequests` does; one that may not be answered raises."""
    query = "SELECT EXISTS (SELECT 1 FROM ion.requests WHERE run_id = :run_id)"
    waiting = sql.execute(query, run_id=encoding.column(run_id)).fetchone()[0]
    for event in events:
        waiting = waiting or event_facts.opens(event) is not None
        if waiting or event_facts.answers(event) is not None:
            _apply_to_request(sql, run_id, event)


def _apply_to_request(sql: Transaction, run_id: str, event: Event) -> None:
    delete = "DELETE FROM ion.requests WHERE run_id = :run_id"
    answered = event_facts.answers(event)
    if answered is not None:
        request = encoding.column(answered)
        deleted = sql.execute(f"{delete} AND request = :request", run_id=run_id, request=request)
        if deleted.rowcount == 0:
            raise rules.answered(run_id, answered)
    if event_facts.closes_all(event):
        sql.execute(delete, run_id=run_id)
    closed = event_facts.closes_node(event)
    if closed is not None:
        sql.execute(f"{delete} AND node = :node", run_id=run_id, node=encoding.column(closed))
    opened = event_facts.opens(event)
    if opened is not None and isinstance(event, NodeEvent):
        _open_request(sql, run_id, opened, event.node)


def _open_request(sql: Transaction, run_id: str, request: str, node: str) -> None:
    query = """
    INSERT INTO ion.requests VALUES (:run_id, :request, :node)
    ON CONFLICT (run_id, request) DO UPDATE SET node = excluded.node
    """
    sql.execute(query, run_id=run_id, request=encoding.column(request), node=encoding.column(node))
