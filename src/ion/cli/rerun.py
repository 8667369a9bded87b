"""`ion rerun`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context, progress, watched


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "--from",
    "from_node",
    metavar="NODE",
    shell_complete=completing.nodes,
    help="Keep what does not wait for this node.",
)
@click.option("--edited", is_flag=True, help="With the workflow's file as it is now.")
@click.option(
    "--agent",
    metavar='NAME|"COMMAND LINE"',
    shell_complete=completing.agents,
    help="Who answers prompts; default: the agent of RUN.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many nodes run at once.")
@click.option("--run-id", metavar="ID", help="The new run's id; default: a new one.")
@progress
@watched
@as_json
@in_context
def rerun(
    cli: CliContext,
    run: str | None,
    from_node: str | None,
    edited: bool,
    agent: str | None,
    jobs: int | None,
    run_id: str | None,
    plain: bool,
    quiet: bool,
    log: str | None,
    notify: str | None,
    otel: bool,
    as_json: bool,
) -> int:
    """Run RUN again as a new run: its frozen workflow, its inputs, its working directory.

    With --from, NODE runs again and everything that waits for it; completed nodes besides are kept with their outputs.
    With --edited it runs the workflow's file as it is now, and of the completed nodes only those are kept whose body,
    texts and files are as they were. The exit status is that of the new run.
    """
    from ion import RunOptions
    from ion.api.runs import start_rerun
    from ion.cli import ending
    from ion.cli.driving import drive
    from ion.cli.starting import say
    from ion.cli.view import OutputOptions, open_view
    from ion.views.masking import hide_run

    with cli.open() as workspace:
        old = workspace.find_run(run).run_id
        view = open_view(
            workspace, cli, OutputOptions(as_json, quiet=quiet, plain=plain, log=log, notify=notify, otel=otel)
        )
        options = RunOptions(view.observers, jobs)
        if not edited and not quiet:
            ending.say_changed(workspace, cli, old, from_node)
        started = start_rerun(
            workspace, old, from_node=from_node, edited=edited, agent=agent, new_id=run_id, options=options
        )
        hide_run(workspace, started.run_id)
        say(started.warned)
        return ending.finish(workspace, cli, drive(workspace, started, view), as_json=as_json)
