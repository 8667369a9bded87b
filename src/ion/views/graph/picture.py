"""What is drawn: the nodes and edges of a workflow, and the states of a run if there is one.

Every format starts here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.views.words import symbol

if TYPE_CHECKING:
    from ion.core.state import RunState
    from ion.language.workflow import Workflow


class PictureNode(Struct, frozen=True):
    """A node. `status` is its state in the run that is shown, if one is; `when` is the condition's text, or None."""

    id: str
    kind: str
    when: str | None
    trigger_rule: str
    status: str | None = None


class Edge(Struct, frozen=True):
    """`target` waits for `source`. `kind` is `depends_on`, or `order` for one that only a reference brings about."""

    source: str
    target: str
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
        return {
            "nodes": [
                {"id": node.id, "kind": node.kind, "when": node.when, "trigger_rule": node.trigger_rule}
                | ({} if node.status is None else {"status": node.status})
                for node in self.nodes
            ],
            "edges": [{"from": edge.source, "to": edge.target, "kind": edge.kind} for edge in self.edges],
        }


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
