"""`ion runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context

if TYPE_CHECKING:
    from ion import WorkflowRun
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
    from ion.cli import terminal

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
    from ion.views.text import cut_middle, duration, moment, pad
    from ion.views.words import mark, role_of

    ids = min(max(len(run.run_id) for run, _ in found), 24)
    names = min(max(len(run.workflow) for run, _ in found), max(8, screen.width - ids - 46))
    for run, status in found:
        screen.line(
            mark(status, unicode=screen.unicode),
            " ",
            pad(cut_middle(run.run_id, ids), ids),
            "  ",
            pad(cut_middle(run.workflow, names), names),
            "  ",
            (role_of(status), f"{status:<11}"),
            f"  {moment(run.started_at or None, clocks.now_ms()):<19}  {duration(_duration(run, status))}",
        )
