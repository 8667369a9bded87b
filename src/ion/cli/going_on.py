"""Going on with a run after something was recorded for it: here, unless a living process owns it; then it goes on
there, and is followed until it ends or waits again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ion.api import reading
from ion.cli import ending, terminal
from ion.cli.following import POLL_SECONDS, follow, live
from ion.cli.plain import Plain
from ion.cli.view import Manner, open_view
from ion.errors import RefusedError

if TYPE_CHECKING:
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.place import Place


def after_request(workspace: Workspace, place: Place, run_id: str, *, resume: bool, as_json: bool) -> int:
    """What `approve`, `reject`, `respond` and `submit` do once their event is in the log; gives the exit status.

    `resume` False: nothing more than saying how the run stands.
    """
    if not resume:
        result = reading.describe(workspace, run_id)
        if as_json:
            terminal.write_json(result.to_json())
        elif live(workspace, run_id):
            terminal.talk().line(f"Recorded. The run goes on where it is running: {place.command('watch', run_id)}")
        else:
            terminal.talk().line(f"Recorded. Go on with the run: {place.command('resume', run_id)}")
        return 0
    return ending.finish(workspace, place, go_on(workspace, place, run_id), as_json=as_json)


def go_on(workspace: Workspace, place: Place, run_id: str, *, quiet: bool = False) -> RunResult:
    """Go on with a run that was answered or asked to end, wherever that has to happen, and say how it stands then."""
    screen = terminal.talk()
    while True:
        if live(workspace, run_id):
            if not quiet:
                owner = workspace.store.get_workflow_run(run_id).owner
                where = f" (process {owner.pid} on {owner.host})" if owner is not None else ""
                screen.line(f"The run goes on where it is running{where}; what happens there:")
            follow(workspace, run_id, Plain(screen, place), from_start=False)
        result = reading.describe(workspace, run_id)
        if result.state.ended or not _answered(result):
            return result
        driven = _drive_here(workspace, place, run_id)
        if driven is not None:
            return driven
        time.sleep(POLL_SECONDS)


def _answered(result: RunResult) -> bool:
    """Whether something came that nobody acted on yet; an interrupted run with nothing new is left as it is."""
    from ion.core.resume import answered

    return answered(result.state)


def _drive_here(workspace: Workspace, place: Place, run_id: str) -> RunResult | None:
    """Take the run up and drive it; None if somebody else was faster."""
    from ion.api.runs import RunOptions, take_up_run
    from ion.cli.driving import drive

    view = open_view(workspace, place, Manner())
    options = RunOptions(observers=view.observers, via="cli", alone=True)
    try:
        taken = take_up_run(workspace, run_id, options=options, resume=False)
    except RefusedError as error:
        if error.error_code in ("owned", "ended"):
            return None
        raise
    return drive(workspace, taken, view) if taken is not None else None
