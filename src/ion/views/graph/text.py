"""A graph drawn for a terminal: columns from left to right joined by lines, or, where that is too wide, a list."""

from __future__ import annotations

from msgspec.structs import replace

from ion.language.graph import layers
from ion.views.graph.canvas import Canvas
from ion.views.graph.channel import Net, route
from ion.views.graph.layout import Layout, Slot, implied, lay_out
from ion.views.graph.picture import Picture, label
from ion.views.text import Part, Sheet, cut, cut_ids, width, wrapped
from ion.views.words import role_of

MAX_ID_COLUMNS = 28
MAX_DRAWN_NODES = 250
MAX_INDENT = 12
_SUFFIXES = {"approval": " ⏸", "loop": " ↻", "cancel": " ✗"}


def draw(sheet: Sheet, picture: Picture) -> list[list[Part]]:
    """The lines of the graph, as wide as the sheet allows."""
    rows = _drawing(sheet, picture)
    return rows if rows is not None else _list(sheet, picture)


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
    roles = {node.id: role_of(node.status) if node.status is not None else "" for node in picture.nodes}
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
            role = role_of(node.status) if node.status is not None else ""
            rows.append([indent, (role, labels[name]), ("faint", cut(after, room + 3))])
    return rows
