"""Running a run again: a new run with the same inputs, as a whole or from a node, of the workflow that the old one
froze or of its file as it is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ion.api.agents import AgentLike, agent_name
from ion.api.inputs import check_inputs
from ion.api.reading import status_of
from ion.api.runs import StartedRun, acquire_run
from ion.api.who import who
from ion.api.workflows import OpenedWorkflow, open_workflow
from ion.api.workspace import Workspace, check_run_id, new_run_id
from ion.core.state import RunState
from ion.engine.options import RunOptions
from ion.engine.rerun import Edited, make_rerun
from ion.engine.run_reader import read_state
from ion.errors import IonError, RefusedError, UsageError
from ion.language.workflow import Workflow
from ion.nodes.requirements import require_runtimes

if TYPE_CHECKING:
    from ion.api.clusters import ClusterRun


def start_rerun(
    workspace: Workspace,
    run_id: str,
    *,
    from_node: str | None = None,
    edited: bool = False,
    agent: AgentLike = None,
    new_id: str | None = None,
    options: RunOptions | None = None,
) -> StartedRun | ClusterRun:
    """Create the new run, owned by this process, or driven by the cluster that drove the old one. The parameters are
    those of `rerun_workflow`."""
    options = options or RunOptions()
    row = workspace.store.get_workflow_run(run_id)
    if status_of(workspace.store, row) == "running":
        raise RefusedError(f"the run {run_id} is still running", code="owned", hint="wait for its end, or cancel it")
    name = None if agent is None else agent_name(agent, workspace.settings)
    new = check_run_id(new_id) if new_id is not None else new_run_id()
    state = read_state(workspace.store, run_id)
    opened = _as_it_is_now(workspace, state) if edited else None
    make_rerun(
        workspace.store,
        data=workspace.data,
        project=workspace.project,
        old=run_id,
        state=state,
        new=new,
        from_node=from_node,
        agent=name,
        by=who(workspace.via),
        edited=_edited(opened.workflow, state) if opened is not None else None,
    )
    try:
        started = acquire_run(workspace, new, agent=agent, options=options, resume=False)
    except IonError:
        workspace.store.delete_workflow_run(new)  # nothing of it has run
        raise
    if started is None:
        raise RefusedError(f"the run {new} was acquired by another process", code="owned")
    return replace(started, warned=opened.warned) if opened is not None else started


def _as_it_is_now(workspace: Workspace, state: RunState) -> OpenedWorkflow:
    """The file that the run was started with, loaded anew. Raises `InvalidWorkflowError`, `NotFoundError`,
    `UsageError` (it was started without a file), `MissingRuntimeError`."""
    started = state.started
    if started is None or not started.file:
        raise UsageError("the run was started without a file, so there is none to take as it is now")
    opened = open_workflow(workspace, Path(started.file).absolute())
    require_runtimes(opened.workflow, os.environ)
    return opened


def _edited(workflow: Workflow, state: RunState) -> Edited:
    """The workflow with the run's inputs, as far as it declares them. Raises `UsageError` if they do not fit it."""
    inputs = state.started.inputs if state.started is not None else {}
    declared = {item.name for item in workflow.inputs}
    return Edited(workflow, check_inputs(workflow, {name: inputs[name] for name in inputs if name in declared}))
