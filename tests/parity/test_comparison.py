"""The comparison sees every difference that counts, and none besides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.kit import whole
from ion import parse_workflow
from ion.core import events as e
from ion.stores.memory import MemoryStore
from parity.comparison import differences, tell_events

WORKFLOW = parse_workflow(
    whole("""
    nodes:
      - {id: a, bash: echo a}
      - {id: b, bash: echo b}
      - {id: c, bash: echo c, depends_on: [a]}
      - {id: gate, approval: {message: Go, capture_response: true}, depends_on: [c]}
    """)
)


def text(said: str) -> e.Content:
    return e.Content(said)


LOG: list[e.Event] = [
    e.WorkflowStarted(1, "t", "d", (("a", "bash"), ("b", "bash"), ("c", "bash"), ("gate", "approval"))),
    e.NodeStarted(2, "a", "bash"),
    e.NodeStarted(3, "b", "bash"),
    e.NodeCompleted(4, "a", e.Reply(text("a"))),
    e.NodeStarted(5, "c", "bash", inputs={"a": "x"}),
    e.NodeCompleted(6, "b", e.Reply(text("b"))),
    e.NodeCompleted(7, "c", e.Reply(text("c"))),
    e.NodeStarted(8, "gate", "gate"),
    e.ApprovalRequested(9, "gate", "gate.1", "Go"),
    e.WorkflowPaused(10),
    e.ApprovalResolved(11, "gate", "gate.1", "approved", by={"pid": 1}),
    e.WorkflowResumed(12, "answer", by={"pid": 1}),
    e.NodeCompleted(13, "gate", e.Reply(text("Approved"))),
    e.WorkflowCompleted(14, "b"),
]


def compared(log: list[e.Event]) -> list[str]:
    return differences(*({"r": tell_events(WORKFLOW, events, MemoryStore())} for events in (LOG, log)))


def moved(old: int, new: int) -> list[e.Event]:
    log = list(LOG)
    log.insert(new, log.pop(old))
    return log


def test_a_log_is_like_itself() -> None:
    assert compared(LOG) == []


def test_when_and_by_whom_does_not_count() -> None:
    other: list[e.Event] = [*LOG]
    other[10] = e.ApprovalResolved(99, "gate", "gate.1", "approved", by={"pid": 2})
    assert compared(other) == []


@pytest.mark.parametrize(("old", "new"), [(2, 1), (5, 3), (5, 7)])
def test_what_ran_at_the_same_time_may_be_ordered_otherwise(old: int, new: int) -> None:
    assert compared(moved(old, new)) == []


@pytest.mark.parametrize(
    "changed",
    [
        lambda: LOG[:-1],
        lambda: [*LOG[:5], *LOG[6:]],
        lambda: [*LOG[:6], e.NodeCompleted(7, "c", e.Reply(text("d"))), *LOG[7:]],
        lambda: [*LOG[:4], e.NodeStarted(5, "c", "bash", inputs={"a": "y"}), *LOG[5:]],
        lambda: [*LOG[:4], e.NodeStarted(5, "c", "bash", 2, inputs={"a": "x"}), *LOG[5:]],
        lambda: [*LOG[:10], e.ApprovalResolved(11, "gate", "gate.1", "rejected"), *LOG[11:]],
        lambda: moved(5, 10),  # b ends after the pause
        lambda: moved(10, 11),  # the answer comes after the run has continued
    ],
)
def test_what_counts_is_seen(changed: Callable[[], list[e.Event]]) -> None:
    assert compared(changed())


def test_a_node_that_begins_too_early_is_seen_alone() -> None:
    with pytest.raises(AssertionError, match=r"node_started of 'c' is in the log before the end of \['a'\]"):
        tell_events(WORKFLOW, moved(4, 3), MemoryStore())


def test_a_long_text_is_compared_whole() -> None:
    """Also where one log holds it and the other names it."""
    store = MemoryStore()
    log: list[e.Event] = [*LOG]
    log[3] = e.NodeCompleted(4, "a", e.Reply(store.put_blob(b"a")))
    here, there = tell_events(WORKFLOW, LOG, store), tell_events(WORKFLOW, log, store)
    assert differences({"r": here}, {"r": there}) == []
    log[3] = e.NodeCompleted(4, "a", e.Reply(store.put_blob(b"A")))
    assert differences({"r": here}, {"r": tell_events(WORKFLOW, log, store)})
