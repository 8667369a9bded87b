"""Which session a prompt continues (language.md §3.3). The loader computes the chain (`Node.continues`)."""

from __future__ import annotations

from ion.core.state import NodeState, RunState
from ion.language.workflow import Loop, Node, Workflow

Session = tuple[str | None, str | None]
FRESH: Session = (None, None)


def session_for(workflow: Workflow, state: RunState, node: Node, now: NodeState) -> Session:
    """The session and the agent that it belongs to, or `FRESH`.

    A re-asked prompt gets a session of its own, and so does a gate's rework, which continues no other.
    """
    if now.tries.reask:
        return FRESH
    if isinstance(node.body, Loop):
        return FRESH if node.body.fresh_context else (now.session, now.agent)
    source = node.continues
    while source is not None:
        before = state.nodes[source]
        if before.status == "completed":
            return before.session, before.agent
        source = workflow.by_id[source].continues
    return FRESH
