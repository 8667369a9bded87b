"""The clock of `ion serve --clock`: what `ion tick` does, again and again, and the runs are driven here.

Ended with the server, it ends every process of the runs that it drives, and they can be resumed; another clock, or the
next one here, finds what is due by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

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


async def run(site: Site) -> None:
    """Start and continue what is due until the server ends."""
    workspace = site.fresh("clock")
    watching = [*watchers(workspace, log=None, notify=None, otel=False, shown=masked_json)]
    said: set[str] = set()
    tasks: dict[str, asyncio.Task[None]] = {}
    try:
        async with Engine(Project(workspace), RunOptions(observers=tuple(watching), patience_ms=PATIENCE_MS)) as engine:
            passes = 0
            while not site.ended.is_set():
                if passes % round(SCHEDULE_SECONDS / SECONDS) == 0:
                    await _start(site, said)
                passes += 1
                await _continue(site, engine, tasks, said)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(site.ended.wait(), SECONDS)
            await _cancel(tasks)
    finally:
        for watcher in watching:
            watcher.close()
        workspace.close()


async def _start(site: Site, said: set[str]) -> None:
    """Create the runs of the slots that are due."""
    try:
        with contextlib.closing(site.fresh("clock")) as workspace:
            begun = await asyncio.to_thread(start_due, workspace)
    except IonError as error:
        _say(site, said, f"schedules: {error.message}")
        return
    for one in begun.started:
        site.say(f"started {one.run_id}  {one.workflow}")
    for left in begun.left:
        _say(site, said, f"left alone: {left.schedule}  {left.reason}")


async def _continue(site: Site, engine: Engine, tasks: dict[str, asyncio.Task[None]], said: set[str]) -> None:
    """Drive what is due and is not driven here yet. What could not be continued is not tried again here."""
    try:
        found = await asyncio.to_thread(look, site.fresh("clock"))
    except IonError as error:
        _say(site, said, f"clock: {error.message}")
        return
    for left in found.left:
        _say(site, said, f"left alone: {left.run_id}  {left.reason}")
    for due in found.due:
        if due.run_id not in tasks:
            failed = partial(_failed, site)
            tasks[due.run_id] = asyncio.create_task(drive(engine, [due.run_id], failed), name=f"due {due.run_id}")
            tasks[due.run_id].add_done_callback(partial(_forget, tasks, due.run_id))


def _failed(site: Site, run_id: str, error: IonError) -> None:
    site.say(f"{run_id}: {error.message}")


def _forget(tasks: dict[str, asyncio.Task[None]], run_id: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is None:
        tasks.pop(run_id, None)


async def _cancel(tasks: dict[str, asyncio.Task[None]]) -> None:
    for task in (running := list(tasks.values())):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _say(site: Site, said: set[str], line: str) -> None:
    """Say something once: the next look finds the same."""
    if line not in said:
        said.add(line)
        site.say(line)
