"""What each event changes in the state of a run and of its nodes, and nothing else: for each event of some whole
histories the fields that have another value after it. A change of the fold shows here, field by field."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import pytest
from inline_snapshot import snapshot

from ion.core import events as e
from ion.core.fold import apply, fold
from ion.core.gates import Gate, Verdict
from ion.core.state import RunState
from ion.errors import DamagedStoreError

ALLOW = ("allow_once", "reject_once")


def told(log: list[e.Event]) -> str:
    """The history as lines: the event, and what changed."""
    state = RunState()
    lines = []
    for event in log:
        before = _fields(state)
        apply(state, event)
        after = _fields(state)
        changed = [f"{name} {value}" for name, value in after.items() if before.get(name, value) != value]
        line = f"{event.at:>2} {event.type}: {', '.join(changed) or 'nothing'}"
        lines += textwrap.wrap(line, 110, subsequent_indent="     ", break_on_hyphens=False)
    return "\n".join(lines)


def _fields(state: RunState) -> dict[str, str]:
    found = {f.name: _shown(getattr(state, f.name)) for f in dataclasses.fields(state) if f.name not in _LEFT_OUT}
    for node in state.nodes.values():
        found |= {f"{node.id}.{f.name}": _shown(getattr(node, f.name)) for f in dataclasses.fields(node)}
    return found


_LEFT_OUT = ("nodes", "seq", "last_at", "owner_at")  # the last two are the event's own time, here


def _shown(value: Any) -> str:
    match value:
        case None | "" | () | 0 | False:
            return "-"
        case e.Content():
            return repr(value.text)
        case e.Failure():
            return value.code
        case e.Event():
            return value.type
        case e.Reply():
            return _shown(value.output)
        case Gate():
            return f"{value.kind}:{value.request}"
        case Verdict():
            return value.kind
        case dict():
            return "{" + " ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}" if value else "-"
        case _:
            return str(value)


def started(*nodes: tuple[str, str], **values: Any) -> e.WorkflowStarted:
    return e.WorkflowStarted(1, "w", "d", nodes, **values)


def text(words: str) -> e.Content:
    return e.Content.inline(words)


def asks(at: int, request: str, key: str, *, held: bool, **values: Any) -> e.ApprovalRequested:
    return e.ApprovalRequested(
        at, "a", request, "may I?", "permission", decisions=ALLOW, key=key, kinds=ALLOW, held=held, **values
    )


def test_a_program_is_tried_again_fails_and_is_resumed() -> None:
    log = [
        started(("a", "bash"), ("b", "bash"), agent="claude", max_budget_usd=3),
        e.NodeStarted(2, "a", "bash", inputs={"x": "completed:1"}),
        e.NodeRetrying(4, "a", e.Failure("timeout", "slow"), 9),
        e.NodeStarted(9, "a", "bash", 2),
        e.NodeFailed(11, "a", e.Failure("exit-status", "1")),
        e.NodeSkipped(11, "b", "upstream_failed", "all_success: a failed"),
        e.WorkflowFailed(12, e.Failure("node-failed", "1 of 2")),
        e.WorkflowResumed(20, "resume", "other"),
        e.NodeStarted(21, "a", "bash"),
        e.WorkflowResumed(30, owner_died=True),
        e.NodeStarted(31, "a", "bash"),
        e.NodeCompleted(33, "a", e.Reply(text("out"), {"output": {"text": "out"}})),
        e.NodeStarted(33, "b", "bash", inputs={"a": "completed:2"}),
        e.NodeCompleted(34, "b", e.Reply(text(""), notes=("n",))),
        e.WorkflowCompleted(35, "a"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, agent claude, started_at 1, owned_since 1,
     max_budget_usd 3
 2 node_started: a.status running, a.begun True, a.inputs {x=completed:1}, a.turn bash, a.attempt 1,
     a.attempts 1, a.starts 1, a.started_at 2, a.owned_from 1
 4 node_retrying: a.status waiting, a.error timeout, a.turn -, a.retries 1, a.retry_at 9, a.retry_ms 5
 9 node_started: a.status running, a.inputs -, a.turn bash, a.attempt 2, a.attempts 2, a.starts 2, a.retry_at
     -
11 node_failed: a.status failed, a.error exit-status, a.turn -, a.attempt -, a.retries -, a.ended_at 11,
     a.took_ms 9
11 node_skipped: b.status skipped, b.reason upstream_failed, b.detail all_success: a failed, b.ended_at 11
12 workflow_failed: status failed, error node-failed, ended_at 12, owned_ms 11, owned_since -
20 workflow_resumed: status running, agent other, error -, ended_at -, owned_since 20, resumes 1, a.status
     pending, a.begun -, a.error -, a.started_at -, a.ended_at -, a.owned_from -, a.took_ms -, b.status
     pending, b.reason -, b.detail -, b.ended_at -
21 node_started: a.status running, a.begun True, a.turn bash, a.attempt 1, a.attempts 3, a.starts 3,
     a.started_at 21, a.owned_from 12
30 workflow_resumed: owned_ms 12, owned_since 30, resumes 2, deaths 1, a.status pending, a.begun -, a.turn -,
     a.attempt -
31 node_started: a.status running, a.begun True, a.turn bash, a.attempt 1, a.attempts 4, a.starts 4
33 node_completed: deaths -, a.status completed, a.reply 'out', a.turn -, a.attempt -, a.ended_at 33,
     a.took_ms 3
33 node_started: b.status running, b.begun True, b.inputs {a=completed:2}, b.turn bash, b.attempt 1,
     b.attempts 1, b.starts 1, b.started_at 33, b.owned_from 15
34 node_completed: b.status completed, b.reply '', b.turn -, b.attempt -, b.ended_at 34, b.took_ms 1
35 workflow_completed: status completed, output_node a, ended_at 35, owned_ms 17, owned_since -\
""")


def test_a_gate_is_rejected_reworked_by_the_host_and_approved() -> None:
    log = [
        started(("g", "approval")),
        e.NodeStarted(2, "g", "gate"),
        e.ApprovalRequested(3, "g", "g.1", "ok?"),
        e.WorkflowPaused(3),
        e.ApprovalResolved(5, "g", "g.1", "rejected", "no"),
        e.ApprovalResolved(5, "g", "g.1", "approved", "late"),
        e.WorkflowResumed(6, "answer"),
        e.NodeStarted(6, "g", "rejection", iteration=1),
        e.PromptRequested(7, "g", "g.2", text("redo"), attempt=1),
        e.WorkflowPaused(7),
        e.PromptAnswered(8, "g", "g.1", text("to another")),
        e.PromptAnswered(8, "g", "g.2", text("better")),
        e.WorkflowResumed(9, "answer"),
        e.NodeStarted(9, "g", "answer", iteration=1),
        e.NodeStarted(10, "g", "gate", reply=e.Reply(text("better"), {"output": {"text": "better"}})),
        e.ApprovalRequested(11, "g", "g.3", "ok?"),
        e.ApprovalResolved(12, "g", "g.3", "approved", "yes"),
        e.NodeCompleted(13, "g", e.Reply(text("better"), {"output": {"text": "better"}})),
        e.NodeInvalidated(14, "g", "dependency", "x"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, started_at 1, owned_since 1
 2 node_started: g.status running, g.begun True, g.turn gate, g.attempt 1, g.starts 1, g.started_at 2,
     g.owned_from 1
 3 approval_requested: g.status waiting, g.turn -, g.attempt -, g.gate approval:g.1, g.requests 1
 3 workflow_paused: status paused, owned_ms 2, owned_since -
 5 approval_resolved: g.status pending, g.gate -, g.resolved approval_resolved, g.rejections 1,
     g.rejection_reason no
 5 approval_resolved: nothing
 6 workflow_resumed: status running, owned_since 6, resumes 1
 6 node_started: g.status running, g.turn rejection, g.iteration 1, g.attempt 1, g.attempts 1, g.starts 2,
     g.resolved -
 7 prompt_requested: g.status waiting, g.turn -, g.prompt prompt_requested, g.requests 2
 7 workflow_paused: status paused, owned_ms 3, owned_since -
 8 prompt_answered: nothing
 8 prompt_answered: g.status pending, g.prompt -, g.answer prompt_answered
 9 workflow_resumed: status running, owned_since 9, resumes 2
 9 node_started: g.status running, g.turn answer, g.starts 3
10 node_started: g.reply 'better', g.turn gate, g.iteration -, g.starts 4, g.answer -, g.reworked 1
11 approval_requested: g.status waiting, g.turn -, g.attempt -, g.gate approval:g.3, g.requests 3
12 approval_resolved: g.status pending, g.gate -, g.resolved approval_resolved
13 node_completed: g.status completed, g.resolved -, g.ended_at 13, g.took_ms 6
14 node_invalidated: g.status pending, g.begun -, g.reply -, g.rejections -, g.reworked -, g.rejection_reason
     -, g.started_at -, g.ended_at -, g.owned_from -, g.took_ms -\
""")


def test_a_loop_is_checked_asked_about_and_exhausted() -> None:
    log = [
        started(("a", "loop")),
        e.NodeStarted(2, "a", "prompt", iteration=1),
        e.IterationCompleted(
            3, "a", 1, e.Reply(text("one"), {"output": {"text": "one"}}, "s1", "claude", {"cost_usd": 2})
        ),
        e.NodeStarted(3, "a", "until_bash", iteration=1),
        e.IterationJudged(4, "a", 1),
        e.NodeStarted(4, "a", "prompt", iteration=2),
        e.NodeRetrying(5, "a", e.Failure("bad_output", "no"), 5, ("x",), {"cost_usd": 1, "tokens": 7}),
        e.NodeStarted(5, "a", "prompt", 2, 2),
        e.IterationCompleted(6, "a", 2, e.Reply(text("two"), {}, "s2", "claude", repaired=True, notes=("n",)), True),
        e.NodeStarted(6, "a", "gate", iteration=2, signaled=True),
        e.ApprovalRequested(7, "a", "a.1", "more?", "iteration", 2, True),
        e.ApprovalResolved(8, "a", "a.1", "approved", "again"),
        e.NodeFailed(9, "a", e.Failure("max_iterations", "2"), {"cost_usd": 1}),
        e.WorkflowFailed(9, e.Failure("node-failed", "1 of 1")),
        e.WorkflowResumed(10),
        e.NodeStarted(10, "a", "prompt", iteration=1),
        e.NodeFailed(11, "a", e.Failure("budget", "spent"), {"cost_usd": 5}),
        e.WorkflowFailed(11, e.Failure("node-failed", "1 of 1")),
        e.WorkflowResumed(12),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, started_at 1, owned_since 1
 2 node_started: a.status running, a.begun True, a.turn prompt, a.iteration 1, a.attempt 1, a.attempts 1,
     a.starts 1, a.started_at 2, a.owned_from 1
 3 iteration_completed: spent_usd 2, a.reply 'one', a.turn -, a.attempt -, a.usage {cost_usd=2}, a.spent_usd
     2, a.iterations 1, a.judged -
 3 node_started: a.turn until_bash, a.attempt 1, a.starts 2
 4 iteration_judged: a.turn -, a.attempt -, a.judged True
 4 node_started: a.turn prompt, a.iteration 2, a.attempt 1, a.attempts 2, a.starts 3
 5 node_retrying: spent_usd 3, a.status waiting, a.error bad_output, a.turn -, a.reasks 1, a.reask ('x',),
     a.retry_at 5, a.usage {cost_usd=3 tokens=7}, a.spent_usd 3
 5 node_started: a.status running, a.turn prompt, a.attempt 2, a.attempts 3, a.starts 4, a.retry_at -
 6 iteration_completed: a.reply 'two', a.turn -, a.signaled True, a.attempt -, a.reasks -, a.reask -,
     a.iterations 2, a.previous_output 'one', a.judged -
 6 node_started: a.turn gate, a.attempt 1, a.starts 5
 7 approval_requested: a.status waiting, a.turn -, a.attempt -, a.gate iteration:a.1, a.requests 1
 8 approval_resolved: a.status pending, a.gate -, a.resolved approval_resolved, a.user_input again
 9 node_failed: spent_usd 4, a.status failed, a.error max_iterations, a.usage {cost_usd=4 tokens=7},
     a.spent_usd 4, a.resolved -, a.ended_at 9, a.took_ms 7
 9 workflow_failed: status failed, error node-failed, ended_at 9, owned_ms 8, owned_since -
10 workflow_resumed: status running, error -, ended_at -, owned_since 10, resumes 1, a.status pending, a.begun
     -, a.error -, a.reply -, a.iteration -, a.spent_usd -, a.iterations -, a.previous_output -, a.judged
     True, a.user_input -, a.started_at -, a.ended_at -, a.owned_from -, a.took_ms -
10 node_started: a.status running, a.begun True, a.turn prompt, a.iteration 1, a.signaled -, a.attempt 1,
     a.attempts 4, a.starts 6, a.started_at 10, a.owned_from 8
11 node_failed: spent_usd 9, a.status failed, a.error budget, a.turn -, a.attempt -, a.usage {cost_usd=9
     tokens=7}, a.spent_usd 5, a.ended_at 11, a.took_ms 1
11 workflow_failed: status failed, error node-failed, ended_at 11, owned_ms 9, owned_since -
12 workflow_resumed: status running, error -, ended_at -, owned_since 12, resumes 2, a.status pending, a.begun
     -, a.error -, a.spent_usd -, a.started_at -, a.ended_at -, a.owned_from -, a.took_ms -\
""")


def test_an_agent_asks_for_permissions() -> None:
    log = [
        started(("a", "prompt")),
        e.NodeStarted(2, "a", "prompt"),
        asks(3, "a.1", "rm", held=True),
        asks(3, "a.2", "push", held=True),
        e.ApprovalResolved(4, "a", "a.1", "allow_once"),
        asks(5, "a.2", "push", held=False, usage={"cost_usd": 1}),
        e.WorkflowPaused(5),
        e.ApprovalResolved(6, "a", "a.2", "reject_once"),
        e.WorkflowResumed(7, "answer"),
        e.NodeStarted(7, "a", "prompt", 2),
        asks(8, "a.3", "curl", held=True),
        e.WorkflowResumed(9, "answer"),
        e.WorkflowResumed(10, "answer", "other"),
        e.NodeStarted(11, "a", "prompt"),
        e.NodeRetrying(12, "a", e.Failure("permission", "answered"), 12),
        e.NodeStarted(12, "a", "prompt", 2),
        e.NodeCompleted(13, "a", e.Reply(text("done"), {}, "s", "other", {"cost_usd": 2}, True, ("n",))),
        e.NodeInvalidated(14, "a", "always_run"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, started_at 1, owned_since 1
 2 node_started: a.status running, a.begun True, a.turn prompt, a.attempt 1, a.attempts 1, a.starts 1,
     a.started_at 2, a.owned_from 1
 3 approval_requested: a.permissions {a.1=permission:a.1}, a.requests 1
 3 approval_requested: a.permissions {a.1=permission:a.1 a.2=permission:a.2}, a.requests 2
 4 approval_resolved: a.permissions {a.2=permission:a.2}, a.verdicts {rm=allow_once}
 5 approval_requested: spent_usd 1, a.status waiting, a.turn -, a.usage {cost_usd=1}, a.spent_usd 1
 5 workflow_paused: status paused, owned_ms 4, owned_since -
 6 approval_resolved: a.status pending, a.permissions -, a.verdicts {rm=allow_once push=reject_once},
     a.cleared True
 7 workflow_resumed: status running, owned_since 7, resumes 1
 7 node_started: a.status running, a.turn prompt, a.attempt 2, a.attempts 2, a.starts 2, a.cleared -
 8 approval_requested: a.permissions {a.3=permission:a.3}, a.requests 3
 9 workflow_resumed: owned_ms 5, owned_since 9, resumes 2, a.status waiting, a.turn -
10 workflow_resumed: agent other, owned_since 10, resumes 3, a.status pending, a.begun -, a.attempt -,
     a.permissions -
11 node_started: a.status running, a.begun True, a.turn prompt, a.attempt 1, a.attempts 3, a.starts 3
12 node_retrying: a.status waiting, a.error permission, a.turn -, a.retry_at 12
12 node_started: a.status running, a.turn prompt, a.attempt 2, a.attempts 4, a.starts 4, a.retry_at -
13 node_completed: spent_usd 3, a.status completed, a.error -, a.reply 'done', a.turn -, a.attempt -, a.usage
     {cost_usd=3}, a.spent_usd 3, a.verdicts -, a.ended_at 13, a.took_ms 7
14 node_invalidated: a.status pending, a.begun -, a.reply -, a.spent_usd -, a.started_at -, a.ended_at -,
     a.owned_from -, a.took_ms -\
""")


def test_the_end_closes_what_is_open_and_a_resume_asks_anew() -> None:
    log = [
        started(("a", "prompt"), ("b", "prompt"), ("g", "approval"), ("c", "bash")),
        e.NodeStarted(2, "a", "prompt"),
        asks(3, "a.1", "rm", held=False),
        e.NodeStarted(3, "b", "prompt"),
        e.PromptRequested(4, "b", "b.1", text("hi"), attempt=1),
        e.NodeStarted(4, "g", "gate"),
        e.ApprovalRequested(5, "g", "g.1", "ok?"),
        e.WorkflowPaused(5, over_budget=True),
        e.BudgetRaised(6, 9.5),
        e.WorkflowResumed(7, "answer"),
        e.WorkflowPlaced(8, "worker-1"),
        e.NodeStarted(8, "c", "bash"),
        e.CancelRequested(9, "the run took longer", "timeout"),
        e.CancelRequested(9, "second"),
        e.NodeCancelled(9, "c", "cancelled"),
        e.WorkflowFailed(9, e.Failure("timeout", "the run took longer")),
        e.WorkflowResumed(12, "resume", "other"),
        e.CancelRequested(13, "enough"),
        e.NodeSkipped(14, "c", "cancelled", "enough"),
        e.WorkflowCancelled(15, "enough"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, started_at 1, owned_since 1
 2 node_started: a.status running, a.begun True, a.turn prompt, a.attempt 1, a.attempts 1, a.starts 1,
     a.started_at 2, a.owned_from 1
 3 approval_requested: a.status waiting, a.turn -, a.permissions {a.1=permission:a.1}, a.requests 1
 3 node_started: b.status running, b.begun True, b.turn prompt, b.attempt 1, b.attempts 1, b.starts 1,
     b.started_at 3, b.owned_from 2
 4 prompt_requested: b.status waiting, b.turn -, b.prompt prompt_requested, b.requests 1
 4 node_started: g.status running, g.begun True, g.turn gate, g.attempt 1, g.starts 1, g.started_at 4,
     g.owned_from 3
 5 approval_requested: g.status waiting, g.turn -, g.attempt -, g.gate approval:g.1, g.requests 1
 5 workflow_paused: status paused, owned_ms 4, owned_since -, over_budget True
 6 budget_raised: max_budget_usd 9.5
 7 workflow_resumed: status running, owned_since 7, resumes 1, over_budget -
 8 workflow_placed: worker worker-1
 8 node_started: c.status running, c.begun True, c.turn bash, c.attempt 1, c.attempts 1, c.starts 1,
     c.started_at 8, c.owned_from 5
 9 cancel_requested: cancel cancel_requested
 9 cancel_requested: nothing
 9 node_cancelled: c.status cancelled, c.reason cancelled, c.turn -, c.attempt -, c.ended_at 9, c.took_ms 1
 9 workflow_failed: status failed, error timeout, ended_at 9, owned_ms 6, owned_since -, a.status pending,
     a.begun -, a.attempt -, a.permissions -, b.status pending, b.begun -, b.attempt -, b.prompt -, g.status
     pending, g.begun -, g.gate -
12 workflow_resumed: status running, agent other, error -, cancel -, ended_at -, owned_since 12, timed_from 6,
     resumes 2, c.status pending, c.begun -, c.reason -, c.started_at -, c.ended_at -, c.owned_from -,
     c.took_ms -
13 cancel_requested: cancel cancel_requested
14 node_skipped: c.status skipped, c.reason cancelled, c.detail enough, c.ended_at 14
15 workflow_cancelled: status cancelled, reason enough, ended_at 15, owned_ms 9, owned_since -\
""")


def test_a_turn_that_was_cut_off_begins_anew() -> None:
    """Its tries and its re-asks are those of a new turn."""
    log = [
        started(("a", "prompt")),
        e.NodeStarted(2, "a", "prompt"),
        e.NodeRetrying(3, "a", e.Failure("timeout", ""), 4),
        e.NodeStarted(4, "a", "prompt", 2),
        e.NodeRetrying(5, "a", e.Failure("bad_output", ""), 5, ("x",)),
        e.NodeStarted(5, "a", "prompt", 3),
        e.WorkflowResumed(6),
    ]
    now = fold(log).nodes["a"]
    assert (now.status, now.attempt, now.retries, now.reasks, now.reask) == ("pending", 0, 0, 0, ())
    assert (now.attempts, now.starts) == (3, 3)


def test_a_start_or_an_end_of_a_node_closes_whatever_is_open() -> None:
    """As the stores do; and what it said before is no longer said."""
    opened: list[e.NodeEvent] = [
        e.PromptRequested(3, "a", "a.1", text("hi")),
        e.ApprovalRequested(3, "a", "a.1", "ok?"),
        asks(3, "a.1", "rm", held=False),
        e.NodeRetrying(3, "a", e.Failure("timeout", ""), 9),
    ]
    ends: list[e.NodeEvent] = [
        e.NodeStarted(4, "a", "prompt"),
        e.NodeCompleted(4, "a", e.Reply(text(""))),
        e.NodeFailed(4, "a", e.Failure("x", "")),
        e.NodeSkipped(4, "a", "cancelled"),
        e.NodeCancelled(4, "a", "cancelled"),
    ]
    for event in opened:
        for end in ends:
            state = fold([started(("a", "prompt")), e.NodeStarted(2, "a", "prompt"), event, end])
            now = state.nodes["a"]
            assert (now.prompt, now.gate, now.permissions, now.retry_at) == (None, None, {}, None), (event, end)
            answered = [asks(3, "a.1", "rm", held=False), e.ApprovalResolved(3, "a", "a.1", "allow_once")]
            ended = fold([started(("a", "prompt")), e.NodeStarted(2, "a", "prompt"), *answered, end]).nodes["a"]
            assert not ended.cleared
            again = fold([started(("a", "prompt")), end, e.NodeStarted(9, "a", "prompt")]).nodes["a"]
            assert (again.status, again.ended_at) == ("running", None)


def test_an_event_of_a_node_that_the_run_does_not_have_is_damage() -> None:
    with pytest.raises(
        DamagedStoreError, match="a node_started event of 'x', which is not a node of the run"
    ) as damaged:
        fold([started(("a", "bash")), e.NodeStarted(2, "x", "bash")])
    assert damaged.value.hint == "restore the run from a backup"


def test_the_first_who_asks_for_the_end_says_why() -> None:
    state = fold([started(("a", "bash")), e.CancelRequested(2, "first"), e.CancelRequested(3, "second", "timeout")])
    assert state.cancel == e.CancelRequested(2, "first")


def test_the_clock_of_the_log_does_not_run_backwards() -> None:
    state = RunState()
    for event in [
        started(("a", "bash")),
        e.NodeStarted(5, "a", "bash"),
        e.CancelRequested(9, "by a clock that is ahead"),
        e.NodeCancelled(4, "a", "cancelled"),
    ]:
        apply(state, event)
    assert (state.last_at, state.owner_at) == (9, 5)
