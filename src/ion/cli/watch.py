"""`ion watch`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, in_context


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--plain", is_flag=True, help="Show progress line by line, also on a terminal.")
@in_context
def watch(cli: CliContext, run: str | None, plain: bool) -> int:
    """Follow RUN, which another process drives, from its first event until it ends or waits for an answer.

    On a terminal you are asked what it waits for; the run continues where it is running, or else here.
    """
    from ion.api.reading import describe, source_changed
    from ion.cli import ending, terminal
    from ion.cli.attending import follow_and_ask
    from ion.cli.continuing import go_on
    from ion.cli.view import OutputOptions, open_watching
    from ion.views.waiting import open_labels

    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        view = open_watching(workspace, cli, run_id, plain=plain)
        try:
            answered = follow_and_ask(workspace, run_id, view, from_start=True)
        finally:
            view.end()
        if answered:
            ending.finish(workspace, cli, go_on(workspace, cli, run_id, OutputOptions(plain=plain)), as_json=False)
        else:
            result = describe(workspace, run_id)
            changed = source_changed(workspace, run_id, result.state)
            ending.say_next(terminal.talk(), cli, result, open_labels(workspace, result), changed)
    return 0
