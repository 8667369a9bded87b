"""Problems of files: gathering them with their places, and suggesting what was meant.

`Report` turns paths of a document into lines and columns. `views.problems` shows what is gathered here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from ion.errors import Problem

if TYPE_CHECKING:
    from ion.language.document import Document, DocumentPath

MAX_ERRORS = 1000
MAX_WARNINGS = 1000
MAX_SUGGESTIONS = 50_000  # comparisons of names for one file: a hostile file cannot buy time with them

# Characters of a text: (the text, the first one's offset, how many).
Within: TypeAlias = tuple[str, int, int]


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

    def hint(self, code: str, message: str, path: DocumentPath, hint: str) -> None:
        """Add what an author should think of, at the key of `path`; it is not wrong, and `--strict` lets it pass."""
        self._note(Problem(code, message, "hint", hint=hint), path, True, None)

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
        self.add(problem._replace(file=self.file, line=line, column=column, path=path_text(path), length=length))

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


def printable(text: str) -> str:
    """`text` with everything that a terminal would act on, or that would hide or reorder text, written as an escape.
    Tabs become four blanks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "    " if c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
