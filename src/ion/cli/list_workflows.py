"""`ion list`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ion.cli.context import CliContext, as_json, in_context, sop_paths

if TYPE_CHECKING:
    from ion.api.workflows import Discovered
    from ion.cli.terminal import Screen


@click.command("list")
@sop_paths
@as_json
@in_context
def list_workflows(cli: CliContext, sop_paths: tuple[Path, ...], as_json: bool) -> int:
    """List the workflows of the project and of the user: what each does, what it needs, and where it is from."""
    from ion.api.workflows import discover, listed
    from ion.cli import terminal

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
    from ion.views.text import cut, cut_middle, one_line, pad
    from ion.views.text import width as columns_of
    from ion.views.words import needs_of

    rows = [
        (_name(one), one_line(_what(one)), ", ".join(needs_of(one.loaded.workflow)), _source(one, project), one)
        for one in found
    ]
    names = min(max(4, *(columns_of(row[0]) for row in rows)), 26)
    needs = min(max(5, *(columns_of(row[2]) for row in rows)), 24)
    sources = min(max(4, *(columns_of(row[3]) for row in rows)), 24)
    whats = max(4, *(columns_of(row[1]) for row in rows))
    whats = min(whats, max(20, screen.width - names - needs - sources - 6))
    head = f"{pad('NAME', names)}  {pad('WHAT', whats)}  {pad('NEEDS', needs)}  FROM"
    screen.line(("faint", head))
    for name, what, need, source, one in rows:
        role = "bad" if one.errors else "faint" if one.shadowed_by or one.passed_over else ""
        screen.line(
            (role, pad(cut_middle(name, names), names)),
            "  ",
            pad(what, whats),
            "  ",
            pad(need, needs),
            "  ",
            cut(source, sources),
        )


def _name(one: Discovered) -> str:
    return f"✗ {one.name}" if one.errors else one.name


def _what(one: Discovered) -> str:
    from ion.views.text import plural

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
