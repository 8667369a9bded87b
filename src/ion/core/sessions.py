"""Which session a prompt continues (language.md §3.3). The loader computes the chain (`Node.continues`)."""

from __future__ import annotations

from ion.core.state import NodeState, RunState
from ion.core.surroundings import Surroundings
from ion.language.templates import Template
from ion.language.workflow import Loop, LoopGroup

Session = tuple[str | None, str | None]
FRESH: Session = (None, None)


def session_for(template: Template, state: RunState, now: NodeState, around: Surroundings) -> Session:
    """The session and the agent that it belongs to, or `FRESH`.

    A re-asked prompt gets a session of its own, and so does a gate's rework, which continues no other.
    """
    node = template.node
    if now.tries.reask:
        return FRESH
    if isinstance(node.body, Loop):
        return FRESH if node.body.fresh_context else (now.session, now.agent)
    owner = template.body.owner
    if around.iteration > 1 and owner is not None and isinstance(owner.node.body, LoopGroup):
        before = state.nodes.get(f"{around.previous}{node.id}")
        if before is not None and before.session is not None and not owner.node.body.fresh_context:
            return before.session, before.agent
    source: Template | None = template
    while source is not None and source.node.continues is not None:
        found = around.find(state.nodes, source.node.continues)
        if found is not None and found.status == "completed":
            return found.session, found.agent
        source = template.named(source.node.continues)
    return FRESH
