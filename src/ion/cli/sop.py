"""`ion sop` helps with writing SOPs; `ion convert` makes one the YAML of its workflow, an agent skill, or a command of
the Cursor editor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from ion.cli.context import CliContext, as_json, in_context
from ion.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from ion import Sop
    from ion.api.sops import Exported

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
    from ion.cli.failures import say_warnings

    sop = load_sop(file)
    with cli.open() as workspace:
        say_warnings(open_workflow(workspace, file).warned)
    if to != "yaml" and (split or fresh):
        raise UsageError("--split and --fresh are for --to yaml", hint=f"a {to} holds the SOP as it is")
    if to == "yaml":
        return _yaml(_chosen(sop, split, fresh), output, force, as_json)
    exported = export_sop(sop, to)
    folder = Path(output) if output is not None else _project(cli) / _FOLDERS[to]
    return _written(folder / exported.path, exported, force, as_json)


def _chosen(sop: Sop, split: str | None, fresh: bool) -> Sop:
    if split is not None:
        sop = replace(sop, split=split == "substeps")
    return replace(sop, context="fresh") if fresh else sop


def _project(cli: CliContext) -> Path:
    with cli.open() as workspace:
        return workspace.project


def _yaml(sop: Sop, output: str | None, force: bool, as_json: bool) -> int:
    from ion.api.sops import export_sop
    from ion.cli import terminal

    exported = export_sop(sop, "yaml")
    if output is not None:
        return _written(Path(output), exported, force, as_json)
    if as_json:
        terminal.write_json({"name": sop.name, "text": exported.text})
    else:
        terminal.write_bytes(io.BytesIO(exported.text.encode()))
    return 0


def _written(path: Path, exported: Exported, force: bool, as_json: bool) -> int:
    from ion.cli import terminal

    write_file(path, exported.text, force=force)
    if as_json:
        terminal.write_json({"file": str(path.absolute())})
    else:
        terminal.data().line(str(path))
    return 0


def write_file(path: Path, text: str, *, force: bool) -> None:
    """Write a new file, with the folders that it needs; one that has this text already is left alone.

    Raises `RefusedError` for a file with other content, unless `force`.
    """
    data = text.encode()
    if path.exists() and not force and not (path.is_file() and path.read_bytes() == data):
        raise RefusedError(f"{path} is there already", code="file-exists", hint="add --force to write over it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


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
