"""A new run that keeps what an old one has done: which outcomes stay, as events of the new log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ion.core import events as e
from ion.core.requests import node_of
from ion.core.scopes import ScopeState
from ion.core.state import NodeState, RunState
from ion.core.values import condition_values
from ion.errors import NotFoundError, UsageError
from ion.kinds import KINDS
from ion.language.templates import ScopeTemplate, Template, Templates, path_of, templates_of
from ion.language.workflow import Command, LoopGroup, Script, Workflow


def kept_events(
    workflow: Workflow,
    state: RunState,
    from_node: str,
    at: int,
    *,
    before: Workflow | None = None,
    read: Callable[[e.Content], str] | None = None,
) -> list[e.Event]:
    """The outcomes of all completed nodes that neither are `from_node` nor wait for it, directly or through others,
    each with the values that it saw, so that a node whose dependencies then differ runs again all the same.

    `before` is the workflow of the old run, if `workflow` is another: then only nodes with an unchanged definition keep
    their outcomes, and `read` returns the texts of outputs, since other conditions may read them now. Raises
    `NotFoundError` for an unknown node.
    """
    templates = templates_of(workflow)
    if before is None:
        node_of(state, from_node)
    else:
        _require_way(templates, state, from_node)
    old = None if before is None else templates_of(before)
    return _Kept(templates, state, from_node, at, old, read).inside("", templates.root)


def _require_way(templates: Templates, state: RunState, from_node: str) -> None:
    """Raises `NotFoundError` if the file as it is now has no such node, or the run no such item."""
    around, parts = "", from_node.split(".")
    for end, part in enumerate(parts, 1):
        address = ".".join(parts[:end])
        owner = templates[around] if around else None
        template = templates.by_path.get(path_of(address))
        if template is None:
            if part.isdigit() and owner is not None and owner.item is None and isinstance(owner.node.body, LoopGroup):
                continue  # an iteration, which `_Kept` refuses
            body = templates.root if owner is None else owner.inside
            names = ", ".join(node.node.id for node in (body.members if body is not None else ())[:20])
            hint = f"inside of '{around}': {names or 'nothing'}" if around else f"its nodes: {names}"
            raise NotFoundError(f"the file as it is now has no node '{address}'", hint=hint)
        if part.isdigit():
            node_of(state, address)
        around = address


class _Kept:
    """The events that make the outcomes of one run those of another, but for an instance that is to run again, and
    what waits for it. `before` are the nodes of the old run, if the file was edited since, and `read` returns texts of
    outputs, which other conditions may read now."""

    def __init__(
        self,
        templates: Templates,
        state: RunState,
        from_node: str,
        at: int,
        before: Templates | None,
        read: Callable[[e.Content], str] | None,
    ) -> None:
        self.templates = templates
        self.state = state
        self.from_node = from_node
        self.at = at
        self.before = before
        self.read = read
        self._unchanged: dict[str, bool] = {}

    def keeps(self, template: Template, now: NodeState) -> bool:
        return self.state.keeps(now) and not template.node.always_run

    def is_unchanged(self, template: Template) -> bool:
        """Whether it is defined as it was, with all inside of it."""
        if self.before is None:
            return True
        known = self._unchanged.get(template.path)
        if known is None:
            old = self.before.by_path.get(template.path)
            known = self._unchanged[template.path] = old is not None and definition(template) == definition(old)
        return known

    def _is_opened_alike(self, template: Template) -> bool:
        """Whether the instances inside of it are made of the same, and are given the same."""
        return self.before is None or _opening(template) == _opening(self.before.by_path.get(template.path))

    def anew(self, prefix: str, body: ScopeTemplate) -> set[str]:
        """Of the instances of this graph, those that do not keep their outcomes."""
        first = [one for one in body.members if self._is_on_the_way(f"{prefix}{one.node.id}")]
        found, left = {one.node.id for one in first}, first
        while left:
            place = body.places[left.pop().node.id]
            new = [body.members[i] for i in body.dependents[place] if body.members[i].node.id not in found]
            found.update(one.node.id for one in new)
            left += new
        return {f"{prefix}{name}" for name in found}

    def _is_on_the_way(self, address: str) -> bool:
        return self.from_node == address or self.from_node.startswith(f"{address}.")

    def inside(self, prefix: str, body: ScopeTemplate) -> list[e.Event]:
        """Of a graph."""
        anew = self.anew(prefix, body)
        events: list[e.Event] = []
        for one in body.members:
            if one.is_final:
                continue
            address = f"{prefix}{one.node.id}"
            now = self.state.nodes.get(address)
            if now is None:  # it was not in the file
                continue
            if address in anew:
                events += self._on_the_way(one, now) if self._is_on_the_way(address) else []
            else:
                events += self._kept(one, now)
        return events

    def _kept(self, template: Template, now: NodeState) -> list[e.Event]:
        """Of an instance that does not run again: of one that has not completed, or in which something is defined
        otherwise now, what has completed inside of it. A loop begins again."""
        unchanged = self.is_unchanged(template)
        if unchanged and self.keeps(template, now):
            return self.whole(template, now)
        scope = self.state.scopes.get(now.id)
        if scope is None or scope.iteration or template.node.always_run or (unchanged and now.status == "completed"):
            return []
        return self._open(template, now, scope) if self._is_opened_alike(template) else []

    def _open(self, template: Template, now: NodeState, scope: ScopeState) -> list[e.Event]:
        """Of a node that is open, with what keeps its outcome inside of it."""
        events: list[e.Event] = [self._opened(template, now, scope)]
        if template.item is None:
            return [*events, *(self.inside(scope.prefix, template.inside) if template.inside is not None else ())]
        for member in scope.members:
            keep = self._on_the_way if self._is_on_the_way(member) else self._kept
            events += keep(template.item, self.state.nodes[member])
        return events

    def _on_the_way(self, template: Template, now: NodeState) -> list[e.Event]:
        """Of a node in which something runs again: it is open, and all else inside of it keeps its outcome."""
        scope = self.state.scopes.get(now.id)
        if now.id == self.from_node or scope is None:
            return []
        if scope.iteration:
            raise UsageError(f"one iteration of '{now.id}' cannot run again alone", hint=f"--from {now.id}")
        if not self._is_opened_alike(template):
            raise UsageError(f"'{now.id}' is opened otherwise in the file as it is now", hint=f"--from {now.id}")
        return self._open(template, now, scope)

    def whole(self, template: Template, now: NodeState) -> list[e.Event]:
        """Of an instance that has ended, with all inside of it."""
        scope = self.state.scopes.get(now.id)
        if scope is None:
            events: list[e.Event] = [e.NodeStarted(self.at, now.id, KINDS[now.kind].turn, inputs=now.inputs)]
        else:
            events = [self._opened(template, now, scope)]
            for place, member in enumerate(scope.members):
                inner = template.item or (template.inside.members[place] if template.inside is not None else None)
                if inner is not None:
                    events += self.whole(inner, self.state.nodes[member])
        match now.status:
            case "completed" if now.progress.reply is not None:
                caught = tuple(failed for failed, by in self.state.caught.items() if by == now.id)
                return [*events, e.NodeCompleted(self.at, now.id, self._reply(template, now.progress.reply), caught)]
            case "failed" if now.error is not None:
                reply = now.progress.reply if now.allowed else None
                kept = None if reply is None else self._reply(template, reply)
                return [*events, e.NodeFailed(self.at, now.id, now.error, reply=kept)]
            case "skipped":
                return [e.NodeSkipped(self.at, now.id, now.reason or "when", now.detail)]
        return []

    def _reply(self, template: Template, reply: e.Reply) -> e.Reply:
        values = reply.values
        if self.before is not None and self.read is not None:
            values = condition_values(template, reply.output, self.read)
        return replace(reply, values=values, usage={})

    def _opened(self, template: Template, now: NodeState, scope: ScopeState) -> e.ScopeOpened:
        keys = {number: key for key, number in self.state.numbers.get(now.id, {}).items()}
        numbers = tuple(int(member.rpartition(".")[2]) for member in scope.members) if template.item else ()
        return e.ScopeOpened(
            self.at,
            now.id,
            inputs=now.inputs,
            nodes=template.inside.nodes if template.inside is not None else (),
            iteration=scope.iteration,
            items=scope.items,
            keys=tuple(keys[number] for number in numbers),
            numbers=numbers,
            given=scope.given,
            read=scope.read,
        )


def _opening(template: Template | None) -> tuple[Any, ...] | None:
    """What the instances inside of a node are made of, what they are given, and what conditions read of that."""
    if template is None:
        return None
    node, called, fan_out = template.node, template.called, template.node.fan_out
    read = frozenset(template.input_references(fan_out.name if fan_out is not None else None))
    if fan_out is not None:
        fan_out = replace(fan_out, max_parallel=None, join="", fail_fast=False)
    return node.kind, fan_out, node.when, node.bindings, read, called and (node.body, called.inputs)


def definition(template: Template) -> tuple[Any, ...]:
    """What a node's outcome depends on, apart from other nodes: its body, texts and files, and those of all inside of
    it. Its timeout, its retries and what it waits for do not change the outcome."""
    node, workflow = template.node, template.workflow
    kind = KINDS[node.kind]
    command = getattr(node.body, "name" if isinstance(node.body, Command) else "command", None)
    script = node.body.name if isinstance(node.body, Script) else None
    return (
        replace(
            node,
            description="",
            depends_on=(),
            order=(),
            retry=None,
            timeout_ms=None,
            on_timeout="",
            idle_timeout_ms=None,
            continues=None,
            runs_on=None,
            trigger_rule="",
        ),
        workflow.commands[command].text if command else None,
        workflow.scripts[script].files if script else None,
        workflow.env if kind.asks_agent or kind.runs_program else {},
        definition(template.item) if template.item is not None else None,
        tuple(map(definition, template.inside.members)) if template.inside is not None else (),
    )
