"""An SOP as the YAML of its workflow, as an agent skill (agentskills.io), as a command of the Cursor editor.

The YAML is for a person to read and to continue from; comments show where a gate or a loop would be that the SOP asks
for in words. Its fields are written here and not by PyYAML, which refuses block scalars for lines that end in blanks:
every text must come back byte for byte. A skill and a command contain the SOP's text as it is, after one of their own.
"""

from __future__ import annotations

import json
import re
from typing import Any

from msgspec import Struct

from ion.language.problems import printable
from ion.language.sop.lint import Mark, marks_of
from ion.language.sop.model import Parameter, Sop
from ion.language.sop.steps import slug
from ion.language.sop.to_workflow import tasks, to_workflow
from ion.language.source import forbidden
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


# Fields of YAML

# What YAML takes for a line break besides \n, or would not give back.
_NOT_IN_BLOCKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NOT_PLAIN = frozenset({"true", "false", "null"})
_LONG = 100


def field(key: str, value: Any, indent: int = 0) -> list[str]:
    """The lines of `key: value`: texts of several lines as literal blocks, Unicode is kept."""
    head = f"{' ' * indent}{key}:"
    if not isinstance(value, str):
        return [f"{head} {json.dumps(value, ensure_ascii=False)}"]
    if _fits_block(value):
        inner = " " * (indent + 2)
        hint = "2" if value[0] in " \n\t" else ""
        return [f"{head} |{hint}-", *(inner + line if line else "" for line in value.split("\n"))]
    return [f"{head} {quoted(value)}"]


def quoted(value: str) -> str:
    """A text on one line, in quotes unless it is a plain word."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    escaped = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_BLOCKS.sub(_escape, forbidden().sub(_escape, escaped))


def _fits_block(value: str) -> bool:
    """Whether a text is written as a block: it is long or has several lines, and YAML reads it back unchanged."""
    if not value.strip() or value.endswith("\n") or ("\n" not in value and len(value) <= _LONG):
        return False
    return not (_NOT_IN_BLOCKS.search(value) or forbidden().search(value))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


# Skills and commands

# The limits of the skill format.
MAX_SKILL_NAME = 64
MAX_SKILL_DESCRIPTION = 1024


class Exported(Struct, frozen=True, gc=False):
    """A file to write: `path` is relative to the folder that the tool reads."""

    path: str
    text: str


def to_skill(sop: Sop) -> Exported:
    """`<name>/SKILL.md`; the name has only characters that skills may have, and so may differ from the SOP's."""
    name = (slug(sop.name) or slug(sop.title) or "sop")[:MAX_SKILL_NAME].strip("-")
    description = _cut(sop.description or sop.title, MAX_SKILL_DESCRIPTION)
    front = ["---", *field("name", name), f"description: {_one_line(description)}", "---"]
    return Exported(f"{name}/SKILL.md", "\n".join(front) + f"\n\n{sop.body}\n")


def to_cursor(sop: Sop) -> Exported:
    """`<name>.md`: what to do with the words after the command, then the SOP."""
    name = slug(sop.name) or slug(sop.title) or "sop"
    head = [
        f"Carry out the procedure '{' '.join(sop.title.split())}' below, step by step, in its order.",
        "The values of its parameters are in what I say besides this command.",
    ]
    required = [one.name for one in sop.parameters if one.required]
    if required:
        head.append(f"Ask me, all at once, for those of {', '.join(required)} that I have not given.")
    lines = [*head, "", *map(_parameter, sop.parameters), *([""] if sop.parameters else []), "---", "", sop.body]
    return Exported(f"{name}.md", "\n".join(lines) + "\n")


def _parameter(parameter: Parameter) -> str:
    status = "required" if parameter.required else "optional"
    return f"- {parameter.name} ({status}): {' '.join(parameter.description.split())}"


def _cut(text: str, length: int) -> str:
    """At most `length` characters, ending at a word."""
    if len(text) <= length:
        return text
    return (text[: length - 1].rpartition(" ")[0] or text[: length - 1]) + "…"


def _one_line(text: str) -> str:
    """Always in quotes, since readers of front matter differ in what they take for plain."""
    written = quoted(text)
    return written if written.startswith('"') else f'"{written}"'
