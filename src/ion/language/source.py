"""The text of a file and the places in it, counted as an editor counts.

Every other module of this room uses character offsets into a text; only here do they become lines and columns, so that
a problem is where the author's editor shows it, whatever a parser counts as a line.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_right
from functools import cache, cached_property
from pathlib import Path

from ion.errors import Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_FORBIDDEN_SHOWN = 20
# What JavaScript's trim takes away (Archon trims with it), a byte order mark and a no-break space included.
BLANKS = "\t\n\v\f\r \xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
_LINE_BREAK = re.compile(r"\r\n|\n|\r")


class Source:
    """A text, and the places in it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, both from 1, of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def start_of_line(self, line: int) -> int | None:
        """The index of the first character of `line` (from 1), or None after the last line."""
        return self._starts[line - 1] if line <= len(self._starts) else None

    def line_end(self, index: int) -> int:
        """The index at which the line of `index` ends, before its line break."""
        found = _LINE_BREAK.search(self.text, index)
        return found.start() if found else len(self.text)


def trim(text: str) -> str:
    """Trims as Archon trims the texts of prompt, bash, script and cancel."""
    return text.strip(BLANKS)


def read_file(path: Path, limit: int = MAX_BYTES) -> tuple[bytes, Problem | None]:
    """The bytes of a regular file of at most `limit` bytes, or b'' and the problem that says why not. Does not wait
    for a pipe or a device."""
    file = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                message = "this is not a regular file"
                return b"", Problem("unreadable-file", message, file=file, line=1, column=1)
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(limit + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        return b"", Problem("unreadable-file", message, file=file, line=1, column=1)
    if len(data) > limit:
        return b"", too_large(max(state.st_size, len(data)), file)
    return data, None


def too_large(size: int, file: str) -> Problem:
    message = f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read"
    hint = "move long texts into files of their own"
    return Problem("file-too-large", message, file=file, line=1, column=1, hint=hint)


def decode(data: bytes, file: str) -> tuple[str, Problem | None]:
    """The text of `data`, without a byte order mark, or '' and the problem that says where it is not UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = Source(data[: error.start].decode("utf-8")).place(len(data[: error.start].decode("utf-8")))
        hint = "save the file as UTF-8"
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            hint = "the file looks like UTF-16: save it as UTF-8"
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} does not belong there"
        return "", Problem("not-utf8", message, file=file, line=line, column=column, hint=hint)
    return text.removeprefix("\ufeff"), None


@cache
def forbidden() -> re.Pattern[str]:
    """The characters a file may not hold raw: C0 and C1 controls, lone surrogates, noncharacters (YAML 1.2, 5.1).

    Compiled when a file is parsed: that takes longer than loading a cached workflow.
    """
    return re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def forbidden_characters(source: Source, file: str) -> list[Problem]:
    """A problem for each character that is not allowed in a file; only the first few."""
    problems = []
    for match in forbidden().finditer(source.text):
        line, column = source.place(match.start())
        message = f"the character U+{ord(match[0]):04X} is not allowed in this file"
        hint = 'remove it; in a double-quoted text it can be written as an escape, such as "\\x1b"'
        if match[0] == "\0":
            message, hint = "a NUL character is not allowed in this file", "is it a text file? remove the character"
        problems.append(
            Problem("control-character", message, file=file, line=line, column=column, hint=hint),
        )
        if len(problems) == MAX_FORBIDDEN_SHOWN:
            break
    return problems
