"""Events as JSON lines, as `ion events` prints them and `ion run --events` while it runs. Times are ISO-8601 in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.api.watchers import event_object
from ion.cli import completing, terminal
from ion.cli.context import CliContext, always_json, in_context

if TYPE_CHECKING:
    from ion import Recorded, RunState


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--follow", is_flag=True, help="Continue until no process drives the run any more.")
@always_json
@in_context
def events(cli: CliContext, run: str | None, follow: bool) -> int:
    """Print the event log of RUN, one JSON object a line (with or without --json)."""
    from ion.api import reading
    from ion.api.reading import follow_events

    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        found = follow_events(workspace, run_id) if follow else iter(reading.read_events(workspace, run_id))
        for recorded in found:
            terminal.write_json(event_object(run_id, recorded), indent=None)
    return 0


class EventLines:
    """An observer that prints each event to stdout. When stdout is closed it stops printing, and the run continues."""

    wants_lines = False

    def __init__(self) -> None:
        self._silent = False

    def event(self, run_id: str, recorded: Recorded, _state: RunState) -> None:
        if self._silent:
            return
        try:
            terminal.write_json(event_object(run_id, recorded), indent=None)
        except BrokenPipeError:
            self._silent = True
            terminal.discard_stdout()

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Not an event."""
