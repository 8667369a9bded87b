"""Continuing a run: which runs may, and the events that begin the new stretch.

A run is a resume with an empty log; this module has what a log that is not empty needs besides.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import in_tree_order
from ion.core.ending import finished, finishing, told
from ion.core.state import RunState
from ion.core.waits import answered
from ion.errors import RefusedError
from ion.language.templates import templates_of
from ion.language.workflow import Workflow

# So many owners may die in a row with nothing settled in between.
MAX_DEATHS = 5


def resume_cause(state: RunState, *, agent: str | None, resume: bool = True, at: int | None = None) -> str | None:
    """Why this run can be continued: `resume` or `answer`. None: it waits for people, and no answer has come; or for a
    time after `at` (ms since the epoch; None: whatever is due may wait).

    `resume` says that somebody asked for a resume. Otherwise only an answer or a cancel is acted on, and of an
    interrupted run only what was cut off is decided anew. Raises `RefusedError` (code `ended`) for a completed or
    cancelled run.
    """
    if state.status in ("completed", "cancelled"):
        hint = "ion rerun runs it again, as a new run"
        raise RefusedError(f"the run has ended ({state.status})", code="ended", hint=hint)
    if state.status == "failed":
        return "resume" if resume else None
    if state.status == "queued":
        return "answer"  # what a resume decides anew was decided when it was queued
    if state.status == "paused":
        takes_over = agent is not None and any(
            node.prompt is not None or (node.permissions and agent != state.agent) for node in state.nodes.values()
        )
        is_due = state.due_at is not None and (resume or (at is not None and state.due_at <= at))
        return "answer" if takes_over or is_due or answered(state) else None
    return "resume" if resume and state.cancel is None else "answer"


def _is_open(state: RunState, owner: str) -> bool:
    """Whether what is inside of this composite node, and of all around it, may still run."""
    return not owner or (state.scopes[owner].is_open and _is_open(state, state.nodes[owner].owner))


def resume_events(
    workflow: Workflow,
    state: RunState,
    *,
    cause: str,
    at: int,
    by: dict[str, Any],
    agent: str | None = None,
    resume: bool = True,
    owner_died: bool = False,
    owned_until: int | None = None,
) -> list[e.Event]:
    """The events that begin a new stretch of a run. A real resume runs every `always_run` node again; continuing after
    an answer does not (language.md §10). Where somebody asked for a resume (`resume`), agents that were at their limit
    are asked again, whatever they had said. A run whose owners died one after the other is ended instead."""
    events: list[e.Event] = [e.WorkflowResumed(at, cause, agent, by, owner_died, owned_until)]
    if resume:
        events += [e.LaneOpened(at, limited) for limited in state.lanes]
    if owner_died and state.deaths + 1 >= MAX_DEATHS:
        running = ", ".join(node.id for node in state.nodes.values() if node.live) or "nothing"
        message = f"{MAX_DEATHS} processes died one after the other while they drove this run ({running} was running)"
        end = e.WorkflowFailed(at, e.Failure("poisoned", message, "ion resume tries once more"))
        if state.finishing is not None:
            last = told(state, finished(state.finishing, at))
            cut_off = (one for one in last.finally_failed if one not in state.finally_nodes)
            return [*events, replace(last, finally_failed=(*state.finally_nodes, *cut_off))]
        names = tuple(node.id for node in workflow.finally_nodes)
        return [*events, finishing(end, names) if names else told(state, end)]
    if cause == "resume" and state.finishing is None:
        events += [
            e.NodeInvalidated(at, node.id, "always_run")
            for node in in_tree_order(state)
            if state.keeps(node)
            and templates_of(workflow)[node.id].node.always_run
            and _is_open(state, node.owner)
            and node.id.partition(".")[0] not in state.finally_nodes
        ]
    return events
