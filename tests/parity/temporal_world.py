"""A world whose runs a Temporal cluster drives, with a worker in a thread of this process.

The worker has the agents that the test has: functions of this program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engine.temporal_kit import Server

from conformance.kit import Agent, World
from ion import PromptRequest, PromptResult, RunResult
from ion.api.agents import IN_PROCESS, _in_process, agent_name
from ion.api.engines import start_engine_run
from ion.api.reading import describe
from ion.api.runs import RunOptions, setting_of, take_up_run
from ion.api.workspace import Workspace, open_workspace
from ion.core import events as e
from ion.engine.runs import Setting, read_state
from ion.engine.temporal.client import connect
from ion.engine.temporal.place import cluster_of
from ion.engine.temporal.worker import working
from ion.errors import RefusedError, StoreError
from ion.records import dataclass, field

PATIENCE_S = 60
ANSWERS = (e.ApprovalResolved, e.PromptAnswered, e.CancelRequested, e.BudgetRaised)


class NoSuchThing(Exception):
    """What a test asks of the driver that a cluster cannot be asked."""


class Working:
    """A development server, and one worker for all worlds of this process, one world at a time."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.url = f"{self.server.url}?queue=parity-{os.getpid()}"
        self._world: TemporalWorld | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="worker")
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the worker does not begin"

    async def _work(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        cluster = cluster_of(self.url)
        assert cluster.queue is not None
        async with working(await connect(cluster), cluster.queue, self._setting_for, slots=64):
            self._ready.set()
            await self._done.wait()

    def _setting_for(self, name: str | None) -> Setting:
        if self._world is None:
            raise StoreError("there is no world now")
        world = self._world
        given = Relay(world) if name is not None and name.startswith(IN_PROCESS) else None
        return setting_of(world.workspace, given, name, RunOptions(via="worker"))

    @contextlib.contextmanager
    def carrying(self, world: TemporalWorld) -> Iterator[None]:
        """Work for the runs of this world."""
        self._world = world
        try:
            yield
        finally:
            self._world = None

    def close(self) -> None:
        assert self._loop is not None
        assert self._done is not None
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(PATIENCE_S)
        self.server.kill()


class Relay:
    """Whom the test gave last to answer prompts, by the name of that one."""

    def __init__(self, world: TemporalWorld) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.answering, name)

    async def prompt(self, request: PromptRequest) -> PromptResult:
        return await _in_process(self._world.answering).prompt(request)


@dataclass
class TemporalWorld(World):
    """As `World`; a verb that goes on with a run returns when the run has ended or waits."""

    working: Working
    answering: Any = None
    _seen: dict[str, int] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.project, self.store)

    def run(self, workflow: str | Path, *, agent: Any = None, **values: Any) -> RunResult:
        loaded = workflow if isinstance(workflow, Path) else self.load(workflow)
        self.answering = agent
        started = start_engine_run(self.workspace, loaded, self.working.url, agent=agent, **values)
        return self._settled(started.run_id, 0)

    def resume(self, run: RunResult | str, *, agent: Any = None, **values: Any) -> RunResult:
        run_id = run if isinstance(run, str) else run.run_id
        if agent is not None and agent_name(agent, self.workspace.settings) == read_state(self.store, run_id).agent:
            self.answering, agent = agent, None  # the worker has this function, so nobody has to give it
        seen = self._seen.get(run_id, 0)
        if self._is_answered(run_id, seen):
            return self._settled(run_id, seen)
        last = self.store.get_workflow_run(run_id).last_seq
        try:
            taken = take_up_run(self.workspace, run_id, agent=agent, **values)
        except RefusedError as refused:
            if "goes on at" not in refused.message:
                raise
            return self._settled(run_id, last)
        assert taken is None, "this process drives a run of the cluster"
        return describe(self.workspace, run_id)

    def interrupt(self, text: str | Path, *, at: str, agent: Agent | None = None, **values: Any) -> str:
        raise NoSuchThing("no Ctrl-C reaches the driver of this run")

    def _is_answered(self, run_id: str, seen: int) -> bool:
        """Whether somebody answered since the test saw the run last: the cluster goes on by itself then."""
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
