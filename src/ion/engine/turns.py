"""The turn that a node is in, as the runners take it: made from the state, whichever driver carries it out."""

from __future__ import annotations

from ion.core.sessions import session_for
from ion.core.state import RunState
from ion.language.workflow import Workflow
from ion.nodes.base import Turn


def turn_of(workflow: Workflow, state: RunState, node_id: str) -> Turn:
    """The present turn of a live node."""
    node, now = workflow.by_id[node_id], state.nodes[node_id]
    session, agent = session_for(workflow, state, node, now)
    return Turn(
        node,
        now.turn or "",
        now.attempt,
        now.iteration,
        now.signaled,
        session,
        agent,
        now.reask,
        now.previous_output if now.turn == "until_bash" else now.iteration_output,
        now.user_input,
        now.rejection_reason,
        now.answer,
        now.starts,
        now.iteration_output if now.turn in ("until_bash", "gate") else None,
        now.rework,
    )
