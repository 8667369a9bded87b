"""`ion graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import UsageError

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.views.graph.picture import Picture


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
    from ion.cli import terminal

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
        from ion.views.graph.markup import dot, mermaid
        from ion.views.graph.svg import svg

        terminal.write_text({"mermaid": mermaid, "dot": dot, "svg": svg}[style](picture))
    return 0


def _picture(workspace: Workspace, workflow: str | None, run: str | None) -> Picture:
    from ion.views.graph.picture import picture_of

    if run is None:
        from ion.api.workflows import open_workflow
        from ion.cli.starting import say

        if workflow is None:
            raise UsageError("a workflow or --run RUN is missing", hint="ion list shows the workflows")
        opened = open_workflow(workspace, workflow, without_files=True)
        say(opened.warned, (problem.message for problem in opened.missing))
        return picture_of(opened.workflow)
    from ion.api.reading import read_frozen, read_state

    found = workspace.find_run(run)
    if workflow is not None and found.workflow != workflow and "/" not in workflow:
        raise UsageError(f"the run {found.run_id} is one of '{found.workflow}', not of '{workflow}'")
    state = read_state(workspace, found.run_id)
    return picture_of(read_frozen(workspace, found.run_id, state), state)
