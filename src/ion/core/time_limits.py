"""How long a run, and a node with others inside, may take. That time passes only while some process owns the run."""

from __future__ import annotations

from ion.core import events as e
from ion.core.state import NodeState, RunState
from ion.language.templates import Template
from ion.language.workflow import Workflow


def limit_of(template: Template, state: RunState, now: NodeState) -> int | None:
    """At which value of `RunState.owned` the time of a node is over, if it is bounded and has begun; of a called
    workflow that is finishing, the time of its `finally`."""
    scope = state.scopes.get(now.id) if template.called is not None else None
    if scope is not None and scope.finishing is not None and template.called is not None:
        return scope.finishing_from + template.called.finally_timeout_ms
    limit = template.limit_ms
    return None if limit is None or now.timed_from is None else now.timed_from + limit


def timed_out(template: Template, state: RunState, now: NodeState, at: int) -> e.Failure | None:
    """The failure of a node whose time, for all inside of it together, is over."""
    limit = limit_of(template, state, now)
    if limit is None or state.owned(at) < limit:
        return None
    message = f"it took longer than {template.limit_ms} ms"
    return e.Failure("timeout", message, "ion resume gives it the same time again")


def run_deadline(workflow: Workflow, state: RunState) -> int | None:
    """When the run's time is used up, if a process keeps owning it."""
    if workflow.timeout_ms is None or state.cancel is not None or state.finishing is not None:
        return None
    return reached_at(state, workflow.timeout_ms + state.timed_from)


def finally_deadline(workflow: Workflow, state: RunState) -> int | None:
    """When the time of the run's `finally` is over, if that runs."""
    return None if state.finishing is None else state.finishing_since + workflow.finally_timeout_ms


def run_overdue(workflow: Workflow, state: RunState, at: int) -> e.CancelRequested | None:
    """The end of a run whose time is used up."""
    deadline = run_deadline(workflow, state)
    if deadline is None or at < deadline:
        return None
    return e.CancelRequested(at, f"the run took longer than {workflow.timeout_ms} ms", "timeout")


def reached_at(state: RunState, owned_ms: int) -> int | None:
    """When the run will have been owned for so long, if a process keeps owning it; None: nobody does."""
    return None if state.owned_since is None else state.owned_since + owned_ms - state.owned_ms
