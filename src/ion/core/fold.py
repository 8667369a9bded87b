"""The state of a run as its events make it.

`fold` makes a `RunState`, `apply` advances it by one event (in place, constant time, so that a long run stays linear).
Nothing here knows the workflow; what an event cannot say by itself (which rule, which edge, which loop) is decided in
`plan.py` and `apply_outcome.py` and is in the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import drop, empty
from ion.core.event_facts import asked_by_others, status_after
from ion.core.lanes import RATE, Lane
from ion.core.scopes import ScopeState
from ion.core.spending import SESSION_TOTAL, added, cost_of
from ion.core.state import (
    FIRST_TRY,
    NO_TRIES,
    PENDING,
    Finished,
    NodeState,
    Pending,
    Progress,
    Running,
    RunState,
    Tries,
    Verdict,
    Waiting,
)
from ion.errors import DamagedStoreError
from ion.kinds import KINDS, TURNS

_PROGRESS = frozenset(
    (
        e.NodeCompleted,
        e.NodeFailed,
        e.NodeRetrying,
        e.WaitStarted,
        e.IterationCompleted,
        e.ApprovalRequested,
        e.PromptRequested,
        e.WorkflowFinishing,
        e.WorkflowFailed,
    )
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
    if type(event) in _PROGRESS:
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
    state.over_budget, state.due_at, state.held_by = event.over_budget, event.due_at, event.agents


def _queued(state: RunState, event: e.WorkflowQueued) -> None:
    _disowned(state, event.at)
    state.queued = event


def _budget_raised(state: RunState, event: e.BudgetRaised) -> None:
    state.max_budget_usd = event.max_budget_usd


def _lane_closed(state: RunState, event: e.LaneClosed) -> None:
    state.lanes[event.agent] = Lane(
        until=event.until,
        error=event.error,
        closings=event.closings,
        seq=state.seq + 1,
        delay_ms=max(0, event.until - event.at),
    )


def _lane_opened(state: RunState, event: e.LaneOpened) -> None:
    state.lanes.pop(event.agent, None)


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
        state.cancel, state.error, state.finally_failed = None, None, ()
    state.ended_at, state.over_budget, state.due_at, state.held_by = None, False, None, ()
    state.lanes = {agent: lane.seen_at(event.at) for agent, lane in state.lanes.items()}
    state.owned_since = state.owner_at = event.at
    state.resumes += 1
    state.deaths = state.deaths + 1 if event.owner_died else 0
    other_agent = event.agent not in (None, state.agent)
    if event.agent is not None:
        state.agent = event.agent
    for name in state.finally_nodes:
        _forget(state, state.nodes[name])
    if state.finishing is not None:
        state.finishing_since = event.at
        return
    state.finally_nodes = ()
    for scope in list(state.scopes.values()):
        if scope.is_open and scope.finishing is not None:
            scope.finishing_from = state.owned_ms
            _forget_finally(state, scope)
    for node in _under_way(state):
        if isinstance(node.phase, Running | Waiting):
            _left_behind(node, event, other_agent=other_agent)
        elif isinstance(node.phase, Finished) and event.cause == "resume" and not state.keeps(node):
            _decided_anew(state, node)


def _forget(state: RunState, node: NodeState) -> None:
    """It runs as if it never had, but for what counts."""
    empty(state, node.id)
    state.caught.pop(node.id, None)
    state.nodes[node.id] = NodeState(
        node.id,
        node.kind,
        node.owner,
        attempts=node.attempts,
        starts=node.starts,
        asked=node.asked,
        usage=node.usage,
    )


def _forget_finally(state: RunState, scope: ScopeState) -> None:
    for name in scope.finishing.finally_nodes if scope.finishing is not None else ():
        _forget(state, state.nodes[f"{scope.prefix}{name}"])


def _under_way(state: RunState) -> list[NodeState]:
    """The instances whose outcome still matters: those inside of a composite node do as long as it runs."""
    found: list[NodeState] = []
    open_scopes = {""}
    for node in state.nodes.values():
        if node.owner in open_scopes and (not node.owner or node.id in state.scopes[node.owner].members):
            found.append(node)
            scope = state.scopes.get(node.id)
            if scope is not None and scope.is_open and scope.finishing is None:
                open_scopes.add(node.id)
    return found


def _left_behind(node: NodeState, event: e.WorkflowResumed, *, other_agent: bool) -> None:
    """Of a node that ran, or waited."""
    phase = node.phase
    if isinstance(phase, Running) and phase.turn is not None:
        if phase.requests and not other_agent:
            node.phase = Waiting(phase.requests)
        else:
            _cut_off(node)
    elif isinstance(phase, Waiting):
        if phase.until is not None and phase.error is not None:  # by another clock, which may be ahead of this one
            node.phase = replace(phase, until=min(phase.until, event.at + phase.delay_ms))
        elif (event.agent is not None and node.prompt is not None) or (other_agent and node.permissions):
            _cut_off(node)


def _decided_anew(state: RunState, node: NodeState) -> None:
    error = node.error
    _decide_anew(node, error)
    if error is not None and error.code == "max_iterations":
        empty(state, node.id)


def _cut_off(node: NodeState) -> None:
    """It is decided anew whether it runs. An answer that came belongs to the attempt that asked. What was put together
    of its instances will be again, once they have settled."""
    turn = TURNS[node.turn] if node.turn is not None else None
    if turn is not None and turn.of_instances and turn.is_work:
        node.phase = Running()
        return
    answer = node.answer if isinstance(node.answer, e.PromptAnswered) else None
    node.phase = Pending(answer=answer)
    node.tries = Tries(attempt=node.tries.attempt if answer is not None else 0, verdicts=node.tries.verdicts)


def _decide_anew(node: NodeState, error: e.Failure | None) -> None:
    if error is not None and error.code == "max_iterations":
        node.progress = Progress()
    if error is not None and error.code == "budget":
        node.progress.spent_usd = 0
    if node.reason == "rejected":  # it is asked again
        node.progress.rejections = node.progress.reworked
    node.phase, node.started_at, node.owned_from, node.timed_from, node.wait = PENDING, None, None, None, None


def _finishing(state: RunState, event: e.WorkflowFinishing) -> None:
    _close_questions(state)
    state.finishing, state.finishing_since = event, event.at
    state.finally_nodes = tuple(state.nodes[name].id for name in event.finally_nodes)


def _ended(state: RunState, event: e.WorkflowCompleted | e.WorkflowFailed | e.WorkflowCancelled) -> None:
    _disowned(state, event.at)
    state.ended_at, state.over_budget = event.at, False
    state.finishing, state.finally_failed, state.cut_short = None, event.finally_failed, False
    _close_questions(state)


def _close_questions(state: RunState) -> None:
    """The end closes every open question; a resume asks it anew."""
    for node in state.nodes.values():
        if node.requests:
            _cut_off(node)


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
    if state.cancel is None and state.finishing is None:
        state.cancel = event
    elif event.cause == "person" and (
        state.cancel is None or state.finishing is not None or state.cancel.cause == "person"
    ):
        state.cut_short = True


def _node_started(state: RunState, event: e.NodeStarted) -> None:
    node, turn = state.nodes[event.node], TURNS[event.turn]
    answer = node.answer if turn.continues and isinstance(node.answer, e.PromptAnswered) else None
    node.phase = Running(event.turn, answer=answer, since=state.seq)
    node.inputs = event.inputs
    node.starts += 1
    if node.tries is NO_TRIES and event.attempt == 1:
        node.tries = FIRST_TRY
    else:
        node.tries = replace(node.tries, attempt=event.attempt)
    progress = node.progress
    progress.iteration, progress.signaled = event.iteration, event.signaled
    if node.owned_from is None:
        node.started_at, node.owned_from = event.at, state.owned(event.at)
    if turn.brings == "question":
        progress.reworked = progress.rejections
    if turn.is_work:
        node.attempts += not (turn.continues or turn.of_instances)
        progress.judged = True
    if event.reply is not None:
        _reply(state, node, event.reply)


def _reply(state: RunState, node: NodeState, reply: e.Reply) -> None:
    node.progress.reply = reply
    _spend(state, node, reply.usage)


def _between(node: NodeState, phase: Running | Waiting) -> None:
    """The turn is over, and the node is not."""
    node.phase, node.tries = phase, NO_TRIES


def _finished(
    state: RunState,
    event: e.NodeEvent,
    status: str,
    *,
    reason: str | None = None,
    detail: str = "",
    error: e.Failure | None = None,
    allowed: bool = False,
) -> NodeState:
    node = state.nodes[event.node]
    took_ms = None if node.owned_from is None else state.owned(event.at) - node.owned_from
    node.phase, node.tries = Finished(status, event.at, took_ms, reason, detail, error, allowed), NO_TRIES
    node.wait = None
    _close(state, node)
    return node


def _close(state: RunState, node: NodeState) -> None:
    """What is inside of it has been taken in."""
    scope = state.scopes.get(node.id)
    if scope is not None:
        scope.is_open = False


def _node_completed(state: RunState, event: e.NodeCompleted) -> None:
    _reply(state, _finished(state, event, "completed"), event.reply)
    for address in event.caught:
        state.caught[state.nodes[address].id] = event.node
    if event.signal is not None:
        state.signals.pop(event.signal, None)


def _node_failed(state: RunState, event: e.NodeFailed) -> None:
    node = _finished(state, event, "failed", error=event.error, allowed=event.reply is not None)
    if event.reply is not None:
        node.progress.reply = event.reply
    _spend(state, node, event.usage)


def _node_skipped(state: RunState, event: e.NodeSkipped) -> None:
    if state.nodes[event.node].live:  # its timeout skipped it
        state.deaths = 0
    _finished(state, event, "skipped", reason=event.reason, detail=event.detail)


def _node_cancelled(state: RunState, event: e.NodeCancelled) -> None:
    _finished(state, event, "cancelled", reason=event.reason)


def _node_retrying(state: RunState, event: e.NodeRetrying) -> None:
    node = state.nodes[event.node]
    if event.agent is not None:
        _held(state, node, event)
        return
    node.phase = Waiting(node.requests, event.due_at, event.due_at - event.at, event.error)
    tries, counts = node.tries, event.error.code != e.PERMISSION and not event.reask
    node.tries = replace(
        tries, reask=event.reask, reasks=tries.reasks + bool(event.reask), retries=tries.retries + counts
    )
    node.timed_from = None
    _close(state, node)
    _spend(state, node, event.usage)


def _held(state: RunState, node: NodeState, event: e.NodeRetrying) -> None:
    node.phase = Waiting(node.requests, error=event.error, agent=event.agent)
    rested = event.due_at - event.at if event.error.code == RATE else 0
    tries = node.tries
    node.tries = replace(tries, attempt=tries.attempt - 1, rested_ms=tries.rested_ms + max(0, rested))
    node.attempts -= 1
    _spend(state, node, event.usage)


def _wait_started(state: RunState, event: e.WaitStarted) -> None:
    node = state.nodes[event.node]
    _between(node, Waiting(until=event.due_at))
    if event.kind == e.CHECK:
        node.phase = Pending(begun=True)
    node.wait = event


def _signal_received(state: RunState, event: e.SignalReceived) -> None:
    if event.id not in state.deliveries:
        state.deliveries.add(event.id)
        state.signals[event.id] = event


def _node_invalidated(state: RunState, event: e.NodeInvalidated) -> None:
    node = state.nodes[event.node]
    node.progress, node.tries = Progress(), NO_TRIES
    state.caught = {failed: by for failed, by in state.caught.items() if node.id not in (failed, by)}
    _decide_anew(node, None)
    if event.reason != "inside":
        _begin_anew(state, node, keep_items=event.reason == "dependency")
    elif node.id in state.scopes:
        state.scopes[node.id].is_open = False


def _begin_anew(state: RunState, node: NodeState, *, keep_items: bool) -> None:
    """What is inside of it is forgotten. A fan-out knows its items again: they keep their numbers, and with
    `keep_items` their instances, until it is known which of them it still has."""
    scope = state.scopes.get(node.id)
    if scope is None:
        return
    if scope.items is None:
        empty(state, node.id)
        return
    scope.is_open = False
    if not keep_items:
        for member in scope.members:
            drop(state, member)
        scope.members = {}


def _scope_opened(state: RunState, event: e.ScopeOpened) -> None:
    """Instances that have completed stay, those of items that are gone are forgotten, all others are decided anew."""
    node = state.nodes[event.node]
    before = state.scopes.get(node.id)
    if before is not None and event.iteration < before.iteration:
        empty(state, node.id)
        before = None
    scope = ScopeState(node.id, {}, event.iteration, event.items, event.given, event.read)
    if event.items is not None:
        members = [(f"{scope.prefix}{number}", node.kind) for number in event.numbers]
        state.numbers.setdefault(node.id, {}).update(zip(event.keys, event.numbers, strict=True))
    else:
        members = [(f"{scope.prefix}{name}", kind) for name, kind in event.nodes]
    scope.members = {address: place for place, (address, _) in enumerate(members)}
    if before is not None and before.iteration == event.iteration:
        for address in before.members.keys() - scope.members.keys():
            drop(state, address)
        _forget_finally(state, before)
    for address, kind in members:
        found = state.nodes.get(address)
        if found is None:
            starts, asked = state.forgotten.pop(address, (0, 0))
            state.nodes[address] = NodeState(address, kind, node.id, starts=starts, asked=asked)
        elif not state.keeps(found) or KINDS[kind].ends_run:
            found.tries = NO_TRIES
            _decided_anew(state, found)
    state.scopes[node.id] = scope
    node.phase, node.inputs, node.tries = Running(), event.inputs, replace(node.tries, attempt=0)
    node.progress.iteration, node.progress.judged = event.iteration, True
    owned = state.owned(event.at)
    if node.owned_from is None:
        node.started_at, node.owned_from = event.at, owned
    if node.timed_from is None:
        node.timed_from = owned


def _scope_finishing(state: RunState, event: e.ScopeFinishing) -> None:
    scope = state.scopes[state.nodes[event.node].id]
    scope.finishing, scope.finishing_from = event, state.owned(event.at)


def _iteration_completed(state: RunState, event: e.IterationCompleted) -> None:
    node = state.nodes[event.node]
    _between(node, Running())
    progress = node.progress
    progress.iterations = progress.iteration = event.iteration
    progress.previous_output = node.last_output
    progress.signaled, progress.judged = event.signaled, False
    _reply(state, node, event.reply)
    _close(state, node)


def _iteration_judged(state: RunState, event: e.IterationJudged) -> None:
    node = state.nodes[event.node]
    _between(node, Running())
    node.progress.judged = True


def _approval_requested(state: RunState, event: e.ApprovalRequested) -> None:
    node = state.nodes[event.node]
    if event.kind == e.PERMISSION:
        _permission_requested(state, node, event)
        return
    _between(node, Waiting({event.request: event}))
    node.asked += 1
    node.reminders, node.expired = 0, False


def _permission_requested(state: RunState, node: NodeState, event: e.ApprovalRequested) -> None:
    node.asked += event.request not in node.requests
    requests = {**node.requests, event.request: event}
    if event.held and isinstance(node.phase, Running | Waiting):
        node.phase = replace(node.phase, requests=requests)
    else:
        node.phase = Waiting(requests)
    _spend(state, node, event.usage)


def _approval_resolved(state: RunState, event: e.ApprovalResolved) -> None:
    node = state.nodes[event.node]
    request = node.requests.get(event.request)
    if not isinstance(request, e.ApprovalRequested):
        return
    if request.kind == e.PERMISSION:
        _permission_resolved(node, request, event.decision)
        return
    node.phase = Pending(begun=True, answer=event)
    node.progress.signaled = request.signaled
    if event.decision == "rejected":
        node.progress.rejections += 1
        node.progress.rejection_reason = event.comment
    elif KINDS[node.kind].iterates:
        node.progress.user_input = event.comment


def _gate_reminded(state: RunState, event: e.GateReminded) -> None:
    state.nodes[event.node].reminders = event.reminders


def _gate_expired(state: RunState, event: e.GateExpired) -> None:
    _approval_resolved(state, e.ApprovalResolved(event.at, event.node, event.request, event.decision))
    state.nodes[event.node].expired = True


def _permission_resolved(node: NodeState, request: e.ApprovalRequested, decision: str) -> None:
    """The turn starts again once all that it asked for has come, if it was ended to wait for that."""
    kind = dict(zip(request.decisions, request.kinds, strict=False)).get(decision, "")
    verdicts = {**node.tries.verdicts, request.key: Verdict(decision, kind)}
    node.tries = replace(node.tries, verdicts=verdicts)
    left = {name: one for name, one in node.requests.items() if name != request.request}
    if isinstance(node.phase, Waiting) and not left and node.phase.until is None and not node.held_by:
        node.phase = Pending(begun=True)
    elif isinstance(node.phase, Running | Waiting):
        node.phase = replace(node.phase, requests=left)


def _prompt_requested(state: RunState, event: e.PromptRequested) -> None:
    node = state.nodes[event.node]
    node.phase, node.tries = Waiting({event.request: event}), replace(node.tries, verdicts={})
    node.asked += 1


def _prompt_answered(state: RunState, event: e.PromptAnswered) -> None:
    node = state.nodes[event.node]
    if isinstance(node.requests.get(event.request), e.PromptRequested):
        node.phase = Pending(begun=True, answer=event)


def _spend(state: RunState, node: NodeState, usage: dict[str, Any]) -> None:
    if usage:
        total = usage.get(SESSION_TOTAL)
        if isinstance(total, dict):
            state.session_totals[str(total.get("session"))] = total
        node.usage = added(node.usage, usage)
        cost = cost_of(usage)
        state.spent_usd += cost
        while cost:
            node.progress.spent_usd += cost
            if not node.owner:
                break
            node = state.nodes[node.owner]


_APPLY: dict[type[e.Event], Callable[[RunState, Any], None]] = {
    e.WorkflowStarted: _started,
    e.WorkflowPaused: _paused,
    e.WorkflowQueued: _queued,
    e.WorkflowResumed: _resumed,
    e.WorkflowFinishing: _finishing,
    e.WorkflowCompleted: _completed,
    e.WorkflowFailed: _failed,
    e.WorkflowCancelled: _cancelled,
    e.CancelRequested: _cancel_requested,
    e.BudgetRaised: _budget_raised,
    e.LaneClosed: _lane_closed,
    e.LaneOpened: _lane_opened,
    e.WorkflowPlaced: _placed,
    e.NodeStarted: _node_started,
    e.NodeCompleted: _node_completed,
    e.NodeFailed: _node_failed,
    e.NodeSkipped: _node_skipped,
    e.NodeCancelled: _node_cancelled,
    e.NodeRetrying: _node_retrying,
    e.WaitStarted: _wait_started,
    e.SignalReceived: _signal_received,
    e.NodeInvalidated: _node_invalidated,
    e.ScopeOpened: _scope_opened,
    e.ScopeFinishing: _scope_finishing,
    e.IterationCompleted: _iteration_completed,
    e.IterationJudged: _iteration_judged,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalResolved: _approval_resolved,
    e.GateReminded: _gate_reminded,
    e.GateExpired: _gate_expired,
    e.PromptRequested: _prompt_requested,
    e.PromptAnswered: _prompt_answered,
}
