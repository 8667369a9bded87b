"""A run that is there: `ion resume` continues it, `ion rerun` runs it again, `ion watch` follows it."""

from __future__ import annotations

import click

from ion.cli import completing, terminal
from ion.cli.context import (
    CliContext,
    OutputOptions,
    as_json,
    in_context,
    jobs,
    max_budget,
    plain_option,
    progress,
    shown,
    watched,
)


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "--agent",
    metavar='NAME|"COMMAND LINE"',
    shell_complete=completing.agents,
    help="Who answers prompts from here on, those that wait too.",
)
@jobs
@max_budget
@progress
@watched
@as_json
@in_context
@shown
def resume(
    cli: CliContext, output: OutputOptions, run: str | None, agent: str | None, jobs: int | None, budget: float | None
) -> int:
    """Continue a failed, interrupted or answered run; completed nodes are kept and not run again.

    Of one that waits for an answer you are asked on a terminal. With --max-budget-usd also one that has spent its
    budget continues, where it is running if it runs elsewhere.

    The exit status is that of the run afterwards; 5 if it has ended, runs elsewhere, or its frozen files were changed.
    """
    from ion import Run, RunOptions
    from ion.cli import ending
    from ion.cli.driving import continue_run, drive, follow_and_ask
    from ion.cli.view import open_view

    with cli.open() as workspace:
        found = Run.find(workspace, run)
        if budget is not None and found.live():
            found.raise_budget(budget)
            return ending.finish(workspace, cli, continue_run(found, cli, output), output)
        if not output.quiet:
            ending.say_changed(workspace, cli, found.run_id)
            ending.say_undone(workspace, found.run_id)
        view = open_view(workspace, cli, output)
        options = RunOptions(view.observers, jobs, patience_ms=output.patience_ms)
        taken = found.acquire(agent=agent, options=options, max_budget_usd=budget)
        if taken is None and follow_and_ask(found, view, from_start=False):
            taken = found.acquire(agent=agent, options=options, resume=False)
        result = drive(workspace, taken, view) if taken is not None else found.result()
        view.end()
        return ending.finish(workspace, cli, result, output)


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
@jobs
@click.option("--run-id", metavar="ID", help="The new run's id; default: a new one.")
@progress
@watched
@as_json
@in_context
@shown
def rerun(
    cli: CliContext,
    output: OutputOptions,
    run: str | None,
    from_node: str | None,
    edited: bool,
    agent: str | None,
    jobs: int | None,
    run_id: str | None,
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
    from ion.cli.failures import say_warnings
    from ion.cli.view import open_view
    from ion.views.masking import hide_run

    with cli.open() as workspace:
        old = workspace.find_run(run).run_id
        view = open_view(workspace, cli, output)
        options = RunOptions(view.observers, jobs, patience_ms=output.patience_ms)
        if not edited and not output.quiet:
            ending.say_changed(workspace, cli, old, from_node)
        started = start_rerun(
            workspace, old, from_node=from_node, edited=edited, agent=agent, new_id=run_id, options=options
        )
        hide_run(workspace, started.run_id)
        say_warnings(started.warned)
        return ending.finish(workspace, cli, drive(workspace, started, view), output)


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@plain_option
@in_context
def watch(cli: CliContext, run: str | None, plain: bool) -> int:
    """Follow RUN, which another process drives, from its first event until it ends or waits for an answer.

    On a terminal you are asked what it waits for; the run continues where it is running, or else here.
    """
    from ion import Run
    from ion.api.reading import source_changed
    from ion.cli import ending
    from ion.cli.driving import continue_run, follow_and_ask
    from ion.cli.view import open_watching
    from ion.views.waiting import open_labels

    with cli.open() as workspace:
        found = Run.find(workspace, run)
        view = open_watching(found, cli, plain=plain)
        try:
            answered = follow_and_ask(found, view, from_start=True)
        finally:
            view.end()
        if answered:
            output = OutputOptions(plain=plain)
            ending.finish(workspace, cli, continue_run(found, cli, output), output)
        else:
            result = found.result()
            changed = source_changed(workspace, found.run_id, result.state)
            ending.say_next(terminal.talk(), cli, result, open_labels(workspace, result), changed)
    return 0
