"""A new run that keeps what an old one has done: which outcomes stay, as events of the new log."""

from __future__ import annotations

from ion.core import events as e
from ion.core.state import NodeState, RunState
from ion.errors import NotFoundError
from ion.language.workflow import Workflow


def kept_events(workflow: Workflow, state: RunState, from_node: str, at: int) -> list[e.Event]:
    """The outcomes of all completed nodes that neither are `from_node` nor wait for it, directly or through others,
    each with the values that it saw, so that one whose dependencies then come out differently runs again all the same.

    Raises `NotFoundError` for a node that is not there.
    """
    if from_node not in workflow.by_id:
        names = ", ".join(node.id for node in workflow.nodes[:20])
        raise NotFoundError(f"the run has no node '{from_node}'", hint=f"its nodes: {names}")
    anew = _after(workflow, from_node)
    events: list[e.Event] = []
    for node in workflow.nodes:
        now = state.nodes[node.id]
        if node.id not in anew and not node.always_run and now.status == "completed" and now.output is not None:
            events += _kept(now, now.output, at)
    return events


def _after(workflow: Workflow, node: str) -> set[str]:
    """The node, and all that wait for it."""
    dependents: dict[str, list[str]] = {one.id: [] for one in workflow.nodes}
    for one in workflow.nodes:
        for other in one.waits_for:
            dependents[other].append(one.id)
    found, left = {node}, [node]
    while left:
        new = [one for one in dependents[left.pop()] if one not in found]
        found.update(new)
        left += new
    return found


def _kept(now: NodeState, output: e.Content, at: int) -> list[e.Event]:
    turn = {"approval": "gate", "command": "prompt", "loop": "prompt"}.get(now.kind, now.kind)
    return [
        e.NodeStarted(at, now.id, turn, inputs=now.inputs),
        e.NodeCompleted(at, now.id, output, now.values, now.session, now.agent, repaired=now.repaired, notes=now.notes),
    ]
