"""What happened, in a word and a line: an event as people read it in a list, in the words of `ion watch --plain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ion.core import events as e
from ion.views.text import duration, moment, one_line, plural, size
from ion.views.words import failure_text

if TYPE_CHECKING:
    from collections.abc import Callable

# verb → what the state of that name looks like
STATE_OF = {
    "start": "running",
    "done": "completed",
    "FAIL": "failed",
    "skip": "skipped",
    "stop": "cancelled",
    "retry": "retry",
    "again": "pending",
    "turn": "completed",
    "gate": "waiting",
    "reply": "completed",
    "wait": "waiting",
    "late": "failed",
}


def verb_of(event: e.Event) -> str:
    """`start`, `done`, `FAIL` …; `run` for what is not about a node."""
    return _OF.get(type(event), ("run", _type))[0] if isinstance(event, e.NodeEvent) else "run"


def said_of(event: e.Event) -> str:
    """The rest of the line."""
    return one_line(_OF.get(type(event), ("run", _type))[1](event))


def _type(event: e.Event) -> str:
    return event.type.replace("_", " ")


def _parts(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def _workflow(event: e.WorkflowStarted) -> str:
    return f"started {event.workflow}"


def _resumed(event: e.WorkflowResumed) -> str:
    return _parts("continues", "answered" if event.cause == "answer" else "", "its owner died" * event.owner_died)


def _started(event: e.NodeStarted) -> str:
    iteration = f"iteration {event.iteration}" if event.iteration else ""
    return _parts(event.turn, iteration, f"attempt {event.attempt}" if event.attempt > 1 else "")


def _reply(reply: e.Reply) -> str:
    return _parts(reply.agent, size(reply.output.size), *reply.notes)


def _failed(event: e.NodeFailed) -> str:
    text = failure_text(event.error)
    return _parts("allowed" if event.reply is not None else "", ": ".join([text.headline, *text.said[-1:]]))


def _skipped(event: e.NodeSkipped) -> str:
    return f"{'when:' if event.reason == 'when' else event.reason} {event.detail}"


def _retrying(event: e.NodeRetrying) -> str:
    if event.agent is not None:
        return _parts(f"until {event.agent} answers", failure_text(event.error).headline)
    delay = duration(max(0, event.due_at - event.at))
    return _parts(f"asked again in {delay}" if event.reask else f"in {delay}", failure_text(event.error).headline)


def closed_until(event: e.LaneClosed) -> str:
    """Until when an agent is not asked, and why."""
    again = f"{moment(event.until, event.at)}, in {duration(max(0, event.until - event.at))}"
    return _parts(f"is not asked again before {again}", failure_text(event.error).headline)


def _scope(event: e.ScopeOpened) -> str:
    items = plural(len(event.keys), "item") if event.items is not None else ""
    return _parts(items, f"iteration {event.iteration}" if event.iteration else "")


def waits_for(event: e.WaitStarted) -> str:
    """What a wait is for, and until when."""
    what = {e.TIMER: "", e.SIGNAL: f"for the signal {event.event}", e.CHECK: "for its check"}[event.kind]
    until = "" if event.due_at is None else f"until {moment(event.due_at, event.at)}"
    return " ".join(filter(None, (what, until)))


def _answered(event: e.ApprovalResolved) -> str:
    by = f" by {event.by['user']}" if event.by.get("user") else ""
    return f"{event.decision}{by}{f': {event.comment}' if event.comment else ''}"


def _invalidated(event: e.NodeInvalidated) -> str:
    return event.reason if event.dependency is None else f"'{event.dependency}' has another value now"


# type of event → its verb, and what makes the rest of the line
_OF: dict[type[e.Event], tuple[str, Callable[..., str]]] = {
    e.WorkflowStarted: ("run", _workflow),
    e.WorkflowResumed: ("run", _resumed),
    e.WorkflowCompleted: ("run", lambda _event: "completed"),
    e.WorkflowFailed: ("run", lambda event: f"failed: {failure_text(event.error).headline}"),
    e.WorkflowCancelled: ("run", lambda event: _parts("cancelled", event.reason)),
    e.WorkflowPaused: ("run", lambda event: "paused: its budget is spent" if event.over_budget else "paused"),
    e.CancelRequested: ("run", lambda event: _parts("is to end", event.reason)),
    e.LaneClosed: ("run", lambda event: f"{event.agent} {closed_until(event)}"),
    e.LaneOpened: ("run", lambda event: f"{event.agent} answers again"),
    e.NodeStarted: ("start", _started),
    e.NodeCompleted: ("done", lambda event: _reply(event.reply)),
    e.NodeFailed: ("FAIL", _failed),
    e.NodeSkipped: ("skip", _skipped),
    e.NodeCancelled: ("stop", lambda event: event.reason),
    e.NodeRetrying: ("retry", _retrying),
    e.NodeInvalidated: ("again", _invalidated),
    e.ScopeOpened: ("start", _scope),
    e.IterationCompleted: ("turn", lambda event: _parts(f"iteration {event.iteration}", "done" * event.signaled)),
    e.IterationJudged: ("turn", lambda event: f"iteration {event.iteration} is not the last: until_bash said no"),
    e.WorkflowQueued: ("run", lambda _event: "queued"),
    e.ApprovalRequested: ("gate", lambda event: event.message),
    e.GateReminded: ("gate", lambda _event: "is still open"),
    e.GateExpired: ("late", lambda event: f"nobody answered: {event.decision}"),
    e.WaitStarted: ("wait", waits_for),
    e.SignalReceived: ("run", lambda event: f"the signal {event.event}"),
    e.ApprovalResolved: ("reply", _answered),
    e.PromptRequested: ("wait", lambda _event: "its prompt waits for an agent"),
    e.PromptAnswered: ("reply", lambda event: size(event.output.size)),
}
