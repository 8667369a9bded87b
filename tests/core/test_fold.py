"""What each event changes in the state of a run and of its nodes, and nothing else: for each event of some whole
histories the fields that have another value after it. A change of the fold shows here, field by field."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from inline_snapshot import snapshot

from ion.core import events as e
from ion.core.fold import apply, fold
from ion.core.state import Finished, Pending, Running, RunState, Tries, Verdict, Waiting
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
    found = {name: _shown(getattr(state, name)) for name in state.__struct_fields__ if name not in _LEFT_OUT}
    for node in state.nodes.values():
        parts = {"status": node.status} | {name: getattr(node.phase, name, None) for name in _OF_PHASES}
        for part in (node, node.progress, node.tries):
            parts |= {name: getattr(part, name) for name in part.__struct_fields__ if name not in _PARTS}
        found |= {f"{node.id}.{name}": _shown(value) for name, value in parts.items()}
    return found


_PARTS = ("phase", "progress", "tries")
_NOT_SHOWN = ("status", "since")  # the latter is the number of the event before
_PHASES = (Pending, Running, Waiting, Finished)
_OF_PHASES = tuple(
    dict.fromkeys(name for phase in _PHASES for name in phase.__struct_fields__ if name not in _NOT_SHOWN)
)
_LEFT_OUT = ("nodes", "seq", "last_at", "owner_at")  # the last two are the event's own time, here


def _shown(value: Any) -> str:
    match value:
        case None | "" | () | 0 | False:
            return "-"
        case e.Content():
            return repr(value.text)
        case e.Failure():
            return value.code
        case e.ApprovalRequested():
            return f"{value.kind}:{value.request}"
        case e.Event():
            return value.type
        case e.Reply():
            return _shown(value.output)
        case Verdict():
            return value.kind
        case dict():
            return "{" + " ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}" if value else "-"
        case _:
            return str(value)


def started(*nodes: tuple[str, str], **values: Any) -> e.WorkflowStarted:
    return e.WorkflowStarted(1, "w", "d", nodes, **values)


def text(words: str) -> e.Content:
    return e.Content(words)


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
        e.NodeCompleted(33, "a", e.Reply(text("out"), {"output": e.Value(text="out")})),
        e.NodeStarted(33, "b", "bash", inputs={"a": "completed:2"}),
        e.NodeCompleted(34, "b", e.Reply(text(""), notes=("n",))),
        e.WorkflowCompleted(35, "a"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, agent claude, started_at 1, owned_since 1,
     max_budget_usd 3
 2 node_started: a.status running, a.turn bash, a.inputs {x=completed:1}, a.attempts 1, a.starts 1,
     a.started_at 2, a.owned_from 1, a.attempt 1
 4 node_retrying: a.status waiting, a.turn -, a.until 9, a.delay_ms 5, a.error timeout, a.retries 1
 9 node_started: a.status running, a.turn bash, a.until -, a.delay_ms -, a.error -, a.inputs -, a.attempts 2,
     a.starts 2, a.attempt 2
11 node_failed: a.status failed, a.turn -, a.error exit-status, a.at 11, a.took_ms 9, a.attempt -, a.retries -
11 node_skipped: b.status skipped, b.at 11, b.reason upstream_failed, b.detail all_success: a failed
12 workflow_failed: status failed, error node-failed, ended_at 12, owned_ms 11, owned_since -
20 workflow_resumed: status running, agent other, error -, ended_at -, owned_since 20, resumes 1, a.status
     pending, a.error -, a.at -, a.took_ms -, a.started_at -, a.owned_from -, b.status pending, b.at -,
     b.reason -, b.detail -
21 node_started: a.status running, a.turn bash, a.attempts 3, a.starts 3, a.started_at 21, a.owned_from 12,
     a.attempt 1
30 workflow_resumed: owned_ms 12, owned_since 30, resumes 2, deaths 1, a.status pending, a.turn -, a.attempt -
31 node_started: a.status running, a.turn bash, a.attempts 4, a.starts 4, a.attempt 1
33 node_completed: deaths -, a.status completed, a.turn -, a.at 33, a.took_ms 3, a.reply 'out', a.attempt -
33 node_started: b.status running, b.turn bash, b.inputs {a=completed:2}, b.attempts 1, b.starts 1,
     b.started_at 33, b.owned_from 15, b.attempt 1
34 node_completed: b.status completed, b.turn -, b.at 34, b.took_ms 1, b.reply '', b.attempt -
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
        e.NodeStarted(10, "g", "gate", reply=e.Reply(text("better"), {"output": e.Value(text="better")})),
        e.ApprovalRequested(11, "g", "g.3", "ok?"),
        e.ApprovalResolved(12, "g", "g.3", "approved", "yes"),
        e.NodeCompleted(13, "g", e.Reply(text("better"), {"output": e.Value(text="better")})),
        e.NodeInvalidated(14, "g", "dependency", "x"),
    ]
    assert told(log) == snapshot("""\
 1 workflow_started: status running, started workflow_started, started_at 1, owned_since 1
 2 node_started: g.status running, g.turn gate, g.starts 1, g.started_at 2, g.owned_from 1, g.attempt 1
 3 approval_requested: g.status waiting, g.turn -, g.requests {g.1=approval:g.1}, g.asked 1, g.attempt -
 3 workflow_paused: status paused, owned_ms 2, owned_since -
 5 approval_resolved: g.status pending, g.begun True, g.answer approval_resolved, g.requests -, g.rejections
     1, g.rejection_reason no
 5 approval_resolved: nothing
 6 workflow_resumed: status running, owned_since 6, resumes 1
 6 node_started: g.status running, g.begun -, g.answer -, g.turn rejection, g.attempts 1, g.starts 2,
     g.iteration 1, g.attempt 1
 7 prompt_requested: g.status waiting, g.turn -, g.requests {g.2=prompt_requested}, g.asked 2
 7 workflow_paused: status paused, owned_ms 3, owned_since -
 8 prompt_answered: nothing
 8 prompt_answered: g.status pending, g.begun True, g.answer prompt_answered, g.requests -
 9 workflow_resumed: status running, owned_since 9, resumes 2
 9 node_started: g.status running, g.begun -, g.turn answer, g.starts 3
10 node_started: g.answer -, g.turn gate, g.starts 4, g.reply 'better', g.iteration -, g.reworked 1
11 approval_requested: g.status waiting, g.turn -, g.requests {g.3=approval:g.3}, g.asked 3, g.attempt -
12 approval_resolved: g.status pending, g.begun True, g.answer approval_resolved, g.requests -
13 node_completed: g.status completed, g.begun -, g.answer -, g.at 13, g.took_ms 6
14 node_invalidated: g.status pending, g.at -, g.took_ms -, g.started_at -, g.owned_from -, g.reply -,
     g.rejections -, g.reworked -, g.rejection_reason -\
""")


def test_a_loop_is_checked_asked_about_and_exhausted() -> None:
    log = [
        started(("a", "loop")),
        e.NodeStarted(2, "a", "prompt", iteration=1),
        e.IterationCompleted(
            3, "a", 1, e.Reply(text("one"), {"output": e.Value(text="one")}, "s1", "claude", {"cost_usd": 2})
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
 2 node_started: a.status running, a.turn prompt, a.attempts 1, a.starts 1, a.started_at 2, a.owned_from 1,
     a.iteration 1, a.attempt 1
 3 iteration_completed: spent_usd 2, a.turn -, a.usage {cost_usd=2}, a.reply 'one', a.iterations 1, a.judged
     -, a.spent_usd 2, a.attempt -
 3 node_started: a.turn until_bash, a.starts 2, a.attempt 1
 4 iteration_judged: a.turn -, a.judged True, a.attempt -
 4 node_started: a.turn prompt, a.attempts 2, a.starts 3, a.iteration 2, a.attempt 1
 5 node_retrying: spent_usd 3, a.status waiting, a.turn -, a.until 5, a.error bad_output, a.usage {cost_usd=3
     tokens=7}, a.spent_usd 3, a.reasks 1, a.reask ('x',)
 5 node_started: a.status running, a.turn prompt, a.until -, a.error -, a.attempts 3, a.starts 4, a.attempt 2
 6 iteration_completed: a.turn -, a.reply 'two', a.iterations 2, a.signaled True, a.judged -,
     a.previous_output 'one', a.attempt -, a.reasks -, a.reask -
 6 node_started: a.turn gate, a.starts 5, a.attempt 1
 7 approval_requested: a.status waiting, a.turn -, a.requests {a.1=iteration:a.1}, a.asked 1, a.attempt -
 8 approval_resolved: a.status pending, a.begun True, a.answer approval_resolved, a.requests -, a.user_input
     again
 9 node_failed: spent_usd 4, a.status failed, a.begun -, a.answer -, a.error max_iterations, a.at 9, a.took_ms
     7, a.usage {cost_usd=4 tokens=7}, a.spent_usd 4
 9 workflow_failed: status failed, error node-failed, ended_at 9, owned_ms 8, owned_since -
10 workflow_resumed: status running, error -, ended_at -, owned_since 10, resumes 1, a.status pending, a.error
     -, a.at -, a.took_ms -, a.started_at -, a.owned_from -, a.reply -, a.iterations -, a.iteration -,
     a.signaled -, a.judged True, a.previous_output -, a.user_input -, a.spent_usd -
10 node_started: a.status running, a.turn prompt, a.attempts 4, a.starts 6, a.started_at 10, a.owned_from 8,
     a.iteration 1, a.attempt 1
11 node_failed: spent_usd 9, a.status failed, a.turn -, a.error budget, a.at 11, a.took_ms 1, a.usage
     {cost_usd=9 tokens=7}, a.spent_usd 5, a.attempt -
11 workflow_failed: status failed, error node-failed, ended_at 11, owned_ms 9, owned_since -
12 workflow_resumed: status running, error -, ended_at -, owned_since 12, resumes 2, a.status pending, a.error
     -, a.at -, a.took_ms -, a.started_at -, a.owned_from -, a.spent_usd -\
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
 2 node_started: a.status running, a.turn prompt, a.attempts 1, a.starts 1, a.started_at 2, a.owned_from 1,
     a.attempt 1
 3 approval_requested: a.requests {a.1=permission:a.1}, a.asked 1
 3 approval_requested: a.requests {a.1=permission:a.1 a.2=permission:a.2}, a.asked 2
 4 approval_resolved: a.requests {a.2=permission:a.2}, a.verdicts {rm=allow_once}
 5 approval_requested: spent_usd 1, a.status waiting, a.turn -, a.usage {cost_usd=1}, a.spent_usd 1
 5 workflow_paused: status paused, owned_ms 4, owned_since -
 6 approval_resolved: a.status pending, a.begun True, a.requests -, a.verdicts {rm=allow_once
     push=reject_once}
 7 workflow_resumed: status running, owned_since 7, resumes 1
 7 node_started: a.status running, a.begun -, a.turn prompt, a.attempts 2, a.starts 2, a.attempt 2
 8 approval_requested: a.requests {a.3=permission:a.3}, a.asked 3
 9 workflow_resumed: owned_ms 5, owned_since 9, resumes 2, a.status waiting, a.turn -
10 workflow_resumed: agent other, owned_since 10, resumes 3, a.status pending, a.requests -, a.attempt -
11 node_started: a.status running, a.turn prompt, a.attempts 3, a.starts 3, a.attempt 1
12 node_retrying: a.status waiting, a.turn -, a.until 12, a.error permission
12 node_started: a.status running, a.turn prompt, a.until -, a.error -, a.attempts 4, a.starts 4, a.attempt 2
13 node_completed: spent_usd 3, a.status completed, a.turn -, a.at 13, a.took_ms 7, a.usage {cost_usd=3},
     a.reply 'done', a.spent_usd 3, a.attempt -, a.verdicts -
14 node_invalidated: a.status pending, a.at -, a.took_ms -, a.started_at -, a.owned_from -, a.reply -,
     a.spent_usd -\
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
 2 node_started: a.status running, a.turn prompt, a.attempts 1, a.starts 1, a.started_at 2, a.owned_from 1,
     a.attempt 1
 3 approval_requested: a.status waiting, a.turn -, a.requests {a.1=permission:a.1}, a.asked 1
 3 node_started: b.status running, b.turn prompt, b.attempts 1, b.starts 1, b.started_at 3, b.owned_from 2,
     b.attempt 1
 4 prompt_requested: b.status waiting, b.turn -, b.requests {b.1=prompt_requested}, b.asked 1
 4 node_started: g.status running, g.turn gate, g.starts 1, g.started_at 4, g.owned_from 3, g.attempt 1
 5 approval_requested: g.status waiting, g.turn -, g.requests {g.1=approval:g.1}, g.asked 1, g.attempt -
 5 workflow_paused: status paused, owned_ms 4, owned_since -, over_budget True
 6 budget_raised: max_budget_usd 9.5
 7 workflow_resumed: status running, owned_since 7, resumes 1, over_budget -
 8 workflow_placed: worker worker-1
 8 node_started: c.status running, c.turn bash, c.attempts 1, c.starts 1, c.started_at 8, c.owned_from 5,
     c.attempt 1
 9 cancel_requested: cancel cancel_requested
 9 cancel_requested: nothing
 9 node_cancelled: c.status cancelled, c.turn -, c.at 9, c.took_ms 1, c.reason cancelled, c.attempt -
 9 workflow_failed: status failed, error timeout, ended_at 9, owned_ms 6, owned_since -, a.status pending,
     a.requests -, a.attempt -, b.status pending, b.requests -, b.attempt -, g.status pending, g.requests -
12 workflow_resumed: status running, agent other, error -, cancel -, ended_at -, owned_since 12, timed_from 6,
     resumes 2, c.status pending, c.at -, c.took_ms -, c.reason -, c.started_at -, c.owned_from -
13 cancel_requested: cancel cancel_requested
14 node_skipped: c.status skipped, c.at 14, c.reason cancelled, c.detail enough
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
    assert (now.phase, now.tries) == (Pending(), Tries())
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
            assert not ended.is_answered
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
