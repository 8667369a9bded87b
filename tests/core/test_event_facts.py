"""What an event says by itself, as the stores read it: for every type of event."""

from __future__ import annotations

import pytest

from ion.core import event_facts
from ion.core import events as e

TEXT = e.Content("")
FAILURE = e.Failure("x", "")
ASKED = (e.ApprovalRequested(1, "a", "a.1", "?"), e.PromptRequested(1, "a", "a.1", TEXT))
ANSWERED = (e.ApprovalResolved(1, "a", "a.1", "approved"), e.PromptAnswered(1, "a", "a.1", TEXT))
EXPIRED = e.GateExpired(1, "a", "a.1", "failed")
CLOSED = (
    *(e.NodeStarted(1, "a", "bash"), e.NodeCompleted(1, "a", e.Reply(TEXT)), e.NodeFailed(1, "a", FAILURE)),
    *(e.NodeSkipped(1, "a", "when"), e.NodeCancelled(1, "a", "cancelled")),
)
ENDED = (
    *(e.WorkflowCompleted(1), e.WorkflowFailed(1, FAILURE), e.WorkflowCancelled(1)),
    e.WorkflowFinishing(1, "completed", ("clean",)),
)
OTHERS = (
    *(e.NodeRetrying(1, "a", FAILURE, 2), e.NodeInvalidated(1, "a", "always_run"), e.IterationJudged(1, "a", 1)),
    *(
        e.IterationCompleted(1, "a", 1, e.Reply(TEXT)),
        e.ScopeOpened(1, "a"),
        e.ScopeFinishing(1, "a", ("clean",), "completed"),
        e.CancelRequested(1),
        e.BudgetRaised(1, 2),
        e.WorkflowPlaced(1, "w"),
        e.LaneClosed(1, "claude", FAILURE, 2),
        e.LaneOpened(1, "claude"),
        e.WaitStarted(1, "a", e.TIMER, 2),
        e.SignalReceived(1, "go", "d"),
        e.GateReminded(1, "a", "a.1", 1),
    ),
)
STARTED = e.WorkflowStarted(1, "w", "d", ())
ALL: tuple[e.Event, ...] = (
    *ASKED, *ANSWERED, EXPIRED, *CLOSED, *ENDED, *OTHERS, e.WorkflowPaused(1), e.WorkflowQueued(1, "g"),
    e.WorkflowResumed(1), STARTED
)  # fmt: skip


def test_every_type_of_event_is_here() -> None:
    assert {type(event) for event in ALL} == set(e.EVENT_TYPES.values())


@pytest.mark.parametrize("event", ALL, ids=lambda event: event.type)
def test_what_it_opens_answers_closes_and_brings(event: e.Event) -> None:
    assert event_facts.opens(event) == ("a.1" if event in ASKED else None)
    assert event_facts.answers(event) == ("a.1" if event in (*ANSWERED, EXPIRED) else None)
    assert event_facts.closes_node(event) == ("a" if event in CLOSED else None)
    assert event_facts.closes_all(event) == (event in ENDED)
    statuses = {
        "workflow_completed": "completed",
        "workflow_failed": "failed",
        "workflow_cancelled": "cancelled",
        "workflow_paused": "paused",
        "workflow_queued": "queued",
        "workflow_resumed": "running",
        "workflow_started": "running",
    }
    assert event_facts.status_after(event) == statuses.get(event.type)
    assert event_facts.due_after(event)[0] == (event.type in statuses or event_facts.asked_by_others(event))


def test_a_request_makes_its_run_due_and_a_pause_says_when_it_is() -> None:
    assert [event_facts.due_after(event) for event in ANSWERED] == [(True, 1), (True, 1)]
    assert event_facts.due_after(e.CancelRequested(3)) == (True, 3)
    assert event_facts.due_after(e.CancelRequested(3, cause="timeout")) == (False, None), "its owner acts on it"
    assert event_facts.due_after(e.WorkflowPaused(1, due_at=9)) == (True, 9)
    assert event_facts.due_after(e.WorkflowPaused(1)) == (True, None)
