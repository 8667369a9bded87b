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
from ion.core.state import NodeState
from ion.core.values import condition_values
from ion.core.waits import output_of_wait
from ion.engine.local import Runner
from ion.errors import UnreadableReferenceError
from ion.kinds import TURNS
from ion.language.references import find_references, whole_reference
from ion.language.templates import Template, comparisons, path_of, templates_of
from ion.language.values import canonical
from ion.language.workflow import Approval, Cancel, InputReference, Loop, NodeReference, Reference, Wait, Workflow
from ion.names import is_within
from ion.nodes import collect, expand
from ion.nodes.base import Context, Turn

_ORDERED = frozenset({"<", "<=", ">", ">="})


def stub_of(stubs: Mapping[str, str], address: str) -> str | None:
    """The stub of an instance: its own, else that of all instances of its node (`review.lint`)."""
    return stubs.get(address, stubs.get(nameless(path_of(address))))


def nameless(path: str) -> str:
    """The path of a node without the places of numbers: `review.#.lint` is `review.lint`."""
    return path.replace(".#", "")


def stand_ins(workflow: Workflow, stubs: Mapping[str, str], note: Callable[[str], None]) -> dict[str, Runner]:
    """A runner for each turn. An agent with `output_format` returns the smallest valid value, a cancel node its
    reason, every other node `[dry run: id]`; `stubs` (address → output) override these. A loop takes one turn; a
    fan-out has one stand-in item if its list is made of stand-ins. `note` is called for each of these, and for each
    value that a condition reads and these outputs do not have."""
    values_of = _lenient_values(workflow, note)
    lenient = _lenient_inputs(workflow)
    made_up: set[str] = set()
    stood_in: set[str] = set()

    async def produce(turn: Turn, context: Context) -> Outcome:
        if turn.kind == COLLECT:
            found = await collect.run(turn, context)
            output = found.reply.output
            return Completed(Reply(output, values_of(turn.template, output)), signaled=True)
        text = stub_of(stubs, turn.address)
        if text is None:
            text = _default(turn)
            made_up.add(text)
        output = Content(text)
        return Completed(Reply(output, values_of(turn.template, output)), signaled=isinstance(turn.node.body, Loop))

    async def expand_it(turn: Turn, context: Context) -> Outcome:
        unknown = [one for one in _sources(turn, context) if one.output is not None and one.output.text in made_up]
        inside = any(is_within(turn.address, one) for one in stood_in)
        if turn.template.item is not None and not unknown and not inside:
            return await expand.run(turn, context)
        with suppress(UnreadableReferenceError):
            found = await expand.run(turn, context)
            if isinstance(found, Expanded) and (turn.template.item is None or (found.keys and not _by_lines(turn))):
                return lenient(found)
        stood_in.add(turn.address)
        if turn.template.item is None:
            return lenient(call_of(_inputs(turn), "", turn.template, Content))
        note(_one_item(turn, unknown))
        return lenient(items_of([_item(turn)], turn.template, Content))

    async def gate(turn: Turn, _context: Context) -> Outcome:
        body = turn.node.body
        return GateOpened(body.message if isinstance(body, Approval) else "")

    async def check(_turn: Turn, _context: Context) -> Outcome:
        return Judged(done=True)

    by_outcome: dict[str, Runner] = {"output": produce, "verdict": check, "question": gate, "instances": expand_it}
    by_outcome["wait"] = produce
    return {name: by_outcome[turn.brings] for name, turn in TURNS.items()}


def _default(turn: Turn) -> str:
    node = turn.node
    if isinstance(node.body, Wait):
        return _waited(node.body)
    if node.output_format is not None:
        return json.dumps(smallest(node.output_format), ensure_ascii=False, separators=(",", ":"))
    return node.body.reason if isinstance(node.body, Cancel) else f"[dry run: {node.id}]"


def _waited(wait: Wait) -> str:
    """How a wait ends as its author hopes, at once."""
    if wait.event is not None:
        return output_of_wait("received", 0, event=wait.event, payload={})
    if wait.check is not None:
        return output_of_wait("satisfied", 0, output="")
    return output_of_wait("elapsed", 0)


def _sources(turn: Turn, context: Context) -> list[NodeState]:
    """The instances whose outputs the list of a fan-out is made of."""
    fan_out = turn.node.fan_out
    if fan_out is None:
        return []
    text = fan_out.lines if fan_out.lines is not None else canonical(fan_out.items)
    named = [one.reference.node for one in find_references(text) if isinstance(one.reference, NodeReference)]
    return [one for node in dict.fromkeys(named) if (one := turn.find(node, context)) is not None]


def _by_lines(turn: Turn) -> bool:
    return turn.node.fan_out is not None and turn.node.fan_out.lines is not None


def _item(turn: Turn) -> Any:
    """One item, as the schema of the node that makes the list describes it, if it has one."""
    fan_out = turn.node.fan_out
    reference = whole_reference(fan_out.items) if fan_out is not None else None
    source = turn.template.named(reference.node) if isinstance(reference, NodeReference) else None
    schema: Any = source.output_format if source is not None else None
    for name in reference.path if isinstance(reference, NodeReference) and schema is not None else ():
        schema = schema.get("properties", {}).get(name) if isinstance(schema, dict) else None
    items = schema.get("items") if isinstance(schema, dict) else None
    return smallest(items) if items else f"[dry run: an item of {turn.node.id}]"


def _one_item(turn: Turn, unknown: list[NodeState]) -> str:
    said = f"{turn.address} has one stand-in item"
    if not unknown:
        return said
    written = r"'a\nb'" if _by_lines(turn) else """'["a","b"]'"""
    return f"{said}: its list is made of ${unknown[0].id}.output, a stand-in; as in --stub {unknown[0].id}={written}"


def _inputs(turn: Turn) -> dict[str, Any]:
    """What a called workflow is given where that cannot be read."""
    inside = turn.template.inside
    inputs = inside.workflow.inputs if inside is not None else ()
    return {
        one.name: one.default
        if one.has_default
        else smallest({"enum": list(one.enum or ()), "type": one.type or "string"})
        for one in inputs
    }


def _lenient_inputs(workflow: Workflow) -> Callable[[Expanded], Expanded]:
    """What conditions see of a stand-in item or input: a field that it lacks is '', or 1 where a number is expected."""
    numeric = {
        ".".join((one.name, *one.path)) for one in _compared_by_order(workflow) if isinstance(one, InputReference)
    }

    def lenient(found: Expanded) -> Expanded:
        read = tuple(
            {
                name: Value(text="1" if name in numeric else "") if value.error is not None else value
                for name, value in values.items()
            }
            for values in found.read
        )
        return replace(found, read=read)

    return lenient


def _compared_by_order(workflow: Workflow) -> set[Reference]:
    return {
        comparison.reference
        for one in templates_of(workflow)
        for comparison in comparisons(one.node)
        if comparison.operator in _ORDERED
    }


def _lenient_values(workflow: Workflow, note: Callable[[str], None]) -> Callable[[Template, Content], dict[str, Value]]:
    """What conditions see: as in a run, but a field that a stand-in lacks is '' (1 where a number is expected)."""
    numeric = _compared_by_order(workflow)

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
