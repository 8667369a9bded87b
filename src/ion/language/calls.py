"""The workflow files that a file includes or calls, and what it hands over to them (language.md §13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ion.language.include import Block, known_value
from ion.language.inputs import input_value, with_defaults
from ion.language.problems import Report
from ion.language.references import escape
from ion.language.shape import Draft
from ion.language.texts import listed_items
from ion.language.workflow import Binding, Input, Workflow

if TYPE_CHECKING:
    from ion.language.library import Library, Opened

MAX_INCLUDES = 16
ARCHON_INCLUDES = 3
MAX_CALLS = 5
MAX_BROUGHT = 2000
MAX_ADDRESS = 200  # it is part of the names of files
# What another file cannot have a say in, since the run is the caller's.
_NO_EFFECT = {
    "include": ("timeout_ms", "fail_fast", "max_concurrency", "max_budget_usd", "workspace"),
    "workflow": ("max_concurrency", "workspace"),
}
_PLAIN = Workflow("", ())


def open_named(draft: Draft, library: Library, report: Report) -> Block | None:
    """The workflow that an `include` or `workflow` node names; None, with a problem, if it cannot take part."""
    name = getattr(draft.model, draft.kind, None)
    if not isinstance(name, str) or not draft.id or name != draft.raw.get(draft.kind):  # its fault has been reported
        return None
    path = (*draft.path, draft.kind)
    found = library.resources.workflow(name) if library.resources else []
    if len(found) != 1 or library.resources is None:
        _not_one(name, found, draft, library, report)
        return None
    file, data = found[0]
    if circle := library.circle(file):
        shown = " → ".join([*circle, str(file)])
        report.error("workflow-cycle", f"these files include or call each other: {shown}", path)
        return None
    opened = library.open(file, data, library.resources)
    _pass_on(opened, draft, report)
    if opened.block is None:
        message = f"'{name}' does not load"
        report.error("broken-workflow", message, path, hint=f"its problems are shown with it: {file}")
        return None
    return opened.block if _is_within_limits(opened, draft, library, report) else None


def _not_one(name: str, found: list[Any], draft: Draft, library: Library, report: Report) -> None:
    path = (*draft.path, draft.kind)
    if found:
        shown = " and ".join(str(file) for file, _ in found)
        report.error("duplicate-name", f"'{name}' is the name of {shown}", path, hint="rename one of the two")
        return
    places = [str(folder.path) for _, folder in library.resources.workflow_folders] if library.resources else []
    hint = "\n".join(["looked in", *places] if places else ["workflows are found by name in a project"])
    report.error("unknown-workflow", f"unknown workflow '{name}'", path, hint=hint)


def _pass_on(opened: Opened, draft: Draft, report: Report) -> None:
    """The problems of the file, with the way to it. What it does not declare is given to it, or a problem here."""
    line, column = report.document.source.place(report.document.span((*draft.path, draft.kind))[0])
    word = "included" if draft.kind == "include" else "called"
    for problem in opened.loaded.problems:
        if problem.code != "undeclared-input":
            steps = [problem.way] if problem.way else []
            report.add(problem._replace(way="\n".join([*steps, f"{word} from {report.file}:{line}:{column}"])))


def _is_within_limits(opened: Opened, draft: Draft, library: Library, report: Report) -> bool:
    path = (*draft.path, draft.kind)
    includes, calls = opened.includes, opened.calls
    if draft.kind == "include":
        includes += 1
        library.includes = max(library.includes, includes)
    else:
        calls += 1
    library.calls = max(library.calls, calls)
    if includes > MAX_INCLUDES or calls > MAX_CALLS:
        what, limit = ("includes", MAX_INCLUDES) if includes > MAX_INCLUDES else ("calls of workflows", MAX_CALLS)
        report.error("too-deep", f"{what} go at most {limit} deep", path, hint="name the inner file here instead")
        return False
    if draft.kind == "include" and includes > ARCHON_INCLUDES:
        message = f"includes go {includes} deep here; Archon reads at most {ARCHON_INCLUDES}"
        report.warning("archon-depth", message, path)
    return True


def check_brought(draft: Draft, block: Block, report: Report) -> None:
    """What has no effect in a file that is included, or called."""
    if draft.kind == "include" and block.workflow.finally_nodes:
        name = block.workflow.name
        message = f"'{name}' has 'finally', and an include has no end of its own after which that would run"
        report.error("bad-finally", message, (*draft.path, "include"), hint=f"call it: workflow: {name}")
    for name in _NO_EFFECT[draft.kind]:
        if getattr(block.workflow, name) != getattr(_PLAIN, name):
            field = name.removesuffix("_ms")
            where = "included" if draft.kind == "include" else "called"
            message = f"'{field}' of '{block.workflow.name}' has no effect where it is {where}"
            report.warning("no-effect", message, (*draft.path, draft.kind))


def handed_over(draft: Draft, block: Block, report: Report) -> dict[str, Binding]:
    """The values of the inputs of the workflow that a node names, each checked against its declaration. Those of an
    `include` have their defaults."""
    bindings = getattr(draft.model, "bindings", None) or {}
    declared = {one.name: one for one in block.workflow.inputs}
    item = draft.fan_out.name if draft.fan_out is not None else None
    given = {name: _given(draft, name, raw, declared, report) for name, raw in bindings.items()}
    if declared and item and item not in declared:
        _unknown(item, declared, (*draft.path, "fan_out", "as"), draft, report)
    if item and item in declared:
        _check_items(draft, declared[item], report)
    for name, one in declared.items():
        if one.required and name not in given and name != item:
            shown = f": {' '.join(one.description.split())}" if one.description else ""
            message = f"'{block.workflow.name}' needs the input '{name}'{shown}"
            report.error("missing-input", message, (*draft.path, draft.kind), hint=f"write with: {{{name}: …}}")
    if draft.kind != "include":
        return given
    values = {**_defaults(declared, given), **given}
    for name in sorted(block.reads - values.keys() - {item}):
        if name not in declared or not declared[name].required:
            message = f"'{block.workflow.name}' reads $INPUTS.{name}, and nothing gives it a value"
            report.error("missing-input", message, (*draft.path, "include"), hint=f"write with: {{{name}: …}}")
    return values


def _given(draft: Draft, name: str, raw: Any, declared: dict[str, Input], report: Report) -> Binding:
    binding = binding_of(raw)
    if declared and name not in declared:
        _unknown(name, declared, (*draft.path, "with", name), draft, report)
    known = known_value(binding.value)
    if name not in declared or known is None:
        return binding
    try:
        return replace(binding, value=literal(input_value(declared[name], known[0])))
    except ValueError as error:
        report.error("bad-input", f"input '{name}' {error}", (*draft.path, "with", name))
        return binding


def _check_items(draft: Draft, declared: Input, report: Report) -> None:
    """The items that the file lists are values of that input."""
    items = draft.fan_out.items if draft.fan_out is not None else None
    for index, item in enumerate(listed_items(items) or ()):
        known = known_value(item)
        try:
            if known is not None:
                input_value(declared, known[0])
        except ValueError as error:
            report.error("bad-input", f"input '{declared.name}' {error}", (*draft.path, "fan_out", "items", index))


def _unknown(name: str, declared: dict[str, Input], path: Any, draft: Draft, report: Report) -> None:
    hint = report.suggest(name, declared) or f"its inputs are {', '.join(declared)}"
    target = getattr(draft.model, draft.kind)
    report.error("unknown-input", f"'{target}' has no input '{name}'", path, hint=hint, key=path[-1] == name)


def binding_of(value: Any) -> Binding:
    """An entry of `with`."""
    if isinstance(value, dict) and "from" in value:
        return Binding(value["from"], "if_skipped" in value, value.get("if_skipped"))
    return Binding(value)


def literal(value: Any) -> Any:
    """A template that is filled in to be `value`."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def _defaults(declared: dict[str, Input], given: dict[str, Binding]) -> dict[str, Binding]:
    """The defaults of the inputs that are not given, else what a text has in their place."""
    escaped = (
        replace(one, default=literal(one.default if one.has_default else one.placeholder), has_default=True)
        for one in declared.values()
        if one.has_default or one.placeholder is not None or one.name in given
    )
    values = with_defaults(escaped, {name: binding.value for name, binding in given.items()})
    return {name: Binding(value) for name, value in values.items() if name not in given}
