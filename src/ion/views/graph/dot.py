"""A graph in the DOT language (graphviz.org/doc/info/lang.html). All names and texts are quoted strings."""

from __future__ import annotations

from ion.language.problems import printable
from ion.views.graph.picture import Picture, PictureNode, label

_SHAPES = {"approval": "hexagon", "loop": "component", "cancel": "octagon"}
_COLOURS = {
    "completed": "#d3f2d3",
    "failed": "#f8d0d0",
    "running": "#d0e8f8",
    "waiting": "#fbeec2",
    "skipped": "#eeeeee",
    "cancelled": "#eeeeee",
}


def dot(picture: Picture) -> str:
    """The whole text, with an end of line."""
    lines = [f"digraph {_quoted(picture.name)} {{", "    rankdir=LR;", '    node [shape=box, fontname="sans-serif"];']
    lines += [f"    {_quoted(node.id)} [{_attributes(node)}];" for node in picture.nodes]
    for edge in picture.edges:
        style = "" if edge.kind == "depends_on" else " [style=dashed]"
        lines.append(f"    {_quoted(edge.source)} -> {_quoted(edge.target)}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(node: PictureNode) -> str:
    when = f"\nwhen: {node.when}" if node.when is not None else ""
    attributes = [f"label={_quoted(label(node, node.id, {}) + when)}"]
    if node.kind in _SHAPES:
        attributes.append(f"shape={_SHAPES[node.kind]}")
    if node.status in _COLOURS:
        attributes.append(f'style=filled, fillcolor="{_COLOURS[node.status]}"')
    return ", ".join(attributes)


def _quoted(text: str) -> str:
    lines = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(lines) + '"'
