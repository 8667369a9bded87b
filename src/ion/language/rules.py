"""Rules between the fields of a node and of the workflow, beyond what types can say (language.md §2, §3, §7, §8).

They see the models of `schema`: a field of the wrong type, which the schema has reported, is absent in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ion.kinds import PROGRAM_KINDS
from ion.language import schema
from ion.language.document import DocumentPath
from ion.language.fields import FIELDS, scope_of
from ion.language.graph import find_cycles
from ion.language.include import known_value
from ion.language.output_format import check_output_format
from ion.language.problems import Report, near
from ion.language.references import find_references
from ion.language.rules_waiting import check_deadline, check_wait
from ion.language.schema import boolean_meant, describe
from ion.language.shape import Draft, Shape
from ion.language.source import trim
from ion.language.texts import is_code, listed_items
from ion.language.values import canonical
from ion.language.workflow import FINAL_KINDS, MAX_ITEMS, variable_name

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def check_rules(shape: Shape, report: Report) -> None:
    """Every rule on every node and on the workflow."""
    if shape.root is not None:
        _check_inputs(shape.root.inputs or {}, report)
        if shape.root.workspace == "pinned":
            _check_pinned([one for one in shape.everywhere if "runs_on" in FIELDS.get(one.kind, ())], report)
    if shape.final:
        _check_finally(shape, report)
    for draft in shape.everywhere:
        _check_control_fields(draft, report)
        match draft.model:
            case schema.ScriptNode() as node:
                _check_script(node.script, draft.path, report)
            case schema.ApprovalNode() as node:
                _check_approval(node, draft.path, report)
            case schema.WaitNode():
                check_wait(draft, report)
            case schema.LoopNode() as node:
                _check_loop(node, draft.path, report)
            case schema.LoopGroupNode() as node:
                path = (*draft.path, "loop_group")
                _check_ends(node.loop_group, ("until", "until_bash", "until_node"), path, report)
                _check_asking(node.loop_group, path, report)
            case schema.WorkflowNode() as node if node.input is not None:
                _check_input_text(node, draft.path, report)


# The workflow


def _check_inputs(inputs: dict[str, schema.InputModel], report: Report) -> None:
    _check_folding(inputs, ("inputs",), report)
    _check_refers_to(inputs, report)
    for name, declared in inputs.items():
        if "default" not in declared.model_fields_set:
            continue
        path: DocumentPath = ("inputs", name)
        if declared.required:
            message = f"'{name}' has a default, so it is not required"
            report.warning(
                "required-with-default", message, (*path, "required"), hint="remove one of the two", key=True
            )
        default = declared.default
        if declared.type and not _is_a(default, declared.type):
            hint = boolean_meant(default) if declared.type == "boolean" and isinstance(default, str) else ""
            message = f"the default is {describe(default)}, not of type {declared.type}"
            report.error("bad-default", message, (*path, "default"), hint=hint)
        elif declared.enum and default not in declared.enum:
            hint = report.suggest(str(default), [str(item) for item in declared.enum])
            report.error(
                "bad-default", f"the default {describe(default)} is not in 'enum'", (*path, "default"), hint=hint
            )


def _check_pinned(drafts: list[Draft], report: Report) -> None:
    """One worker carries out all nodes of a pinned run, so they all ask for the same label."""
    labels = [(draft, draft.model.runs_on) for draft in drafts if draft.model is not None]
    for draft, label in labels[1:]:
        first = labels[0][1]
        if label != first:
            report.error(
                "pinned-labels",
                "in a pinned workspace one worker carries out all nodes, so their 'runs_on' is the same",
                (*draft.path, "runs_on") if label else draft.path,
                hint=f"write runs_on: {first} for each" if first else "write it for each, or for none",
                key=label is not None,
            )


def _check_refers_to(inputs: dict[str, schema.InputModel], report: Report) -> None:
    """A default that names other inputs is a text, the inputs exist, and none of them refers back to it."""
    refers: dict[str, list[str]] = {name: [] for name in inputs}
    for name, declared in inputs.items():
        path: DocumentPath = ("inputs", name, "refers_to")
        if declared.refers_to and not isinstance(declared.default, str):
            hint = "give 'default' a text with {name} in it"
            report.error("bad-default", "'refers_to' needs a default that is a text", path, hint=hint, key=True)
        for index, other in enumerate(declared.refers_to or ()):
            if other in inputs:
                refers[name].append(other)
            else:
                message = f"the default of '{name}' refers to '{other}', and no input has that name"
                report.error("bad-default", message, (*path, index), hint=report.suggest(other, inputs))
    for cycle in find_cycles(refers):
        names = " → ".join([*cycle[:20], cycle[0]])
        message = f"these defaults refer to each other: {names}"
        hint = "give one of them a value of its own"
        report.error("default-cycle", message, ("inputs", cycle[0], "refers_to"), hint=hint, key=True)


def _is_a(value: Any, wanted: str) -> bool:
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _check_folding(names: Iterable[str], path: DocumentPath, report: Report) -> None:
    """Two names that become one environment variable are an error."""
    first: dict[str, str] = {}
    for name in names:
        variable = variable_name(name)
        if variable in first:
            message = f"'{first[variable]}' and '{name}' would both be the environment variable {variable}"
            report.error("input-clash", message, (*path, name), hint="rename one of the two", key=True)
        first.setdefault(variable, name)


def _check_finally(shape: Shape, report: Report) -> None:
    """What runs at the end asks nobody, and ends by itself."""
    everywhere = list(shape.everywhere)
    for draft in everywhere:
        if draft.is_final and draft.kind and draft.kind not in FINAL_KINDS:
            hint = f"it takes {', '.join(FINAL_KINDS)} nodes"
            message = f"{scope_of(draft.kind)} cannot be in 'finally'"
            report.error("bad-finally", message, (*draft.path, draft.kind), hint=hint, key=True)
        if draft.is_final and draft.raw.get("always_run"):
            message = "'always_run' has no effect in 'finally': it runs after every end of the run"
            report.error("no-effect-here", message, (*draft.path, "always_run"), hint="remove it", key=True)
    if not any(draft.raw.get("always_run") for draft in everywhere):
        message = "what 'finally' undoes is not done again by a resume"
        report.hint("undone-by-finally", message, ("finally",), "write always_run: true on the nodes that it undoes")


# Nodes

_BOUND = {"from", "if_skipped"}


def _check_control_fields(draft: Draft, report: Report) -> None:
    model, path = draft.model, draft.path
    if isinstance(model, schema.FannedOut) and model.fan_out is not None:
        _check_fan_out(draft, model.fan_out, report)
    if isinstance(model, schema.Surrounded) and model.cwd is not None:
        _check_cwd(model.cwd, (*path, "cwd"), report)
    if isinstance(model, schema.Allowing) and model.allow_failure is not None:
        _check_exit_status("allow_failure", ("exit_status",), draft, report)
    if isinstance(model, schema.Retried) and model.retry is not None:
        _check_exit_status("retry", ("on_exit_status", "never_on_exit_status"), draft, report)
        _check_retry(model.retry, (*path, "retry"), report)
    if isinstance(model, schema.Bound):
        _check_bindings(model.bindings or {}, (*path, "with"), report)
    if isinstance(model, schema.Answering) and model.output_format is not None:
        check_output_format(model.output_format, (*path, "output_format"), report)


def _check_cwd(cwd: str, path: DocumentPath, report: Report) -> None:
    """A folder that the file itself names is in that of the run, or is named by its absolute path."""
    known = known_value(cwd)
    if known is not None and os.path.normpath(known[0]).split("/")[0] == "..":
        hint = "write its absolute path, if that is meant"
        report.error("bad-cwd", f"'{cwd[:60]}' leads out of the folder of the run", path, hint=hint)


def _check_exit_status(part: str, names: tuple[str, ...], draft: Draft, report: Report) -> None:
    """A single program alone ends with an exit status; the failure of a fan-out is that of all its items together."""
    fanned = part == "allow_failure" and "fan_out" in draft.raw
    for name in names:
        if getattr(getattr(draft.model, part), name) is not None and (fanned or draft.kind not in PROGRAM_KINDS):
            what = "a node that is fanned out" if fanned else scope_of(draft.kind)
            message = f"'{name}' has no effect on {what}, which has no exit status"
            hint = "name codes, or write allow_failure: true" if part == "allow_failure" else "remove it"
            report.error("no-effect-here", message, (*draft.path, part, name), hint=hint, key=True)


def _check_retry(retry: schema.RetryModel, path: DocumentPath, report: Report) -> None:
    delay = retry.delay_ms or 3000
    if retry.max_delay is not None and retry.backoff == "fixed":
        message = "'max_delay' has no effect: with backoff: fixed all delays are the same"
        report.warning("no-effect", message, (*path, "max_delay"), hint="remove it", key=True)
    elif retry.max_delay is not None and retry.max_delay < delay:
        message = f"'max_delay' is less than the first delay, {delay} milliseconds"
        report.error("bad-value", message, (*path, "max_delay"), hint="raise it, or lower delay_ms")
    for status in sorted({*(retry.on_exit_status or ())} & {*(retry.never_on_exit_status or ())}):
        message = f"{status} is in 'never_on_exit_status' too, and that wins"
        report.warning("no-effect", message, (*path, "on_exit_status"), hint=f"remove {status} from one of them")


def _check_bindings(bindings: dict[str, Any], path: DocumentPath, report: Report) -> None:
    _check_folding(bindings, path, report)
    for name, value in bindings.items():
        if not isinstance(value, dict):
            continue
        slip = "" if "from" in value else _slip_of_from(value)
        if slip:
            message = f"'{slip}' looks like 'from'; without it the mapping itself would be the value"
            report.error("bad-binding", message, (*path, name, slip), hint="did you mean 'from'?", key=True)
        elif value.keys() & _BOUND and (value.keys() - _BOUND or not isinstance(value.get("from"), str)):
            hint = "write {from: $node.output, if_skipped: value}"
            message = f"'{name}' must be a value, or 'from' and 'if_skipped'"
            report.error("bad-binding", message, (*path, name), hint=hint)


def _slip_of_from(value: dict[str, Any]) -> str:
    """The key that was meant to be `from`, or ''. A mapping that has other keys too is data; so is one of plain
    text."""
    slip = next((key for key in value if near(key.lower(), "from", 1)), "")
    others = [key for key in value if key != slip and not near(key.lower(), "if_skipped", 2)]
    reads = isinstance(value.get(slip), str) and bool(find_references(value[slip]))
    return slip if slip and not others and (reads or len(value) > 1) else ""


def _check_script(script: str, path: DocumentPath, report: Report) -> None:
    name = trim(script)
    if not is_code(name) and ("/" in name or "\\" in name or ".." in name or name.startswith(".")):
        message = f"'{name[:60]}' is a path; 'script' takes a name or code"
        hint = "give the name of a file in a 'scripts' folder, without folders and ending"
        report.error("bad-name", message, (*path, "script"), hint=hint)


def _check_approval(node: schema.ApprovalNode, path: DocumentPath, report: Report) -> None:
    if node.always_run:
        message = "an approval cannot be run again on resume: its answer is given once"
        report.error("always-run-on-approval", message, (*path, "always_run"), hint="remove always_run", key=True)
    path = (*path, "approval")
    check_deadline(node.approval, path, report)
    if node.approval.decisions is None:
        return
    if node.approval.on_reject is not None:
        message, hint = (
            "'on_reject' and 'decisions' exclude each other",
            "route a rejection with 'when' on the decision",
        )
        report.error("bad-decisions", message, (*path, "on_reject"), hint=hint, key=True)
    ids = [decision.id for decision in node.approval.decisions]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            report.error("bad-decisions", f"the decision '{name}' is given twice", (*path, "decisions", index, "id"))
        if name == "fail":
            message, hint = "'fail' is what 'on_timeout' does, not a decision", "give the decision another id"
            report.error("bad-decisions", message, (*path, "decisions", index, "id"), hint=hint)
    if "approve" not in ids:
        message, hint = "one of the decisions must have the id 'approve'", "add '- id: approve'"
        report.error("bad-decisions", message, (*path, "decisions"), hint=hint)


def _check_loop(node: schema.LoopNode, path: DocumentPath, report: Report) -> None:
    loop, path = node.loop, (*path, "loop")
    if loop.prompt is not None and loop.command is not None:
        report.error("loop-prompt", "a loop has a prompt or a command, not both", (*path, "command"), key=True)
    elif loop.prompt is None and loop.command is None:
        report.error("loop-prompt", "a loop needs a prompt or a command", path, hint="add 'prompt:'")
    _check_ends(loop, ("until", "until_bash", "until_field"), path, report)
    _check_asking(loop, path, report)
    if loop.until_field is not None:
        _check_until_field(loop.until_field, node.output_format, (*path, "until_field"), report)


def _check_asking(loop: schema.LoopModel | schema.LoopGroupModel, path: DocumentPath, report: Report) -> None:
    if loop.interactive and loop.gate_message is None:
        hint = "say in 'gate_message' what the person is to decide"
        report.error(
            "gate-message-missing", "an interactive loop needs 'gate_message'", (*path, "interactive"), hint=hint
        )
    for key in ("gate_message", "signal_completes"):
        if getattr(loop, key) and not loop.interactive:
            message = f"'{key}' has no effect in a loop that is not interactive"
            report.warning("no-effect", message, (*path, key), key=True)


def _check_ends(
    loop: schema.LoopModel | schema.LoopGroupModel, known: tuple[str, ...], path: DocumentPath, report: Report
) -> None:
    ways = [way for way in known if getattr(loop, way) is not None]
    if not ways:
        hint = f"add 'until: DONE', 'until_bash' or '{known[-1]}'"
        report.error("loop-without-end", "nothing ends this loop", path, hint=hint)
    elif loop.until_all is None and ways[:2] == ["until", "until_bash"]:
        message = "the signal alone ends this loop, and so does the check alone"
        hint = "write 'until_all: true' if both must hold, 'until_all: false' if one of them is enough"
        report.warning("any-of-several", message, (*path, "until_bash"), hint=hint, key=True)
    elif loop.until_all and len(ways) == 1:
        message = f"'until_all' has no effect: '{ways[0]}' is all that ends this loop"
        report.warning("no-effect", message, (*path, "until_all"), key=True)


def _check_until_field(name: str, output_format: dict[str, Any] | None, path: DocumentPath, report: Report) -> None:
    hint = f"declare '{name}' in output_format: a boolean in 'properties', and named in 'required'"
    if output_format is None:
        report.error("bad-until-field", "'until_field' needs an output_format on the node", path, hint=hint)
        return
    properties, required = output_format.get("properties"), output_format.get("required")
    declared = properties.get(name) if isinstance(properties, dict) else None
    if declared is None:
        meant = (report.suggest(name, properties) if isinstance(properties, dict) else "") or hint
        report.error("bad-until-field", f"output_format has no property '{name}'", path, hint=meant)
    elif not isinstance(required, list) or name not in required:
        report.error("bad-until-field", f"output_format does not require '{name}'", path, hint=hint)
    elif isinstance(declared, dict) and declared.get("type", "boolean") != "boolean":
        report.error("bad-until-field", f"'{name}' is not a boolean in output_format", path, hint=hint)


def _check_fan_out(draft: Draft, fan_out: schema.FanOutModel, report: Report) -> None:
    path: DocumentPath = (*draft.path, "fan_out")
    given = [key for key in ("items", "lines") if key in draft.raw["fan_out"]]
    if len(given) != 1:
        message = "'fan_out' takes either 'items' or 'lines'" if given else "'fan_out' needs 'items' or 'lines'"
        hint = "write items: $node.output, for a JSON array, or lines: $node.output, for one item a line"
        report.error("bad-fan-out", message, (*path, "lines") if given else path, hint=hint, key=bool(given))
    items = listed_items(fan_out.items)
    if isinstance(fan_out.items, str) and items is None and not _may_be_list(fan_out.items):
        hint = "write a list, or a reference to one, such as $node.output"
        report.error("bad-fan-out", "'items' is a text, but not a JSON array", (*path, "items"), hint=hint)
    if isinstance(fan_out.items, list):
        _check_numbers(fan_out.items, (*path, "items"), report)
    if items is not None and len(items) > fan_out.max_items:
        message = f"'items' has {len(items)} items, and 'max_items' is {fan_out.max_items}"
        hint = f"raise max_items (up to {MAX_ITEMS})"
        report.error("too-many-items", message, (*path, "items"), hint=hint)
    if draft.kind == "include" and fan_out.name is None:
        hint = "name the input that takes the item, as in as: file"
        report.error("missing-field", "the 'fan_out' of an include needs 'as'", path, hint=hint)


def _may_be_list(text: str) -> bool:
    """Whether a text can be a JSON array once its references are filled in."""
    text = trim(text)
    found = find_references(text)
    begins = text.startswith("[") or bool(found and found[0].start == 0)
    return bool(found) and begins and (text.endswith("]") or found[-1].end == len(text))


def _check_numbers(value: Any, path: DocumentPath, report: Report) -> None:
    """Items are JSON: a number that is not written as JSON has it, such as 3.10, arrives as another text."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_numbers(item, (*path, key), report)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        written, arrives = report.document.written(path), canonical(value)
        if written not in (None, arrives):
            message = f"{written} is the number {arrives}: that is the item"
            report.warning("number-rewritten", message, path, hint=f'write "{written}" if it is meant as text')


def _check_input_text(node: schema.WorkflowNode, path: DocumentPath, report: Report) -> None:
    if node.bindings is not None:
        hint = "give the text as one of its inputs, or leave 'with' out"
        report.error("bad-binding", "'input' and 'with' exclude each other", (*path, "input"), hint=hint, key=True)
    elif node.fan_out is not None:
        message = "'input' has no effect beside 'fan_out': each instance has its item as $ARGUMENTS"
        report.warning("no-effect", message, (*path, "input"), hint="remove it", key=True)
