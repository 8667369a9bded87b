"""What counts as the time of a run and of its nodes, however often its owners change (language.md §2, §14)."""

from __future__ import annotations

import pytest
from simulate import started, workflow

from ion import codec
from ion.core import events as e
from ion.core.fold import fold
from ion.core.state import RunState
from ion.core.time_limits import run_deadline, run_overdue
from ion.errors import DamagedStoreError
from ion.language.workflow import Approval, Bash, Node, Shell

FLOW = workflow(Node("a", Bash(Shell("true"))), Node("g", Approval("?")), timeout_ms=10_000)
BEGUN = (started(FLOW), e.NodeStarted(1_000, "a", "bash"))
DONE = e.Content("ok")


def after(*events: e.Event) -> RunState:
    return fold([*BEGUN, *events])


def test_a_node_took_the_time_in_which_the_run_was_owned() -> None:
    state = after(
        e.WorkflowPaused(3_000),
        e.WorkflowResumed(100_000, "answer"),
        e.NodeStarted(100_500, "a", "bash"),
        e.NodeCompleted(104_000, "a", e.Reply(DONE)),
    )
    node = state.nodes["a"]
    assert (node.started_at, node.ended_at) == (1_000, 104_000)
    assert (node.owned_from, node.took_ms) == (1_000, 6_000)
    assert state.owned(105_000) == 8_000


@pytest.mark.parametrize(
    ("owned_until", "counted"),
    [
        (None, 1_000),  # all that is known is what it wrote last
        (7_000, 7_000),
        (500, 1_000),
    ],
)
def test_a_dead_owner_had_the_run_until_it_renewed_its_lease(owned_until: int | None, counted: int) -> None:
    state = after(e.WorkflowResumed(90_000, owner_died=True, owned_until=owned_until))
    assert (state.owned_ms, state.owned_since) == (counted, 90_000)


@pytest.mark.parametrize(
    "request_",
    [
        e.CancelRequested(60_000),
        e.BudgetRaised(60_000, 5),
        e.ApprovalResolved(60_000, "g", "g.1", "approved"),
        e.PromptAnswered(60_000, "a", "a.1", DONE),
    ],
    ids=lambda event: event.type,
)
def test_a_request_is_not_the_owners(request_: e.Event) -> None:
    state = after(request_, e.WorkflowResumed(90_000))
    assert (state.owned_ms, state.last_at) == (1_000, 90_000)


def test_that_the_time_is_over_is_the_owners() -> None:
    assert after(e.CancelRequested(11_000, "", "timeout"), e.WorkflowResumed(90_000)).owned_ms == 11_000


def test_a_clock_that_was_ahead_stalls_no_retry_and_counts_nothing_twice() -> None:
    retrying = e.NodeRetrying(500_000, "a", e.Failure("crashed", "no"), 503_000)
    state = after(retrying, e.WorkflowResumed(2_000))
    assert state.nodes["a"].retry_at == 5_000
    assert state.owned_since == state.owner_at == 2_000
    assert after(retrying, e.WorkflowResumed(502_000)).nodes["a"].retry_at == 503_000, "what is left of it"


@pytest.mark.parametrize(
    ("code", "left"),
    [("node-failed", 6_000), ("timeout", 10_000)],
)
def test_only_a_run_whose_time_was_over_has_it_all_again(code: str, left: int) -> None:
    state = after(
        e.NodeFailed(4_000, "a", e.Failure("exit-status", "no")),
        e.WorkflowFailed(4_000, e.Failure(code, "no")),
        e.WorkflowResumed(50_000),
    )
    assert run_deadline(FLOW, state) == 50_000 + left
    assert run_overdue(FLOW, state, 50_000 + left - 1) is None
    assert run_overdue(FLOW, state, 50_000 + left) is not None


def test_a_node_that_runs_again_is_measured_anew() -> None:
    state = after(
        e.NodeCompleted(2_000, "a", e.Reply(DONE)),
        e.NodeInvalidated(5_000, "a", "always_run"),
    )
    assert (state.nodes["a"].owned_from, state.nodes["a"].took_ms) == (None, None)


@pytest.mark.parametrize("absurd", [-1, 10**18, 1.5, "1000"])
def test_an_absurd_time_is_no_event(absurd: object) -> None:
    with pytest.raises(DamagedStoreError, match="owned_until"):
        e.from_json({"type": "workflow_resumed", "at": 5, "owned_until": absurd})


def test_what_ion_wrote_before_it_knew_until_when_is_still_read() -> None:
    old = {"type": "workflow_resumed", "at": 5, "cause": "resume", "owner_died": True}
    assert e.from_json(old) == e.WorkflowResumed(5, owner_died=True)
    assert codec.to_json(e.WorkflowResumed(5, owner_died=True)) == {
        "type": "workflow_resumed",
        "at": 5,
        "owner_died": True,
    }
