"""Looking after the store of a project: what of it is damaged, moving runs to another one, forgetting old ones.

An exported run is one file with its log, its frozen source and its outputs, but not the artifacts and logs in
`.ion/runs`. The values of its secrets, as this process has them, are masked.

A run that a living process owns is never forgotten. One that may still continue, or is damaged, only is if its status
was asked for. A folder is marked before its run leaves the store and removed afterwards, so that the next prune finds
what a killed one left; it stays as long as another store of the project has a run of its id. Others may prune, and runs
may end, at the same time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field, to_builtins

from ion import clocks
from ion.api.agents import is_bare
from ion.api.hidden import secret_names
from ion.api.installed import extras
from ion.api.listing import list_runs
from ion.api.workspace import Workspace
from ion.core.events import contents
from ion.engine.folders import claim, folders_of, mark_of
from ion.engine.freeze import require_frozen
from ion.errors import DamagedStoreError, NotFoundError, RefusedError, StoreError, UsageError
from ion.masking import secret_values, without_password
from ion.names import is_run_id
from ion.stores.base import WorkflowRun, WorkflowStore
from ion.stores.check import Damage, check_runs, damage_of, stale_files
from ion.stores.disk import storage_errors, sync_folder
from ion.stores.transfer import export_run, import_run
from ion.version import VERSION

# What workflows can ask for.
_PROGRAMS = ("bash", "uv", "python3", "bun", "node", "git")


class Diagnosis(Struct, frozen=True):
    """The findings. `installed` maps a name to a version or path, None if it is missing; `runs` is None if the store
    does not exist yet or cannot be opened; `notes` are remarks that are not damage."""

    installed: dict[str, str | None]
    project: Path
    store: str
    runs: int | None
    damage: list[Damage]
    stale: list[Path] = field(name="stale_files")
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The object that `ion doctor --json` prints."""
        made: dict[str, Any] = to_builtins(self, enc_hook=str)
        return made


def diagnose(workspace: Workspace) -> Diagnosis:
    """Check everything. Faults of the store are in the result; raises `UsageError` for an invalid store URL,
    `InvalidWorkflowError` for settings that cannot be read."""
    url = workspace.url
    runs, damage = None, list[Damage]()
    opened, notes = url, list[str]()
    if not workspace.is_new:
        try:
            opened = workspace.store.url
            runs, damage = check_runs(workspace.store, require_frozen)
            notes = _notes(workspace)
        except StoreError as error:
            damage = [damage_of(error)]
    if not damage:
        from ion.api.clock_notes import clock_notes

        try:
            notes += clock_notes(workspace)
        except StoreError as error:
            notes.append(f"{error.message} ({error.hint})")
    notes += [said for name, one in workspace.settings.agents.items() if (said := is_bare(name, one))]
    stale = stale_files(workspace.project / ".ion", opened)
    return Diagnosis(
        installed=_installed(),
        project=workspace.project,
        store=without_password(url),
        runs=runs,
        damage=damage,
        stale=stale,
        notes=notes,
    )


def _notes(workspace: Workspace) -> list[str]:
    notes = []
    if (failure := workspace.store.unwritable) is not None:
        notes.append(f"runs can only be looked at here: {failure.message} ({failure.hint})")
    if (ignore := workspace.unfinished_ignore()) is not None:
        notes.append(f"{ignore} is not there or not whole, so git sees the data of runs; the next run writes it")
    return notes


def _installed() -> dict[str, str | None]:
    import platform
    import sqlite3

    found: dict[str, str | None] = {
        "ion": VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
    }
    found |= {f"extra {name}": installed for name, installed in extras().items()}
    return found | {name: shutil.which(name, path=os.environ.get("PATH")) for name in _PROGRAMS}


# ---------------------------------------------------------------------- moving a run


def export_to_stream(workspace: Workspace, run_id: str, stream: BinaryIO) -> None:
    """Write the run to an open stream. Raises `DamagedStoreError` if a part of it is missing or damaged."""
    secrets = secret_values(secret_names(workspace, run_id), os.environ)
    export_run(workspace.store, run_id, stream, secrets=secrets)


def export_to_file(workspace: Workspace, run_id: str, file: Path) -> None:
    """Write the run to `file`, which appears complete (or replaces an older one), readable by its owner only.

    Raises `DamagedStoreError` as above, `StoreError` if the file cannot be written.
    """
    import tempfile

    with storage_errors(f"cannot write {file}"):
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.absolute().parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                export_to_stream(workspace, run_id, stream)
                os.fsync(stream.fileno())
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(file.absolute().parent)


def import_from_stream(workspace: Workspace, stream: BinaryIO, name: str = "this") -> str:
    """Create the exported run in this store, as a run of this project, and return its id. `name` is the stream's, for
    messages.

    Raises `UsageError` if the stream does not hold an exported run, `DamagedStoreError` if it holds a damaged or
    impossible one, `RefusedError` (code `run-exists`) if the id is taken.
    """
    project = workspace.project
    run_id = import_run(workspace.store, stream, check=require_frozen, project=str(project), name=name)
    folder = folders_of(workspace.data, run_id, project).run
    if folder.is_dir():  # another store of this project has the run, and may forget it
        claim(folder, workspace.store.url, project)
    return run_id


def import_from_file(workspace: Workspace, file: Path) -> str:
    """As `import_from_stream`, from a file."""
    try:
        with file.open("rb") as stream:
            return import_from_stream(workspace, stream, str(file))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename is None or Path(error.filename) != file:
            raise
        raise UsageError(f"the file {file} cannot be read: {error.strerror}") from None


# ---------------------------------------------------------------------- forgetting runs

# What is over; `paused` and `interrupted` runs may continue, and are only forgotten when they are asked for.
OVER = ("completed", "failed", "cancelled")
PRUNABLE = (*OVER, "paused", "interrupted", "damaged")
# An output that was put so lately may belong to a node that is just ending.
_LATELY_MS = 3_600_000
_LEAVING = ".leaving"
# In place of what a damaged row has for an id: it is not a folder's name, and must not lead anywhere.
_NO_RUN = ".no-run"


class Pruned(Struct, frozen=True):
    """What was forgotten: the runs, how many outputs, and bytes of outputs and folders. While there are `damaged`
    runs it is not known which outputs are needed, and all of them stay."""

    run_ids: tuple[str, ...]
    outputs: int
    size: int
    damaged: tuple[str, ...] = ()


def prunable_runs(
    workspace: Workspace,
    *,
    older_than_ms: int,
    keep: int = 0,
    statuses: Sequence[str] = OVER,
    workflow: str | None = None,
) -> list[tuple[WorkflowRun, str]]:
    """The project's runs that ended (or, unended, began) longer ago than `older_than_ms`, with their statuses, without
    the newest `keep` of them all."""
    now = clocks.now_ms()
    found = [(run, status) for run, status in list_runs(workspace, workflow=workflow) if status in PRUNABLE]
    return [
        (run, status)
        for run, status in found[keep:]
        if status in statuses and now - (run.ended_at or run.started_at) >= older_than_ms
    ]


def prune_runs(workspace: Workspace, runs: Sequence[WorkflowRun]) -> Pruned:
    """Forget these runs, and every output that no run of the store needs any more.

    A run that a process acquired in the meantime stays.
    """
    gone: list[str] = []
    size = 0
    for run in runs:
        mark = _mark_of(workspace, run.run_id if is_run_id(run.run_id) else _NO_RUN)
        with contextlib.suppress(FileNotFoundError):  # it has no folder, or not any more
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        try:
            workspace.store.delete_workflow_run(run.run_id)
        except RefusedError:
            mark.unlink(missing_ok=True)
            continue
        except NotFoundError:  # another prune was faster
            continue
        gone.append(run.run_id)
        size += _release(mark)
    _finish_what_was_begun(workspace)
    used, damaged = used_blobs(workspace.store)
    if damaged:
        return Pruned(tuple(gone), 0, size, damaged)
    outputs, bytes_of_outputs = workspace.store.delete_blobs(used, before=clocks.now_ms() - _LATELY_MS)
    return Pruned(tuple(gone), outputs, size + bytes_of_outputs)


def used_blobs(store: WorkflowStore) -> tuple[set[str], tuple[str, ...]]:
    """The outputs and script files that the runs of this store refer to, including those of other projects; and the
    damaged runs, whose references are unknown."""
    used: set[str] = set()
    damaged: list[str] = []
    for run in store.list_workflow_runs():
        if run.status == "damaged":
            damaged.append(run.run_id)
            continue
        try:
            used.update(_used_by(store, run.run_id))
        except NotFoundError:  # another prune was faster
            continue
        except DamagedStoreError:
            damaged.append(run.run_id)
    return used, tuple(damaged)


def _used_by(store: WorkflowStore, run_id: str) -> set[str]:
    recorded = store.get_workflow_events(run_id)
    kept = {one.sha256 for item in recorded for one in contents(item.event) if one.text is None}
    return kept | _script_files(store, run_id)


def _script_files(store: WorkflowStore, run_id: str) -> set[str]:
    import json

    try:
        source = json.loads(store.get_source(run_id))
        flows = (source, *source.get("workflows", {}).values())
        scripts = [script for flow in flows for script in flow.get("scripts", {}).values()]
        return {sha256 for script in scripts for sha256 in script["files"].values()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DamagedStoreError(f"the frozen workflow of the run {run_id} cannot be read: {error}") from error


def _mark_of(workspace: Workspace, run_id: str) -> Path:
    """The file that says that the run is leaving this store."""
    run = folders_of(workspace.data, run_id, workspace.project).run
    return mark_of(run, workspace.store.url, workspace.project).with_suffix(_LEAVING)


def _finish_what_was_begun(workspace: Workspace) -> None:
    """Folders of runs that a prune took out of this store before it was killed."""
    runs = workspace.data / "runs"
    for grave in runs.glob(f".*{_LEAVING}"):
        _remove(grave)
    stores, name = _mark_of(workspace, "any").parts[-2:]
    for mark in runs.glob(f"*/{stores}/{name}"):
        run_id = mark.parents[1].name
        if all(run.run_id != run_id for run in workspace.store.list_workflow_runs(prefix=run_id)):
            _release(mark)


def _release(mark: Path) -> int:
    """Remove the folder of a run that left this store, unless it is also of another one; returns the bytes of its
    files."""
    folder = mark.parents[1]
    with contextlib.suppress(FileNotFoundError):  # another prune is at it
        mark.with_suffix("").unlink(missing_ok=True)
        if any(not other.suffix for other in mark.parent.iterdir()):
            mark.unlink(missing_ok=True)
            return 0
        grave = folder.with_name(f".{folder.name}-{os.urandom(4).hex()}{_LEAVING}")
        folder.rename(grave)  # where nobody else puts anything into it meanwhile
        return _remove(grave)
    return 0


def _remove(place: Path) -> int:
    """Remove a file, or a folder with everything in it; returns the bytes of its files. Files that are removed
    meanwhile are skipped."""
    with contextlib.suppress(FileNotFoundError):
        if not place.is_dir() or place.is_symlink():
            size = place.lstat().st_size
            place.unlink()
            return size
        size = sum(_remove(inside) for inside in place.iterdir())
        place.rmdir()
        return size
    return 0
