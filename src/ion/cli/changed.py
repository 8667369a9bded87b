"""A workflow's file that is not as a run froze it: said wherever somebody continues the run, with the command that
takes the file as it is now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ion.api import reading
from ion.cli import terminal

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.cli.context import CliContext
    from ion.core.state import RunState


def say_changed(workspace: Workspace, cli: CliContext, run_id: str, from_node: str | None = None) -> None:
    """Say it, if the file has changed. `from_node` None: the node from which it makes sense."""
    state = reading.read_state(workspace, run_id)
    changed = reading.source_changed(workspace, run_id, state)
    if not changed or state.started is None:
        return
    file = os.path.relpath(state.started.file)
    screen = terminal.talk()
    if changed.startswith("gone"):
        screen.line(f"note: {file} is gone since this run began; the run keeps what it froze")
    else:
        used = reading.only_used_files_changed(state)
        what = f"a file that {file} uses" if used else file
        now = "the files\n      as they are" if used else "the file\n      as it is"
        said = f"note: {what} has changed since this run began; the run keeps what it froze. With {now} now"
        screen.lines(f"{said}: {edited_command(cli, run_id, state, from_node)}".split("\n"))


def edited_command(cli: CliContext, run_id: str, state: RunState, from_node: str | None = None) -> str:
    """The command that continues in a new run with the file as it is now."""
    node = from_node or node_to_begin_at(state)
    return cli.command("rerun", run_id, *(("--from", node) if node else ()), "--edited")


def node_to_begin_at(state: RunState) -> str | None:
    """The first node that failed, else the first that has not completed; None: all have."""
    failed = [node for node in state.nodes.values() if node.status == "failed"]
    if failed:
        return min(failed, key=lambda node: node.ended_at or 0).id
    return next((node.id for node in state.nodes.values() if node.status != "completed"), None)
