"""A world whose runs a Temporal cluster drives, with a worker in a thread of this process.

The worker has the agents that the test has: functions of this program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError
from tests.engine.temporal.kit import Server

from conformance.kit import Agent, World
from ion import PromptRequest, RunResult
from ion.api.agents import IN_PROCESS, agent_name
from ion.api.clusters import ClusterRun, in_own_loop
from ion.api.preparing import RunSpec, engine_config_of
from ion.api.reading import describe
from ion.api.runs import acquire_run, start
from ion.api.workspace import Workspace, open_workspace
from ion.core import events as e
from ion.engine.options import RunOptions
from ion.engine.run_reader import read_state
from ion.engine.runs import EngineConfig
from ion.engine.temporal.client import EngineError, connect, wait_for_end
from ion.engine.temporal.cluster import cluster_of, workflow_id
from ion.engine.temporal.worker import WorkerConfig, working
from ion.errors import StoreError

PATIENCE_S = 60
ANSWERS = (e.ApprovalResolved, e.PromptAnswered, e.CancelRequested, e.BudgetRaised, e.SignalReceived)


class NoSuchThing(Exception):
    """What a test asks of the driver that a cluster cannot be asked."""


class Working:
    """A development server, and one worker for all worlds of this process, one world at a time."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.queue = f"parity-{os.getpid()}"
        self.url = f"{self.server.url}?queue={self.queue}"
        self.answering: Any = None
        self._world: TemporalWorld | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="worker")
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the worker does not begin"

    async def _work(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with working(await self._connected(), WorkerConfig(self.queue, slots=64), self._engine_config_for):
            self._ready.set()
            await self._done.wait()

    async def _connected(self) -> Client:
        """A client. The server accepts connections some moments before it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await connect(cluster_of(self.url))
            except EngineError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    def _engine_config_for(self, name: str | None) -> EngineConfig:
        if self._world is None:
            raise StoreError("the world is gone")
        world = self._world
        given = Relay(self) if name is not None and name.startswith(IN_PROCESS) else None
        return engine_config_of(world.workspace, given, name, RunOptions())

    def carry(self, world: TemporalWorld, answering: Any) -> None:
        """Work for the runs of this world from here on; this function, or agent, answers their prompts."""
        self._world = world
        self.answering = answering if answering is not None else self.answering

    def leave(self, world: TemporalWorld) -> None:
        """Release the runs of a world that comes to its end: none is driven any more."""
        in_own_loop(self._end(world))
        self._world = self.answering = None

    async def _end(self, world: TemporalWorld) -> None:
        cluster = cluster_of(self.url)
        client = await connect(cluster)
        for run_id in world.begun:
            if world.store.get_workflow_run(run_id).status in ("running", "paused"):
                with contextlib.suppress(RPCError):  # it has ended meanwhile
                    await client.get_workflow_handle(workflow_id(self.queue, run_id)).terminate()
            else:
                await wait_for_end(cluster, self.queue, run_id)

    def close(self) -> None:
        assert self._loop is not None
        assert self._done is not None
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(PATIENCE_S)
        self.server.kill()


class Relay:
    """Whom the test gave last to answer prompts, by the name of that one."""

    def __init__(self, working: Working) -> None:
        self._working = working

    def __getattr__(self, name: str) -> Any:
        return getattr(self._working.answering, name)

    def __call__(self, request: PromptRequest) -> Any:
        return self._working.answering(request)


@dataclass
class TemporalWorld(World):
    """As `World`; a verb that continues a run returns when the run has ended or waits."""

    working: Working
    begun: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.project, self.store)

    def run(self, workflow: str | Path, *, agent: Any = None, **values: Any) -> RunResult:
        loaded = workflow if isinstance(workflow, Path) else self.load(workflow)
        self.working.carry(self, agent)
        started = start(self.workspace, RunSpec(loaded, engine=self.working.url, agent=agent, **values))
        self.begun.append(started.run_id)
        return self._settled(started.run_id, 0)

    def resume(self, run: RunResult | str, *, agent: Any = None, **values: Any) -> RunResult:
        run_id = run if isinstance(run, str) else run.run_id
        self.working.carry(self, agent)
        if agent is not None and agent_name(agent, self.workspace.settings) == read_state(self.store, run_id).agent:
            agent = None  # the worker has this function, so nobody has to give it
        elif agent is not None:
            agent = agent_name(agent, self.workspace.settings)
        seen = self._seen.get(run_id, 0)
        if agent is None and self._is_answered(run_id, seen):
            return self._settled(run_id, seen)
        last = self.store.get_workflow_run(run_id).last_seq
        taken = acquire_run(self.workspace, run_id, agent=agent, **values)
        if taken is None:
            return describe(self.workspace, run_id)
        assert isinstance(taken, ClusterRun), "this process drives a run of the cluster"
        return self._settled(run_id, last)

    def interrupt(self, text: str | Path, *, at: str, agent: Agent | None = None, **values: Any) -> str:
        raise NoSuchThing("no Ctrl-C reaches the driver of this run")

    def _is_answered(self, run_id: str, seen: int) -> bool:
        """Whether somebody answered since the test saw the run last: the cluster continues by itself then."""
        return any(isinstance(new.event, ANSWERS) for new in self.store.get_workflow_events(run_id, after=seen))

    def _settled(self, run_id: str, after: int) -> RunResult:
        """The run once it has ended or waits, with more events than these."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            row = self.store.get_workflow_run(run_id)
            if row.status != "running" and row.last_seq > after:
                break
            assert time.monotonic() < deadline, f"the cluster does not go on: {row}"
            time.sleep(0.005)
        self._seen[run_id] = row.last_seq
        return describe(self.workspace, run_id)
