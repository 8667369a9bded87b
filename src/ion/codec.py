"""Records as JSON and back, by the types that their fields declare: what comes from outside is checked on entry.

The encoding is msgspec's. A text that is not valid Unicode (a byte in a path or an output, PEP 383), which it refuses,
takes the slower way of the standard library, with all escaped that is not ASCII.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def encode(data: Any) -> str:
    """A record, or JSON that may hold records, as text that every medium can hold."""
    try:
        return _encoder.encode(data).decode()
    except UnicodeEncodeError:
        return json.dumps(to_json(data), separators=(",", ":"))


def decode(text: str | bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What `encode` wrote. Raises `ValueError` if it is not JSON, or not of the decoder's type."""
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):  # or it holds a text that is not valid Unicode
        return from_json(_loads(text), decoder)


def _loads(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def to_json(data: Any) -> Any:
    """As `encode`, as plain data; tuples stay tuples."""
    return msgspec.to_builtins(data)


def from_json(data: Any, decoder: msgspec.json.Decoder[T]) -> T:
    """As `decode`, from JSON data."""
    try:
        value: T = msgspec.convert(data, decoder.type)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        place = path.rstrip("`")
        raise ValueError(f"its field '{place}' is invalid: {what.lower()[:80]}" if path else what[:80]) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value
