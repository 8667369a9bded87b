"""What the outcome of one turn means: the events that record it.

Retries, re-asks, the turns of a loop and the questions of a gate are decided here, from the workflow, the state and the
outcome. Times and the random part of a delay are parameters.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from ion.core import events as e
from ion.core.composites import open_scope
from ion.core.events import PERMISSION
from ion.core.iterations import after_iteration
from ion.core.lanes import QUOTA, RATE, Lane, closing, counts_as_attempt
from ion.core.outcomes import (
    Completed,
    Expanded,
    Failed,
    GateOpened,
    Judged,
    Outcome,
    PromptOpened,
    Question,
    Stopped,
    Unpermitted,
    WaitOpened,
)
from ion.core.state import NodeState, Running, RunState
from ion.core.waits import next_check, wait_begun
from ion.kinds import AGENT_TURNS, KINDS, TURNS
from ion.language.templates import Template, templates_of
from ion.language.workflow import Approval, Loop, LoopGroup, Node, Retry, Wait, Workflow

# language.md §9. Classes come from the adapter or the exit, never from words in a message.
TRANSIENT_CODES = frozenset({"rate_limited", "timeout", "crashed"})
FATAL_CODES = frozenset(
    {
        "not_logged_in",
        "not_found",
        "refused",
        "cancelled",
        "reference",
        "condition",
        "missing-runtime",
        "max_iterations",
        "budget",
    }
)
# What the check of a wait may end with and be tried again.
_NOT_PASSED = frozenset({"exit-status", "timeout", "signal", "spawn"})
DEFAULT_AGENT_RETRY = Retry(max_attempts=2)
MAX_REASKS = 2


def retry_class(code: str) -> str:
    """`transient`, `fatal` or `other` (tried again only with `on_error: all`)."""
    if code in TRANSIENT_CODES:
        return "transient"
    return "fatal" if code in FATAL_CODES else "other"


def apply_outcome(
    workflow: Workflow, state: RunState, node_id: str, outcome: Outcome, at: int, jitter: float, agent: str = ""
) -> list[e.Event]:
    """The events for the end of this node's present turn. `jitter` is from [0, 1); `agent` is the turn's, if it has
    one."""
    template, now = templates_of(workflow)[node_id], state.nodes[node_id]
    lane = state.lanes.get(agent)
    if agent and isinstance(outcome, Failed) and outcome.error.code in (QUOTA, RATE):
        return _limited(template.node, now, lane, agent, outcome, at, jitter)
    answers = not isinstance(outcome, Failed | Stopped) or bool(isinstance(outcome, Failed) and outcome.reask)
    again = lane is not None and answers and _since(now) >= lane.seq
    return [
        *([e.LaneOpened(at, agent)] if again else ()),
        *_events(template, state, now, outcome, at, jitter),
    ]


def _since(now: NodeState) -> int:
    return now.phase.since if isinstance(now.phase, Running) else 0


def _limited(
    node: Node, now: NodeState, lane: Lane | None, agent: str, outcome: Failed, at: int, jitter: float
) -> list[e.Event]:
    """An agent has met a limit: its lane is closed, and the turn begins again once it is open."""
    closed = closing(lane, agent, outcome.error, _since(now), at)
    met = closed or lane
    assert met is not None
    if counts_as_attempt(met, outcome.error, now.tries.rested_ms, at):
        follows = _failed(node, now, outcome, at, jitter)
    else:
        follows = e.NodeRetrying(at, now.id, outcome.error, max(at, met.until), usage=outcome.usage, agent=agent)
    return [*([] if closed is None else [closed]), follows]


def _events(
    template: Template, state: RunState, now: NodeState, outcome: Outcome, at: int, jitter: float
) -> list[e.Event]:
    node = template.node
    match outcome:
        case Completed():
            return _completed(template, state, now, outcome, at)
        case Failed():
            return [_failed(node, now, outcome, at, jitter)]
        case WaitOpened(until):
            assert isinstance(node.body, Wait)
            return [wait_begun(now, node.body, until, at)]
        case Expanded():
            return [open_scope(template, state, now, outcome, now.inputs, at)]
        case Judged(done):
            return _judged(node, now, done, at)
        case GateOpened(message):
            return [_gate(node, now, message, at)]
        case PromptOpened():
            return [_open_prompt(now, outcome, at)]
        case Unpermitted():
            return _unpermitted(now, outcome, at)
        case Stopped(reason):
            return [e.NodeCancelled(at, now.id, reason)]


def _completed(template: Template, state: RunState, now: NodeState, outcome: Completed, at: int) -> list[e.Event]:
    node, done = template.node, outcome.signaled
    if template.item is not None:
        return [e.NodeCompleted(at, now.id, outcome.reply)]
    if isinstance(node.body, Approval):
        rework = replace(outcome.reply, session=None, agent=None, repaired=False, notes=())  # it has no part in these
        return [e.NodeStarted(at, now.id, "gate", inputs=now.inputs, reply=rework)]
    if isinstance(node.body, LoopGroup):
        done = iteration_done(node.body, state, now, signaled=done)
    if isinstance(node.body, Loop | LoopGroup):
        return [e.IterationCompleted(at, now.id, now.progress.iteration, outcome.reply, done)]
    return [e.NodeCompleted(at, now.id, outcome.reply)]


def iteration_done(loop: LoopGroup, state: RunState, now: NodeState, *, signaled: bool) -> bool:
    """Whether an iteration, apart from its check, says that it is the last."""
    ends = [signaled] if loop.until is not None else []
    if loop.until_node is not None:
        ends.append(state.nodes[f"{state.scopes[now.id].prefix}{loop.until_node}"].status == "completed")
    return all(ends) if ends and loop.until_all else any(ends)


def _failed(node: Node, now: NodeState, outcome: Failed, at: int, jitter: float) -> e.Event:
    if now.wait is not None and isinstance(node.body, Wait) and outcome.error.code in _NOT_PASSED:
        return next_check(now.wait, node.body.every_ms, outcome.error, at)
    if outcome.reask and now.tries.reasks < MAX_REASKS:
        return e.NodeRetrying(at, now.id, outcome.error, at, outcome.reask, outcome.usage)
    retry = _policy(node, now.turn)
    if (
        not (outcome.reask or (outcome.error.code == "bad_output" and KINDS[node.kind].runs_program))
        and retry is not None
        and _may_help(retry, outcome.error)
        and now.tries.retries < retry.max_attempts
    ):
        delay = _delay(retry, now)
        return e.NodeRetrying(at, now.id, outcome.error, at + delay + int(delay * jitter / 4), usage=outcome.usage)
    if node.on_timeout == "skip" and outcome.error.code == "timeout":
        return e.NodeSkipped(at, now.id, "timeout", outcome.error.message)
    return e.NodeFailed(at, now.id, outcome.error, outcome.usage, outcome.reply)


def failed_or_tried_again(node: Node, now: NodeState, error: e.Failure, at: int) -> e.Event:
    """What the failure of something inside of a composite node is to it: it begins again at what failed, or fails."""
    retry = node.retry
    if retry is None or not _may_help(retry, error) or now.tries.retries >= retry.max_attempts:
        return e.NodeFailed(at, now.id, error)
    return e.NodeRetrying(at, now.id, error, at + _delay(retry, now))


def _delay(retry: Retry, now: NodeState) -> int:
    factor = 1 if retry.backoff == "fixed" else 2**now.tries.retries
    return min(retry.delay_ms * factor, retry.max_delay_ms)


def _policy(node: Node, turn: str | None) -> Retry | None:
    if turn is not None and TURNS[turn].of_instances:
        return None
    if node.retry is not None:
        return node.retry
    return DEFAULT_AGENT_RETRY if turn in AGENT_TURNS else None


def next_try(node: Node | None, now: NodeState) -> tuple[int, int]:
    """For a node that waits for its next try: which retry comes, or which reply if it is asked again, and of how
    many. `node` None: its workflow cannot be read."""
    if now.tries.reask:
        return now.tries.reasks + 1, MAX_REASKS + 1
    retry = node.retry if node is not None and node.retry is not None else DEFAULT_AGENT_RETRY
    return now.tries.retries, retry.max_attempts


def _may_help(retry: Retry, error: e.Failure) -> bool:
    if error.exit_status is not None and error.exit_status in (*retry.never_on_exit_status, *retry.on_exit_status):
        return error.exit_status not in retry.never_on_exit_status
    kind = retry_class(error.code)
    return kind == "transient" or (kind == "other" and retry.on_error == "all")


def _judged(node: Node, now: NodeState, done: bool, at: int) -> list[e.Event]:
    """`until_bash` has spoken."""
    if not isinstance(node.body, Loop | LoopGroup):
        raise TypeError(f"{node.id} is not a loop")
    follows = after_iteration(node.body, now, at, done=done, checked=True)
    if follows == "gate":
        return [e.NodeStarted(at, now.id, "gate", iteration=now.progress.iteration, inputs=now.inputs, signaled=done)]
    return [e.IterationJudged(at, now.id, now.progress.iterations) if isinstance(follows, str) else follows]


def _gate(node: Node, now: NodeState, message: str, at: int) -> e.Event:
    request = f"{now.id}.{now.asked + 1}"
    if isinstance(node.body, Loop | LoopGroup):
        return e.ApprovalRequested(
            at,
            now.id,
            request,
            message,
            kind="iteration",
            iteration=now.progress.iteration,
            signaled=now.progress.signaled,
            last=now.progress.iteration >= node.body.max_iterations,
        )
    assert isinstance(node.body, Approval)
    timeout = node.body.timeout_ms
    return e.ApprovalRequested(
        at,
        now.id,
        request,
        message,
        decisions=tuple(decision.id for decision in node.body.decisions),
        due_at=None if timeout is None else at + timeout,
        remind_at=tuple(at + after for after in node.body.remind_ms),
    )


def _open_prompt(now: NodeState, outcome: PromptOpened, at: int) -> e.Event:
    return e.PromptRequested(
        at=at,
        node=now.id,
        request=f"{now.id}.{now.asked + 1}",
        prompt=outcome.prompt,
        system=outcome.system,
        iteration=now.progress.iteration,
        attempt=now.tries.attempt,
        session=outcome.session,
        output_format=outcome.output_format,
        options=outcome.options,
        key=outcome.key,
    )


def permissions_asked(
    now: NodeState, questions: Iterable[Question], at: int, *, held: bool
) -> list[e.ApprovalRequested]:
    """The events that open these questions of an agent; none for questions that are open in this way, or answered,
    already."""
    events: list[e.ApprovalRequested] = []
    fresh = now.asked
    for question in dict.fromkeys(questions):
        open_one = next((gate for gate in now.permissions.values() if gate.key == question.key), None)
        if question.key in now.tries.verdicts or (open_one is not None and held):
            continue
        if open_one is None:
            fresh += 1
        request = f"{now.id}.{fresh}" if open_one is None else open_one.request
        events.append(
            e.ApprovalRequested(
                at=at,
                node=now.id,
                request=request,
                message=question.message,
                kind=PERMISSION,
                iteration=now.progress.iteration,
                decisions=question.decisions,
                key=question.key,
                kinds=question.kinds,
                held=held,
            )
        )
    return events


def _unpermitted(now: NodeState, outcome: Unpermitted, at: int) -> list[e.Event]:
    """The node waits; if everything has been answered by now, the turn starts again as soon as the plan allows."""
    asked = permissions_asked(now, outcome.questions, at, held=False)
    if asked:
        return [replace(asked[0], usage=outcome.usage), *asked[1:]]
    answered = e.Failure(PERMISSION, "its permissions were answered while its turn ended")
    return [e.NodeRetrying(at, now.id, answered, at, usage=outcome.usage)]
