"""Turns that only fill in a text: the message of a gate, which asks a person, and the reason of a node that ends the
run."""

from __future__ import annotations

from ion.core.events import Reply
from ion.core.outcomes import Completed, GateOpened, Outcome
from ion.language.workflow import Approval, Cancel, Loop, LoopGroup
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values, printable

# As much as a person may want to read before they decide; an event holds it all.
_EXCERPT_CHARACTERS = 50_000


async def gate(turn: Turn, context: Context) -> Outcome:
    """Render the message of an approval, or of the gate of an interactive loop. Raises `UnreadableReferenceError`; then
    nobody is asked."""
    values = Values(turn, context)
    match turn.node.body:
        case Approval(message):
            return GateOpened(values.render(message))
        case Loop() | LoopGroup() as loop:
            said = values.render(loop.gate_message or "")
            parts = (_status(turn, loop), _excerpt(turn, context), said)
            return GateOpened("\n\n".join(part for part in parts if part))
    raise TypeError(f"'{turn.node.id}' has no gate")


async def cancel(turn: Turn, context: Context) -> Outcome:
    """Render the reason, which is the node's output; the core ends the run. Raises `UnreadableReferenceError`."""
    body = turn.node.body
    assert isinstance(body, Cancel)
    return Completed(Reply(context.keep(Values(turn, context).render(body.reason))))


def _status(turn: Turn, loop: Loop | LoopGroup) -> str:
    """What approving would mean now (language.md §7)."""
    count = f"Iteration {turn.iteration} of {loop.max_iterations}"
    is_last = turn.iteration >= loop.max_iterations
    if turn.signaled:
        another = "" if is_last else "; approve with a comment for another iteration"
        return f"{count}: done, by its own account. Approve to finish{another}."
    if is_last:
        return f"{count}: not done, and another iteration cannot follow: approved or rejected, it does not complete."
    return f"{count}: not done yet. Approve for another iteration; a comment reaches it."


def _excerpt(turn: Turn, context: Context) -> str:
    """The iteration's output, shortened in the middle if it is long."""
    text = "" if turn.previous is None else printable(context.read(turn.previous)).strip()
    if len(text) <= _EXCERPT_CHARACTERS:
        return text
    head, tail = _EXCERPT_CHARACTERS * 2 // 3, _EXCERPT_CHARACTERS // 3
    return f"{text[:head].rstrip()}\n… ({len(text) - head - tail} characters left out) …\n{text[-tail:].lstrip()}"
