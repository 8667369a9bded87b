"""Driving a run from the command line: the event loop, and the signals that end it cleanly.

The first SIGINT, SIGTERM or SIGHUP cancels the task that drives: every process of the run is ended, the lease is given
back, and the run can be resumed. The second one cuts the grace short. A signal that is ignored already (nohup, a job
in the background) stays ignored.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ion.api.reading import describe
from ion.api.result import RunResult
from ion.api.runs import StartedRun
from ion.api.workspace import Workspace
from ion.cli.terminal import Screen

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def drive(workspace: Workspace, started: StartedRun, screen: Screen) -> RunResult:
    """Drive the run until it ends, waits for people, or a signal stops it; its status is `interrupted` then."""
    return asyncio.run(_drive(workspace, started, screen))


async def _drive(workspace: Workspace, started: StartedRun, screen: Screen) -> RunResult:
    task = asyncio.ensure_future(started.drive())
    with _stopping(task, screen):
        # Not awaited itself: a second signal cancels it again, and that must not end this coroutine's own waiting.
        await asyncio.wait({task})
    if task.cancelled():
        return describe(workspace, started.run_id)
    return task.result()


@contextmanager
def _stopping(task: asyncio.Future[RunResult], screen: Screen) -> Iterator[None]:
    """While this lasts, signals cancel the task."""
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        if len(caught) == 1:
            screen.line(f"{signal.Signals(number).name}: ending the run's processes (once more: at once)")
        task.cancel()

    installed = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in installed:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)
