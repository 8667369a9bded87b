"""Requests of people and callers: answers to gates, answers to open prompts, a larger budget, cancel.

Each function reads the state and returns the event to append, or raises the error for the caller. The store appends it
only if what it answers is still open, so that of two answers one wins.
"""

from __future__ import annotations

from typing import Any

from ion.core import events as e
from ion.core.addresses import instances_in
from ion.core.budgets import dollars
from ion.core.state import NodeState, RunState
from ion.errors import GATE_INSIDE, SEVERAL_GATES, IonError, NotFoundError, RefusedError, UsageError
from ion.kinds import KINDS
from ion.language.problems import did_you_mean
from ion.language.templates import path_of, templates_of
from ion.language.workflow import Wait, Workflow
from ion.names import as_address, is_within

APPROVED = "approved"
REJECTED = "rejected"
# What holds of a gate that nobody answered in its time, where its workflow says nothing else.
FAILED = "failed"
LONGEST_DELIVERY = 200
_NAMES_SHOWN = 10
_SUGGESTED_FROM = 1000
# What `approve` and `reject` mean for a permission: the first of these kinds that the agent offers.
_NARROWEST = {"approve": ("allow_once", "allow_always"), "reject": ("reject_once", "reject_always")}


def open_gates(state: RunState) -> list[NodeState]:
    """The nodes whose gate waits for an answer, in file order."""
    return [node for node in state.nodes.values() if node.gate is not None]


def open_prompts(state: RunState) -> list[NodeState]:
    """The nodes whose prompt waits for the caller, in file order."""
    return [node for node in state.nodes.values() if node.prompt is not None]


def open_questions(state: RunState) -> list[tuple[NodeState, e.ApprovalRequested]]:
    """All that a person may answer, in file order: gates, and permissions that agents ask for."""
    return [(node, gate) for node in state.nodes.values() for gate in questions_of(node)]


def questions_of(node: NodeState) -> list[e.ApprovalRequested]:
    """The open gate of a node, or the permissions that its agent asks for, oldest first."""
    return [one for one in node.requests.values() if isinstance(one, e.ApprovalRequested)]


def answer(
    state: RunState,
    node: str | None,
    decision: str,
    *,
    at: int,
    text: str,
    by: dict[str, Any],
    request: str | None = None,
) -> e.ApprovalResolved:
    """Answer the gate of `node`, or the only open one; `request` says which, where there may be several.

    `decision` is `approve` or `reject`, or one of the gate's own; a permission is given or refused as narrowly as the
    agent offers.
    """
    found, gate = _find_gate(state, node, request)
    decided = _decision(found.id, gate, decision)
    if gate.last and decided == APPROVED and text:
        raise _no_more_rounds(found.id, gate)
    return e.ApprovalResolved(at, found.id, request=gate.request, decision=decided, comment=text, by=by)


def _no_more_rounds(node: str, gate: e.ApprovalRequested) -> RefusedError:
    """With a comment another iteration would begin, which would fail the loop."""
    more = "reject it, or run it again with a larger max_iterations"
    hint = f"approve it without a comment to finish it, {more}" if gate.signaled else more
    message = f"'{node}' has used up its {gate.iteration} iterations: there is not another round"
    return RefusedError(message, code="last-iteration", hint=hint)


def answer_each(
    state: RunState, node: str, decision: str, *, at: int, text: str, by: dict[str, Any]
) -> tuple[list[e.ApprovalResolved], dict[str, IonError]]:
    """Answer every open gate of `node` and inside of it. Second is what is wrong with the decision for some of them, by
    address. A permission that an agent asks for is not a gate."""
    found = gates_below(state, node)
    if not found:
        raise _not_open(state, node_of(state, node))
    answers: list[e.ApprovalResolved] = []
    wrong: dict[str, IonError] = {}
    for one in found:
        request = one.gate.request if one.gate is not None else None
        try:
            answers.append(answer(state, one.id, decision, at=at, text=text, by=by, request=request))
        except (UsageError, RefusedError) as error:
            wrong[one.id] = error
    return answers, wrong


def gates_below(state: RunState, node: str) -> list[NodeState]:
    """The nodes among this one and those inside of it whose gate waits for an answer."""
    address = node_of(state, node).id
    return [one for one in open_gates(state) if is_within(one.id, address)]


def _decision(node: str, gate: e.ApprovalRequested, wanted: str) -> str:
    if gate.kind == e.PERMISSION and wanted in _NARROWEST:
        offered = [kind for kind in _NARROWEST[wanted] if kind in gate.kinds]
        if offered:
            return gate.decisions[gate.kinds.index(offered[0])]
        if wanted == "reject":
            return REJECTED
    if gate.decisions:
        if wanted in gate.decisions:
            return wanted
        raise UsageError(f"the gate '{node}' has no decision '{wanted}'", hint=f"one of: {', '.join(gate.decisions)}")
    if wanted in ("approve", "reject"):
        return APPROVED if wanted == "approve" else REJECTED
    raise UsageError(f"the gate '{node}' has no decisions, so '{wanted}' is none", hint="approve or reject it")


def _find_gate(state: RunState, node: str | None, request: str | None) -> tuple[NodeState, e.ApprovalRequested]:
    if node is None:
        _refuse_ended(state)
        found = open_questions(state)
    else:
        found = [(node_of(state, node), gate) for gate in questions_of(node_of(state, node))]
    if request is not None:
        found = [(asking, gate) for asking, gate in found if gate.request == request]
    if len(found) > 1:
        raise _several(found, one_node=node is not None)
    if found:
        return found[0]
    if request is not None:
        _refuse_ended(state)
        raise RefusedError(
            f"the request {request} is not open", code="answered", hint="ion show says what it waits for"
        )
    if node is not None:
        raise _not_open(state, node_of(state, node))
    raise RefusedError("no gate of this run is open", code="answered", hint="ion show says what it waits for")


def _several(found: list[tuple[NodeState, e.ApprovalRequested]], *, one_node: bool) -> UsageError:
    if one_node or len({node.id for node, _ in found}) == 1:
        names = ", ".join(gate.request for _, gate in found)
        return UsageError(f"'{found[0][0].id}' asks for {len(found)} permissions: {names}", hint="name one: --request")
    return _unnamed([node for node, _ in found])


def _unnamed(found: list[NodeState], below: str = "") -> UsageError:
    names = ", ".join(node.id for node in found[:_NAMES_SHOWN])
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    said = f"{len(found)} gates are" if len(found) > 1 else "a gate is"
    where = f" inside of '{below}'" if below else ""
    return UsageError(
        f"{said} open{where}: {names}{more}",
        hint="name one; --each (each: true) answers all inside of a node",
        code=SEVERAL_GATES if len(found) > 1 else GATE_INSIDE,
    )


def node_of(state: RunState, name: str) -> NodeState:
    """The instance of this address, also written `review[2]`. Raises `NotFoundError`, with the one that was meant or
    those that are there."""
    address = as_address(name)
    if address in state.nodes:
        return state.nodes[address]
    around = address
    while around and around not in state.nodes:
        around = around.rpartition(".")[0]
    near = [one.id for one in instances_in(state, around)][:_SUGGESTED_FROM]
    meant = did_you_mean(address, near) if len(address) > 2 else None
    found = (
        f"inside of '{around}': {', '.join(near[:_NAMES_SHOWN])}"
        if around
        else f"its nodes: {', '.join(near[:_NAMES_SHOWN])}"
    )
    hint = f"did you mean '{meant}'?" if meant else found if near else f"nothing inside of '{around}' has begun"
    raise NotFoundError(f"the run has no node '{address}'", hint=hint)


def iteration_of(state: RunState, name: str) -> tuple[str, int] | None:
    """The repeated group, and its iteration that has begun, that `fix.2` names; None: it names something else."""
    owner, _, number = as_address(name).rpartition(".")
    scope = state.scopes.get(owner)
    began = scope is not None and number.isdecimal() and 1 <= int(number) <= scope.iteration
    return (owner, int(number)) if began else None


def address_of(state: RunState, name: str) -> str:
    """The address of an instance, or of an iteration. Raises `NotFoundError`."""
    return as_address(name) if iteration_of(state, name) else node_of(state, name).id


def _not_open(state: RunState, node: NodeState) -> RefusedError | UsageError:
    _refuse_ended(state)
    if node.id in state.scopes:
        inside = gates_below(state, node.id)
        if inside:
            return _unnamed(inside, node.id)
        return RefusedError(
            f"no gate inside of '{node.id}' is open", code="not-open", hint="ion show says what it waits for"
        )
    if not KINDS[node.kind].has_gate and not node.tries.verdicts:
        return RefusedError(f"'{node.id}' is a {node.kind} node and has no gate", code="no-gate")
    if node.expired:
        return RefusedError(f"the time of the gate '{node.id}' is over: nobody had answered it", code="expired")
    if node.asked:
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
    """Answer the open prompt of `node`.

    `last` is the newest answer in the log to this node (or to `request`): the same answer again returns None (nothing
    changes), another one is refused.
    """
    found = node_of(state, node)
    pending = found.prompt
    if pending is not None and (request is None or request == pending.request):
        return e.PromptAnswered(at, found.id, pending.request, output, session, by)
    if last is not None and (request is None or request == last.request):
        if last.output.sha256 == output.sha256 and (session is None or session == last.session):
            return None
        raise RefusedError(f"the prompt of '{node}' has been answered already, and differently", code="answered")
    _refuse_ended(state)
    if pending is not None:
        raise RefusedError(f"the prompt {request} of '{node}' is not open; {pending.request} is", code="not-open")
    raise RefusedError(
        f"no prompt of '{node}' waits for an answer", code="not-open", hint="ion next lists those that do"
    )


def signal(
    workflow: Workflow,
    state: RunState,
    event: str,
    *,
    at: int,
    by: dict[str, Any],
    payload: str | None = None,
    delivery: str,
    target: str | None = None,
) -> e.SignalReceived | None:
    """Send the signal `event` to the run: the next wait for it, or only that at `target`, takes it. None: this
    `delivery` has come before."""
    _refuse_ended(state)
    if not 0 < len(delivery) <= LONGEST_DELIVERY:
        raise UsageError(f"the id of a delivery has 1 to {LONGEST_DELIVERY} characters")
    if delivery in state.deliveries:
        return None
    waits = [one for one in templates_of(workflow) if isinstance(one.node.body, Wait) and one.node.body.event]
    names = sorted({one.node.body.event or "" for one in waits if isinstance(one.node.body, Wait)})
    if event not in names:
        meant = did_you_mean(event, names)
        known = f"its waits are for: {', '.join(names)}" if names else "it has no wait for a signal"
        raise UsageError(
            f"no wait of this run's workflow is for the signal '{event}'",
            hint=f"did you mean '{meant}'?" if meant else known,
        )
    address = None if target is None else as_address(target)
    if address is not None and path_of(address) not in {
        one.path for one in waits if isinstance(one.node.body, Wait) and one.node.body.event == event
    }:
        raise UsageError(f"'{address}' is not a wait for the signal '{event}'")
    return e.SignalReceived(at, event, delivery, payload, address, by)


def cancel(state: RunState, *, at: int, reason: str, by: dict[str, Any]) -> e.CancelRequested:
    """End the run. Refused once it has completed, failed or was cancelled."""
    _refuse_ended(state)
    return e.CancelRequested(at, reason, "person", by)


def raise_budget(state: RunState, max_budget_usd: float, *, at: int, by: dict[str, Any]) -> e.BudgetRaised:
    """Let the run spend this much in all. It must be more than it has spent: otherwise nothing would continue."""
    if state.status in ("completed", "cancelled"):
        _refuse_ended(state)
    if not max_budget_usd > state.spent_usd or max_budget_usd == float("inf"):
        raise UsageError(
            f"{dollars(max_budget_usd)} is not a valid budget: the run has spent {dollars(state.spent_usd)} already",
            hint="the budget is for the run from its beginning; give more than what is spent",
        )
    return e.BudgetRaised(at, max_budget_usd, by)
