"""`ion show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import IonError

if TYPE_CHECKING:
    from ion import Workflow
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.argument("node", required=False, shell_complete=completing.nodes)
@as_json
@in_context
def show(cli: CliContext, run: str | None, node: str | None, as_json: bool) -> int:
    """Show the state of RUN: its nodes, when each ran, what it waits for. With NODE: why that node is as it is."""
    from ion.api.reading import describe, now_of, source_changed
    from ion.cli import terminal
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
    from ion.cli import terminal
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
