"""What is drawn, in every format: the nodes and edges of a workflow, the states of a run if there is one, and where the
nodes stand: in columns by layer, each in a row of its own within its column.

An edge over several layers passes through each column in between in a row of its own, one for all edges of its source.
Rows are chosen so that lines are straight and seldom cross (barycentres, a few sweeps: Sugiyama et al. 1981).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins

from ion.language.graph import layers, topological
from ion.views.words import symbol

if TYPE_CHECKING:
    from ion.core.state import RunState
    from ion.language.workflow import Workflow


SWEEPS = 4


class PictureNode(Struct, frozen=True, omit_defaults=True):
    """A node. `status` is its state in the run that is shown, if one is; `when` is the condition's text, or None."""

    id: str
    kind: str
    when: str | None
    trigger_rule: str
    status: str | None = None


class Edge(Struct, frozen=True):
    """`target` waits for `source`. `kind` is `depends_on`, or `order` for one that only a reference brings about."""

    source: str = field(name="from")
    target: str = field(name="to")
    kind: str


class Picture(Struct, frozen=True):
    """A graph, nodes in file order."""

    name: str
    nodes: tuple[PictureNode, ...]
    edges: tuple[Edge, ...]

    def waits(self) -> dict[str, list[str]]:
        """For each node those that it waits for."""
        waits: dict[str, list[str]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            waits[edge.target].append(edge.source)
        return waits

    def to_json(self) -> dict[str, Any]:
        """The shape of `ion graph --json`; a node has its `status` only if a run is shown."""
        return {"nodes": to_builtins(self.nodes), "edges": to_builtins(self.edges)}


def label(node: PictureNode, name: str, suffixes: Mapping[str, str], *, unicode: bool = True) -> str:
    """The label of a node: the symbol of its state if there is one, its name, `?` for a condition, and what its kind
    has in `suffixes`."""
    state = f"{symbol(node.status, unicode=unicode)} " if node.status is not None else ""
    return f"{state}{name}{' ?' if node.when is not None else ''}{suffixes.get(node.kind, '')}"


def picture_of(workflow: Workflow, state: RunState | None = None) -> Picture:
    """The picture of a workflow, with the states of a run of it."""
    nodes = tuple(
        PictureNode(
            id=node.id,
            kind=node.kind,
            when=node.when.text if node.when is not None else None,
            trigger_rule=node.trigger_rule,
            status=state.nodes[node.id].status if state is not None else None,
        )
        for node in workflow.nodes
    )
    edges = tuple(
        Edge(source=other, target=node.id, kind=kind)
        for node in workflow.nodes
        for kind, others in (("depends_on", node.depends_on), ("order", node.order))
        for other in others
    )
    return Picture(workflow.name, nodes, edges)


# ------------------------------------------------------------------ where the nodes stand


class Slot(Struct, frozen=True):
    """A place in a column: a node, or (`passing`) the line of its edges on their way further."""

    node: str
    layer: int
    passing: bool = False


class Layout(Struct, dict=True):
    """`columns` hold slots from top to bottom, `rows` their rows, `links` for each slot those to its right."""

    columns: list[list[Slot]]
    rows: dict[Slot, int]
    links: dict[Slot, list[Slot]]


def lay_out(picture: Picture) -> Layout:
    """The layout of a picture, without ordering edges that are implied. Its graph has no cycle: a workflow with one
    does not load."""
    waits = picture.waits()
    for edge in implied(picture):
        if edge.kind == "order":
            waits[edge.target].remove(edge.source)
    columns, links = _columns(waits)
    _untangle(columns, links)
    return Layout(columns, _rows(columns, links), links)


def implied(picture: Picture) -> list[Edge]:
    """The edges between nodes that wait for each other through others anyway."""
    waits = picture.waits()
    ancestors: dict[str, set[str]] = {}
    for node in topological(waits):
        ancestors[node] = set(waits[node]).union(*(ancestors[other] for other in waits[node]))
    return [edge for edge in picture.edges if any(edge.source in ancestors[other] for other in waits[edge.target])]


def _columns(waits: dict[str, list[str]]) -> tuple[list[list[Slot]], dict[Slot, list[Slot]]]:
    columns = [[Slot(node, depth) for node in row] for depth, row in enumerate(layers(waits))]
    depths = {slot.node: slot.layer for column in columns for slot in column}
    links: dict[Slot, list[Slot]] = {slot: [] for column in columns for slot in column}
    for target, sources in waits.items():
        for source in sources:
            slot = Slot(source, depths[source])
            for layer in range(depths[source] + 1, depths[target]):
                slot = _through(slot, Slot(source, layer, passing=True), columns, links)
            links[slot].append(Slot(target, depths[target]))
    return columns, links


def _through(slot: Slot, passing: Slot, columns: list[list[Slot]], links: dict[Slot, list[Slot]]) -> Slot:
    if passing not in links:
        columns[passing.layer].append(passing)
        links[passing] = []
        links[slot].append(passing)
    return passing


def _untangle(columns: list[list[Slot]], links: dict[Slot, list[Slot]]) -> None:
    """Order each column by the middle of its neighbours, from left to right and back."""
    back: dict[Slot, list[Slot]] = {slot: [] for slot in links}
    for slot, targets in links.items():
        for target in targets:
            back[target].append(slot)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            _sort(column, back if forward else links, columns)


def _sort(column: list[Slot], neighbours: dict[Slot, list[Slot]], columns: list[list[Slot]]) -> None:
    near = {other.layer for slot in column for other in neighbours[slot]}
    places = {slot: place for layer in near for place, slot in enumerate(columns[layer])}
    own = {slot: place for place, slot in enumerate(column)}
    middle: dict[Slot, float] = {}
    for slot, place in own.items():
        found = [places[other] for other in neighbours[slot]]
        middle[slot] = sum(found) / len(found) if found else place
    column.sort(key=lambda slot: (middle[slot], own[slot]))


def _rows(columns: list[list[Slot]], links: dict[Slot, list[Slot]]) -> dict[Slot, int]:
    """Each slot in the row of the first that leads to it, or as near below as there is room."""
    wanted: dict[Slot, int] = {}
    rows: dict[Slot, int] = {}
    for column in columns:
        row = -1
        for slot in column:
            row = max(row + 1, wanted.get(slot, 0))
            rows[slot] = row
        for slot in column:
            for target in links[slot]:
                wanted[target] = min(wanted.get(target, rows[slot]), rows[slot])
    return rows
