"""Records as JSON and back, by the types that their fields declare.

What comes from outside is checked on entry: the types are the texts of the fields' annotations, so what a type checker
reads is what is checked. `Codec` writes and reads whole records; `check_of` judges one value.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from msgspec import NODEFAULT

Check: TypeAlias = Callable[[Any], bool]
# Returns a value of JSON as its type has it (a list as a tuple); raises `MisfitError` if it has another type.
Reader: TypeAlias = Callable[[Any], Any]
Record = TypeVar("Record")
# A float holds every whole number up to here, and so does every JSON reader.
LARGEST_INT = 2**53

_SIMPLE: dict[str, type[Any]] = {"str": str, "bool": bool, "None": NoneType}
_PLAIN = frozenset({str, int, float, bool, NoneType})


class MisfitError(ValueError):
    """A value is not of the type that is declared for it."""

    def __str__(self) -> str:
        return "it has another type"


class Codec:
    """Records as JSON objects of the fields that differ from their defaults.

    `unions` are the aliases that annotations use for one of several records, by the `kind` that tells these apart.
    """

    def __init__(self, records: Iterable[type[Any]], **unions: Mapping[str, type[Any]]) -> None:
        self._kinds = {record: kind for union in unions.values() for kind, record in union.items()}
        self._readers: dict[str, Reader] = {record.__name__: partial(self.read, record) for record in records}
        self._readers |= {name: partial(self._read_one_of, union) for name, union in unions.items()}
        self._fields: dict[type[Any], dict[str, Reader]] = {}
        self._defaults: dict[type[Any], tuple[tuple[str, Any], ...]] = {}

    def write(self, value: Any) -> Any:
        """A record, or what a field of one holds, as JSON."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, dict):
            return {key: self.write(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [self.write(item) for item in value]
        record = type(value)
        data = {"kind": self._kinds[record]} if record in self._kinds else {}
        for name, default in self._defaults_of(record):
            item = getattr(value, name)
            if item is not default and item != default:
                data[name] = self.write(item)
        return data

    def read(self, record: type[Record], data: Any) -> Record:
        """The record that `write` wrote. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
        data = {**_a(data, dict)}
        if record in self._kinds and data.pop("kind", None) != self._kinds[record]:
            raise MisfitError
        readers, values = self.readers(record), {}
        for name, item in data.items():
            if name not in readers:
                raise ValueError(f"unknown field {name!r:.80}")
            try:
                values[name] = readers[name](item)
            except MisfitError:
                raise ValueError(f"its field {name!r} cannot be {item!r:.80}") from None
        return record(**values)

    def readers(self, record: type[Any]) -> dict[str, Reader]:
        """For each field of a record, what reads it."""
        found = self._fields.get(record)
        if found is None:
            found = self._fields[record] = {
                name: reader_of(annotation, self._readers) for name, annotation, _ in fields_of(record)
            }
        return found

    def _read_one_of(self, union: Mapping[str, type[Any]], data: Any) -> Any:
        record = union.get(str(_a(data, dict).get("kind")))
        if record is None:
            raise MisfitError
        return self.read(record, data)

    def _defaults_of(self, record: type[Any]) -> tuple[tuple[str, Any], ...]:
        found = self._defaults.get(record)
        if found is None:
            found = self._defaults[record] = tuple((name, default) for name, _, default in fields_of(record))
        return found


def fields_of(record: type[Any]) -> list[tuple[str, str, Any]]:
    """The fields of a struct: name, annotation as text, and default, `NODEFAULT` if there is none."""
    annotations: dict[str, Any] = {}
    for cls in reversed(record.__mro__):
        annotations |= inspect.get_annotations(cls)
    names = record.__struct_fields__
    defaults = [NODEFAULT] * (len(names) - len(record.__struct_defaults__)) + [
        one.factory() if type(one).__name__ == "Factory" else one for one in record.__struct_defaults__
    ]
    return [(name, str(annotations[name]), default) for name, default in zip(names, defaults, strict=True)]


def check_of(annotation: str, records: Mapping[str, type[Any]]) -> Check:
    """A check whether a value, as JSON, is of the type `annotation`; `records` are the classes that it may name, which
    were made from their own values already.

    Raises `ValueError` for an unknown type.
    """
    read = reader_of(annotation, {name: _reader(partial(_is_a, record)) for name, record in records.items()})

    def check(value: Any) -> bool:
        try:
            read(value)
        except MisfitError:
            return False
        return True

    return check


def reader_of(annotation: str, readers: Mapping[str, Reader]) -> Reader:
    """A reader of values of the type `annotation`; `readers` read the classes that it may name.

    Raises `ValueError` for an unknown type.
    """
    choices = _parts(annotation, "|")
    simple = frozenset(_SIMPLE[choice] for choice in choices if choice in _SIMPLE)
    others = [_reader_of_one(choice, readers) for choice in choices if choice not in _SIMPLE]
    if len(choices) == len(others) == 1:
        return others[0]

    def read(value: Any) -> Any:
        if type(value) in simple:
            return value
        for other in others:
            try:
                return other(value)
            except MisfitError:
                continue
        raise MisfitError

    return read


def _reader_of_one(annotation: str, readers: Mapping[str, Reader]) -> Reader:
    name, _, inside = annotation.partition("[")
    if name in readers or name in _CHECKED:
        return readers.get(name) or _CHECKED[name]
    arguments = _parts(inside[:-1], ",")
    if name == "dict" and len(arguments) == 2:
        item = reader_of(arguments[1], readers)
        return lambda value: {key: item(one) for key, one in _a(value, dict).items()}
    if name == "tuple" and arguments[-1] == "...":
        item = reader_of(arguments[0], readers)
        return lambda value: tuple([item(one) for one in _a(value, list, tuple)])
    if name == "tuple":
        items = [reader_of(argument, readers) for argument in arguments]
        return lambda value: _read_each(items, _a(value, list, tuple))
    raise ValueError(f"the type {annotation!r} cannot be checked")


def _a(value: Any, *types: type[Any]) -> Any:
    if type(value) not in types:
        raise MisfitError
    return value


def _read_each(items: list[Reader], values: Any) -> Any:
    if len(values) != len(items):
        raise MisfitError
    return tuple([item(one) for item, one in zip(items, values, strict=True)])


def _is_a(record: type[Any], value: Any) -> bool:
    return isinstance(value, record)


def _reader(check: Check) -> Reader:
    def read(value: Any) -> Any:
        if not check(value):
            raise MisfitError
        return value

    return read


_CHECKED: dict[str, Reader] = {
    "Any": lambda value: value,
    "int": _reader(lambda value: type(value) is int and -LARGEST_INT <= value <= LARGEST_INT),
    "float": _reader(lambda value: type(value) in (int, float) and math.isfinite(value) and abs(value) <= LARGEST_INT),
}


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
