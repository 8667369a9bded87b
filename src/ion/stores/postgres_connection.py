"""A connection to PostgreSQL that reconnects: opening, migrating, retrying, and its errors as messages.

All work runs in transactions. If the connection is lost, nobody knows whether a COMMIT in progress was carried out; so
the work is tried again on a new connection and told so (`again`): it checks whether its first try is there before it
does anything. After `RETRY_S`, less than a lease lasts, the caller gets the error.

Frequent statements are prepared: planning them anew would be a third of a write's time. Behind a pooler that gives each
transaction another session a prepared statement may be gone; from then on nothing is prepared.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ion.errors import DamagedStoreError, StoreError, UsageError
from ion.masking import mask, passwords
from ion.stores.sql_store import migrations, require_known

RETRY_S = 20.0
_MIGRATION_LOCK = 0x496F6E31
# A dead peer is noticed within the time of a lease, and a stopped one does not hold a run's row for ever.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "ion",
}
_SESSION = """
SET lock_timeout = '15s';
SET idle_in_transaction_session_timeout = '10s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local');
"""
# Not `to_regclass`: that answers from a cache, which may be older than the lock that was waited for.
_MIGRATIONS_TABLE = "SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'ion' AND tablename = 'migrations'"
# Connection lost; server stopping or starting; deadlock and the like; too many connections; session timed out.
_TRANSIENT = ("08", "57P", "40", "53300", "25P03")
# A prepared statement is not there, or is there already.
_NOT_PREPARED = ("26000", "42P05")
_PREPARE_AFTER = 3

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Result = TypeVar("Result")


class PostgresConnection:
    """The connection to the database of `url`; one at a time, shared by threads."""

    def __init__(self, url: str) -> None:
        self._passwords = passwords(url)
        try:
            self._settings = {**_DEFAULTS, **conninfo_to_dict(url)}
        except psycopg.ProgrammingError as error:
            raise UsageError(
                f"this is not a URL of a PostgreSQL database: {self._first_line(error)}",
                hint="write postgresql://user@host:5432/database, special characters as %40 for @",
            ) from None  # its own words may hold the password
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._prepare_after: int | None = _PREPARE_AFTER
        self._closed = False
        try:
            _migrate(self._connected(), self.place)
        except psycopg.Error as error:
            self.close()
            raise self._store_error(error) from error
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """Where the store is, for messages: without the password."""
        named = self._settings
        return f"postgresql://{named.get('host', 'localhost')}/{named.get('dbname', '')}"

    def work(self, do: Callable[[Connection, bool], Result], *, one_statement: bool = False) -> Result:
        """`do(connection, again)` in one transaction, committed when this returns. `one_statement`: it makes no more
        than that, which is a transaction by itself and saves two ways to the server and back.

        Raises `StoreError`. If it was the connection, it is not known whether the last try is in.
        """
        deadline, again, pause = time.monotonic() + RETRY_S, False, 0.05
        with self._lock:
            while True:
                try:
                    connection = self._connected()
                    with contextlib.nullcontext() if one_statement else connection.transaction():
                        return do(connection, again)
                except psycopg.Error as error:
                    if error.sqlstate in _NOT_PREPARED and self._prepare_after is not None:
                        self._prepare_nothing()
                    elif not _is_transient(error) or time.monotonic() + pause > deadline:
                        raise self._store_error(error) from error
                again = True
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _prepare_nothing(self) -> None:
        self._prepare_after = None
        if self._connection is not None:
            self._connection.prepare_threshold = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def _connected(self) -> Connection:
        if self._closed:
            raise StoreError(f"the store {self.place} is closed")
        if self._connection is None or self._connection.broken or self._connection.closed:
            connection = psycopg.connect(
                make_conninfo(**self._settings), autocommit=True, prepare_threshold=self._prepare_after
            )
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.execute(_SESSION)
            self._connection = connection
        return self._connection

    def _first_line(self, error: Exception) -> str:
        return mask((str(error).strip() or type(error).__name__).splitlines()[0], self._passwords)

    def _store_error(self, error: psycopg.Error) -> StoreError:
        what = self._first_line(error)
        match error.sqlstate or "":
            case "XX001" | "XX002":
                return DamagedStoreError(f"the store {self.place} is damaged: {what}", hint="restore it from a backup")
            case "53100":
                return StoreError(
                    f"no room for the store {self.place}: {what}",
                    hint="make room on the server's disk and try again; what was written before stays",
                )
            case "25006" | "42501" | "28000" | "28P01":
                return StoreError(
                    f"the store {self.place} does not let this user write: {what}",
                    hint="give the user the right to create and write the schema 'ion', on the primary server",
                )
            case "55P03":
                return StoreError(
                    f"another process holds a run in {self.place}: {what}", hint="see pg_stat_activity, then try again"
                )
            case "" if "no password" in what:
                return StoreError(
                    f"the store {self.place} asks for a password",
                    hint="put it into PGPASSWORD, ~/.pgpass or the URL of the store",
                )
            case "":
                return StoreError(
                    f"cannot reach the store {self.place}: {what}",
                    hint="see that the server runs and the URL is right; what was written before stays",
                )
            case _:
                return StoreError(f"the store {self.place} failed: {what}")


def _is_transient(error: psycopg.Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_TRANSIENT)


def _migrate(connection: Connection, place: str) -> None:
    """Bring the schema to the newest number; of processes that start at once one does it and the others wait."""
    known = migrations("postgres")
    newest = max(known)
    if _present(connection, newest, place) == newest:
        return
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '60s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        present = _present(connection, newest, place)
        if present == 0:
            connection.execute("CREATE SCHEMA IF NOT EXISTS ion")
            connection.execute("CREATE TABLE ion.migrations (number bigint PRIMARY KEY)")
        for number, path in known.items():
            if number > present:
                connection.execute(path.read_text(encoding="utf-8").encode())
                connection.execute("INSERT INTO ion.migrations VALUES (%s)", (number,))


def _present(connection: Connection, newest: int, place: str) -> int:
    """The number of the last migration, 0 if there was none. Raises `StoreError` for a newer one than this Ion
    knows."""
    if connection.execute(_MIGRATIONS_TABLE).fetchone() is None:
        return 0
    (present,) = connection.execute("SELECT coalesce(max(number), 0) FROM ion.migrations").fetchone() or (0,)
    return require_known(int(present), newest, place)
