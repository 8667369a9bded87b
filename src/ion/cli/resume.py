"""`ion resume`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context, max_budget, progress, watched


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "--agent",
    metavar='NAME|"COMMAND LINE"',
    shell_complete=completing.agents,
    help="Who answers prompts from here on, those that wait too.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many nodes run at once.")
@max_budget
@progress
@watched
@as_json
@in_context
def resume(
    cli: CliContext,
    run: str | None,
    agent: str | None,
    jobs: int | None,
    budget: float | None,
    plain: bool,
    quiet: bool,
    log: str | None,
    notify: str | None,
    otel: bool,
    as_json: bool,
) -> int:
    """Continue a failed, interrupted or answered run; completed nodes are kept and not run again.

    Of one that waits for an answer you are asked on a terminal. With --max-budget-usd also one that has spent its
    budget continues, where it is running if it runs elsewhere.

    The exit status is that of the run afterwards; 5 if it has ended, runs elsewhere, or its frozen files were changed.
    """
    from ion import Run, RunOptions
    from ion.cli import ending
    from ion.cli.continuing import continue_run
    from ion.cli.driving import drive
    from ion.cli.view import OutputOptions, open_view
    from ion.cli.watch import follow_and_ask

    output_options = OutputOptions(as_json, quiet=quiet, plain=plain, log=log, notify=notify, otel=otel)
    with cli.open() as workspace:
        found = Run.find(workspace, run)
        if budget is not None and found.live():
            found.raise_budget(budget)
            return ending.finish(workspace, cli, continue_run(found, cli, output_options), as_json=as_json)
        if not quiet:
            ending.say_changed(workspace, cli, found.run_id)
        view = open_view(workspace, cli, output_options)
        options = RunOptions(view.observers, jobs)
        taken = found.acquire(agent=agent, options=options, max_budget_usd=budget)
        if taken is None and follow_and_ask(found, view, from_start=False):
            taken = found.acquire(agent=agent, options=options, resume=False)
        result = drive(workspace, taken, view) if taken is not None else found.result()
        view.end()
        return ending.finish(workspace, cli, result, as_json=as_json)
