"""Putting outputs together: those of the items of a fan-out as one JSON array, that of an iteration's nodes as the
iteration's.

An array is written item by item, so that no more than one output is in memory besides what the store keeps inline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ion.core.composites import output_of
from ion.core.events import INLINE_LIMIT_BYTES, Content
from ion.core.loops import read_signal
from ion.core.outcomes import Completed
from ion.core.state import NodeState
from ion.foreign import loads
from ion.language.workflow import LoopGroup
from ion.nodes.base import Context, Turn, reply_of
from ion.nodes.program import create, in_thread

_MANY = 200


async def run(turn: Turn, context: Context) -> Completed:
    """The output of the node, once all inside of it has settled."""
    if turn.template.item is not None:
        large = len(turn.members) > _MANY or any(now.output and now.output.text is None for now in turn.members)
        output = await in_thread(_array, turn, context) if large else _array(turn, context)
        return Completed(reply_of(turn, context, output))
    return _iteration(turn, context)


def _iteration(turn: Turn, context: Context) -> Completed:
    """The output of an iteration without signal tags, and whether it signals the end."""
    body = turn.node.body
    assert isinstance(body, LoopGroup)
    reply = output_of(turn.template, list(turn.members))
    signaled, text = read_signal(context.read(reply.output), body.until)
    output = reply.output if text == reply.output.text else context.keep(text)
    return Completed(reply_of(turn, context, output), signaled)


def _array(turn: Turn, context: Context) -> Content:
    """The outputs in the order of the items. Up to 256 KiB are kept as a text, more is streamed into a file."""
    path = Path(f"{context.folders.scratch}/{turn.log_name}.json")
    parts: list[str] = []
    size, file = 0, None
    try:
        for piece in _pieces(turn, context):
            parts.append(piece)
            size += len(piece)
            if size > INLINE_LIMIT_BYTES:
                file = file or _open(path)
                file.writelines(parts)
                parts, size = [], INLINE_LIMIT_BYTES
        if file is None:
            return context.keep("".join(parts))
        file.writelines(parts)
        file.close()
        return context.keep(path)
    finally:
        if file is not None:
            file.close()
            path.unlink(missing_ok=True)


def _open(path: Path) -> TextIO:
    create(path).close()
    return path.open("w", encoding="utf-8", errors="surrogatepass")


def _pieces(turn: Turn, context: Context) -> Iterator[str]:
    yield "["
    for number, now in enumerate(turn.members):
        yield "," if number else ""
        yield _result(turn, now, context)
    yield "]"


def _result(turn: Turn, now: NodeState, context: Context) -> str:
    """One item as JSON: its own JSON where it has any, else its text; null for a skipped one."""
    if now.status == "cancelled" or now.reason == "fail_fast":  # then, or before it began
        return json.dumps({"cancelled": True, "status": "cancelled", "node": now.id})
    if now.status == "skipped":
        return "null"
    if now.status != "completed" or now.output is None:
        return _failed(now)
    text = context.read(now.output)
    item = turn.template.item
    promised = item is not None and item.output_format is not None
    if promised or text.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(loads(text), ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError):
            pass
    return json.dumps(text, ensure_ascii=False)


def _failed(now: NodeState) -> str:
    error = now.error
    slot = {
        "failed": True,
        "archon_failed": True,
        "code": error.code if error is not None else "",
        "error": error.message if error is not None else "",
        "status": now.status,
        "node": now.id,
    }
    return json.dumps(slot, ensure_ascii=False, separators=(",", ":"))
