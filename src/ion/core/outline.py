"""Events as a cluster carries them: without the long outputs, at which a plan does not look."""

from __future__ import annotations

from msgspec.structs import replace

from ion.core import events as e
from ion.core.composites import has_text

_OUTLINE_LENGTH = 1024


def outline(event: e.Event) -> e.Event:
    """The event with a long output as a reference: a plan looks at no more of it than whether it is blank. But the
    output of a node in a graph inside of another may become that one's: the plan writes it into the log once more."""
    if not isinstance(event, e.NodeCompleted | e.NodeFailed) or event.reply is None or _may_be_handed_on(event.node):
        return event
    output = event.reply.output
    if len(output.text or "") <= _OUTLINE_LENGTH or not has_text(output):
        return event
    return replace(event, reply=replace(event.reply, output=e.Content(blob=output.sha256, length=output.size)))


def _may_be_handed_on(address: str) -> bool:
    owner, _, member = address.rpartition(".")
    return bool(owner) and not member.isdigit()
