"""The nodes of a workflow at any depth, each once, however many instances of it a run has (language.md §13).

A run's instance has an address, `review.2.lint`; the node that it is an instance of has a path, in which every number
is `#`: `review.#.lint`. `Templates` finds the one by the other, and holds what is the same for all instances of a
graph: who waits for whom, which names can be read, what conditions read. Made once for a workflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from ion import codec
from ion.language.references import find_references
from ion.language.workflow import (
    WAIT_OUTPUT,
    Command,
    Comparison,
    Group,
    InputReference,
    LoopGroup,
    Node,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    Scope,
    Wait,
    Workflow,
    WorkflowCall,
)

_NUMBER = re.compile(r"\.[0-9]+")
_OF_ITEMS = re.compile(r"\b(?:ITEM_INDEX|ITEM_COUNT)\b")


def path_of(address: str) -> str:
    """The path of the node that this address is an instance of."""
    return _NUMBER.sub(".#", address) if "." in address else address


def templates_of(workflow: Workflow) -> Templates:
    """The nodes of a workflow at any depth, and those of the workflows that it calls. They are made once, and kept with
    it as a cached property would be."""
    found: Templates | None = workflow.__dict__.get("templates")
    if found is None:
        found = workflow.__dict__["templates"] = Templates(workflow)
    return found


class Template:
    """A node and its place: in `body`, the graph that it is in. `inside` is its own graph; `item` is the node that a
    fan-out multiplies. `workflow` is the one whose text it is, `all` are the templates of the run. `limit_ms` bounds
    the time, `budget` what agents cost, of all inside of an instance together. `is_final`: it is a node of `finally`,
    not one inside of such a node."""

    __slots__ = (
        *("_item_names", "_references", "all", "body", "budget", "inside"),
        *("is_composite", "is_final", "item", "limit_ms", "node", "path", "workflow"),
    )

    def __init__(self, path: str, node: Node, workflow: Workflow, body: ScopeTemplate, templates: Templates) -> None:
        self.all = templates
        self.path = path
        self.node = node
        self.workflow = workflow
        self.body = body
        self.inside: ScopeTemplate | None = None
        self.item: Template | None = None
        self.is_composite = self.is_final = False
        self.limit_ms: int | None = None
        self.budget: float | None = None
        self._references: dict[NodeReference, None] = {}
        self._item_names: dict[str, bool] | None = None

    @property
    def calls(self) -> bool:
        """Whether its own graph is another workflow, whose texts see nothing outside of it."""
        return self.inside is not None and isinstance(self.node.body, WorkflowCall)

    @property
    def called(self) -> Workflow | None:
        """The workflow that it calls."""
        return self.inside.workflow if self.inside is not None and self.calls else None

    @property
    def output_format(self) -> dict[str, Any] | None:
        """The JSON Schema of its output, if it promises JSON: a graph does as far as its `returns` node does."""
        if self.item is None and self.inside is not None and self.inside.returns is not None:
            return self.inside.outputs[0].output_format
        if isinstance(self.node.body, Wait):
            return WAIT_OUTPUT
        return self.node.output_format if self.item is None else None

    @property
    def stderr_is_read(self) -> bool:
        """Whether some text or condition reads `$node.outcome.stderr`."""
        return self in self.all.stderr_read

    @property
    def references(self) -> tuple[NodeReference, ...]:
        """Those that some condition makes to its output, each once."""
        return tuple(self._references)

    def named(self, node: str, *, inside: bool = False) -> Template | None:
        """The node that this id means in its texts; `inside` also one of its own graph."""
        body = self.inside if inside and self.inside is not None else self.body
        while node not in body.places:
            if body.owner is None or body.owner.calls:
                return None
            body = body.owner.body
        return body.members[body.places[node]]

    def named_before(self, node: str) -> Template | None:
        """The same for a node of the iteration before: in the loop that is the nearest around it."""
        body: ScopeTemplate | None = self.body
        while body is not None and body.owner is not None:
            if isinstance(body.owner.node.body, LoopGroup):
                return body.members[body.places[node]] if node in body.places else None
            body = body.owner.body
        return None

    def is_read(self, reference: NodeReference) -> None:
        """A condition makes this reference to its output. That of a graph is the output of one of its nodes."""
        if reference in self._references:
            return
        self._references[reference] = None
        if self.inside is not None and not isinstance(self.node.body, LoopGroup):
            for one in self.inside.outputs:
                one.is_read(reference)

    def input_references(self, name: str | None) -> tuple[InputReference, ...]:
        """The references that conditions inside of it make to this input; None: to any, of a called workflow."""
        left = [self.item] if self.item is not None else list(self.inside.members if self.inside is not None else ())
        found: dict[InputReference, None] = {}
        while left:
            one = left.pop()
            for comparison in comparisons(one.node):
                reference = comparison.reference
                if isinstance(reference, InputReference) and name in (None, reference.name):
                    found[reference] = None
            within = one.item or one
            if within.inside is not None and not within.calls:
                left += within.inside.members
        return tuple(found)

    @property
    def reads(self) -> tuple[str, ...]:
        """Of what an item waits for, what its outcome depends on besides its item: all but what only the list of items
        is made of. Also `ITEM_INDEX` and `ITEM_COUNT`, if it or something inside of it reads them."""
        fan_out = self.body.members[self.body.places[self.node.id]].node.fan_out
        texts = list(self.texts())
        read = {node for text in texts for node in _nodes_in(text)}
        lists = [] if fan_out is None else [fan_out.items, fan_out.lines]
        of_list = {node for text in _texts(lists) for node in _nodes_in(text)}
        return (*(one for one in self.node.order if one in read or one not in of_list), *self.item_names)

    @property
    def item_names(self) -> dict[str, bool]:
        """Of `ITEM_INDEX` and `ITEM_COUNT` of the item that it is, or is in, those that it reads; False: only nodes
        inside of it do. A repeated group begins anew with what is inside of it."""
        if self._item_names is None:
            names = {} if self.item is not None else dict.fromkeys(sorted(_item_names(self.own_texts())), True)
            for one in self.inside.members if self.inside is not None and not self.calls else ():
                for name in one.item_names:
                    names.setdefault(name, isinstance(self.node.body, LoopGroup))
            self._item_names = names
        return self._item_names

    def own_texts(self) -> Iterator[str]:
        """Those that its own turns may read."""
        body = self.node.body
        if isinstance(body, Group | LoopGroup):
            body = replace(body, scope=Scope(()))
        yield from _texts(to_builtins(replace(self.node, body=body), enc_hook=str))
        name = body.name if isinstance(body, Command) else getattr(body, "command", None)
        if name is not None:
            yield self.workflow.commands[name].text

    def texts(self) -> Iterator[str]:
        """Every text that its turns, or those inside of it, may read."""
        yield from self.own_texts()
        inside = (self.item or self).inside
        for one in inside.members if inside is not None and not self.calls else ():
            yield from one.texts()


class ScopeTemplate:
    """A graph of nodes: that of a workflow, with those of its `finally` as the last ones, or one inside of a node
    (`owner`). `places` finds a node by its id;
    `waits` and `dependents` are places too, for each of its `members`; `nodes` are their ids and kinds."""

    def __init__(self, owner: Template | None, workflow: Workflow, returns: str | None) -> None:
        self.owner = owner
        self.workflow = workflow
        self.returns = returns
        self.members: tuple[Template, ...] = ()
        self.places: dict[str, int] = {}

    def fill(self, members: tuple[Template, ...]) -> None:
        """Its nodes, once they are made."""
        self.members = members
        self.places = places = {one.node.id: i for i, one in enumerate(members)}
        self.waits = tuple(tuple(places[o] for o in one.node.waits_for if o in places) for one in members)
        self.nodes = tuple((one.node.id, one.node.kind) for one in members)
        self.dependents: tuple[list[int], ...] = tuple([] for _ in members)
        for i, waits in enumerate(self.waits):
            for other in waits:
                self.dependents[other].append(i)

    @cached_property
    def finals(self) -> tuple[Template, ...]:
        """The nodes of its `finally`, which are the last ones."""
        return tuple(one for one in self.members if one.is_final)

    @cached_property
    def outputs(self) -> tuple[Template, ...]:
        """The nodes of which one's output is the graph's: `returns`, else those that no other depends on, in file
        order."""
        if self.returns is not None:
            return (self.members[self.places[self.returns]],)
        followed = {other for one in self.members for other in one.node.depends_on}
        return tuple(one for one in self.members if one.node.id not in followed and not one.is_final)


class Templates:
    """All nodes of a workflow, and of those that it calls."""

    def __init__(self, workflow: Workflow) -> None:
        self.by_path: dict[str, Template] = {}
        self._workflow = workflow
        self.has_budgets = False
        self.root = ScopeTemplate(None, workflow, workflow.returns)
        self._filled(self.root, "")
        for template in self.by_path.values():
            for one in comparisons(template.node):
                match one.reference:
                    case NodeReference(node) as reference:
                        read = template.named(node)
                    case PreviousReference(node, path):
                        read, reference = template.named_before(node), NodeReference(node, path)
                    case _:
                        continue
                if read is not None:
                    read.is_read(reference)

    def __getitem__(self, address: str) -> Template:
        """The node that this address is an instance of. Raises `KeyError`."""
        return self.by_path[path_of(address)]

    def __iter__(self) -> Iterator[Template]:
        """Every node, each before those inside of it."""
        return iter(self.by_path.values())

    @cached_property
    def stderr_read(self) -> frozenset[Template]:
        """The nodes of which some text or condition reads `$node.outcome.stderr`."""
        if "outcome.stderr" not in codec.encode(self._workflow):
            return frozenset()
        read = [
            one.named(reference.node, inside=True)
            for one in self
            for reference in _references_in(one)
            if isinstance(reference, OutcomeReference) and reference.name == "stderr"
        ]
        return frozenset(one for named in read if named is not None for one in (named, named.item) if one is not None)

    def _filled(self, body: ScopeTemplate, prefix: str) -> ScopeTemplate:
        """The graph of a whole workflow."""
        workflow = body.workflow
        self._fill(body, workflow, workflow.nodes + workflow.finally_nodes, prefix)
        for one in body.members[len(workflow.nodes) :]:
            one.is_final = True
        return body

    def _fill(self, body: ScopeTemplate, workflow: Workflow, nodes: tuple[Node, ...], prefix: str) -> ScopeTemplate:
        body.fill(tuple(self._template(f"{prefix}{node.id}", node, workflow, body) for node in nodes))
        return body

    def _template(self, path: str, node: Node, workflow: Workflow, body: ScopeTemplate) -> Template:
        one = self.by_path[path] = Template(path, node, workflow, body, self)
        if node.fan_out is not None:
            one.item = self._template(f"{path}.#", _item(node), workflow, body)
        elif isinstance(node.body, Group):
            scope = node.body.scope
            one.inside = self._fill(ScopeTemplate(one, workflow, scope.returns), workflow, scope.nodes, f"{path}.")
        elif isinstance(node.body, LoopGroup):
            scope = node.body.scope
            one.inside = self._fill(ScopeTemplate(one, workflow, scope.returns), workflow, scope.nodes, f"{path}.#.")
        elif isinstance(node.body, WorkflowCall):
            called = self._workflow.workflows[node.body.name]
            one.inside = self._filled(ScopeTemplate(one, called, called.returns), f"{path}.")
        one.is_composite = one.item is not None or one.inside is not None
        if one.inside is not None:
            callee = one.called
            limits = (node.timeout_ms, callee.timeout_ms if callee is not None else None)
            one.limit_ms = min((limit for limit in limits if limit is not None), default=None)
            one.budget = callee.max_budget_usd if callee is not None else None
            self.has_budgets |= one.budget is not None
        return one


def _item(node: Node) -> Node:
    """The node that runs for each item: what decides about all of them together is the fan-out's."""
    assert node.fan_out is not None
    return replace(
        node,
        fan_out=None,
        depends_on=(),
        order=node.waits_for,
        trigger_rule="all_success",
        when=node.fan_out.when,
        activations=(),
        always_run=False,
        catches=(),
        allow_failure=None,
    )


def comparisons(node: Node) -> Iterator[Comparison]:
    """All that decide whether a node, and each item of it, runs."""
    yield from node.comparisons
    if node.fan_out is not None and node.fan_out.when is not None:
        for group in node.fan_out.when.alternatives:
            yield from group


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _item_names(texts: Iterator[str]) -> set[str]:
    return {name for text in texts for name in _OF_ITEMS.findall(text)}


def _nodes_in(text: str) -> Iterator[str]:
    """The nodes that a text or a code names."""
    for found in find_references(text, escapes=False):
        if isinstance(found.reference, NodeReference | OutcomeReference):
            yield found.reference.node


def _references_in(template: Template) -> Iterator[Reference]:
    """Those of its own texts and conditions."""
    yield from (comparison.reference for comparison in comparisons(template.node))
    for text in template.own_texts():
        yield from (found.reference for found in find_references(text, escapes=False))
