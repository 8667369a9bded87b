"""Driving a run from the command line: the event loop, the signals that end it cleanly, and the person who is asked;
or following it where a cluster or another process drives it.

The first SIGINT, SIGTERM or SIGHUP cancels the task that drives: every process of the run is ended, the lease is given
back, and the run can be resumed. The second one cuts the grace short. A signal that is ignored already (nohup, a job
in the background) stays ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ion import Run, RunOptions
from ion.api.reading import POLL_SECONDS, describe, logs_folder
from ion.api.result import RunResult
from ion.api.runs import StartedRun
from ion.api.workspace import Workspace
from ion.cli import terminal
from ion.cli.plain import Plain
from ion.cli.view import open_view
from ion.process.limits import raise_limit
from ion.views.following import Follower, follow, follow_until_asked
from ion.views.waiting import answered, labels_of, readable_workflow

if TYPE_CHECKING:
    from ion.api.clusters import ClusterRun
    from ion.cli.asking import Asker
    from ion.cli.context import CliContext, OutputOptions
    from ion.cli.view import View

# How long a run may wait for a worker before a message says so.
_PATIENCE_S = 10.0
_LOOK_AGAIN_S = 5.0
_LOG_POLL_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def drive(workspace: Workspace, started: StartedRun | ClusterRun, view: View) -> RunResult:
    """Drive the run until it ends, waits for people who are not here, or a signal stops it; its status is
    `interrupted` then. What a cluster drives is followed."""
    if not isinstance(started, StartedRun):
        return _follow_engine_run(workspace, started, view)
    raise_limit()
    try:
        return asyncio.run(_drive(workspace, started, view))
    finally:
        view.end()


class _Driven(Struct, dict=True):
    """What signals stop: the task that drives, and the questions that stand open."""

    view: View
    task: asyncio.Future[RunResult] | None = None
    caught: list[int] = field(default_factory=list)

    def stop(self, number: int) -> None:
        self.caught.append(number)
        running = self.task is not None and not self.task.done()
        if len(self.caught) == 1 and running:
            if self.view.live is not None:
                self.view.live.pause()
            self.view.screen.line(f"{signal.Signals(number).name}: ending the run's processes (once more: at once)")
        if self.view.asker is not None:
            self.view.asker.give_up()
        if self.task is not None:
            self.task.cancel()


async def _drive(workspace: Workspace, started: StartedRun, view: View) -> RunResult:
    driven = _Driven(view)
    with _stopping(driven):
        while True:
            view.show(started.workflow, started.logs)
            task = driven.task = asyncio.ensure_future(started.drive())
            if view.asker is not None:
                await view.asker.attend(started.run_id, task)
            # Not awaited itself: a second signal cancels it again, and that must not end this coroutine's own waiting.
            await asyncio.wait({task})
            if task.cancelled():
                return describe(workspace, started.run_id)
            result = task.result()
            going_on = None if driven.caught else _answered(workspace, result, view)
            if going_on is None:
                return result
            started = going_on


def _answered(workspace: Workspace, result: RunResult, view: View) -> StartedRun | None:
    """The run again, if it waited and the person here has answered since; None if it stays as it is."""
    if view.asker is None or result.status != "paused":
        return None
    options = RunOptions(observers=view.observers, patience_ms=view.patience_ms)
    taken = Run(workspace, result.run_id).acquire_answered(options=options)
    assert taken is None or isinstance(taken, StartedRun), "this process drove the run"
    return taken


@contextmanager
def _stopping(driven: _Driven) -> Iterator[None]:
    """While this lasts, signals stop the run."""
    loop = asyncio.get_running_loop()
    installed = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in installed:
        loop.add_signal_handler(number, driven.stop, number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


# ------------------------------------------------------------------ a run that a cluster drives


def _follow_engine_run(workspace: Workspace, started: ClusterRun, view: View) -> RunResult:
    """Show what happens in the run from where the cluster has taken it up, until it ends or waits for people."""
    done, run_id, run = threading.Event(), started.run_id, Run(workspace, started.run_id)
    before = max(started.after, 1)
    watcher = threading.Thread(target=_say_if_nobody_works, args=(workspace, run_id, before, view, done))
    watcher.start()
    try:
        if view.live is not None:
            view.show(run.workflow(), logs_folder(workspace, run_id))
        while workspace.store.get_workflow_run(run_id).last_seq <= before:
            time.sleep(_LOG_POLL_S)
        _watch_and_ask(run, view, from_start=started.after == 0)
    finally:
        done.set()
        watcher.join()
        view.end()
    return run.result()


def _watch_and_ask(run: Run, view: View, *, from_start: bool) -> None:
    """Show the events of the run until it ends or waits for people; an answer that is given here continues it there."""
    seen = 0 if from_start else None
    while True:
        if view.asker is None:
            return follow(run, view.observers, from_start=from_start)
        view.asker.answered = False
        seen = asyncio.run(_attend(run, view, view.asker, after=seen))
        if not view.asker.answered or run.result().state.ended:
            return None
        while answered(run.state()):
            time.sleep(_LOG_POLL_S)


def _say_if_nobody_works(workspace: Workspace, run_id: str, before: int, view: View, done: threading.Event) -> None:
    """Once for the run, and once for each kind of worker that its nodes wait for."""
    if done.wait(_PATIENCE_S):
        return
    state = Run(workspace, run_id).state()
    if state.engine is None:
        return
    if workspace.store.get_workflow_run(run_id).last_seq == before:
        view.screen.line(f"No worker has picked up the run yet. One is started by: ion worker --engine {state.engine}")
    from ion.api.clusters import missing_workers
    from ion.errors import IonError

    missing = missing_workers(workspace, run_id)
    told: set[str] = set()
    while True:
        with contextlib.suppress(IonError):  # the command itself says it, when it asks the cluster
            for options, node in missing().items():
                if options not in told:
                    told.add(options)
                    command = f"ion worker --engine {state.engine} {options}".rstrip()
                    view.screen.line(f"No worker is free for the node {node}. One is started by: {command}")
        if done.wait(_LOOK_AGAIN_S):
            return


# ------------------------------------------------------------------ a run that another process drives


def follow_and_ask(run: Run, view: View, *, from_start: bool) -> bool:
    """Show the events of a run until no living process drives it and no question is left that the person here wants to
    answer; `from_start`: also those that are there already. Gives whether something was answered here.

    Ctrl-C ends the watching of a living run with `KeyboardInterrupt`; else it only means: later.
    """
    if view.asker is None:
        if from_start:
            follow(run, view.observers, from_start=True)
        return False
    view.asker.answered = False
    view.asker.labels = labels_of(readable_workflow(run.workspace, run.run_id, run.state()))
    asyncio.run(_attend(run, view, view.asker, after=0 if from_start else None))
    return view.asker.answered


async def _attend(run: Run, view: View, asker: Asker, *, after: int | None) -> int:
    """Show the events after number `after` (None: those that come from now on), and put the questions; gives the number
    of the last event."""
    following = asyncio.ensure_future(_follow(run, view, asker, after))

    def stop() -> None:
        asker.give_up()
        following.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        await asker.attend(run.run_id, following)
        return await following
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _follow(run: Run, view: View, asker: Asker, after: int | None) -> int:
    """As `views.following.follow`, without holding up the questions."""
    follower = Follower(run.run_id)
    events = run.events()
    shown = len(events) if after is None else after
    follower.show(events[:shown], (asker,))
    follower.show(events[shown:], view.observers)
    stepping = asyncio.ensure_future(_follow_steps(run, view, follower))
    try:
        async for recorded in run.follow(after=follower.after):
            follower.show([recorded], view.observers)
    finally:
        stepping.cancel()
    return follower.after


async def _follow_steps(run: Run, view: View, follower: Follower) -> None:
    logs = logs_folder(run.workspace, run.run_id)
    while True:
        follower.show_steps(logs, view.observers)
        await asyncio.sleep(POLL_SECONDS)


# ------------------------------------------------------------------ a run that was answered


def continue_run(run: Run, cli: CliContext, output: OutputOptions) -> RunResult:
    """Continue a run that was answered or asked to end, and describe it afterwards: here, unless a living process owns
    it; then it continues there, and is followed until it ends or waits again."""
    screen = terminal.talk()
    while True:
        if run.live():
            if not output.quiet:
                owner = run.workspace.store.get_workflow_run(run.run_id).owner
                where = f" (process {owner.pid} on {owner.host})" if owner is not None else ""
                screen.line(f"The run continues where it is running{where}; what happens there:")
            follow_until_asked(run, [] if output.quiet else [Plain(screen, cli)])
        result = run.result()
        if result.state.ended or not answered(result.state):
            return result
        view = open_view(run.workspace, cli, output)
        options = RunOptions(observers=view.observers, patience_ms=output.patience_ms)
        taken = run.acquire_answered(options=options)
        if taken is not None:  # nobody else was faster
            return drive(run.workspace, taken, view)
        time.sleep(POLL_SECONDS)
