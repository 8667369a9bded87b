"""Continuing a run after something was recorded for it: here, unless a living process owns it; then it continues there,
and is followed until it ends or waits again."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ion.api import reading
from ion.api.following import POLL_SECONDS, follow_events, live
from ion.cli import ending, terminal
from ion.cli.plain import Plain
from ion.cli.view import OutputOptions, open_view
from ion.views.following import follow
from ion.views.waiting import answered, waiting_in

if TYPE_CHECKING:
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.context import CliContext


def show_question(workspace: Workspace, run_id: str, node: str | None, request: str | None) -> None:
    """What is about to be answered, whole; nothing where it is not clear what that is, which the answer itself says."""
    found = [
        one
        for one in waiting_in(reading.read_state(workspace, run_id))
        if one.gate is not None and node in (None, one.node) and request in (None, one.request)
    ]
    if len(found) == 1:
        ending.say_question(terminal.talk(), found[0].node, found[0].message)


def after_request(
    workspace: Workspace, cli: CliContext, run_id: str, *, resume: bool, output_options: OutputOptions
) -> int:
    """What `approve`, `reject`, `respond` and `submit` do once their event is in the log; gives the exit status.

    `resume` False: only say how the run is.
    """
    if not resume:
        result = reading.describe(workspace, run_id)
        if output_options.as_json:
            terminal.write_json(result.to_json())
        elif live(workspace, run_id):
            terminal.talk().line(f"Recorded. The run continues where it is running: {cli.command('watch', run_id)}")
        else:
            terminal.talk().line(f"Recorded. Continue the run: {cli.command('resume', run_id)}")
        return 0
    return ending.finish(
        workspace, cli, continue_run(workspace, cli, run_id, output_options), as_json=output_options.as_json
    )


def continue_run(workspace: Workspace, cli: CliContext, run_id: str, output_options: OutputOptions) -> RunResult:
    """Continue a run that was answered or asked to end, here or where it is running, and describe it afterwards."""
    screen = terminal.talk()
    while True:
        if live(workspace, run_id):
            if not output_options.quiet:
                owner = workspace.store.get_workflow_run(run_id).owner
                where = f" (process {owner.pid} on {owner.host})" if owner is not None else ""
                screen.line(f"The run continues where it is running{where}; what happens there:")
                follow(workspace, run_id, [Plain(screen, cli)], from_start=False)
            else:
                deque(follow_events(workspace, run_id), maxlen=0)
        result = reading.describe(workspace, run_id)
        if result.state.ended or not answered(result.state):
            return result
        driven = _drive_here(workspace, cli, run_id, output_options)
        if driven is not None:
            return driven
        time.sleep(POLL_SECONDS)


def _drive_here(workspace: Workspace, cli: CliContext, run_id: str, output_options: OutputOptions) -> RunResult | None:
    """Take the run up and drive it; None if somebody else was faster."""
    from ion import RunOptions
    from ion.api.runs import acquire_answered
    from ion.cli.driving import drive

    view = open_view(workspace, cli, output_options)
    options = RunOptions(observers=view.observers)
    taken = acquire_answered(workspace, run_id, options=options)
    return drive(workspace, taken, view) if taken is not None else None
