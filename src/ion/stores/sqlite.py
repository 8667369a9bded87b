"""The store in one SQLite file: the default, durable without a server and shared by every process of a machine.

WAL with `synchronous=FULL`: a commit that returned is on the disk. Each write is one `BEGIN IMMEDIATE` transaction.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ion.errors import StoreError
from ion.stores.base import Owner
from ion.stores.disk import inode_of, not_in_place
from ion.stores.lease import lease_clock
from ion.stores.sql_store import EventRow, Result, SqlStore, Transaction
from ion.stores.sqlite_file import (
    DATABASE_ERRORS,
    UnwritableError,
    is_deadly,
    looking,
    open_database,
    store_error,
)


class SqliteStore(SqlStore):
    """`WorkflowStore` on the file `path`. `clock` is the clock of leases (`lease.lease_clock`)."""

    def __init__(self, path: Path, *, clock: Callable[[Owner | None], int] = lease_clock) -> None:
        self._path = path
        self._blob_folder = path.parent / "blobs"
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
        self._inodes = [inode_of(file) for file in self._files]

    @property
    def url(self) -> str:
        return f"sqlite:{self._path}"

    @property
    def unwritable(self) -> StoreError | None:
        return self._unwritable

    def lease_clock(self, owner: Owner | None) -> int:
        return self._clock(owner)

    def close(self) -> None:
        with self._lock:
            self._give_up(self._unusable or StoreError(f"the store {self._path} is closed"))

    def _now(self, _sql: Transaction, owner: Owner | None) -> int:
        return self._clock(owner)

    def _append(self, sql: Transaction, run_id: str, rows: Sequence[EventRow]) -> None:
        sql.connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [(run_id, *row) for row in rows])

    def _work(self, do: Callable[[Transaction, bool], Result], *, write: bool = True) -> Result:
        transaction = self._look if self._connection is None and self._unusable is None else self._change
        with transaction("BEGIN IMMEDIATE" if write else "BEGIN") as connection:
            return do(Transaction(connection, _written), False)

    @contextlib.contextmanager
    def _look(self, begin: str) -> Iterator[sqlite3.Connection]:
        """What is on the medium at this moment."""
        if self._unwritable is not None and begin != "BEGIN":
            raise self._unwritable.with_traceback(None)
        with self._lock, looking(self._path) as connection:
            try:
                connection.execute(begin)
                yield connection
            except DATABASE_ERRORS as error:
                raise store_error(error, self._path) from error

    @contextlib.contextmanager
    def _change(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Everything in it is durable when it ends, or undone when it raises."""
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
        """Stop using this connection: what it returns could be untrue."""
        self._unusable = failure
        if self._connection is not None:
            self._connection.close()

    def _require_in_place(self) -> None:
        """What is read or acknowledged is in the files that others find."""
        if [inode_of(file) for file in self._files] != self._inodes:
            failure = not_in_place(f"the store {self._path}")
            self._give_up(failure)
            raise failure


@functools.cache
def _written(query: str) -> str:
    return query.replace("ion.", "")


def _rolled_back(connection: sqlite3.Connection) -> bool:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True
