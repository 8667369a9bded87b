"""Becoming the owner of a run: of a new one, or of one that can be continued.

Cancelling the task of a drive (as Ctrl-C does for the command) ends every process of the run and leaves it resumable.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ion.api.agents import IN_PROCESS, AgentLike, Agents, agent_name, left_out, require_agents, require_configured
from ion.api.inputs import check_inputs, unfilled, unused_text
from ion.api.reading import describe_state
from ion.api.requests import require_outside
from ion.api.result import RunResult
from ion.api.spec import RunSpec
from ion.api.who import who
from ion.api.workflows import open_workflow
from ion.api.workspace import Workspace, check_run_id, new_run_id
from ion.core.resume import resume_cause
from ion.core.state import RunState
from ion.engine import runs
from ion.engine.options import RunOptions
from ion.engine.pool import RunPool
from ion.engine.run_reader import RunReader, read_run
from ion.errors import NotFoundError, RefusedError, UsageError
from ion.language.workflow import Workflow
from ion.nodes.registry import RUNNERS
from ion.nodes.requirements import require_runtimes, require_secrets
from ion.records import dataclass, field
from ion.stores.base import DEFAULT_LEASE_MS

if TYPE_CHECKING:
    from ion.api.engines import EngineRun

SHORTEST_LEASE_MS = 1_000
LONGEST_LEASE_MS = 86_400_000


@dataclass
class StartedRun:
    """A run that this process owns and has not driven yet. `notes` are worth a look and no reason not to run it;
    `warned` says that the workflow's file has warnings, '' if it has none."""

    run_id: str
    _workspace: Workspace
    _drive: Any
    _begin: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    warned: str = ""

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
        """Drive it until it ends or waits for people. `pool` is what it shares with other runs of this event loop."""
        state = await self._drive.run(self._begin, pool)
        return describe_state(self._workspace, self.run_id, state, state.status, state.last_at)


def start(workspace: Workspace, spec: RunSpec) -> StartedRun | EngineRun:
    """Create a run, owned by this process or by the cluster that `spec` names. Raises what `execute_workflow` raises,
    and for a cluster what `engines.start` does."""
    if spec.engine is not None:
        from ion.api import engines

        return engines.start(workspace, spec, spec.engine)
    new = prepare(workspace, spec)
    require_runtimes(new.run.workflow, os.environ)
    drive = runs.start(new.config, new.run)
    return StartedRun(new.run.run_id, workspace, drive, notes=new.notes, warned=new.warned)


@dataclass(frozen=True)
class PreparedRun:
    """A run that is to begin and its surroundings, checked, whoever is to drive it. `notes` and `warned` as in
    `StartedRun`."""

    config: runs.EngineConfig
    run: runs.NewRun
    notes: tuple[str, ...]
    warned: str


def prepare(workspace: Workspace, spec: RunSpec) -> PreparedRun:
    """Load and check a run that is to begin."""
    options = spec.options
    opened = open_workflow(workspace, spec.workflow, strict=options.strict)
    loaded = opened.workflow
    unused = unused_text(loaded, spec.arguments, strict=options.strict)
    values = check_inputs(loaded, spec.inputs)
    folder = _working_directory(workspace, spec.cwd)
    require_secrets(loaded, os.environ)
    name = agent_name(spec.agent, workspace.settings)
    config = engine_config_of(workspace, spec.agent, name, options)
    agents = Agents(spec.agent, name, workspace.settings)
    require_agents(agents, loaded.nodes, config.environ, folder)
    run = runs.NewRun(
        workflow=loaded,
        run_id=check_run_id(spec.run_id) if spec.run_id is not None else new_run_id(),
        inputs=values,
        arguments=spec.arguments,
        context=spec.context,
        agent=name,
        cwd=folder,
        by=who(workspace.via),
        engine=spec.engine,
    )
    notes = (*unused, *unfilled(loaded, spec.inputs), *left_out(agents, loaded.nodes))
    return PreparedRun(config, run, notes, opened.warned)


def acquire_run(
    workspace: Workspace,
    run_id: str,
    *,
    agent: AgentLike = None,
    options: RunOptions | None = None,
    resume: bool = True,
    max_budget_usd: float | None = None,
) -> StartedRun | EngineRun | None:
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
        from ion.api import engines

        again = resume and state.status == "failed"
        return engines.go_on(
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
    return StartedRun(run_id, workspace, drive, begin)


def acquire_answered(
    workspace: Workspace,
    run_id: str,
    *,
    agent: AgentLike = None,
    options: RunOptions | None = None,
    resume: bool = False,
) -> StartedRun | EngineRun | None:
    """What comes after an answer: become the owner of the run as `acquire_run` does, unless it has ended meanwhile or a
    living process owns it, which then continues it by itself."""
    try:
        return acquire_run(workspace, run_id, agent=agent, options=options, resume=resume)
    except RefusedError as error:
        if error.error_code in ("owned", "ended"):
            return None
        raise


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
    left = [node for node in workflow.nodes if node.always_run or state.nodes[node.id].status != "completed"]
    require_agents(agents, left, config.environ, Path(state.started.cwd if state.started else ""))


def _check_agent(state: RunState, agent: AgentLike) -> None:
    if agent is None and state.agent is not None and state.agent.startswith(IN_PROCESS):
        raise RefusedError(
            f"the run's agent, {state.agent}, is a function of the program that started it",
            code="agent",
            hint="continue from that program, or give another agent",
        )


def engine_config_of(
    workspace: Workspace,
    agent: AgentLike,
    name: str | None,
    options: RunOptions,
    *,
    only_configured: bool = False,
) -> runs.EngineConfig:
    """The surroundings of a run with this agent; `name` is what the log has or will have of it. `only_configured` as in
    `Agents`."""
    settings = workspace.settings
    agents = Agents(agent, name, settings, only_configured)
    return runs.EngineConfig(
        store=workspace.store,
        project=workspace.project,
        data=workspace.make_data(),
        agent_for=agents,
        runners=RUNNERS,
        options=replace(options, max_concurrency=options.max_concurrency or settings.max_concurrency),
        environ={**os.environ, **settings.env},
        lease_ms=_lease_ms(os.environ.get("ION_LEASE_MS")),
        secrets=settings.secrets,
        agent_limits=agents.agent_limits,
    )


def _lease_ms(given: str | None) -> int:
    """The length of the lease. Under a second an owner that is merely slow would lose its run."""
    if not given:
        return DEFAULT_LEASE_MS
    if not (given.isascii() and given.isdecimal() and SHORTEST_LEASE_MS <= int(given[:10]) <= LONGEST_LEASE_MS):
        raise UsageError(
            f"invalid lease length: ION_LEASE_MS={given}",
            hint=f"milliseconds, from {SHORTEST_LEASE_MS} to {LONGEST_LEASE_MS}; without it {DEFAULT_LEASE_MS}",
        )
    return int(given)


def _working_directory(workspace: Workspace, cwd: Path | str | None) -> Path:
    folder = Path(cwd).absolute() if cwd is not None else workspace.project
    if not folder.is_dir():
        raise NotFoundError(f"the working directory {folder} is not a directory")
    return folder
