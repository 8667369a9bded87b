"""What a file's texts and conditions refer to: other nodes, inputs, command and script files.

For each node its condition is parsed, its shell text is analysed, and each reference is looked up; `order.py` then
makes the graph. The findings are what lowering needs. Nothing here stops at the first problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from ion.errors import Problem
from ion.kinds import AGENT_KINDS, BOUND_KINDS
from ion.language.conditions import ConditionSyntaxError, parse_condition
from ion.language.document import DocumentPath
from ion.language.lookalikes import find_lookalikes
from ion.language.order import Nodes, Use, check_order, check_sessions
from ion.language.problems import Report
from ion.language.references import ITEM_NAMES, find_references, reference_text
from ion.language.resources import SCRIPT_SUFFIXES, CommandSource, Resources, ScriptSource
from ion.language.rules import agent_defaults
from ion.language.shape import Draft, Shape
from ion.language.shell.placing import place
from ion.language.source import trim
from ion.language.texts import Text, is_code, node_texts, note
from ion.language.workflow import (
    Condition,
    EngineReference,
    InputReference,
    NodeReference,
    PreviousReference,
    Reference,
    Shell,
    variable_name,
)

_NAMES_SHOWN = 12
_ESCAPE_HINT = "write \\$ for a literal dollar sign"


class Findings(Struct):
    """What was found, by the index of the node if it concerns one node; `shells` are keyed by path too."""

    conditions: dict[int, Condition] = field(default_factory=dict)
    shells: dict[DocumentPath, Shell] = field(default_factory=dict)
    order: dict[int, list[str]] = field(default_factory=dict)
    continues: dict[str, str] = field(default_factory=dict)
    commands: dict[str, CommandSource] = field(default_factory=dict)
    scripts: dict[str, ScriptSource] = field(default_factory=dict)


class _Checker(Struct):
    shape: Shape
    report: Report
    findings: Findings
    nodes: Nodes
    inputs: frozenset[str]


def check_references(shape: Shape, resources: Resources | None, report: Report) -> Findings:
    """All checks that need more than one node. Without `resources`, command and script files are not looked for."""
    declared = shape.raw.get("inputs")
    inputs = frozenset(declared if isinstance(declared, dict) else ())
    checker = _Checker(shape, report, Findings(), Nodes.of(shape), inputs)
    if resources is not None:
        for draft in shape.drafts:
            _find_files(checker, draft, resources)
    _check_workflow_env(checker)
    defaults = agent_defaults(shape.raw)
    for draft in shape.drafts:
        if not draft.later:
            _check_condition(checker, draft)
            for text in node_texts(draft, defaults, checker.findings.commands):
                _check_text(checker, draft, text)
    checker.findings.order = check_order(shape, checker.nodes, report)
    checker.findings.continues = check_sessions(shape, checker.nodes, report)
    return checker.findings


# Files


def _find_files(checker: _Checker, draft: Draft, resources: Resources) -> None:
    command = draft.raw.get("command") if draft.kind == "command" else None
    path: DocumentPath = (*draft.path, "command")
    if draft.kind == "loop" and isinstance(draft.raw["loop"], dict):
        command, path = draft.raw["loop"].get("command"), (*draft.path, "loop", "command")
    if isinstance(command, str) and _is_name(command):
        _find_command(checker, command, path, resources)
    script, runtime = draft.raw.get("script"), draft.raw.get("runtime")
    if draft.kind != "script" or not isinstance(script, str) or runtime not in SCRIPT_SUFFIXES:
        return
    if not is_code(trim(script)) and _is_name(trim(script)):
        _find_script(checker, trim(script), runtime, (*draft.path, "script"), resources)


def _is_name(name: str) -> bool:
    return bool(name) and not re.search(r"[/\\\0]|\.\.|^\.", name)


def _find_command(checker: _Checker, name: str, path: DocumentPath, resources: Resources) -> None:
    if name in checker.findings.commands:
        return
    found = resources.command(name)
    if found is None:
        hint = "\n".join([*_shipped_elsewhere(name), *_looked_in(resources, "command", name)])
        checker.report.error("missing-file", f"unknown command file '{name}.md'", path, hint=hint)
        return
    checker.findings.commands[name] = found
    for problem in found.problems:
        checker.report.add(problem)


def _shipped_elsewhere(name: str) -> list[str]:
    """The origin of a command that workflows of Archon use without having it in their project."""
    if not name.startswith("archon-"):
        return []
    folder = ".archon/commands/defaults"
    return [f"it ships with Archon: copy {folder} of Archon's repository to {folder} of your project"]


def _looked_in(resources: Resources, kind: str, name: str) -> list[str]:
    links = [f"{path} leads out of the project: it is skipped" for path in resources.passed_over(kind, name)]
    return [*links, "looked in", *resources.places(kind)]


def _find_script(checker: _Checker, name: str, runtime: str, path: DocumentPath, resources: Resources) -> None:
    found = resources.script(name, runtime)
    if found is None:
        others = [other for other in SCRIPT_SUFFIXES if SCRIPT_SUFFIXES[other] != SCRIPT_SUFFIXES[runtime]]
        there = next((script for other in others if (script := resources.script(name, other))), None)
        wanted = " or ".join(f"'{name}{suffix}'" for suffix in SCRIPT_SUFFIXES[runtime])
        hint = "\n".join(_looked_in(resources, "script", name))
        if there is not None:
            hint = f"{there.path} is there, but {runtime} does not run it: change 'runtime'"
        checker.report.error("missing-file", f"unknown script {wanted}", path, hint=hint)
        return
    if name in checker.findings.scripts and checker.findings.scripts[name].path != found.path:
        message = f"'{name}' names two scripts: {checker.findings.scripts[name].entry} and {found.entry}"
        checker.report.error("bad-name", message, path, hint="rename one of them")
        return
    if name not in checker.findings.scripts:
        checker.findings.scripts[name] = found
        for problem in found.problems:
            checker.report.add(problem)


# Conditions


def _check_condition(checker: _Checker, draft: Draft) -> None:
    when = draft.raw.get("when")
    if not isinstance(when, str):
        return
    path = (*draft.path, "when")
    try:
        condition = parse_condition(when)
    except ConditionSyntaxError as error:
        checker.report.error("bad-condition", error.message, path, hint=error.hint, within=(when, error.offset, 1))
        return
    checker.findings.conditions[draft.index] = condition
    text = Text(path, when, when, bound=False)
    for comparison in (comparison for group in condition.alternatives for comparison in group):
        reference = comparison.reference
        offset = _offset_in_condition(when, reference)
        _check_reference(checker, draft, text, reference, offset)
        target = checker.nodes.by_id.get(reference.node) if isinstance(reference, NodeReference) else None
        prose = target is not None and target.kind in AGENT_KINDS and "output_format" not in target.raw
        if prose and isinstance(reference, NodeReference) and not reference.path:
            message = f"'{reference.node}' answers in prose, which never equals a fixed text"
            hint = f"give '{reference.node}' an output_format and compare a field of it"
            checker.report.error(
                "prose-compared", message, path, hint=hint, within=(when, offset, 1 + len(reference.node))
            )


def _offset_in_condition(when: str, reference: Reference) -> int:
    name = f"INPUTS.{reference.name}" if isinstance(reference, InputReference) else ""
    name = reference.node if isinstance(reference, NodeReference) else name
    found = re.search(rf"\${re.escape(name)}(?![\w-])", when)
    return found.start() if found else 0


# Texts


def _check_text(checker: _Checker, draft: Draft, text: Text) -> None:
    if text.form == "shell":
        result = place(text.text)
        strict = draft.raw.get("strict", checker.shape.raw.get("strict")) is True
        checker.findings.shells[text.path] = replace(result.shell, strict=strict)
        for found in result.problems:
            problem = Problem(found.code, found.message, found.severity, hint=found.hint)
            note(checker.report, problem, text, found.offset)
        references: Iterator[tuple[Reference, int]] = ((item.reference, item.start) for item in result.shell.placements)
    else:
        references = ((item.reference, item.start) for item in find_references(text.text))
    spliced = False
    told: set[str] = set()
    for reference, offset in references:
        if text.form == "code" and not isinstance(reference, NodeReference):
            _name_in_code(checker, text, reference, offset, told)
            continue
        if text.form == "code" and not spliced:
            spliced = True
            message = f"{reference_text(reference)} is pasted into the code as it is"
            hint = f"pass it by name: with: {{value: {reference_text(reference)}}}, and read INPUTS_VALUE"
            note(checker.report, Problem("reference-in-script", message, "warning", hint=hint), text, offset)
        if reference_text(reference) not in told:
            told.add(reference_text(reference))
            _check_reference(checker, draft, text, reference, offset)
    if text.form != "code":
        _check_lookalikes(checker, text)
    if text.path[-1:] == ("from",) and "with" in text.path:
        _check_from(checker, text)


def _check_lookalikes(checker: _Checker, text: Text) -> None:
    for found in find_lookalikes(text.text, checker.nodes.by_id, checker.inputs, shell=text.form == "shell"):
        message = f"{found.text} is not a reference: it stays as it is"
        problem = Problem("not-a-reference", message, "warning", hint=found.hint, length=len(found.text))
        note(checker.report, problem, text, found.start)


def _name_in_code(checker: _Checker, text: Text, reference: Reference, offset: int, told: set[str]) -> None:
    """Engine names and inputs stay text in a script (language.md §5.2); Archon warns about them too."""
    name = reference_text(reference)
    if name not in told:
        told.add(name)
        variable = name.removeprefix("$")
        if isinstance(reference, InputReference):
            variable = variable_name(reference.name)
        hint = f"read the environment variable {variable}"
        note(
            checker.report,
            Problem("name-in-script", f"{name} stays text in a script", "warning", hint=hint),
            text,
            offset,
        )


def _check_from(checker: _Checker, text: Text) -> None:
    found = find_references(text.text)
    whole = len(found) == 1 and (found[0].start, found[0].end) == (0, len(text.text))
    if not whole or isinstance(found[0].reference, EngineReference):
        message = "'from' takes one whole reference to a node"
        note(checker.report, Problem("bad-binding", message, hint="write from: $node.output.field"), text, 0)


def _check_reference(checker: _Checker, draft: Draft, text: Text, reference: Reference, offset: int) -> None:
    length = len(reference_text(reference))
    home = _home_of(reference)
    if home:
        message = f"{reference_text(reference)} is not a reference: it stays as it is"
        hint = f"it is a name only inside of a {home}"
        note(checker.report, Problem("not-a-reference", message, "warning", hint=hint, length=length), text, offset)
    if isinstance(reference, InputReference):
        bindings = draft.raw.get("with") if text.bound and draft.kind in BOUND_KINDS else None
        _check_input(checker, bindings if isinstance(bindings, dict) else {}, text, reference, offset)
    elif isinstance(reference, NodeReference):
        if reference.node == draft.id:
            message = f"'{draft.id}' refers to its own output, which is empty while it runs"
            note(checker.report, Problem("self-reference", message, "warning", length=length), text, offset)
        elif reference.node in checker.nodes.by_id:
            uses = checker.nodes.uses.setdefault(draft.index, {})
            uses.setdefault(reference.node, Use(reference, text, offset))
        elif not checker.nodes.may_be_included(reference.node):
            meant = checker.report.suggest(reference.node, checker.nodes.by_id)
            hint = _otherwise(checker, text, offset, reference.node, meant)
            message = f"'{draft.name}' refers to {reference_text(reference)}, but no node has that id"
            note(checker.report, Problem("unknown-node", message, hint=hint, length=length), text, offset)


def _home_of(reference: Reference) -> str:
    """Where this is a name, if not everywhere."""
    if isinstance(reference, PreviousReference):
        return "loop_group"
    return "fan_out" if isinstance(reference, EngineReference) and reference.name in ITEM_NAMES else ""


def _otherwise(checker: _Checker, text: Text, offset: int, name: str, meant: str) -> str:
    """The hint for an unknown node name; `meant` is the nearest known name, if any is near."""
    if text.form == "shell":
        joined = text.text[max(0, offset - 1) : offset].isalnum()  # `$file$n.output`
        variable = f"if ${name} is a variable of the script, write ${{{name}}}.output"
        return variable if joined else meant or variable
    if text.path[-1] == "when":
        names = list(checker.nodes.by_id)
        shown = [*names[:_NAMES_SHOWN], "…"] if len(names) > _NAMES_SHOWN else names
        return meant or f"the nodes are {', '.join(shown)}"
    return f"{meant}\n{_ESCAPE_HINT}" if meant else _ESCAPE_HINT


def _check_input(
    checker: _Checker, bound: Mapping[str, Any], text: Text, reference: InputReference, offset: int
) -> None:
    if reference.name not in checker.inputs and reference.name not in bound:
        meant = checker.report.suggest(reference.name, [*checker.inputs, *bound])
        hint = meant or f"declare it: inputs: {{{reference.name}: {{}}}}"
        message = f"'{reference.name}' is not a declared input; the node fails when it uses it"
        length = len(reference_text(reference))
        note(checker.report, Problem("undeclared-input", message, "warning", hint=hint, length=length), text, offset)


def _check_workflow_env(checker: _Checker) -> None:
    env = checker.shape.raw.get("env")
    for name, value in env.items() if isinstance(env, dict) else ():
        for found in find_references(value) if isinstance(value, str) else ():
            text = Text(("env", name), value, value)
            if isinstance(found.reference, NodeReference):
                message = "the workflow's 'env' cannot refer to a node: it is the same for all of them"
                problem = Problem("env-names-node", message, hint="put it into the 'env' of the nodes that need it")
                note(checker.report, problem, text, found.start)
            elif isinstance(found.reference, InputReference):
                _check_input(checker, {}, text, found.reference, found.start)
