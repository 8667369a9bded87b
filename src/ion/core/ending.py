"""How a run ends, and a part of one: what runs is stopped, what waits is closed, what has not started is skipped."""

from __future__ import annotations

from collections.abc import Container

from ion.core import events as e
from ion.core.addresses import members_of
from ion.core.commands import Command, Record, Stop
from ion.core.composites import halting, output_node
from ion.core.foreseen import handled
from ion.core.state import NodeState, RunState
from ion.language.templates import ScopeTemplate


def run_end(state: RunState, body: ScopeTemplate, at: int) -> e.Event:
    """The end of a run in which every node has settled (language.md §3.2)."""
    nodes = list(members_of(state, ""))
    failed = [now.id for now in nodes if state.has_failed(now)]
    if failed:
        names = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
        message = f"{len(failed)} of {len(nodes)} nodes failed: {names}"
        return e.WorkflowFailed(at, e.Failure("node-failed", message))
    if not any(now.succeeded for now in nodes):
        return e.WorkflowFailed(at, e.Failure("nothing-completed", "no node completed: every one was skipped"))
    source = output_node(body, nodes)
    return e.WorkflowCompleted(at, None if source is None else source.id, handled(state).is_clean)


def cancelled_by(now: NodeState, at: int) -> e.WorkflowCancelled:
    """The end of a run by a cancel node, or by a gate that was rejected."""
    return e.WorkflowCancelled(at, halting(now)[1], now.id)


def end_requested(request: e.CancelRequested, at: int) -> e.WorkflowFailed | e.WorkflowCancelled:
    """The end of a run that somebody cancelled, or that is out of time."""
    if request.cause == "timeout":
        hint = "ion resume gives it the same time again"
        return e.WorkflowFailed(at, e.Failure("timeout", request.reason, hint))
    return e.WorkflowCancelled(at, request.reason)


def wind_up(
    state: RunState, address: str, reason: str, because: str, at: int, spared: Container[str] = ()
) -> list[Command]:
    """End all that is inside of this instance (without one, of the run) but for those `spared`, as far as it can be at
    once. Instances with others inside end last, all together: until then they say what the end is."""
    simple: list[Command] = []
    composite: list[Command] = []
    for now in members_of(state, address):
        if now.id not in spared:
            _wind_up(state, now, reason, because, at, simple, composite)
    return simple if any(isinstance(one, Stop) for one in simple) else [*simple, *composite]


def _wind_up(
    state: RunState,
    now: NodeState,
    reason: str,
    because: str,
    at: int,
    simple: list[Command],
    composite: list[Command],
) -> None:
    if now.terminal:
        return
    scope = state.scopes.get(now.id)
    is_open = scope is not None and scope.is_open
    for inner in members_of(state, now.id) if is_open else ():
        _wind_up(state, inner, reason, because, at, simple, composite)
    if now.live:
        simple.append(Stop(now.id, reason))
    elif now.begun:
        (composite if is_open else simple).append(Record(e.NodeCancelled(at, now.id, reason), reason))
    else:
        simple.append(Record(e.NodeSkipped(at, now.id, reason, because), reason))


def questions_closed(state: RunState, address: str, at: int) -> list[Record]:
    """The end of all that asks for something inside of this instance, whose outcomes no longer count."""
    closed: list[Record] = []
    for now in members_of(state, address):
        closed += questions_closed(state, now.id, at)
        if now.requests:
            closed.append(Record(e.NodeCancelled(at, now.id, "cancelled"), "what it is part of begins again"))
    return closed
