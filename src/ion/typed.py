"""Whether a value has the type that a record's field declares, for data that comes from outside and is checked on
entry. The types are the texts of the fields' annotations: what a type checker reads is what is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], bool]
Records: TypeAlias = Mapping[str, type[Any] | tuple[type[Any], ...]]
# A float holds every whole number up to here, and so does every JSON reader.
LARGEST_INT = 2**53

_SIMPLE: dict[str, type[Any]] = {"str": str, "bool": bool, "None": NoneType}
_NUMBERS: dict[str, Check] = {
    "int": lambda value: type(value) is int and -LARGEST_INT <= value <= LARGEST_INT,
    "float": lambda value: type(value) in (int, float) and math.isfinite(value) and abs(value) <= LARGEST_INT,
}


def check_of(annotation: str, records: Records) -> Check:
    """A check whether a value, as JSON, is of the type `annotation`; `records` are the classes that it may name, which
    were made from their own values already.

    Raises `ValueError` for an unknown type.
    """
    choices = _parts(annotation, "|")
    simple = {_SIMPLE[choice] for choice in choices if choice in _SIMPLE}
    others = [_check_of_one(choice, records) for choice in choices if choice not in _SIMPLE]
    if not others:
        return lambda value: type(value) in simple
    if len(choices) == 1:
        return others[0]
    return lambda value: type(value) in simple or any(check(value) for check in others)


def _check_of_one(annotation: str, records: Records) -> Check:
    name, bracket, inside = annotation.partition("[")
    if name in records:
        classes = records[name]
        return lambda value: isinstance(value, classes)
    if name == "Any":
        return lambda _value: True
    if name in _NUMBERS:
        return _NUMBERS[name]
    arguments = _parts(inside[:-1], ",")
    if name == "dict" and len(arguments) == 2:
        return _dict_check(arguments[1], records)
    if name == "tuple" and bracket:
        return _tuple_check(arguments, records)
    raise ValueError(f"the type {annotation!r} cannot be checked")


def _dict_check(item: str, records: Records) -> Check:
    if item == "Any":
        return lambda value: isinstance(value, dict)
    check = check_of(item, records)
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _tuple_check(arguments: list[str], records: Records) -> Check:
    checks = [check_of(argument, records) for argument in arguments if argument != "..."]
    if arguments[-1] == "...":
        return lambda value: type(value) is tuple and all(map(checks[0], value))
    return lambda value: (
        isinstance(value, tuple | list)
        and len(value) == len(checks)
        and all(check(one) for check, one in zip(checks, value, strict=True))
    )


def _parts(text: str, separator: str) -> list[str]:
    """The text split at separators outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
