"""A graph as a text that other programs draw: DOT (graphviz.org/doc/info/lang.html), where all names and texts are
quoted strings; Mermaid (mermaid.js.org, `flowchart`); and SVG, readable on light and dark pages.

In Mermaid nodes have made-up names, since `end` is a word of the language; texts are quoted, with entity codes for what
would end the quote or be taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from ion.language.problems import printable
from ion.views.graph import Layout, Picture, PictureNode, Slot, label, lay_out, title
from ion.views.text import cut, cut_ids, width

# The address of a node → where it is shown.
Link: TypeAlias = Callable[[str], str]

_DOT_SHAPES = {"approval": "hexagon", "loop": "component", "cancel": "octagon"}
# state → (what fills its nodes, how Mermaid draws them besides)
_COLOURS = {
    "completed": ("#d3f2d3", "stroke:#2a8a2a"),
    "failed": ("#f8d0d0", "stroke:#b02020"),
    "running": ("#d0e8f8", "stroke:#2060a0"),
    "waiting": ("#fbeec2", "stroke:#a07010"),
    "allowed": ("#fbeec2", "stroke:#a07010"),
    "skipped": ("#eeeeee", "stroke:#999999,color:#777777"),
    "cancelled": ("#eeeeee", "stroke:#999999,color:#777777"),
}


def dot(picture: Picture) -> str:
    """The whole text, with an end of line."""
    lines = [f"digraph {_quoted(picture.name)} {{", "    rankdir=LR;", '    node [shape=box, fontname="sans-serif"];']
    if any(node.inside is not None for node in picture.nodes):
        lines.append('    compound=true; fontname="sans-serif";')
    return "\n".join([*lines, *_dot_lines(picture, "", "    "), "}"]) + "\n"


def _dot_lines(picture: Picture, prefix: str, indent: str) -> Iterator[str]:
    """What is inside of a node is a cluster; an edge that leads to it leads to a node in it, and ends at the border."""
    nodes = {node.id: node for node in picture.nodes}
    for node in picture.nodes:
        if node.inside is None:
            yield f"{indent}{_quoted(prefix + node.id)} [{_attributes(node)}];"
            continue
        yield f"{indent}subgraph {_quoted(f'cluster {prefix}{node.id}')} {{"
        yield f"{indent}    label={_quoted(_titled(node))};"
        if node.mark in _COLOURS:
            yield f'{indent}    style=filled; fillcolor="{_COLOURS[node.mark][0]}";'
        yield from _dot_lines(node.inside, f"{prefix}{node.id}.", f"{indent}    ")
        yield f"{indent}}}"
    for edge in picture.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        attributes = ["style=dashed"] if edge.kind != "depends_on" else []
        attributes += ['label="catches"'] if edge.kind == "catches" else []
        attributes += [f"ltail={_quoted(f'cluster {prefix}{source.id}')}"] if source.inside is not None else []
        attributes += [f"lhead={_quoted(f'cluster {prefix}{target.id}')}"] if target.inside is not None else []
        style = f" [{', '.join(attributes)}]" if attributes else ""
        yield f"{indent}{_quoted(_end(source, prefix, -1))} -> {_quoted(_end(target, prefix, 0))}{style};"


def _end(node: PictureNode, prefix: str, which: int) -> str:
    """The node at which an edge ends: the first or last one of those inside."""
    while node.inside is not None:
        prefix, node = f"{prefix}{node.id}.", node.inside.nodes[which]
    return prefix + node.id


def _titled(node: PictureNode) -> str:
    when = f"\nwhen: {node.when}" if node.when is not None else ""
    return title(node, label(node, node.id, {})) + when


def _attributes(node: PictureNode) -> str:
    attributes = [f"label={_quoted(_titled(node))}"]
    if node.kind in _DOT_SHAPES:
        attributes.append(f"shape={_DOT_SHAPES[node.kind]}")
    if node.mark in _COLOURS:
        attributes.append(f'style=filled, fillcolor="{_COLOURS[node.mark][0]}"')
    return ", ".join(attributes)


def _quoted(text: str) -> str:
    lines = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(lines) + '"'


_ARROWS = {"depends_on": "-->", "order": "-.->", "catches": "-. catches .->"}
_MERMAID_SHAPES = {"approval": ("{{", "}}"), "loop": ("[[", "]]"), "cancel": ("([", "])")}


def mermaid(picture: Picture) -> str:
    """The whole text, with an end of line."""
    names: dict[str, str] = {}
    by_status: dict[str, list[str]] = {}
    lines = ["flowchart LR", *_mermaid_lines(picture, "", "    ", names, by_status)]
    for status, (fill, others) in _COLOURS.items():
        if status in by_status:
            members = ",".join(by_status[status])
            lines += [f"    classDef {status} fill:{fill},{others}", f"    class {members} {status}"]
    return "\n".join(lines) + "\n"


def _mermaid_lines(
    picture: Picture, prefix: str, indent: str, names: dict[str, str], by_status: dict[str, list[str]]
) -> Iterator[str]:
    """`names` and `by_status` are added to: the made-up names of the nodes, and which are in which state."""
    for node in picture.nodes:
        name = names[prefix + node.id] = f"n{len(names)}"
        if node.mark is not None:
            by_status.setdefault(node.mark, []).append(name)
        if node.inside is None:
            yield f"{indent}{name}{_box(node)}"
            continue
        yield f'{indent}subgraph {name}["{_text(node)}"]'
        yield f"{indent}    direction LR"
        yield from _mermaid_lines(node.inside, f"{prefix}{node.id}.", f"{indent}    ", names, by_status)
        yield f"{indent}end"
    for edge in picture.edges:
        arrow = _ARROWS[edge.kind]
        yield f"{indent}{names[prefix + edge.source]} {arrow} {names[prefix + edge.target]}"


def _box(node: PictureNode) -> str:
    opening, closing = _MERMAID_SHAPES.get(node.kind, ("[", "]"))
    return f'{opening}"{_text(node)}"{closing}'


def _text(node: PictureNode) -> str:
    when = f"<br/>when: {_escape(node.when)}" if node.when is not None else ""
    return f"{_escape(title(node, label(node, node.id, {})))}{when}"


def _escape(text: str) -> str:
    """Everything but letters, digits, blanks and a few marks as `#code;`."""
    return "".join(c if c.isalnum() or c in " ._-$=!'/" else f"#{ord(c)};" for c in printable(text))


MAX_ID_COLUMNS = 32
MAX_CONDITION_COLUMNS = 48
_CHARACTER, _HEIGHT, _ROW, _GAP, _MARGIN = 7.6, 30, 46, 44, 16
# Above what is inside of a node.
_TITLE = 20
_STYLE = """\
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1c1f23; }
.when { font-size: 10px; fill: #6b7280; }
.head { fill: #8b929c; }
.panel { fill: none; stroke: #a3a9b2; }
.box { fill: #f6f7f9; stroke: #6b7280; stroke-width: 1.2; }
.edge { fill: none; stroke: #8b929c; stroke-width: 1.4; }
.order { stroke-dasharray: 5 4; }
.completed { fill: #d8f3dc; stroke: #2d8a4e; } .failed { fill: #fde0e0; stroke: #c43d3d; }
.running { fill: #dbeafe; stroke: #2563eb; } .waiting, .allowed { fill: #fef3c7; stroke: #b7791f; }
.skipped, .cancelled { fill: #eceef1; stroke: #a3a9b2; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8eb; } .when { fill: #9aa3af; } .box { fill: #262a30; stroke: #8b929c; } .edge { stroke: #7d8590; }
  .head { fill: #7d8590; }
  .completed { fill: #14361f; stroke: #4cc277; } .failed { fill: #4a1d1d; stroke: #f07b7b; }
  .running { fill: #16294d; stroke: #6ea8fe; } .waiting, .allowed { fill: #43350f; stroke: #e3b341; }
  .skipped, .cancelled { fill: #1f2227; stroke: #5c636e; }
}"""
# Its tip is where the line ends.
_DEFINITIONS = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)
# Of the small text of conditions.
_SMALL_CHARACTER = 6.1
_SYMBOLS = {"approval": " ‖", "loop": " ↻", "loop_group": " ↻", "cancel": " ✗"}


def svg(picture: Picture) -> str:
    """The whole document, with an end of line."""
    return _Drawing(picture).document()


def inline_svg(picture: Picture, link: Link) -> str:
    """The drawing as a part of a page that has styles for its classes (`box`, `edge`, a state …); `link` gives the URL
    of a node by its address, '' for none."""
    return _Drawing(picture, link).element()


class _Drawing:
    """`link` as in `inline_svg`; `prefix` is what the addresses of the nodes begin with."""

    def __init__(self, picture: Picture, link: Link | None = None, prefix: str = "") -> None:
        self.picture = picture
        self.link = link
        self.prefix = prefix
        self.nodes = {node.id: node for node in picture.nodes}
        ids = cut_ids((_safe(node.id) for node in picture.nodes), MAX_ID_COLUMNS)
        self.labels = {node.id: label(node, ids[_safe(node.id)], _SYMBOLS) for node in picture.nodes}
        self.layout: Layout = lay_out(picture)
        self.order = {(edge.source, edge.target) for edge in picture.edges if edge.kind != "depends_on"}
        self.left: list[float] = []
        self.widths: list[float] = []
        place = float(_MARGIN)
        for column in self.layout.columns:
            nodes = [self.nodes[slot.node] for slot in column if not slot.passing]
            boxes = max((self._box_width(node) for node in nodes), default=22.0)
            self.left.append(place)
            self.widths.append(max([boxes, *(width(_condition(node)) * _SMALL_CHARACTER + 8 for node in nodes)]))
            place += self.widths[-1] + _GAP
        self.width = place - _GAP + _MARGIN
        self.height = (max(self.layout.rows.values(), default=0) + 1) * _ROW + 2 * _MARGIN - (_ROW - _HEIGHT)
        # Below them, what is inside of each node.
        self.inside: list[tuple[PictureNode, _Drawing, float]] = []
        for node in picture.nodes:
            if node.inside is not None:
                drawing = _Drawing(node.inside, link, f"{prefix}{node.id}.")
                self.inside.append((node, drawing, self.height))
                self.height += drawing.height + _TITLE + _MARGIN
                long = width(self._title(node)) * _CHARACTER + 22
                self.width = max(self.width, max(drawing.width, long) + 2 * _MARGIN)

    def document(self) -> str:
        size = f"{self.width:.0f} {self.height:.0f}"
        return "\n".join(
            [
                (
                    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{self.width:.0f}" '
                    f'height="{self.height:.0f}" role="img">'
                ),
                f"<title>{escape(_safe(self.picture.name))}</title>",
                f"<style>{_STYLE}</style>",
                _DEFINITIONS,
                *self.elements(),
                "</svg>",
                "",
            ]
        )

    def element(self) -> str:
        """The drawing without styles of its own."""
        size = f"{self.width:.0f} {self.height:.0f}"
        head = f'<svg viewBox="0 0 {size}" width="{self.width:.0f}" height="{self.height:.0f}" role="group">'
        title = f"<title>{escape(_safe(self.picture.name))}</title>"
        # Few fonts of browsers have the symbol of what waits.
        return "\n".join([head, title, _DEFINITIONS, *self.elements(), "</svg>"]).replace("⏸", "‖")

    def elements(self) -> Iterator[str]:
        """Edges first, so that boxes stand on them."""
        edges = [self._edge(slot, other) for slot, others in self.layout.links.items() for other in others]
        boxes = [self._box(slot) for column in self.layout.columns for slot in column if not slot.passing]
        across = [self._across(slot) for column in self.layout.columns for slot in column if slot.passing]
        yield from (*across, *edges, *boxes)
        for node, drawing, top in self.inside:
            yield from self._panel(node, drawing, top)

    def _title(self, node: PictureNode) -> str:
        return _safe(title(node, self.labels[node.id]))

    def _panel(self, node: PictureNode, drawing: _Drawing, top: float) -> Iterator[str]:
        classes = quoteattr(f"panel {node.mark}" if node.mark is not None else "panel")
        wide, high = self.width - 2 * _MARGIN, drawing.height + _TITLE
        yield f'<rect class={classes} x="{_MARGIN}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="6"/>'
        text = escape(self._title(node))
        yield f'<text class="title" x="{_MARGIN + 11}" y="{top + 19.5:.1f}">{text}</text>'
        yield f'<g transform="translate({_MARGIN} {top + _TITLE:.1f})">'
        yield from drawing.elements()
        yield "</g>"

    def _box_width(self, node: PictureNode) -> float:
        return width(self.labels[node.id]) * _CHARACTER + 22

    def _middle(self, slot: Slot) -> float:
        return _MARGIN + self.layout.rows[slot] * _ROW + _HEIGHT / 2

    def _edge(self, slot: Slot, other: Slot) -> str:
        start = self.left[slot.layer] + self.widths[slot.layer]
        end, bend = self.left[other.layer], _GAP / 2
        y, to = self._middle(slot), self._middle(other)
        kind = "edge order" if (slot.node, other.node) in self.order else "edge"
        curve = f"M{start:.1f} {y:.1f}C{start + bend:.1f} {y:.1f} {end - bend:.1f} {to:.1f} {end:.1f} {to:.1f}"
        head = "" if other.passing else ' marker-end="url(#head)"'
        return f'<path class="{kind}" d="{curve}"{head}/>'

    def _across(self, slot: Slot) -> str:
        """A line on its way through a column."""
        left, y = self.left[slot.layer], self._middle(slot)
        return f'<path class="edge" d="M{left:.1f} {y:.1f}H{left + self.widths[slot.layer]:.1f}"/>'

    def _box(self, slot: Slot) -> str:
        node, left = self.nodes[slot.node], self.left[slot.layer]
        top, box = self._middle(slot) - _HEIGHT / 2, self._box_width(node)
        parts = [f"<g><title>{escape(_tip(node))}</title>"]
        if box < self.widths[slot.layer]:
            line = f"M{left + box:.1f} {top + _HEIGHT / 2:.1f}H{left + self.widths[slot.layer]:.1f}"
            parts.append(f'<path class="edge" d="{line}"/>' if self.layout.links[slot] else "")
        classes = quoteattr(f"box {node.mark}" if node.mark is not None else "box")
        parts.append(
            f'<rect class={classes} x="{left:.1f}" y="{top:.1f}" width="{box:.1f}" height="{_HEIGHT}" rx="6"/>'
        )
        parts.append(f'<text x="{left + 11:.1f}" y="{top + 19.5:.1f}">{escape(self.labels[slot.node])}</text>')
        if node.when is not None:
            shown = escape(_condition(node))
            parts.append(f'<text class="when" x="{left + 4:.1f}" y="{top + _HEIGHT + 10:.1f}">{shown}</text>')
        drawn = "".join([*parts, "</g>"])
        target = self.link(f"{self.prefix}{node.id}") if self.link is not None else ""
        return f"<a href={quoteattr(target)}>{drawn}</a>" if target else drawn


def _condition(node: PictureNode) -> str:
    """The text below the box; its column is as wide, so that no line runs through it."""
    return cut(_safe(node.when), MAX_CONDITION_COLUMNS) if node.when is not None else ""


def _tip(node: PictureNode) -> str:
    """What a pointer over the node shows."""
    parts = [f"{node.id} ({node.kind})", node.mark or "", f"when: {node.when}" if node.when is not None else ""]
    return _safe(" · ".join(part for part in parts if part))


def _safe(text: str) -> str:
    return printable(" ".join(text.split()))
