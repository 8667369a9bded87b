"""What a `wait` node does next (language.md §14): it has begun, it takes a signal, it is over, or it has expired.

When a wait is over is recorded once, as it begins: it ends at that time or later, whoever drives the run by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ion.core import events as e
from ion.core.state import NodeState, RunState
from ion.core.values import condition_values
from ion.foreign import loads
from ion.language.templates import Template
from ion.language.workflow import Wait


def wait_begun(now: NodeState, wait: Wait, until: int | None, at: int) -> e.WaitStarted:
    """The wait begins now. `until` is the instant that its text named."""
    if wait.event is None and wait.check is None:
        return e.WaitStarted(at, now.id, e.TIMER, at + wait.duration_ms if wait.duration_ms is not None else until)
    due_at = None if wait.deadline_ms is None else at + wait.deadline_ms
    return e.WaitStarted(at, now.id, e.CHECK if wait.check is not None else e.SIGNAL, due_at, wait.event or "")


def wait_ended(template: Template, state: RunState, now: NodeState, wait: e.WaitStarted, at: int) -> e.Event | None:
    """The end of this wait, if it is over; None: not yet."""
    body = template.node.body
    assert isinstance(body, Wait)
    signal = next(signals_for(state, now), None)
    if signal is not None:
        return _completed(template, now, wait, "received", at, signal)
    if wait.due_at is None or at < wait.due_at:
        return None
    if wait.kind == e.TIMER:
        return _completed(template, now, wait, "elapsed", at)
    what = f"the signal '{wait.event}' did not come" if wait.kind == e.SIGNAL else "the check did not pass"
    message = f"{what} within {wait.due_at - wait.at} ms"
    match body.on_expired:
        case "fail":
            return e.NodeFailed(at, now.id, e.Failure("timeout", message))
        case "skip":
            return e.NodeSkipped(at, now.id, "expired", message)
    return _completed(template, now, wait, "expired", at)


def next_check(wait: e.WaitStarted, every_ms: int, error: e.Failure, at: int) -> e.NodeRetrying:
    """The check has not passed: it is tried again, or the wait expires before that."""
    due_at = at + every_ms
    return e.NodeRetrying(at, wait.node, error, due_at if wait.due_at is None else max(at, min(due_at, wait.due_at)))


def signals_for(state: RunState, now: NodeState) -> Iterator[e.SignalReceived]:
    """The signals that this wait may take, oldest first."""
    wait = now.wait
    if wait is None or wait.kind != e.SIGNAL:
        return iter(())
    return (one for one in state.signals.values() if one.event == wait.event and one.target in (None, now.id))


def answered(state: RunState) -> bool:
    """Whether an answer or a larger budget came that nothing has acted on yet, or the run was asked to end."""
    if state.cancel is not None or (state.over_budget and not state.is_spent):
        return True
    return any(node.is_answered or (state.signals and any(signals_for(state, node))) for node in state.nodes.values())


def _completed(
    template: Template,
    now: NodeState,
    wait: e.WaitStarted,
    status: str,
    at: int,
    signal: e.SignalReceived | None = None,
) -> e.NodeCompleted:
    text = output_of_wait(
        status,
        at - wait.at,
        **({"event": wait.event} if wait.kind == e.SIGNAL else {}),
        **({"payload": loads(signal.payload)} if signal is not None and signal.payload is not None else {}),
    )
    output = e.Content(text)
    reply = e.Reply(output, condition_values(template, output, lambda _: text))
    return e.NodeCompleted(at, now.id, reply, signal=signal.id if signal is not None else None)


def output_of_wait(status: str, waited_ms: int, **more: Any) -> str:
    """The output of a wait (language.md §14)."""
    found = {"status": status, "waited_ms": max(0, waited_ms), **more}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
