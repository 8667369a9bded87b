"""Where runs are kept. `create_store` turns the URL of `--store` into a store and loads only the one that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ion.errors import UsageError

if TYPE_CHECKING:
    from ion.stores.base import WorkflowStore

__all__ = ["create_store"]


def create_store(url: str, *, project: Path) -> WorkflowStore:
    """The store at `url`: `memory:`, `sqlite:PATH` or `file:DIR`, a relative path counting from `project`.

    Raises `UsageError` for a URL that means nothing, `StoreError` if the store cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    opener = _SCHEMES.get(scheme)
    if opener is None or not colon:
        raise UsageError(f"{url!r} names no store", hint="use sqlite:PATH, file:DIR or memory:")
    return opener(url, rest, project)


def _memory(url: str, rest: str, _project: Path) -> WorkflowStore:
    from ion.stores.memory import MemoryStore

    if rest:
        raise UsageError(f"{url!r} names no store", hint="a store in memory has no place: use memory:")
    return MemoryStore()


def _sqlite(url: str, rest: str, project: Path) -> WorkflowStore:
    from ion.stores.sqlite import SqliteStore

    return SqliteStore(_path(url, rest, project))


def _file(url: str, rest: str, project: Path) -> WorkflowStore:
    from ion.stores.filesystem import FileStore

    return FileStore(_path(url, rest, project))


def _path(url: str, rest: str, project: Path) -> Path:
    if not rest or "\0" in rest:
        raise UsageError(f"{url!r} names no place", hint="put a path after the colon")
    return (project / Path(rest).expanduser()).absolute()


_SCHEMES: dict[str, Callable[[str, str, Path], WorkflowStore]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "file": _file,
}
