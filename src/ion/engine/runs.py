"""Starting a run and continuing one: the source frozen or thawed, the lease acquired, the context of the turns made.

`start` and `acquire` differ only in the log that they begin with; both end in the same `Drive`.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field

from ion import clocks
from ion.agents.base import Agent
from ion.core import events as e
from ion.core.commands import NO_AGENT_LIMITS, AgentLimits
from ion.core.fold import fold
from ion.core.requests import raise_budget
from ion.core.resume import resume_cause, resume_events
from ion.core.state import RunState
from ion.engine import freeze, git, seals
from ion.engine.agent_registry import AgentRegistry
from ion.engine.folders import claim, folders_of, require_unclaimed
from ion.engine.local import Drive, Runner
from ion.engine.observe import Observers
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.engine.run_reader import RunReader
from ion.language.workflow import Node, Workflow
from ion.masking import secret_values
from ion.nodes.base import Context
from ion.process.survivors import end_left_behind
from ion.stores.base import DEFAULT_LEASE_MS, Lease, Owner, WorkflowStore
from ion.stores.lease import this_process
from ion.version import VERSION

AgentFor = Callable[[Node], Agent | None]
SLOTS_PER_PROCESSOR = 4


class EngineConfig(Struct, frozen=True):
    """What a driver needs to know of its surroundings. `data` is the project's `.ion` folder (or a stand-in), `secrets`
    are names of variables, besides those that the workflow names. `agent_limits` says which nodes share which agent."""

    store: WorkflowStore
    project: Path
    data: Path
    agent_for: AgentFor
    runners: Mapping[str, Runner]
    options: RunOptions = DEFAULT_OPTIONS
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    lease_ms: int = DEFAULT_LEASE_MS
    secrets: tuple[str, ...] = ()
    agent_limits: Callable[[Workflow], AgentLimits] = lambda _workflow: NO_AGENT_LIMITS


class NewRun(Struct, frozen=True):
    """A run that is to begin: its loaded workflow, its `inputs` checked and with their defaults; `engine` is the URL of
    what is to drive it (None: this process), `max_budget_usd` what it may spend in all."""

    workflow: Workflow
    run_id: str
    inputs: dict[str, Any] = field(default_factory=dict)
    arguments: str = ""
    context: str = ""
    agent: str | None = None
    cwd: Path = field(default_factory=Path.cwd)
    by: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    max_budget_usd: float | None = None


def start(config: EngineConfig, new: NewRun) -> Drive:
    """Create the run in the store, owned by this process; driving it is the caller's next step.

    Raises `RefusedError` (code `run-exists`) if the id is taken.
    """
    started, lease = create(config, new, this_process(config.lease_ms), config.lease_ms)
    return _drive(config, new.workflow, started, lease, fold([started]))


def create(config: EngineConfig, new: NewRun, owner: Owner, lease_ms: int) -> tuple[e.WorkflowStarted, Lease]:
    """Create the run in the store, whoever will own it: its first event, and its first lease."""
    workflow = new.workflow
    require_unclaimed(folders_of(config.data, new.run_id, config.project).run, config.store.url, config.project)
    source = freeze.freeze(workflow, config.store)
    started = e.WorkflowStarted(
        _clock_of(owner)(),
        workflow=workflow.name,
        digest=freeze.digest_of(source),
        nodes=workflow.node_kinds,
        file=workflow.file,
        inputs=new.inputs,
        arguments=new.arguments,
        context=new.context,
        agent=new.agent,
        cwd=str(new.cwd),
        max_concurrency=config.options.max_concurrency,
        ion_version=VERSION,
        git_head=git.head(new.cwd),
        by={**new.by, "remote": git.remote(new.cwd)},
        max_budget_usd=new.max_budget_usd,
        engine=new.engine,
    )
    if not config.store.url.startswith("memory:"):  # that no clock ever sees
        started = seals.sealed(started, new.run_id, str(config.project))
    lease = config.store.create_workflow_run(
        new.run_id,
        project=str(config.project),
        source=source,
        event=started,
        owner=owner,
        lease_ms=lease_ms,
    )
    return started, lease


def acquire(
    config: EngineConfig,
    found: RunReader,
    *,
    agent: str | None,
    by: dict[str, Any],
    resume: bool = True,
    max_budget_usd: float | None = None,
) -> tuple[Drive, list[e.Event]] | None:
    """Become the owner of a run and give what its next stretch begins with; None if it waits for people and nothing
    came. `resume` as in `core.resume.resume_cause`; `max_budget_usd` is the run's budget from here on.

    Raises `RefusedError`: it ended, it belongs to a live process, or its frozen files were changed.
    """
    run_id = found.run_id
    if resume_cause(found.state, agent=agent, resume=resume, at=clocks.now_ms()) is None:
        return None
    workflow = found.workflow
    lease = config.store.acquire_lease(run_id, this_process(config.lease_ms), lease_ms=config.lease_ms)
    try:
        state = found.read_new()
        cause = resume_cause(state, agent=agent, resume=resume, at=clocks.now_ms())
        if cause is None or state.started is None:
            config.store.release_lease(lease)
            return None
        set_budget(found, max_budget_usd, by=by, lease=lease)
        folders = folders_of(config.data, run_id, config.project)
        end_left_behind(folders.register, run_id, folders.artifacts, config.options.grace_ms)
        begin = resume_events(
            workflow,
            state,
            cause=cause,
            at=_clock_of(lease.owner)(),
            by=by,
            agent=agent,
            resume=resume,
            owner_died=lease.owner_died,
            owned_until=lease.owned_until,
        )
        return _drive(config, workflow, state.started, lease, state), begin
    except BaseException:
        config.store.release_lease(lease)
        raise


def _clock_of(owner: Owner) -> Callable[[], int]:
    """The clock of a drive: the one that its lease uses, so that the log and the lease agree."""
    return clocks.now_ms if owner.clock_zero is None else clocks.running_from(owner.clock_zero)


def set_budget(
    found: RunReader, max_budget_usd: float | None, *, by: dict[str, Any], lease: Lease | None = None
) -> None:
    """Record what the run may spend from here on, as its owner if there is a lease (an ended run accepts nothing
    from others). Raises `UsageError` if that is spent already."""
    if max_budget_usd is None or (lease is None and found.state.ended):
        return
    at = clocks.now_ms() if lease is None else _clock_of(lease.owner)()
    event = raise_budget(found.state, max_budget_usd, at=at, by=by)
    if max_budget_usd != found.state.max_budget_usd:
        found.store.create_workflow_event(found.run_id, [event], lease=lease)
        found.read_new()


def _drive(
    config: EngineConfig, workflow: Workflow, started: e.WorkflowStarted, lease: Lease, state: RunState
) -> Drive:
    options = config.options
    observers = Observers(options.observers)
    engaged = AgentRegistry(config.agent_for)
    context = context_of(config, lease.run_id, workflow, started, engaged, observers)
    slots = options.max_concurrency or workflow.max_concurrency or (os.cpu_count() or 1) * SLOTS_PER_PROCESSOR
    return Drive(
        store=config.store,
        lease=lease,
        context=context,
        runners=dict(config.runners),
        observers=observers,
        max_concurrency=slots,
        state=state,
        lease_ms=config.lease_ms,
        clock=_clock_of(lease.owner),
        agent_limits=config.agent_limits(workflow),
        engaged=engaged,
        hold_ms=options.hold_ms,
        patience_ms=options.patience_ms,
    )


def context_of(
    config: EngineConfig,
    run_id: str,
    workflow: Workflow,
    started: e.WorkflowStarted,
    engaged: AgentRegistry,
    observers: Observers,
    inline_limit: int = e.INLINE_LIMIT_BYTES,
) -> Context:
    """The run as its turns see it on this machine, with its folders made and its frozen scripts laid out. Texts over
    `inline_limit` bytes are kept beside the log.

    Raises `RefusedError` (code `changed`) if a frozen script was changed.
    """
    folders = folders_of(config.data, run_id, config.project)
    for folder in (folders.artifacts, folders.state, folders.logs, folders.scratch, folders.source):
        folder.mkdir(parents=True, exist_ok=True)
    claim(folders.run, config.store.url, config.project)
    freeze.lay_out(workflow, config.store, folders.source)
    cwd = Path(started.cwd)
    return Context(
        run_id=run_id,
        workflow=workflow,
        folders=folders,
        project=config.project,
        cwd=cwd,
        nodes={},
        inputs=started.inputs,
        arguments=started.arguments,
        external_context=started.context,
        agent_for=engaged.agent_for,
        keep=functools.partial(_keep, config.store, inline_limit),
        open=functools.partial(_open, config.store),
        progress=functools.partial(observers.progress, run_id),
        base_branch=functools.cache(functools.partial(git.default_branch, cwd)),
        environ=dict(config.environ),
        grace_ms=config.options.grace_ms,
        secrets=secret_values((*_secrets(workflow), *config.secrets), config.environ),
        lines=functools.partial(observers.lines, run_id) if observers.want_lines else None,
    )


def _secrets(workflow: Workflow) -> tuple[str, ...]:
    return tuple(name for flow in workflow.with_called for name in flow.secrets)


def _open(store: WorkflowStore, content: e.Content) -> BinaryIO:
    if content.text is not None:
        return io.BytesIO(content.text.encode("utf-8", "surrogatepass"))
    return store.open_blob(content.sha256)


def _keep(store: WorkflowStore, inline_limit: int, item: str | Path) -> e.Content:
    if isinstance(item, Path):
        return store.put_blob(item)
    content = e.Content(item)
    if content.size <= inline_limit:
        return content
    return store.put_blob(item.encode("utf-8", "surrogatepass"))
