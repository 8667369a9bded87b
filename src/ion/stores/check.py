"""Searching a store for damage: every run's source, log and outputs are read, and nothing is changed.

Damage is named, with its file and the offset in it if known. Nothing is repaired: Ion cannot know what was there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from ion.core import events as e
from ion.core.fold import fold
from ion.errors import DamagedStoreError, NotFoundError, StoreError
from ion.names import is_run_id
from ion.stores import rules
from ion.stores.base import WorkflowRun, WorkflowStore
from ion.stores.blobs import CHUNK_BYTES

# What a process writes under a temporary name is renamed within seconds; after this nobody will.
STALE_AFTER_S = 3600
_TEMPORARY_OF_PROJECT = (".gitignore.*.tmp", "cache/**/*.tmp", "runs/*/outputs/*.part")
_TEMPORARY_OF_SQLITE = ".{name}.*.tmp*"
_TEMPORARY_OF_FILE_STORE = ("new/*", "runs/*/.*.tmp", ".format.*.tmp")


class Damage(Struct, frozen=True, gc=False):
    """One thing that is not what Ion wrote. `run_id` is empty if it concerns no single run, `file` if it is not in a
    file, `offset` (bytes) is None if it concerns the whole file."""

    message: str
    hint: str
    run_id: str = ""
    file: str = ""
    offset: int | None = None


def check_runs(store: WorkflowStore, check: rules.FrozenCheck) -> tuple[int, list[Damage]]:
    """How many runs the store has, and all damage found by reading them.

    An output that several runs have is read once, and reported for the first of them.
    """
    seen: set[str] = set()
    found = [*_check_database(store.url), *_check_names(store.url)]
    try:
        runs = store.list_workflow_runs()
    except StoreError as error:
        return 0, [*found, damage_of(error)]
    for run in runs:
        with contextlib.suppress(NotFoundError):  # deleted since it was listed
            found.extend(_check_run(store, run.run_id, check, seen))
    return len(runs), found


def damage_of(error: StoreError, run_id: str = "") -> Damage:
    """The damage that an error reports."""
    if isinstance(error, DamagedStoreError):
        return Damage(error.message, error.hint, run_id, error.file, error.offset)
    return Damage(error.message, error.hint, run_id)


def blob_folder(url: str) -> Path | None:
    """The folder of a store's outputs; None if they are in no files."""
    scheme, _, place = url.partition(":")
    return {"file": Path(place) / "blobs", "sqlite": Path(place).parent / "blobs"}.get(scheme)


def _check_database(url: str) -> list[Damage]:
    """What SQLite itself finds in its file."""
    if not url.startswith("sqlite:"):
        return []
    from ion.stores.sqlite_file import DATABASE_ERRORS, looking

    path = url.removeprefix("sqlite:")
    try:
        with looking(Path(path)) as connection:
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except DATABASE_ERRORS as error:
        said = [str(error)]
    except StoreError as error:
        return [damage_of(error)]
    hint = "restore it from a backup, or save what can be read: sqlite3 FILE .recover"
    return [Damage(f"the store {path} is damaged: {line}", hint, file=path) for line in said if line != "ok"]


def _check_names(url: str) -> Iterator[Damage]:
    """Entries among the runs of a file store that are not runs."""
    if url.startswith("file:"):
        for path in sorted((Path(url.removeprefix("file:")) / "runs").iterdir()):
            if not is_run_id(path.name):
                hint = "move it away: no command can name it"
                yield Damage(f"{path} cannot be a run: its name is not a run's id", hint, file=str(path))


def _check_run(store: WorkflowStore, run_id: str, check: rules.FrozenCheck, seen: set[str]) -> Iterator[Damage]:
    source, said = None, ""
    try:
        source = store.get_source(run_id)
    except StoreError as error:
        said = error.message
        yield damage_of(error, run_id)
    try:
        run = store.get_workflow_run(run_id)
        records = store.get_workflow_events(run_id, limit=run.last_seq)  # what comes meanwhile is not compared
        open_now = store.get_open_requests(run_id)
        started = fold(record.event for record in records).started
    except StoreError as error:
        if error.message != said:
            yield damage_of(error, run_id)
        return
    if store.get_workflow_run(run_id).last_seq == run.last_seq:
        yield from _check_derived(run, [record.event for record in records], open_now)
    if source is not None and started is not None:
        try:
            check(source, [record.event for record in records], store)
        except DamagedStoreError as error:
            yield Damage(f"run {run_id}: {error.message}", error.hint, run_id)
    for content in _outputs(records):
        if content.sha256 not in seen:
            seen.add(content.sha256)
            yield from _check_output(store, run_id, content)


def _check_derived(run: WorkflowRun, events: list[e.Event], open_now: dict[str, str]) -> Iterator[Damage]:
    """What the store keeps beside the log must agree with the log."""
    hint = "what the log says counts: bring the run into a new store (ion export, ion import), or restore a backup"
    said = rules.first_row(run.run_id, run.project, events, None, None)
    for name in ("workflow", "digest", "status", "started_at", "ended_at", "last_seq"):
        kept, logged = getattr(run, name), getattr(said, name)
        if kept != logged:
            yield Damage(f"the row of run {run.run_id} says {name} {kept!r}, its log says {logged!r}", hint, run.run_id)
    requests = rules.OpenRequests()
    requests.apply(events)
    for request in sorted(open_now.items() ^ requests.node_of.items()):
        kept_as = "open" if request in open_now.items() else "not open"
        yield Damage(
            f"the request {request[0]} of {request[1]} is kept as {kept_as}, against the log", hint, run.run_id
        )


def _outputs(records: list[e.Recorded]) -> Iterator[e.Content]:
    for record in records:
        yield from (content for content in e.contents(record.event) if content.text is None)


def _check_output(store: WorkflowStore, run_id: str, content: e.Content) -> Iterator[Damage]:
    try:
        with store.open_blob(content.sha256) as file:
            while file.read(CHUNK_BYTES):
                pass
    except StoreError as error:
        folder = blob_folder(store.url)
        place = "" if folder is None else str(folder / content.sha256[:2] / content.sha256)
        yield Damage(error.message, error.hint, run_id, place)


def stale_files(data: Path, url: str, now: float | None = None) -> list[Path]:
    """Temporary files, and unfinished runs, that dead processes left; `now` in seconds.

    Only names that Ion gives, where Ion gives them: in the project's `.ion` folder `data` and in the store.
    """
    limit = (time.time() if now is None else now) - STALE_AFTER_S
    places = [(data, pattern) for pattern in _TEMPORARY_OF_PROJECT]
    blobs = blob_folder(url)
    if blobs is not None:
        places.append((blobs, ".*.tmp"))
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:"))
        places.append((path.parent, _TEMPORARY_OF_SQLITE.format(name=path.name)))
    if url.startswith("file:"):
        places += [(Path(url.removeprefix("file:")), pattern) for pattern in _TEMPORARY_OF_FILE_STORE]
    found = []
    for path in sorted({path for folder, pattern in places for path in folder.glob(pattern)}):
        with contextlib.suppress(FileNotFoundError):  # just renamed or deleted
            if path.lstat().st_mtime < limit:
                found.append(path)
    return found
