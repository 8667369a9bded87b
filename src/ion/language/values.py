"""Values of references: a field of a node's JSON output, and the one text form of each JSON value.

Fields are read as the Archon dialect reads them (JSON in the text itself, else in a fenced block; a declared field that
was left out is ''), and the text of a value is what JavaScript's `JSON.stringify` returns, so that conditions written
for that dialect compare equal here. Whole numbers keep all their digits, which JavaScript would round beyond 2^53.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any, NoReturn

from msgspec import Struct

from ion.errors import UnreadableReferenceError
from ion.foreign import decoder, loads
from ion.language.patterns import pattern

_BLANKS = " \t\r\n\ufeff"
_FENCE = pattern(r"```[ \t]*+(?:json\b)?+\s*+(?=[\[{\"0-9tfn-])", re.IGNORECASE)
_FENCES_TRIED = 500
_BRACKET = pattern(r"[\[{]")
_BRACKETS_TRIED = 100
_FENCE_END = pattern(r"\s*```")
_ARRAY_INDEX = pattern(r"0|[1-9][0-9]{0,9}", re.ASCII)
_LARGEST_INDEX = 2**32 - 2
_MISSING = object()


def moment(text: str) -> int:
    """The instant that a text names, as in `2026-12-24T08:00:00+01:00`, in ms since the epoch. Raises `ValueError`,
    with a message, for a text that names none, or not the same everywhere."""
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"'{text[:60]}' is not a date with a time, such as 2026-12-24T08:00:00+01:00") from None
    if found.tzinfo is None:
        raise ValueError(f"'{text[:60]}' is another instant in each time zone: write its offset, as in +01:00, or Z")
    return round(found.timestamp() * 1000)


class Selected(Struct, frozen=True, gc=False):
    """What a path leads to (JSON), and how many of its elements were used to get there."""

    value: Any
    consumed: int


def select(output: str, path: tuple[str, ...], declared: dict[str, Any] | None = None) -> Selected:
    """The value at `path` in a node's output, read as far as there are objects; an empty path is the whole text.

    `declared` is the producer's `output_format`: a field that it declares, but the output leaves out or has as null,
    is ''. Raises `UnreadableReferenceError` if the output is not a JSON object or lacks the field.
    """
    if not path:
        return Selected(output, 0)
    value: Any = _object(output, path[0])
    for depth, name in enumerate(path):
        if not isinstance(value, dict):
            return Selected(value, depth)
        declared = _declared_field(declared, name)
        found = value.get(name, _MISSING)
        if declared is not None and (found is _MISSING or found is None):
            return Selected("", depth + 1 + _declared_length(declared, path[depth + 1 :]))
        if found is _MISSING:
            _no_such_field(path[: depth + 1], list(value))
        value = found
    return Selected(value, len(path))


def select_whole(output: str, path: tuple[str, ...], declared: dict[str, Any] | None = None) -> Any:
    """`select` for places where no text can follow, such as conditions: the whole path must lead to the value."""
    selected = select(output, path, declared)
    if selected.consumed < len(path):
        parent = ".".join(("output", *path[: selected.consumed]))
        raise UnreadableReferenceError(
            f"{parent} is {describe(selected.value)}, so it has no field '{path[selected.consumed]}'",
            hint=f"read {parent} itself, or have the node give an object there",
        )
    return selected.value


def canonical(value: Any) -> str:
    """The text of a JSON value: a string as it is, everything else as `JSON.stringify` writes it."""
    if isinstance(value, str):
        return value
    parts: list[str] = []
    try:
        _write(value, parts)
    except RecursionError:
        raise UnreadableReferenceError("the value is nested too deeply to be written as text") from None
    return "".join(parts)


def read_json(text: str) -> Any:
    """The JSON that `text` is or, failing that, holds in its first fenced block of JSON. Raises ValueError."""
    try:
        return read_whole_json(text)
    except ValueError:
        for value in fenced_values(text):
            return value
        raise


def read_whole_json(text: str) -> Any:
    """The JSON that `text` is. Raises ValueError."""
    return loads(text.strip(_BLANKS))


def fenced_values(text: str) -> Iterator[Any]:
    """The contents of fenced blocks that are JSON. After one that cannot be read, the next is tried, a bounded
    number of times, since each failure costs the length of the text before it."""
    position = 0
    for _ in range(_FENCES_TRIED):
        fence = _FENCE.search(text, position)
        if fence is None:
            return
        try:
            _, end = decoder().raw_decode(text, fence.end())
        except json.JSONDecodeError as error:
            position = max(error.pos, fence.start() + 3)
            continue
        except (ValueError, RecursionError):
            position = fence.start() + 3
            continue
        if _FENCE_END.match(text, end):
            yield loads(text[fence.end() : end])
        position = max(end, fence.start() + 3)


def bare_values(text: str) -> Iterator[Any]:
    """The objects and lists in a text, each whole and none inside of another. A bracket that begins no JSON
    is passed over, a bounded number of times."""
    position = failed = 0
    while failed < _BRACKETS_TRIED and (bracket := _BRACKET.search(text, position)) is not None:
        start = bracket.start()
        try:
            _, position = decoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            failed += 1
        else:
            yield loads(text[start:position])


def describe(value: Any) -> str:
    """The kind of a JSON value, for messages: `text`, `a number`, `a list of 3`, …"""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {str: "text", int: "a number", float: "a number", dict: "an object"}.get(type(value), "null")


def repr_text(text: str) -> str:
    """`text` in single quotes, with control characters escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{shown}'"


def did_you_mean(wanted: str, names: list[str]) -> str:
    """`did you mean 'x'?` for names near to `wanted`, else ''."""
    from difflib import get_close_matches

    near = get_close_matches(wanted, names[:1000], n=3, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def _object(output: str, name: str) -> dict[str, Any]:
    hint = f"have the node print a JSON object with a field {name!r}, or refer to its whole output"
    try:
        value = read_json(output)
    except ValueError:
        shown = repr(output[:40]) + ("…" if len(output) > 40 else "")
        raise UnreadableReferenceError(f"unknown field {name!r}: the output is not JSON ({shown})", hint=hint) from None
    if not isinstance(value, dict):
        raise UnreadableReferenceError(
            f"unknown field {name!r}: the output is {describe(value)}, not an object", hint=hint
        )
    return value


def _declared_field(schema: Any, name: str) -> Any:
    """The schema of property `name`, or None if `schema` does not declare it."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties.get(name) if isinstance(properties, dict) else None


def _declared_length(schema: Any, path: tuple[str, ...]) -> int:
    """How many elements of `path` the schema declares, one below the other."""
    for length, name in enumerate(path):
        schema = _declared_field(schema, name)
        if schema is None:
            return length
    return len(path)


def _no_such_field(path: tuple[str, ...], fields: list[str]) -> NoReturn:
    shown = ", ".join(repr(name)[:60] for name in fields[:20]) + (", …" if len(fields) > 20 else "")
    raise UnreadableReferenceError(
        f"unknown field '{'.'.join(path)}'; {'the fields are ' + shown if fields else 'the object is empty'}",
        hint=did_you_mean(path[-1], fields),
    )


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None or value is True or value is False:
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif isinstance(value, dict):
        _write_object(value, parts)
    else:
        parts.append("[")
        for index, item in enumerate(value):
            parts.append("," if index else "")
            _write(item, parts)
        parts.append("]")


def _write_object(value: dict[str, Any], parts: list[str]) -> None:
    parts.append("{")
    for index, key in enumerate(_in_javascript_order(value)):
        parts.append(("," if index else "") + encode_basestring(key) + ":")
        _write(value[key], parts)
    parts.append("}")


def _in_javascript_order(value: dict[str, Any]) -> list[str]:
    """JavaScript puts keys that are array indices first, by size, and keeps the order of all others."""
    indices = [key for key in value if _ARRAY_INDEX.fullmatch(key) and int(key) <= _LARGEST_INDEX]
    if not indices:
        return list(value)
    first = set(indices)
    return sorted(indices, key=int) + [key for key in value if key not in first]


def _number(value: float) -> str:
    """ECMA-262 Number::toString: the shortest digits, with an exponent from 1e21 up and from 1e-7 down."""
    from decimal import Decimal

    if value != value or value in (float("inf"), float("-inf")):
        return "null"
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
