"""The runs of a store: `ion export` and `ion import` move one as a file, `ion prune` forgets old ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import UsageError
from ion.views.text import moment, plural, size

if TYPE_CHECKING:
    from ion import WorkflowRun
    from ion.cli.terminal import Screen


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--output", metavar="FILE", help="Where to; without it, or with -, to stdout.")
@as_json
@in_context
def export(cli: CliContext, run: str | None, output: str | None, as_json: bool) -> int:
    """Write RUN as one file: its log, its frozen workflow, its outputs. ion import takes it into any other store.

    A run that is running is written as it is now.
    """
    from ion.api.maintenance import export_to_file, export_to_stream

    to_stdout = output in (None, "-")
    if as_json and to_stdout:
        raise UsageError("--json needs --output FILE here: stdout is the run itself", hint="ion export --help")
    if to_stdout and terminal.is_terminal(sys.stdout):
        raise UsageError("an exported run is not for a terminal", hint="--output FILE, or > FILE")
    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        if to_stdout:
            export_to_stream(workspace, run_id, sys.stdout.buffer)
            return 0
        file = Path(output or "").absolute()
        export_to_file(workspace, run_id, file)
    if as_json:
        terminal.write_json({"run_id": run_id, "file": str(file), "bytes": file.stat().st_size})
    else:
        terminal.talk().line(f"Exported {run_id} to {output}. Take it in elsewhere: ion import FILE")
    return 0


@click.command("import")
@click.argument("file")
@as_json
@in_context
def import_run(cli: CliContext, file: str, as_json: bool) -> int:
    """Take the run in FILE (- is stdin), which ion export wrote, into this project's store.

    It is checked first: if anything in it is wrong, nothing is taken in. The
    exit status is 5 if the store has a run of its id.
    """
    from ion.api.maintenance import import_from_file, import_from_stream

    with cli.open() as workspace:
        if file != "-":
            run_id = import_from_file(workspace, Path(file))
        elif sys.stdin is None:
            raise UsageError("stdin is closed")
        else:
            run_id = import_from_stream(workspace, sys.stdin.buffer)
    if as_json:
        terminal.write_json({"run_id": run_id})
    else:
        terminal.talk().line(f"Imported {run_id}: {cli.command('show', run_id)}")
    return 0


_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SHOWN = 20


def _age(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """A time such as `30d`, as milliseconds."""
    found = re.fullmatch(r"(\d{1,9})([mhdw])", value)
    if found is None:
        raise UsageError(f"invalid duration {value!r}", hint="write 30d, 12h, 90m or 2w")
    return int(found[1]) * _UNITS[found[2]]


@click.command()
@click.option(
    "--older-than",
    "older_than_ms",
    callback=_age,
    default="30d",
    metavar="AGE",
    show_default=True,
    help="Ended longer ago.",
)
@click.option("--keep", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest N in any case.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(("completed", "failed", "cancelled", "paused", "interrupted", "damaged")),
    help="Only those in this state (repeat); default: completed, failed, cancelled.",
)
@click.option("--workflow", metavar="NAME", shell_complete=completing.workflows, help="Only those of this workflow.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@in_context
def prune(cli: CliContext, dry_run: bool, yes: bool, as_json: bool, **which: Any) -> int:
    """Forget old runs: logs, outputs that no other run needs, and files under .ion/runs. Asks first.

    A run that a living process owns is never touched; one that waits or was cut off only if --status says so.
    """
    from ion.api.maintenance import OVER, Pruned, prunable_runs, prune_runs

    screen, done = terminal.talk(), Pruned((), 0, 0)
    with cli.open() as workspace:
        found = prunable_runs(workspace, **{**which, "statuses": which["statuses"] or OVER})
        runs = [run for run, _ in found]
        if not as_json:
            _list(screen, found)
        forget = not dry_run and (bool(runs) or yes)
        if forget:
            _ask(len(runs), yes=yes)
            done = prune_runs(workspace, runs)
    if as_json:
        listed = [run.run_id for run in runs] if dry_run else list(done.run_ids)
        counted = {"outputs": done.outputs, "bytes": done.size, "dry_run": dry_run, "damaged": list(done.damaged)}
        terminal.write_json({"runs": listed, **counted})
    elif forget:
        gone = f"{plural(len(done.run_ids), 'run')} and {plural(done.outputs, 'output')} are gone"
        screen.line(f"{gone}, {size(done.size)}.")
        if done.damaged:
            damaged = f"{plural(len(done.damaged), 'damaged run')} ({', '.join(done.damaged[:5])})"
            screen.line(f"All outputs stay: which of them {damaged} needs is not known.")
            screen.line(("hint", f"{cli.command('doctor')} names the damage; --status damaged forgets them"))
    return 0


def _list(screen: Screen, found: list[tuple[WorkflowRun, str]]) -> None:
    from ion import clocks

    if not found:
        screen.line("No run is old enough.")
        return
    screen.line(f"{plural(len(found), 'run')}:")
    for run, status in found[:_SHOWN]:
        screen.line(f"  {run.run_id}  {run.workflow}  {status}  {moment(run.started_at, clocks.now_ms())}")
    if len(found) > _SHOWN:
        screen.line(f"  … and {len(found) - _SHOWN} more")


def _ask(count: int, *, yes: bool) -> None:
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "cannot ask whether to delete them: stdin is not a terminal", hint="--yes deletes, --dry-run only lists"
        )
    click.confirm(f"Delete {'it' if count == 1 else f'these {count} runs'} for good?", abort=True, err=True)
