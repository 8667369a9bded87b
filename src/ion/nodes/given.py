"""What an instance finds around it: its items and the inputs of the called workflow that it is in.

A list of items is read and parsed once, however many instances there are of it.
"""

from __future__ import annotations

from typing import Any

from ion.core.events import Content
from ion.foreign import loads
from ion.nodes.base import Context, Turn

# The lists that were read last, by their text, or its hash.
_KEPT = 8
_parsed: dict[str, Any] = {}


def inputs_of(turn: Turn, context: Context) -> tuple[dict[str, Any], str]:
    """The inputs that the turn sees, by name, and the text that is its `$ARGUMENTS`."""
    items: dict[str, Any] = {}
    inputs, arguments = context.inputs, context.arguments
    for given in turn.around.given:
        value = parsed(given.content, context)
        if given.name is None:
            inputs, arguments = value["inputs"], value["arguments"]
        elif given.name:
            items.setdefault(given.name, value[given.place])
    return {**inputs, **items} if items else inputs, arguments


def parsed(content: Content, context: Context) -> Any:
    """The JSON of a content that Ion wrote."""
    key = content.text if content.text is not None else content.blob or ""
    value = _parsed.get(key)
    if value is None:
        value = loads(context.read(content))
        while len(_parsed) >= _KEPT:
            del _parsed[next(iter(_parsed))]
        _parsed[key] = value
    return value
