"""Forgetting old runs: their logs, their folders, and the outputs that no other run refers to.

A run that a living process owns is never touched. A run that may still continue, or is damaged, is only touched if its
status was asked for. A folder is marked before its run leaves the store and removed afterwards, so that the next prune
finds what a killed one left; it stays as long as another store of the project has a run of its id. Others may prune,
and runs may end, at the same time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ion import clocks
from ion.api.reading import list_runs
from ion.api.workspace import Workspace
from ion.core.events import contents
from ion.engine.folders import folders_of, mark_of
from ion.errors import DamagedStoreError, NotFoundError, RefusedError
from ion.names import is_run_id
from ion.stores.base import WorkflowRun, WorkflowStore

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
        scripts = json.loads(store.get_source(run_id)).get("scripts", {})
        return {sha256 for script in scripts.values() for sha256 in script["files"].values()}
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
