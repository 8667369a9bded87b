"""The run as it goes on: a line for each node, made from rows that are snapshots of the nodes' states.

Pure: rows, a moment and a size in, lines out. What does not fit the height is folded: finished nodes are left to the
history above, and nodes that have not begun to a count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ion.cli.formatting import cut, cut_ids, duration, one_line, pad, passing, width
from ion.cli.screens.run import note_of
from ion.cli.terminal import Part, Screen
from ion.cli.words import failure_text, mark, mark_of_node, role_of
from ion.core.apply_outcome import DEFAULT_AGENT_RETRY, MAX_REASKS
from ion.core.state import NodeState, RunState
from ion.language.workflow import AGENT_KINDS, Loop, Node, Workflow
from ion.records import dataclass

MAX_ID_COLUMNS = 24
MAX_AGENT_COLUMNS = 12
_DURATION_COLUMNS = 6
# How many nodes of those that have not begun are always shown, so that one sees what comes.
_COMING = 3
Line = list[Part]


@dataclass(frozen=True, slots=True)
class Row:
    """One node at one moment. `state` is a key of `words.mark`; times are ms since the epoch. `started_at` is when it
    would have started had somebody driven it all the time, `took_ms` how long it ran if that does not grow. `left`
    stands in the columns of duration and agent. `log` is the stem of what its program writes, while one runs."""

    node: str
    state: str
    waits_for: tuple[str, ...] = ()
    started_at: int | None = None
    ended_at: int | None = None
    took_ms: int | None = None
    due_at: int | None = None
    left: str = ""
    agent: str = ""
    note: str = ""
    log: str | None = None

    @property
    def over(self) -> bool:
        return self.state in ("completed", "failed", "skipped", "cancelled")


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: which run, how far, since when (ms since the epoch)."""

    workflow: str
    run_id: str
    begun_at: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The ids as they are shown, and the widths of their column and of that of agents (0: nobody has one)."""

    names: Mapping[str, str]
    ids: int
    agents: int


def row_of(now: NodeState, node: Node | None, state: RunState, workflow: Workflow | None, answer: str = "") -> Row:
    """A node's row. `node` and `workflow` are None where the workflow cannot be read: then less is known. `answer` is
    the command that answers what the node asks."""
    shown = mark_of_node(now, state.status)
    retrying = shown == "retry"
    started_at, took_ms = _time_of(now, state)
    return Row(
        now.id,
        shown,
        node.waits_for if node is not None else (),
        started_at,
        now.ended_at,
        took_ms,
        now.retry_at,
        _tries(now, node) if retrying else "",
        (now.agent or "") if not retrying else "",
        " · ".join(part for part in (answer, _note(now, node, state, workflow)) if part),
        f"{now.id}/{now.starts}-{now.turn}" if now.turn in ("bash", "script", "until_bash") else None,
    )


def _time_of(now: NodeState, state: RunState) -> tuple[int | None, int | None]:
    """`started_at` and `took_ms` of a row."""
    if now.owned_from is None or now.took_ms is not None:
        return None, now.took_ms
    if state.owned_since is None:
        return None, state.owned_ms - now.owned_from
    return state.owned_since - (state.owned_ms - now.owned_from), None


def _tries(now: NodeState, node: Node | None) -> str:
    """`retry 2/3`: which try comes, of how many there may be."""
    if now.reask:
        return f"reply {now.reasks + 1}/{MAX_REASKS + 1}"
    retry = node.retry if node is not None and node.retry is not None else DEFAULT_AGENT_RETRY
    return f"retry {now.retries}/{retry.max_attempts}"


def _note(now: NodeState, node: Node | None, state: RunState, workflow: Workflow | None) -> str:
    if now.status == "running":
        return _doing(now, node)
    if now.status == "waiting" and now.retry_at is not None and now.error is not None:
        text = failure_text(now.error)
        return ": ".join([text.headline, *text.said[-1:]])
    if now.status == "completed" and now.notes:
        return _short("; ".join(now.notes))
    if now.status == "completed" and now.kind in AGENT_KINDS and now.output is not None and now.output.text is not None:
        return _short(now.output.text)
    if now.status == "skipped":
        return one_line(now.detail) if now.reason != "when" else f"when: {one_line(now.detail)}"
    if now.status in ("completed", "pending"):
        return ""
    note = note_of(now, state, workflow, state.status, " · ")
    return note.removeprefix(f"{now.agent} · ") if now.agent else note


def _short(text: str) -> str:
    """An answer of one line is shown; `ion output` prints a longer one."""
    stripped = text.strip()
    return stripped if "\n" not in stripped else ""


def _doing(now: NodeState, node: Node | None) -> str:
    parts = []
    if now.permissions:
        parts.append(f"asks: {one_line(next(iter(now.permissions.values())).message)}")
    if node is not None and isinstance(node.body, Loop):
        parts.append(f"iteration {now.iteration or now.iterations + 1}/{node.body.max_iterations}")
    if now.turn in ("until_bash", "rejection"):
        parts.append({"until_bash": "checking", "rejection": "rework"}[now.turn])
    if now.attempt > 1:
        parts.append(f"attempt {now.attempt}")
    return " · ".join(parts)


class Tree:
    """Draws rows. `screen` says what can be shown, `last_line` what a running node said last."""

    def __init__(self, screen: Screen, last_line: Callable[[Row], str]) -> None:
        self._screen = screen
        self._last_line = last_line

    def lines(self, head: Head, rows: Mapping[str, Row], now: int, height: int, told: set[str]) -> list[Line]:
        """The frame in at most `height` lines. `told`: nodes that stand in the history above already."""
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
        line: Line = [mark(screen, row.state), f" {pad(columns.names[row.node], ids)}  "]
        line.append((role_of(row.state), left) if row.state in ("failed", "retry") else left)
        used = (1 if screen.unicode else 5) + 1 + ids + 2 + width(left)
        # Measured as it will stand there: an escape is wider than what it stands for.
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
