"""`ion sop`: help with writing SOPs."""

from __future__ import annotations

import io
from pathlib import Path

import click

from ion.cli.context import CliContext, as_json, in_context


@click.group(no_args_is_help=False)
@in_context
def sop(cli: CliContext) -> None:
    """Write Agent SOPs: markdown procedures that Ion runs step by step."""
    click.get_current_context().obj = cli


@sop.command()
@as_json
@in_context
def rule(cli: CliContext, as_json: bool) -> int:  # noqa: ARG001 every command takes --store and --project
    """Print how to write an SOP, for you or for the agent that writes it."""
    from ion.api.sops import authoring_guide
    from ion.cli import terminal

    if as_json:
        terminal.write_json({"text": authoring_guide()})
    else:
        terminal.write_bytes(io.BytesIO(authoring_guide().encode()))
    return 0


@sop.command()
@click.argument("name")
@click.option("--dir", "folder", metavar="DIR", help="Where to write it; default: .ion/workflows of the project.")
@as_json
@in_context
@click.pass_obj
def new(outer: CliContext, cli: CliContext, name: str, folder: str | None, as_json: bool) -> int:
    """Write NAME.sop.md, an SOP that runs as it is, to begin with."""
    from ion.api.sops import new_sop
    from ion.cli import terminal
    from ion.cli.convert import write_file

    text = new_sop(name)
    with CliContext(cli.store or outer.store, cli.project or outer.project).open() as workspace:
        home = Path(folder) if folder is not None else workspace.make_data_folder() / "workflows"
    path = home / f"{name}.sop.md"
    write_file(path, text, force=False)
    if as_json:
        terminal.write_json({"file": str(path.absolute())})
    else:
        terminal.data().line(str(path))
    return 0
