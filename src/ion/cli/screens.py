"""`ion show`: a run with the states of its nodes, when each ran, and what to do next; one node with all about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ion.cli.ending import say_next
from ion.views.explain import head_of, rows_of, talk_of
from ion.views.rows import axis, bar, note_of, timeline_of
from ion.views.text import cut, cut_ids, duration, moment, pad, width
from ion.views.waiting import labels_of
from ion.views.words import cost_line, mark, mark_of_node, role_of

if TYPE_CHECKING:
    from ion import Workflow
    from ion.api.result import RunResult
    from ion.cli.context import CliContext
    from ion.cli.terminal import Screen
    from ion.views.explain import Subject

MAX_ID_COLUMNS = 24
LABEL_COLUMNS = 13
MAX_NOTE_COLUMNS = 34
MIN_BAR_COLUMNS = 12


def show_run(
    screen: Screen, cli: CliContext, result: RunResult, workflow: Workflow | None, now: int, changed: str = ""
) -> None:
    """The whole screen. `workflow` is the frozen one (None: it cannot be read); `now` is in ms since the epoch;
    `changed` is what became of its file (`reading.source_changed`)."""
    _header(screen, result, now, changed)
    screen.line()
    _nodes(screen, result, workflow, now)
    cost = cost_line(result.state)
    if cost:
        screen.line(cost)
    say_next(screen, cli, result, labels_of(workflow), changed)


def _header(screen: Screen, result: RunResult, now: int, changed: str) -> None:
    started = result.state.started
    took = duration(result.data["duration_ms"])
    parts = [f"{result.workflow}  {result.run_id}", result.status]
    parts.append(f"started {moment(result.state.started_at, now)}, {took}")
    if started is not None:
        parts += [f"by {started.by['user']}@{started.by['host']}"] if {"user", "host"} <= started.by.keys() else []
        parts += [_relative(started.file) + (f" ({changed})" if changed else "")] if started.file else []
        parts += [_rerun(started.rerun_of)] if started.rerun_of else []
    line = ""
    for part in parts:
        if line and width(line) + 3 + width(part) > screen.width:
            screen.line(line)
            line = " "
        line = f"{line}   {part}" if line else part
    screen.line(line)


def _rerun(origin: dict[str, Any]) -> str:
    node = f" from {origin['from']}" if origin.get("from") else ""
    edited = ", edited" if origin.get("edited") else ""
    return f"rerun of {origin.get('run_id')}{node}{edited}"


def _relative(file: str) -> str:
    path = Path(file)
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else file


def _nodes(screen: Screen, result: RunResult, workflow: Workflow | None, now: int) -> None:
    state = result.state
    nodes = list(state.nodes.values())
    notes = {node.id: note_of(node, state, workflow, result.status) for node in nodes}
    names = cut_ids(state.nodes, MAX_ID_COLUMNS)
    ids = max(map(width, names.values()), default=0)
    symbols = 1 if screen.unicode else 5
    room = screen.width - ids - symbols - 12
    note_columns = min(
        max((width(note) for note in notes.values()), default=0), MAX_NOTE_COLUMNS, room - MIN_BAR_COLUMNS
    )
    bars = room - note_columns
    timeline = timeline_of(state, result.status, now)
    for node in nodes:
        name = pad(names[node.id], ids)
        span = timeline.bars[node.id]
        cut_off = mark_of_node(node, result.status) == "interrupted"  # nobody saw its end
        took = duration(span.end - span.start) if span is not None and not cut_off else ""
        shown = bar(span, timeline.whole, bars)
        screen.line(
            name,
            "  ",
            mark(mark_of_node(node, result.status), unicode=screen.unicode),
            " ",
            (role_of(node.status), shown),
            f" {took:<6}  ",
            cut(notes[node.id], note_columns),
        )
    if any(node.started_at is not None for node in nodes):
        screen.line(("faint", " " * (ids + symbols + 3) + axis(timeline.whole, bars)))


def show_node(screen: Screen, cli: CliContext, subject: Subject) -> None:
    """The whole screen of `ion show RUN NODE`."""
    now = subject.now
    screen.line(
        ("strong", now.id), "   ", (role_of(now.status), now.status), *(f"   {part}" for part in head_of(subject))
    )
    for label, text in rows_of(subject, cli.command):
        screen.line("  ", ("faint", f"{label:<{LABEL_COLUMNS}}"), cut(text, max(screen.width - LABEL_COLUMNS - 2, 40)))
    for label, text in talk_of(subject, cli.command):
        for number, line in enumerate(screen.wrap(text, indent=LABEL_COLUMNS + 2)):
            screen.line("  ", ("faint", f"{'' if number else label:<{LABEL_COLUMNS}}"), line)
