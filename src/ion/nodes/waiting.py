"""The turns of a `wait`: the instant that its text names is read, or its check is tried."""

from __future__ import annotations

from ion import clocks
from ion.core.outcomes import Completed, Outcome, WaitOpened
from ion.core.waits import output_of_wait
from ion.errors import UnreadableReferenceError
from ion.language.values import moment
from ion.language.workflow import Wait
from ion.names import LATEST_MS
from ion.nodes import bash
from ion.nodes.base import Context, Turn, reply_of
from ion.nodes.texts import Values


async def begin(turn: Turn, context: Context) -> Outcome:
    """Read until when it is. Raises `UnreadableReferenceError` if that is not an instant."""
    body = turn.node.body
    assert isinstance(body, Wait)
    if body.until is None:
        return WaitOpened()
    try:
        until = moment(Values(turn, context).render(body.until))
    except ValueError as error:
        raise UnreadableReferenceError(f"wait until: {error}") from error
    if not 0 <= until <= LATEST_MS:
        raise UnreadableReferenceError("wait until: that is out of range", hint="the year is at most 9999")
    return WaitOpened(until)


async def check(turn: Turn, context: Context) -> Outcome:
    """Run the check once; exit status 0 ends the wait, with what it printed."""
    body = turn.node.body
    assert isinstance(body, Wait)
    assert body.check is not None
    assert turn.waits_since is not None
    ended = await bash.run_check(body.check, turn, context)
    if not isinstance(ended, Completed):
        return ended
    printed = context.read(ended.reply.output)
    text = output_of_wait("satisfied", clocks.now_ms() - turn.waits_since, output=printed)
    return Completed(reply_of(turn, context, context.keep(text)))
