"""The turn that a node is in, as the runners take it: made from the state, whichever driver carries it out."""

from __future__ import annotations

from ion.core.addresses import members_of
from ion.core.events import PromptAnswered
from ion.core.sessions import session_for
from ion.core.state import RunState
from ion.core.surroundings import surroundings
from ion.kinds import KINDS, TURNS
from ion.language.templates import templates_of
from ion.language.workflow import Workflow
from ion.nodes.base import Turn


def turn_of(workflow: Workflow, state: RunState, node_id: str) -> Turn:
    """The present turn of a live instance."""
    template, now = templates_of(workflow)[node_id], state.nodes[node_id]
    assert now.turn is not None, "a node that is live has one"
    turn, iterates, last = TURNS[now.turn], KINDS[now.kind].iterates, now.last_output
    around = surroundings(state, template, node_id, inside=not turn.of_instances and template.inside is not None)
    session, agent = session_for(template, state, now, around)
    return Turn(
        template=template,
        kind=now.turn,
        address=node_id,
        around=around,
        members=tuple(members_of(state, node_id)) if turn.of_instances else (),
        attempt=now.tries.attempt,
        iteration=now.progress.iteration,
        signaled=now.progress.signaled,
        session=session,
        session_agent=agent,
        session_total=state.session_totals.get(session, {}) if session is not None else {},
        reask=now.tries.reask,
        previous=now.progress.previous_output if turn.brings == "verdict" else last if iterates else None,
        user_input=now.progress.user_input,
        rejection_reason=now.progress.rejection_reason,
        answer=now.answer if isinstance(now.answer, PromptAnswered) else None,
        start=now.starts,
        judged=last if iterates and not turn.is_work else None,
        rework=None if iterates else last,
        waits_since=now.wait.at if now.wait is not None else None,
    )
