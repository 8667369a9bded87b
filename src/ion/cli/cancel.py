"""`ion cancel`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the run's log.")
@as_json
@in_context
def cancel(cli: CliContext, run: str | None, reason: str, as_json: bool) -> int:
    """End RUN, wherever it is running, and wait until it has ended.

    The exit status is 0 once it has; 5 if it had ended before.
    """
    from ion.api import requests
    from ion.cli import terminal
    from ion.cli.continuing import go_on
    from ion.cli.view import OutputOptions

    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        requests.cancel(workspace, run_id, reason=reason)
        result = go_on(workspace, cli, run_id, OutputOptions(as_json))
        if as_json:
            terminal.write_json(result.to_json())
        return 0 if result.status == "cancelled" else result.exit_status
