"""An SOP as the YAML of its workflow, for a person to read and to continue from.

Texts are literal blocks, Unicode is kept. Comments show where a gate or a loop would be that the SOP asks for in words.
"""

from __future__ import annotations

from typing import Any

from ion.language.problems import printable
from ion.language.sop.lint import Mark, marks_of
from ion.language.sop.model import Sop
from ion.language.sop.prompts import tasks
from ion.language.sop.to_workflow import to_workflow
from ion.language.sop.yaml_text import field
from ion.language.workflow import Input, Node, Prompt, Workflow


def to_yaml(sop: Sop) -> str:
    """The YAML text of the SOP's workflow; it loads to `to_workflow(sop)`."""
    workflow = to_workflow(sop)
    made_from = printable(sop.file.rpartition("/")[2] or sop.title)
    lines = [
        f"# Made from {made_from} by 'ion convert'.",
        *field("name", workflow.name, 0),
        *field("description", workflow.description, 0),
        *_inputs(workflow),
        "nodes:",
    ]
    all_tasks, marks = tasks(sop), marks_of(sop)
    last_of = {task.step.id: task.id for task in all_tasks}
    for node, task in zip(workflow.nodes, all_tasks, strict=True):
        lines += _node(node, sop.context)
        if last_of[task.step.id] == node.id:
            lines += _suggestions(node.id, marks[task.step.id])
    return "\n".join(lines) + "\n"


def _inputs(workflow: Workflow) -> list[str]:
    lines = ["inputs:"] if workflow.inputs else []
    for declared in workflow.inputs:
        lines.append(f"  {declared.name}:")
        lines += [line for key, value in _input_fields(declared) for line in field(key, value, 4)]
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
    lines += field("prompt", node.body.text, 4)
    if node.body.continued is not None:
        lines += field("continued", node.body.continued, 4)
    return lines


def _suggestions(node: str, marks: list[Mark]) -> list[str]:
    """Comments after a step that asks for a person or goes back: its words, and the node that would do so."""
    lines = [f"  # Line {mark.line} says: {printable(mark.words)}" for mark in marks]
    if any(mark.kind == "confirmation" for mark in marks):
        lines += [
            "  # A gate here would wait for a person (let the next step depend on it):",
            f"  # - id: {node}-gate",
            f"  #   depends_on: [{node}]",
            "  #   approval:",
            "  #     message: Go on?",
        ]
    if any(mark.kind == "jump" for mark in marks):
        lines += [
            "  # A loop would go where the steps begin that are to be repeated, in their place:",
            f"  # - id: {node}-again",
            "  #   loop:",
            "  #     prompt: the texts of those steps, and when to say DONE",
            "  #     until: DONE",
            "  #     max_iterations: 5",
        ]
    return lines
