"""`ion submit`."""

from __future__ import annotations

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context, progress
from ion.errors import UsageError


@click.command()
@click.argument("run", shell_complete=completing.runs_with_prompts)
@click.argument("node", shell_complete=completing.waiting)
@click.argument("stdin", required=False, metavar="[-]")
@click.option("--file", metavar="FILE", help="The file that holds the answer; - is stdin.")
@click.option("--session", metavar="ID", help="The agent's session, for the node that continues it.")
@click.option("--request", metavar="ID", help="The request that is answered, as ion next names it.")
@click.option("--no-resume", is_flag=True, help="Only record it.")
@progress
@as_json
@in_context
def submit(
    cli: CliContext,
    run: str,
    node: str,
    stdin: str | None,
    file: str | None,
    session: str | None,
    request: str | None,
    no_resume: bool,
    plain: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Answer the prompt of NODE with the text of FILE (or of stdin: -) and continue the run until it waits again.

    The same answer again changes nothing. The exit status is that of the run afterwards; 2 if the answer does not fit
    the node's output_format, 5 if the prompt was answered already, and differently.
    """
    from ion.api import requests
    from ion.cli.continuing import after_request
    from ion.cli.values import read_answer
    from ion.cli.view import OutputOptions

    text = read_answer(_source(stdin, file))
    output_options = OutputOptions(as_json, plain=plain, quiet=quiet)
    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        requests.submit(workspace, run_id, node, text, session=session, request=request)
        return after_request(workspace, cli, run_id, resume=not no_resume, output_options=output_options)


def _source(stdin: str | None, file: str | None) -> str:
    if stdin not in (None, "-"):
        raise UsageError(f"'{stdin}' is one argument too many", hint="--file FILE names the answer's file")
    source = file if file is not None else stdin
    if source is None or (file is not None and stdin is not None):
        raise UsageError(
            "the answer is missing" if source is None else "--file and - are two answers",
            hint="--file FILE, or - for stdin",
        )
    return source
