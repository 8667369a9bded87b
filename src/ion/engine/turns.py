"""The turn that a node is in, as the runners take it: made from the state, whichever driver carries it out."""

from __future__ import annotations

from ion.core.events import PromptAnswered
from ion.core.sessions import session_for
from ion.core.state import RunState
from ion.kinds import KINDS, TURNS
from ion.language.workflow import Workflow
from ion.nodes.base import Turn


def turn_of(workflow: Workflow, state: RunState, node_id: str) -> Turn:
    """The present turn of a live node."""
    node, now = workflow.by_id[node_id], state.nodes[node_id]
    session, agent = session_for(workflow, state, node, now)
    assert now.turn is not None, "a node that is live has one"
    turn, iterates, last = TURNS[now.turn], KINDS[now.kind].iterates, now.last_output
    return Turn(
        node=node,
        kind=now.turn,
        attempt=now.tries.attempt,
        iteration=now.progress.iteration,
        signaled=now.progress.signaled,
        session=session,
        session_agent=agent,
        reask=now.tries.reask,
        previous=now.progress.previous_output if turn.brings == "verdict" else last if iterates else None,
        user_input=now.progress.user_input,
        rejection_reason=now.progress.rejection_reason,
        answer=now.answer if isinstance(now.answer, PromptAnswered) else None,
        start=now.starts,
        judged=last if iterates and not turn.is_work else None,
        rework=None if iterates else last,
    )
