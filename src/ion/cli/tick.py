"""`ion tick`: one pass of a clock over the project's runs. It finds what is due, hands it to one process in the
background, and says what it did."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from ion.cli import terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import IonError
from ion.views.text import moment, plural

if TYPE_CHECKING:
    from ion.api.clock import DueRun, Found
    from ion.api.engine import Engine
    from ion.api.schedules import SchedulePass
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen

LOG_NAME = "clock.log"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--any-host", is_flag=True, help="Also what you started on other hosts, if its folder is here.")
@as_json
@in_context
def tick(cli: CliContext, any_host: bool, as_json: bool) -> int:
    """Start what the schedules say, and continue what is due: waits that are over, and runs with an answer that nobody
    acted on, or whose process died between two nodes.

    One process in the background drives them, in the order in which they were due. Only runs of this project are taken
    that you started on this host. Any number of these commands may run at once.
    """
    from ion.api.clock import look
    from ion.api.schedules import start_due

    with cli.open() as workspace:
        begun = start_due(workspace)
        found = look(workspace, any_host=any_host)
        if found.due:
            _hand_over(workspace, cli, found, any_host=any_host)
    if as_json:
        terminal.write_json(_object(begun, found))
    else:
        _say(terminal.talk(), begun, found)
    return 0


def _object(begun: SchedulePass, found: Found) -> dict[str, Any]:
    from ion.clocks import timestamp

    new = {one.run_id for one in begun.started}
    return {
        "started": [{**to_builtins(one), "slot": timestamp(one.slot)} for one in begun.started],
        "skipped": [
            {"schedule": name, "slot": timestamp(one.slot), "reason": one.reason}
            for name, passed in begun.skipped.items()
            for one in passed
        ],
        "continued": [
            {"run_id": due.run_id, "workflow": due.workflow, "due_at": timestamp(due.due_at)}
            for due in found.due
            if due.run_id not in new
        ],
        "left": to_builtins((*begun.left, *found.left)),
    }


def _say(screen: Screen, begun: SchedulePass, found: Found) -> None:
    from ion import clocks

    now, new = clocks.now_ms(), {one.run_id for one in begun.started}
    if not (begun.started or begun.skipped or begun.left or found.due or found.left):
        screen.line("Nothing is due.")
    for one in begun.started:
        screen.line("started    ", one.run_id, "  ", one.workflow, "  ", ("faint", f"for {moment(one.slot, now)}"))
    for name, passed in begun.skipped.items():
        for skipped in passed:
            screen.line("skipped    ", name, "  ", moment(skipped.slot, now), "  ", ("faint", skipped.reason))
    for due in (due for due in found.due if due.run_id not in new):
        screen.line("continued  ", due.run_id, "  ", due.workflow, "  ", ("faint", _why(due, now)))
    for schedule in begun.left:
        screen.line(("attention", "left alone"), "  ", schedule.schedule, "  ", ("faint", schedule.reason))
    for left in found.left:
        screen.line(("attention", "left alone"), "  ", left.run_id, "  ", left.workflow, "  ", ("faint", left.reason))
    if found.due:
        screen.line(f"{plural(len(found.due), 'run')} continue{'s' if len(found.due) == 1 else ''} in the background.")


def _why(due: DueRun, now: int) -> str:
    if due.due_at is not None:
        return f"due since {moment(due.due_at, now)}"
    return "its turn in the queue has come" if due.queued else "its process died"


def _hand_over(workspace: Workspace, cli: CliContext, found: Found, *, any_host: bool) -> None:
    """Have a process in the background drive these runs. Raises `IonError` if it could not begin."""
    from ion.cli.detach import hand_over

    message = {
        "store": cli.store,
        "project": str(workspace.project),
        "runs": [due.run_id for due in found.due],
        "any_host": any_host,
    }
    said = hand_over(message, workspace.make_data() / LOG_NAME, "ion.cli.tick")
    if said["error"] is not None:
        raise IonError(said["error"]["message"], hint=said["error"]["hint"], code=said["error"]["code"])


# ------------------------------------------------------------------ in the background


def main() -> int:
    """The process that drives what was due."""
    from ion import Project, RunOptions
    from ion.api.clock import PATIENCE_MS
    from ion.api.engine import Engine
    from ion.api.watchers import watchers
    from ion.api.workspace import open_workspace
    from ion.cli.detach import taken_over
    from ion.process.limits import raise_limit
    from ion.views.masking import hide_run, masked_json

    message, answer = taken_over()
    raise_limit()
    workspace = open_workspace(message["project"], message["store"], found=hide_run, via="clock")
    try:
        watching = [*watchers(workspace, log=None, notify=None, otel=False, shown=masked_json)]
        engine = Engine(Project(workspace), RunOptions(observers=tuple(watching), patience_ms=PATIENCE_MS))
    except IonError as error:
        answer({"error": error.to_json()})
        return error.exit_status
    answer({"error": None})
    try:
        asyncio.run(_drive(engine, message))
    finally:
        for watcher in watching:
            watcher.close()
        workspace.close()
    return 0


async def _drive(engine: Engine, message: dict[str, Any]) -> None:
    from ion.api.clock import drive

    screen = terminal.talk()

    def failed(run_id: str, error: IonError) -> None:
        screen.line(f"{run_id}: {error.message}")

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # every process of the runs is ended, and they can be resumed
        async with engine:
            await drive(engine, message["runs"], failed, any_host=message["any_host"])


if __name__ == "__main__":
    sys.exit(main())
