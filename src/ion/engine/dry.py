"""The stand-ins of a dry run: the same engine and the same core, with nothing carried out (language.md §12)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from ion.core.composites import COLLECT
from ion.core.events import Content, Reply, Value
from ion.core.expanding import call_of, items_of
from ion.core.outcomes import Completed, Expanded, GateOpened, Judged, Outcome
from ion.core.values import condition_values
from ion.engine.local import Runner
from ion.errors import UnreadableReferenceError
from ion.kinds import TURNS
from ion.language.templates import Template, comparisons, templates_of
from ion.language.workflow import Approval, Cancel, Loop, Workflow
from ion.nodes import collect, expand
from ion.nodes.base import Context, Turn

_ORDERED = frozenset({"<", "<=", ">", ">="})


def stand_ins(workflow: Workflow, stubs: Mapping[str, str], note: Callable[[str], None]) -> dict[str, Runner]:
    """A runner for each turn. An agent with `output_format` returns the smallest valid value, a cancel node its
    reason, every other node `[dry run: id]`; `stubs` (node → output) override these. A loop takes one turn, a
    fan-out the items that can be read, else one. `note` is
    called for each value that a condition reads and these outputs do not have."""
    values_of = _lenient_values(workflow, note)

    async def produce(turn: Turn, context: Context) -> Outcome:
        if turn.kind == COLLECT:
            return replace(await collect.run(turn, context), signaled=True)
        text = stubs.get(turn.address, stubs.get(turn.node.id))
        output = Content(_default(turn) if text is None else text)
        return Completed(Reply(output, values_of(turn.template, output)), signaled=isinstance(turn.node.body, Loop))

    async def expand_it(turn: Turn, context: Context) -> Outcome:
        with suppress(UnreadableReferenceError):
            found = await expand.run(turn, context)
            if isinstance(found, Expanded):
                return found
        if turn.template.item is None:
            return call_of({}, "", turn.template, Content)
        return items_of([f"[dry run: an item of {turn.node.id}]"], turn.template, Content)

    async def gate(turn: Turn, _context: Context) -> Outcome:
        body = turn.node.body
        return GateOpened(body.message if isinstance(body, Approval) else "")

    async def check(_turn: Turn, _context: Context) -> Outcome:
        return Judged(done=True)

    by_outcome: dict[str, Runner] = {"output": produce, "verdict": check, "question": gate, "instances": expand_it}
    return {name: by_outcome[turn.brings] for name, turn in TURNS.items()}


def _default(turn: Turn) -> str:
    node = turn.node
    if node.output_format is not None:
        return json.dumps(smallest(node.output_format), ensure_ascii=False, separators=(",", ":"))
    return node.body.reason if isinstance(node.body, Cancel) else f"[dry run: {node.id}]"


def _lenient_values(workflow: Workflow, note: Callable[[str], None]) -> Callable[[Template, Content], dict[str, Value]]:
    """What conditions see: as in a run, but a field that a stand-in lacks is '' (1 where a number is expected)."""
    numeric = {
        comparison.reference
        for one in templates_of(workflow)
        for comparison in comparisons(one.node)
        if comparison.operator in _ORDERED
    }

    def values_of(template: Template, output: Content) -> dict[str, Value]:
        values = condition_values(template, output, lambda content: content.text or "")
        for reference in template.references:
            value = values[reference.key]
            number = reference in numeric and not _is_number(value.text or "")
            if value.error is not None or number:
                stand_in = "1" if reference in numeric else ""
                values[reference.key] = Value(text=stand_in)
                what = f"${template.node.id}.{reference.key}"
                note(f"{what} is taken to be '{stand_in}': the stand-in output has no such value")
        return values

    return values_of


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def smallest(schema: Any) -> Any:
    """A small value that fits a JSON Schema, for the keywords that authors use; others are ignored."""
    if not isinstance(schema, dict):
        return {}
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    for key in ("oneOf", "anyOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key] and "type" not in schema:
            return smallest(schema[key][0])
    return _of_type(schema)


def _of_type(schema: dict[str, Any]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: smallest(properties.get(name, {"type": "string"})) for name in schema.get("required", [])}
        case "array":
            return [smallest(schema.get("items", {"type": "string"}))] * schema.get("minItems", 0)
        case "integer" | "number":
            return max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
        case "boolean":
            return False
        case "null":
            return None
        case "string":
            return "x" * schema.get("minLength", 0)
    return {}
