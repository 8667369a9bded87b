"""What the output of a node can be, as far as the file tells: prose, a list of results, an object with fields."""

from __future__ import annotations

from typing import Any

from ion.errors import Problem
from ion.kinds import AGENT_KINDS
from ion.language.order import names_in
from ion.language.references import reference_text
from ion.language.shape import Draft
from ion.language.surroundings import Checker
from ion.language.texts import Text, note
from ion.language.workflow import COUNTS, OUTCOMES, WAIT_OUTPUT, NodeReference, OutcomeReference


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
        followed = {other for one in target.inside for other in names_in(one, "depends_on")}
        sinks = [one for one in target.inside if one.id not in followed]
        known[target.path] = sinks if found is None else [found]
    return known[target.path]


def _is_fanned(target: Draft, name: str, checker: Checker) -> bool:
    """Whether the node that `name` means, which `target` is or brings, has an outcome for each item."""
    block = checker.findings.named.get(target.path)
    if block is None or not target.spliced:
        return "fan_out" in target.raw
    brought = name.removeprefix(f"{target.id}__") if name != target.id else block.output
    return block.workflow.by_id[brought].fan_out is not None


def check_outcome(checker: Checker, target: Draft, text: Text, reference: OutcomeReference, offset: int) -> None:
    """Only a node that is fanned out can be counted."""
    if reference.name in COUNTS and not _is_fanned(target, reference.node, checker):
        shown = reference_text(reference)
        message = f"'{reference.node}' is not fanned out, so there is nothing that {shown} counts"
        hint = f"${reference.node}.outcome has {', '.join(OUTCOMES)}"
        note(checker.report, Problem("bad-outcome", message, hint=hint, length=len(shown)), text, offset)


def check_field(checker: Checker, target: Draft, text: Text, reference: NodeReference, offset: int) -> None:
    """A field of what a node with an inside gives: its own outputs are looked at, since no schema is its own."""
    shown, field_name = reference_text(reference), reference.path[0]
    block = checker.findings.named.get(target.path)
    if _is_fanned(target, reference.node, checker):
        message = (
            f"'{reference.node}' is fanned out, so its output is a list of results, without the field '{field_name}'"
        )
        hint = "read the list in a script, or fan out over it"
        note(checker.report, Problem("field-of-list", message, hint=hint, length=len(shown)), text, offset)
        return
    if target.spliced or target.kind not in ("group", "loop_group", "workflow"):
        return
    if target.kind == "workflow":
        formats = [one.output_format for one in block.outputs("", False)] if block else []
    else:
        formats = [
            WAIT_OUTPUT if one.kind == "wait" else one.raw.get("output_format") for one in _outputs(target, checker)
        ]
    if not all(_declares(one, field_name) for one in formats):
        message = f"the output of '{reference.node}' is not declared to have the field '{field_name}'"
        hint = "name the node that answers in 'returns', and give that node an output_format with the field"
        note(checker.report, Problem("undeclared-field", message, hint=hint, length=len(shown)), text, offset)


def _declares(output_format: Any, name: str) -> bool:
    properties = output_format.get("properties", {name: {}}) if isinstance(output_format, dict) else {}
    return isinstance(properties, dict) and name in properties
