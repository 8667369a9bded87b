"""The middle of the lexer: `${…}`, arithmetic and the subscripts of arrays.

Here bash's rules differ most from their appearance: whether single quotes within `${…}` quote depends on the operator,
a subscript is arithmetic or text by the kind of its array, and `((` may be arithmetic or two subshells.
"""

from __future__ import annotations

import re

from ion.language.shell import parts
from ion.language.shell.cursor import NAME, Cursor
from ion.language.shell.parts import Spot, Unplaced

_LENGTH = re.compile(r"#(?![}:=+%/^,~@-])")
_INDIRECT = re.compile(r"!(?![}:=?+%/^,~@#-])")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!0-](?=[^A-Za-z0-9_])")
_PLAIN_ARITHMETIC = re.compile(r"[A-Za-z0-9_ \t\n+*/%<>=&|^~!?:,.#-]+")
_OPERATOR = re.compile(r":?[-=?+]|:|##?|%%?|//?|\^\^?|,,?|~~?|@|\*(?=\})")


class Expansions(Cursor):
    """See `Cursor`."""

    def parameter(self, quoted: str) -> None:
        """Read `${…}`."""
        start = self.pos
        self.enter()
        self.pos += 2
        name = self._parameter_name()
        if name is not None:
            if self.peek() == "[":
                self.subscript(name, quoted)
            operator = _OPERATOR.match(self.text, self.pos, self.end)
            if operator is not None:
                self.pos = operator.end()
                self._operand(operator[0], name, quoted)
        if self.peek() != "}":
            self._unknown(start, quoted)
        self.pos += 1
        self.depth -= 1

    def _unknown(self, start: int, quoted: str) -> None:
        """Move to the end of an expansion that bash 5.2 does not have; no reference may be in it."""
        before = len(self.notes.spots)
        self._brace_word(parts.BARE, quoted, single_quotes=not quoted)
        if len(self.notes.spots) > before:
            raise self.fail("Ion cannot read this ${…}", start, "bash 5.2 knows no such expansion")

    def _parameter_name(self) -> str | None:
        """Read the name with a leading `#` (length) or `!` (indirection)."""
        if _LENGTH.match(self.text, self.pos, self.end) or _INDIRECT.match(self.text, self.pos, self.end):
            self.pos += 1
        if found := self.starts.get(self.pos):
            self.take(found, parts.BARE)
            self.misplaced(self.current[-1], "the name of a variable in ${…}")
            return ""
        name = _PARAMETER.match(self.text, self.pos, self.end)
        if name is None:
            return None
        self.pos = name.end()
        return name[0]

    def _operand(self, operator: str, name: str, quoted: str) -> None:
        if operator == ":":
            self._offset()
        elif operator.lstrip(":") in ("-", "=", "?", "+"):
            before = len(self.current)
            self._brace_word(quoted or parts.BARE, quoted, single_quotes=not quoted)
            if operator.endswith("="):
                self.notes.written.add(name)
                self.notes.assigned.append((name, self.current[before:]))
        elif operator[0] == "/":
            self._pattern(quoted, "/}")
            if self.peek() == "/":
                self.pos += 1
                self._brace_word(parts.REPLACEMENT, quoted, single_quotes=True)
        elif operator not in ("@", "*"):
            self._pattern(quoted, "}")
        elif letter := NAME.match(self.text, self.pos, self.end):
            self.pos = letter.end()

    def _pattern(self, quoted: str, stop: str) -> None:
        before = len(self.current)
        self._brace_word(parts.PATTERN, quoted, stop=stop, single_quotes=True)
        for spot in self.current[before:]:
            spot.need(parts.SHORT, "a pattern of ${…}")

    def _brace_word(self, position: str, quoted: str, *, stop: str = "}", single_quotes: bool) -> None:
        """Read up to an unquoted character of `stop`. Where single quotes do not quote, they are text that must
        pair, and what is between them is expanded."""
        start = self.pos
        while (c := self.peek()) not in stop or not c:
            if not c:
                raise self.unclosed("${", start)
            if c == '"':
                self.double()
            elif self.at("$'") and (single_quotes or quoted != parts.HERE):
                self.ansi()
            elif c != "'":
                self.piece(position, quoted)
            elif single_quotes:
                self.single()
            else:
                self._paired_quotes(position, quoted)

    def _paired_quotes(self, position: str, quoted: str) -> None:
        close = self.text.find("'", self.pos + 1, self.end)
        if close < 0:
            raise self.unclosed("quote '", self.pos)
        self.pos += 1
        while self.pos < close:
            self.piece(position, quoted)
        if self.pos > close:
            raise self.fail("Ion cannot read the quotes in this ${…}", close)
        self.pos = close + 1

    def _offset(self) -> None:
        start = self.pos
        if not self._arithmetic("}"):
            raise self.unclosed("${", start)

    def subscript(self, name: str, quoted: str) -> None:
        """Read `[…]` after the name of a variable. Whether it is arithmetic is known when the array is."""
        offset = self.place(self.pos) + 1
        spots = self.brackets(quoted)
        if spots:
            self.notes.subscripts.append((name, spots, offset))

    def brackets(self, quoted: str) -> list[Spot]:
        """Read `[…]` and return the references in it."""
        start = self.pos
        self.enter()
        self.pos += 1
        duty, self.duty = self.duty, ""
        before = len(self.current)
        level = 1
        while level:
            c = self.peek()
            if not c:
                raise self.unclosed("subscript", start)
            level += {"[": 1, "]": -1}.get(c, 0)
            if c == "'":
                self.single()
            elif c == '"':
                self.double()
            elif self.at("$'"):
                self.ansi()
            else:
                self.piece(parts.SUBSCRIPT, quoted)
        self.duty = duty
        self.depth -= 1
        return self.current[before:]

    def bracket_arithmetic(self) -> None:
        start = self.pos
        self.pos += 2
        if not self._arithmetic("]"):
            raise self.unclosed("$[", start)
        self.pos += 1

    def tried_arithmetic(self, opening: int) -> bool:
        """Read `((…))` or `$((…))` as arithmetic if it closes as such; else `pos` stays: it is a subshell in a
        subshell."""
        start = self.pos
        if start in self.no_arithmetic:
            return False
        notes, current = self.notes.sizes(), len(self.current)
        state = self.current, self.end, self.in_document, self.depth, self.duty, self.pending
        self.pos += opening
        try:
            if self._arithmetic("))"):
                self.pos += 2
                return True
        except Unplaced:
            self.current, self.end, self.in_document, self.depth, self.duty, self.pending = state
        self.notes.forget(notes)
        del self.current[current:]
        self.pos = start
        self.no_arithmetic.add(start)
        return False

    def _arithmetic(self, close: str) -> bool:
        """Read arithmetic up to its `close`; False if it does not end so."""
        start = self.pos
        self.enter()
        duty, self.duty = self.duty, parts.INTEGER
        opened: list[str] = []
        while True:
            if plain := _PLAIN_ARITHMETIC.match(self.text, self.pos, self.end):
                self.pos = plain.end()
            c = self.peek()
            if not c or (not opened and c == close[0]):
                break
            if c == "[" and (name := self._name_before()):
                self.subscript(name, parts.DOUBLE)
            elif c in "([{":
                opened.append({"(": ")", "[": "]", "{": "}"}[c])
                self.pos += 1
            elif c in ")]}":
                if not opened or opened.pop() != c:
                    break
                self.pos += 1
            else:
                self._arithmetic_piece(c)
        self.duty = duty
        self.depth -= 1
        self.notes.arithmetic.append(self.text[start : self.pos])
        return self.at(close)

    def _arithmetic_piece(self, c: str) -> None:
        if c == "'" and self.text.find("'", self.pos + 1, self.end) > 0:
            for spot in self.single():
                self.misplaced(spot, "single quotes within arithmetic, which bash does not allow")
        else:
            self.piece(parts.ARITHMETIC, parts.DOUBLE)

    def _name_before(self) -> str:
        start = self.pos
        while start and (self.text[start - 1].isalnum() or self.text[start - 1] == "_"):
            start -= 1
        name = NAME.fullmatch(self.text, start, self.pos)
        return name[0] if name else ""
