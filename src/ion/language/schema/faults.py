"""Validating a value against a model, with pydantic's errors in the words of workflow files."""

from __future__ import annotations

import re
import threading
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pydantic import ValidationError

from ion.language.schema.models import Model
from ion.language.schema.values import describe

Path: TypeAlias = tuple[str | int, ...]


class Fault(NamedTuple):
    """What a model finds wrong with a value: where (below the given value), what, and what to do.

    `field` is the field that is missing or unknown; `choices` are the words of which one was expected.
    """

    path: Path
    code: str
    message: str
    hint: str = ""
    key: bool = False
    field: str = ""
    value: Any = None
    choices: tuple[str, ...] = ()


AnyModel = TypeVar("AnyModel", bound=Model)
_BUILDING = threading.Lock()


# What is taken for a field that is missing or at fault, so that rules on the others apply as if it were right.
_SAMPLES: dict[str | int, Any] = {
    **dict.fromkeys(("name", "description", "prompt", "command", "bash", "script", "cancel", "message"), "-"),
    **dict.fromkeys(("until", "until_bash", "until_node", "gate_message", "include", "workflow"), "-"),
    **dict.fromkeys(("max_iterations", "max_attempts"), 1),
    "id": "_",
    "nodes": [None],
    "runtime": "bun",
    "until_all": False,
}


def check(model: type[AnyModel], value: Any) -> tuple[AnyModel | None, list[Fault]]:
    """The value as the model sees it, and all of its faults. A field at fault is left out, or has a value from
    `_SAMPLES`; None if nothing is left that the model could see."""
    if not model.__pydantic_complete__:  # built when it is first needed, and by one thread
        with _BUILDING:
            model.model_rebuild()
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        found = [_fault(dict(item)) for item in error.errors(include_url=False)]
    faults = [item._replace(path=_placed(value, item.path)) for item in found]
    for item in faults:
        path = (*item.path, item.field) if item.code == "missing-field" else item.path
        if item.code != "unknown-field":  # a list is left out whole: the places of its items would change
            path = tuple(takewhile(lambda part: isinstance(part, str), path))
        value = _without(value, path, keep=item.code != "unknown-field") if path else value
    try:
        return model.model_validate(value), faults
    except ValidationError:
        return None, faults


def _placed(value: Any, path: Path) -> Path:
    """The path as far as the file has it: a value that stands for a mapping, as in `wait: 5m`, has no fields."""
    for depth, part in enumerate(path):
        if isinstance(part, str) and not isinstance(value, dict):
            return path[:depth]
        value = value.get(part, {}) if isinstance(value, dict) else value[part]
    return path


def _without(value: Any, path: Path, *, keep: bool) -> Any:
    """A copy of `value` that lacks the key at `path`, or (`keep`) has the sample of that field. Below `inputs`, `env`
    and `with` the keys are the author's own."""
    head, *rest = path
    if isinstance(value, list):
        return [_without(item, tuple(rest), keep=keep) if index == head else item for index, item in enumerate(value)]
    if keep and not rest and head in _SAMPLES:
        return {**value, head: _SAMPLES[head]}
    if len(rest) == 1 and head in ("inputs", "env", "with"):
        return {**value, head: {key: item for key, item in value[head].items() if key != rest[0]}}
    if rest:
        return {key: _without(item, tuple(rest), keep=keep) if key == head else item for key, item in value.items()}
    return {key: item for key, item in value.items() if key != head}


def _fault(error: dict[str, Any]) -> Fault:
    path = tuple(error["loc"])
    key = bool(path) and path[-1] == "[key]"
    path = path[:-1] if key else path
    name = f"'{next((part for part in reversed(path) if isinstance(part, str)), 'this')}'"
    context = error.get("ctx", {})
    kind, value = error["type"], error.get("input")
    if kind == "ion":
        return Fault(path, context["code"], context["message"].replace("{name}", name), context["hint"], key)
    if kind == "missing":
        return Fault(path[:-1], "missing-field", f"{name} is missing", field=str(path[-1]))
    if kind == "extra_forbidden":
        return Fault(path, "unknown-field", f"{name} is not a field here", key=True, field=str(path[-1]))
    if kind == "literal_error":
        expected = context["expected"]
        message = f"{name} must be {expected}, not {describe(value)}"
        return Fault(path, "bad-value", message, value=value, choices=tuple(re.findall("'([^']*)'", expected)))
    if kind in ("greater_than_equal", "less_than_equal"):
        word, limit = ("least", context["ge"]) if kind == "greater_than_equal" else ("most", context["le"])
        return Fault(path, "bad-value", f"{name} must be at {word} {limit}, not {describe(value)}")
    if kind == "too_short":
        return Fault(path, "bad-value", f"{name} is empty")
    if value is None:
        return Fault(path, "wrong-type", f"{name} has no value", "give it one, or leave it out")
    wanted, hint = _WANTED.get(kind, (error["msg"], ""))
    hint = _remedy(kind, path, value) or hint
    item = f"an entry of {name}" if path and isinstance(path[-1], int) else name
    return Fault(path, "wrong-type", f"{item} must be {wanted}, not {describe(value)}", hint)


def _remedy(kind: str, path: Path, value: Any) -> str:
    """The given value as it should be written, if that is clear."""
    if kind == "list_type" and path == ("nodes",) and isinstance(value, dict) and value:
        name, node = next(iter(value.items()))
        fields = f", {next(iter(node))}: …" if isinstance(node, dict) and node else ""
        written = f"- {{id: {name}{fields}}}" if _PLAIN.fullmatch(f"{name}") else "- {id: name}"
        return f"write a list of mappings with 'id', the first one as {written}"
    if kind == "list_type" and isinstance(value, str):
        parts = [part for part in re.split(r"[\s,]+", value.strip("[] ")) if part]
        return f"write [{', '.join(parts)}]" if parts and all(_PLAIN.fullmatch(part) for part in parts) else ""
    if kind == "list_type" and type(value) is int and f"{path[-1]}".endswith("exit_status"):
        return f"write [{value}]"
    if kind.startswith("model_") and path and path[-1] in _MAIN_FIELDS and isinstance(value, str | int):
        return f"write {path[-1]}: {{{_MAIN_FIELDS[path[-1]]}: …}}"
    if kind == "string_type" and isinstance(value, list) and path and path[-1] in ("bash", "until_bash", "prompt"):
        return f"write '{path[-1]}: |', and the lines below it, indented, without '- '"
    if kind == "string_type" and value is True and path and path[-1] == "when":
        return "leave it out: without a condition the node runs"
    if kind == "bool_type" and isinstance(value, str):
        return boolean_meant(value)
    return ""


def boolean_meant(value: str) -> str:
    """How to write a boolean that was written as in YAML 1.1, or as text; '' if it is not a boolean."""
    return next((f"write {right}" for right, words in _BOOLEANS.items() if value.strip().lower() in words), "")


_PLAIN = re.compile(r"[\w.-]{1,64}")
# What a part that was given as a single value was probably meant to say.
_MAIN_FIELDS: dict[str | int, str] = {"retry": "max_attempts", "approval": "message", "on_reject": "prompt"}
_BOOLEANS = {"true": ("true", "yes", "on", "y"), "false": ("false", "no", "off", "n")}
_WANTED = {
    "string_type": ("text", "quote it if it is meant as text"),
    "int_type": ("a whole number", ""),
    "int_from_float": ("a whole number", ""),
    "bool_type": ("true or false", "write true or false, without quotes"),
    "list_type": ("a list", "write [a, b]"),
    "dict_type": ("a mapping", "write 'key: value' lines below it"),
    "model_type": ("a mapping", "write 'key: value' lines below it"),
    "model_attributes_type": ("a mapping", "write 'key: value' lines below it"),
}
