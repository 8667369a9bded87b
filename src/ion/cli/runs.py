"""What is known of runs: `ion runs` lists them, `ion show` shows one, or why one of its nodes is as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import IonError
from ion.views.text import cut_middle, duration, moment, pad

if TYPE_CHECKING:
    from ion import Workflow, WorkflowRun
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen

_STATUSES = ("pending", "running", "paused", "completed", "failed", "cancelled", "interrupted", "damaged")


@click.command()
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@click.option("--workflow", metavar="NAME", shell_complete=completing.workflows, help="Only those of this workflow.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@as_json
@in_context
def runs(cli: CliContext, status: str | None, workflow: str | None, limit: int | None, as_json: bool) -> int:
    """List the project's runs, newest first."""
    from ion.api.reading import list_runs

    with cli.open() as workspace:
        found = list_runs(workspace, status=status, workflow=workflow, limit=limit)
    if as_json:
        terminal.write_json([_object(run, state) for run, state in found])
    elif not found:
        terminal.talk().line(f"No runs{' like that' if status or workflow else ' yet: ion run WORKFLOW starts one'}.")
    else:
        _table(terminal.data(), found)
    return 0


def _duration(run: WorkflowRun, status: str) -> int | None:
    """Milliseconds from start to end, to now if it runs; None while nobody runs it."""
    from ion.api.reading import now_of

    if run.ended_at is not None:
        return max(0, run.ended_at - run.started_at)
    return max(0, now_of(run) - run.started_at) if status == "running" else None


def _object(run: WorkflowRun, status: str) -> dict[str, object]:
    from ion.api.result import timestamp

    return {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": status,
        "started_at": timestamp(run.started_at or None),
        "duration_ms": _duration(run, status),
    }


def _table(screen: Screen, found: list[tuple[WorkflowRun, str]]) -> None:
    from ion import clocks
    from ion.views.words import mark, role_of

    ids = min(max(len(run.run_id) for run, _ in found), 24)
    names = min(max(len(run.workflow) for run, _ in found), max(8, screen.width - ids - 46))
    for run, status in found:
        run_id, workflow = pad(cut_middle(run.run_id, ids), ids), pad(cut_middle(run.workflow, names), names)
        when = f"{moment(run.started_at or None, clocks.now_ms()):<19}  {duration(_duration(run, status))}"
        symbol, word = mark(status, unicode=screen.unicode), (role_of(status), f"{status:<11}")
        screen.line(symbol, " ", run_id, "  ", workflow, "  ", word, "  ", when)


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.argument("node", required=False, shell_complete=completing.nodes)
@as_json
@in_context
def show(cli: CliContext, run: str | None, node: str | None, as_json: bool) -> int:
    """Show the state of RUN: its nodes, when each ran, what it waits for. With NODE: why that node is as it is."""
    from ion.api.reading import describe, now_of, source_changed
    from ion.cli.screens import show_run

    with cli.open() as workspace:
        row = workspace.find_run(run)
        run_id = row.run_id
        result = describe(workspace, run_id)
        if node is not None:
            _show_node(workspace, cli, result, node, as_json=as_json)
        elif as_json:
            terminal.write_json(result.to_json())
        else:
            changed = source_changed(workspace, run_id, result.state)
            show_run(terminal.data(), cli, result, _frozen(workspace, result), now_of(row), changed)
    return 0


def _frozen(workspace: Workspace, result: RunResult) -> Workflow | None:
    """The run's workflow; None if it cannot be read any more: the run's states are shown all the same."""
    from ion.api.reading import read_frozen

    try:
        return read_frozen(workspace, result.run_id, result.state)
    except IonError:
        return None


def _show_node(workspace: Workspace, cli: CliContext, result: RunResult, node: str, *, as_json: bool) -> None:
    from ion.api.reading import log_files, read_events, read_frozen
    from ion.cli.screens import show_node
    from ion.views.explain import Subject, find_node, node_json
    from ion.views.waiting import answers_of

    find_node(result.state, node)
    workflow = read_frozen(workspace, result.run_id, result.state)
    logged = {"stdout": 0, "stderr": 0}
    for path in log_files(workspace, result.run_id, node):
        logged["stdout" if path.suffix == ".out" else "stderr"] += path.stat().st_size
    answers = answers_of(read_events(workspace, result.run_id), node)
    subject = Subject(result=result, workflow=workflow, node=workflow.by_id[node], logged=logged, answers=answers)
    if as_json:
        terminal.write_json(node_json(subject))
    else:
        show_node(terminal.data(), cli, subject)
