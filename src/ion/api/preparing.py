"""A run that is to begin: what somebody asks for, loaded and checked with its surroundings, whoever is to drive it."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from ion import codec
from ion.api.agents import AgentLike, Agents, agent_name, left_out, require_agents
from ion.api.inputs import check_inputs, unfilled, unused_text
from ion.api.settings import effect_of
from ion.api.workflows import open_workflow
from ion.api.workspace import Workspace, check_run_id, new_run_id, project_name, who
from ion.core.commands import AgentLimits
from ion.engine import runs
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.errors import NotFoundError, UsageError
from ion.language.templates import templates_of
from ion.language.workflow import Workflow
from ion.nodes.registry import RUNNERS
from ion.nodes.requirements import require_secrets
from ion.stores.base import DEFAULT_LEASE_MS

SHORTEST_LEASE_MS = 1_000
LONGEST_LEASE_MS = 86_400_000


class RunSpec(Struct, frozen=True):
    """What is to be run, and how, whoever asks for it: the parameters of `ion.execute_workflow`. `engine` is the URL of
    the cluster that is to drive the run (None: this process); `max_budget_usd` is what the run may spend in all, in
    place of the workflow's own budget; `schedule` or `hook` is what starts it, if it does not somebody."""

    workflow: Workflow | str | Path
    arguments: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    context: str = ""
    agent: AgentLike = None
    cwd: Path | str | None = None
    run_id: str | None = None
    engine: str | None = None
    max_budget_usd: float | None = None
    schedule: str | None = None
    hook: str | None = None
    options: RunOptions = DEFAULT_OPTIONS


class PreparedRun(Struct, frozen=True):
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
    nodes = [one.node for one in templates_of(loaded) if one.item is None]
    require_agents(agents, nodes, config.environ, folder)
    run = runs.NewRun(
        workflow=loaded,
        run_id=check_run_id(spec.run_id) if spec.run_id is not None else new_run_id(),
        inputs=values,
        arguments=spec.arguments,
        context=spec.context,
        agent=name,
        cwd=folder,
        by=_by(workspace, spec),
        engine=spec.engine,
        max_budget_usd=_budget(spec, loaded),
    )
    notes = (*unused, *unfilled(loaded, spec.inputs), *left_out(agents, nodes))
    return PreparedRun(config, run, notes, opened.warned)


def _by(workspace: Workspace, spec: RunSpec) -> dict[str, Any]:
    by = {**who(workspace.via), "settings": effect_of(workspace.settings)}
    starting = {"schedule": spec.schedule, "hook": spec.hook}
    return by | {name: value for name, value in starting.items() if value is not None}


def _budget(spec: RunSpec, loaded: Workflow) -> float | None:
    if spec.max_budget_usd is None:
        return loaded.max_budget_usd
    if not 0 < spec.max_budget_usd < math.inf:
        raise UsageError(f"invalid budget {spec.max_budget_usd}", hint="US dollars, more than 0")
    return spec.max_budget_usd


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
        agent_limits=functools.partial(_agent_limits, workspace, agents),
    )


def _agent_limits(workspace: Workspace, agents: Agents, workflow: Workflow) -> AgentLimits:
    """What the settings bound is bounded for all runs of the project together."""
    limits, bounded = agents.agent_limits(workflow), workspace.settings.agents
    shared = [name for name in limits.limits if name in bounded and bounded[name].max_parallel is not None]
    project = project_name(workspace) if shared else ""
    return replace(limits, shared={name: codec.encode(["agent", project, name]) for name in shared})


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
