"""Reading what a composite node is given before its instances begin: the items of a fan-out, the inputs of a called
workflow."""

from __future__ import annotations

from typing import Any

from ion.core.events import Failure
from ion.core.expanding import call_of, items_of
from ion.core.outcomes import Expanded, Failed, Outcome
from ion.foreign import loads
from ion.language.inputs import input_value, with_defaults
from ion.language.references import whole_reference
from ion.language.values import canonical, describe
from ion.language.workflow import FanOut, WorkflowCall
from ion.nodes.base import Context, Turn
from ion.nodes.given import parsed
from ion.nodes.texts import Values


async def run(turn: Turn, context: Context) -> Outcome:
    """Raises `UnreadableReferenceError` for what cannot be read."""
    node, values = turn.node, Values(turn, context)
    if node.fan_out is not None:
        items = _items(node.fan_out, values)
        if isinstance(items, str):
            return Failed(Failure("bad_items", items, "the items are a JSON array; lines: takes the lines of a text"))
        most = node.fan_out.max_items
        if len(items) > most:
            hint = "max_items of the fan_out may raise it, up to 10000"
            return Failed(Failure("bad_items", f"there are {len(items)} items, and at most {most} are allowed", hint))
        return items_of(items, turn.template, context.keep)
    if isinstance(node.body, WorkflowCall):
        return _call(turn, context, values, node.body)
    return Expanded()


def _items(fan_out: FanOut, values: Values) -> list[Any] | str:
    """The items, or what is wrong with them."""
    if fan_out.lines is not None:
        lines = (line.removesuffix("\r") for line in values.render(fan_out.lines).split("\n"))
        return [line for line in lines if line]
    found = values.outer(fan_out.items)
    if isinstance(found, str):
        written = whole_reference(fan_out.items)
        what = fan_out.items if written is not None else "items"
        try:
            found = loads(found)
        except ValueError:
            return f"{what} is not a JSON array: it is text"
        except RecursionError:
            return f"{what} is nested too deeply"
    return found if isinstance(found, list) else f"the items are {describe(found)}, not a JSON array"


def _call(turn: Turn, context: Context, values: Values, body: WorkflowCall) -> Outcome:
    """The inputs as the called workflow declares them, with its defaults; the item, if it is fanned out, is one of
    them, and its text."""
    bound, arguments = dict(values.bindings), values.render(body.input or "")
    if turn.is_item:
        given = turn.around.given[0]
        item = parsed(given.content, context)[given.place]
        bound, arguments = bound | ({given.name: item} if given.name else {}), canonical(item)
    inputs = turn.template.inside.workflow.inputs if turn.template.inside is not None else ()
    for declared in inputs:
        try:
            if declared.name in bound:
                bound[declared.name] = input_value(declared, bound[declared.name])
        except ValueError as error:
            return Failed(Failure("inputs", f"input '{declared.name}' of {body.name} {error}"))
    return call_of({**bound, **with_defaults(inputs, bound)}, arguments, turn.template, context.keep)
