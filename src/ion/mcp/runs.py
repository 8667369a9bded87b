"""The runs that this server drives, and waiting until one of them needs somebody.

A run is driven by a task beside the protocol, so that no call has to last as long as a run. A call waits until there is
something to answer, the run has ended, or its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ion.api import reading
from ion.api.result import RunResult
from ion.api.runs import StartedRun, acquire_answered, start
from ion.api.spec import RunSpec
from ion.api.workspace import Workspace
from ion.core.events import Recorded
from ion.core.resume import answered
from ion.core.state import RunState
from ion.engine.options import RunOptions
from ion.errors import IonError
from ion.stores.base import WorkflowRun

if TYPE_CHECKING:
    from ion.api.engines import EngineRun

# How often the log of a run is looked at that another process drives.
POLL_SECONDS = 0.25
_Result = TypeVar("_Result")
Report = Callable[[str], Awaitable[None]]


class Runs:
    """The runs that this process drives. Its methods are called in the event loop; the store is called in threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._drives: dict[str, asyncio.Task[RunResult]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._said: dict[str, str] = {}

    async def start(self, workflow: Any, **how: Any) -> StartedRun | EngineRun:
        """Create a run and drive it. Raises what `api.runs.start` raises."""
        spec = RunSpec(workflow, options=self._options(), **how)
        started = await self.aside(start, self.workspace, spec)
        self._drive(started)
        return started

    async def go_on(self, run_id: str, *, resume: bool = False) -> None:
        """Drive a run that was answered, asked to end or cut off, unless a living process does already.

        `resume`: also one that failed, deciding anew what failed. Raises what `api.runs.acquire_run` raises.
        """
        taken = await self.aside(acquire_answered, self.workspace, run_id, options=self._options(), resume=resume)
        if taken is not None:
            self._drive(taken)

    def drives(self, run_id: str) -> bool:
        """Whether this process drives the run now."""
        task = self._drives.get(run_id)
        return task is not None and not task.done()

    async def wait(self, run_id: str, seconds: float, report: Report) -> RunResult:
        """The run as soon as somebody must act (a prompt, a gate), it has ended, or it cannot continue; or after this
        many seconds, in whatever state. A run that was answered and that nobody drives is continued. `report` takes a
        line whenever something happens.

        Raises what stopped the drive, if this process drove the run and could not continue.
        """
        deadline = time.monotonic() + seconds
        while True:
            before = await self.aside(self.workspace.store.get_workflow_run, run_id)
            result = await self.aside(reading.describe, self.workspace, run_id)
            runs = result.status == "running" or self.drives(run_id)
            self._raise_what_stopped(run_id)
            if not runs and not result.state.ended and answered(result.state):
                await self.go_on(run_id)
                runs = True
            left = deadline - time.monotonic()
            if left <= 0 or not runs or _needs_somebody(result):
                return result
            await self._wait_for_news(before, left, report)

    async def _wait_for_news(self, before: WorkflowRun, seconds: float, report: Report) -> None:
        """Wait until the log has grown, the owner has released the run, or this many seconds are over."""
        run_id = before.run_id
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if await self._told(run_id, min(left, POLL_SECONDS)):
                if run_id in self._said:
                    await report(self._said[run_id])
                return
            now = await self.aside(self.workspace.store.get_workflow_run, run_id)
            if now.last_seq != before.last_seq or now.owner != before.owner:
                return

    def _raise_what_stopped(self, run_id: str) -> None:
        """A run that completed, failed or waits is not an error; a store that is gone, or a lease that was lost, is."""
        task = self._drives.get(run_id)
        if task is None or not task.done() or task.cancelled():
            return
        error = task.exception()
        del self._drives[run_id]
        if error is not None:
            raise error

    async def _told(self, run_id: str, seconds: float) -> bool:
        news = self._news.setdefault(run_id, asyncio.Event())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await news.wait()
        except TimeoutError:
            return False
        news.clear()
        return True

    def _drive(self, started: StartedRun | EngineRun) -> None:
        task = asyncio.create_task(started.drive(), name=f"run {started.run_id}")
        self._drives[started.run_id] = task
        task.add_done_callback(lambda _: self._tell(started.run_id))

    def _tell(self, run_id: str) -> None:
        self._news.setdefault(run_id, asyncio.Event()).set()

    def _options(self) -> RunOptions:
        return RunOptions(observers=(_Watch(self),))

    def notice(self, run_id: str, line: str) -> None:
        """Something happened in a run that this process drives."""
        self._said[run_id] = line
        self._tell(run_id)

    async def aside(self, function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:
        """Read or write the store in a thread, so that the protocol and the other runs continue."""
        return await asyncio.to_thread(function, *arguments, **named)

    async def end(self) -> None:
        """Stop driving: every process of the runs is ended, the leases are released, the runs can be resumed."""
        tasks = [task for task in self._drives.values() if not task.done()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, IonError):
                await task
        self._drives.clear()


def _needs_somebody(result: RunResult) -> bool:
    return bool(result.data["waiting"]) and not answered(result.state)


class _Watch:
    """Tells `Runs` what happens in a run that is driven here."""

    wants_lines = False

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:
        node = getattr(recorded.event, "node", None)
        settled = sum(one.terminal for one in state.nodes.values())
        what = recorded.event.type.replace("_", " ") + (f": {node}" if node else "")
        self._runs.notice(run_id, f"{settled} of {len(state.nodes)} settled, {what}")

    def progress(self, run_id: str, node: str, line: str) -> None:
        pass
