"""Opening an SQLite database for the store, and SQLite's error codes as messages.

A new database is made under another name and appears complete, so that an empty one is never taken for new. Many
processes may open it at the same moment: switching it to WAL is retried until the others release it, and the numbered
migrations run inside one transaction that begins with the write lock. `PRAGMA user_version` is the number of the last
one; `application_id` distinguishes Ion's databases from other programs'.

If the medium is not writable (a mounted backup, a full disk) SQLite cannot even read a database in WAL mode as usual,
since it would have to make files beside it; `looking` does without them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ion.errors import DamagedStoreError, StoreError
from ion.stores.disk import make_folder, storage_errors, sync_folder
from ion.stores.sql_store import migrations, require_known

BUSY_TIMEOUT_MS = 30_000
# The second: of a damaged schema SQLite says so in words that are no UTF-8.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_APPLICATION_ID = 0x496F6E31
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# Of a database that is there: its medium takes no writes.
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
# After these the connection's cache may hold what the disk does not: it is used no more.
_DEADLY = (*_CORRUPT, sqlite3.SQLITE_IOERR)


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to Ion's database at `path`, made if it does not exist, with the newest schema.

    Raises `UnwritableError` if it exists on a medium that is not writable, `StoreError` if it cannot be opened at all,
    `DamagedStoreError` if the file is not an SQLite database, or is empty.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"this Python has SQLite {sqlite3.sqlite_version}, Ion needs 3.37",
            hint="use a newer Python, or --store file:.ion/runs",
        )
    if not path.exists():
        _make(path)
    return _opened(path, is_new=False)


class UnwritableError(StoreError):
    """The database exists, on a medium that is not writable: it can only be read."""


def _opened(path: Path, *, is_new: bool) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
        )
        _prepare(connection, path, is_new=is_new)
    except DATABASE_ERRORS as error:
        if connection is not None:
            connection.close()
        failure = store_error(error, path)
        if _primary_code(error) in _UNWRITABLE and not is_new and path.is_file():
            raise UnwritableError(failure.message, hint=failure.hint) from error
        raise failure from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


@contextlib.contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, for a medium that is not writable. Raises `StoreError`.

    What other processes write meanwhile is seen if they left SQLite the files for that; else the file is assumed not to
    change, and its write-ahead log is read from a copy of both.
    """
    with contextlib.ExitStack() as held:
        for open_one in (_shared, _unchanging):
            try:
                connection = open_one(path, held)
                newest = max(migrations("sqlite"))
                present = _require_ours(connection, path, newest)
                break
            except DATABASE_ERRORS as error:
                failure = store_error(error, path)
        else:
            raise failure
        if present < newest:
            raise StoreError(f"the store {path} is of an older Ion, and cannot be written to bring it up to date")
        yield connection


def _shared(path: Path, held: contextlib.ExitStack) -> sqlite3.Connection:
    return _read_only(f"file:{quote(os.fsencode(path))}?mode=ro", held)


def _unchanging(path: Path, held: contextlib.ExitStack) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    with storage_errors(f"cannot look at the store {path}"):
        if not log.exists() or log.stat().st_size == 0:
            return _read_only(f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1", held)
        import shutil
        import tempfile

        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="ion-look-")))
        for file in (path, log):
            shutil.copy(file, folder)
        return _read_only(f"file:{quote(os.fsencode(folder / path.name))}?mode=rw", held)


def _read_only(uri: str, held: contextlib.ExitStack) -> sqlite3.Connection:
    connection = held.enter_context(
        contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False))
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def store_error(error: Exception, path: Path) -> StoreError:
    """The error for a person: what happened to the file, and what to do."""
    match _primary_code(error):
        case sqlite3.SQLITE_NOTADB:
            return DamagedStoreError(
                f"{path} is not an SQLite database",
                hint="restore it from a backup, or choose another place with --store",
            )
        case sqlite3.SQLITE_CORRUPT:
            return DamagedStoreError(
                f"the store {path} is damaged: {error}",
                hint="restore it from a backup, or save what can be read: sqlite3 FILE .recover",
            )
        case _ if _is_full(error, path):
            return StoreError(
                f"no room for the store {path}",
                hint="make room on the disk and try again; what was written before stays",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return StoreError(
                f"cannot open or write the store {path}: {error}",
                hint="make the file and its folder writable for this user, or choose another place with --store",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                f"another process has held the store {path} for {BUSY_TIMEOUT_MS // 1000} s",
                hint="see who has it open (fuser FILE), then try again",
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(
                f"the disk failed under the store {path}: {error}",
                hint="check the disk and start again; what was written before stays",
            )
        case None if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
            return DamagedStoreError(f"the store {path} is damaged: {error}", hint="restore it from a backup")
        case _:
            return StoreError(f"the store {path} failed: {error}")


def is_deadly(error: Exception) -> bool:
    """Whether the connection must not be used after this error."""
    return _primary_code(error) in _DEADLY


def _is_full(error: Exception, path: Path) -> bool:
    """Whether the disk is full: SQLite also reports an I/O error where it cannot make a file that it needs."""
    code = _primary_code(error)
    if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return code == sqlite3.SQLITE_FULL
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def _primary_code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _make(path: Path) -> None:
    """Make the database for its owner only; SQLite gives its own files beside it the same mode. If another process is
    faster, its database is the one."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    with storage_errors(f"cannot make the store {path}"):
        if not path.parent.exists():
            make_folder(path.parent)
        try:
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _opened(temporary, is_new=True).close()
            _give_name(temporary, path)
        finally:
            for suffix in ("", "-wal", "-shm", "-journal"):
                temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
        sync_folder(path.parent)


def _give_name(temporary: Path, path: Path) -> None:
    """Publish the file as `path`, unless one exists already."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            temporary.rename(path)


def _prepare(connection: sqlite3.Connection, path: Path, *, is_new: bool) -> None:
    if not is_new:  # which has all in its one file, whatever happens to those beside it
        _require_ours(connection, path, sys.maxsize)
        _switch_to_wal(connection, path)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # of macOS, see disk.py; nothing elsewhere
    connection.execute("PRAGMA foreign_keys = ON")
    _migrate(connection, path)


def _require_ours(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The number of the schema. Raises `StoreError` for the database of another program, `DamagedStoreError` for an
    empty one."""
    if _number(connection, "application_id") == _APPLICATION_ID:
        return require_known(_number(connection, "user_version"), newest, path)
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise StoreError(f"{path} is the database of another program", hint="choose another place with --store")
    raise DamagedStoreError(
        f"{path} is empty: if it was a store, all of its runs are lost",
        hint="restore it from a backup, or delete it to begin a new store",
        file=str(path),
    )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite does not wait for others here as it does elsewhere, so this waits."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode == "wal":
            return
        raise StoreError(
            f"the file system of {path} cannot hold a store (SQLite's journal mode is {mode!r}, not WAL)",
            hint="choose a local disk with --store",
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    known = migrations("sqlite")
    newest = max(known)
    if require_known(_number(connection, "user_version"), newest, path) == newest:
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        present = require_known(_number(connection, "user_version"), newest, path)
        for number, migration in known.items():
            if number > present:
                for statement in _statements(migration.read_text(encoding="utf-8")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
