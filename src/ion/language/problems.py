"""Problems of files: gathering them with their places, suggesting what was meant, and showing them.

`Report` turns paths of a document into lines and columns. `render_problem` shows one problem as a good compiler does;
it writes plain text, and a face that has colours hands in a `style`. Whatever a file holds, nothing but printable
characters reaches the screen.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ion.errors import Problem
from ion.language.source import Source

if TYPE_CHECKING:
    from ion.language.document import Document, DocumentPath

MAX_ERRORS = 1000
MAX_WARNINGS = 1000
MAX_SUGGESTIONS = 50_000  # comparisons of names for one file: a hostile file cannot buy time with them
WIDTH = 100

# Characters of a text: (the text, the first one's offset, how many).
Within: TypeAlias = tuple[str, int, int]
# (role, text) → text; roles: error, warning, code, message, place, gutter, source, caret, hint.
Style: TypeAlias = Callable[[str, str], str]


class TooManyProblemsError(Exception):
    """The report is full; what was found so far is enough to say that the file does not load."""


class Report:
    """Collects the problems of one document."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.problems: list[Problem] = list(document.problems)
        self.errors = len(self.problems)
        self.warnings = 0
        self._comparisons = 0

    def error(
        self,
        code: str,
        message: str,
        path: DocumentPath = (),
        *,
        hint: str = "",
        key: bool = False,
        within: Within | None = None,
    ) -> None:
        """Add an error at the value of `path`, at its key, or at some characters `within` its text."""
        self._note(Problem(code, message, hint=hint), path, key, within)

    def warning(
        self,
        code: str,
        message: str,
        path: DocumentPath = (),
        *,
        hint: str = "",
        key: bool = False,
        within: Within | None = None,
    ) -> None:
        """As `error`, for a problem that does not prevent loading."""
        self._note(Problem(code, message, "warning", hint=hint), path, key, within)

    def add(self, problem: Problem) -> None:
        """Add a problem that has its place already, of another file for instance."""
        if problem.severity == "error":
            self.errors += 1
        else:
            self.warnings += 1
            if self.warnings > MAX_WARNINGS:
                return
        self.problems.append(problem)
        if self.errors >= MAX_ERRORS:
            raise TooManyProblemsError

    def suggest(self, word: str, candidates: Iterable[str]) -> str:
        """A hint `did you mean …?`, or ''."""
        known = list(candidates)
        self._comparisons += len(known)
        near = did_you_mean(word, known) if self._comparisons <= MAX_SUGGESTIONS else None
        return f"did you mean '{near}'?" if near else ""

    def result(self) -> tuple[Problem, ...]:
        """All problems in the order of the file, each once."""
        problems = sort_problems(dict.fromkeys(self.problems))
        left = self.warnings - MAX_WARNINGS
        if self.errors >= MAX_ERRORS:
            message = f"there are {MAX_ERRORS} errors or more; the rest of the file was not checked"
            problems.append(Problem("too-many-problems", message, file=self.file, line=1, column=1))
        elif left > 0:
            message = f"{left} more warnings are not shown"
            problems.append(Problem("too-many-problems", message, "warning", file=self.file, line=1, column=1))
        return tuple(problems)

    def _note(self, problem: Problem, path: DocumentPath, key: bool, within: Within | None) -> None:
        spoiled = self.document.spoiled
        if spoiled and any(path[:length] in spoiled for length in range(len(path) + 1)):
            return
        line, column, length = self._place(path, key, within)
        self.add(
            replace(problem, file=self.file, line=line, column=column, path=path_text(path), length=length),
        )

    def _place(self, path: DocumentPath, key: bool, within: Within | None) -> tuple[int, int, int]:
        source = self.document.source
        start, end = self.document.span(path, key=key)
        if within is not None:
            text, offset, length = within
            index = self.document.index_in(path, text, offset)
            start, end = (start, start + 1) if index is None else (index, index + length)
        line, column = source.place(start)
        return line, column, max(1, min(end, source.line_end(start)) - start)


def path_text(path: DocumentPath) -> str:
    """`('nodes', 2, 'loop', 'until')` → `nodes[2].loop.until`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def damerau(a: str, b: str) -> int:
    """How many insertions, deletions, substitutions and swaps of neighbours turn `a` into `b` (Damerau 1964, the
    unrestricted distance)."""
    last_row_of: dict[str, int] = {}
    far = len(a) + len(b)
    table = [[far] * (len(b) + 2) for _ in range(len(a) + 2)]
    table[1][1:] = range(len(b) + 1)
    for i, left in enumerate(a, 1):
        table[i + 1][1] = i
        last_column = 0
        for j, right in enumerate(b, 1):
            row, column = last_row_of.get(right, 0), last_column
            if left == right:
                last_column = j
            table[i + 1][j + 1] = min(
                table[i][j] + (left != right),
                table[i + 1][j] + 1,
                table[i][j + 1] + 1,
                table[row][column] + (i - row - 1) + 1 + (j - column - 1),
            )
        last_row_of[left] = i
    return table[-1][-1]


def near(word: str, candidate: str, limit: int) -> bool:
    """Whether the Damerau distance is at most `limit`; cheap for words that have little in common."""
    if abs(len(word) - len(candidate)) > limit or len(set(word) ^ set(candidate)) > 2 * limit:
        return False
    return damerau(word, candidate) <= limit


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The nearest candidate that is near enough to be what was meant: within 2, or 30 % of longer words (1 for words
    under four letters)."""
    limit = 1 if len(word) < 4 else max(2, len(word) * 3 // 10)
    if len(word) > 80:
        return None
    close = [candidate for candidate in candidates if candidate != word and near(word, candidate, limit)]
    return min(close, key=lambda candidate: damerau(word, candidate), default=None)


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """By file and place; at one place errors come first."""
    return sorted(problems, key=lambda p: (p.file, p.line, p.column, p.severity != "error", p.code, p.message))


def summary(problems: Iterable[Problem], files: int) -> str:
    """`1 error, 1 warning in 1 of 6 files`."""
    found = list(problems)
    errors = sum(problem.severity == "error" for problem in found)
    counts = [(errors, "error"), (len(found) - errors, "warning")]
    said = ", ".join(_count(number, word) for number, word in counts if number)
    if not said:
        return f"no problems in {_count(files, 'file')}"
    touched = len({problem.file for problem in found})
    return f"{said} in {touched} of {_count(files, 'file')}" if files != 1 else f"{said} in 1 file"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def plain_style(_role: str, text: str) -> str:
    """The style of a pipe: no colours."""
    return text


def render_problems(
    problems: Iterable[Problem],
    *,
    sources: Mapping[str, str] | None = None,
    relative_to: Path | None = None,
    style: Style = plain_style,
    width: int = WIDTH,
) -> str:
    """All problems, sorted, each followed by an empty line. A file that is not in `sources` is read from the disk."""
    known = dict(sources or {})
    shown = []
    for problem in sort_problems(problems):
        if problem.file not in known:
            known[problem.file] = _read(problem.file)
        shown.append(render_problem(problem, known[problem.file], relative_to=relative_to, style=style, width=width))
    return "\n\n".join(shown)


def _read(file: str) -> str:
    """The text of a file for display; '' if it cannot be read (that is then the problem itself)."""
    try:
        data = Path(file).read_bytes() if file and Path(file).is_file() else b""
    except OSError:
        return ""
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def render_problem(
    problem: Problem,
    text: str = "",
    *,
    relative_to: Path | None = None,
    style: Style = plain_style,
    width: int = WIDTH,
) -> str:
    """One problem as several lines. Errors show the line of `text` they are in, about `width` characters of it, with
    a caret."""
    severity = problem.severity
    head = style(severity, f"{severity}[{printable(problem.code)}]") + ": "
    lines = [head + style("message", printable(problem.message))]
    place = _place_text(problem, relative_to)
    if place:
        lines.append(style("gutter", "  --> ") + style("place", place))
    hints = [printable(hint) for hint in problem.hint.split("\n") if hint]
    if severity == "error" and problem.line:
        lines += _snippet(problem, text, hints, style, width)
    margin = " " * len(str(problem.line)) if problem.line else "  "
    lines += [style("gutter", f"{margin} = ") + style("hint", hint) for hint in hints]
    return "\n".join(lines)


def _place_text(problem: Problem, relative_to: Path | None) -> str:
    file = problem.file
    if file and relative_to is not None and Path(file).is_relative_to(relative_to):
        file = os.path.relpath(file, relative_to)
    place = f"{problem.line}:{problem.column}" if problem.line else ""
    return ":".join(part for part in (printable(file), place) if part) or printable(problem.path)


def _snippet(problem: Problem, text: str, hints: list[str], style: Style, width: int) -> list[str]:
    """The source line with the caret below it; takes a first hint `did you mean` out of `hints`."""
    source = Source(text)
    start = source.start_of_line(problem.line)
    if start is None or not text:
        return []
    line = text[start : source.line_end(start)]
    before, marked, after = _cut(line, problem.column - 1, problem.length, width)
    caret = " " * _width(before) + style("caret", "^" * max(1, _width(marked)))
    if hints and hints[0].startswith("did you mean"):
        caret += " " + style("hint", hints.pop(0))
    number = str(problem.line)
    bar = style("gutter", " " * len(number) + " |")
    shown = style("gutter", f"{number} | ") + style("source", before + marked + after)
    return [bar, shown.rstrip(), f"{bar} {caret}", *([bar] if hints else [])]


def _cut(line: str, column: int, length: int, width: int) -> tuple[str, str, str]:
    """The line as it is shown, in three parts around what is marked, about `width` characters in all."""
    begin = max(0, column - width // 2) if len(line) > width else 0
    before = printable(line[begin:column])
    end = column + min(length, max(1, width - (column - begin)))
    marked = printable(line[column:end])
    after = line[end:]
    room = max(0, width - len(before) - len(marked))
    return ("…" if begin else "") + before, marked, printable(after[:room]) + ("…" if len(after) > room else "")


def printable(text: str) -> str:
    """`text` with everything that a terminal would act on, or that would hide or reorder text, written as an escape.
    Tabs become four blanks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "    " if c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)
