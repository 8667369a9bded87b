"""Requests of people and hosts: answers to gates, answers to parked prompts, cancel.

Each function looks at the state and gives the event to append, or raises what the caller is to be told. The store
appends it only if what it answers is still open, so that of two answers one wins.
"""

from __future__ import annotations

from typing import Any

from ion.core import events as e
from ion.core.state import Gate, NodeState, RunState
from ion.errors import NotFoundError, RefusedError, UsageError

APPROVED = "approved"
REJECTED = "rejected"


def open_gates(state: RunState) -> list[NodeState]:
    """The nodes whose gate waits for an answer, in file order."""
    return [node for node in state.nodes.values() if node.gate is not None]


def parked_prompts(state: RunState) -> list[NodeState]:
    """The nodes whose prompt waits at the host, in file order."""
    return [node for node in state.nodes.values() if node.prompt is not None]


def approve(state: RunState, node: str | None, *, at: int, comment: str, by: dict[str, Any]) -> e.ApprovalResolved:
    """Approve the gate of `node`, or the only open one.

    On a gate with decisions this is the decision `approve`, if it has one.
    """
    return _resolve(state, node, "approve", at, comment, by)


def reject(state: RunState, node: str | None, *, at: int, reason: str, by: dict[str, Any]) -> e.ApprovalResolved:
    """Reject the gate of `node`, or the only open one."""
    return _resolve(state, node, "reject", at, reason, by)


def respond(state: RunState, node: str, decision: str, *, at: int, text: str, by: dict[str, Any]) -> e.ApprovalResolved:
    """Answer a gate with one of its decisions; `approve` and `reject` work on every gate."""
    return _resolve(state, node, decision, at, text, by)


def _resolve(
    state: RunState, node: str | None, decision: str, at: int, comment: str, by: dict[str, Any]
) -> e.ApprovalResolved:
    found = _find_gate(state, node)
    gate = found.gate
    if gate is None:
        raise _not_open(state, found)
    return e.ApprovalResolved(at, found.id, gate.request, _decision(found.id, gate, decision), comment, by)


def _decision(node: str, gate: Gate, wanted: str) -> str:
    if gate.decisions:
        if wanted in gate.decisions:
            return wanted
        raise UsageError(f"the gate '{node}' has no decision '{wanted}'", hint=f"one of: {', '.join(gate.decisions)}")
    if wanted in ("approve", "reject"):
        return APPROVED if wanted == "approve" else REJECTED
    raise UsageError(f"the gate '{node}' has no decisions, so '{wanted}' is none", hint="approve or reject it")


def _find_gate(state: RunState, node: str | None) -> NodeState:
    if node is not None:
        return _node(state, node)
    _refuse_ended(state)
    gates = open_gates(state)
    if len(gates) > 1:
        raise UsageError(
            f"{len(gates)} gates are open: {', '.join(g.id for g in gates)}", hint="name the one that you answer"
        )
    if not gates:
        raise RefusedError("no gate of this run is open", code="answered", hint="ion show says what it waits for")
    return gates[0]


def _node(state: RunState, node: str) -> NodeState:
    if node not in state.nodes:
        raise NotFoundError(f"the run has no node '{node}'", hint=f"its nodes: {', '.join(list(state.nodes)[:20])}")
    return state.nodes[node]


def _not_open(state: RunState, node: NodeState) -> RefusedError:
    _refuse_ended(state)
    if node.kind not in ("approval", "loop"):
        return RefusedError(f"'{node.id}' is a {node.kind} node and has no gate", code="no-gate")
    if node.requests:
        return RefusedError(f"the gate '{node.id}' has been answered already", code="answered")
    return RefusedError(
        f"the gate '{node.id}' is not open yet", code="not-open", hint="ion show says what it waits for"
    )


def _refuse_ended(state: RunState) -> None:
    if state.ended:
        raise RefusedError(f"the run has ended ({state.status})", code="ended")


def submit(
    state: RunState,
    node: str,
    output: e.Content,
    *,
    at: int,
    by: dict[str, Any],
    session: str | None = None,
    request: str | None = None,
    last: e.PromptAnswered | None = None,
) -> e.PromptAnswered | None:
    """Answer the parked prompt of `node`.

    `last` is the newest answer in the log to this node (or to `request`): the same answer again gives None (nothing
    changes), another one is refused.
    """
    found = _node(state, node)
    parked = found.prompt
    if parked is not None and (request is None or request == parked.request):
        return e.PromptAnswered(at, node, parked.request, output, session, by)
    if last is not None and (request is None or request == last.request):
        if last.output.sha256 == output.sha256 and (session is None or session == last.session):
            return None
        raise RefusedError(f"the prompt of '{node}' has been answered already, and differently", code="answered")
    _refuse_ended(state)
    if request is not None and parked is not None:
        raise RefusedError(f"the prompt {request} of '{node}' is not open; {parked.request} is", code="not-open")
    raise RefusedError(
        f"no prompt of '{node}' waits for an answer", code="not-open", hint="ion next lists those that do"
    )


def cancel(state: RunState, *, at: int, reason: str, by: dict[str, Any]) -> e.CancelRequested:
    """End the run. Refused once it has completed or was cancelled; a failed run may be cancelled no more either."""
    _refuse_ended(state)
    return e.CancelRequested(at, reason, "person", by)
