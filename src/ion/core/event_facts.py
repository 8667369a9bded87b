"""What one event says by itself about its run, whatever precedes it: all that a store has to know about events."""

from __future__ import annotations

from ion.core import events as e

TERMINAL_RUN_STATES = frozenset({"completed", "failed", "cancelled"})
_STATUS_AFTER: dict[type[e.Event], str] = {
    e.WorkflowStarted: "running",
    e.WorkflowPaused: "paused",
    e.WorkflowQueued: "queued",
    e.WorkflowResumed: "running",
    e.WorkflowCompleted: "completed",
    e.WorkflowFailed: "failed",
    e.WorkflowCancelled: "cancelled",
}
_CLOSES_ALL = (e.WorkflowFinishing, e.WorkflowCompleted, e.WorkflowFailed, e.WorkflowCancelled)
_CLOSES_NODE = (e.NodeStarted, e.NodeCompleted, e.NodeFailed, e.NodeSkipped, e.NodeCancelled)


def status_after(event: e.Event) -> str | None:
    """The run's status after this event, or None if it does not change. Stores keep it beside the log."""
    return _STATUS_AFTER.get(type(event))


def due_after(event: e.Event) -> tuple[bool, int | None]:
    """Whether this event changes when the run is due, and to what: the moment (ms since the epoch) from which a process
    has something to do that needs nobody's answer any more; None: there is none, or whoever drives the run knows."""
    if asked_by_others(event):
        return True, event.at
    if isinstance(event, e.WorkflowPaused):
        return True, event.due_at
    return type(event) in _STATUS_AFTER, None


def asked_by_others(event: e.Event) -> bool:
    """Whether this is a request: written by anybody at any time, also while nobody owns the run."""
    if isinstance(event, e.CancelRequested):
        return event.cause == "person"
    return isinstance(event, e.Answer | e.BudgetRaised | e.SignalReceived)


def opens(event: e.Event) -> str | None:
    """The request that this event opens for an answer."""
    return event.request if isinstance(event, e.Request) else None


def answers(event: e.Event) -> str | None:
    """The open request that this event answers; a store appends it only while that request is open."""
    return event.request if isinstance(event, e.Answer | e.GateExpired) else None


def closes_node(event: e.Event) -> str | None:
    """The node whose open requests end with this event."""
    return event.node if isinstance(event, _CLOSES_NODE) else None


def closes_all(event: e.Event) -> bool:
    """Whether every open request of the run ends with this event."""
    return isinstance(event, _CLOSES_ALL)
