"""What a file's nodes refer to: other nodes, inputs, command and script files, other workflows.

For each node its condition is parsed, its shell text is analysed, and each reference is looked up; `order.py` then
makes the graph. The findings are what lowering needs. Nothing here stops at the first problem."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ion.errors import Problem
from ion.kinds import AGENT_KINDS
from ion.language.calls import MAX_ADDRESS, MAX_BROUGHT, check_brought, handed_over, open_named
from ion.language.check_outputs import is_prose
from ion.language.check_texts import check_reference, check_text, home_of, undeclared
from ion.language.conditions import ConditionSyntaxError, parse_condition
from ion.language.document import DocumentPath
from ion.language.fields import AGENT_OPTIONS
from ion.language.find_files import find_files
from ion.language.order import Graph, check_order, check_sessions, names_in
from ion.language.problems import Report
from ion.language.references import find_references, reference_text
from ion.language.shape import Draft, Shape
from ion.language.surroundings import Checker, Findings, Surroundings, item_name, surroundings_of
from ion.language.templates import templates_of
from ion.language.texts import Text, node_texts, note
from ion.language.workflow import (
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    Reference,
    RunReference,
    Workflow,
)
from ion.names import ITEM_NAMES

if TYPE_CHECKING:
    from ion.language.library import Library


_LONGEST_NUMBER = len(".10000")


def check_references(shape: Shape, library: Library, report: Report) -> Findings:
    """All checks that need more than one node."""
    declared = shape.raw.get("inputs")
    inputs = frozenset(declared if isinstance(declared, dict) else ())
    owners = {one.id: draft.name for draft in shape.everywhere for one in draft.inside if one.id}
    checker = Checker(shape, report, Findings(), inputs, owners)
    stated = (((), shape.raw),)
    graph = Graph.of(shape.drafts, stated)
    graph.last = frozenset(one.id for one in shape.final if one.id)
    last = Graph.of(shape.final, stated, outer=graph)
    checker.findings.graphs |= {graph.path: graph, last.path: last}
    everywhere = [around for one in (graph, last) for around in surroundings_of(one, frozenset(), False, None)]
    for around in everywhere:
        checker.findings.graphs[around.graph.path] = around.graph
        if library.resources is not None and library.resources.files:
            find_files(checker, around.draft, library.resources)
        if around.draft.kind in ("include", "workflow"):
            _find_workflow(checker, around, library)
    for graph in checker.findings.graphs.values():
        _check_brought(graph, checker)
    _check_addresses(shape.drafts, 0, checker)
    _check_workflow_env(checker)
    for around in everywhere:
        _check_item_name(checker, around)
        _check_condition(checker, around)
        for text in node_texts(around.draft, around.graph.stated, checker.findings.commands):
            check_text(checker, around.seen(text), text)
        _check_body(checker, around)
    graphs = list(checker.findings.graphs.values())
    _check_names(shape.raw.get("returns"), graphs[0], ("returns",), checker)
    for graph in graphs:
        checker.findings.order |= check_order(graph, report)
    checker.findings.continues = check_sessions(graphs, report)
    return checker.findings


# The workflows that it names


def _find_workflow(checker: Checker, around: Surroundings, library: Library) -> None:
    draft, report = around.draft, checker.report
    block = open_named(draft, library, report)
    if block is None:
        around.graph.unread |= {f"{draft.id}__"} if draft.spliced and draft.id else set()
        return
    checker.findings.named[draft.path] = block
    checker.findings.given[draft.path] = handed_over(draft, block, report)
    check_brought(draft, block, report)
    if draft.kind == "workflow":
        return
    if draft.spliced:
        around.graph.add(draft, block)
    else:
        checker.owners.update({node.id: draft.name for node in block.workflow.nodes})
    checker.findings.brought += len(block.workflow.nodes)
    if checker.findings.brought > MAX_BROUGHT:
        message = f"includes bring more than {MAX_BROUGHT} nodes"
        report.error("too-many-nodes", message, (*draft.path, "include"))


def _check_brought(graph: Graph, checker: Checker) -> None:
    """An id means one node wherever it can be read, also if an include brings it."""
    taken = {name: f"'{name}'" for name in graph.by_id}
    outer = graph.outer or ()
    for draft in graph.drafts:
        block = checker.findings.named.get(draft.path)
        if _is_brought(draft.id, graph.outer):
            message = f"the id '{draft.id}' is taken already: an include outside brings it"
            checker.report.error("duplicate-id", message, (*draft.path, "id"), hint="rename this node")
        if block is None or draft.kind != "include":
            continue
        options = {key: raw[key] for _, raw in reversed(graph.stated) for key in AGENT_OPTIONS if key in raw}
        for name in block.read_otherwise(checker.findings.given[draft.path], options, flat=draft.spliced):
            message = f"'{draft.id}' hands over the output of '{name}', and a node inside of it has that id too"
            checker.report.error("duplicate-id", message, (*draft.path, "include"), hint="rename one of the two")
        for node in block.workflow.nodes:
            name = f"{draft.id}__{node.id}" if draft.spliced else node.id
            if draft.spliced and (name in taken or name in outer):
                by = taken.get(name, f"'{name}' outside")
                message = f"'{draft.id}' brings the id '{name}', which is taken already, by {by}"
                hint = "rename this node, or the other one"
                checker.report.error("duplicate-id", message, (*draft.path, "include"), hint=hint)
            elif draft.spliced:
                taken[name] = f"what '{draft.id}' brings"


def _check_addresses(drafts: Iterable[Draft], before: int, checker: Checker) -> None:
    """No instance has an address that is too long; that of what is around them has so many characters, with the dot."""
    for draft in drafts:
        own = before + len(draft.id) + _LONGEST_NUMBER * ("fan_out" in draft.raw)
        block = checker.findings.named.get(draft.path)
        longest = own if block is None else own + len("__" if draft.spliced else ".") + _longest(block.workflow)
        if longest > MAX_ADDRESS:
            message = (
                f"'{draft.name[:40]}' leads to addresses of {longest} characters; at most {MAX_ADDRESS} are possible"
            )
            place = (*draft.path, draft.kind if block is not None else "id")
            checker.report.error("bad-id", message, place, hint="give it, and what it is inside of, shorter ids")
        else:
            inside = own + len(".") + _LONGEST_NUMBER * (draft.kind == "loop_group")
            _check_addresses(draft.inside, inside, checker)


def _longest(workflow: Workflow) -> int:
    """The length of the longest address that an instance of this workflow may have."""
    paths = (one.path for one in templates_of(workflow))
    return max(len(path) + path.count(".#") * (_LONGEST_NUMBER - len(".#")) for path in paths)


def _is_brought(name: str, graph: Graph | None) -> bool:
    return graph is not None and (name in graph.brought or _is_brought(name, graph.outer))


# Conditions


def _check_condition(checker: Checker, around: Surroundings) -> None:
    draft = around.draft
    when = draft.raw.get("when")
    if not isinstance(when, str):
        return
    path = (*draft.path, "when")
    try:
        condition = parse_condition(when)
    except ConditionSyntaxError as error:
        checker.report.error("bad-condition", error.message, path, hint=error.hint, within=(when, error.offset, 1))
        return
    checker.findings.conditions[path] = condition
    around = around.seen(text := Text(path, when, when, bound=False))
    for comparison in (comparison for group in condition.alternatives for comparison in group):
        reference = comparison.reference
        found = re.search(rf"{re.escape(_beginning(reference))}(?![\w-])", when)
        offset = found.start() if found else 0
        if "fan_out" in draft.raw and _names_item(reference, item_name(draft)):
            checker.findings.per_item.add(draft.path)
        home = home_of(reference, around)
        if not around.loop and reference == EngineReference("LOOP_ITERATION"):
            home = "inside of a loop_group"
        if home:
            message = f"{reference_text(reference)} is a name only {home}"
            checker.report.error("bad-condition", message, path, within=(when, offset, 1))
            continue
        target = check_reference(checker, around, text, reference, offset)
        name = reference.node if isinstance(reference, NodeReference) and not reference.path else ""
        if name and target is not None and is_prose(target, name, checker):
            message = f"'{name}' answers in prose, which never equals a fixed text"
            hint = f"give '{name}' an output_format and compare a field of it"
            if target.kind not in AGENT_KINDS:
                hint = "give the node that answers an output_format, and compare a field of it"
            within = (when, offset, 1 + len(name))
            checker.report.error("prose-compared", message, path, hint=hint, within=within)


def _beginning(reference: Reference) -> str:
    return f"${reference.node}" if isinstance(reference, NodeReference) else reference_text(reference)


def _names_item(reference: Reference, name: str) -> bool:
    return (isinstance(reference, InputReference) and reference.name == name) or (
        isinstance(reference, EngineReference) and reference.name in ITEM_NAMES
    )


# Bodies


def _check_names(name: Any, graph: Graph, path: DocumentPath, checker: Checker) -> None:
    """A node of this graph that a field names."""
    if isinstance(name, str) and graph.find(name) is None and not graph.may_be_brought(name):
        hint = checker.report.suggest(name, [*graph.by_id, *graph.brought])
        checker.report.error("unknown-node", f"'{path[-1]}' names '{name}', and no node has that id", path, hint=hint)


def _check_body(checker: Checker, around: Surroundings) -> None:
    draft, inside = around.draft, around.inside
    body = draft.raw.get(draft.kind)
    if inside is None or not isinstance(body, dict):
        return
    for key in ("returns", "until_node"):
        _check_names(body.get(key), inside, (*draft.path, draft.kind, key), checker)
    shell = checker.findings.shells.get((*draft.path, draft.kind, "until_bash"))
    told = [body.get("until_node")]
    caught = {one for draft in inside.drafts for one in names_in(draft, "catches")}
    for one in shell.placements if shell is not None else ():
        name = one.reference.node if isinstance(one.reference, NodeReference | OutcomeReference) else ""
        read = inside.by_id.get(name)
        if read is not None and name not in told and not (read.raw.get("allow_failure") or name in caught):
            told.append(name)
            message = f"if '{name}' fails, the loop ends: until_bash is not asked"
            hint = f"write allow_failure: true on it, or until_node: {name} if its success is to end the loop"
            problem = Problem("ends-the-loop", message, "warning", hint=hint, length=len(reference_text(one.reference)))
            until = body["until_bash"]
            note(checker.report, problem, Text((*draft.path, draft.kind, "until_bash"), until, until), one.start)


def _check_item_name(checker: Checker, around: Surroundings) -> None:
    """`as` is the name of nothing else that the node's texts can see."""
    name = item_name(around.draft)
    bindings = around.draft.raw.get("with")
    other = ""
    if name in checker.inputs:
        other = "a declared input"
    elif isinstance(bindings, dict) and name in bindings:
        other = "a name in 'with'"
    elif name in around.items:
        other = "the item of a fan_out around it"
    if name and other:
        written = "as" in around.draft.raw["fan_out"]
        path = (*around.draft.path, "fan_out", *(("as",) if written else ()))
        hint = "choose another name" if written else "choose a name: as: …"
        checker.report.error("item-name", f"the name '{name}' of the item is {other} already", path, hint=hint)


def _check_workflow_env(checker: Checker) -> None:
    env = checker.shape.raw.get("env")
    for name, value in env.items() if isinstance(env, dict) else ():
        for found in find_references(value) if isinstance(value, str) else ():
            text = Text(("env", name), value, value)
            if isinstance(found.reference, NodeReference | OutcomeReference | RunReference):
                what = "the run's end" if isinstance(found.reference, RunReference) else "a node"
                message = f"the workflow's 'env' cannot refer to {what}: it is the same for all nodes"
                problem = Problem("env-names-node", message, hint="put it into the 'env' of the nodes that need it")
                note(checker.report, problem, text, found.start)
            elif isinstance(found.reference, InputReference):
                checker.findings.reads.add(found.reference.name)
                if found.reference.name not in checker.inputs:
                    undeclared(checker, text, found.reference, found.start, [*checker.inputs])
