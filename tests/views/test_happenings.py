"""An event in a word and a line."""

from __future__ import annotations

import pytest

from ion.core import events as e
from ion.views.happenings import STATE_OF, said_of, verb_of
from ion.views.marks import symbol
from ion.views.text import moment

REPLY = e.Reply(e.Content("four"), agent="claude")
FAILED = e.Failure("exit-status", "exited with 3: first\nlast words", exit_status=3)


@pytest.mark.parametrize(
    ("event", "verb", "said"),
    [
        (e.WorkflowStarted(0, "w", "d", ()), "run", "started w"),
        (e.WorkflowResumed(0, cause="answer", owner_died=True), "run", "continues · answered · its owner died"),
        (e.WorkflowFailed(0, FAILED), "run", "failed: exit 3"),
        (e.NodeStarted(0, "a", turn="bash"), "start", "bash"),
        (e.NodeStarted(0, "a", turn="prompt", attempt=2, iteration=3), "start", "prompt · iteration 3 · attempt 2"),
        (e.NodeCompleted(0, "a", reply=REPLY), "done", "claude · 4 B"),
        (e.NodeFailed(0, "a", error=FAILED), "FAIL", "exit 3: last words"),
        (e.NodeFailed(0, "a", error=FAILED, reply=REPLY), "FAIL", "allowed · exit 3: last words"),
        (e.NodeSkipped(0, "a", reason="when", detail="x == y"), "skip", "when: x == y"),
        (e.NodeRetrying(0, "a", error=FAILED, due_at=2000), "retry", "in 2.0s · exit 3"),
        (e.NodeInvalidated(0, "a", reason="dependency", dependency="b"), "again", "'b' has another value now"),
        (e.ApprovalRequested(0, "a", request="r", message="Good?\nReally?"), "gate", "Good? Really?"),
        (
            e.ApprovalResolved(0, "a", request="r", decision="approved", comment="yes", by={"user": "ana"}),
            "reply",
            "approved by ana: yes",
        ),
        (e.NodeRetrying(0, "a", error=FAILED, due_at=2000, agent="claude"), "retry", "until claude answers · exit 3"),
        (
            e.LaneClosed(0, "claude", FAILED, 2000),
            "run",
            f"claude is not asked again before {moment(2000, 0)}, in 2.0s · exit 3",
        ),
        (e.LaneOpened(0, "claude"), "run", "claude answers again"),
        (e.WorkflowPlaced(0, "w1"), "run", "workflow placed"),
    ],
)
def test_what_is_said(event: e.Event, verb: str, said: str) -> None:
    assert (verb_of(event), said_of(event)) == (verb, said)


def test_every_state_has_a_symbol() -> None:
    assert all(symbol(state) for state in STATE_OF.values())
