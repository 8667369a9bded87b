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
        node=node,
        kind=now.turn or "",
        attempt=now.attempt,
        iteration=now.iteration,
        signaled=now.signaled,
        session=session,
        session_agent=agent,
        reask=now.reask,
        previous=now.previous_output if now.turn == "until_bash" else now.iteration_output,
        user_input=now.user_input,
        rejection_reason=now.rejection_reason,
        answer=now.answer,
        start=now.starts,
        judged=now.iteration_output if now.turn in ("until_bash", "gate") else None,
        rework=now.rework,
    )
