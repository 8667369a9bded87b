"""`ion events`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, always_json, in_context


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--follow", is_flag=True, help="Continue until no process drives the run any more.")
@always_json
@in_context
def events(cli: CliContext, run: str | None, follow: bool) -> int:
    """Print the event log of RUN, one JSON object a line (with or without --json)."""
    from ion.api import reading
    from ion.api.following import follow_events
    from ion.cli import terminal
    from ion.cli.event_lines import event_object

    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        found = follow_events(workspace, run_id) if follow else iter(reading.read_events(workspace, run_id))
        for recorded in found:
            terminal.write_json(event_object(run_id, recorded), indent=None)
    return 0
