"""Workflow files: `ion list`, `ion validate` and `ion graph` look at them; `ion sop` helps with writing SOPs, and
`ion convert` makes one the YAML of its workflow, an agent skill, or a command of the Cursor editor."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from ion.cli import completing, terminal
from ion.cli.context import CliContext, as_json, in_context, sop_paths
from ion.cli.failures import say_warnings, show_problems
from ion.errors import FAILED, RefusedError, UsageError
from ion.views.text import cut, cut_middle, one_line, pad, plural, width

if TYPE_CHECKING:
    from ion.api.workflows import Discovered
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen
    from ion.views.graph import Picture

# Where the other tools look, in the project.
_FOLDERS = {"skill": "skills", "cursor": ".cursor/commands"}


@click.command("list")
@sop_paths
@as_json
@in_context
def list_workflows(cli: CliContext, sop_paths: tuple[Path, ...], as_json: bool) -> int:
    """List the workflows of the project and of the user: what each does, what it needs, and where it is from."""
    from ion.api.workflows import discover, listed

    with cli.open() as workspace:
        found = discover(workspace, sop_paths)
        project = workspace.project
    if as_json:
        terminal.write_json([listed(one) for one in found])
    elif not found:
        terminal.talk().line(f"No workflows in {project}: ion init writes a first one.")
    else:
        _table(terminal.data(), found, project)
    return 0


def _table(screen: Screen, found: list[Discovered], project: Path) -> None:
    from ion.views.words import needs_of

    rows = [
        (
            f"✗ {one.name}" if one.errors else one.name,
            one_line(_what(one)),
            ", ".join(needs_of(one.loaded.workflow)),
            _source(one, project),
            one,
        )
        for one in found
    ]
    names = min(max(4, *(width(row[0]) for row in rows)), 26)
    needs = min(max(5, *(width(row[2]) for row in rows)), 24)
    sources = min(max(4, *(width(row[3]) for row in rows)), 24)
    whats = max(4, *(width(row[1]) for row in rows))
    whats = min(whats, max(20, screen.width - names - needs - sources - 6))
    screen.line(("faint", f"{pad('NAME', names)}  {pad('WHAT', whats)}  {pad('NEEDS', needs)}  FROM"))
    for name, what, need, source, one in rows:
        role = "bad" if one.errors else "faint" if one.shadowed_by or one.passed_over else ""
        shown = pad(cut_middle(name, names), names)
        screen.line((role, shown), "  ", pad(what, whats), "  ", pad(need, needs), "  ", cut(source, sources))


def _what(one: Discovered) -> str:
    from ion.views.problems import count

    if one.shadowed_by is not None:
        return f"shadowed by {one.shadowed_by}"
    if one.errors:
        return f"{plural(len(one.errors), 'error')} · ion validate {one.name}"
    workflow = one.loaded.workflow
    if workflow is None:
        return one.problems[0].message
    counts = ["SOP", plural(len(workflow.nodes), "step")] if one.is_sop else []
    counts += filter(None, [count(one.problems, "warning")])
    return f"({', '.join(counts)}) {workflow.description}" if counts else workflow.description


def _source(one: Discovered, project: Path) -> str:
    folder = one.path.parent
    return os.path.relpath(folder, project) if folder.is_relative_to(project) else str(folder)


@click.command()
@click.argument("targets", nargs=-1, metavar="[PATH|NAME]…", shell_complete=completing.workflows)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@as_json
@in_context
def validate(cli: CliContext, targets: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Check workflow files, folders of them or names, and show every problem; without any, all that can be found.

    The exit status is 1 if a file has an error (with --strict: or a warning).
    """
    from ion.api import workflows
    from ion.views.problems import summary

    with cli.open() as workspace:
        found = workflows.validate(workspace, targets)
    if as_json:
        terminal.write_json([problem.to_json() for problem in found.problems])
    else:
        screen = terminal.data()
        if found.problems:
            show_problems(screen, found.problems)
            screen.line()
        screen.line(summary(found.problems, found.files))
    refused = ("error", "warning") if strict else ("error",)
    return FAILED if any(problem.severity in refused for problem in found.problems) else 0


@click.command()
@click.argument("workflow", required=False, shell_complete=completing.workflows)
@click.option(
    "--format", "style", type=click.Choice(("text", "mermaid", "dot", "svg")), default="text", show_default=True
)
@click.option(
    "--run",
    metavar="RUN",
    shell_complete=completing.runs,
    help="Show the states of this run; the graph is the one that it froze.",
)
@as_json
@in_context
def graph(cli: CliContext, workflow: str | None, style: str, run: str | None, as_json: bool) -> int:
    """Draw the graph of WORKFLOW (may be left out with --run).

    What is inside of a node, and what an include brings, is a box; '× items' marks one that runs for each item. With
    --run, a box has the nodes that have begun, each once, with how many of its instances are in which state.

    Below it: which prompts continue the session of another, by `context` or by the shape of the graph. A node with a
    condition has a '?'. In mermaid, dot and svg, edges that only a reference brings about are dashed.
    """
    from ion.views.graph import boxed

    with cli.open() as workspace:
        picture = _picture(workspace, workflow, run)
    if as_json:
        terminal.write_json(picture.to_json())
    elif style == "text":
        from ion.views.drawing import draw

        screen = terminal.data()
        for row in draw(screen, boxed(picture)):
            screen.line(*row)
        sessions = list(picture.sessions())
        if sessions:
            screen.line()
        for node, other in sessions:
            screen.line(("faint", f"{node} continues the session of {other}"))
    else:
        from ion.views.markup import dot, mermaid, svg

        terminal.write_text({"mermaid": mermaid, "dot": dot, "svg": svg}[style](boxed(picture)))
    return 0


def _picture(workspace: Workspace, workflow: str | None, run: str | None) -> Picture:
    from ion.views.graph import picture_of

    if run is None:
        from ion.api.workflows import open_workflow

        if workflow is None:
            raise UsageError("a workflow or --run RUN is missing", hint="ion list shows the workflows")
        opened = open_workflow(workspace, workflow, without_files=True)
        say_warnings(opened.warned, (problem.message for problem in opened.missing))
        return picture_of(opened.workflow)
    from ion.api.reading import read_frozen, read_state

    found = workspace.find_run(run)
    if workflow is not None and found.workflow != workflow and "/" not in workflow:
        raise UsageError(f"the run {found.run_id} is one of '{found.workflow}', not of '{workflow}'")
    state = read_state(workspace, found.run_id)
    return picture_of(read_frozen(workspace, found.run_id, state), state)


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
