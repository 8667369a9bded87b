"""The values of declared inputs, as a caller gives them: of a run, of an `include`, of a called workflow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ion.foreign import loads
from ion.language.graph import topological
from ion.language.patterns import fill_placeholders
from ion.language.values import canonical
from ion.language.workflow import Input

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def input_value(item: Input, value: Any) -> Any:
    """A value as the input declares it; a text for a number, boolean, array or object is read as JSON.

    Raises `ValueError`, whose message continues `input 'name' …`.
    """
    if not isinstance(value, str):
        _require_json(value)
    expected = _JSON_TYPES.get(item.type or "")
    if expected is not None:
        value = _typed(item, value, expected)
    elif item.type == "string" and not isinstance(value, str):
        value = canonical(value)
    if item.enum is not None and value not in item.enum and canonical(value) not in item.enum:
        raise ValueError(f"must be one of {', '.join(canonical(choice) for choice in item.enum)}")
    return value


def with_defaults(declared: Iterable[Input], given: Mapping[str, Any]) -> dict[str, Any]:
    """The declared inputs that are given or have a default; `{name}` in one that refers to others is filled in."""
    values: dict[str, Any] = {}
    refers: dict[str, tuple[str, ...]] = {}
    for item in declared:
        if item.name in given:
            values[item.name] = given[item.name]
        elif item.has_default:
            values[item.name] = item.default
            refers |= {item.name: item.refers_to} if item.refers_to else {}
    for name in topological(refers):
        known = {other: canonical(values[other]) for other in refers[name] if other in values}
        values[name] = fill_placeholders(values[name], known)
    return values


def _require_json(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("holds NaN or an infinity, which are not numbers") from None
    except TypeError as error:
        raise ValueError(f"is not JSON: {error}") from None


def _typed(item: Input, value: Any, expected: tuple[type, ...]) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            value = loads(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise ValueError(f"must be of the type {item.type}{': true or false' if item.type == 'boolean' else ''}")
    return value
