"""Making the new run of a rerun: its log with the kept outcomes, its artifacts, all before anything runs."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ion import clocks
from ion.core import events as e
from ion.core.rerun import kept_events
from ion.core.state import RunState
from ion.engine import git, seals
from ion.engine.folders import folders_of, require_unclaimed
from ion.engine.freeze import digest_of, freeze
from ion.engine.run_reader import read_workflow
from ion.errors import DamagedStoreError
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowStore
from ion.version import VERSION


class Edited(Struct, frozen=True):
    """The workflow as its file is now, and the old run's inputs checked against what it declares."""

    workflow: Workflow
    inputs: dict[str, Any]


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
    edited: Edited | None = None,
) -> None:
    """Create the run `new`, owned by nobody, from the run `old` in this state. `agent` None: the old run's; `edited` is
    what it runs instead of what the old run froze.

    The log comes in one transaction, after the artifacts; a process that dies before leaves a folder and no run.
    Raises `RefusedError` (the id is taken, the frozen files were changed), `NotFoundError` (no such node).
    """
    require_unclaimed(folders_of(data, new, project).run, store.url, project)
    frozen = read_workflow(store, old, state)
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
        by={**by, "remote": git.remote(Path(started.cwd))},
        rerun_of={"run_id": old, "from": from_node},
    )
    source = store.get_source(old)
    kept: list[e.Event] = []
    if edited is None:
        kept = kept_events(frozen, state, from_node, at) if from_node is not None else []
    else:
        source = freeze(edited.workflow, store)
        first = _of_the_edited(first, edited, source)
        if from_node is not None:
            read = functools.partial(_text, store)
            kept = kept_events(edited.workflow, state, from_node, at, before=frozen, read=read)
    first = seals.sealed(first, new, str(project))
    if kept:
        _copy_artifacts(data, project, old, new)
    store.import_workflow_run(new, project=str(project), source=source, events=[first, *kept])
    try:
        _require_outputs(store, kept)
    except DamagedStoreError:
        store.delete_workflow_run(new)
        raise


def _of_the_edited(first: e.WorkflowStarted, edited: Edited, source: str) -> e.WorkflowStarted:
    workflow = edited.workflow
    return replace(
        first,
        workflow=workflow.name,
        digest=digest_of(source),
        nodes=workflow.node_kinds,
        inputs=edited.inputs,
        max_budget_usd=workflow.max_budget_usd,
        rerun_of={**first.rerun_of, "edited": True},
    )


def _text(store: WorkflowStore, content: e.Content) -> str:
    if content.text is not None:
        return content.text
    with store.open_blob(content.sha256) as stream:
        return stream.read().decode("utf-8", "surrogateescape")


def _copy_artifacts(data: Path, project: Path, old: str, new: str) -> None:
    """What kept nodes have left in the old run's folder; a link stays a link."""
    source = folders_of(data, old, project).artifacts
    if source.is_dir():
        shutil.copytree(source, folders_of(data, new, project).artifacts, symlinks=True, dirs_exist_ok=True)


def _require_outputs(store: WorkflowStore, kept: list[e.Event]) -> None:
    """The old run may have been pruned at this very moment, together with its outputs."""
    for event in kept:
        if isinstance(event, e.NodeCompleted) and event.reply.output.text is None:
            store.open_blob(event.reply.output.sha256).close()
