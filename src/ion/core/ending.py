"""How a run ends, and a part of one: what runs is stopped, what waits is closed, what has not started is skipped."""

from __future__ import annotations

from collections.abc import Container
from typing import TypeAlias

from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import members_of
from ion.core.commands import Command, Record, Stop
from ion.core.composites import halting, output_node, settled_in
from ion.core.foreseen import handled
from ion.core.scopes import ScopeState
from ion.core.state import NodeState, RunState
from ion.language.templates import ScopeTemplate, Templates


def run_end(state: RunState, body: ScopeTemplate, at: int) -> End:
    """The end of a run in which every node has settled (language.md §3.2)."""
    nodes = settled_in(state, body, "")
    failed = [now.id for now in nodes if state.has_failed(now)]
    if failed:
        names = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
        message = f"{len(failed)} of {len(nodes)} nodes failed: {names}"
        return e.WorkflowFailed(at, e.Failure("node-failed", message))
    if not any(now.succeeded for now in nodes):
        return e.WorkflowFailed(at, e.Failure("nothing-completed", "no node completed: every one was skipped"))
    source = output_node(body, nodes)
    return e.WorkflowCompleted(at, None if source is None else source.id)


End: TypeAlias = e.WorkflowCompleted | e.WorkflowFailed | e.WorkflowCancelled


def finishing(end: End, nodes: tuple[str, ...]) -> e.WorkflowFinishing:
    """What precedes this end of a run that has these `nodes` in its `finally`."""
    match end:
        case e.WorkflowCompleted(at, output_node):
            return e.WorkflowFinishing(at, "completed", nodes, output_node=output_node)
        case e.WorkflowFailed(at, error):
            return e.WorkflowFinishing(at, "failed", nodes, error)
        case e.WorkflowCancelled(at, reason, node):
            return e.WorkflowFinishing(at, "cancelled", nodes, reason=reason, node=node)


def finished(decided: e.WorkflowFinishing, at: int) -> End:
    """The end that was decided before `finally` ran."""
    if decided.error is not None:
        return e.WorkflowFailed(at, decided.error)
    if decided.status == "cancelled":
        return e.WorkflowCancelled(at, decided.reason, decided.node)
    return e.WorkflowCompleted(at, decided.output_node)


def told(state: RunState, end: End) -> End:
    """The end with what it tells of failures that did not fail the run."""
    found = handled(state)
    if isinstance(end, e.WorkflowCompleted):
        return replace(end, clean=found.is_clean, finally_failed=found.in_finally)
    return replace(end, finally_failed=found.in_finally)


def cancelled_by(now: NodeState, at: int) -> e.WorkflowCancelled:
    """The end of a run by a cancel node, or by a gate that was rejected."""
    return e.WorkflowCancelled(at, halting(now)[1], now.id)


def end_requested(request: e.CancelRequested, at: int) -> e.WorkflowFailed | e.WorkflowCancelled:
    """The end of a run that somebody cancelled, or that is out of time."""
    if request.cause == "timeout":
        hint = "ion resume gives it the same time again"
        return e.WorkflowFailed(at, e.Failure("timeout", request.reason, hint))
    return e.WorkflowCancelled(at, request.reason)


class WindingUp:
    """The end of what is inside of an instance, as far as it can be at once: why, and the `commands` of this moment.
    `is_done`: nothing runs, so with them all has ended. A called workflow has its `finally` before, unless that is cut
    short; `finishing` are those that have begun it.
    """

    def __init__(self, templates: Templates, state: RunState, reason: str, because: str, at: int) -> None:
        self._templates = templates
        self._state = state
        self._reason = reason
        self._because = because
        self._at = at
        self._simple: list[Command] = []
        self._composite: list[Command] = []
        self._stops = False
        self.finishing: list[str] = []

    @property
    def is_done(self) -> bool:
        return not self._stops and not self.finishing

    def inside(self, address: str, spared: Container[str] = ()) -> WindingUp:
        """All inside of this instance (without one, of the run) but for those `spared`."""
        for now in members_of(self._state, address):
            if now.id not in spared:
                self._one(now)
        return self

    @property
    def commands(self) -> list[Command]:
        """Instances with others inside end last, all together: until then they say what the end is."""
        return self._simple if self._stops else [*self._simple, *self._composite]

    def _one(self, now: NodeState) -> None:
        if now.terminal:
            return
        scope = self._state.scopes.get(now.id)
        is_open = scope is not None and scope.is_open
        if scope is not None and is_open:
            finals = () if self._state.cut_short else self._finals(scope)
            before = len(self.finishing)
            self.inside(now.id, finals)
            left = [one for one in members_of(self._state, now.id) if not one.terminal]
            if finals and left:
                self.finishing.append(now.id)
                if scope.finishing is None and all(one.id in finals for one in left):
                    names = tuple(one.rpartition(".")[2] for one in finals)
                    begun = e.ScopeFinishing(self._at, now.id, names, "cancelled", reason=self._because)
                    self._simple.append(Record(begun, self._reason))
            if len(self.finishing) > before:
                return
        if now.live:
            self._stops = True
            self._simple.append(Stop(now.id, self._reason))
        elif now.begun:
            cancelled = Record(e.NodeCancelled(self._at, now.id, self._reason), self._reason)
            (self._composite if is_open else self._simple).append(cancelled)
        else:
            self._simple.append(Record(e.NodeSkipped(self._at, now.id, self._reason, self._because), self._reason))

    def _finals(self, scope: ScopeState) -> tuple[str, ...]:
        """The addresses of the `finally` of a called workflow."""
        template = self._templates[scope.owner]
        if not template.calls or template.inside is None:
            return ()
        return tuple(f"{scope.prefix}{one.node.id}" for one in template.inside.finals)


def questions_closed(state: RunState, address: str, at: int) -> list[Record]:
    """The end of all that asks for something inside of this instance, whose outcomes no longer count."""
    closed: list[Record] = []
    for now in members_of(state, address):
        closed += questions_closed(state, now.id, at)
        if now.requests:
            closed.append(Record(e.NodeCancelled(at, now.id, "cancelled"), "what it is part of begins again"))
    return closed
