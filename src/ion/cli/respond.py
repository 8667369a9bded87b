"""`ion respond`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context, progress


@click.command()
@click.argument("run", shell_complete=completing.runs_that_ask)
@click.argument("node", shell_complete=completing.waiting)
@click.argument("decision", shell_complete=completing.decisions)
@click.argument("text", required=False, default="")
@click.option("--request", metavar="ID", help="Which one, where a node asks for several permissions.")
@click.option("--no-resume", is_flag=True, help="Only record it.")
@progress
@as_json
@in_context
def respond(
    cli: CliContext,
    run: str,
    node: str,
    decision: str,
    text: str,
    request: str | None,
    no_resume: bool,
    plain: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Answer the gate of NODE with DECISION, and TEXT with it, and continue the run.

    The exit status is that of the run afterwards; 5 if the gate is not open any more.
    """
    from ion.api import requests
    from ion.cli.continuing import after_request, show_question
    from ion.cli.view import OutputOptions

    output_options = OutputOptions(as_json, plain=plain, quiet=quiet)
    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        if not quiet:
            show_question(workspace, run_id, node, request)
        requests.answer(workspace, run_id, decision, node, text=text, request=request)
        return after_request(workspace, cli, run_id, resume=not no_resume, output_options=output_options)
