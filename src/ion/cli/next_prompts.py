"""`ion next`."""

from __future__ import annotations

from typing import Any

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context


@click.command("next")
@click.argument("run", required=False, shell_complete=completing.runs_with_prompts)
@as_json
@in_context
def next_prompts(cli: CliContext, run: str | None, as_json: bool) -> int:
    """Print the prompts of RUN that wait for an agent, with the commands that answer them."""
    from ion.api import reading, requests
    from ion.cli import terminal

    with cli.open() as workspace:
        row = workspace.find_run(run)
        prompts = requests.next_prompts(workspace, row.run_id)
        status = reading.status_of(workspace.store, row)
        if as_json:
            terminal.write_json({"run_id": row.run_id, "status": status, "prompts": prompts})
        elif not prompts:
            terminal.talk().line(f"No prompt of {row.run_id} waits for an answer; the run is {status}.")
        for prompt in () if as_json else prompts:
            _show(terminal.data(), cli, row.run_id, prompt)
    return 0


def _show(screen: Any, cli: CliContext, run_id: str, prompt: dict[str, Any]) -> None:
    turn = f"  iteration {prompt['iteration']}" if prompt["iteration"] else ""
    session = f"  session {prompt['session']}" if prompt["session"] else ""
    screen.line(("strong", prompt["node"]), f"{turn}{session}")
    screen.line()
    screen.lines(f"    {line}" for line in prompt["prompt"].splitlines())
    screen.line()
    screen.line("  ", cli.command("submit", run_id, prompt["node"], "--file FILE"))
    screen.line()
