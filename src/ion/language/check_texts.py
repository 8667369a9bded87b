"""The references of one text: each is looked up, the nearest graph first, and becomes an edge of the order."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from ion.errors import Problem
from ion.kinds import BOUND_KINDS
from ion.language.check_outputs import check_field, check_outcome
from ion.language.lookalikes import find_lookalikes, is_assigned
from ion.language.order import Graph, Use
from ion.language.references import find_references, reference_text, whole_reference
from ion.language.shape import Draft
from ion.language.shell.placing import place
from ion.language.surroundings import Checker, Surroundings
from ion.language.texts import Text, note
from ion.language.workflow import (
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    RunReference,
    variable_name,
)
from ion.names import ITEM_NAMES

_NAMES_SHOWN = 12
_ESCAPE_HINT = "write \\$ for a literal dollar sign"


def check_text(checker: Checker, around: Surroundings, text: Text) -> None:
    if text.form == "shell":
        references: Iterator[tuple[Reference, int]] = iter(_place(checker, around, text))
    else:
        references = ((item.reference, item.start) for item in find_references(text.text))
    spliced = False
    told: set[str] = set()
    for reference, offset in references:
        if text.form == "code" and not isinstance(reference, NodeReference):
            _name_in_code(checker, around, text, reference, offset, told)
            continue
        if text.form == "code" and not spliced:
            spliced = True
            message = f"{reference_text(reference)} is pasted into the code as it is"
            hint = f"pass it by name: with: {{value: {reference_text(reference)}}}, and read INPUTS_VALUE"
            note(checker.report, Problem("reference-in-script", message, "warning", hint=hint), text, offset)
        if reference_text(reference) in told:
            continue
        told.add(reference_text(reference))
        if isinstance(reference, RunReference) and text.form == "shell" and is_assigned("RUN", text.text):
            continue  # it is the script's own variable
        if home := home_of(reference, around):
            message = f"{reference_text(reference)} is not a reference: it stays as it is"
            hint, length = f"it is a name only {home}", len(reference_text(reference))
            problem = Problem("not-a-reference", message, "warning", hint=hint, length=length)
            note(checker.report, problem, text, offset)
        else:
            check_reference(checker, around, text, reference, offset)
    if text.form != "code":
        _check_lookalikes(checker, around, text)
    if text.path[-1:] == ("from",) and "with" in text.path:
        _check_from(checker, text)


def _place(checker: Checker, around: Surroundings, text: Text) -> list[tuple[Reference, int]]:
    """The references of shell text. One outside of its place stays the script's own."""
    result = place(text.text)
    strict = around.draft.raw.get("strict", checker.shape.raw.get("strict")) is True
    placements = tuple(one for one in result.shell.placements if not home_of(one.reference, around))
    checker.findings.shells[text.path] = replace(result.shell, strict=strict, placements=placements)
    for found in result.problems:
        problem = Problem(found.code, found.message, found.severity, hint=found.hint)
        note(checker.report, problem, text, found.offset)
    return [(item.reference, item.start) for item in result.shell.placements]


def _check_lookalikes(checker: Checker, around: Surroundings, text: Text) -> None:
    for found in find_lookalikes(text.text, around.graph, checker.inputs, shell=text.form == "shell"):
        message = f"{found.text} is not a reference: it stays as it is"
        problem = Problem("not-a-reference", message, "warning", hint=found.hint, length=len(found.text))
        note(checker.report, problem, text, found.start)


def _name_in_code(
    checker: Checker, around: Surroundings, text: Text, reference: Reference, offset: int, told: set[str]
) -> None:
    """Names other than a node's output stay text in a script (language.md §5.2); Archon warns about its own too."""
    name = reference_text(reference)
    is_word = isinstance(reference, OutcomeReference) and reference.node not in around.graph
    if name in told or is_word or home_of(reference, around):
        return
    told.add(name)
    hint = f"read the environment variable {name.removeprefix('$')}"
    if isinstance(reference, InputReference):
        hint = f"read the environment variable {variable_name(reference.name)}"
        checker.findings.reads.add(reference.name)
    elif isinstance(reference, OutcomeReference | RunReference):
        hint = f"pass it by name: with: {{value: {name}}}, and read INPUTS_VALUE"
    problem = Problem("name-in-script", f"{name} stays text in a script", "warning", hint=hint)
    note(checker.report, problem, text, offset)


def _check_from(checker: Checker, text: Text) -> None:
    whole = whole_reference(text.text)
    if whole is None or isinstance(whole, EngineReference):
        message = "'from' takes one whole reference to a node"
        note(checker.report, Problem("bad-binding", message, hint="write from: $node.output.field"), text, 0)


def check_reference(
    checker: Checker, around: Surroundings, text: Text, reference: Reference, offset: int
) -> Draft | None:
    """Look a reference up, and return the node of this file that it names."""
    if isinstance(reference, InputReference):
        _check_input(checker, around, text, reference, offset)
    elif isinstance(reference, PreviousReference):
        loop = around.inside if text.seen == "inside" else around.loop
        if loop is not None and loop.find(reference.node) is None and not loop.may_be_brought(reference.node):
            _unknown_node(checker, around, text, reference, offset, [*loop.by_id, *loop.brought])
    elif isinstance(reference, NodeReference | OutcomeReference):
        target = _look_up(checker, around, text, reference, offset)
        if target is not None and isinstance(reference, OutcomeReference):
            check_outcome(checker, target, text, reference, offset)
        elif target is not None and isinstance(reference, NodeReference) and reference.path:
            check_field(checker, target, text, reference, offset)
        return target
    return None


def _look_up(
    checker: Checker, around: Surroundings, text: Text, reference: NodeReference | OutcomeReference, offset: int
) -> Draft | None:
    """The node that a reference names, the nearest first. What a text refers to outside of a body is what the node
    around the body refers to."""
    length, name = len(reference_text(reference)), reference.node
    graph: Graph | None = around.graph
    holder: Draft | None = around.draft
    if text.seen == "inside" and around.inside is not None:
        graph, holder = around.inside, None
    elif name == around.draft.id:
        what = "outcome" if isinstance(reference, OutcomeReference) else "output"
        message = f"'{name}' refers to its own {what}, which is empty while it runs"
        note(checker.report, Problem("self-reference", message, "warning", length=length), text, offset)
        return None
    while graph is not None:
        target = graph.find(name)
        if target is not None and target is holder:
            message = (
                f"'{around.draft.name}' is inside of '{target.name}', so it cannot read {reference_text(reference)}"
            )
            if holder is around.draft:
                message = f"'{target.name}' brings '{name}', so it cannot wait for it"
            note(checker.report, Problem("dependency-cycle", message, length=length), text, offset)
            return None
        if target is not None:
            if holder is not None:
                graph.uses.setdefault(holder.path, {}).setdefault(name, Use(reference, text, offset))
            return target
        holder, graph = graph.owner, graph.outer
    _unknown_node(checker, around, text, reference, offset, (around.inside or around.graph).names)
    return None


def _unknown_node(
    checker: Checker,
    around: Surroundings,
    text: Text,
    reference: NodeReference | OutcomeReference | PreviousReference,
    offset: int,
    names: list[str],
) -> None:
    name, shown = reference.node, reference_text(reference)
    if around.graph.may_be_brought(name) or (around.inside is not None and around.inside.may_be_brought(name)):
        return
    hint = _otherwise(text, offset, name, checker.report.suggest(name, names), names)
    message = f"'{around.draft.name}' refers to {shown}, but no node has that id"
    if name in checker.owners:
        owner = checker.owners[name]
        message = f"'{around.draft.name}' refers to {shown}, which is inside of '{owner}'"
        hint = f"from outside only ${owner}.output can be read: name it in 'returns' of '{owner}'"
    if name in around.graph.root.last:
        message, hint = f"'{around.draft.name}' refers to {shown}, and 'finally' runs after all other nodes", ""
    if isinstance(reference, PreviousReference):
        message = f"'{around.draft.name}' refers to {shown}, but no node of the loop has that id"
    note(checker.report, Problem("unknown-node", message, hint=hint, length=len(shown)), text, offset)


def home_of(reference: Reference, around: Surroundings) -> str:
    """Where this would be a name, if it is none for these texts."""
    if isinstance(reference, RunReference):
        return "" if around.draft.is_final else "in 'finally'"
    if isinstance(reference, PreviousReference):
        return "" if around.loop or (around.inside and around.draft.kind == "loop_group") else "inside of a loop_group"
    if isinstance(reference, EngineReference) and reference.name in ITEM_NAMES:
        return "" if around.fanned else "inside of a fan_out"
    return ""


def _otherwise(text: Text, offset: int, name: str, meant: str, names: list[str]) -> str:
    """The hint for an unknown node name; `meant` is the nearest known name, if any is near."""
    if text.form == "shell":
        joined = text.text[max(0, offset - 1) : offset].isalnum()  # `$file$n.output`
        variable = f"if ${name} is a variable of the script, write ${{{name}}}.output"
        return variable if joined else meant or variable
    if text.path[-1] == "when":
        shown = [*names[:_NAMES_SHOWN], "…"] if len(names) > _NAMES_SHOWN else names
        return meant or f"the nodes are {', '.join(shown)}"
    return f"{meant}\n{_ESCAPE_HINT}" if meant else _ESCAPE_HINT


def _check_input(checker: Checker, around: Surroundings, text: Text, reference: InputReference, offset: int) -> None:
    bindings = around.draft.raw.get("with") if text.bound and around.draft.kind in BOUND_KINDS else None
    bound = bindings if isinstance(bindings, dict) else {}
    if reference.name in bound or reference.name in around.items:
        return
    checker.findings.reads.add(reference.name)
    if reference.name not in checker.inputs:
        items = sorted(around.items) if reference.name == "item" else []
        hint = "\n".join(f"did you mean '{name}'? so 'as' names the item" for name in items if name)
        undeclared(checker, text, reference, offset, [*checker.inputs, *bound, *around.items], hint)


def undeclared(
    checker: Checker, text: Text, reference: InputReference, offset: int, names: list[str], hint: str = ""
) -> None:
    hint = hint or checker.report.suggest(reference.name, names) or f"declare it: inputs: {{{reference.name}: {{}}}}"
    message = f"'{reference.name}' is not a declared input; the node fails when it uses it"
    length = len(reference_text(reference))
    note(checker.report, Problem("undeclared-input", message, "warning", hint=hint, length=length), text, offset)
