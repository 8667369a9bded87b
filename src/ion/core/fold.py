"""The state of a run as its events make it.

`fold` makes a `RunState`, `apply` advances it by one event (in place, constant time, so that a long run stays linear).
Nothing here knows the workflow; what an event cannot say by itself (which rule, which edge, which loop) is decided in
`plan.py` and `apply_outcome.py` and is in the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ion.core import events as e
from ion.core.event_facts import asked_by_others, status_after
from ion.core.gates import PERMISSION, Gate, gate_of, verdict_on
from ion.core.spending import added, cost_of
from ion.core.state import NodeState, RunState
from ion.errors import DamagedStoreError
from ion.kinds import KINDS, TURNS
from ion.records import nothing

_PROGRESS = (
    e.NodeCompleted,
    e.NodeFailed,
    e.NodeRetrying,
    e.IterationCompleted,
    e.ApprovalRequested,
    e.PromptRequested,
    e.WorkflowFailed,
)


def fold(events: Iterable[e.Event]) -> RunState:
    """The state after these events, in their order."""
    state = RunState()
    for event in events:
        apply(state, event)
    return state


def apply(state: RunState, event: e.Event) -> None:
    """Advance `state` by one event, in place. Raises `DamagedStoreError` for an event that this run cannot have."""
    try:
        _APPLY[type(event)](state, event)
    except KeyError as error:
        raise DamagedStoreError(
            f"the log holds a {event.type} event of {error}, which is not a node of the run",
            hint="restore the run from a backup",
        ) from error
    state.seq += 1
    status = status_after(event)
    if status is not None:
        state.status = status
    if isinstance(event, _PROGRESS):
        state.deaths = 0
    if event.at > state.last_at:
        state.last_at = event.at
    if event.at > state.owner_at and not asked_by_others(event):
        state.owner_at = event.at


def _started(state: RunState, event: e.WorkflowStarted) -> None:
    state.started = event
    state.agent = event.agent
    state.max_budget_usd = event.max_budget_usd
    state.started_at = state.owned_since = event.at
    state.nodes = {node: NodeState(node, kind) for node, kind in event.nodes}


def _disowned(state: RunState, at: int) -> None:
    state.owned_ms, state.owned_since = state.owned(at), None


def _paused(state: RunState, event: e.WorkflowPaused) -> None:
    _disowned(state, event.at)
    state.over_budget = event.over_budget


def _budget_raised(state: RunState, event: e.BudgetRaised) -> None:
    state.max_budget_usd = event.max_budget_usd


def _placed(state: RunState, event: e.WorkflowPlaced) -> None:
    state.worker = event.worker


def _resumed(state: RunState, event: e.WorkflowResumed) -> None:
    """What the dead or absent owner left: running turns are cut off; on a real resume all nodes but the completed
    and waiting ones are decided anew, loops keeping their finished iterations. A run whose time was over has all of
    it again."""
    _disowned(state, max(state.owner_at, event.owned_until or 0))
    if state.status == "failed":
        if state.error is not None and state.error.code == "timeout":
            state.timed_from = state.owned_ms
        state.cancel, state.error = None, None
    state.ended_at, state.over_budget = None, False
    state.owned_since = state.owner_at = event.at
    state.resumes += 1
    state.deaths = state.deaths + 1 if event.owner_died else 0
    other_agent = event.agent not in (None, state.agent)
    if event.agent is not None:
        state.agent = event.agent
    for node in state.nodes.values():
        if node.turn is not None:
            if node.permissions and not other_agent:
                _await_permission(node)
            else:
                _cut_off(node)
        if event.cause == "resume" and node.status in ("failed", "skipped", "cancelled"):
            _decide_anew(node)
        elif (event.agent is not None and node.prompt is not None) or (other_agent and node.unpermitted):
            _cut_off(node)
        if node.retry_at is not None:  # by another clock, which may be ahead of this one
            node.retry_at = min(node.retry_at, event.at + node.retry_ms)


def _cut_off(node: NodeState) -> None:
    node.status, node.begun, node.turn, node.prompt = "pending", False, None, None
    node.retries = node.reasks = 0
    if node.answer is None:  # one that came belongs to the attempt that asked
        node.attempt = 0
    node.reask = ()
    node.permissions, node.cleared = nothing(), False


def _await_permission(node: NodeState) -> None:
    """The turn is over, and starts again when its permissions are answered."""
    node.status, node.turn = "waiting", None


def _decide_anew(node: NodeState) -> None:
    if node.error is not None and node.error.code == "max_iterations":
        _forget_progress(node)
    if node.error is not None and node.error.code == "budget":
        node.spent_usd = 0
    _cut_off(node)
    node.reason, node.detail, node.error = None, "", None
    node.started_at = node.ended_at = node.owned_from = node.took_ms = None


def _forget_progress(node: NodeState) -> None:
    node.iterations, node.iteration, node.judged, node.spent_usd = 0, 0, True, 0
    node.reply = node.previous_output = None
    node.rejections = node.reworked = 0
    node.rejection_reason = node.user_input = ""


def _ended(state: RunState, event: e.Event) -> None:
    """The end closes every open question; a resume asks it anew."""
    _disowned(state, event.at)
    state.ended_at, state.over_budget = event.at, False
    for node in state.nodes.values():
        if node.gate is not None or node.prompt is not None or node.permissions:
            _cut_off(node)
            node.gate = None


def _completed(state: RunState, event: e.WorkflowCompleted) -> None:
    _ended(state, event)
    state.output_node = None if event.output_node is None else state.nodes[event.output_node].id


def _failed(state: RunState, event: e.WorkflowFailed) -> None:
    _ended(state, event)
    state.error = event.error


def _cancelled(state: RunState, event: e.WorkflowCancelled) -> None:
    _ended(state, event)
    state.reason = event.reason


def _cancel_requested(state: RunState, event: e.CancelRequested) -> None:
    if state.cancel is None:
        state.cancel = event


def _node_started(state: RunState, event: e.NodeStarted) -> None:
    node = state.nodes[event.node]
    node.status, node.begun, node.turn = "running", True, event.turn
    node.attempt, node.iteration, node.signaled = event.attempt, event.iteration, event.signaled
    node.inputs = event.inputs
    node.starts += 1
    node.retry_at = node.prompt = node.gate = None
    node.permissions, node.cleared = nothing(), False
    node.ended_at = node.took_ms = None
    turn = TURNS[event.turn]
    if not turn.continues:
        node.answer = None
    if node.owned_from is None:
        node.started_at, node.owned_from = event.at, state.owned(event.at)
    if turn.brings == "question":
        node.reworked = node.rejections
    if turn.is_work:
        node.attempts += not turn.continues
        node.resolved = None
        node.judged = True
    if event.reply is not None:
        _reply(state, node, event.reply)


def _reply(state: RunState, node: NodeState, reply: e.Reply) -> None:
    node.reply = reply
    _spend(state, node, reply.usage)


def _turn_over(node: NodeState) -> None:
    node.turn = node.answer = None
    node.attempt = node.retries = node.reasks = 0
    node.reask = ()
    node.permissions, node.verdicts, node.cleared = nothing(), nothing(), False


def _settled(state: RunState, node: NodeState, status: str, at: int) -> None:
    _turn_over(node)
    node.status, node.ended_at = status, at
    if node.owned_from is not None:
        node.took_ms = state.owned(at) - node.owned_from
    node.gate = node.prompt = node.resolved = node.retry_at = None


def _node_completed(state: RunState, event: e.NodeCompleted) -> None:
    node = state.nodes[event.node]
    _settled(state, node, "completed", event.at)
    node.error = None
    _reply(state, node, event.reply)


def _node_failed(state: RunState, event: e.NodeFailed) -> None:
    node = state.nodes[event.node]
    _settled(state, node, "failed", event.at)
    node.error = event.error
    _spend(state, node, event.usage)


def _node_skipped(state: RunState, event: e.NodeSkipped) -> None:
    node = state.nodes[event.node]
    if node.live:  # its timeout skipped it
        state.deaths = 0
    _settled(state, node, "skipped", event.at)
    node.reason, node.detail = event.reason, event.detail


def _node_cancelled(state: RunState, event: e.NodeCancelled) -> None:
    node = state.nodes[event.node]
    _settled(state, node, "cancelled", event.at)
    node.reason = event.reason


def _node_retrying(state: RunState, event: e.NodeRetrying) -> None:
    node = state.nodes[event.node]
    node.status, node.retry_at, node.error = "waiting", event.due_at, event.error
    node.retry_ms = event.due_at - event.at
    node.turn = node.answer = None
    node.reask = event.reask
    if event.reask:
        node.reasks += 1
    elif event.error.code != PERMISSION:
        node.retries += 1
    _spend(state, node, event.usage)


def _node_invalidated(state: RunState, event: e.NodeInvalidated) -> None:
    node = state.nodes[event.node]
    _forget_progress(node)
    _decide_anew(node)


def _iteration_completed(state: RunState, event: e.IterationCompleted) -> None:
    node = state.nodes[event.node]
    _turn_over(node)
    node.iterations = node.iteration = event.iteration
    node.previous_output = node.reply.output if node.reply is not None else None
    node.signaled, node.judged = event.signaled, False
    _reply(state, node, event.reply)


def _iteration_judged(state: RunState, event: e.IterationJudged) -> None:
    node = state.nodes[event.node]
    _turn_over(node)
    node.judged = True


def _approval_requested(state: RunState, event: e.ApprovalRequested) -> None:
    node = state.nodes[event.node]
    if event.kind == PERMISSION:
        _permission_requested(state, node, event)
        return
    _turn_over(node)
    node.status = "waiting"
    node.requests += 1
    node.gate = gate_of(event)


def _permission_requested(state: RunState, node: NodeState, event: e.ApprovalRequested) -> None:
    if event.request not in node.permissions:
        node.requests += 1
    node.permissions = {**node.permissions, event.request: gate_of(event)}
    if not event.held:
        _await_permission(node)
    _spend(state, node, event.usage)


def _permission_resolved(node: NodeState, gate: Gate, decision: str) -> None:
    node.verdicts = {**node.verdicts, gate.key: verdict_on(gate, decision)}
    if not node.permissions and node.status == "waiting" and node.retry_at is None:
        node.status, node.cleared = "pending", True


def _approval_resolved(state: RunState, event: e.ApprovalResolved) -> None:
    node = state.nodes[event.node]
    permission = node.permissions.get(event.request)
    if permission is not None:
        node.permissions = {name: gate for name, gate in node.permissions.items() if name != event.request}
        _permission_resolved(node, permission, event.decision)
        return
    if node.gate is None or node.gate.request != event.request:
        return
    node.signaled = node.gate.signaled
    node.status, node.gate, node.resolved = "pending", None, event
    if event.decision == "rejected":
        node.rejections += 1
        node.rejection_reason = event.comment
    elif KINDS[node.kind].iterates:
        node.user_input = event.comment


def _prompt_requested(state: RunState, event: e.PromptRequested) -> None:
    node = state.nodes[event.node]
    attempt, retries, reasks, reask = node.attempt, node.retries, node.reasks, node.reask
    _turn_over(node)
    node.attempt, node.retries, node.reasks, node.reask = attempt, retries, reasks, reask
    node.status, node.prompt = "waiting", event
    node.requests += 1


def _prompt_answered(state: RunState, event: e.PromptAnswered) -> None:
    node = state.nodes[event.node]
    if node.prompt is None or node.prompt.request != event.request:
        return
    node.status, node.answer, node.prompt = "pending", event, None


def _spend(state: RunState, node: NodeState, usage: dict[str, Any]) -> None:
    if usage:
        node.usage = added(node.usage, usage)
        cost = cost_of(usage)
        node.spent_usd += cost
        state.spent_usd += cost


_APPLY: dict[type[e.Event], Callable[[RunState, Any], None]] = {
    e.WorkflowStarted: _started,
    e.WorkflowPaused: _paused,
    e.WorkflowResumed: _resumed,
    e.WorkflowCompleted: _completed,
    e.WorkflowFailed: _failed,
    e.WorkflowCancelled: _cancelled,
    e.CancelRequested: _cancel_requested,
    e.BudgetRaised: _budget_raised,
    e.WorkflowPlaced: _placed,
    e.NodeStarted: _node_started,
    e.NodeCompleted: _node_completed,
    e.NodeFailed: _node_failed,
    e.NodeSkipped: _node_skipped,
    e.NodeCancelled: _node_cancelled,
    e.NodeRetrying: _node_retrying,
    e.NodeInvalidated: _node_invalidated,
    e.IterationCompleted: _iteration_completed,
    e.IterationJudged: _iteration_judged,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalResolved: _approval_resolved,
    e.PromptRequested: _prompt_requested,
    e.PromptAnswered: _prompt_answered,
}
