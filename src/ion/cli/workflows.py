"""What looks at workflow files: `ion list`, `ion validate`, `ion graph`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, as_json, in_context, sop_paths
from ion.errors import FAILED, UsageError
from ion.views.text import cut, cut_middle, one_line, pad, plural, width

if TYPE_CHECKING:
    from ion.api.workflows import Discovered
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen
    from ion.views.graph.picture import Picture


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
    if one.shadowed_by is not None:
        return f"shadowed by {one.shadowed_by}"
    if one.errors:
        return f"{plural(len(one.errors), 'error')} · ion validate {one.name}"
    workflow = one.loaded.workflow
    if workflow is None:
        return one.problems[0].message
    counts = ["SOP", plural(len(workflow.nodes), "step")] if one.is_sop else []
    counts += [plural(len(one.problems), "warning")] if one.problems else []
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
    from ion.cli.failures import show_problems
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
    return FAILED if any(strict or problem.severity == "error" for problem in found.problems) else 0


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

    A node with a condition has a '?'. In mermaid, dot and svg, edges that only a reference brings about are dashed.
    """
    with cli.open() as workspace:
        picture = _picture(workspace, workflow, run)
    if as_json:
        terminal.write_json(picture.to_json())
    elif style == "text":
        from ion.views.graph.text import draw

        screen = terminal.data()
        for row in draw(screen, picture):
            screen.line(*row)
    else:
        from ion.views.graph.markup import dot, mermaid, svg

        terminal.write_text({"mermaid": mermaid, "dot": dot, "svg": svg}[style](picture))
    return 0


def _picture(workspace: Workspace, workflow: str | None, run: str | None) -> Picture:
    from ion.views.graph.picture import picture_of

    if run is None:
        from ion.api.workflows import open_workflow
        from ion.cli.failures import say_warnings

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
