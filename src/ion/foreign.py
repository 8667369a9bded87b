"""Text from outside (replies, JSON, arguments, files): one rule for invalid Unicode, one for invalid JSON.

Half of a surrogate pair becomes U+FFFD, as it does on its way into UTF-8. JSON is what RFC 8259 defines, with numbers
that every reader can hold: a longer integer keeps its own text, a larger number is not JSON.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, NoReturn

# Digits of the longest integer that a double can hold, too: every comparison and every schema can count with it.
LONGEST_INTEGER = 308


def unicode(text: str) -> str:
    """Text that UTF-8 can encode: halves of surrogate pairs joined, lone ones U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def loads(text: str | bytes) -> Any:
    """Parse `text` as JSON. Bytes are UTF-8; bytes that a text has kept (PEP 383) stay in it. Raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        return decoder().decode(_without_halves(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII for other readers: what is not Unicode (a byte in a path, PEP 383) becomes U+FFFD."""
    return _without_halves(json.dumps(value, indent=indent))


def _without_halves(text: str) -> str:
    return _escaped().sub(lambda match: "\\ufffd" if match["lone"] else match[0], text) if "\\u" in text else text


@cache
def decoder() -> json.JSONDecoder:
    """The decoder of this rule, for finding JSON inside other text."""
    return json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_no_number)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_INTEGER else digits


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        _no_number(digits if len(digits) <= 20 else f"{digits[:20]}…")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON can hold")


@cache
def _escaped() -> re.Pattern[str]:
    """Escapes in JSON; `lone` is half of a surrogate pair without the other half."""
    return re.compile(
        r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
        re.DOTALL,
    )
