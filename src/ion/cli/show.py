"""`ion show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import IonError, NotFoundError

if TYPE_CHECKING:
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.language.workflow import Workflow
    from ion.views.explain import Subject


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
    from ion.language.problems import did_you_mean
    from ion.views.explain import Subject
    from ion.views.waiting import answers_of

    if node not in result.state.nodes:
        near = did_you_mean(node, result.state.nodes)
        hint = f"did you mean '{near}'?" if near else f"its nodes: {', '.join(list(result.state.nodes)[:20])}"
        raise NotFoundError(f"the run has no node '{node}'", hint=hint)
    workflow = read_frozen(workspace, result.run_id, result.state)
    logged = {"stdout": 0, "stderr": 0}
    for path in log_files(workspace, result.run_id, node):
        logged["stdout" if path.suffix == ".out" else "stderr"] += path.stat().st_size
    answers = answers_of(read_events(workspace, result.run_id), node)
    subject = Subject(result, workflow, workflow.by_id[node], logged, answers)
    if as_json:
        terminal.write_json(_object(subject))
    else:
        show_node(terminal.data(), cli, subject)


def _object(subject: Subject) -> dict[str, Any]:
    """The node's entry in the run's object, with why it is so."""
    from ion.api.result import timestamp
    from ion.core.values import lookup
    from ion.language.conditions import explain

    node, state = subject.node, subject.state
    inputs = state.started.inputs if state.started else {}
    rows = explain(node.when, lookup(state, inputs)) if node.when is not None else []
    return {
        "run_id": subject.result.run_id,
        "node": node.id,
        "kind": node.kind,
        **subject.result.data["nodes"][node.id],
        "detail": subject.now.detail,
        "waits_for": [{"node": name, "status": state.nodes[name].status} for name in node.waits_for],
        "trigger_rule": node.trigger_rule,
        "when": [{"comparison": text, "seen": seen, "holds": holds} for text, seen, holds in rows],
        "agent": subject.now.agent,
        "session": subject.now.session,
        "usage": subject.now.usage,
        "log_bytes": subject.logged,
        "answers": [
            {
                "request": one.request,
                "message": one.message,
                "decision": one.decision,
                "comment": one.comment,
                "by": one.by,
                "at": timestamp(one.at),
            }
            for one in subject.answers
        ],
    }
