"""`ion run`: run a workflow in this process, in one of its own (`--detach`), or with stand-ins (`--dry-run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ion.cli import completing, terminal
from ion.cli.context import (
    CliContext,
    OutputOptions,
    as_json,
    in_context,
    jobs,
    max_budget,
    progress,
    read_inputs,
    read_text,
    shown,
    sop_paths,
    split_pair,
    watched,
)
from ion.cli.failures import say_warnings
from ion.errors import FAILED, MissingAgentError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ion import Observer, RunSpec
    from ion.api.clusters import ClusterRun
    from ion.api.runs import StartedRun
    from ion.api.workspace import Workspace


@click.command()
@click.argument("workflow", shell_complete=completing.workflows)
@click.argument("text", nargs=-1)
@click.option(
    "--input",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=completing.inputs,
    help="An input; NAME=@FILE takes a file's text.",
)
@click.option("--inputs", "inputs_file", metavar="FILE", help="Inputs as a JSON object; - is stdin.")
@click.option("--context", default="", metavar="TEXT|@FILE", help="Text for $CONTEXT.")
@click.option(
    "--agent",
    metavar='NAME|"COMMAND LINE"',
    shell_complete=completing.agents,
    help="Who answers prompts; without one they wait for you.",
)
@jobs
@click.option("--cwd", metavar="DIR", help="Where nodes run; default: the project.")
@click.option("--run-id", metavar="ID", help="The run's id; default: a new one.")
@click.option("--engine", metavar="URL", help="Have a cluster drive it: temporal://HOST:PORT[/NAMESPACE].")
@click.option("--detach", is_flag=True, help="Run in a process of its own and print the run's id.")
@click.option("--dry-run", is_flag=True, help="Go through the plan with stand-ins; nothing runs, nothing is stored.")
@click.option(
    "--stub",
    "stubs",
    multiple=True,
    metavar="NODE=TEXT",
    help="In a dry run, the output of a node, for all its items or by address.",
)
@max_budget
@click.option("--strict", is_flag=True, help="Warnings of the workflow count as errors.")
@click.option("--events", is_flag=True, help="Print each event as a JSON line while it runs.")
@progress
@sop_paths
@watched
@as_json
@in_context
@shown
def run(cli: CliContext, output: OutputOptions, **options: Any) -> int:
    """Run WORKFLOW, by its name or a path, with TEXT as $ARGUMENTS.

    The run's output is printed on stdout, progress on stderr. The exit status is 0 completed, 1 failed, 3 waits for an
    answer, 4 cancelled, 130 interrupted (ion resume continues it).
    """
    from ion import RunOptions, RunSpec

    _check_options(output, options)
    patience_ms = output.unattended_patience_ms if options["detach"] else output.patience_ms
    spec = RunSpec(
        workflow=_named(cli, options["workflow"], options["sop_paths"]),
        arguments=" ".join(options["text"]),
        inputs=read_inputs(options["pairs"], options["inputs_file"]),
        context=read_text(options["context"]),
        agent=options["agent"],
        cwd=options["cwd"],
        run_id=options["run_id"],
        engine=options["engine"],
        max_budget_usd=options["budget"],
        options=RunOptions(max_concurrency=options["jobs"], strict=options["strict"], patience_ms=patience_ms),
    )
    if options["dry_run"]:
        return _dry_run(cli, spec, output, options["stubs"])
    if not options["detach"]:
        return _run(cli, spec, output)
    if spec.engine is not None:
        return _leave_to_engine(cli, spec, output)
    from ion.cli.detach import detach

    detach(cli, spec, output)
    return 0


def _named(cli: CliContext, workflow: str, sop_paths: tuple[Path, ...]) -> str:
    """The workflow as another process finds it too: one of `--sop-paths` by its path."""
    if not sop_paths:
        return workflow
    from ion.api.workflows import find_in_sop_paths

    with cli.open() as workspace:
        return find_in_sop_paths(workspace, workflow, sop_paths)


def _check_options(output: OutputOptions, options: dict[str, Any]) -> None:
    given = {**options, "json": output.as_json, "events": output.events}
    excluded = [
        ("events", "json", "--events prints lines, --json one object"),
        ("detach", "dry_run", "a dry run is over at once"),
        ("engine", "dry_run", "a dry run has no engine"),
        ("detach", "events", "ion events RUN --follow prints them"),
    ]
    for one, other, hint in excluded:
        if given[one] and given[other]:
            raise UsageError(f"--{one} and --{other.replace('_', '-')} do not go together", hint=hint)
    if options["stubs"] and not options["dry_run"]:
        raise UsageError("--stub is for --dry-run", hint="add --dry-run")


def _run(cli: CliContext, spec: RunSpec, output: OutputOptions) -> int:
    from ion.cli import ending
    from ion.cli.driving import drive
    from ion.cli.view import open_view

    with cli.open() as workspace:
        view = open_view(workspace, cli, output)
        started = _start(workspace, spec, view.observers, output)
        result = drive(workspace, started, view)
        return ending.finish(workspace, cli, result, output)


def _leave_to_engine(cli: CliContext, spec: RunSpec, output: OutputOptions) -> int:
    with cli.open() as workspace:
        terminal.data().line(_start(workspace, spec, (), output).run_id)
    return 0


def _start(
    workspace: Workspace, spec: RunSpec, observers: tuple[Observer, ...], output: OutputOptions
) -> StartedRun | ClusterRun:
    from ion.cli.asking import person_present
    from ion.cli.view import start

    try:
        started = start(workspace, spec, observers)
    except MissingAgentError as error:
        if not person_present():
            raise
        from ion.cli.setup import install_agent

        for name in error.agents:
            install_agent(workspace, name, yes=False)
        started = start(workspace, spec, observers)
    say_warnings(started.warned, () if output.quiet else started.notes)
    return started


def _dry_run(cli: CliContext, spec: RunSpec, output: OutputOptions, stubs: tuple[str, ...]) -> int:
    from ion.api.dry import dry_run
    from ion.api.workflows import open_workflow
    from ion.cli import ending
    from ion.cli.view import open_view

    with cli.open() as workspace:
        view = open_view(workspace, None, output)
        opened = open_workflow(workspace, spec.workflow, strict=spec.options.strict, without_files=True)
        say_warnings(opened.warned)
        done = dry_run(
            workspace,
            opened.workflow,
            arguments=spec.arguments,
            inputs=spec.inputs,
            stubs=dict(split_pair("--stub", stub) for stub in stubs),
            observers=view.observers,
            strict=spec.options.strict,
        )
        view.end()
        notes = (*(problem.message for problem in opened.missing), *done.notes)
        say_warnings("", () if output.quiet else notes)
        if output.as_json:
            terminal.write_json(done.result.to_json())
        elif not output.events:
            ending.print_output(workspace, done.result)
    return FAILED if done.result.status == "failed" else 0
