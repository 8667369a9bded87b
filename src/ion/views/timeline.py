"""When each node ran, as bars of text: one line for a node, the whole run across."""

from __future__ import annotations

from ion.records import dataclass
from ion.views.text import duration


@dataclass(frozen=True)
class Bar:
    """From `start` to `end`, in ms of the time in which somebody drove the run."""

    start: int
    end: int


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
