"""What a run has written: `ion events` prints its log, `ion logs` what its programs wrote, `ion output` its outputs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, always_json, as_json, in_context
from ion.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ion.api.reading import Content
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.views.following import LogFile


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--follow", is_flag=True, help="Continue until no process drives the run any more.")
@click.option("--node", metavar="NODE", shell_complete=completing.nodes, help="Only of NODE and what is inside of it.")
@always_json
@in_context
def events(cli: CliContext, run: str | None, node: str | None, follow: bool) -> int:
    """Print the event log of RUN, one JSON object a line (with or without --json)."""
    from ion.api.reading import address_of, follow_events, read_events, read_state
    from ion.api.watchers import event_object
    from ion.names import is_within

    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        around = None if node is None else address_of(read_state(workspace, run_id), node)
        for recorded in (follow_events if follow else read_events)(workspace, run_id):
            if around is None or is_within(getattr(recorded.event, "node", None) or "", around):
                terminal.write_json(event_object(run_id, recorded), indent=None)
    return 0


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
    from ion.views.explain import node_of

    node = node_of(result.state, name)
    content = node.last_output if node.output is not None or node.progress.iterations else None
    if content is None:
        why = cli.command("show", result.run_id, node.id)
        raise NotFoundError(f"'{node.id}' has no output: it is {node.status}", hint=f"why: {why}")
    return content


@click.command()
@click.argument("run", shell_complete=completing.runs)
@click.argument("node", required=False, shell_complete=completing.nodes)
@click.option("--follow", is_flag=True, help="Continue until no process drives the run any more.")
@click.option("--raw", is_flag=True, help="Of agents the JSON that they printed, not what it says.")
@as_json
@in_context
def logs(cli: CliContext, run: str, node: str | None, follow: bool, raw: bool, as_json: bool) -> int:
    """Print what the programs of RUN (or of one NODE) wrote to stdout and stderr, oldest first.

    Of an agent it is what it said and did. A single file is printed as it is; of several each has a line above it that
    names it.
    """
    from ion.views.following import log_files

    if follow and as_json:
        raise UsageError("--follow and --json do not go together", hint="ion events RUN --follow prints JSON lines")
    with cli.open() as workspace:
        run_id = workspace.find_run(run).run_id
        if as_json:
            terminal.write_json([file.to_json() for file in log_files(workspace, run_id, node, raw=raw)])
        elif follow:
            _follow(workspace, run_id, node, raw=raw)
        else:
            _print(log_files(workspace, run_id, node, raw=raw), run_id)
    return 0


def _print(files: list[LogFile], run_id: str) -> None:
    if not files:
        terminal.talk().line(f"No program of {run_id} wrote anything.")
    for number, file in enumerate(files):
        if len(files) > 1:
            _head(file, first=not number)
        _copy(file.path, 0)


def _follow(workspace: Workspace, run_id: str, node: str | None, *, raw: bool) -> None:
    """Print what is there and what comes, file after file, until nobody drives the run."""
    from ion.api.reading import POLL_SECONDS, live
    from ion.views.following import log_files

    offsets: dict[Path, int] = {}
    shown: Path | None = None
    while True:
        alive = live(workspace, run_id)
        for file in log_files(workspace, run_id, node, raw=raw):
            if file.path.stat().st_size <= offsets.get(file.path, 0):
                continue
            if shown != file.path:
                _head(file, first=shown is None)
                shown = file.path
            offsets[file.path] = _copy(file.path, offsets.get(file.path, 0))
        if not alive:
            return
        time.sleep(POLL_SECONDS)


def _head(file: LogFile, *, first: bool) -> None:
    screen = terminal.data()
    if not first:
        screen.line()
    screen.line(("strong", f"==> {file.title} <=="))


def _copy(path: Path, start: int) -> int:
    """Print a file from byte `start` on, on a terminal printable, else as it is; gives the byte after the last."""
    with path.open("rb") as stream:
        stream.seek(start)
        if not terminal.is_terminal(sys.stdout):
            terminal.write_bytes(stream)
            return stream.tell()
        screen = terminal.data()
        for line in stream:
            screen.line(line.decode("utf-8", "replace").rstrip("\r\n"))
        return stream.tell()
