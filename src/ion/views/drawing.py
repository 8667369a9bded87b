"""A graph drawn for a terminal: columns from left to right joined by lines, or, where that is too wide, a list."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from ion.language.graph import find_cycles, layers, topological
from ion.language.problems import printable
from ion.views.graph import Layout, Picture, PictureNode, Slot, implied, label, lay_out, title
from ion.views.marks import role_of
from ion.views.text import Part, Sheet, cut, cut_ids, width, wrapped

MAX_ID_COLUMNS = 28
MAX_DRAWN_NODES = 250
MAX_INDENT = 12
_LEAST_BOX = 20
_SUFFIXES = {"approval": " ⏸", "loop": " ↻", "loop_group": " ↻", "cancel": " ✗"}

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


def draw(sheet: Sheet, picture: Picture) -> list[list[Part]]:
    """The lines of the graph, as wide as the sheet allows, and below it a box for what is inside of each node."""
    rows = _drawing(sheet, picture)
    rows = rows if rows is not None else _list(sheet, picture)
    for edge in picture.edges:
        if edge.kind == "catches":
            rows.append([("faint", sheet.encodable(cut(f"{edge.target} catches {edge.source}", sheet.width - 1)))])
    for node in picture.nodes:
        if node.inside is not None:
            rows += [[], *_box(sheet, node, node.inside)]
    return rows


class _Narrower(Struct):
    """A sheet with less room."""

    sheet: Sheet
    unicode: bool
    width: int

    def encodable(self, text: str) -> str:
        return self.sheet.encodable(text)


def _box(sheet: Sheet, node: PictureNode, inside: Picture) -> list[list[Part]]:
    name = cut_ids([node.id], MAX_ID_COLUMNS)[node.id]
    whole = title(node, label(node, name, _SUFFIXES, unicode=sheet.unicode))
    head = sheet.encodable(cut(printable(whole), max(_LEAST_BOX, sheet.width - 6)))
    rows = draw(_Narrower(sheet, sheet.unicode, max(_LEAST_BOX, sheet.width - 4)), inside)
    wide = max(width(head) + 2, *(_width(row) for row in rows))
    return [
        [
            "┌─ ",
            (role_of(node.mark) if node.mark is not None else "strong", head),
            f" {'─' * (wide - width(head) - 1)}┐",
        ],
        *(["│ ", *row, f"{' ' * (wide - _width(row))} │"] for row in rows),
        [f"└{'─' * (wide + 2)}┘"],
    ]


def _width(row: list[Part]) -> int:
    return sum(width(part[1] if isinstance(part, tuple) else part) for part in row)


def labels_of(sheet: Sheet, picture: Picture) -> dict[str, str]:
    """`✓ review ? ⏸`: the state if there is one, the id, `?` for a condition, the kind where it matters."""
    ids = cut_ids((node.id for node in picture.nodes), MAX_ID_COLUMNS)
    labels = {node.id: label(node, ids[node.id], _SUFFIXES, unicode=sheet.unicode) for node in picture.nodes}
    return {node: sheet.encodable(text) for node, text in labels.items()}


def _drawing(sheet: Sheet, picture: Picture) -> list[list[Part]] | None:
    """The rows of the drawing; None if it does not fit."""
    whole = _canvas(sheet, picture)
    if whole is not None and not whole.tangles():
        return list(whole.rows())
    edges = implied(picture)
    plainer = _canvas(sheet, replace(picture, edges=tuple(edge for edge in picture.edges if edge not in edges)))
    if plainer is None or (whole is not None and plainer.tangles() >= whole.tangles()):
        return list(whole.rows()) if whole is not None else None
    names = ", ".join(f"{edge.source}→{edge.target}" for edge in edges)
    note = wrapped(f"not drawn, since it follows: {names}", sheet.width - 1)
    rows: list[list[Part]] = [[("faint", line)] for line in note]
    return [*plainer.rows(), *rows]


def _canvas(sheet: Sheet, picture: Picture) -> Canvas | None:
    """The picture drawn; None if it does not fit."""
    labels = labels_of(sheet, picture)
    depths = layers(picture.waits())
    least = sum(max(width(labels[node]) for node in row) + 3 for row in depths) - 3
    if least > sheet.width or len(picture.nodes) > MAX_DRAWN_NODES:
        return None
    layout = lay_out(picture)
    roles = {node.id: role_of(node.mark) if node.mark is not None else "" for node in picture.nodes}
    canvas = Canvas()
    return canvas if _paint(canvas, layout, labels, roles) <= sheet.width else None


def _paint(canvas: Canvas, layout: Layout, labels: dict[str, str], roles: dict[str, str]) -> int:
    """Paint columns and lines; gives the width of the whole."""
    start = 0
    for column in layout.columns:
        widest = max((width(labels[slot.node]) for slot in column if not slot.passing), default=0)
        for slot in column:
            if not slot.passing:
                canvas.label(2 * layout.rows[slot], start, (roles[slot.node], labels[slot.node]))
        edge = start + widest + 1
        start = _join(canvas, layout, column, labels, start, edge)
    return start - 2


def _join(canvas: Canvas, layout: Layout, column: list[Slot], labels: dict[str, str], start: int, edge: int) -> int:
    """The lines from one column, that begins at `start`, to the next; their verticals begin at `edge`. Gives where the
    next column begins."""
    rows = {slot: 2 * layout.rows[slot] for slot in column}
    leads = [(rows[slot], tuple(2 * layout.rows[target] for target in layout.links[slot])) for slot in column]
    begins = {rows[slot]: start - 1 if slot.passing else start + width(labels[slot.node]) + 1 for slot in column}
    nets, tracks = route(leads)
    edge += _touches(nets, {row for row, begin in begins.items() if begin == edge})
    last = edge + max(0, 2 * tracks - 1)
    for net in nets:
        _draw_net(canvas, net, begins, edge, last)
    return last + 2


def _touches(nets: list[Net], rows: set[int]) -> bool:
    """Whether a first vertical would be right behind a label (in one of `rows`) whose line it does not take up."""
    first = [net for net in nets if net.track == 0]
    return any(net.span[0] <= row <= net.span[1] and row not in net.sources for net in first for row in rows)


def _draw_net(canvas: Canvas, net: Net, begins: dict[int, int], edge: int, last: int) -> None:
    if net.track is None:
        canvas.across(net.sources[0], begins[net.sources[0]], last)
        return
    column = edge + 2 * net.track
    for row in net.sources:
        canvas.into(row, begins.get(row, 0), column)
    for row in net.targets:
        if row % 2:
            canvas.out_of(row, column, column)
            begins[row] = column + 1
        else:
            canvas.out_of(row, column, last)
    top, bottom = net.span
    canvas.down(column, top, bottom, net.sources, net.targets)


def _list(sheet: Sheet, picture: Picture) -> list[list[Part]]:
    """Each node on a line below those that it waits for, deeper by a step for each layer."""
    waits = picture.waits()
    nodes = {node.id: node for node in picture.nodes}
    labels = labels_of(sheet, picture)
    rows: list[list[Part]] = []
    for depth, row in enumerate(layers(waits)):
        indent = "  " * min(depth, MAX_INDENT)
        for name in row:
            node = nodes[name]
            room = max(20, sheet.width - len(indent) - width(labels[name]) - 5)
            after = f"  ← {', '.join(waits[name])}" if waits[name] else ""
            role = role_of(node.mark) if node.mark is not None else ""
            rows.append([indent, (role, labels[name]), ("faint", cut(after, room + 3))])
    return rows


# ------------------------------------------------------------------ the lines between two columns
#
# A net is everything that leads from one set of sources to one set of targets; it has one vertical (two, if it must
# dodge). A line that ends at a vertical and one that begins in the same row must not touch, so the first's vertical
# is left of the second's. Where this goes round in a circle, a net dodges: it leaves its row at once, continues in the
# empty one below, and turns to its targets last.


class Net(Struct, eq=False, dict=True):
    """Rows of a net: from where it comes, where it goes. `track` is the place of its vertical, from 0; None: it is
    straight. `after` are nets that must stand left of it."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    track: int | None = None
    after: list[Net] = field(default_factory=list)

    @property
    def straight(self) -> bool:
        return self.sources == self.targets and len(self.sources) == 1

    @property
    def span(self) -> tuple[int, int]:
        rows = self.sources + self.targets
        return min(rows), max(rows)


def route(leads: Iterable[tuple[int, tuple[int, ...]]]) -> tuple[list[Net], int]:
    """The nets for (row of a source, rows of its targets), and how many tracks they take. Rows are even; the odd ones
    between them are free for dodging."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for source, targets in leads:
        if targets:
            groups.setdefault(tuple(sorted(set(targets))), []).append(source)
    nets = [Net(tuple(sorted(sources)), targets) for targets, sources in groups.items()]
    nets = _without_circles(nets)
    return nets, _assign(nets)


def _without_circles(nets: list[Net]) -> list[Net]:
    while True:
        waits = _constraints(nets)
        cycles = find_cycles(waits)
        if not cycles:
            for number, net in enumerate(nets):
                net.after += [nets[int(other)] for other in waits[str(number)]]
            return nets
        dodging = nets.pop(int(cycles[0][0]))
        free_row = dodging.sources[0] + 1
        leaving = Net(dodging.sources, (free_row,))
        nets += [leaving, Net((free_row,), dodging.targets, after=[leaving])]


def _constraints(nets: list[Net]) -> dict[str, list[str]]:
    """For each net (by number) those that must stand left of it."""
    by_source = {
        row: number for number, net in enumerate(nets) if not net.straight for row in net.sources if row % 2 == 0
    }
    waits: dict[str, list[str]] = {}
    for number, net in enumerate(nets):
        lefts = {by_source[row] for row in net.targets if by_source.get(row, number) != number}
        lefts |= {nets.index(left) for left in net.after}
        waits[str(number)] = [] if net.straight else [str(left) for left in sorted(lefts)]
    return waits


def _assign(nets: list[Net]) -> int:
    """Give each net that turns the first track where it overlaps with no other; gives the number of tracks."""
    taken: list[list[tuple[int, int]]] = []
    waits = {str(number): [str(nets.index(left)) for left in net.after] for number, net in enumerate(nets)}
    for number in topological(waits):
        net = nets[int(number)]
        if net.straight:
            continue
        low, high = net.span
        track = max((left.track + 1 for left in net.after if left.track is not None), default=0)
        while track < len(taken) and any(start <= high and low <= end for start, end in taken[track]):
            track += 1
        if track == len(taken):
            taken.append([])
        taken[track].append((low, high))
        net.track = track
    return len(taken)


# ------------------------------------------------------------------ the field that they are drawn on


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
