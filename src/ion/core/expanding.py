"""The items of a fan-out, and what a called workflow is given, as the log keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ion.core.events import Content, Event, ScopeFinishing, ScopeOpened, WorkflowFinishing
from ion.core.outcomes import Expanded
from ion.core.values import item_values
from ion.digests import sha256_of
from ion.foreign import loads
from ion.language.templates import ScopeTemplate, Template, Templates, path_of
from ion.language.values import canonical
from ion.language.workflow import LoopGroup


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
    return sha256_of(text.encode("utf-8", "surrogatepass"))[:16]


def impossible_scope(templates: Templates, events: Iterable[Event], read: Callable[[Content], str]) -> str:
    """What of these events, of which a state can be made, no run of this workflow has written about the inside of a
    node; '' if all of it may be so."""
    numbers: dict[tuple[str, int], str] = {}
    for event in events:
        if isinstance(event, WorkflowFinishing | ScopeFinishing) and not _is_its_finally(templates, event):
            return f"{event.type} names other nodes than its workflow has in finally"
        if not isinstance(event, ScopeOpened):
            continue
        try:
            template = templates[event.node]
        except KeyError:
            return f"'{event.node}' is not a node of its workflow"
        if template.item is None:
            if template.inside is None:
                return f"'{event.node}' has no nodes inside"
            graph = (template.inside.nodes, isinstance(template.node.body, LoopGroup), template.calls, None, ())
            if (event.nodes, event.iteration > 0, event.given is not None, event.items, event.keys) != graph:
                return f"what is inside of '{event.node}' is not what its workflow has there"
            continue
        if event.items is None or event.nodes or event.iteration or event.given is not None:
            return f"'{event.node}' has items inside, and is opened without"
        if _length(read(event.items)) != len(event.keys) or len(event.read) not in (0, len(event.keys)):
            return f"the items of '{event.node}' are not the {len(event.keys)} that it is opened with"
        for number, key in zip(event.numbers, event.keys, strict=True):
            if numbers.setdefault((event.node, number), key) != key:
                return f"'{event.node}.{number}' is the address of two items"
    return ""


def _is_its_finally(templates: Templates, event: WorkflowFinishing | ScopeFinishing) -> bool:
    """Whether the run, or a workflow that is called there, has these nodes in its `finally`, and some."""
    body: ScopeTemplate | None = templates.root
    if isinstance(event, ScopeFinishing):
        template = templates.by_path.get(path_of(event.node))
        body = template.inside if template is not None and template.calls else None
    names = () if body is None else tuple(one.node.id for one in body.finals)
    return bool(names) and event.finally_nodes == names


def _length(text: str) -> int | None:
    """How many items this JSON array has; None if it is none."""
    try:
        found = loads(text)
    except (ValueError, RecursionError):
        return None
    return len(found) if isinstance(found, list) else None
