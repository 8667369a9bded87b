"""A field of characters on which lines run, meet and pass over each other, and labels stand."""

from __future__ import annotations

from collections.abc import Container, Iterator

from ion.views.text import Part, width

LEFT, RIGHT, UP, DOWN = 1, 2, 4, 8
_SHAPES = {
    LEFT: "─",
    RIGHT: "─",
    UP: "│",
    DOWN: "│",
    LEFT | RIGHT: "─",
    UP | DOWN: "│",
    LEFT | DOWN: "┐",
    LEFT | UP: "┘",
    RIGHT | DOWN: "┌",
    RIGHT | UP: "└",
    LEFT | RIGHT | DOWN: "┬",
    LEFT | RIGHT | UP: "┴",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    LEFT | RIGHT | UP | DOWN: "┼",
}


class Canvas:
    """Rows and columns count from 0. A vertical that passes a horizontal without meeting it is drawn over it."""

    def __init__(self) -> None:
        self._lines: dict[int, dict[int, int]] = {}
        self._over: dict[int, dict[int, int]] = {}
        self._labels: dict[int, list[tuple[int, Part]]] = {}

    def label(self, row: int, column: int, part: Part) -> None:
        """A text from `column` on."""
        self._labels.setdefault(row, []).append((column, part))

    def across(self, row: int, first: int, last: int) -> None:
        """A horizontal over all columns from `first` to `last`."""
        for column in range(first, last + 1):
            self._add(row, column, LEFT | RIGHT)

    def into(self, row: int, first: int, last: int) -> None:
        """A horizontal that ends in the vertical at `last`."""
        self.across(row, first, last - 1)
        self._add(row, last, LEFT)

    def out_of(self, row: int, first: int, last: int) -> None:
        """A horizontal that begins in the vertical at `first`."""
        self._add(row, first, RIGHT)
        self.across(row, first + 1, last)

    def down(self, column: int, top: int, bottom: int, comes: Container[int], goes: Container[int]) -> None:
        """A vertical that takes up the lines of the rows in `comes` from the left and sends lines to the right in the
        rows in `goes`.

        All other lines from the left pass below it: there it has no arm to the left, also where it sends a line of its
        own along with them. So an eye that follows a line to the right never strays into one that only joins it.
        """
        for row in range(top, bottom + 1):
            bits = (UP if row > top else 0) | (DOWN if row < bottom else 0)
            if row in comes:
                self._add(row, column, bits)
            else:
                over = bits | RIGHT if row in goes else UP | DOWN
                self._over.setdefault(row, {})[column] = over

    def _add(self, row: int, column: int, bits: int) -> None:
        cells = self._lines.setdefault(row, {})
        cells[column] = cells.get(column, 0) | bits

    def tangles(self) -> int:
        """How often lines pass over each other, or meet from all four sides: there an eye may go astray."""
        passing = ((self._lines.get(row, {}), column) for row, columns in self._over.items() for column in columns)
        meeting = (bits == LEFT | RIGHT | UP | DOWN for line in self._lines.values() for bits in line.values())
        return sum(bool(line.get(column, 0) & LEFT) for line, column in passing) + sum(meeting)

    def rows(self) -> Iterator[list[Part]]:
        """The rows from the top, less those in which nothing happens, each as parts for a screen."""
        used = {*self._lines, *self._labels}
        for row in range(max(used, default=-1) + 1):
            if row in used:
                yield self._row(row)

    def _row(self, row: int) -> list[Part]:
        bits = self._lines.get(row, {}) | self._over.get(row, {})
        cells = {column: _SHAPES[arms] for column, arms in bits.items()}
        parts: list[Part] = []
        done = 0
        for column, part in [*sorted(self._labels.get(row, ()), key=lambda item: item[0]), (None, "")]:
            end = column if column is not None else max(cells, default=-1) + 1
            parts.append("".join(cells.get(place, " ") for place in range(done, max(done, end))))
            parts.append(part)
            done = end + width(part[1] if isinstance(part, tuple) else part)
        return parts
