"""Plain scalars by the YAML 1.2 core schema: `on`, `no`, `12:30` and `1e3x` are texts, `010` is ten."""

from __future__ import annotations

import math
import re

MAX_NUMBER_LENGTH = 100

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT = frozenset("0123456789-+.~nNtTfF")  # how a plain scalar begins that may be something other than text


def plain_value(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. A YAML number that JSON cannot hold is not finite."""
    if text[:1] not in _NOT_TEXT and text:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        too_long = len(text) > MAX_NUMBER_LENGTH
        return math.inf if too_long else int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.inf if _NO_NUMBER.fullmatch(text) else text
