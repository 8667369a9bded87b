"""Where runs are kept. `create_store` turns the URL of `--store` into a store and loads only the one that it names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ion.errors import StoreError, UsageError
from ion.masking import without_password

if TYPE_CHECKING:
    from ion.stores.base import WorkflowStore

__all__ = ["create_store"]


def create_store(url: str, *, project: Path) -> WorkflowStore:
    """The store at `url`: `memory:`, `sqlite:PATH`, `file:DIR` (a relative path counts from `project`) or
    `postgresql://user@host/database`.

    Raises `UsageError` for an invalid URL, `StoreError` if the store cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    opener = _SCHEMES.get(scheme)
    try:
        (str.encode if scheme == "postgresql" else os.fsencode)(url)
    except UnicodeEncodeError:
        raise UsageError(f"{without_password(url)!r} is not a store URL: it is not Unicode") from None
    if opener is None or not colon:
        raise UsageError(
            f"{without_password(url)!r} is not a store URL", hint="use sqlite:PATH, file:DIR, postgresql://… or memory:"
        )
    return opener(url, rest, project)


def _memory(url: str, rest: str, _project: Path) -> WorkflowStore:
    from ion.stores.memory import MemoryStore

    if rest:
        raise UsageError(f"{url!r} is not a store URL", hint="a store in memory has no place: use memory:")
    return MemoryStore()


def _sqlite(url: str, rest: str, project: Path) -> WorkflowStore:
    from ion.stores.sqlite import SqliteStore

    return SqliteStore(_path(url, rest, project))


def _file(url: str, rest: str, project: Path) -> WorkflowStore:
    from ion.stores.filesystem import FileStore

    return FileStore(_path(url, rest, project))


def _postgres(url: str, _rest: str, _project: Path) -> WorkflowStore:
    try:
        from ion.stores.postgres import PostgresStore
    except ImportError as error:
        if "psycopg" not in str(error.name or error):
            raise
        raise StoreError(
            "a postgresql:// store needs psycopg, which is not installed",
            hint="pip install 'ion-workflows[postgres]' (or uv tool install 'ion-workflows[postgres]')",
        ) from error
    return PostgresStore(url)


def _path(url: str, rest: str, project: Path) -> Path:
    """The absolute path. Missing folders inside the project's `.ion` are made; others must exist."""
    if not rest or "\0" in rest:
        raise UsageError(f"{url!r} has no path", hint="put a path after the colon")
    place, home = (project / Path(rest).expanduser()).absolute(), project.absolute() / ".ion"
    for folder in reversed(place.parents):
        if folder.is_relative_to(home) and not folder.exists():
            from ion.stores.disk import make_folder, storage_errors

            with storage_errors(f"cannot open the store {place}"):
                make_folder(folder)
    return place


_SCHEMES: dict[str, Callable[[str, str, Path], WorkflowStore]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "file": _file,
    "postgresql": _postgres,
}
