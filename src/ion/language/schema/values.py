"""The types of single values in the file format: names, durations, texts. Each says in its own words what is wrong.

A validator raises `fault(…)`; `{name}` in its message becomes the name of the field.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ion.language.references import find_references
from ion.language.source import trim
from ion.language.values import canonical, moment
from ion.language.workflow import WORKER_LABEL
from ion.names import RESERVED_NODE_IDS, is_node_id, is_signal_name

INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_DURATION_MS = 10 * 365 * 24 * 3_600_000


def fault(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """An error of a validator with its message. Braces in it are not placeholders."""
    return PydanticCustomError("ion", "", {"code": code, "message": message, "hint": hint})


def _not_blank(text: str) -> str:
    if not trim(text):
        raise fault("bad-value", "{name} is empty", "give it a value, or leave it out")
    return text


def _duration(value: Any) -> int:
    """Milliseconds of `1500`, `90s`, `5m`, `2h`, `3d`, `500ms` (language.md §3, §14)."""
    hint = "write milliseconds as a number, or a text such as 90s, 5m, 2h"
    milliseconds: float
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise fault("bad-duration", f"'{value[:40]}' is not a duration", hint)
        milliseconds = float(match[1]) * _UNIT_MS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = value
    else:
        raise fault("bad-duration", f"{{name}} must be a duration, not {describe(value)}", hint)
    if not 0 < milliseconds <= MAX_DURATION_MS:
        raise fault("bad-duration", "{name} must be more than 0 and at most ten years", hint)
    return max(1, round(milliseconds))


def retry_delay(milliseconds: int) -> int:
    if not 1000 <= milliseconds <= 60_000:
        raise fault("bad-value", "{name} must be between 1000 and 60000 milliseconds")
    return milliseconds


def _environment_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return canonical(value)
    raise fault("wrong-type", f"{{name}} must be text, not {describe(value)}", "quote it if it is meant as text")


def _environment_name(name: str) -> str:
    if not ENVIRONMENT_NAME.fullmatch(name):
        raise fault("bad-name", f"'{name[:40]}' cannot name an environment variable", "use letters, digits and _")
    return name


def worker_label(name: str) -> str:
    """A label of workers: part of the name of a task queue."""
    if not re.fullmatch(WORKER_LABEL, name):
        hint = "use at most 63 lower-case letters, digits, _ and -"
        raise fault("bad-name", f"'{name[:40]}' is not a valid worker label", hint)
    return name


def _input_name(name: str) -> str:
    if not INPUT_NAME.fullmatch(name):
        hint = "begin with a letter or _, then letters, digits, _ and -"
        raise fault("bad-name", f"'{name[:40]}' cannot name an input", hint)
    return name


def node_id(name: str) -> str:
    if is_node_id(name):
        return name
    if name in RESERVED_NODE_IDS:
        raise fault("bad-id", f"'{name}' is a name that Ion uses itself", "choose another id")
    hint = "begin with a letter or _, then letters, digits, _ and -"
    raise fault("bad-id", f"'{name[:40]}' cannot be a node's id: nothing could refer to it", hint)


def _file_name(name: str) -> str:
    _not_blank(name)
    if "/" in name or "\\" in name or ".." in name or name.startswith("."):
        raise fault("bad-name", f"'{name[:60]}' is a path; {{name}} takes a name", "leave out folders and the ending")
    return name


def decision_id(name: str) -> str:
    if not _KEBAB.fullmatch(name):
        raise fault(
            "bad-id", f"'{name[:40]}' cannot be a decision's id", "use small letters, digits and single hyphens"
        )
    return name


def context_value(value: Any) -> str | dict[str, str]:
    if value in ("fresh", "shared"):
        return str(value)
    if isinstance(value, dict) and list(value) == ["resume"] and isinstance(value["resume"], str):
        return value
    raise fault("bad-value", "{name} must be fresh, shared or {resume: node}", "leave it out for the usual rule")


def items_value(value: Any) -> str | list[Any]:
    if isinstance(value, str) and trim(value):
        return value
    if isinstance(value, list):
        return value
    hint = "write $node.output, a list, or a text that is a JSON array"
    raise fault("wrong-type", f"{{name}} must be a list or a reference to one, not {describe(value)}", hint)


def parallel_value(value: Any) -> Any:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise fault("bad-value", f"{{name}} must be a whole number of at least 1, or all, not {describe(value)}")


def allowed_value(value: Any) -> Any:
    """`true` is every failure, `false` none."""
    if isinstance(value, bool):
        return {} if value else None
    if isinstance(value, dict) and value:
        return value
    hint = "write allow_failure: true, or allow_failure: {exit_status: [1]}"
    raise fault("wrong-type", f"{{name}} must be true, or say which failures, not {describe(value)}", hint)


def wait_value(value: Any) -> Any:
    """A duration by itself, too."""
    return {"duration": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def signal_name(name: str) -> str:
    if not is_signal_name(name):
        hint = "use letters, digits, '.', '_' and '-'; ion signal --for ADDRESS says which instance is meant"
        raise fault("bad-name", f"'{name[:40]}' cannot be the name of a signal", hint)
    return name


def check_pause(milliseconds: int) -> int:
    if milliseconds < 1000:
        raise fault("bad-value", "{name} must be at least a second")
    return milliseconds


def moment_text(text: str) -> str:
    """An instant, if the text refers to nothing."""
    if not find_references(text):
        try:
            moment(text)
        except ValueError as error:
            raise fault("bad-value", f"{error}") from None
    return text


def finally_value(value: Any) -> Any:
    if value == []:
        raise fault("bad-value", "{name} is empty")
    return {"nodes": value} if isinstance(value, list) else value


def _workflow_name(name: str) -> str:
    _not_blank(name)
    if "$" in name:
        raise fault("bad-name", "{name} takes a fixed name: it is read when the file is loaded")
    if "/" in name or name.endswith((".yaml", ".yml", ".md")):
        hint = "write its 'name:', and keep the file in a folder of workflows"
        raise fault("bad-name", f"'{name[:60]}' is a path; {{name}} takes the name of a workflow", hint)
    return name


def input_or_nothing(value: Any) -> Any:
    return {} if value is None else value


Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]
FileName: TypeAlias = Annotated[str, AfterValidator(_file_name)]
WorkflowName: TypeAlias = Annotated[str, AfterValidator(_workflow_name)]
Duration: TypeAlias = Annotated[
    int,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "description": "milliseconds"},
                {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["90s", "5m", "2h"]},
            ]
        }
    ),
]
EnvironmentName: TypeAlias = Annotated[
    str, AfterValidator(_environment_name), Field(json_schema_extra={"pattern": f"^{ENVIRONMENT_NAME.pattern}$"})
]
EnvironmentValue: TypeAlias = Annotated[
    str, BeforeValidator(_environment_value), WithJsonSchema({"type": ["string", "number", "boolean"]})
]
InputName: TypeAlias = Annotated[
    str, AfterValidator(_input_name), Field(json_schema_extra={"pattern": f"^{INPUT_NAME.pattern}$"})
]
NodeId: TypeAlias = Annotated[
    str,
    AfterValidator(node_id),
    Field(json_schema_extra={"pattern": f"^(?!({'|'.join(RESERVED_NODE_IDS)})$){INPUT_NAME.pattern}$"}),
]
Environment: TypeAlias = dict[EnvironmentName, EnvironmentValue]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
ExitStatus: TypeAlias = Annotated[int, Field(ge=1, le=255)]
Dollars: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def absent(**more: Any) -> Any:
    """A field that may be left out, but not be null."""
    return Field(default=None, **more)


def describe(value: Any) -> str:
    """A value in a few words, for a message."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)[:40]
        case str():
            return f"'{value}'" if len(value) <= 40 else "a long text"
        case list():
            return "a list"
        case _:
            return "a mapping"
