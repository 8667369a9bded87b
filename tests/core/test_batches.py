"""A plan is a function of the log: however the events reach it, one by one or many at once, with or without being asked
in between, it gives the commands that a plan made from the whole log gives (issue 17, 24: a worker of a cluster reads
what others wrote in pages, and a gate that was opened and answered in one of them completed twice)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import started, workflow
from test_simulation import Universe

from ion.core import events as e
from ion.core.commands import Record
from ion.core.decide import StartTurn
from ion.core.fold import fold
from ion.core.outline import outline
from ion.core.plan import Plan, next_steps
from ion.core.step import step
from ion.language.workflow import Approval, Bash, Cancel, Node, Shell


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), data=st.data())
def test_the_commands_do_not_depend_on_how_the_events_arrive(seed: int, data: st.DataObject) -> None:
    universe = Universe(seed)
    universe.history()
    log = universe.events()
    begun = data.draw(st.integers(1, len(log)))
    plan = Plan(universe.workflow, fold(log[:begun]), universe.slots, universe.agent_limits)
    at = 0
    while begun < len(log):
        if data.draw(st.booleans()):
            plan.next_steps(max(at, plan.state.last_at))
        size = data.draw(st.integers(1, 8))
        for event in log[begun : begun + size]:
            plan.advance(event)
        begun += size
        at = max(at, plan.state.last_at + data.draw(st.sampled_from((0, 1, 5_000))))
        fresh = next_steps(
            universe.workflow,
            fold(log[:begun]),
            at=at,
            max_concurrency=universe.slots,
            agent_limits=universe.agent_limits,
        )
        if data.draw(st.booleans()):
            assert plan.next_steps(at) == fresh


def test_a_gate_that_was_opened_and_answered_in_one_page_completes_once() -> None:
    flow = workflow(Node("g", Approval("ok?", capture_response=True)))
    plan = Plan(flow, fold([started(flow), e.NodeStarted(1, "g", "gate")]), 8)
    assert plan.next_steps(2) == []
    plan.advance(e.ApprovalRequested(2, "g", "g.1", "ok?"))
    plan.advance(e.ApprovalResolved(3, "g", "g.1", "approved", "yes"))
    new, _ = step(plan, (), 4, lambda: 0)
    assert [event.type for event in new] == ["node_completed", "workflow_completed"]


def test_a_command_says_why() -> None:
    flow = workflow(Node("g", Approval("ok?")))
    asked = [started(flow), e.NodeStarted(1, "g", "gate"), e.ApprovalRequested(2, "g", "g.1", "ok?")]
    (paused,) = Plan(flow, fold(asked), 8).next_steps(3)
    assert paused == Record(e.WorkflowPaused(3), "nothing can continue without an answer")
    again = e.NodeRetrying(2, "g", e.Failure("timeout", ""), 3)
    for log, why in ((asked[:1], "all it waits for has settled"), ([*asked[:2], again], "retry 1")):
        (start,) = Plan(flow, fold(log), 8).next_steps(3)
        assert isinstance(start, StartTurn)
        assert start.reason == why


@pytest.mark.parametrize(("text", "chosen"), [("short", "a"), ("x" * 2000, "a"), (" " * 2000, "b")])
def test_the_outline_of_a_log_is_enough_for_a_plan(text: str, chosen: str) -> None:
    flow = workflow(Node("a", Bash(Shell("true"))), Node("b", Bash(Shell("true"))))
    log: list[e.Event] = [started(flow)]
    for node, output in (("a", text), ("b", "b")):
        log += [e.NodeStarted(1, node, "bash"), e.NodeCompleted(2, node, e.Reply(e.Content(output)))]
    outlines = [outline(event) for event in log]
    assert len(str(outlines)) < 2000 or not text.strip()
    ends = [Plan(flow, fold(events), 8).next_steps(3) for events in (log, outlines)]
    assert ends[0] == ends[1] == [Record(e.WorkflowCompleted(3, chosen), "every node has settled")]


def test_a_late_answer_to_a_node_that_has_settled_lets_nobody_start_early() -> None:
    flow = workflow(Node("g", Approval("ok?")), Node("b", Cancel("x")), Node("c", Cancel("x"), depends_on=("g", "b")))
    done = [
        e.NodeStarted(1, "g", "gate"),
        e.NodeCompleted(2, "g", e.Reply(e.Content(""))),
        e.NodeStarted(2, "b", "cancel"),
    ]
    plan = Plan(flow, fold([started(flow), *done]), 8)
    assert plan.next_steps(3) == []
    plan.advance(e.ApprovalResolved(3, "g", "g.1", "approved"))
    assert plan.next_steps(3) == []


def test_a_cancel_node_that_was_invalidated_does_not_end_the_run() -> None:
    flow = workflow(Node("stop", Cancel("x"), always_run=True))
    done = [e.NodeStarted(1, "stop", "cancel"), e.NodeCompleted(2, "stop", e.Reply(e.Content("x")))]
    plan = Plan(flow, fold([started(flow), *done]), 8)
    plan.advance(e.WorkflowResumed(4))
    plan.advance(e.NodeInvalidated(4, "stop", "always_run"))
    assert [getattr(command, "node", "") for command in plan.next_steps(5)] == ["stop"]


def test_what_a_resume_invalidates_runs_again_though_it_had_settled_before_that_was_read() -> None:
    """The page ended between the two events of the resume."""
    flow = workflow(Node("a", Approval("ok?")), Node("b", Approval("ok?"), depends_on=("a",)))
    done = [e.NodeStarted(1, "a", "gate"), e.NodeCompleted(2, "a", e.Reply(e.Content("")))]
    plan = Plan(flow, fold([started(flow), *done, e.WorkflowFailed(3, e.Failure("timeout", ""))]), 8)
    plan.advance(e.WorkflowResumed(4))
    plan.next_steps(4)
    plan.advance(e.NodeInvalidated(5, "a", "always_run"))
    commands = plan.next_steps(5)
    assert not any(isinstance(command, Record) for command in commands)
    assert [getattr(command, "node", "") for command in commands] == ["a"]


def test_a_paused_run_is_resumed_before_anything_else_happens() -> None:
    """Its answer may be in the log already when the log is read again: nothing begins in a run that is paused."""
    flow = workflow(Node("g", Approval("ok?")), Node("b", Approval("ok?"), depends_on=("g",)))
    asked = [e.NodeStarted(1, "g", "gate"), e.ApprovalRequested(2, "g", "g.1", "ok?"), e.WorkflowPaused(2)]
    log = [started(flow), *asked, e.ApprovalResolved(3, "g", "g.1", "approved")]
    assert step(Plan(flow, fold(log), 8), (), 4, lambda: 0) == ([], [])
    new, _ = step(Plan(flow, fold([*log, e.WorkflowResumed(4, "answer")]), 8), (), 4, lambda: 0)
    assert [event.type for event in new] == ["node_completed", "node_started"]
