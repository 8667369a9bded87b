"""The values that conditions will read, taken from a node's output once, when the node completes.

Conditions read only what is in `node_completed.values` (language.md §10), so a resume years later evaluates the same
values, and a large output is never read again for a comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ion.core.events import Content, Value
from ion.core.state import RunState
from ion.errors import ConditionError, IonError
from ion.language.conditions import Fingerprint
from ion.language.references import reference_text
from ion.language.values import canonical, select_whole
from ion.language.workflow import InputReference, NodeReference, Reference, Workflow

VALUE_LIMIT_BYTES = 4096


def condition_values(
    workflow: Workflow, node: str, output: Content, read: Callable[[Content], str]
) -> dict[str, Value]:
    """What `node_completed.values` holds for this output. `read` is asked only for a field of a JSON output, or for a
    whole output of at most 4 KiB that is not inline."""
    values: dict[str, Value] = {}
    declared = workflow.by_id[node].output_format
    for reference in workflow.condition_references.get(node, ()):
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


def _bounded(text: str) -> Value:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= VALUE_LIMIT_BYTES:
        return Value(text=text)
    return Value(sha256=hashlib.sha256(data).hexdigest(), length=len(data))


def lookup(state: RunState, inputs: dict[str, Any]) -> Callable[[Reference], str | Fingerprint]:
    """How a condition reads its references in this state.

    The returned function raises `ConditionError` for what cannot be read: the output of a failed node, a field of a
    skipped one, a missing field, an input that was not given.
    """

    def read(reference: Reference) -> str | Fingerprint:
        if isinstance(reference, InputReference):
            if reference.name not in inputs:
                raise ConditionError(f"the run has no input '{reference.name}'", hint="declare it under inputs:")
            return canonical(_field(inputs[reference.name], reference))
        if isinstance(reference, NodeReference):
            return _node_value(state, reference)
        raise ConditionError(f"{reference_text(reference)} has no value here")

    return read


def _field(value: Any, reference: InputReference) -> Any:
    for name in reference.path:
        if not isinstance(value, dict) or name not in value:
            raise ConditionError(f"{reference_text(reference)} cannot be read: unknown field '{name}'")
        value = value[name]
    return value


def _node_value(state: RunState, reference: NodeReference) -> str | Fingerprint:
    node = state.nodes[reference.node]
    if node.status == "completed":
        value = node.progress.reply.values.get(reference.key) if node.progress.reply is not None else None
        if value is None:
            raise ConditionError(f"the value of ${reference.node}.{reference.key} was not recorded")
        if value.error is not None:
            raise ConditionError(value.error)
        return Fingerprint(value.sha256, value.length) if value.sha256 is not None else value.text or ""
    if node.status == "skipped" and not reference.path:
        return ""
    if node.status == "skipped":
        raise ConditionError(f"'{reference.node}' was skipped, so it has no field '{'.'.join(reference.path)}'")
    raise ConditionError(f"'{reference.node}' {node.status}, so its output cannot be read")
