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
from ion.language.workflow import Command, Script, Workflow


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
    path = path_of(from_node)
    if before is None:
        node_of(state, from_node)
        return _Kept(templates, state, from_node, at).inside("", templates.root)
    if path.partition(".")[0] not in workflow.by_id:
        names = ", ".join(node.id for node in workflow.nodes[:20])
        raise NotFoundError(f"the file as it is now has no node '{from_node}'", hint=f"its nodes: {names}")
    if "." in from_node:
        hint = f"rerun it from '{path.partition('.')[0]}', or without --edited"
        raise UsageError(f"'{from_node}' is inside of another node, which may be another one now", hint=hint)
    events: list[e.Event] = []
    kept = _Kept(templates, state, from_node, at)
    anew = kept.anew("", templates.root)
    for one in templates.root.members:
        now = state.nodes.get(one.path)
        if one.path in anew or one.is_final or now is None or not kept.keeps(one, now):
            continue
        if definition(one) != definition(templates_of(before)[one.path]):
            continue
        *whole, end = kept.whole(one, now)
        if read is not None and isinstance(end, e.NodeCompleted | e.NodeFailed) and (reply := end.reply) is not None:
            end = replace(end, reply=replace(reply, values=condition_values(one, reply.output, read)))
        events += [*whole, end]
    return events


class _Kept:
    """The events that make the outcomes of one run those of another, but for an instance that is to run again, and
    what waits for it."""

    def __init__(self, templates: Templates, state: RunState, from_node: str, at: int) -> None:
        self.templates = templates
        self.state = state
        self.from_node = from_node
        self.at = at

    def keeps(self, template: Template, now: NodeState) -> bool:
        return self.state.keeps(now) and not template.node.always_run

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
            now = self.state.nodes[address]
            if address in anew:
                events += self._on_the_way(one, now) if self._is_on_the_way(address) else []
            else:
                events += self._kept(one, now)
        return events

    def _kept(self, template: Template, now: NodeState) -> list[e.Event]:
        """Of an instance that does not run again: of one that has not completed, what has inside of it. A loop begins
        again."""
        if self.keeps(template, now):
            return self.whole(template, now)
        scope = self.state.scopes.get(now.id)
        if now.status == "completed" or scope is None or scope.iteration or template.node.always_run:
            return []
        return self._open(template, now, scope)

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
                return [*events, e.NodeCompleted(self.at, now.id, replace(now.progress.reply, usage={}), caught)]
            case "failed" if now.error is not None:
                reply = now.progress.reply if now.allowed else None
                return [*events, e.NodeFailed(self.at, now.id, now.error, reply=reply)]
            case "skipped":
                return [e.NodeSkipped(self.at, now.id, now.reason or "when", now.detail)]
        return []

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
