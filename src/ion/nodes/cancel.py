"""A node that ends the run: its output is the reason, and the core ends the run."""

from __future__ import annotations

from ion.core.events import Reply
from ion.core.outcomes import Completed, Outcome
from ion.language.workflow import Cancel
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values


async def run(turn: Turn, context: Context) -> Outcome:
    """Render the reason. Raises `UnreadableReferenceError`."""
    body = turn.node.body
    assert isinstance(body, Cancel)
    return Completed(Reply(context.keep(Values(turn, context).render(body.reason))))
