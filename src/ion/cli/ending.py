"""What is said when a command has driven a run: its output or JSON on stdout; on stderr what a person must do
next, as commands that can be pasted."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from ion import clocks
from ion.api import reading
from ion.cli import terminal
from ion.errors import FAILED, WAITING
from ion.views.marks import mark
from ion.views.text import cut, cut_ids, duration, moment, one_line, pad, plural, width
from ion.views.waiting import (
    NO_LABELS,
    Labels,
    all_asked,
    edited_command,
    folded,
    held_up,
    kept_nodes,
    nodes_of,
    open_labels,
    summary,
    waiting_in,
    where_it_failed,
)
from ion.views.words import FailureText, failure_text, said_of

if TYPE_CHECKING:
    from ion import NodeState, RunState
    from ion.api.reading import Content
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.context import CliContext, OutputOptions
    from ion.cli.terminal import Screen

# Of why a run failed, in columns.
_LONGEST_HEADLINE = 400
_UNDONE = "finally has run: what it undid is made again only by nodes with always_run"
# How many failures of a run that is not clean are listed, and how wide their names may be.
_FAILURES_SHOWN = 10
MAX_ID_COLUMNS = 24


def finish(workspace: Workspace, cli: CliContext, result: RunResult, output: OutputOptions) -> int:
    """Say how the run ended or what it waits for, print its output, and give the exit status."""
    changed = reading.source_changed(workspace, result.run_id, result.state) if result.status == "failed" else ""
    say_next(terminal.talk(), cli, result, open_labels(workspace, result), changed)
    try:
        if output.as_json:
            terminal.write_json(result.to_json())
        elif not output.events:
            print_output(workspace, result)
    except BrokenPipeError:  # the reader of stdout is gone; the run is what it is
        terminal.discard_stdout()
    if _is_held_up(result):
        return WAITING
    return FAILED if output.strict_clean and result.status == "completed" and not result.clean else result.exit_status


def _is_held_up(result: RunResult) -> bool:
    """Whether it is driven elsewhere, and only an answer is missing."""
    return result.status == "running" and held_up(result.state)


def print_output(workspace: Workspace, result: RunResult) -> None:
    """The run's output on stdout, if it has completed and has one."""
    node = result.state.output_node
    content = result.state.nodes[node].output if node is not None else None
    if result.status == "completed" and content is not None:
        print_content(workspace, content)


def print_content(workspace: Workspace, content: Content) -> None:
    """An output on stdout: on a terminal printable, into a pipe or file exactly as it is, with the end of line that Ion
    took off when the node ended (none after bytes that are not text). Raises `BrokenPipeError`."""
    with reading.open_content(workspace, content) as stream:
        if terminal.is_terminal(sys.stdout):
            terminal.data().lines(stream.read().decode("utf-8", "replace").splitlines())
            return
        last = terminal.write_bytes(stream)
    if last and b"\0" not in last:
        terminal.write_bytes(io.BytesIO(b"\n"))


def say_next(screen: Screen, cli: CliContext, result: RunResult, labels: Labels = NO_LABELS, changed: str = "") -> None:
    """What the person does next, if the run has not simply completed. `changed` is what became of the workflow's file
    (`reading.source_changed`)."""
    if result.status == "paused":
        say_waiting(screen, cli, result, labels)
    elif result.status == "queued":
        say_queued(screen, cli, result)
    elif result.status == "failed":
        say_failed(screen, cli, result, changed)
    elif result.status == "completed" and not result.clean:
        say_not_clean(screen, cli, result)
    elif result.status == "cancelled" and result.finally_failed:
        screen.line()
        _say_failures(screen, cli, result, result.finally_failed)
    elif result.status == "interrupted":
        nodes = nodes_of(result.state)
        done = sum(node.status == "completed" for node in nodes)
        screen.line()
        screen.line(("attention", "Interrupted"), f" with {done} of {len(nodes)} nodes completed. Continue with")
        screen.line("  ", cli.command("resume", result.run_id))
    elif result.status == "running":
        if any(one.gate is not None for one in waiting_in(result.state)):
            say_waiting(screen, cli, result, labels)
        screen.line()
        screen.line("It is running: ", cli.command("watch", result.run_id))


def say_waiting(screen: Screen, cli: CliContext, result: RunResult, labels: Labels = NO_LABELS) -> None:
    """`Paused: 1 gate is open.` (of a run that is driven: `Asks:`), what each asks, and the commands that answer."""
    asked, alike = folded(cli.command, result.run_id, all_asked(cli.command, result.run_id, result.state, labels))
    screen.line()
    word = "Paused" if result.status == "paused" else "Asks"
    screen.line(("attention", word), f": {summary(result.state) or 'nothing can continue'}.")
    for one in asked:
        if not one.waiting.node:
            screen.line("  ", one.waiting.message)
        elif len(asked) > 1 or one.waiting.gate is not None:
            say_question(screen, one.waiting.node, one.waiting.message)
        _say_commands(screen, one.commands)
    for more in alike:
        screen.line(f"  … and {more.left} more inside of {more.node}")
        _say_commands(screen, more.commands)
    due_at = result.state.due_at
    if due_at is not None and result.status == "paused":
        clock = "its cluster continues it" if result.state.engine is not None else "ion tick, ion serve --clock"
        screen.line(f"It continues by itself from {moment(due_at, clocks.now_ms())} on: {clock}")
        screen.line("  ", cli.command("resume", result.run_id), "      ", cli.command("cancel", result.run_id))


def say_queued(screen: Screen, cli: CliContext, result: RunResult) -> None:
    """Which in its queue the run is, and what continues it."""
    queue = next(one for one in result.data["waiting"] if one["kind"] == "queue")
    screen.line()
    screen.line(("attention", "Queued"), f": it waits for {queue['message']}, as number {queue['place']}.")
    screen.line("  ", cli.command("tick"), "      continues it when there is one, and so does")
    screen.line("  ", cli.command("resume", result.run_id))


def say_question(screen: Screen, node: str, message: str) -> None:
    """What a node asks, whole."""
    first, *rest = screen.wrap(message, indent=4, first=width(node))
    screen.line("  ", ("strong", node), f"  {first}")
    screen.lines(f"    {line}" if line else "" for line in rest)


def _say_commands(screen: Screen, commands: tuple[tuple[str, str], ...]) -> None:
    together = "      ".join(command for command, _ in commands)
    if len(together) + 2 <= screen.width and not any(note for _, note in commands):
        screen.line("  ", together)
        return
    longest = max(len(command) for command, _ in commands)
    for command, note in commands:
        screen.line("  ", f"{command:<{longest}}      {note}" if note else command)


def say_failed(screen: Screen, cli: CliContext, result: RunResult, changed: str = "") -> None:
    """What failed first, the last that it said, and where to look."""
    state, run_id = result.state, result.run_id
    first = where_it_failed(state)
    error = first.error if first is not None else state.error
    text = failure_text(error) if error is not None else FailureText("", ())
    what = text.headline
    if first is not None:
        exited = what.startswith("exit ")
        what = f"{first.id} exited with {what.removeprefix('exit ')}" if exited else f"{first.id}: {what}"
    took = duration(result.data["duration_ms"])
    screen.line()
    screen.line(
        ("bad", "✗" if screen.unicode else "FAIL"),
        f" {result.workflow} failed after {took}: {cut(what, _LONGEST_HEADLINE)}",
    )
    if text.said:
        screen.line()
        for line in text.said:
            screen.line("    ", cut(line, max(screen.width - 4, 76)))
    screen.line()
    if first is not None:
        screen.line("  logs     ", cli.command("logs", run_id, first.id))
        screen.line("  why      ", cli.command("show", run_id, first.id))
    kept = kept_nodes(state)
    note = f"        ({plural(kept, 'completed node')} {'is' if kept == 1 else 'are'} kept)" if kept else ""
    screen.line("  continue ", cli.command("resume", run_id), note)
    if state.finally_nodes:
        screen.line("           ", _UNDONE)
    if state.started is not None and state.started.file and "gone" not in changed:
        when = "the file has changed since" if changed else "once the file is corrected"
        screen.line("  fix      ", edited_command(cli.command, run_id, state), f"      ({when})")
    if result.finally_failed:
        screen.line()
        _say_failures(screen, cli, result, result.finally_failed)


def say_undone(workspace: Workspace, run_id: str) -> None:
    """Say it, if the run ended before, and its `finally` has run."""
    state = reading.read_state(workspace, run_id)
    if state.status == "failed" and state.finally_nodes:
        terminal.talk().line(f"note: {_UNDONE}")


def say_not_clean(screen: Screen, cli: CliContext, result: RunResult) -> None:
    """Which failures did not fail the run, and where to look."""
    screen.line()
    said = f" {result.workflow} completed after {duration(result.data['duration_ms'])}, not clean"
    screen.line(mark("unclean", unicode=screen.unicode), said)
    _say_failures(screen, cli, result, (*result.allowed, *result.caught, *result.finally_failed))


def _say_failures(screen: Screen, cli: CliContext, result: RunResult, addresses: tuple[str, ...]) -> None:
    """Each in a line: who allowed or caught it, why, and the command that shows more. Several items of one fan-out are
    a line together."""
    state = result.state
    groups: dict[str, list[NodeState]] = {}
    for node in (state.nodes[address] for address in dict.fromkeys(addresses)):
        scope = state.scopes.get(node.owner)
        is_item = scope is not None and scope.items is not None and not node.allowed
        groups.setdefault(node.owner if is_item else node.id, []).append(node)
    lines = {found[0].id if len(found) == 1 else name: found for name, found in groups.items()}
    shown = list(lines)[:_FAILURES_SHOWN]
    names = cut_ids(shown, MAX_ID_COLUMNS)
    ids = max(map(width, names.values()))
    commands = [cli.command(_where_to_look(lines[name]), result.run_id, name) for name in shown]
    room = max(30, screen.width - ids - max(map(width, commands)) - 10)
    whats = [cut(_in_a_line(state, lines[name]), room) for name in shown]
    longest = max(map(width, whats))
    for name, what, command in zip(shown, whats, commands, strict=True):
        screen.line(f"   {pad(names[name], ids)}  {pad(what, longest)}    ", ("faint", command))
    if len(lines) > len(shown):
        screen.line(f"   … {len(lines) - len(shown)} more: {cli.command('show', result.run_id)}")


def _where_to_look(failed: list[NodeState]) -> str:
    """The command that shows the most of a failed node: what it printed, if it was allowed to fail."""
    output = failed[0].output
    return "output" if len(failed) == 1 and output is not None and output.size else "show"


def _in_a_line(state: RunState, failed: list[NodeState]) -> str:
    """Why a node failed, or the first of several items, with the last that it said."""
    node = failed[0]
    text = FailureText(one_line(node.detail), ()) if node.error is None else failure_text(node.error)
    items = f"{len(failed)} items " if len(failed) > 1 else ""
    return f"{items}{': '.join(filter(None, [said_of(state, node), text.headline, *text.said[-1:]]))}"


def say_changed(workspace: Workspace, cli: CliContext, run_id: str, from_node: str | None = None) -> None:
    """Say it, if the file has changed. `from_node` None: the node from which it makes sense."""
    state = reading.read_state(workspace, run_id)
    changed = reading.source_changed(workspace, run_id, state)
    if not changed or state.started is None:
        return
    file = os.path.relpath(state.started.file)
    screen = terminal.talk()
    if "gone" in changed:
        gone = os.path.relpath(reading.gone_file(workspace, run_id, state) or file)
        screen.line(f"note: {gone} is gone since this run began; the run keeps what it froze")
    else:
        used = reading.only_used_files_changed(state)
        what = f"a file that {file} uses" if used else file
        now = "the files\n      as they are" if used else "the file\n      as it is"
        said = f"note: {what} has changed since this run began; the run keeps what it froze. With {now} now"
        screen.lines(f"{said}: {edited_command(cli.command, run_id, state, from_node)}".split("\n"))
