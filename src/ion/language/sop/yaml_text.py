"""Fields of YAML as text: our own writer, since every text must come back byte for byte.

PyYAML's own refuses block scalars for lines that end in blanks. Only what SOPs need is written: a key with a text, a
list or a number.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ion.language.source import forbidden

# What YAML takes for a line break besides \n, or would not give back.
_NOT_IN_BLOCKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NOT_PLAIN = frozenset({"true", "false", "null"})
_LONG = 100


def field(key: str, value: Any, indent: int = 0) -> list[str]:
    """The lines of `key: value`: texts of several lines as literal blocks, Unicode is kept."""
    head = f"{' ' * indent}{key}:"
    if not isinstance(value, str):
        return [f"{head} {json.dumps(value, ensure_ascii=False)}"]
    if _fits_block(value):
        inner = " " * (indent + 2)
        hint = "2" if value[0] in " \n\t" else ""
        return [f"{head} |{hint}-", *(inner + line if line else "" for line in value.split("\n"))]
    return [f"{head} {quoted(value)}"]


def quoted(value: str) -> str:
    """A text on one line, in quotes unless it is a plain word."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    escaped = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_BLOCKS.sub(_escape, forbidden().sub(_escape, escaped))


def _fits_block(value: str) -> bool:
    """Whether a text is written as a block: it is long or has several lines, and YAML reads it back unchanged."""
    if not value.strip() or value.endswith("\n") or ("\n" not in value and len(value) <= _LONG):
        return False
    return not (_NOT_IN_BLOCKS.search(value) or forbidden().search(value))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"
