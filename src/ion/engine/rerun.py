"""Making the new run of a rerun: its log with the kept outcomes, its artifacts, all before anything runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ion import clocks
from ion.core import events as e
from ion.core.rerun import kept_events
from ion.core.state import RunState
from ion.engine import git
from ion.engine.folders import folders_of
from ion.engine.look import read_workflow
from ion.errors import DamagedStoreError
from ion.stores.base import WorkflowStore
from ion.version import VERSION


def make_rerun(
    store: WorkflowStore,
    *,
    data: Path,
    project: Path,
    old: str,
    state: RunState,
    new: str,
    from_node: str | None,
    agent: str | None,
    by: dict[str, Any],
) -> None:
    """Create the run `new`, owned by nobody, from the run `old` in this state. `agent` None: the old run's.

    The log comes in one transaction, after the artifacts; a process that dies before leaves a folder and no run.
    Raises `RefusedError` (the id is taken, the frozen files were changed), `NotFoundError` (no such node).
    """
    workflow = read_workflow(store, old, state)
    started = state.started
    if started is None:
        raise DamagedStoreError(f"the log of the run {old} does not begin with its start")
    at = clocks.now_ms()
    first = replace(
        started,
        at=at,
        agent=agent or started.agent,
        ion_version=VERSION,
        git_head=git.head(Path(started.cwd)),
        by=by,
        rerun_of={"run_id": old, "from": from_node},
    )
    kept = kept_events(workflow, state, from_node, at) if from_node is not None else []
    if kept:
        _copy_artifacts(data, project, old, new)
    store.import_workflow_run(new, project=str(project), source=store.get_source(old), events=[first, *kept])
    try:
        _require_outputs(store, kept)
    except DamagedStoreError:
        store.delete_workflow_run(new)
        raise


def _copy_artifacts(data: Path, project: Path, old: str, new: str) -> None:
    """What kept nodes have left in the old run's folder; a link stays a link."""
    source = folders_of(data, old, project).artifacts
    if source.is_dir():
        shutil.copytree(source, folders_of(data, new, project).artifacts, symlinks=True, dirs_exist_ok=True)


def _require_outputs(store: WorkflowStore, kept: list[e.Event]) -> None:
    """The old run may have been pruned at this very moment, and its outputs with it."""
    for event in kept:
        if isinstance(event, e.NodeCompleted) and event.output.text is None:
            store.open_blob(event.output.sha256).close()
