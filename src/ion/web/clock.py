"""The clock of `ion serve --clock`: what `ion tick` does, again and again, and the runs are driven here. With
`--hooks-port` alone, only those that a hook started or sent a signal to are.

Ended with the server, it ends every process of the runs that it drives, and they can be resumed; another clock, or the
next one here, finds what is due by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial

from msgspec import Struct, field

from ion import Engine, Project, RunOptions
from ion.api.clock import PATIENCE_MS, drive, look
from ion.api.schedules import start_due
from ion.api.watchers import watchers
from ion.errors import IonError
from ion.views.masking import masked_json
from ion.web.site import Site

SECONDS = 1.0
# Schedules have slots of whole minutes; their settings and workflows are read at each look.
SCHEDULE_SECONDS = 5.0
# A look that takes long, since much waits or was cut off, is followed by a pause so many times as long.
SHARE = 20
# A run that could not be continued is tried again after this.
AGAIN_SECONDS = 60


async def run(site: Site) -> None:
    """Start and continue what is due until the server ends."""
    workspace = site.fresh("clock")
    watching = [*watchers(workspace, log=None, notify=None, otel=False, shown=masked_json)]
    options = RunOptions(observers=tuple(watching), patience_ms=PATIENCE_MS)
    try:
        async with Engine(Project(workspace), options) as engine:
            clock, looked = _Clock(site, engine), float("-inf")
            while not site.ended.is_set():
                began = time.monotonic()
                if site.clock and began - looked >= SCHEDULE_SECONDS:
                    looked = began
                    await clock.start()
                await clock.proceed()
                pause = max(SECONDS, SHARE * (time.monotonic() - began))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(site.ended.wait(), pause)
            await clock.cancel()
    finally:
        for watcher in watching:
            watcher.close()
        workspace.close()


class _Clock(Struct):
    """The tasks of the runs that are driven, when (by a clock in seconds) those that could not be continued are tried
    again, and what has been said: the next look finds the same."""

    site: Site
    engine: Engine
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    later: dict[str, float] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)

    async def start(self) -> None:
        """Create the runs of the slots that are due."""
        try:
            with contextlib.closing(self.site.fresh("clock")) as workspace:
                begun = await asyncio.to_thread(start_due, workspace)
        except IonError as error:
            self._say(f"schedules: {error.message}")
            return
        for one in begun.started:
            self.site.say(f"started {one.run_id}  {one.workflow}")
        for left in begun.left:
            self._say(f"left alone: {left.schedule}  {left.reason}")

    async def proceed(self) -> None:
        """Drive what is due and is not driven here yet."""
        try:
            with contextlib.closing(self.site.fresh("clock")) as workspace:
                only = None if self.site.clock else frozenset(self.site.signalled)
                found = await asyncio.to_thread(look, workspace, only=only)
        except IonError as error:
            self._say(f"clock: {error.message}")
            return
        for left in found.left:
            self._say(f"left alone: {left.run_id}  {left.reason}")
        for due in found.due:
            if due.run_id not in self.tasks and time.monotonic() >= self.later.get(due.run_id, 0):
                task = asyncio.create_task(drive(self.engine, [due.run_id], self._failed), name=f"due {due.run_id}")
                self.tasks[due.run_id] = task
                task.add_done_callback(partial(self._ended, due.run_id))

    async def cancel(self) -> None:
        """Drive nothing any more."""
        for task in (running := list(self.tasks.values())):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _failed(self, run_id: str, error: IonError) -> None:
        self.later[run_id] = time.monotonic() + AGAIN_SECONDS
        self._say(f"{run_id}: {error.message}")

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        self.tasks.pop(run_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.later[run_id] = float("inf")
            self.site.say(f"{run_id}: {error!r}")

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self.site.say(line)
