"""What an `include` makes of the nodes of the workflow that it names (language.md §13).

They become nodes of the caller's graph, `<include>__<id>`, and read the caller's values where their file says
`$INPUTS.name`. A value is handed over as a binding of each node that uses it, never pasted into a text, so it arrives
as the caller wrote it, typed, in bash as in a prompt. Only where no turn of the node itself fills in a text
(conditions, items, what a node hands on) is it put in place here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from ion.errors import ConditionError
from ion.kinds import AGENT_KINDS, PROGRAM_KINDS
from ion.language import workflow as w
from ion.language.changing import Change, references_of
from ion.language.conditions import CONDITION_NAMES, judge
from ion.language.graph import SessionWish
from ion.language.references import (
    Resolved,
    backslashes,
    escape,
    find_references,
    reference_text,
    render,
    whole_reference,
)
from ion.language.values import canonical

Inputs = Mapping[str, w.Binding]


class NotInsertableError(ValueError):
    """A value of the caller cannot stand where the block uses it. `name` is the input."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Block(Struct, dict=True):
    """A workflow that is included: what it became by itself, whose session each of its nodes wishes to continue, the
    nodes whose trigger rule its file states, and the inputs that its texts read."""

    workflow: w.Workflow
    wishes: dict[str, SessionWish]
    ruled: frozenset[str]
    reads: frozenset[str]

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        """The nodes on which no other one depends, in file order."""
        followed = {other for node in self.workflow.nodes for other in node.depends_on}
        return tuple(node.id for node in self.workflow.nodes if node.id not in followed)

    @property
    def output(self) -> str:
        """The node whose output is that of the include."""
        return self.workflow.returns or self.sinks[0]

    @property
    def resumes_from_inside(self) -> bool:
        """Whether a node inside of one of its nodes continues the session of one of its nodes."""
        inside = (one for node in self.workflow.nodes for one in _inside(node))
        return any(one.continues in self.workflow.by_id for one in inside)

    def read_otherwise(self, inputs: Inputs, options: dict[str, Any], *, flat: bool) -> list[str]:
        """The ids of nodes outside that these values of the caller name, and that a node inside has too: the values
        are filled in there. `flat`: its own nodes get new ids."""
        nodes = self.workflow.nodes
        ids = {one.id for node in nodes for one in _inside(node)} | set(() if flat else self.workflow.by_id)
        given = w.Node("", w.Cancel(""), bindings=dict(inputs), options=options)
        return sorted({one.node for one in _nodes_in(given)} & ids)

    def outputs(self, name: str, flat: bool) -> list[w.Node]:
        """The nodes that may give the output: of the node `name`, or of the whole, as an include that is `flat` or as
        a scope."""
        found = [name] if name else [self.output] if flat or self.workflow.returns else self.sinks
        return [self.workflow.by_id[one] for one in found]


def _inside(node: w.Node) -> Iterator[w.Node]:
    """The nodes inside of a node, at every depth."""
    for one in node.body.scope.nodes if isinstance(node.body, w.Group | w.LoopGroup) else ():
        yield one
        yield from _inside(one)


def block_of(workflow: w.Workflow) -> Block:
    """A workflow whose file says nothing about sessions and trigger rules, as an SOP does not."""
    wishes = {node.id: SessionWish(kind=node.kind, identity=("", "")) for node in workflow.nodes}
    return Block(workflow, wishes, frozenset(), frozenset())


class Files(Struct):
    """The command files and scripts of a workflow by the names under which its nodes know them. Two files that share a
    name, as those of two folders may, get two."""

    commands: dict[str, w.CommandFile] = field(default_factory=dict)
    scripts: dict[str, w.ScriptFile] = field(default_factory=dict)

    def command(self, name: str, file: w.CommandFile) -> str:
        return _free(self.commands, name, file)

    def script(self, name: str, file: w.ScriptFile) -> str:
        return _free(self.scripts, name, file)


def _free(known: dict[str, Any], name: str, file: Any) -> str:
    number, key = 1, name
    while known.setdefault(key, file) != file:
        number += 1
        key = f"{name}-{number}"
    return key


def renaming(names: Mapping[str, str], source: w.Workflow | Files, files: Files) -> Change:
    """The change that calls nodes by their new `names`, in the command files too, which it puts into `files`."""

    def reference(one: w.Reference) -> w.Reference:
        if isinstance(one, w.NodeReference | w.OutcomeReference | w.PreviousReference) and one.node in names:
            return replace(one, node=names[one.node])
        return one

    def command(name: str) -> str:  # one that was not looked for has only its name
        file = source.commands.get(name)
        return name if file is None else files.command(name, replace(file, text=change.text(file.text)))

    def script(name: str) -> str:
        return files.script(name, source.scripts[name]) if name in source.scripts else name

    change = Change(reference, command, script, lambda name: names.get(name, name))
    return change


class Include(Struct):
    """An include of the caller: what its node states, and what it gives to the nodes that it brings. `defaults` and
    `agent` are the caller's, for nodes that state none. `siblings` are the nodes of the caller's graph that they join;
    None: they have a graph of their own."""

    node: w.Node
    inputs: Inputs
    defaults: dict[str, Any]
    agent: str | None
    siblings: frozenset[str] | None

    def nodes(self, block: Block, files: Files) -> tuple[w.Node, ...]:
        """The nodes of `block` as the caller has them. Raises `NotInsertableError`."""
        prefix = "" if self.siblings is None else f"{self.node.id}__"
        names = {node.id: prefix + node.id for node in block.workflow.nodes}
        change = renaming(names, block.workflow, files)
        return tuple(self._node(node, block, names, change, files) for node in block.workflow.nodes)

    def _node(self, node: w.Node, block: Block, names: Mapping[str, str], change: Change, files: Files) -> w.Node:
        def new(ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names[one] for one in ids)

        own = self.node
        is_entry, ruled = not node.depends_on, node.id in block.ruled
        outer = w.Activation(() if is_entry else own.depends_on, own.trigger_rule, own.when)
        inner = tuple(replace(one, depends_on=new(one.depends_on)) for one in node.activations)
        made = replace(
            self._given(change.of(replace(node, activations=inner)), block.workflow.env, files, self.inputs),
            id=names[node.id],
            includes=(own.id, *(f"{own.id}__{one}" for one in node.includes))
            if self.siblings is not None
            else node.includes,
            depends_on=own.depends_on if is_entry else new(node.depends_on),
            trigger_rule=own.trigger_rule if is_entry and not ruled else node.trigger_rule,
            catches=new(node.catches),
        )
        if outer.depends_on or outer.when is not None:
            made = replace(made, activations=(outer, *made.activations))
        read = {one.node for given in self.inputs.values() for one in _nodes_in(given)} & (self.siblings or set())
        waits = [one.node for one in _nodes_in(replace(made, activations=())) if one.node in read]
        order = (*new(node.order), *(own.order if is_entry else ()), *waits)
        return replace(made, order=tuple(one for one in dict.fromkeys(order) if one not in made.depends_on))

    def _given(self, node: w.Node, env: dict[str, str], files: Files, inputs: Inputs) -> w.Node:
        """A node, and those inside of it, with the values of the include and the defaults of both workflows."""
        fan, outer = node.fan_out, inputs
        if fan is not None:  # an item hides an input of its name
            inputs = {name: given for name, given in inputs.items() if name != fan.name}
            fan = replace(
                fan,
                items=inserted(fan.items, outer),
                lines=inserted(fan.lines, outer),
                when=_with_values(fan.when, inputs),
            )
        body = node.body
        if isinstance(body, w.Group | w.LoopGroup):
            inner = tuple(self._given(one, env, files, inputs) for one in body.scope.nodes)
            body = replace(body, scope=replace(body.scope, nodes=inner))
        elif isinstance(body, w.WorkflowCall) and body.input is not None:
            body = replace(body, input=inserted(body.input, inputs))
        own = {name: _bound(binding, inputs) for name, binding in node.bindings.items()}
        node = replace(
            node,
            body=body,
            when=_with_values(node.when, outer),
            activations=tuple(replace(one, when=_with_values(one.when, outer)) for one in node.activations),
            bindings={**_used(node, files, inputs), **own},
            fan_out=fan,
        )
        if isinstance(body, w.Group | w.LoopGroup | w.WorkflowCall | w.Cancel):
            return node
        node = replace(node, env={**env, **node.env})
        if node.kind not in AGENT_KINDS and not (isinstance(body, w.Approval) and body.on_reject):
            return node
        for name in _names_in(w.Node("", w.Cancel(""), options=self.defaults), {}):
            if name in node.bindings:
                message = f"the agent options of the including file name $INPUTS.{name}, which is another input"
                raise NotInsertableError(name, message)
        return replace(node, options={**self.defaults, **node.options}, agent=node.agent or self.agent)


def _used(node: w.Node, files: Files, inputs: Inputs) -> dict[str, w.Binding]:
    """The inputs that the node's own turns read: those that its texts name, and all in a program's environment."""
    if node.kind in PROGRAM_KINDS:
        return dict(inputs)
    if isinstance(node.body, w.WorkflowCall):
        return {}
    if isinstance(node.body, w.Group | w.LoopGroup):
        node = replace(node, body=replace(node.body, scope=w.Scope(())))
    named = _names_in(replace(node, bindings={}, when=None, fan_out=None, activations=()), files.commands)
    return {name: given for name, given in inputs.items() if name in named}


def _names_in(node: w.Node, commands: Mapping[str, w.CommandFile]) -> set[str]:
    """The inputs that a node's texts name."""
    return {one.name for one in references_of(node, commands) if isinstance(one, w.InputReference)}


def _with_values(condition: w.Condition | None, inputs: Inputs) -> w.Condition | None:
    """A condition with the caller's values; None if they make it true whatever else happens."""
    if condition is None:
        return None
    alternatives = []
    for group in condition.alternatives:
        parts = [_compared(one, inputs) for one in group]
        if False not in parts:
            alternatives.append(tuple(one for one in parts if isinstance(one, w.Comparison)))
    return None if () in alternatives else replace(condition, alternatives=tuple(alternatives))


def _nodes_in(record: Struct) -> list[w.NodeReference | w.OutcomeReference]:
    return [one for one in references_of(record, {}) if isinstance(one, w.NodeReference | w.OutcomeReference)]


def _compared(comparison: w.Comparison, inputs: Inputs) -> w.Comparison | bool:
    """A comparison of an input with the caller's value in its place; its result if that is known."""
    reference = comparison.reference
    if not isinstance(reference, w.InputReference) or reference.name not in inputs:
        return comparison
    given = inputs[reference.name]
    shown = reference_text(reference)
    known = known_value(given.value)
    if known is None:
        whole = whole_reference(given.value)
        unreadable = isinstance(whole, w.EngineReference) and whole.name not in CONDITION_NAMES
        if whole is None or given.has_default or unreadable:
            message = f"a condition compares {shown}, which is not one whole reference or a fixed value"
            raise NotInsertableError(reference.name, message)
        return replace(comparison, reference=_deeper(whole, reference))
    value = known[0]
    for part in reference.path:
        if not isinstance(value, dict) or part not in value:
            raise NotInsertableError(reference.name, f"a condition compares {shown}, and the value has no such field")
        value = value[part]
    try:
        return judge(comparison, canonical(value))
    except ConditionError as error:
        raise NotInsertableError(reference.name, error.message) from error


def _deeper(whole: w.Reference, reference: w.InputReference) -> w.Reference:
    """What the path of an input leads to in the value that `whole` names."""
    if not reference.path:
        return whole
    if isinstance(whole, w.EngineReference | w.OutcomeReference | w.RunReference):
        raise NotInsertableError(reference.name, f"{reference_text(whole)} has no fields")
    return replace(whole, path=whole.path + reference.path)


def known_value(template: Any) -> tuple[Any] | None:
    """The value of a template that refers to nothing."""
    if isinstance(template, str):
        return None if find_references(template) else (render(template, lambda _: Resolved("")),)
    return None if _refers(template) else (template,)


def _refers(template: Any) -> bool:
    if isinstance(template, dict | list):
        return any(map(_refers, template.values() if isinstance(template, dict) else template))
    return isinstance(template, str) and bool(find_references(template))


def _bound(binding: w.Binding, inputs: Inputs) -> w.Binding:
    whole = whole_reference(binding.value)
    if isinstance(whole, w.InputReference) and not whole.path and whole.name in inputs:
        given = inputs[whole.name]
        if given.has_default or not binding.has_default:
            return given
        return w.Binding(given.value, has_default=True, if_skipped=binding.if_skipped)
    return replace(binding, value=inserted(binding.value, inputs))


def inserted(template: Any, inputs: Inputs) -> Any:
    """A template with the caller's values, themselves templates, in place of `$INPUTS.name`. A text that is one whole
    reference becomes the value, of any type. Raises `NotInsertableError`."""
    if isinstance(template, dict):
        return {key: inserted(item, inputs) for key, item in template.items()}
    if isinstance(template, list):
        return [inserted(item, inputs) for item in template]
    if not isinstance(template, str):
        return template
    whole = whole_reference(template)
    if isinstance(whole, w.InputReference) and whole.name in inputs and not inputs[whole.name].has_default:
        value, path = inputs[whole.name].value, list(whole.path)
        named = whole_reference(value) if path else None
        if named is not None:
            return reference_text(_deeper(named, whole))
        while path and isinstance(value, dict) and path[0] in value:
            value = value[path.pop(0)]
        if not path:
            return value
    parts, done = [], 0
    for one in find_references(template):
        if isinstance(one.reference, w.InputReference) and one.reference.name in inputs:
            slashes = backslashes(template, one.start)
            parts += [template[done : one.start - slashes], _pasted(template, one.reference, one.end, slashes, inputs)]
            done = one.end
    return "".join(parts) + template[done:]


def _pasted(template: str, reference: w.InputReference, end: int, slashes: int, inputs: Inputs) -> str:
    """The template that stands for an input in the middle of a text, after the backslashes before it."""
    given = inputs[reference.name]
    text = given.value if isinstance(given.value, str) else escape(canonical(given.value))
    rest = "".join(f".{part}" for part in reference.path)
    before = "\\" * (slashes if text.startswith("$") else slashes // 2)
    found = find_references(text)
    joined = find_references(text + rest + template[end : end + 1])
    if given.has_default or [one.end for one in found] != [one.end for one in joined]:
        shown = reference_text(reference)
        raise NotInsertableError(reference.name, f"{shown} stands within a text, where its value cannot be told apart")
    return before + text + rest
