"""Becoming the owner of a run: of a new one, of one that can be continued, or of one that runs an old one again.

Cancelling the task of a drive (as Ctrl-C does for the command) ends every process of the run and leaves it resumable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from ion.api.agents import IN_PROCESS, AgentLike, Agents, agent_name, require_agents, require_configured
from ion.api.inputs import check_inputs
from ion.api.listing import status_of
from ion.api.places import NamedGroup, cancel_oldest, groups_of, not_in_effect, refused, take
from ion.api.preparing import PreparedRun, RunSpec, engine_config_of, prepare
from ion.api.reading import describe, describe_state
from ion.api.result import RunResult
from ion.api.settings import effect_of
from ion.api.workflows import OpenedWorkflow, open_workflow
from ion.api.workspace import Workspace, check_run_id, new_run_id, require_outside, who
from ion.core.events import Event, WorkflowFailed, WorkflowQueued
from ion.core.resume import resume_cause
from ion.core.state import RunState
from ion.engine import runs
from ion.engine.local import Drive
from ion.engine.options import RunOptions
from ion.engine.pool import RunPool
from ion.engine.rerun import Edited, make_rerun
from ion.engine.run_reader import RunReader, read_run, read_state
from ion.errors import IonError, RefusedError, UsageError
from ion.language.templates import Template, templates_of
from ion.language.workflow import Workflow
from ion.names import as_address
from ion.nodes.requirements import require_runtimes, require_secrets

if TYPE_CHECKING:
    from ion.api.clusters import ClusterRun


class StartedRun(Struct, dict=True):
    """A run that this process owns and has not driven yet. `notes` are worth a look and no reason not to run it;
    `warned` says that the workflow's file has warnings, '' if it has none. One that `is_queued` waits for a place, and
    nobody owns it."""

    run_id: str
    _workspace: Workspace
    _drive: Any
    _begin: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    warned: str = ""
    is_queued: bool = False

    @property
    def workflow(self) -> Workflow:
        """The workflow, as it was frozen."""
        loaded: Workflow = self._drive.context.workflow
        return loaded

    @property
    def logs(self) -> Path:
        """The folder of the output of the run's programs."""
        folder: Path = self._drive.context.folders.logs
        return folder

    async def drive(self, pool: RunPool | None = None) -> RunResult:
        """Drive it until it ends or waits for people; one that is queued stays so. `pool` is what it shares with other
        runs of this event loop."""
        if self.is_queued:
            return describe(self._workspace, self.run_id)
        state = await self._drive.run(self._begin, pool)
        return describe_state(self._workspace, self.run_id, state, state.status, state.last_at)


def start(workspace: Workspace, spec: RunSpec) -> StartedRun | ClusterRun:
    """Create a run, owned by this process or by the cluster that `spec` names. Raises what `execute_workflow` raises,
    and for a cluster what `clusters.start` does."""
    if spec.engine is not None:
        from ion.api import clusters

        return clusters.start(workspace, spec, spec.engine)
    new = prepare(workspace, spec)
    require_runtimes(new.run.workflow, os.environ)
    notes = (*new.notes, *not_in_effect(workspace, new.run.workflow.name))
    drive, queued = _start(workspace, new)
    return StartedRun(new.run.run_id, workspace, drive, notes=notes, warned=new.warned, is_queued=queued)


def _start(workspace: Workspace, new: PreparedRun) -> tuple[Drive, bool]:
    """Create the run and take its places; whether it is queued. Raises `RefusedError` (code `full`) if it may not
    be."""
    drive = runs.start(new.config, new.run)
    run_id, lease = new.run.run_id, drive.lease
    try:
        assert drive.state.started is not None
        full = take(workspace, run_id, groups_of(workspace, drive.state.started))
        if full is None:
            return drive, False
        if full.group.on_full != "refuse":
            _enqueue(workspace, drive, full, [])
            return drive, True
    except BaseException:
        workspace.store.release_lease(lease)
        raise
    workspace.store.release_lease(lease)
    workspace.store.delete_workflow_run(run_id)
    raise refused(full)


def _enqueue(workspace: Workspace, drive: Drive, full: NamedGroup, begin: list[Event]) -> None:
    """Have a run that this process owns wait for a place in a group, in whose queue it is already. It continues then
    with what `begin` decided."""
    if full.group.on_full == "cancel_oldest" and drive.state.status != "queued":
        cancel_oldest(workspace, drive.run_id, full)
    workspace.store.create_workflow_event(
        drive.run_id, [*begin, WorkflowQueued(drive.clock(), full.name)], lease=drive.lease
    )
    workspace.store.release_lease(drive.lease)


def acquire_run(
    workspace: Workspace,
    run_id: str,
    *,
    agent: AgentLike = None,
    options: RunOptions | None = None,
    resume: bool = True,
    max_budget_usd: float | None = None,
) -> StartedRun | ClusterRun | None:
    """Become the owner of a run that can be continued, or have the cluster that drives it continue; None if it waits
    for people and no answer came.

    `resume` False only acts on answers and cancel requests: no node that failed or was skipped is decided anew.
    `max_budget_usd` is what the run may spend in all from here on; it is recorded even if the run then still waits.
    """
    options = options or RunOptions()
    if max_budget_usd is not None:
        require_outside(run_id)
    found = read_run(workspace.store, run_id)
    state = found.state
    if state.engine is not None:
        named = _engine_agent(workspace, found, agent)
        runs.set_budget(found, max_budget_usd, by=who(workspace.via))
        if resume_cause(state, agent=named, resume=resume) is None:
            return None
        from ion.api import clusters

        again = resume and state.status == "failed"
        return clusters.continue_run(
            workspace, found, resume=again, agent=named, max_budget_usd=max_budget_usd, options=options
        )
    name = None if agent is None else agent_name(agent, workspace.settings)
    _check_agent(state, agent)
    config = engine_config_of(workspace, agent, name or state.agent, options)
    if (not state.ended or (resume and state.status == "failed")) and state.cancel is None:
        _require_what_is_left(found, config, Agents(agent, name or state.agent, workspace.settings))
    runs.set_budget(found, max_budget_usd, by=who(workspace.via))
    taken = runs.acquire(config, found, agent=name, by=who(workspace.via), resume=resume, max_budget_usd=max_budget_usd)
    if taken is None:
        return None
    drive, begin = taken
    try:
        return StartedRun(run_id, workspace, drive, begin, is_queued=_is_queued(workspace, drive, begin, agent=name))
    except BaseException:
        workspace.store.release_lease(drive.lease)
        raise


def _is_queued(workspace: Workspace, drive: Drive, begin: list[Event], *, agent: str | None) -> bool:
    """Take the places of a run that is to be continued; whether it waits for one now. A run that is only to end needs
    none. Raises `RefusedError` (code `full`) if it may not wait."""
    state = drive.state
    only_ends = state.cancel is not None or any(isinstance(event, WorkflowFailed) for event in begin)
    if only_ends or state.started is None:
        return False
    full = take(workspace, drive.run_id, groups_of(workspace, state.started))
    if full is None:
        return False
    if full.group.on_full == "refuse":
        raise refused(full)
    if state.status == "queued" and agent is None:
        workspace.store.release_lease(drive.lease)
    else:
        _enqueue(workspace, drive, full, begin)
    return True


def acquire_answered(
    workspace: Workspace,
    run_id: str,
    *,
    agent: AgentLike = None,
    options: RunOptions | None = None,
    resume: bool = False,
) -> StartedRun | ClusterRun | None:
    """What comes after an answer: become the owner of the run as `acquire_run` does, unless it has ended meanwhile or a
    living process owns it, which then continues it by itself."""
    try:
        return acquire_run(workspace, run_id, agent=agent, options=options, resume=resume)
    except RefusedError as error:
        if error.error_code in ("owned", "ended"):
            return None
        raise


def require_continuable(workspace: Workspace, found: RunReader) -> None:
    """Raise what `acquire_run` raises if this process lacks something that the rest of the run needs: an agent, a
    secret, a program."""
    state = found.state
    _check_agent(state, None)
    require_runtimes(found.workflow, os.environ)
    config = engine_config_of(workspace, None, state.agent, RunOptions())
    _require_what_is_left(found, config, Agents(None, state.agent, workspace.settings))


def _engine_agent(workspace: Workspace, found: RunReader, agent: AgentLike) -> str | None:
    """The agent, as workers can be told of it."""
    if agent is None:
        return None
    if not isinstance(agent, str):
        raise UsageError("workers find an agent by its name", hint="give the name of a configured one, or none")
    require_configured(agent, workspace.settings)
    if found.state.status == "running":
        raise RefusedError(f"the run {found.run_id} is running with its agent", code="owned", hint="ion watch shows it")
    return agent


def _require_what_is_left(found: RunReader, config: runs.EngineConfig, agents: Agents) -> None:
    """Check what the rest of a run needs on this machine."""
    workflow, state = found.workflow, found.state
    require_secrets(workflow, os.environ)
    left = [one.node for one in templates_of(workflow) if one.item is None and _may_run(state, one)]
    require_agents(agents, left, config.environ, Path(state.started.cwd if state.started else ""))


def _may_run(state: RunState, template: Template) -> bool:
    """Whether a resume may run it: unless the outermost node that it is in has completed for good."""
    outermost = template.path.partition(".")[0]
    return template.all[outermost].node.always_run or state.nodes[outermost].status != "completed"


def _check_agent(state: RunState, agent: AgentLike) -> None:
    if agent is None and state.agent is not None and state.agent.startswith(IN_PROCESS):
        raise RefusedError(
            f"the run's agent, {state.agent}, is a function of the program that started it",
            code="agent",
            hint="continue from that program, or give another agent",
        )


# ---------------------------------------------------------------------- running it again


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
        from_node=None if from_node is None else as_address(from_node),
        agent=name,
        by={**who(workspace.via), "settings": effect_of(workspace.settings)},
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
