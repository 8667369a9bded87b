"""`ion watch`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.place import Place, at_place


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--plain", is_flag=True, help="Show progress line by line, also on a terminal.")
@at_place
def watch(place: Place, run: str | None, plain: bool) -> int:
    """Follow RUN, which another process drives, from its first event until it ends or waits for an answer."""
    from ion.api.reading import describe
    from ion.cli import ending, terminal
    from ion.cli.following import follow
    from ion.cli.plain import Plain
    from ion.cli.view import draws, live_view

    with place.open() as workspace:
        run_id = workspace.find_run(run).run_id
        if not plain and draws(terminal.talk()) and draws(terminal.data()):
            with live_view(workspace, place, run_id) as live:
                follow(workspace, run_id, live, from_start=True)
        else:
            follow(workspace, run_id, Plain(terminal.data(), place), from_start=True)
        ending.say_next(terminal.talk(), place, describe(workspace, run_id))
    return 0
