"""`ion sop` helps with writing SOPs; `ion convert` makes one the YAML of its workflow, an agent skill, or a command of
the Cursor editor."""

from __future__ import annotations

import io
from pathlib import Path

import click
from msgspec.structs import replace

from ion.cli import terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.cli.failures import say_warnings
from ion.errors import RefusedError, UsageError

# Where the other tools look, in the project.
_FOLDERS = {"skill": "skills", "cursor": ".cursor/commands"}


@click.command()
@click.argument("file", metavar="FILE.sop.md")
@click.option("--to", type=click.Choice(["yaml", "skill", "cursor"]), default="yaml", help="What to make of it.")
@click.option("--split", type=click.Choice(["steps", "substeps"]), help="A node for each step, or numbered sub-step.")
@click.option("--fresh", is_flag=True, help="Each step in a session of its own.")
@click.option("--output", metavar="PATH", help="yaml: the file to write; others: the folder to write into.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@as_json
@in_context
def convert(
    cli: CliContext, file: str, to: str, split: str | None, fresh: bool, output: str | None, force: bool, as_json: bool
) -> int:
    """Print an SOP as the YAML of its workflow, or write it as a skill or a command for another tool."""
    from ion.api.sops import export_sop, load_sop
    from ion.api.workflows import open_workflow

    sop = load_sop(file)
    with cli.open() as workspace:
        say_warnings(open_workflow(workspace, file).warned)
        project = workspace.project
    if to != "yaml":
        if split or fresh:
            raise UsageError("--split and --fresh are for --to yaml", hint=f"a {to} holds the SOP as it is")
        exported = export_sop(sop, to)
        folder = Path(output) if output is not None else project / _FOLDERS[to]
        return _write(folder / exported.path, exported.text, as_json, force=force)
    if split is not None:
        sop = replace(sop, split=split == "substeps")
    text = export_sop(replace(sop, context="fresh") if fresh else sop, "yaml").text
    if output is not None:
        return _write(Path(output), text, as_json, force=force)
    return _print({"name": sop.name, "text": text}, as_json)


def _print(shown: dict[str, str], as_json: bool) -> int:
    if as_json:
        terminal.write_json(shown)
    else:
        terminal.write_bytes(io.BytesIO(shown["text"].encode()))
    return 0


def _write(path: Path, text: str, as_json: bool, *, force: bool = False) -> int:
    """Write a new file, with the folders that it needs, and say where; one that has this text already is left alone.

    Raises `RefusedError` for a file with other content, unless `force`.
    """
    data = text.encode()
    if path.exists() and not force and not (path.is_file() and path.read_bytes() == data):
        raise RefusedError(f"{path} is there already", code="file-exists", hint="add --force to write over it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if as_json:
        terminal.write_json({"file": str(path.absolute())})
    else:
        terminal.data().line(str(path))
    return 0


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

    return _print({"text": authoring_guide()}, as_json)


@sop.command()
@click.argument("name")
@click.option("--dir", "folder", metavar="DIR", help="Where to write it; default: .ion/workflows of the project.")
@as_json
@in_context
@click.pass_obj
def new(outer: CliContext, cli: CliContext, name: str, folder: str | None, as_json: bool) -> int:
    """Write NAME.sop.md, an SOP that runs as it is, to begin with."""
    from ion.api.sops import new_sop

    text = new_sop(name)
    with CliContext(cli.store or outer.store, cli.project or outer.project).open() as workspace:
        home = Path(folder) if folder is not None else workspace.make_data_folder() / "workflows"
    return _write(home / f"{name}.sop.md", text, as_json)
