"""`ion output`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import NotFoundError

if TYPE_CHECKING:
    from ion.api.reading import Content
    from ion.api.result import RunResult


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.argument("node", required=False, shell_complete=completing.nodes)
@as_json
@in_context
def output(cli: CliContext, run: str | None, node: str | None, as_json: bool) -> int:
    """Print the output of RUN, or of its NODE, whole, as it is, and nothing else.

    Of a loop that waits or has failed it is that of its last iteration. The exit status is 2 if there is none.
    """
    from ion.api.reading import describe, output_object
    from ion.cli import terminal
    from ion.cli.ending import print_content

    with cli.open() as workspace:
        result = describe(workspace, workspace.find_run(run).run_id)
        content = _of_node(cli, result, node) if node is not None else _of_run(cli, result)
        if as_json:
            terminal.write_json(output_object(workspace, result.run_id, node, content))
        else:
            print_content(workspace, content)
    return 0


def _of_run(cli: CliContext, result: RunResult) -> Content:
    node = result.state.output_node
    content = result.state.nodes[node].output if node is not None else None
    if content is None:
        raise NotFoundError(
            f"the run {result.run_id} has no output: it is {result.status}",
            hint=f"of one node: {cli.command('output', result.run_id, 'NODE')}",
        )
    return content


def _of_node(cli: CliContext, result: RunResult, name: str) -> Content:
    from ion.views.explain import find_node

    node = find_node(result.state, name)
    content = node.last_output if node.output is not None or node.progress.iterations else None
    if content is None:
        raise NotFoundError(
            f"'{name}' has no output: it is {node.status}", hint=f"why: {cli.command('show', result.run_id, name)}"
        )
    return content
