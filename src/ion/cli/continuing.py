"""Continuing a run after something was recorded for it: here, unless a living process owns it; then it continues there,
and is followed until it ends or waits again."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ion.api.reading import POLL_SECONDS, follow_events
from ion.cli import ending, terminal
from ion.cli.plain import Plain
from ion.cli.view import open_view
from ion.views.following import follow
from ion.views.waiting import answered, waiting_in

if TYPE_CHECKING:
    from ion import Run
    from ion.api.result import RunResult
    from ion.cli.context import CliContext, OutputOptions


def show_question(run: Run, node: str | None, request: str | None) -> None:
    """What is about to be answered, whole; nothing where it is not clear what that is, which the answer itself says."""
    found = [
        one
        for one in waiting_in(run.state())
        if one.gate is not None and node in (None, one.node) and request in (None, one.request)
    ]
    if len(found) == 1:
        ending.say_question(terminal.talk(), found[0].node, found[0].message)


def after_request(run: Run, cli: CliContext, *, resume: bool, output: OutputOptions) -> int:
    """What `approve`, `reject`, `respond` and `submit` do once their event is in the log; gives the exit status.

    `resume` False: only say how the run is.
    """
    if not resume:
        result = run.result()
        if output.as_json:
            terminal.write_json(result.to_json())
        elif run.live():
            terminal.talk().line(f"Recorded. The run continues where it is running: {cli.command('watch', run.run_id)}")
        else:
            terminal.talk().line(f"Recorded. Continue the run: {cli.command('resume', run.run_id)}")
        return 0
    result = continue_run(run, cli, output)
    return ending.finish(run.workspace, cli, result, as_json=output.as_json)


def continue_run(run: Run, cli: CliContext, output: OutputOptions) -> RunResult:
    """Continue a run that was answered or asked to end, here or where it is running, and describe it afterwards."""
    screen = terminal.talk()
    while True:
        if run.live():
            if not output.quiet:
                owner = run.workspace.store.get_workflow_run(run.run_id).owner
                where = f" (process {owner.pid} on {owner.host})" if owner is not None else ""
                screen.line(f"The run continues where it is running{where}; what happens there:")
                follow(run, [Plain(screen, cli)], from_start=False)
            else:
                deque(follow_events(run.workspace, run.run_id), maxlen=0)
        result = run.result()
        if result.state.ended or not answered(result.state):
            return result
        driven = _drive_here(run, cli, output)
        if driven is not None:
            return driven
        time.sleep(POLL_SECONDS)


def _drive_here(run: Run, cli: CliContext, output: OutputOptions) -> RunResult | None:
    """Take the run up and drive it; None if somebody else was faster."""
    from ion import RunOptions
    from ion.cli.driving import drive

    view = open_view(run.workspace, cli, output)
    taken = run.acquire_answered(options=RunOptions(observers=view.observers))
    return drive(run.workspace, taken, view) if taken is not None else None
