"""What is drawn, in every format: the nodes and edges of a workflow, the states of a run if there is one, and where the
nodes stand: in columns by layer, each in a row of its own within its column.

What is inside of a node is a picture of its own, one for all of its instances: of a run each node in it counts those.

An edge over several layers passes through each column in between in a row of its own, one for all edges of its source.
Rows are chosen so that lines are straight and seldom cross (barycentres, a few sweeps: Sugiyama et al. 1981).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from ion.core.scopes import ScopeState
from ion.core.state import RunState
from ion.core.tallies import STATUSES, Tally
from ion.language.graph import layers, topological
from ion.language.templates import ScopeTemplate, Template, templates_of
from ion.language.workflow import FanOut, WorkflowCall
from ion.views.marks import symbol
from ion.views.words import counted, foreseen

if TYPE_CHECKING:
    from ion.language.workflow import Workflow


SWEEPS = 4
# The states in the order in which they are looked for.
_ORDER = ("failed", "waiting", "running", "cancelled", "pending", "completed", "skipped")


class PictureNode(Struct, frozen=True, omit_defaults=True):
    """A node. `status` is its state in the run that is shown, if one is; `when` is the condition's text, or None.

    `fan_out` is what a fan-out runs it for: `items`, `lines`, or how many the file lists; `workflow` is the name of the
    one that it calls. `includes` are the includes that brought it, the outermost first. `inside` are the nodes inside
    of it; of a run, if some have begun. `counts` says how many of its instances are in which state, if it may have
    several, `iteration` in which one a repeated group is. `handled`: all that failed was allowed or caught. `final`: it
    is a node of `finally`. `continues` is the agent node whose session it continues.
    """

    id: str
    kind: str
    when: str | None
    trigger_rule: str
    status: str | None = None
    fan_out: str | None = None
    workflow: str | None = None
    includes: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    iteration: int = 0
    handled: bool = False
    final: bool = False
    continues: str | None = None
    inside: Picture | None = None

    @property
    def mark(self) -> str | None:
        """The key of its symbol and colour, if a run is shown."""
        return "allowed" if self.handled else self.status


class Edge(Struct, frozen=True):
    """`target` waits for `source`. `kind` is `depends_on`, `catches` for one that starts if the other fails, or `order`
    for one that only a reference brings about."""

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

    def sessions(self) -> Iterator[tuple[str, str]]:
        """The nodes, also inside of others, that continue a session, and the node whose it is."""
        for node in self.nodes:
            if node.continues is not None:
                yield node.id, node.continues
            if node.inside is not None:
                yield from node.inside.sessions()

    def to_json(self) -> dict[str, Any]:
        """The shape of `ion graph --json`; a node has its `status` only if a run is shown."""
        nodes = [
            to_builtins(replace(node, inside=None, includes=()))
            | ({"inside": node.inside.to_json()} if node.inside else {})
            for node in self.nodes
        ]
        return {"nodes": nodes, "edges": to_builtins(self.edges)}


def label(node: PictureNode, name: str, suffixes: Mapping[str, str], *, unicode: bool = True) -> str:
    """The label of a node: the symbol of its state if there is one, its name, `?` for a condition, what its kind has in
    `suffixes`, and for how many items it runs, or how many of these are in which state."""
    state = f"{symbol(node.mark, unicode=unicode)} " if node.mark is not None else ""
    items = f" {'×' if unicode else 'x'} {node.fan_out}" if node.fan_out is not None else ""
    items = f"  {counted(dict.fromkeys(STATUSES, 0) | node.counts)}" if node.counts else items
    return f"{state}{name}{' ?' if node.when is not None else ''}{suffixes.get(node.kind, '')}{items}"


def title(node: PictureNode, text: str) -> str:
    """The title of the box with what is inside of a node; `text` is the label of the node."""
    called = f" · workflow {node.workflow}" if node.workflow is not None else ""
    called = " · include" if node.kind == "include" else called
    return f"{text}{called}{f' · iteration {node.iteration}' if node.iteration else ''}"


def picture_of(workflow: Workflow, state: RunState | None = None) -> Picture:
    """The picture of a workflow, with the states of a run of it."""
    shown = _Shown(state, Tally(state)) if state is not None else None
    return _picture(workflow.name, templates_of(workflow).root, shown, ("",))


class _Shown(Struct):
    """A run of which a picture is made."""

    state: RunState
    tally: Tally

    def statuses(self, addresses: Sequence[str]) -> list[str]:
        return [self.tally.status(address) for address in addresses if address in self.state.nodes]

    def scopes(self, addresses: Sequence[str]) -> list[ScopeState]:
        return [self.state.scopes[address] for address in addresses if address in self.state.scopes]


def _picture(name: str, body: ScopeTemplate, shown: _Shown | None, prefixes: Sequence[str]) -> Picture:
    """The picture of a graph; `prefixes` are what the addresses of its instances begin with, in each scope of it."""
    nodes = tuple(_in_file(one) if shown is None else _in_run(one, shown, prefixes) for one in body.members)
    kinds: dict[tuple[str, str], str] = {}
    for one in body.members:
        node = one.node
        for kind, others in (("depends_on", node.depends_on), ("catches", node.catches), ("order", node.order)):
            for other in others:
                if other in body.places:
                    kinds.setdefault((other, node.id), kind)
    return Picture(name, nodes, tuple(Edge(*ends, kind) for ends, kind in kinds.items()))


def _in_file(template: Template) -> PictureNode:
    node, inside = template.node, (template.item or template).inside
    when = node.when or (node.fan_out.when if node.fan_out is not None else None)
    return PictureNode(
        id=node.id,
        kind=node.kind,
        when=when.text if when is not None else None,
        trigger_rule=node.trigger_rule,
        fan_out=_items(node.fan_out) if node.fan_out is not None else None,
        workflow=node.body.name if isinstance(node.body, WorkflowCall) else None,
        includes=node.includes,
        final=template.is_final,
        continues=node.continues,
        inside=_picture(node.id, inside, None, ()) if inside is not None else None,
    )


def _in_run(template: Template, shown: _Shown, prefixes: Sequence[str]) -> PictureNode:
    instances = [f"{prefix}{template.node.id}" for prefix in prefixes]
    statuses, state = shown.statuses(instances), shown.state
    status, several = _overall(statuses), len(statuses) > 1
    found = [state.nodes[address] for address in instances if address in state.nodes]
    handled = status == "failed" and all(foreseen(state, one) for one in found if one.status == "failed")
    if template.item is not None:
        instances = [member for scope in shown.scopes(instances) for member in scope.members]
        statuses = shown.statuses(instances)
        several = bool(statuses)
    scopes, body = shown.scopes(instances), (template.item or template).inside
    prefixes = [scope.prefix for scope in scopes]
    return replace(
        _in_file(template),
        status=status,
        handled=handled,
        counts={status: statuses.count(status) for status in STATUSES if status in statuses} if several else {},
        iteration=max((scope.iteration for scope in scopes), default=0),
        inside=_picture(template.node.id, body, shown, prefixes) if body is not None and scopes else None,
    )


def boxed(picture: Picture) -> Picture:
    """The picture with a node for each include, and in it those that it brought, and one for those of `finally`, behind
    all others: for those who look at it. It has no cycle either: an include that would wait for itself does not
    load."""
    nodes = [replace(one, inside=boxed(one.inside)) if one.inside is not None else one for one in picture.nodes]
    picture = replace(picture, nodes=tuple(nodes))
    for include in dict.fromkeys(one.includes[0] for one in nodes if one.includes):
        picture = _folded(picture, include, "include", {one.id for one in nodes if one.includes[:1] == (include,)})
    final = {one.id for one in nodes if one.final}
    if not final:
        return picture
    name = "finally" if all(one.id != "finally" for one in picture.nodes) else "(finally)"
    picture = _folded(picture, name, "finally", final)
    followed = {edge.source for edge in picture.edges}
    last = [one.id for one in picture.nodes if one.id not in followed and one.kind != "finally"]
    return replace(picture, edges=(*picture.edges, *(Edge(one, name, "order") for one in last)))


def _folded(picture: Picture, name: str, kind: str, ids: set[str]) -> Picture:
    """The picture with one node in the place of these, which are inside of it."""
    members = {one.id: one for one in picture.nodes if one.id in ids}
    inside = [edge for edge in picture.edges if edge.source in members and edge.target in members]
    kinds: dict[tuple[str, str], str] = {}
    for edge in picture.edges:
        ends = (name if edge.source in members else edge.source, name if edge.target in members else edge.target)
        if ends[0] != ends[1] and kinds.get(ends) != "depends_on":
            kinds[ends] = edge.kind
    nodes = tuple(replace(one, includes=one.includes[1:], final=False) for one in members.values())
    statuses = [one.status for one in nodes if one.status is not None]
    box = PictureNode(
        id=name,
        kind=kind,
        when=None,
        trigger_rule="all_success",
        status=_overall(statuses),
        handled=all(one.handled for one in nodes if one.status == "failed") and "failed" in statuses,
        inside=boxed(Picture(name, nodes, tuple(inside))),
    )
    first = next(iter(members))
    shown = [box if one.id == first else one for one in picture.nodes if one.id == first or one.id not in members]
    return replace(picture, nodes=tuple(shown), edges=tuple(Edge(*ends, kind) for ends, kind in kinds.items()))


def _overall(statuses: Sequence[str]) -> str | None:
    """The state of several instances as one: what a person looks for comes first."""
    return next((status for status in _ORDER if status in statuses), None)


def _items(fan_out: FanOut) -> str:
    if fan_out.lines is not None:
        return "lines"
    return str(len(fan_out.items)) if isinstance(fan_out.items, list) else "items"


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
