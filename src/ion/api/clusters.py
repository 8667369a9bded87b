"""Runs that a Temporal cluster drives: starting, continuing and working for them.

The run's log, in a store that all machines share, says which cluster drives it; whoever reads or answers a run needs to
know nothing about that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ion.api.agents import IN_PROCESS, Agents, require_configured
from ion.api.places import groups_of, not_in_effect, refused, take
from ion.api.preparing import RunSpec, engine_config_of, prepare
from ion.api.reading import POLL_SECONDS, describe, follow
from ion.api.result import RunResult
from ion.api.workspace import Workspace, who
from ion.core.commands import AgentLimits
from ion.core.events import WorkflowStarted
from ion.core.fold import apply
from ion.core.resume import resume_cause
from ion.core.state import RunState
from ion.engine import git, runs
from ion.engine.checkouts import uncommitted
from ion.engine.observe import Observer, Observers
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.engine.run_reader import RunReader, read_run
from ion.engine.temporal.cluster import Cluster, cluster_of, owner_of, queue_for, queue_of, worker_labels, worker_name
from ion.engine.temporal.codec import DriveOrder, agent_limits_to_json
from ion.errors import RefusedError, UsageError
from ion.language.templates import templates_of
from ion.language.workflow import Workflow
from ion.process.survivors import end_recorded_by_the_dead
from ion.stores.base import Lease

# A cluster's run belongs to no process: its lease does not end by itself.
_LEASE_MS = 100 * 365 * 86_400_000
DEFAULT_SLOTS = 64
# A workflow may have 2,000 activities waiting or under way (the server's limit).
MOST_SLOTS = 1_000
HEARTBEAT_MS = 10_000
LONGEST_HISTORY = 5_000


class ClusterRun(Struct, frozen=True):
    """A run that a cluster drives from here on, started or continued after its event number `after` (0: just
    started). `notes` and `warned` as in `api.runs.StartedRun`."""

    run_id: str
    after: int
    _workspace: Workspace
    _observers: Iterable[Observer] = ()
    notes: tuple[str, ...] = ()
    warned: str = ""

    async def drive(self) -> RunResult:
        """Wait, as long as the cluster drives it, until it ends or waits for people. Cancelling the wait ends
        nothing."""
        observers, state = Observers(self._observers), RunState()
        store, begun = self._workspace.store, max(self.after, 1)
        while (await asyncio.to_thread(store.get_workflow_run, self.run_id)).last_seq <= begun:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)  # no worker has taken it up yet
        async for recorded in follow(self._workspace, self.run_id):
            apply(state, recorded.event)
            if recorded.seq > self.after:
                observers.events(self.run_id, [recorded], state)
        return await asyncio.to_thread(describe, self._workspace, self.run_id)


def start(workspace: Workspace, spec: RunSpec, engine: str) -> ClusterRun:
    """Create a run in the store and have the cluster at this URL drive it; the workers make its agent, by its name.

    Raises `UsageError` for a store that other machines cannot see, and `EngineError` if the cluster does not answer:
    then the run does not exist.
    """
    cluster = cluster_of(engine)
    from ion.engine.temporal import client

    if workspace.store.url.startswith("memory:"):
        raise UsageError("workers cannot see a store in memory", hint="--store postgresql://…, or files that all share")
    new = prepare(workspace, replace(spec, engine=cluster.url))
    config, run = new.config, new.run
    if run.agent is not None and not run.agent.startswith(IN_PROCESS):
        require_configured(run.agent, workspace.settings)
    groups = not_in_effect(workspace, run.workflow.name)
    notes = (*new.notes, *groups, *_check_files(run.workflow, workspace, run.cwd))
    in_own_loop(client.connect(cluster))
    started, lease = runs.create(config, run, owner_of(run.run_id, cluster.url), _LEASE_MS)
    try:
        _take_places(workspace, run.run_id, started)
    except BaseException:
        workspace.store.release_lease(lease)
        workspace.store.delete_workflow_run(run.run_id)
        raise
    slots = config.options.max_concurrency or run.workflow.max_concurrency
    order = _order(lease, cluster, slots, config.agent_limits(run.workflow), config.options.patience_ms)
    in_own_loop(client.drive(cluster, _queue(workspace, cluster), run.run_id, order))
    return ClusterRun(run.run_id, 0, workspace, config.options.observers, notes, new.warned)


def _take_places(workspace: Workspace, run_id: str, started: WorkflowStarted) -> None:
    """Take a place in each of the run's concurrency groups. Raises `RefusedError` (code `full`) if one has none: no
    cluster has a queue."""
    full = take(workspace, run_id, groups_of(workspace, started))
    if full is not None:
        error = refused(full)
        hint = "a run of a cluster is not queued: try again when one has ended (ion runs)"
        raise RefusedError(error.message, code=error.error_code, hint=hint)


def _check_files(loaded: Workflow, workspace: Workspace, folder: Path) -> tuple[str, ...]:
    """Check that workers can check out what the run needs; returns notes."""
    if loaded.workspace != "git":
        return ()
    if git.head(folder) is None or not folder.is_relative_to(workspace.project):
        raise UsageError(
            f"workspace: git needs a commit, and {folder} is not a folder of the project with one",
            hint="commit the project, or write workspace: shared",
        )
    changed = uncommitted(folder)
    return (f"workers see the last commit: uncommitted changes here ({changed}) are not in it",) if changed else ()


def notify(workspace: Workspace, run_id: str, engine: str) -> None:
    """Have the cluster read what was asked of its run."""
    cluster = cluster_of(engine)
    from ion.engine.temporal import client

    in_own_loop(client.notify(cluster, _queue(workspace, cluster), run_id))


def missing_workers(workspace: Workspace, run_id: str) -> Callable[[], dict[str, str]]:
    """The further options with which `ion worker` must be started, since no worker of that kind is free; for each, a
    node that waits for it. Made to be called repeatedly. Raises `EngineError` if the cluster does not answer."""
    found = read_run(workspace.store, run_id)
    cluster = cluster_of(found.state.engine or "")
    from ion.engine.temporal import client

    queue, templates = _queue(workspace, cluster), templates_of(found.workflow)

    def missing() -> dict[str, str]:
        state = found.read_new()
        waiting: dict[str, tuple[str, str]] = {}
        for node in state.nodes.values():
            if node.live:
                name, label = state.worker, templates[node.id].node.runs_on
                options = f"--name {name}" if name is not None else f"--label {label}" if label is not None else ""
                waiting[queue_for(queue, label, name)] = options, node.id
        unpolled = in_own_loop(client.unpolled(cluster, queue, run_id, waiting)) if waiting else ()
        return dict(waiting[name] for name in unpolled)

    return missing


def continue_run(
    workspace: Workspace,
    found: RunReader,
    *,
    resume: bool,
    agent: str | None = None,
    max_budget_usd: float | None = None,
    options: RunOptions,
) -> ClusterRun:
    """Have the cluster continue its run: read what was asked for, start anew after a failure (`resume`), or drive a
    run that nobody drives (its server had lost its data, or the process that started the run died before it told the
    cluster). `agent` answers prompts from here on, pending ones too; `max_budget_usd` is what a run that had ended
    may spend."""
    run_id, state, engine = found.run_id, found.state, found.state.engine
    assert engine is not None
    cluster = cluster_of(engine)
    from ion.engine.temporal import client

    queue = _queue(workspace, cluster)
    if state.ended:
        in_own_loop(client.wait_for_end(cluster, queue, run_id))
        resume_cause(found.read_new(), agent=agent)  # refuses where somebody else continued it meanwhile, to its end
    if not state.ended:
        asked = (
            client.notify(cluster, queue, run_id) if agent is None else client.take_agent(cluster, queue, run_id, agent)
        )
        if in_own_loop(asked):
            return ClusterRun(run_id, found.seq, workspace, options.observers)
    row = workspace.store.get_workflow_run(run_id)
    owner = owner_of(run_id, engine)
    if row.owner is None:
        lease = workspace.store.acquire_lease(run_id, owner, lease_ms=_LEASE_MS)
    else:
        lease = Lease(run_id, row.epoch, owner)
    try:
        if state.ended and state.started is not None:
            _take_places(workspace, run_id, state.started)
    except BaseException:
        workspace.store.release_lease(lease)
        raise
    runs.set_budget(found, max_budget_usd, by=who(workspace.via), lease=lease)
    slots = state.started.max_concurrency if state.started is not None else None
    agent_limits = Agents(None, agent or state.agent, workspace.settings).agent_limits(found.workflow)
    order = _order(lease, cluster, slots or found.workflow.max_concurrency, agent_limits, options.patience_ms)
    order["resume"], order["agent"] = resume or agent is not None, agent
    in_own_loop(client.drive(cluster, queue, run_id, order))
    return ClusterRun(run_id, found.seq, workspace, options.observers)


def work(
    workspace: Workspace,
    engine: str,
    *,
    slots: int,
    say: Callable[[str], None],
    name: str | None = None,
    labels: Iterable[str] = (),
    only_labelled: bool = False,
) -> None:
    """Be a worker of the cluster for the runs of this store, until a signal ends it. The parameters are those of
    `ion.engine.temporal.worker.WorkerConfig`."""
    cluster = cluster_of(engine)
    from ion.engine.temporal.worker import WorkerConfig
    from ion.engine.temporal.worker import work as work_for

    for registers in (workspace.data / "runs").glob("*/workers"):
        end_recorded_by_the_dead(registers)
    queue = _queue(workspace, cluster)
    config = WorkerConfig(queue, slots, worker_name(name), worker_labels(labels), only_labelled)
    asyncio.run(work_for(cluster, config, engine_config_for(workspace, cluster), say))


def engine_config_for(workspace: Workspace, cluster: Cluster) -> Callable[[str | None], runs.EngineConfig]:
    """The configuration of turns on a worker, for the name of a configured agent. The secrets of the connection are
    not in the environment of the nodes."""

    def made(agent: str | None) -> runs.EngineConfig:
        if agent is not None:
            require_configured(agent, workspace.settings)
        config = engine_config_of(workspace, None, agent, DEFAULT_OPTIONS, only_configured=True)
        environ = {name: value for name, value in config.environ.items() if name not in cluster.secrets}
        return replace(config, environ=environ)

    return made


def _queue(workspace: Workspace, cluster: Cluster) -> str:
    return queue_of(cluster, workspace.project, workspace.store.url)


def _order(
    lease: Lease, cluster: Cluster, slots: int | None, agent_limits: AgentLimits, patience_ms: int | None
) -> DriveOrder:
    return {
        "lease": {"run_id": lease.run_id, "epoch": lease.epoch, "engine": cluster.url},
        "slots": min(slots or DEFAULT_SLOTS, MOST_SLOTS),
        "lanes": agent_limits_to_json(agent_limits),
        "patience_ms": patience_ms,
        "heartbeat_ms": _from_environment("ION_HEARTBEAT_MS", HEARTBEAT_MS),
        "longest_history": _from_environment("ION_LONGEST_HISTORY", LONGEST_HISTORY),
    }


def _from_environment(name: str, default: int) -> int:
    given = os.environ.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and int(given[:10]) > 0):
        raise UsageError(f"{name}={given} is not a number above 0")
    return int(given)


def in_own_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread with an event loop of its own, and return its result; works inside of a loop too."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="ion-engine")
    future = pool.submit(asyncio.run, coroutine)
    pool.shutdown(wait=False)
    return future.result()
