"""A graph as an SVG picture, drawn without any other program; readable on light and dark pages.

Columns and rows are those of the text drawing (`layout`). All texts are escaped and made printable.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from ion.cli.drawing.layout import Layout, Slot, lay_out
from ion.cli.drawing.picture import Picture, PictureNode
from ion.cli.formatting import cut, cut_middle, width
from ion.language.problems import printable

MAX_ID_COLUMNS = 32
_CHARACTER, _HEIGHT, _ROW, _GAP, _MARGIN = 7.6, 30, 46, 44, 16
_STYLE = """\
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1c1f23; }
.when { font-size: 10px; fill: #6b7280; }
.box { fill: #f6f7f9; stroke: #6b7280; stroke-width: 1.2; }
.edge { fill: none; stroke: #8b929c; stroke-width: 1.4; }
.order { stroke-dasharray: 5 4; }
.completed { fill: #d8f3dc; stroke: #2d8a4e; } .failed { fill: #fde0e0; stroke: #c43d3d; }
.running { fill: #dbeafe; stroke: #2563eb; } .waiting { fill: #fef3c7; stroke: #b7791f; }
.skipped, .cancelled { fill: #eceef1; stroke: #a3a9b2; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8eb; } .when { fill: #9aa3af; } .box { fill: #262a30; stroke: #8b929c; } .edge { stroke: #7d8590; }
  .completed { fill: #14361f; stroke: #4cc277; } .failed { fill: #4a1d1d; stroke: #f07b7b; }
  .running { fill: #16294d; stroke: #6ea8fe; } .waiting { fill: #43350f; stroke: #e3b341; }
  .skipped, .cancelled { fill: #1f2227; stroke: #5c636e; }
}"""
_SYMBOLS = {"approval": " ‖", "loop": " ↻", "cancel": " ✗"}


def svg(picture: Picture) -> str:
    """The whole document, with an end of line."""
    return _Drawing(picture).document()


class _Drawing:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.nodes = {node.id: node for node in picture.nodes}
        self.layout: Layout = lay_out(picture)
        self.order = {(edge.source, edge.target) for edge in picture.edges if edge.kind == "order"}
        self.left: list[float] = []
        self.widths: list[float] = []
        place = float(_MARGIN)
        for column in self.layout.columns:
            columns = max((width(_label(self.nodes[slot.node])) for slot in column if not slot.passing), default=0)
            self.left.append(place)
            self.widths.append(columns * _CHARACTER + 22)
            place += self.widths[-1] + _GAP
        self.width = place - _GAP + _MARGIN
        self.height = (max(self.layout.rows.values(), default=0) + 1) * _ROW + 2 * _MARGIN - (_ROW - _HEIGHT)

    def document(self) -> str:
        """Edges first, so that boxes stand on them."""
        edges = [self._edge(slot, other) for slot, others in self.layout.links.items() for other in others]
        boxes = [self._box(slot) for column in self.layout.columns for slot in column if not slot.passing]
        across = [self._across(slot) for column in self.layout.columns for slot in column if slot.passing]
        size = f"{self.width:.0f} {self.height:.0f}"
        return "\n".join(
            [
                (
                    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{self.width:.0f}" '
                    f'height="{self.height:.0f}" role="img">'
                ),
                f"<title>{escape(_safe(self.picture.name))}</title>",
                f"<style>{_STYLE}</style>",
                *across,
                *edges,
                *boxes,
                "</svg>",
                "",
            ]
        )

    def _middle(self, slot: Slot) -> float:
        return _MARGIN + self.layout.rows[slot] * _ROW + _HEIGHT / 2

    def _edge(self, slot: Slot, other: Slot) -> str:
        start = self.left[slot.layer] + self.widths[slot.layer]
        end, bend = self.left[other.layer], _GAP / 2
        y, to = self._middle(slot), self._middle(other)
        kind = "edge order" if (slot.node, other.node) in self.order else "edge"
        curve = f"M{start:.1f} {y:.1f}C{start + bend:.1f} {y:.1f} {end - bend:.1f} {to:.1f} {end:.1f} {to:.1f}"
        return f'<path class="{kind}" d="{curve}"/>'

    def _across(self, slot: Slot) -> str:
        """A line on its way through a column."""
        left, y = self.left[slot.layer], self._middle(slot)
        return f'<path class="edge" d="M{left:.1f} {y:.1f}H{left + self.widths[slot.layer]:.1f}"/>'

    def _box(self, slot: Slot) -> str:
        node, left = self.nodes[slot.node], self.left[slot.layer]
        top, box = self._middle(slot) - _HEIGHT / 2, width(_label(node)) * _CHARACTER + 22
        parts = [f"<g><title>{escape(_tip(node))}</title>"]
        if box < self.widths[slot.layer]:
            line = f"M{left + box:.1f} {top + _HEIGHT / 2:.1f}H{left + self.widths[slot.layer]:.1f}"
            parts.append(f'<path class="edge" d="{line}"/>' if self.layout.links[slot] else "")
        classes = quoteattr(f"box {node.status}" if node.status is not None else "box")
        parts.append(
            f'<rect class={classes} x="{left:.1f}" y="{top:.1f}" width="{box:.1f}" height="{_HEIGHT}" rx="6"/>'
        )
        parts.append(f'<text x="{left + 11:.1f}" y="{top + 19.5:.1f}">{escape(_label(node))}</text>')
        if node.when is not None:
            shown = escape(cut(_safe(node.when), 48))
            parts.append(f'<text class="when" x="{left + 4:.1f}" y="{top + _HEIGHT + 10:.1f}">{shown}</text>')
        return "".join([*parts, "</g>"])


def _label(node: PictureNode) -> str:
    condition = " ?" if node.when is not None else ""
    return f"{cut_middle(_safe(node.id), MAX_ID_COLUMNS)}{condition}{_SYMBOLS.get(node.kind, '')}"


def _tip(node: PictureNode) -> str:
    """What a pointer over the node shows."""
    parts = [f"{node.id} ({node.kind})", node.status or "", f"when: {node.when}" if node.when is not None else ""]
    return _safe(" · ".join(part for part in parts if part))


def _safe(text: str) -> str:
    return printable(" ".join(text.split()))
