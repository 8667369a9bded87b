"""The inputs of a run, checked against what the workflow declares."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ion.errors import UsageError
from ion.language.inputs import input_value, with_defaults
from ion.language.patterns import pattern
from ion.language.problems import did_you_mean
from ion.language.source import read_file
from ion.language.workflow import Input, Workflow

_TEXT_NAMES = pattern(r"\b(ARGUMENTS|USER_MESSAGE)\b")
_LIKE_INPUT = pattern(
    r"\s*(?:--|(?=[\w-]+=))(?P<name>[A-Za-z_][\w-]*)(?:[=\s]+(?P<value>.*?))?(?=\s+(?:--|[\w-]+=)|\s*\Z)", re.DOTALL
)
_LOOKED_AT = 1000  # characters: an input that was meant as one stands at the beginning


def check_inputs(workflow: Workflow, given: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a run, with defaults. A text for a number, boolean, array or object is read as JSON.

    Raises `UsageError` that names every missing input with its description, and every unknown one with the nearest
    name.
    """
    faults, missing = _name_faults(workflow, given)
    values: dict[str, Any] = {}
    for item in workflow.inputs:
        try:
            values |= {item.name: input_value(item, given[item.name])} if item.name in given else {}
        except ValueError as error:
            faults.append(f"input '{item.name}' {error}")
    if faults:
        hint = " ".join(f"--input {item.name}=…" for item in missing)
        raise UsageError("; ".join(faults), hint=hint, code="inputs")
    return with_defaults(workflow.inputs, values)


def check_names(workflow: Workflow, given: Iterable[str], *, whole: bool = True) -> None:
    """The names alone, where the values are not known yet; `whole`: all of them. Raises `UsageError` as `check_inputs`
    does."""
    faults, missing = _name_faults(workflow, given)
    if faults := faults if whole else faults[: len(faults) - len(missing)]:
        raise UsageError("; ".join(faults), code="inputs")


def _name_faults(workflow: Workflow, given: Iterable[str]) -> tuple[list[str], list[Input]]:
    """What is wrong with the names, and the inputs that are missing."""
    declared = {item.name for item in workflow.inputs}
    missing = [item for item in workflow.inputs if item.required and item.name not in given]
    faults = [_unknown(name, workflow) for name in given if name not in declared]
    return [*faults, *(f"missing input '{item.name}'{_described(item)}" for item in missing)], missing


def unfilled(workflow: Workflow, given: dict[str, Any]) -> tuple[str, ...]:
    """Notes on defaults that refer to an input that was not given, so that its `{name}` stays in them."""
    values = {item.name for item in workflow.inputs if item.name in given or item.has_default}
    return tuple(
        f"'{item.name}' holds {{{other}}}, since '{other}' was not given"
        for item in workflow.inputs
        if item.name not in given
        for other in item.refers_to
        if other not in values
    )


def unused_text(workflow: Workflow, text: str, *, strict: bool = False) -> tuple[str, ...]:
    """Notes on a text that was given to a run although nothing in the workflow reads it (language.md §5).

    Raises `UsageError` if the text looks like an option or an input, or the workflow has inputs instead; with `strict`
    always.
    """
    if not text.strip() or _reads_text(workflow):
        return ()
    meant = _LIKE_INPUT.match(text[:_LOOKED_AT])
    names = [item.name for item in workflow.inputs]
    if meant is None and not names and not strict:
        return (f"text-unused: nothing in '{workflow.name}' reads the text that was given ($ARGUMENTS)",)
    hint = " ".join(f"--input {name}=…" for name in names) or "have a text read $ARGUMENTS, or declare an input"
    near = meant and (meant["name"] if meant["name"] in names else did_you_mean(meant["name"], names))
    if meant and near:
        hint = f"write --input {near}={shlex.quote(meant['value']) if meant['value'] else '…'}"
    raise UsageError(f"'{workflow.name}' takes no text: nothing in it reads $ARGUMENTS", hint=hint, code="text-unused")


def _reads_text(workflow: Workflow) -> bool:
    """Whether a text, command file or script of the workflow names the text given to the run."""
    if _TEXT_NAMES.search(json.dumps(workflow.to_json())):
        return True
    files = [Path(script.path).parent / name for script in workflow.scripts.values() for name in script.files]
    return any(_TEXT_NAMES.search(read_file(path)[0].decode("utf-8", "replace")) for path in files)


def _described(item: Input) -> str:
    return f": {' '.join(item.description.split())}" if item.description else ""


def _unknown(name: str, workflow: Workflow) -> str:
    declared = [item.name for item in workflow.inputs]
    if not declared:
        return f"unknown input '{name}': '{workflow.name}' declares no inputs"
    near = did_you_mean(name, declared)
    return f"unknown input '{name}': " + (
        f"did you mean '{near}'?" if near else f"expected one of {', '.join(declared)}"
    )
