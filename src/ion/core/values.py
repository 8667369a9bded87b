"""The values that conditions will read, taken from a node's output once, when the node completes.

Conditions read only what is in `node_completed.values` (language.md §10), so a resume years later evaluates the same
values, and a large output is never read again for a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ion.core.events import Content, ScopeFinishing, Value, WorkflowFinishing
from ion.core.state import NodeState, RunState
from ion.core.surroundings import Surroundings
from ion.digests import sha256_of
from ion.errors import ConditionError, IonError, UnreadableReferenceError
from ion.kinds import KINDS
from ion.language.conditions import Fingerprint
from ion.language.templates import Template
from ion.language.values import canonical, select_whole
from ion.language.workflow import (
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    RunReference,
)

VALUE_LIMIT_BYTES = 4096
# Of each item of a fan-out, of which there are many in one event.
ITEM_LIMIT_BYTES = 128


def condition_values(template: Template, output: Content, read: Callable[[Content], str]) -> dict[str, Value]:
    """What `node_completed.values` holds for this output of the node. `read` is asked only for a field of a JSON
    output, or for a whole output of at most 4 KiB that is not inline."""
    values: dict[str, Value] = {}
    declared = template.output_format
    for reference in template.references:
        if not reference.path and output.size > VALUE_LIMIT_BYTES:
            values[reference.key] = Value(sha256=output.sha256, length=output.size)
            continue
        try:
            value = select_whole(read(output), reference.path, declared)
        except IonError as error:
            values[reference.key] = Value(error=error.message)
        else:
            values[reference.key] = _bounded(canonical(value))
    return values


def _bounded(text: str, limit: int = VALUE_LIMIT_BYTES) -> Value:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return Value(text=text)
    return Value(sha256=sha256_of(data), length=len(data))


def item_values(references: Iterable[InputReference], value: Any, *, declared: bool = False) -> dict[str, Value]:
    """The same for an item of a fan-out, or with `declared` for the inputs of a called workflow (`value` by name)."""
    values: dict[str, Value] = {}
    limit = VALUE_LIMIT_BYTES if declared else ITEM_LIMIT_BYTES
    for reference in references:
        if declared and reference.name not in value:
            continue
        try:
            text = _field(value[reference.name] if declared else value, reference.path)
            values[_key(reference)] = _bounded(text, limit)
        except IonError as error:
            values[_key(reference)] = Value(error=error.message)
    return values


def _key(reference: InputReference) -> str:
    return ".".join((reference.name, *reference.path))


def _field(value: Any, path: tuple[str, ...]) -> str:
    """The text of a JSON value, or of a field of it."""
    return canonical(select_whole(canonical(value), path)) if path else canonical(value)


def lookup(state: RunState, around: Surroundings) -> Callable[[Reference], str | Fingerprint]:
    """How a condition reads its references in this state, with these surroundings.

    The returned function raises `ConditionError` for what cannot be read: the output of a failed node, a field of a
    skipped one, a missing field, an input that was not given.
    """

    def read(reference: Reference) -> str | Fingerprint:
        match reference:
            case NodeReference(node, path):
                found = around.find(state.nodes, node)
                if found is None:
                    raise ConditionError(f"'{node}' cannot be read here")
                if around.ending is not None and not found.succeeded:
                    return ""
                return _node_value(found, node, path)
            case PreviousReference(node, path):
                before = state.nodes.get(f"{around.previous}{node}") if around.iteration > 1 else None
                return _node_value(before, node, path) if before is not None else ""
            case InputReference():
                return _input_value(state, around, reference)
            case EngineReference(name):
                named = {"ITEM_INDEX": around.item_index, "ITEM_COUNT": around.item_count}
                value = named.get(name, around.iteration)
                return "" if value is None else str(value)
            case OutcomeReference(node, name):
                return canonical(outcome_value(state.nodes, around.find(state.nodes, node), name))
            case RunReference(name):
                return end_value(around.ending, name)

    return read


def outcome_value(nodes: Mapping[str, NodeState], now: NodeState | None, name: str) -> str | int:
    """What `$node.outcome.name` says of a node. It can always be read: what there is not is ''."""
    if now is None:
        return ""
    error, reply = now.error, now.progress.reply
    match name:
        case "status":
            return now.status
        case "code":
            return "" if error is None else error.code
        case "message":
            return "" if error is None else _without_nul(error.message)
        case "attempts":
            return now.attempts
        case "exit_status":
            if now.status == "completed" and KINDS[now.kind].runs_program:
                return 0
            return "" if error is None or error.exit_status is None else error.exit_status
        case "stderr":
            return _without_nul(error.stderr if error is not None else reply.stderr if reply is not None else "")
    statuses = [one.status for one in nodes.values() if one.owner == now.id]
    wanted = ("failed", "cancelled") if name == "failed" else (name,)
    return len(statuses) if name == "total" else sum(status in wanted for status in statuses)


def _without_nul(text: str) -> str:
    """The text as bash can hold it, so that whoever tells of a failure does not fail by what was printed."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def end_value(ending: WorkflowFinishing | ScopeFinishing | None, name: str) -> str:
    """What `$RUN.name` says, in `finally`, of the end of the workflow."""
    if ending is None:
        return ""
    if name == "status":
        return ending.status
    return _without_nul(ending.error.message if ending.error is not None else ending.reason)


def _input_value(state: RunState, around: Surroundings, reference: InputReference) -> str | Fingerprint:
    for given in around.given:
        if given.name in (reference.name, None):
            if _key(reference) not in given.values and given.name is None:
                raise ConditionError(f"'{reference.name}' was not given to the workflow")
            return _recorded(given.values.get(_key(reference)), f"$INPUTS.{_key(reference)}")
    inputs = state.started.inputs if state.started else {}
    if reference.name not in inputs:
        raise ConditionError(f"the run has no input '{reference.name}'", hint="declare it under inputs:")
    try:
        return _field(inputs[reference.name], reference.path)
    except UnreadableReferenceError as error:
        raise ConditionError(error.message, hint=error.hint) from error


def _recorded(value: Value | None, name: str) -> str | Fingerprint:
    if value is None:
        raise ConditionError(f"the value of {name} was not recorded")
    if value.error is not None:
        raise ConditionError(value.error)
    return Fingerprint(value.sha256, value.length) if value.sha256 is not None else value.text or ""


def _node_value(now: NodeState, node: str, path: tuple[str, ...]) -> str | Fingerprint:
    if now.succeeded:
        key = ".".join(("output", *path))
        values = now.progress.reply.values if now.progress.reply is not None else {}
        return _recorded(values.get(key), f"${node}.{key}")
    if now.status == "skipped" and not path:
        return ""
    if now.status == "skipped":
        raise ConditionError(f"'{node}' was skipped, so it has no field '{'.'.join(path)}'")
    raise ConditionError(f"'{node}' {now.status}, so its output cannot be read")
