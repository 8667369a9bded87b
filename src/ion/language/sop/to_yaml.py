"""An SOP as the YAML of its workflow, for a person to read and to go on from.

The writer is our own, since texts must come back to the byte: PyYAML's refuses block scalars for lines that end in
blanks. Comments show where a gate or a loop would go that the SOP asks for in words.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ion.language.problems import printable
from ion.language.sop.lint import Mark, step_marks
from ion.language.sop.model import Sop
from ion.language.sop.prompts import tasks
from ion.language.sop.to_workflow import to_workflow
from ion.language.source import forbidden
from ion.language.workflow import Input, Node, Prompt, Workflow

# What YAML takes for a line break besides \n, or would not give back.
_NOT_IN_BLOCKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NOT_PLAIN = frozenset({"true", "false", "null"})
_LONG = 100


def to_yaml(sop: Sop) -> str:
    """The YAML text of the SOP's workflow; it loads to `to_workflow(sop)`."""
    workflow = to_workflow(sop)
    made_from = printable(sop.file.rpartition("/")[2] or sop.title)
    lines = [
        f"# Made from {made_from} by 'ion convert'.",
        *_field("name", workflow.name, 0),
        *_field("description", workflow.description, 0),
        *_inputs(workflow),
        "nodes:",
    ]
    marks = {step.id: step_marks(step, sop) for step in sop.steps}
    told: set[str] = set()
    last_of = {task.step.id: task.id for task in tasks(sop)}
    for node, task in zip(workflow.nodes, tasks(sop), strict=True):
        if task.step.id not in told:
            told.add(task.step.id)
            lines += _suggestions(last_of[task.step.id], marks[task.step.id])
        lines += _node(node, sop.context)
    return "\n".join(lines) + "\n"


def _inputs(workflow: Workflow) -> list[str]:
    lines = ["inputs:"] if workflow.inputs else []
    for declared in workflow.inputs:
        lines.append(f"  {declared.name}:")
        lines += [line for key, value in _input_fields(declared) for line in _field(key, value, 4)]
    return lines


def _input_fields(declared: Input) -> list[tuple[str, Any]]:
    fields: list[tuple[str, Any]] = []
    if declared.required:
        fields.append(("required", True))
    if declared.has_default:
        fields.append(("default", declared.default))
    if declared.type:
        fields.append(("type", declared.type))
    if declared.refers_to:
        fields.append(("refers_to", list(declared.refers_to)))
    if declared.placeholder is not None:
        fields.append(("placeholder", declared.placeholder))
    return [*fields, ("description", declared.description)]


def _node(node: Node, context: str) -> list[str]:
    assert isinstance(node.body, Prompt), "the steps of an SOP are prompts"
    lines = [f"  - id: {node.id}"]
    if node.depends_on:
        lines.append(f"    depends_on: [{', '.join(node.depends_on)}]")
    if context == "fresh":
        lines.append("    context: fresh")
    lines += _field("prompt", node.body.text, 4)
    if node.body.continued is not None:
        lines += _field("continued", node.body.continued, 4)
    return lines


def _suggestions(node: str, marks: list[Mark]) -> list[str]:
    """Comments before a step that goes back or asks for a person: what it says, and the node to put there instead."""
    lines = [f"  # line {mark.line} says: {printable(mark.words)}" for mark in marks]
    if any(mark.kind == "confirmation" for mark in marks):
        lines += [
            "  # A gate after this step would be, with the next step depending on it:",
            f"  #   - id: {node}-gate",
            f"  #     depends_on: [{node}]",
            "  #     approval:",
            "  #       message: Go on?",
        ]
    if any(mark.kind == "jump" for mark in marks):
        lines += [
            "  # To repeat instead of going back, make one loop of the steps between, in place of 'prompt':",
            "  #     loop:",
            "  #       prompt: (the texts of those steps)",
            "  #       until: DONE",
            "  #       max_iterations: 5",
        ]
    return lines


def _field(key: str, value: Any, indent: int) -> list[str]:
    head = f"{' ' * indent}{key}:"
    if not isinstance(value, str):
        return [f"{head} {json.dumps(value, ensure_ascii=False)}"]
    if _fits_block(value):
        inner = " " * (indent + 2)
        hint = "2" if value[0] in " \n\t" else ""
        return [f"{head} |{hint}-", *(inner + line if line else "" for line in value.split("\n"))]
    return [f"{head} {_quoted(value)}"]


def _fits_block(value: str) -> bool:
    """Whether a text is written as a block: one that is long or has lines, and that YAML gives back as it is."""
    if not value.strip() or value.endswith("\n") or ("\n" not in value and len(value) <= _LONG):
        return False
    return not (_NOT_IN_BLOCKS.search(value) or forbidden().search(value))


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    escaped = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_BLOCKS.sub(lambda match: f"\\u{ord(match[0]):04x}", forbidden().sub(_escape, escaped))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"
