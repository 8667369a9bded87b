"""A run while it is running: a line for each node, made from rows that are snapshots of the nodes' states.

Pure: rows, a moment and a size in, lines out. What does not fit the height is folded: finished nodes are left to the
history above, and nodes that have not begun to a count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from ion.cli.terminal import Screen
from ion.views.rows import Row
from ion.views.text import Part, cut, cut_ids, duration, one_line, pad, passing, width
from ion.views.words import mark, role_of

MAX_ID_COLUMNS = 24
MAX_AGENT_COLUMNS = 12
_DURATION_COLUMNS = 6
# How many nodes of those that have not begun are always shown, so that one sees what comes.
_COMING = 3
Line = list[Part]


class Head(Struct, frozen=True, gc=False):
    """The first line: which run, how far, since when (ms since the epoch)."""

    workflow: str
    run_id: str
    begun_at: int


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
        frame = [self._head(head, rows, now, above)]
        frame += [self.line(row, rows, columns, now) for row in shown]
        if hidden > 0:
            frame.append([("faint", f"… {hidden} more: ion show {head.run_id}")])
        return frame

    def line(self, row: Row, rows: Mapping[str, Row], columns: Columns, now: int) -> Line:
        """One node."""
        ids, agents = columns.ids, columns.agents
        screen = self._screen
        left = f"{_took(row, now):<{_DURATION_COLUMNS}}"
        if agents:
            left += f"  {pad(row.agent, agents)}"
        if row.left and row.due_at is not None:
            left = f"{row.left} in {passing(max(0, row.due_at - now + 999))}"
        line: Line = [mark(row.state, unicode=screen.unicode), f" {pad(columns.names[row.node], ids)}  "]
        line.append((role_of(row.state), left) if row.state in ("failed", "retry") else left)
        used = (1 if screen.unicode else 5) + 1 + ids + 2 + width(left)
        # Measured as it will be printed: an escape is wider than the character that it replaces.
        note = cut(screen.plain(self._note(row, rows)), max(0, screen.width - used - (3 if screen.unicode else 5)))
        if note:
            line.append(("faint", f"  {note}") if row.state in ("pending", "skipped", "completed") else f"  {note}")
        return line

    def _head(self, head: Head, rows: Mapping[str, Row], now: int, above: int) -> Line:
        over = sum(row.over for row in rows.values())
        failed = f" · {above} failed above" if above else ""
        right = f"{over}/{len(rows)} nodes{failed} · {passing(max(0, now - head.begun_at))}"
        name = cut(head.workflow, max(10, self._screen.width - width(right) - len(head.run_id) - 6))
        gap = self._screen.width - 1 - width(name) - 2 - len(head.run_id) - width(right)
        return [("strong", name), f"  {head.run_id}{' ' * max(2, gap)}", ("faint", right)]

    def _note(self, row: Row, rows: Mapping[str, Row]) -> str:
        if row.state == "pending":
            missing = [other for other in row.waits_for if other in rows and not rows[other].over]
            return f"waits for {', '.join(missing)}" if missing else ""
        if row.state == "running":
            return " · ".join(part for part in (row.note, one_line(self._last_line(row))) if part)
        return one_line(row.note)

    @staticmethod
    def columns(rows: Mapping[str, Row]) -> Columns:
        """How wide the columns are for these rows."""
        names = cut_ids(rows, MAX_ID_COLUMNS)
        ids = max(map(width, names.values()), default=0)
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
