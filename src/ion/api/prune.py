"""Forgetting old runs: their logs, their folders, and the outputs that no other run refers to.

A run that a living process owns is never touched, and neither is one that may still go on unless it is asked for by
its status. A folder is marked before its run leaves the store and removed afterwards, so that what a killed prune
leaves behind is found by the next one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from ion import clocks
from ion.api.reading import list_runs
from ion.api.workspace import Workspace
from ion.core.events import Content, Event
from ion.engine.folders import folders_of
from ion.errors import DamagedStoreError, RefusedError
from ion.records import dataclass
from ion.stores.base import WorkflowRun, WorkflowStore

# What is over; `paused` and `interrupted` runs may go on, and are only forgotten when they are asked for.
OVER = ("completed", "failed", "cancelled")
PRUNABLE = (*OVER, "paused", "interrupted")
# An output that was put so lately may belong to a node that is just ending.
_LATELY_MS = 3_600_000
_MARK = ".pruned"


@dataclass(frozen=True)
class Pruned:
    """What was forgotten: the runs, how many outputs, and bytes of outputs and folders."""

    run_ids: tuple[str, ...]
    outputs: int
    size: int


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

    A run that a process took up in the meantime stays. Raises `DamagedStoreError` if some log cannot be read: then it
    is not known which outputs are needed, and all of them stay.
    """
    gone: list[str] = []
    size = 0
    for run in runs:
        folder = folders_of(workspace.data, run.run_id, workspace.project).run
        _mark(folder)
        try:
            workspace.store.delete_workflow_run(run.run_id)
        except RefusedError:
            (folder / _MARK).unlink(missing_ok=True)
            continue
        gone.append(run.run_id)
        size += _remove(folder)
    _finish_what_was_begun(workspace)
    outputs, bytes_of_outputs = workspace.store.delete_blobs(
        used_blobs(workspace.store), before=clocks.now_ms() - _LATELY_MS
    )
    return Pruned(tuple(gone), outputs, size + bytes_of_outputs)


def used_blobs(store: WorkflowStore) -> set[str]:
    """The outputs and script files that the runs of this store refer to, those of other projects too."""
    used: set[str] = set()
    for run in store.list_workflow_runs():
        if run.status == "damaged":
            raise DamagedStoreError(
                f"the run {run.run_id} is damaged, so it is not known which outputs are needed",
                hint="ion doctor names the place; restore it, or delete the run's folder in the store",
            )
        for recorded in store.get_workflow_events(run.run_id):
            used.update(content.sha256 for content in _contents(recorded.event))
        used.update(_script_files(store, run.run_id))
    return used


def _contents(event: Event) -> list[Content]:
    values = [getattr(event, name, None) for name in ("output", "prompt")]
    return [value for value in values if isinstance(value, Content) and value.text is None]


def _script_files(store: WorkflowStore, run_id: str) -> set[str]:
    import json

    try:
        scripts = json.loads(store.get_source(run_id)).get("scripts", {})
        return {sha256 for script in scripts.values() for sha256 in script["files"].values()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DamagedStoreError(f"the frozen workflow of the run {run_id} cannot be read: {error}") from error


def _mark(folder: Path) -> None:
    if folder.is_dir():
        (folder / _MARK).touch()


def _finish_what_was_begun(workspace: Workspace) -> None:
    """Folders of runs that a prune took out of the store before it was killed."""
    for mark in (workspace.data / "runs").glob(f"*/{_MARK}"):
        if not workspace.store.list_workflow_runs(prefix=mark.parent.name, limit=1):
            _remove(mark.parent)


def _remove(folder: Path) -> int:
    """Remove a run's folder; gives the bytes that its files had."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size if not path.is_dir() or path.is_symlink() else 0
    # The mark goes last: a removal that is cut off is gone on with by the next prune.
    for path in sorted(folder.glob("*")):
        if path.name != _MARK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if folder.is_dir():
        shutil.rmtree(folder)
    return size
