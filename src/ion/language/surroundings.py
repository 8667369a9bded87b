"""What the checks of a file find, and what the texts of each node can see: nodes beside it and outside, items of the
fan_outs around it, the body of the loop_group that it is in (language.md §13)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from ion.language.document import DocumentPath
from ion.language.include import Block
from ion.language.order import Graph
from ion.language.problems import Report
from ion.language.resources import CommandSource, ScriptSource
from ion.language.shape import Draft, Shape
from ion.language.texts import Text
from ion.language.workflow import Binding, Condition, Shell


class Findings(Struct):
    """What was found, by the path of the node or text that it concerns."""

    conditions: dict[DocumentPath, Condition] = field(default_factory=dict)
    shells: dict[DocumentPath, Shell] = field(default_factory=dict)
    order: dict[DocumentPath, list[str]] = field(default_factory=dict)
    continues: dict[DocumentPath, dict[str, str]] = field(default_factory=dict)
    commands: dict[str, CommandSource] = field(default_factory=dict)
    scripts: dict[str, ScriptSource] = field(default_factory=dict)
    graphs: dict[DocumentPath, Graph] = field(default_factory=dict)
    named: dict[DocumentPath, Block] = field(default_factory=dict)  # what an include or workflow node names
    given: dict[DocumentPath, dict[str, Binding]] = field(default_factory=dict)  # and what it hands over
    per_item: set[DocumentPath] = field(default_factory=set)  # nodes whose condition names the item
    reads: set[str] = field(default_factory=set)  # the inputs that texts name
    outputs: dict[DocumentPath, list[Draft]] = field(default_factory=dict)  # the nodes that give the output of a group
    brought: int = 0  # how many nodes the workflows that it names have


class Surroundings(Struct, frozen=True):
    """What the texts of a node can see: the nodes of `graph` and around it, and those of `inside`, its own body; the
    items of the fan_outs around it, `fanned` if there are any; the body of the loop_group around it."""

    draft: Draft
    graph: Graph
    inside: Graph | None
    items: frozenset[str]
    fanned: bool
    loop: Graph | None

    def seen(self, text: Text) -> Surroundings:
        """What this text of the node can see: that of an instance sees its item."""
        if text.seen == "outside" or "fan_out" not in self.draft.raw:
            return self
        return replace(self, items=self.items | {item_name(self.draft)}, fanned=True)


class Checker(Struct):
    """What all checks of one file share."""

    shape: Shape
    report: Report
    findings: Findings
    inputs: frozenset[str]
    owners: dict[str, str]  # for each node inside of another one, that one


def surroundings_of(graph: Graph, items: frozenset[str], fanned: bool, loop: Graph | None) -> Iterator[Surroundings]:
    """Those of the nodes of a graph and of all inside of them, which are where the arguments say."""
    for draft in graph.drafts:
        stated = ((draft.path, draft.raw), *graph.stated)
        inside = Graph.of(draft.inside, stated, draft, graph) if draft.inside else None
        yield Surroundings(draft, graph, inside, items, fanned, loop)
        if inside is not None:
            own = {item_name(draft)} if "fan_out" in draft.raw else set()
            around = inside if draft.kind == "loop_group" else loop
            yield from surroundings_of(inside, items | own, fanned or bool(own), around)


def item_name(draft: Draft) -> str:
    """The input under which an instance of a fanned-out node has its item; '' if there is none."""
    if draft.fan_out is None:
        return ""
    return draft.fan_out.name or ("" if draft.kind in ("workflow", "include") else "item")
