"""Many runs in one process: each driven by a task of one event loop, and whoever asks waits until one needs somebody.

`ion mcp` stands on this, as any server does that runs workflows for others.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from ion.api.agents import AgentLike
from ion.api.preparing import RunSpec
from ion.api.project import Project
from ion.api.reading import POLL_SECONDS
from ion.api.result import RunResult
from ion.api.run import Run
from ion.api.runs import StartedRun, acquire_answered, start
from ion.core.events import CHECK, SIGNAL, TIMER, Recorded
from ion.core.state import RunState
from ion.core.waits import answered
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.engine.pool import RunPool
from ion.errors import IonError
from ion.stores.base import WorkflowRun

if TYPE_CHECKING:
    from ion.api.clusters import ClusterRun

# What `wait` calls whenever something has happened in a run that is driven here.
Report: TypeAlias = Callable[[Recorded, RunState], Awaitable[None]]
# The same for what an agent says or does: its node, and a line.
StepReport: TypeAlias = Callable[[str, str], Awaitable[None]]


class _Driven(Struct, dict=True):
    """A run as this process sees it: the task that drives it, and what has happened since somebody looked. `moved`:
    something was recorded, or the task has ended; `step` is what an agent did last."""

    task: asyncio.Task[RunResult] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    last: tuple[Recorded, RunState] | None = None
    moved: bool = False
    step: tuple[str, str] | None = None


class Engine:
    """The runs that this process drives, all of one project.

    Its methods belong to one event loop. The runs share one thread that calls the store, one poll for what others ask
    of them, and the agents: `max_parallel` holds for all of them together. `options` are those of every run.
    At the end of an `async with` nothing is driven here any more: every process of the runs is ended, and the runs can
    be resumed.
    """

    def __init__(self, project: Project, options: RunOptions = DEFAULT_OPTIONS) -> None:
        self.project = project
        self._options = replace(options, observers=(*options.observers, _Watch(self)))
        self._runs: dict[str, _Driven] = {}
        self._agents: dict[str, AgentLike] = {}
        self._pool: RunPool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_problem: object) -> None:
        await self.close()

    async def start(self, spec: RunSpec) -> StartedRun | ClusterRun:
        """Create a run and drive it; its `options` are the engine's. Raises what `execute_workflow` raises before the
        first node runs."""
        spec = replace(spec, options=replace(self._options, strict=spec.options.strict))
        started = await asyncio.to_thread(start, self.project.workspace, spec)
        if not isinstance(spec.agent, str | None):
            self._agents[started.run_id] = spec.agent  # no name leads to it again
        self._drive(started)
        return started

    async def proceed(self, run: Run, *, agent: AgentLike = None, resume: bool = False) -> None:
        """Drive a run that was answered, asked to end or cut off, unless a living process does already. `agent`
        overrides the run's own, as in `resume_workflow`; the agent of a run that was started here is known. `resume`:
        also one that failed, deciding anew what failed. Raises what `resume_workflow` raises."""
        taken = await asyncio.to_thread(
            acquire_answered,
            self.project.workspace,
            run.run_id,
            agent=agent or self._agents.get(run.run_id),
            options=self._options,
            resume=resume,
        )
        if taken is not None:
            self._drive(taken)

    def drives(self, run: Run) -> bool:
        """Whether this process drives the run now."""
        driven = self._runs.get(run.run_id)
        return driven is not None and driven.task is not None and not driven.task.done()

    async def join(self, run: Run) -> None:
        """Wait until this process does not drive the run any more. Raises what stopped the drive."""
        driven = self._runs.get(run.run_id)
        if driven is not None and driven.task is not None:
            await asyncio.wait({driven.task})
            self._raise_what_stopped(run.run_id)

    async def wait(
        self,
        run: Run,
        seconds: float | None = None,
        report: Report | None = None,
        report_step: StepReport | None = None,
    ) -> RunResult:
        """The run as soon as somebody has to do something about it (a prompt, a gate), or it has ended or nobody drives
        it; or after this many seconds, however it is then. One that was answered and that nobody drives is driven here
        from then on. `report` is called whenever something has happened in a run that is driven here, `report_step`
        with what an agent of it says or does.

        Raises what stopped the drive, if this process drove the run and could not continue it.
        """
        deadline = float("inf") if seconds is None else time.monotonic() + seconds
        while True:
            before = await asyncio.to_thread(self.project.store.get_workflow_run, run.run_id)
            result = await asyncio.to_thread(run.result)
            runs = result.status == "running" or self.drives(run)
            self._raise_what_stopped(run.run_id)
            if not runs and not result.state.ended and answered(result.state):
                await self.proceed(run)
                runs = True
            left = deadline - time.monotonic()
            if left <= 0 or not runs or _needs_somebody(result):
                return result
            await self._wait_for_news(before, left, report, report_step)

    async def close(self) -> None:
        """Drive nothing any more: every process of the runs is ended, the leases are released, the runs can be
        resumed."""
        await asyncio.sleep(0)  # a task that has not begun yet would be cancelled without releasing its lease
        tasks = [driven.task for driven in self._runs.values() if driven.task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, IonError):
                await task
        self._runs.clear()
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    # ------------------------------------------------------------------ the tasks

    def _driven(self, run_id: str) -> _Driven:
        return self._runs.setdefault(run_id, _Driven())

    def _drive(self, started: StartedRun | ClusterRun) -> None:
        driven = self._driven(started.run_id)
        if self._pool is None:
            self._pool = RunPool(self.project.store)
        drive = started.drive(self._pool) if isinstance(started, StartedRun) else started.drive()
        driven.task = asyncio.create_task(drive, name=f"run {started.run_id}")
        driven.task.add_done_callback(partial(self._ended, started.run_id, driven))

    def _ended(self, run_id: str, driven: _Driven, task: asyncio.Task[RunResult]) -> None:
        """Nothing of the run is kept here, unless its drive was stopped: `wait` says by what."""
        driven.moved = True
        driven.news.set()
        if not task.cancelled() and task.exception() is None and task.result().status in ("completed", "cancelled"):
            self._agents.pop(run_id, None)
        if (task.cancelled() or task.exception() is None) and self._runs.get(run_id) is driven:
            del self._runs[run_id]

    def happened(self, run_id: str, recorded: Recorded, state: RunState) -> None:
        """Something was recorded in a run that this process drives."""
        driven = self._driven(run_id)
        driven.last, driven.moved = (recorded, state), True
        driven.news.set()

    def stepped(self, run_id: str, node: str, line: str) -> None:
        """An agent of a run that this process drives said or did something."""
        driven = self._driven(run_id)
        driven.step = node, line
        driven.news.set()

    async def _wait_for_news(
        self, before: WorkflowRun, seconds: float, report: Report | None, report_step: StepReport | None
    ) -> None:
        """Wait until the log has grown, the owner has released the run, or this many seconds are over."""
        driven = self._driven(before.run_id)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            here = driven.task is not None and not driven.task.done()
            if await _is_set(driven.news, left if here else min(left, POLL_SECONDS)):
                step, driven.step = driven.step, None
                if step is not None and report_step is not None:
                    await report_step(*step)
                if step is not None and not driven.moved:
                    continue
                driven.moved = False
                if driven.last is not None and report is not None:
                    await report(*driven.last)
                return
            if here:
                continue
            now = await asyncio.to_thread(self.project.store.get_workflow_run, before.run_id)
            if now.last_seq != before.last_seq or now.owner != before.owner:
                return

    def _raise_what_stopped(self, run_id: str) -> None:
        """A run that completed, failed or waits is not an error; a store that is gone, or a lease that was lost, is."""
        driven = self._runs.get(run_id)
        if driven is not None and driven.task is not None and driven.task.done():
            del self._runs[run_id]
            driven.task.result()


async def _is_set(news: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await news.wait()
    except TimeoutError:
        return False
    news.clear()
    return True


def _needs_somebody(result: RunResult) -> bool:
    asks = any(item["kind"] not in (TIMER, SIGNAL, CHECK, "quota") for item in result.data["waiting"])
    return asks and not answered(result.state)


class _Watch:
    """Tells an engine what happens in a run that it drives."""

    wants_lines = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:
        self._engine.happened(run_id, recorded, state)

    def progress(self, run_id: str, node: str, line: str) -> None:
        self._engine.stepped(run_id, node, line)
