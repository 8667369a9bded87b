"""The live view: the tree of a run, a line for each node, redrawn in place on a terminal.

An observer that only takes notes, and the thread of `BackgroundWriter` that draws them: a terminal that is stopped
(Ctrl-S) holds up nothing but the drawing, and the newest notes win. It draws when something has changed and when a
second is over, never more than eight times a second."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from ion import RunState, clocks
from ion import events as e
from ion.cli.terminal import Screen
from ion.views.marks import mark, role_of
from ion.views.rows import Row, Tally, members_of, row_of
from ion.views.text import Part, cut, cut_ids, duration, one_line, pad, passing, width
from ion.views.waiting import shortest_answer
from ion.views.words import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live as RichLive
    from rich.text import Text

    from ion import NodeState, Workflow
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.context import CliContext

SHORTEST_PAUSE_S = 0.125
LONGEST_PAUSE_S = 1.0
_TAIL_BYTES = 4096
_STYLES = {
    "good": "green",
    "bad": "red",
    "active": "cyan",
    "attention": "yellow",
    "faint": "dim",
    "strong": "bold",
}
MAX_ID_COLUMNS = 24
MAX_AGENT_COLUMNS = 12
_DURATION_COLUMNS = 6
# How many instances inside of nodes are shown at least and at most.
_LEAST_INSIDE, _MOST_INSIDE = 3, 18
# How many nodes of those that have not begun are always shown, so that one sees what comes.
_COMING = 3
Line = list[Part]


class Head(Struct, frozen=True, gc=False):
    """The first line: which run, how far, since when (ms since the epoch); `finishing`: its `finally` runs."""

    workflow: str
    run_id: str
    begun_at: int
    finishing: bool = False


class Columns(Struct, frozen=True, gc=False):
    """The ids as they are shown, and the widths of their column and of that of agents (0: nobody has one)."""

    names: Mapping[str, str]
    ids: int
    agents: int


class Tree:
    """Draws rows. `screen` says what can be shown, `last_line` what a running node said last."""

    def __init__(self, screen: Screen, last_line: Callable[[Row], str]) -> None:
        self._screen = screen
        self._last_line = last_line

    def lines(self, head: Head, rows: Mapping[str, Row], now: int, height: int, told: set[str]) -> list[Line]:
        """The frame in at most `height` lines. `told`: nodes that are in the history above already."""
        columns = self.columns(rows)
        shown = [row for row in rows.values() if row.node not in told]
        hidden = 0
        room = height - 2
        if len(shown) > room:
            shown, hidden = _most_telling(shown, room - 1)
        above = sum(rows[node].state == "failed" for node in told if node in rows)
        frame = [self._head(head, [row for row in rows.values() if row.depth == 0], now, above)]
        frame += [self.line(row, rows, columns, now) for row in shown]
        if hidden > 0:
            frame.append([("faint", f"… {hidden} more: ion show {head.run_id}")])
        return frame

    def line(self, row: Row, rows: Mapping[str, Row], columns: Columns, now: int) -> Line:
        """One node."""
        indent = "  " * row.depth
        if row.more:
            return [("faint", f"{indent}… {row.more} more")]
        ids, agents = columns.ids, columns.agents
        screen = self._screen
        left = f"{_took(row, now):<{_DURATION_COLUMNS}}"
        if agents:
            left += f"  {pad(row.agent, agents)}"
        if row.left and row.due_at is not None:
            left = f"{row.left} in {passing(max(0, row.due_at - now + 999))}"
        line: Line = [mark(row.state, unicode=screen.unicode), f" {pad(indent + columns.names[row.node], ids)}  "]
        line.append((role_of(row.state), left) if row.state in ("failed", "allowed", "retry") else left)
        used = (1 if screen.unicode else 5) + 1 + ids + 2 + width(left)
        said = " · ".join(filter(None, (row.item, self._note(row, rows))))
        # Measured as it will be printed: an escape is wider than the character that it replaces.
        note = cut(screen.plain(said), max(0, screen.width - used - (3 if screen.unicode else 5)))
        if note:
            line.append(("faint", f"  {note}") if row.state in ("pending", "skipped", "completed") else f"  {note}")
        return line

    def _head(self, head: Head, rows: list[Row], now: int, above: int) -> Line:
        over = sum(row.over for row in rows)
        failed = f" · {above} failed above" if above else ""
        finishing = "finishing · " * head.finishing
        right = f"{finishing}{over}/{len(rows)} nodes{failed} · {passing(max(0, now - head.begun_at))}"
        name = cut(head.workflow, max(10, self._screen.width - width(right) - len(head.run_id) - 6))
        gap = self._screen.width - 1 - width(name) - 2 - len(head.run_id) - width(right)
        return [("strong", name), f"  {head.run_id}{' ' * max(2, gap)}", ("faint", right)]

    def _note(self, row: Row, rows: Mapping[str, Row]) -> str:
        if row.state == "pending":
            missing = [other for other in row.waits_for if other in rows and not rows[other].over]
            return f"waits for {', '.join(missing)}" if missing else row.note
        if row.state == "running":
            return " · ".join(part for part in (row.note, one_line(self._last_line(row))) if part)
        return one_line(row.note)

    @staticmethod
    def columns(rows: Mapping[str, Row]) -> Columns:
        """How wide the columns are for these rows."""
        names = cut_ids((row.node for row in rows.values()), MAX_ID_COLUMNS)
        ids = max((width(names[row.node]) + 2 * row.depth for row in rows.values()), default=0)
        return Columns(names, ids, min(max((width(row.agent) for row in rows.values()), default=0), MAX_AGENT_COLUMNS))


def _took(row: Row, now: int) -> str:
    if row.state in ("skipped", "retry"):
        return ""
    if row.took_ms is not None:
        return duration(row.took_ms)
    return passing(max(0, now - row.started_at)) if row.started_at is not None else ""


def _most_telling(rows: list[Row], room: int) -> tuple[list[Row], int]:
    """At most `room` rows in their order, and how many are left out: what runs and waits goes before what is over, and
    that before what has not begun, but for the first of it."""
    coming = [row.node for row in rows if row.state == "pending"][:_COMING]

    def rank(row: Row) -> int:
        if row.state in ("running", "waiting", "retry"):
            return 0
        if row.node in coming:
            return 1
        return 2 if row.over else 3

    kept = {row.node for row in sorted(rows, key=rank)[: max(0, room)]}
    return [row for row in rows if row.node in kept], len(rows) - len(kept)


class Live:
    """Watches runs on a terminal. `begin` tells of the workflow; the drawing lasts from `resume` to `pause`. What
    others say meanwhile goes through `writer`, so that it is printed above or below a drawing and never within."""

    wants_lines = False

    def __init__(self, screen: Screen, writer: BackgroundWriter, cli: CliContext | None = None) -> None:
        self._screen = screen
        self._writer = writer
        self._cli = cli
        self._tree = Tree(screen, self._last_line)
        self._workflow: Workflow | None = None
        self._logs: Path | None = None
        self._head: Head | None = None
        self._rows: dict[str, Row] = {}
        self._tally = Tally(RunState())
        self._items: dict[str, list[Any]] = {}
        self._told: set[str] = set()
        self._said: dict[str, str] = {}
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._drawing = False
        self._clock = clocks.running_from(clocks.zero_ms())

    def begin(self, workflow: Workflow | None, logs: Path | None) -> None:
        """What the run is of, and where its programs write."""
        self._workflow, self._logs = workflow, logs

    # ------------------------------------------------------------------ the observer, in the engine's thread

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        event = recorded.event
        if self._head is None:
            started = state.started
            self._head = Head(started.workflow if started else "", run_id, event.at)
        if self._head.finishing != (state.finishing is not None):
            self._head = replace(self._head, finishing=state.finishing is not None)
        if not self._rows or isinstance(event, e.WorkflowResumed | e.WorkflowPaused):
            self._tally, self._items, self._rows = Tally(state), {}, {}
            for node in state.nodes.values():
                self._keep(node, state)
        elif isinstance(event, e.ScopeOpened | e.NodeInvalidated):
            self._scope(event.node, state)
        elif isinstance(event, e.NodeEvent):
            for address in (event.node, *(event.caught if isinstance(event, e.NodeCompleted) else ())):
                self._tally.put(state, state.nodes[address])
                self._keep(state.nodes[address], state)
            self._said.pop(event.node, None)
        self._changed.set()

    def progress(self, run_id: str, node: str, line: str) -> None:  # noqa: ARG002
        self._said[node] = line
        self._changed.set()

    def _scope(self, owner: str, state: RunState) -> None:
        """What is inside of this node is another than before."""
        self._items.pop(owner, None)
        if owner in state.scopes:
            self._tally.open_scope(state, owner)
        else:
            self._tally.forget(owner)
            self._tally.put(state, state.nodes[owner])
        self._keep(state.nodes[owner], state)
        for node in members_of(state, owner):
            self._keep(node, state)

    def _keep(self, node: NodeState, state: RunState) -> None:
        """Its row, if it is one of the file's nodes or is worth a look: of all others only the number is shown."""
        if node.owner and not self._tally.is_open(node.id):
            self._rows.pop(node.id, None)
            return
        answer = ""
        if self._cli is not None and self._head is not None:
            answer = shortest_answer(self._cli.command, self._head.run_id, node)
        self._rows[node.id] = row_of(node, state, self._workflow, answer, self._item(node, state))

    def _item(self, node: NodeState, state: RunState) -> Any:
        """What an instance of a fan-out is for, unless the list of all items is too long to be in the log."""
        scope = state.scopes.get(node.owner)
        if scope is None or scope.items is None or scope.items.text is None:
            return None
        if node.owner not in self._items:
            self._items[node.owner] = json.loads(scope.items.text)
        return self._items[node.owner][scope.members[node.id]]

    # ------------------------------------------------------------------ drawing, in the thread of `BackgroundWriter`

    def resume(self) -> None:
        """Begin to draw, below what is on the screen."""
        if not self._drawing:
            self._drawing = True
            stop = self._stop = threading.Event()
            self._writer.then(lambda: self._draw(stop))

    def pause(self) -> None:
        """Have it drawn once more and no more, so that what is said next is below."""
        self._drawing = False
        self._stop.set()
        self._changed.set()

    def _draw(self, stop: threading.Event) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        console = Console(
            file=sys.stderr,
            force_terminal=True,
            color_system="standard" if self._screen.colour else None,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=False,
        )
        drawn: list[Line] = []
        try:
            with RichLive(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
                while not stop.is_set():
                    drawn = self._frame(console, live, drawn)
                    stop.wait(SHORTEST_PAUSE_S)
                    self._changed.wait(LONGEST_PAUSE_S)
                    self._changed.clear()
                self._frame(console, live, [], last=True)
        except OSError:  # the terminal is gone; the run continues, or a SIGHUP ends it
            return
        self._told |= {row.node for row in tuple(self._rows.values()) if row.over and not row.depth}

    def _frame(self, console: Console, live: RichLive, drawn: list[Line], *, last: bool = False) -> list[Line]:
        """Draw, unless the last frame looked the same; gives what is drawn now.

        The cursor waits in an empty line below: what the terminal writes there of a key that is pressed, such as `^C`,
        then moves no line of the drawing, which is to be drawn over.
        """
        head, size = self._head, console.size
        if head is None:
            return drawn
        rows = self._shown(size.height)
        self._screen.width = size.width
        now = self._clock()
        if len([row for row in rows.values() if row.node not in self._told]) + 2 > size.height:
            self._tell(console, rows, now)
        frame = self._tree.lines(head, rows, now, size.height, self._told)
        if frame != drawn:
            live.update(self._text(frame if last else [*frame, [" "]], size.width), refresh=True)
        return frame

    def _shown(self, height: int) -> dict[str, Row]:
        """The rows of the file's nodes, and below each those inside of it that failed, wait or run."""
        kept, tally = dict(self._rows), self._tally
        outer = [row for row in kept.values() if not row.depth]
        composites = sum(row.node in tally.counts for row in outer)
        share = max(_LEAST_INSIDE, min(_MOST_INSIDE, (height - 2 - len(outer)) // max(1, composites)))
        rows: dict[str, Row] = {}
        for row in outer:
            rows[row.node] = self._counted(row, tally)
            inside = tally.unfolded(row.node, share) if row.node not in self._told else ()
            for address, left in inside:
                one = kept.get(address)
                if one is not None and left:
                    rows[f"{address} …"] = Row(address, "", depth=one.depth + 1, more=left)
                elif one is not None:
                    rows[address] = self._counted(one, tally)
        return rows

    @staticmethod
    def _counted(row: Row, tally: Tally) -> Row:
        """The row with what is inside of the node, counted."""
        counts = tally.counts.get(row.node)
        if counts is None:
            return row
        note = " · ".join(filter(None, (counted(counts), row.note)))
        if row.state == "completed" and counts["failed"]:
            return replace(row, note=note, state="partly")
        return replace(row, note=note, state=tally.status(row.node) if row.state == "running" else row.state)

    def _tell(self, console: Console, rows: dict[str, Row], now: int) -> None:
        """Finished nodes move up into the history where the screen has too few lines for all."""
        columns = self._tree.columns(rows)
        for row in sorted(rows.values(), key=lambda row: row.ended_at or 0):
            if row.over and not row.depth and row.node not in self._told:
                line = self._tree.line(row, rows, columns, now)
                console.print(self._text([line], self._screen.width), no_wrap=True, crop=True)
                self._told.add(row.node)

    def _text(self, lines: Iterable[Line], width: int) -> Text:
        from rich.text import Text

        text = Text(no_wrap=True, overflow="crop", end="")
        for number, line in enumerate(lines):
            shown = Text("\n" if number else "")
            for part in line:
                role, piece = part if isinstance(part, tuple) else ("", part)
                shown.append(self._screen.plain(piece), style=_STYLES.get(role, ""))
            shown.truncate(max(1, width) + (1 if number else 0))
            text.append_text(shown)
        return text

    def _last_line(self, row: Row) -> str:
        """What a running node said last: its own word, or the end of what its program wrote or an agent did."""
        said = self._said.get(row.node, "")
        if said or row.log is None or self._logs is None:
            return said
        transcript = Path(f"{self._logs / row.log}.txt")
        if _written(transcript):
            return _tail(transcript)
        files = [Path(f"{self._logs / row.log}{suffix}") for suffix in (".out", ".err")]
        written = sorted(((_written(path), path) for path in files), reverse=True)
        return _tail(written[0][1]) if written[0][0] else ""


def _written(path: Path) -> int:
    """When something was last written to it; 0: never."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _tail(path: Path) -> str:
    """The last line in a file that is not blank, as far as its last few KB hold one."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")
