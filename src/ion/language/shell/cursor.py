"""The lower part of the lexer: a cursor over shell text, words and quotes.

It reads what bash reads, in bash's order, only as far as the position of a reference depends on it; what it cannot
classify raises `Unplaced`, it never guesses. `expansions` and `grammar` build on it; the three call one another.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable

from ion.language.references import Found
from ion.language.shell import parts
from ion.language.shell.parts import Heredoc, ShellFindings, Spot, Unplaced

DEEPEST = 40

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:,%~^={}\[\]#-]+")
_PLAIN_DOUBLE = re.compile(r"[^\"\\`$]+")
_PLAIN_HERE = re.compile(r"[^\\`$]+")
_ANSI = re.compile(r"\$'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_BACKTICKS = re.compile(r"`[^`\\]*(?:\\.[^`\\]*)*`", re.DOTALL)
_ENDS_WORD = frozenset(" \t\n;&|()<>")


class Cursor(ABC):
    """A cursor over `text[pos:end]`. `starts` are the references by offset, `place` maps an offset to the text of
    the file, `current` collects the references of the word being read, `duty` is the requirement on a value here."""

    def __init__(
        self,
        text: str,
        starts: dict[int, Found],
        notes: ShellFindings,
        place: Callable[[int], int] = lambda offset: offset,
    ) -> None:
        self.text = text
        self.pos = 0
        self.end = len(text)
        self.starts = starts
        self.order = sorted(starts)
        self.notes = notes
        self.place = place
        self.current: list[Spot] = []
        self.duty = ""
        self.depth = 0
        self.in_backticks = False
        self.in_document = False
        self.braces = False
        self.pending: list[Heredoc] = []
        self.no_arithmetic: set[int] = set()

    @abstractmethod
    def substitution(self) -> None:
        """Read `$(…)`, `<(…)` or `>(…)`; `pos` is at its first character, and afterwards past its `)`."""

    @abstractmethod
    def parameter(self, quoted: str) -> None:
        """Read `${…}`."""

    @abstractmethod
    def tried_arithmetic(self, opening: int) -> bool:
        """Read `((…))` or `$((…))` as arithmetic if it closes as such; else `pos` stays: it is a subshell in a
        subshell."""

    @abstractmethod
    def bracket_arithmetic(self) -> None:
        """Read `$[…]`."""

    @abstractmethod
    def script(self, inner: str, starts: dict[int, Found], place: Callable[[int], int]) -> None:
        """Read `inner`, the unescaped text of backticks, as a script of its own."""

    def peek(self) -> str:
        return self.text[self.pos] if self.pos < self.end else ""

    def at(self, text: str) -> bool:
        return self.text.startswith(text, self.pos, self.end)

    def fail(self, message: str, offset: int | None = None, hint: str = "") -> Unplaced:
        return Unplaced(message, hint, self.place(self.pos if offset is None else offset))

    def unclosed(self, what: str, start: int) -> Unplaced:
        return self.fail(f"this {what} is not closed", start, "bash needs its other end")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"shell text is nested more than {DEEPEST} levels deep", hint="use a script file")

    def take(self, found: Found, position: str) -> None:
        """Record the reference at `pos` and move past it."""
        spot = Spot(found, position, self.pos)
        if self.duty:
            spot.need(self.duty, "arithmetic")
        self.notes.spots.append(spot)
        self.current.append(spot)
        self.pos += found.end - found.start

    def raw(self, start: int, end: int, position: str) -> list[Spot]:
        """Record every reference in text that bash does not read; `pos` moves to `end`."""
        before = len(self.current)
        for offset in self.order[bisect_left(self.order, start) : bisect_left(self.order, end)]:
            if position != parts.ANSI or not self.is_escaped(offset):
                self.pos = offset
                self.take(self.starts[offset], position)
        self.pos = end
        return self.current[before:]

    def is_escaped(self, offset: int) -> bool:
        """After an odd number of backslashes."""
        slashes = offset
        while slashes and self.text[slashes - 1] == "\\":
            slashes -= 1
        return (offset - slashes) % 2 == 1

    def pieces(self, position: str, ends: frozenset[str] = _ENDS_WORD) -> None:
        """Read a word up to an unquoted character of `ends`."""
        opened = False
        while self.pos < self.end:
            if plain := _PLAIN.match(self.text, self.pos, self.end):
                self.pos = plain.end()
                opened = opened or "{" in plain[0]
                self.braces = self.braces or (opened and ("," in plain[0] or ".." in plain[0]))
            c = self.peek()
            if not c or (c in ends and not (c in "<>" and self.text.startswith("(", self.pos + 1, self.end))):
                return
            if c in "<>" and c in ends:
                self.substitution()
            elif c in "?*+@!" and self.text.startswith("(", self.pos + 1, self.end):
                self.pos += 1
                self.group(position)
            else:
                self.piece(position, "")

    def piece(self, position: str, quoted: str) -> None:
        """Read one quoted part, one expansion or one plain character. `quoted` is '', `double` or `here-document`."""
        c = self.text[self.pos]
        if c == "\\":
            self.pos = min(self.pos + 2, self.end)
        elif c == "$":
            self.dollar(position, quoted)
        elif c == "`":
            self.backticks(quoted)
        elif c == '"' and quoted != parts.HERE:
            self.double()
        elif c == "'" and not quoted:
            self.single()
        else:
            self.pos += 1

    def group(self, position: str) -> None:
        """Read `(…)` of an extended pattern or of a regular expression, which may contain blanks."""
        start = self.pos
        self.enter()
        self.pos += 1
        while self.peek() != ")":
            if self.pos >= self.end:
                raise self.unclosed("parenthesis", start)
            if self.peek() == "(":
                self.group(position)
            else:
                self.piece(position, "")
        self.pos += 1
        self.depth -= 1

    def single(self) -> list[Spot]:
        close = self.text.find("'", self.pos + 1, self.end)
        if close < 0:
            raise self.unclosed("quote '", self.pos)
        spots = self.raw(self.pos + 1, close, parts.SINGLE)
        self.pos = close + 1
        return spots

    def double(self) -> None:
        start = self.pos
        self.enter()
        self.pos += 1
        while True:
            if plain := _PLAIN_DOUBLE.match(self.text, self.pos, self.end):
                self.pos = plain.end()
            c = self.peek()
            if not c:
                raise self.unclosed('quote "', start)
            if c == '"':
                break
            self.piece(parts.DOUBLE, parts.DOUBLE)
        self.pos += 1
        self.depth -= 1

    def here_document(self, end: int) -> None:
        """Read the body of an unquoted here-document, which ends at `end`."""
        outer, self.end = (self.end, self.in_document), end
        self.in_document = True
        while self.pos < end:
            if plain := _PLAIN_HERE.match(self.text, self.pos, end):
                self.pos = plain.end()
            if self.pos < end:
                self.piece(parts.HERE, parts.HERE)
        self.end, self.in_document = outer

    def dollar(self, position: str, quoted: str) -> None:
        found = self.starts.get(self.pos)
        following = self.text[self.pos + 1] if self.pos + 1 < self.end else ""
        if found is not None:
            self.take(found, position)
        elif following == "(":
            if not (self.at("$((") and self.tried_arithmetic(3)):
                self.substitution()
        elif following == "{":
            self.parameter(quoted)
        elif following == "[":
            self.bracket_arithmetic()
        elif following == "'" and not quoted:
            self.ansi()
        elif name := NAME.match(self.text, self.pos + 1, self.end):
            self.pos = name.end()
        else:
            self.pos += 2 if following and following in "@*#?-$!0123456789" else 1

    def ansi(self) -> None:
        quote = _ANSI.match(self.text, self.pos, self.end)
        if quote is None:
            raise self.unclosed("quote $'", self.pos)
        self.raw(self.pos + 2, quote.end() - 1, parts.ANSI)
        self.pos = quote.end()

    def backticks(self, quoted: str) -> None:
        """Read `…`: its text, unescaped once, is a script. An escaped `$` belongs to that script alone."""
        quote = _BACKTICKS.match(self.text, self.pos, self.end)
        if quote is None:
            raise self.unclosed("backtick", self.pos)
        escapes = '\\$`"' if quoted == parts.DOUBLE else "\\$`"
        inner: list[str] = []
        offsets: list[int] = []
        starts: dict[int, Found] = {}
        offset = self.pos + 1
        while offset < quote.end() - 1:
            if self.text[offset] == "\\" and self.text[offset + 1] in escapes:
                offset += 1
            elif offset in self.starts:
                starts[len(inner)] = self.starts[offset]
            inner.append(self.text[offset])
            offsets.append(offset)
            offset += 1
        offsets.append(offset)
        self.script("".join(inner), starts, lambda i: self.place(offsets[min(i, len(offsets) - 1)]))
        self.pos = quote.end()

    def misplaced(self, spot: Spot, what: str, hint: str = "") -> None:
        """An error of the file: a value at this reference would be taken as code."""
        self.notes.misplaced.append((spot, what, hint))
