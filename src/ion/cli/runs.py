"""What is known of runs: `ion runs` lists them, `ion show` shows one, or why one of its nodes is as it is."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import UsageError
from ion.views.text import cut, cut_ids, cut_middle, duration, moment, pad, width

if TYPE_CHECKING:
    from ion import Workflow, WorkflowRun
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen
    from ion.views.explain import Subject

MAX_ID_COLUMNS = 24
LABEL_COLUMNS = 13
MAX_NOTE_COLUMNS = 40
MIN_BAR_COLUMNS = 12
# How many instances inside of nodes are shown, unless all are asked for.
ROOM_INSIDE = 18
_STATUSES = ("queued", "pending", "running", "paused", "completed", "failed", "cancelled", "interrupted", "damaged")


@click.command()
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@click.option("--workflow", metavar="NAME", shell_complete=completing.workflows, help="Only those of this workflow.")
@click.option("--unclean", is_flag=True, help="Only those that completed with failures, allowed or caught.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@as_json
@in_context
def runs(
    cli: CliContext, status: str | None, workflow: str | None, unclean: bool, limit: int | None, as_json: bool
) -> int:
    """List the project's runs, newest first. One that completed, but not clean, has a ✓!."""
    from ion.api.listing import is_clean, is_finishing, list_runs

    with cli.open() as workspace:
        found = list_runs(workspace, status=status, workflow=workflow, limit=None if unclean else limit)
        shown = ((run, state, is_clean(workspace, run)) for run, state in found)
        listed = list(islice((one for one in shown if not unclean or one[2] is False), limit))
        finishing = {run.run_id for run, state, _ in listed if state == "running" and is_finishing(workspace, run)}
    if as_json:
        terminal.write_json([_object(*one, finishing=one[0].run_id in finishing) for one in listed])
    elif not listed:
        given = status or workflow or unclean
        terminal.talk().line(f"No runs{' like that' if given else ' yet: ion run WORKFLOW starts one'}.")
    else:
        _table(terminal.data(), listed, finishing)
    return 0


def _duration(run: WorkflowRun, status: str) -> int | None:
    """Milliseconds from start to end, to now if it runs; None while nobody runs it."""
    from ion.api.listing import now_of

    if run.ended_at is not None:
        return max(0, run.ended_at - run.started_at)
    return max(0, now_of(run) - run.started_at) if status == "running" else None


def _object(run: WorkflowRun, status: str, clean: bool | None, *, finishing: bool) -> dict[str, object]:
    from ion.clocks import timestamp

    return {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": status,
        "clean": clean,
        **({"finishing": True} if finishing else {}),
        "started_at": timestamp(run.started_at or None),
        "duration_ms": _duration(run, status),
    }


def _table(screen: Screen, found: list[tuple[WorkflowRun, str, bool | None]], finishing: set[str]) -> None:
    from ion import clocks
    from ion.views.marks import role_of, symbol

    marks = (2 if any(clean is False for _, _, clean in found) else 1) if screen.unicode else 5
    ids = min(max(len(run.run_id) for run, _, _ in found), 24)
    names = min(max(len(run.workflow) for run, _, _ in found), max(8, screen.width - ids - marks - 45))
    for run, status, clean in found:
        key = "unclean" if clean is False else status
        run_id, workflow = pad(cut_middle(run.run_id, ids), ids), pad(cut_middle(run.workflow, names), names)
        when = f"{moment(run.started_at or None, clocks.now_ms()):<19}  {duration(_duration(run, status))}"
        word = (role_of(key), f"{'finishing' if run.run_id in finishing else status:<11}")
        screen.line(
            (role_of(key), f"{symbol(key, unicode=screen.unicode):<{marks}}"),
            " ",
            run_id,
            "  ",
            workflow,
            "  ",
            word,
            "  ",
            when,
        )


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.argument("node", required=False, shell_complete=completing.nodes)
@click.option("--instances", is_flag=True, help="With all that is inside of nodes, not only the first or the urgent.")
@click.option("--html", "file", metavar="FILE", help="Write the whole run into a web page that needs no server.")
@as_json
@in_context
def show(cli: CliContext, run: str | None, node: str | None, instances: bool, file: str | None, as_json: bool) -> int:
    """Show the state of RUN: its nodes, when each ran, what it waits for. With NODE: why that node is as it is, and
    what is inside of it. NODE may be an address, as review.2 or review.2.lint, or an iteration of a repeated group, as
    fix.2."""
    from ion.api.listing import now_of
    from ion.api.reading import describe, source_changed
    from ion.views.waiting import readable_workflow

    if file is not None and (node is not None or as_json):
        raise UsageError("--html writes a whole run, as a page", hint="leave out NODE and --json")
    with cli.open() as workspace:
        row = workspace.find_run(run)
        run_id = row.run_id
        if file is not None:
            return _write_report(workspace, cli, run_id, file)
        result = describe(workspace, run_id)
        if node is not None:
            _show_node(workspace, cli, result, node, instances=instances, as_json=as_json)
        elif as_json:
            terminal.write_json(result.to_json(instances=instances))
        else:
            changed = source_changed(workspace, run_id, result.state)
            workflow = readable_workflow(workspace, run_id, result.state)
            show_run(terminal.data(), cli, result, workflow, now_of(row), changed, instances=instances)
    return 0


def _write_report(workspace: Workspace, cli: CliContext, run_id: str, file: str) -> int:
    """Write the run as one page; `-` is stdout."""
    from ion.web.report import report
    from ion.web.site import Site

    text = report(Site(workspace, cli.command, terminal.talk().line), run_id)
    if file == "-":
        terminal.write_text(text)
    else:
        Path(file).write_text(text, encoding="utf-8")
        terminal.data().line(file)
    return 0


def _show_node(
    workspace: Workspace, cli: CliContext, result: RunResult, name: str, *, instances: bool, as_json: bool
) -> None:
    from ion.api.reading import log_files, read_events, read_frozen
    from ion.views.explain import Subject, iteration_of, node_json, node_of
    from ion.views.waiting import answers_of

    name, iteration = iteration_of(result.state, name) or (name, 0)
    node = node_of(result.state, name)
    workflow = read_frozen(workspace, result.run_id, result.state)
    logged = {"stdout": 0, "stderr": 0}
    for path in log_files(workspace, result.run_id, node.id, result.state):
        if path.suffix != ".txt":  # that repeats what is in stdout
            logged["stdout" if path.suffix == ".out" else "stderr"] += path.stat().st_size
    answers = answers_of(read_events(workspace, result.run_id), node.id) if node.asked else ()
    subject = Subject(result=result, workflow=workflow, now=node, logged=logged, answers=answers, iteration=iteration)
    if as_json:
        terminal.write_json(node_json(subject, instances=instances))
    else:
        show_node(terminal.data(), cli, subject, instances=instances)


def show_run(
    screen: Screen,
    cli: CliContext,
    result: RunResult,
    workflow: Workflow | None,
    now: int,
    changed: str = "",
    *,
    instances: bool = False,
) -> None:
    """The whole screen. `workflow` is the frozen one (None: it cannot be read); `now` is in ms since the epoch;
    `changed` is what became of its file (`reading.source_changed`). `instances`: nothing is folded."""
    from ion.cli.ending import say_next
    from ion.views.waiting import labels_of
    from ion.views.words import cost_line

    _header(screen, result, now, changed)
    screen.line()
    _nodes(screen, cli, result, workflow, now, instances=instances)
    cost = cost_line(result.state)
    if cost:
        screen.line(cost)
    if result.status != "completed":  # each node says what there is to say
        say_next(screen, cli, result, labels_of(workflow), changed)


def _header(screen: Screen, result: RunResult, now: int, changed: str) -> None:
    started = result.state.started
    took = duration(result.data["duration_ms"])
    more = ", not clean" if result.status == "completed" and not result.clean else ", finishing" * result.finishing
    parts = [f"{result.workflow}  {result.run_id}", f"{result.status}{more}"]
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


def _nodes(
    screen: Screen, cli: CliContext, result: RunResult, workflow: Workflow | None, now: int, *, instances: bool
) -> None:
    from ion.api.described import node_duration, owned_ms
    from ion.views.marks import mark, role_of
    from ion.views.rows import axis, bar, folded

    rows = folded(result, workflow, None if instances else ROOM_INSIDE)
    names = cut_ids((row.node.id for row in rows if not row.left), MAX_ID_COLUMNS)
    ids = max((width(names[row.node.id]) + 2 * row.depth for row in rows if not row.left), default=0)
    symbols = 1 if screen.unicode else 5
    room = screen.width - ids - symbols - 12
    note_columns = min(max((width(row.note) for row in rows), default=0), MAX_NOTE_COLUMNS, room - MIN_BAR_COLUMNS)
    bars = room - note_columns
    whole = owned_ms(result.state, result.status, now)
    for row in rows:
        node, indent = row.node, "  " * row.depth
        if row.left:
            screen.line(("faint", f"{indent}… {row.left} more: {cli.command('show', result.run_id, node.id)}"))
            continue
        ran = node_duration(node, whole)
        took = "" if row.state == "interrupted" else duration(ran)  # nobody saw its end
        shown = (role_of(row.state), bar(node.owned_from, ran, whole, bars))
        name, symbol = pad(indent + names[node.id], ids), mark(row.state, unicode=screen.unicode)
        screen.line(name, "  ", symbol, " ", shown, f" {took:<6}  ", cut(row.note, note_columns))
    if any(row.node.started_at is not None for row in rows):
        screen.line(("faint", " " * (ids + symbols + 3) + axis(whole, bars)))


def show_node(screen: Screen, cli: CliContext, subject: Subject, *, instances: bool = False) -> None:
    """The whole screen of `ion show RUN NODE`. `instances`: with all that is inside of it."""
    from ion.views.explain import head_of, rows_of, talk_of
    from ion.views.marks import role_of
    from ion.views.words import mark_of_node, said_of

    now = subject.now
    if subject.iteration:
        said = f"iteration {subject.iteration} of {subject.state.scopes[now.id].iteration}"
        screen.line(("strong", f"{now.id}.{subject.iteration}"), f"   {said}")
        _inside(screen, cli, subject, instances=instances)
        return
    screen.line(
        ("strong", now.id),
        "   ",
        (role_of(mark_of_node(subject.state, now, subject.result.status)), said_of(subject.state, now)),
        *(f"   {part}" for part in head_of(subject)),
    )
    for label, text in rows_of(subject, cli.command):
        screen.line("  ", ("faint", f"{label:<{LABEL_COLUMNS}}"), cut(text, max(screen.width - LABEL_COLUMNS - 2, 40)))
    for label, text in talk_of(subject, cli.command):
        for number, line in enumerate(screen.wrap(text, indent=LABEL_COLUMNS + 2)):
            screen.line("  ", ("faint", f"{'' if number else label:<{LABEL_COLUMNS}}"), line)
    _inside(screen, cli, subject, instances=instances)


def _inside(screen: Screen, cli: CliContext, subject: Subject, *, instances: bool) -> None:
    """What is inside of a node, each in a line: what failed, waits or runs first."""
    from ion.api.described import node_duration
    from ion.views.marks import mark
    from ion.views.rows import table

    room = None if instances else ROOM_INSIDE
    rows, left = table(subject.result, subject.workflow, subject.now, room, subject.iteration)
    if not rows:
        return
    screen.line()
    prefix = len(subject.now.id) + 1
    names = min(max(len(row.node.id) for row in rows) - prefix, MAX_ID_COLUMNS)
    items = max(width(row.item) for row in rows)
    for row in rows:
        took = duration(node_duration(row.node, subject.result.described.owned))
        name, item = pad(cut_middle(row.node.id[prefix:], names), names), pad(row.item, items) + "  " if items else ""
        line = f" {name}  {item}{took:<6}  "
        note = cut(row.note, max(screen.width - width(line) - 5, 20))
        screen.line(mark(row.state, unicode=screen.unicode), line, note)
    if left:
        shown = subject.now.id + (f".{subject.iteration}" if subject.iteration else "")
        more = cli.command("show", subject.result.run_id, shown, "--instances")
        screen.line(("faint", f"… {left} more: {more}"))
