"""PyYAML's errors as messages that say what to change.

The C parser and the pure one word the same errors differently; the table below knows both.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

from ion.language.source import Source

QUOTE = "quote this value"
# A field whose text is often code or prose, with a value on its own line.
_TEXT_FIELD = re.compile(
    r"[ \t]*(?:- +)?(bash|until_bash|script|prompt|continued|message|gate_message|cancel):[ \t]+\S"
)


class _Complaint(NamedTuple):
    """`needle` is searched in the message and in its context; `at_context`: the place is where the construct began."""

    needle: str
    message: str
    hint: str
    at_context: bool = False


_UNCLOSED_QUOTE = "the quote that opens here is never closed"
_UNCLOSED = "the '{}' that opens here is not closed, or a ',' is missing in it"
_STRAY = "this does not belong here"
_STRAY_HINT = "quote the whole value above it, or indent the line like its neighbours"
_COMPLAINTS = (
    _Complaint(
        "unknown escape", "'\\' begins an escape in double quotes, and this is not one", "double it, or quote singly"
    ),
    _Complaint("escape code", "this escape names no character", "write the character itself"),
    _Complaint("escape sequence of", "this escape is not complete", "double the backslash, or use single quotes"),
    _Complaint("quoted scalar", _UNCLOSED_QUOTE, "close it, or double a quote that belongs to the text", True),
    _Complaint("double-quoted", _UNCLOSED_QUOTE, "close it", True),
    _Complaint("flow sequence", _UNCLOSED.format("["), "quote a value that begins with '['", True),
    _Complaint(
        "flow mapping", _UNCLOSED.format("{"), "quote a value that begins with '{', and one in it that has ': '", True
    ),
    _Complaint(
        "mapping values are not", "a ':' cannot stand here", "quote a value that holds ': ', and check the indent"
    ),
    _Complaint("mapping keys are not", "a value cannot begin with '? '", QUOTE),
    _Complaint("entries are not allowed", "a list cannot begin here", "begin it on the next line, or quote the value"),
    _Complaint(
        "expected ':'", "this is not a 'key: value' line", "add the ':', or indent it like the text above", True
    ),
    _Complaint("block scalar", "nothing may follow '|' or '>' on its line", "begin the text on the next line"),
    _Complaint("'-' indicator", "this does not belong to the list above", "indent it, or begin it with '- '"),
    _Complaint("duplicate", "this directive is given twice", "remove the line"),
    _Complaint("directive", "a line cannot begin with '%'", QUOTE, True),
    _Complaint("document start", "a line cannot begin with '%'", QUOTE),
    _Complaint("tag", "this tag cannot be read", "quote this value if the '!' belongs to it"),
    _Complaint("expected key", _STRAY, _STRAY_HINT),
    _Complaint("block end", _STRAY, _STRAY_HINT),
)


def explain(error: yaml.MarkedYAMLError, source: Source) -> tuple[int, str, str]:
    """Place, message and hint: (index, message, hint)."""
    said, context = str(error.problem or ""), str(error.context or "")
    index = _index(error.problem_mark or error.context_mark, source)
    character = source.text[index : index + 1]
    if character == "\t" or "tab character" in said:
        return index, "a tab may not indent a line in YAML", "use spaces"
    if re.search("cannot start any token|expected alphabetic|node content", said):
        before = source.text[max(0, index - 1) : index]
        index -= before in ("*", "&")
        shown = source.text[index : index + 1].strip()
        message = f"a value cannot begin with '{shown}'" if shown else "a value is missing here"
        return index, message, _block_hint(index, source) or QUOTE
    for complaint in _COMPLAINTS:
        if complaint.needle in said or complaint.needle in context:
            index = _index(error.context_mark, source) if complaint.at_context and error.context_mark else index
            return index, complaint.message, _block_hint(index, source) or complaint.hint
    return index, f"YAML cannot be read here: {said or context}", ""


def _block_hint(index: int, source: Source) -> str:
    """How to write the text, if the line is a text that YAML reads as something else (`bash: echo "a: b"`, `bash: [
    -f x ] && y`)."""
    line = source.start_of_line(source.place(index)[0]) or 0
    field = _TEXT_FIELD.match(source.text, line)
    return f"write '{field[1]}: |', and the text on the next line, indented" if field else ""


def _index(mark: yaml.Mark | None, source: Source) -> int:
    return min(mark.index, len(source.text)) if mark else 0
