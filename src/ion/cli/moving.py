"""`ion export` and `ion import`: a run as one file, from one store into another."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import UsageError


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--output", metavar="FILE", help="Where to; without it, or with -, to stdout.")
@as_json
@in_context
def export(cli: CliContext, run: str | None, output: str | None, as_json: bool) -> int:
    """Write RUN as one file: its log, its frozen workflow, its outputs. ion import takes it into any other store.

    A run that is running is written as it is now.
    """
    from ion.api.moving import export_to_file, export_to_stream
    from ion.cli import terminal

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

    It is checked first and then there wholly or not at all. The exit status is 5 if the store has a run of its id.
    """
    from ion.api.moving import import_from_file, import_from_stream
    from ion.cli import terminal

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
