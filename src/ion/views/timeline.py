"""When each node ran, as bars of text: one line for a node, the whole run across."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ion.api.result import node_duration, owned_ms
from ion.views.text import duration

if TYPE_CHECKING:
    from ion.core.state import NodeState, RunState


class Bar(Struct, frozen=True):
    """From `start` to `end`, in ms of the time in which somebody drove the run."""

    start: int
    end: int


class Timeline(Struct, frozen=True):
    """When the nodes of a run ran: `whole` is the run's bar, `bars` has each node's (None: it has not started)."""

    whole: Bar
    bars: dict[str, Bar | None]


def timeline_of(state: RunState, status: str, now: int) -> Timeline:
    """The timeline of a run; `now` is in ms since the epoch."""
    owned = owned_ms(state, status, now)
    return Timeline(Bar(0, owned), {node.id: _bar_of(node, owned) for node in state.nodes.values()})


def _bar_of(node: NodeState, owned: int) -> Bar | None:
    took = node_duration(node, owned)
    return None if node.owned_from is None or took is None else Bar(node.owned_from, node.owned_from + took)


def bar(span: Bar | None, whole: Bar, columns: int) -> str:
    """The bar of one node in a field of so many columns, filled up with blanks. Something that ran has at least one
    column."""
    if span is None:
        return " " * columns
    first = min(_column(span.start, whole, columns), columns - 1)
    last = max(_column(span.end, whole, columns), first + 1)
    return (" " * first + "▐" + "█" * (last - first - 1)).ljust(columns)


def _column(at: int, whole: Bar, columns: int) -> int:
    length = max(1, whole.end - whole.start)
    return min(columns, max(0, (at - whole.start) * columns // length))


def axis(whole: Bar, columns: int) -> str:
    """`0s`, the middle and the end, below their places."""
    length = whole.end - whole.start
    middle, end = duration(length // 2), duration(length)
    text = "0s".ljust(max(3, columns // 2 - len(middle) // 2))
    text += middle
    return text.ljust(max(len(text) + 1, columns - len(end))) + end
