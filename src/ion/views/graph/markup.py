"""A graph as a text that other programs draw: DOT (graphviz.org/doc/info/lang.html), where all names and texts are
quoted strings, and Mermaid (mermaid.js.org, `flowchart`).

In Mermaid nodes have made-up names, since `end` is a word of the language; texts are quoted, with entity codes for what
would end the quote or be taken for markup.
"""

from __future__ import annotations

from ion.language.problems import printable
from ion.views.graph.picture import Picture, PictureNode, label

_DOT_SHAPES = {"approval": "hexagon", "loop": "component", "cancel": "octagon"}
_DOT_COLOURS = {
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
    if node.kind in _DOT_SHAPES:
        attributes.append(f"shape={_DOT_SHAPES[node.kind]}")
    if node.status in _DOT_COLOURS:
        attributes.append(f'style=filled, fillcolor="{_DOT_COLOURS[node.status]}"')
    return ", ".join(attributes)


def _quoted(text: str) -> str:
    lines = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(lines) + '"'


_MERMAID_SHAPES = {"approval": ("{{", "}}"), "loop": ("[[", "]]"), "cancel": ("([", "])")}
_MERMAID_COLOURS = {
    "completed": "fill:#d3f2d3,stroke:#2a8a2a",
    "failed": "fill:#f8d0d0,stroke:#b02020",
    "running": "fill:#d0e8f8,stroke:#2060a0",
    "waiting": "fill:#fbeec2,stroke:#a07010",
    "skipped": "fill:#eeeeee,stroke:#999999,color:#777777",
    "cancelled": "fill:#eeeeee,stroke:#999999,color:#777777",
}


def mermaid(picture: Picture) -> str:
    """The whole text, with an end of line."""
    names = {node.id: f"n{number}" for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    lines += [f"    {names[node.id]}{_box(node)}" for node in picture.nodes]
    for edge in picture.edges:
        arrow = "-->" if edge.kind == "depends_on" else "-.->"
        lines.append(f"    {names[edge.source]} {arrow} {names[edge.target]}")
    for status, colour in _MERMAID_COLOURS.items():
        members = [names[node.id] for node in picture.nodes if node.status == status]
        if members:
            lines += [f"    classDef {status} {colour}", f"    class {','.join(members)} {status}"]
    return "\n".join(lines) + "\n"


def _box(node: PictureNode) -> str:
    opening, closing = _MERMAID_SHAPES.get(node.kind, ("[", "]"))
    when = f"<br/>when: {_escape(node.when)}" if node.when is not None else ""
    return f'{opening}"{_escape(label(node, node.id, {}))}{when}"{closing}'


def _escape(text: str) -> str:
    """Everything but letters, digits, blanks and a few marks as `#code;`."""
    return "".join(c if c.isalnum() or c in " ._-$=!'/" else f"#{ord(c)};" for c in printable(text))
