"""What one node does next once everything it waits for has settled and no turn of it runs.

The answer is an event (skipped, failed, completed without a turn), or the start of a turn, or None.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ion.core import events as e
from ion.core.apply_outcome import failed_or_tried_again
from ion.core.budgets import node_spent, spent_around
from ion.core.composites import (
    COLLECT,
    EXPAND,
    fan_ended,
    open_scope,
    opened,
    scope_ended,
    scope_failed,
    scope_finishing,
)
from ion.core.foreseen import nothing_to_catch
from ion.core.iterations import after_iteration, loop_completed, next_iteration
from ion.core.outcomes import Expanded
from ion.core.requests import APPROVED, FAILED, REJECTED
from ion.core.state import UPSTREAM_FAILED, NodeState, RunState
from ion.core.surroundings import surroundings
from ion.core.values import condition_values, lookup
from ion.core.waits import wait_ended
from ion.errors import ConditionError
from ion.kinds import AGENT_TURNS, KINDS, TURNS
from ion.language.conditions import evaluate, explain
from ion.language.templates import Template
from ion.language.workflow import Activation, Approval, Condition, Loop, LoopGroup, Node, Wait


class StartTurn(Struct, frozen=True, gc=False):
    """Begin a turn: append `event()` and carry it out."""

    node: str
    turn: str
    iteration: int
    attempt: int
    inputs: dict[str, str]
    signaled: bool
    reason: str

    def event(self, at: int) -> e.NodeStarted:
        """The event that says so."""
        return e.NodeStarted(
            at=at,
            node=self.node,
            turn=self.turn,
            attempt=self.attempt,
            iteration=self.iteration,
            inputs=self.inputs,
            signaled=self.signaled,
        )


Decision: TypeAlias = StartTurn | e.Event | None


def decide(template: Template, state: RunState, now: NodeState, inputs: dict[str, str], at: int) -> Decision:
    """What an instance of `template` does next. `inputs` are the fingerprints of what it waited for."""
    node = template.node
    if node.catches and (idle := nothing_to_catch(template, state, now.id, at)) is not None:
        return idle
    if not now.begun:
        refused = (
            _rule(state, now.id, node, at)
            or next((said for one in node.activations if (said := _activation(template, state, now.id, one, at))), None)
            or _when(template, state, now.id, node.when, at)
        )
        if refused is not None:
            return refused
    if isinstance(node.body, Approval) and now.gate is not None:
        return gate_due(node.body, now, now.gate, at)
    if now.wait is not None and isinstance(node.body, Wait):
        ended = wait_ended(template, state, now, now.wait, at)
        if ended is not None or node.body.check is None:
            return ended
    start = _Starter(now.id, now, inputs)
    answer = now.answer
    if isinstance(answer, e.PromptAnswered):
        return start("answer", now.progress.iteration)
    if template.is_composite:
        return _composite(template, state, now, answer, start, at)
    decision = _next_turn(template, now, answer, start, at)
    if isinstance(decision, StartTurn) and decision.turn in AGENT_TURNS:
        around = spent_around(template.all, state, now) if template.all.has_budgets else ""
        if around:
            return e.NodeFailed(at, now.id, e.Failure("budget", f"the budget of '{around}' is spent"))
        return node_spent(node, now, at) or decision
    return decision


def _next_turn(
    template: Template, now: NodeState, answer: e.ApprovalResolved | None, start: _Starter, at: int
) -> Decision:
    node = template.node
    if isinstance(node.body, Loop):
        return _loop(node.body, now, answer, start, at)
    if isinstance(node.body, Wait):
        return start("wait" if now.wait is None else "check")
    if isinstance(node.body, Approval):
        return _approval(template, node.body, now, answer, start, at)
    return start(KINDS[node.kind].turn)


def _composite(
    template: Template,
    state: RunState,
    now: NodeState,
    answer: e.ApprovalResolved | None,
    start: _Starter,
    at: int,
) -> Decision:
    """A node with instances inside of it opens them, or makes one outcome of theirs once they have settled."""
    body = template.node.body
    scope = opened(state, now)
    if template.item is not None:
        if scope is None:
            return start(EXPAND)
        return fan_ended(template, state, now, at) or start(COLLECT)
    if scope is not None:
        if scope.finishing is None:
            error = scope_failed(template, state, now, at)
            finals = template.inside.finals if template.inside is not None and template.calls else ()
            if finals:
                return scope_finishing(template, state, now, error, at)
        else:
            error = scope.finishing.error
            if scope.finishing.status == "cancelled":
                return e.NodeCancelled(at, now.id, scope.finishing.reason)
        if error is not None:
            return failed_or_tried_again(template.node, now, error, at)
        ended = scope_ended(template, state, now, at)
        iterated = isinstance(body, LoopGroup) and isinstance(ended, e.NodeCompleted)
        return start(COLLECT, scope.iteration) if iterated else ended
    if isinstance(body, LoopGroup):
        follows = _loop(body, now, answer, start, at)
        if not isinstance(follows, StartTurn) or follows.turn != "prompt":
            return follows
    if template.calls or now.retry_at is not None:
        return start(EXPAND, now.progress.iterations + 1 if isinstance(body, LoopGroup) else 0)
    return open_scope(template, state, now, Expanded(), start.inputs, at)


class _Starter(Struct, frozen=True, gc=False):
    node: str
    now: NodeState
    inputs: dict[str, str]

    def __call__(self, turn: str, iteration: int = 0, signaled: bool = False) -> StartTurn:
        reason = (
            f"retry {self.now.tries.retries + self.now.tries.reasks}"
            if self.now.retry_at is not None
            else "all it waits for has settled"
        )
        attempt = self.now.tries.attempt + (not TURNS[turn].continues)
        return StartTurn(
            node=self.node,
            turn=turn,
            iteration=iteration,
            attempt=attempt,
            inputs=self.inputs,
            signaled=signaled,
            reason=reason,
        )


def _activation(template: Template, state: RunState, node: str, one: Activation, at: int) -> e.Event | None:
    """An include that brought the node decides as a node would (language.md §13)."""
    return _rule(state, node, one, at) or _when(template, state, node, one.when, at)


def _rule(state: RunState, node: str, one: Node | Activation, at: int) -> e.Event | None:
    """The trigger rule (language.md §3.2)."""
    prefix = node[: node.rfind(".") + 1]
    before = [state.nodes[prefix + other] for other in one.depends_on]
    votes = [other.vote for other in before]
    if not votes or trigger_rule_holds(one.trigger_rule, votes):
        return None
    others = [f"{other.id} {other.status}" for other in before if other.vote != "completed"]
    detail = f"{one.trigger_rule}: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}"
    return e.NodeSkipped(at, node, UPSTREAM_FAILED if "failed" in votes else "trigger_rule", detail)


def trigger_rule_holds(rule: str, votes: list[str]) -> bool:
    """Whether a node whose dependencies vote so runs (the table of language.md §3.2)."""
    completed = votes.count("completed")
    failed = votes.count("failed")
    match rule:
        case "all_success":
            return completed == len(votes)
        case "one_success":
            return completed > 0
        case "none_failed_min_one_success":
            return completed > 0 and failed == 0
        case "all_done":
            return True
    raise ValueError(f"no such trigger rule: {rule}")


def _when(template: Template, state: RunState, node: str, when: Condition | None, at: int) -> e.Event | None:
    if when is None:
        return None
    read = lookup(state, surroundings(state, template, node))
    try:
        if evaluate(when, read):
            return None
        seen = "; ".join(f"{value}" for _, value, result in explain(when, read) if result is False)
    except ConditionError as error:
        hint = error.hint or f"when: {when.text}"
        return e.NodeFailed(at, node, e.Failure("condition", error.message, hint))
    return e.NodeSkipped(at, node, "when", f"{when.text} (was {seen})")


def _approval(
    template: Template,
    approval: Approval,
    now: NodeState,
    answer: e.ApprovalResolved | None,
    start: _Starter,
    at: int,
) -> Decision:
    if answer is None:
        return (
            start("rejection", now.progress.rejections)
            if now.progress.rejections > now.progress.reworked
            else start("gate")
        )
    if answer.decision == FAILED:
        message = f"nobody answered within {approval.timeout_ms} ms"
        return e.NodeFailed(at, now.id, e.Failure("timeout", message, "ion resume asks again"))
    if approval.decisions:
        text = json.dumps(
            {"decision": answer.decision, "text": answer.comment}, ensure_ascii=False, separators=(",", ":")
        )
        return _approved(template, now, text, at)
    if answer.decision != REJECTED:
        if approval.capture_response:
            return _approved(template, now, answer.comment or "Approved", at)
        if now.progress.reply is not None:
            return e.NodeCompleted(at, now.id, replace(now.progress.reply, usage={}))
        return _approved(template, now, "", at)
    if approval.on_reject is None or now.progress.rejections >= approval.on_reject.max_attempts:
        return e.NodeCancelled(at, now.id, "rejected")
    return start("rejection", now.progress.rejections)


def gate_due(approval: Approval, now: NodeState, gate: e.ApprovalRequested, at: int) -> e.Event | None:
    """What an open gate does by itself: nobody answers it in its time, or people are reminded of it."""
    if gate.due_at is not None and at >= gate.due_at:
        named = {"fail": FAILED, "approve": APPROVED, "reject": REJECTED}
        decision = approval.on_timeout if approval.decisions else named[approval.on_timeout]
        return e.GateExpired(at, now.id, gate.request, FAILED if approval.on_timeout == "fail" else decision)
    reminders = sum(one <= at for one in gate.remind_at)
    return e.GateReminded(at, now.id, gate.request, reminders) if reminders > now.reminders else None


def _approved(template: Template, now: NodeState, text: str, at: int) -> e.NodeCompleted:
    output = e.Content(text)
    values = condition_values(template, output, lambda _: text)
    return e.NodeCompleted(at, now.id, e.Reply(output, values))


def _loop(
    loop: Loop | LoopGroup, now: NodeState, answer: e.ApprovalResolved | None, start: _Starter, at: int
) -> Decision:
    done = now.progress.signaled
    if answer is not None and answer.decision == REJECTED:
        return e.NodeCancelled(at, now.id, "rejected")
    if answer is not None:
        follows = loop_completed(now, at) if done and not answer.comment else next_iteration(loop, now, at)
    elif now.progress.judged:
        follows = next_iteration(loop, now, at)
    else:
        follows = after_iteration(loop, now, at, done=done, checked=False)
    if not isinstance(follows, str):
        return follows
    if follows == "prompt":
        return start("prompt", now.progress.iterations + 1)
    return start(follows, now.progress.iterations, done)
