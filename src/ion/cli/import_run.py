"""`ion import`."""

from __future__ import annotations

from pathlib import Path

import click

from ion.cli.context import CliContext, as_json, in_context
from ion.errors import UsageError


@click.command("import")
@click.argument("file")
@as_json
@in_context
def import_run(cli: CliContext, file: str, as_json: bool) -> int:
    """Take the run in FILE (- is stdin), which ion export wrote, into this project's store.

    It is checked first and then there wholly or not at all. The exit status is 5 if the store has a run of its id.
    """
    import sys

    from ion.api.moving import import_from_file, import_from_stream
    from ion.cli import terminal

    with cli.open() as workspace:
        if file != "-":
            run_id = import_from_file(workspace, Path(file))
        elif sys.stdin is None:
            raise UsageError("there is no stdin to read from")
        else:
            run_id = import_from_stream(workspace, sys.stdin.buffer)
    if as_json:
        terminal.write_json({"run_id": run_id})
    else:
        terminal.talk().line(f"Imported {run_id}: {cli.command('show', run_id)}")
    return 0
