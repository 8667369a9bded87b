"""What the output of a node can be, as far as the file tells: prose, a list of results, an object with fields."""

from __future__ import annotations

from typing import Any

from ion.errors import Problem
from ion.kinds import AGENT_KINDS
from ion.language.references import reference_text
from ion.language.shape import Draft
from ion.language.surroundings import Checker
from ion.language.texts import Text, note
from ion.language.workflow import NodeReference


def is_prose(target: Draft, name: str, checker: Checker) -> bool:
    """Whether the whole output of a node is what an agent says in its own words."""
    if "fan_out" in target.raw:
        return False
    if target.kind in ("group", "loop_group"):
        return any(is_prose(one, one.id, checker) for one in _outputs(target, checker))
    block = checker.findings.named.get(target.path)
    if block is not None:
        nodes = block.outputs(name.removeprefix(f"{target.id}__") if name != target.id else "", target.spliced)
        return any(node.kind in AGENT_KINDS and node.output_format is None and not node.fan_out for node in nodes)
    return target.kind in AGENT_KINDS and "output_format" not in target.raw


def _outputs(target: Draft, checker: Checker) -> list[Draft]:
    """The nodes whose output may be that of a group or loop_group."""
    known = checker.findings.outputs
    if target.path not in known:
        graph, body = checker.findings.graphs.get(target.path), target.raw[target.kind]
        returns = body.get("returns") if isinstance(body, dict) else None
        found = graph.find(returns) if graph is not None and isinstance(returns, str) else None
        followed = {other for one in target.inside for other in _listed(one)}
        sinks = [one for one in target.inside if one.id not in followed]
        known[target.path] = sinks if found is None else [found]
    return known[target.path]


def _listed(draft: Draft) -> list[str]:
    listed = draft.raw.get("depends_on")
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def check_field(checker: Checker, target: Draft, text: Text, reference: NodeReference, offset: int) -> None:
    """A field of what a node with an inside gives: its own outputs are looked at, since no schema is its own."""
    shown, field_name = reference_text(reference), reference.path[0]
    block = checker.findings.named.get(target.path)
    brought = reference.node != target.id and block is not None
    node = block.workflow.by_id[reference.node.removeprefix(f"{target.id}__")] if block and brought else None
    if node.fan_out is not None if node is not None else "fan_out" in target.raw:
        message = (
            f"'{reference.node}' is fanned out, so its output is a list of results, without the field '{field_name}'"
        )
        hint = "read the list in a script, or fan out over it"
        note(checker.report, Problem("field-of-list", message, hint=hint, length=len(shown)), text, offset)
        return
    if node is not None or target.spliced or target.kind not in ("group", "loop_group", "workflow"):
        return
    if target.kind == "workflow":
        formats = [one.output_format for one in block.outputs("", False)] if block else []
    else:
        formats = [one.raw.get("output_format") for one in _outputs(target, checker)]
    if not all(_declares(one, field_name) for one in formats):
        message = f"the output of '{reference.node}' is not declared to have the field '{field_name}'"
        hint = "name the node that answers in 'returns', and give that node an output_format with the field"
        note(checker.report, Problem("undeclared-field", message, hint=hint, length=len(shown)), text, offset)


def _declares(output_format: Any, name: str) -> bool:
    properties = output_format.get("properties", {name: {}}) if isinstance(output_format, dict) else {}
    return isinstance(properties, dict) and name in properties
