"""The items of a fan-out, and what a called workflow is given, as the log keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ion.core.events import Content
from ion.core.outcomes import Expanded
from ion.core.values import item_values
from ion.language.templates import Template
from ion.language.values import canonical


def items_of(items: list[Any], template: Template, keep: Callable[[str], Content]) -> Expanded:
    """What a fan-out begins with, for these items (JSON). An item is known again by the hash of its text."""
    fan_out = template.node.fan_out
    references = template.input_references(fan_out.name) if fan_out is not None and fan_out.name else ()
    return Expanded(
        items=keep(canonical(items)),
        keys=tuple(_key(item) for item in items),
        read=tuple(item_values(references, item) for item in items) if references else (),
    )


def call_of(inputs: dict[str, Any], arguments: str, template: Template, keep: Callable[[str], Content]) -> Expanded:
    """What a called workflow begins with."""
    references = template.input_references(None)
    values = item_values(references, inputs, declared=True)
    return Expanded(
        given=keep(canonical({"inputs": inputs, "arguments": arguments})), read=(values,) if references else ()
    )


def _key(item: Any) -> str:
    # A text is not the number that is written like it.
    text = f"{type(item).__name__}:{canonical(item)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
