"""The upper part of the lexer: words of commands, assignments, simple and compound commands.

It follows bash's grammar only as far as quoting depends on it (comments, `case` patterns within `$( )`, where the body
of a here-document begins) and passes each simple command to `builtins`, which knows whose arguments are code or names.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ion.language.references import Found
from ion.language.shell import parts
from ion.language.shell.builtins import DECLARES, examine
from ion.language.shell.code import pipes_code
from ion.language.shell.documents import Documents
from ion.language.shell.parts import ShellCommand, Spot, Word

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\+?=|(?=\[))")
_ESAC = re.compile(r"esac(?![^\s;&|()<>])")
_CONDITION_END = re.compile(r"\]\](?![^\s;&|()<>])")
_IN = re.compile(r"in(?![^\s;])")
_CLAUSE_END = re.compile(r";;&|;;|;&")
_FUNCTION = re.compile(r"\([ \t]*\)")
_COPROCESS = re.compile(
    r"[ \t]+[A-Za-z_]\w*(?=[ \t]+(?:\{|\(|\[\[|while|until|for|case|if|select)(?:[\s(]|$))", re.ASCII
)
_OPENS = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"})
_INTEGER_TESTS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_PATTERN_TESTS = frozenset({"==", "=", "!="})
_CONDITION_ENDS = frozenset(" \t\n;&|()<>")
_REGEX_ENDS = frozenset(" \t\n;&<>)")


class Grammar(Documents):
    """See `Cursor`."""

    def script(self, inner: str, starts: dict[int, Found], place: Callable[[int], int]) -> None:
        reader = Grammar(inner, starts, self.notes, place)
        reader.depth = self.depth
        reader.in_backticks = True
        reader.in_document = self.in_document
        reader.enter()
        reader.whole()

    def whole(self) -> None:
        """Read all of the text."""
        self.commands("")
        if self.pos < self.end:
            raise self.fail(f"bash does not expect {self.peek()!r} here")
        for heredoc in self.pending:
            self.body(heredoc)

    def substitution(self) -> None:
        start = self.pos
        self.enter()
        outer, self.pending = self.pending, []
        duty, self.duty = self.duty, ""
        self.pos += 2
        self.commands(")")
        if self.peek() != ")":
            raise self.unclosed("parenthesis", start)
        if self.pending:
            raise self.fail("the body of this here-document is outside of its $( )", self.pending[0].word[0])
        self.pos += 1
        self.pending, self.duty = outer, duty
        self.depth -= 1

    def commands(self, closer: str) -> None:
        """Read commands up to `closer`, which is not consumed: `)`, `;;` (or `esac`), or '' for the end of the text."""
        last: ShellCommand | None = None
        piped: ShellCommand | None = None
        while True:
            self.blanks()
            c = self.peek()
            if not c or c == ")" or (closer == ";;" and self._clause_ends()):
                return
            if c == "\n":
                self.newline()
                piped = piped if last is None else None
                last = None
            elif c in ";&|" and not self.at("&>"):
                piped = last if c == "|" and not self.at("||") else None
                last = None
                self.pos += 2 if self.at("||") or self.at("|&") or self.at("&&") else 1
            else:
                last, piped = self.command(piped), None

    def _clause_ends(self) -> bool:
        return bool(_CLAUSE_END.match(self.text, self.pos, self.end) or _ESAC.match(self.text, self.pos, self.end))

    def command(self, source: ShellCommand | None) -> ShellCommand | None:
        """Read one command, or the word that opens a compound one; `source` is the command that pipes into it."""
        if self.at("((") and self.tried_arithmetic(2):
            return None
        if self.peek() == "(" or self.at("!("):
            self._subshell()
            return None
        command = ShellCommand()
        while not self._command_ends():
            if self.redirect(command):
                continue
            word = self.word(assignable=not command.words or command.words[0].raw in DECLARES)
            if word.name and not command.words:
                command.assignments.append(word)
                continue
            if not command.words and not command.assignments and self._keyword(word):
                return None
            command.words.append(word)
        examine(command, self.notes)
        if source is not None:
            pipes_code(source, command, self.notes)
        return command

    def _command_ends(self) -> bool:
        """At the end of a simple command, or after `name()`, which begins a function."""
        self.blanks()
        c = self.peek()
        if c != "(":
            return not c or c == "\n" or c == ")" or (c in ";&|" and not self.at("&>"))
        if function := _FUNCTION.match(self.text, self.pos, self.end):
            self.pos = function.end()
            return True
        raise self.fail("bash does not expect a parenthesis here", hint="quote it, or put a blank or ; before it")

    def _subshell(self) -> None:
        start = self.pos
        self.enter()
        self.pos += 2 if self.peek() == "!" else 1
        self.commands(")")
        if self.peek() != ")":
            raise self.unclosed("parenthesis", start)
        self.pos += 1
        self.depth -= 1

    def _keyword(self, word: Word) -> bool:
        """Read what belongs to a reserved word; True if the next word is again in the position of a command."""
        raw = word.raw
        if raw in _OPENS:
            return True
        if raw == "coproc":
            if name := _COPROCESS.match(self.text, self.pos, self.end):
                self.pos = name.end()
            return True
        compound = {
            "[[": self._condition,
            "case": self._case,
            "for": self._loop,
            "select": self._loop,
            "function": self._function,
        }.get(raw)
        if compound is not None:
            self.enter()
            compound(word.start)
            self.depth -= 1
        return compound is not None

    def begin_word(self) -> Word:
        """The blank or operator before a word is never escaped, so its place in the file is certain."""
        origin = self.place(self.pos - 1) + 1 if self.pos else self.place(0)
        return Word(self.text, self.pos, len(self.notes.spots), origin)

    def word(self, position: str = parts.BARE, *, assignable: bool = False) -> Word:
        """Read one word; if `assignable`, it may be `name=…`, `name[…]=…` or `name=(…)`."""
        word = self.begin_word()
        outer, self.current = self.current, word.spots
        braces, self.braces = self.braces, False
        if assignable:
            self._assignment(word)
        self.pieces(position)
        self.current = outer
        word.braces, self.braces = self.braces, braces
        word.end, word.last = self.pos, len(self.notes.spots)
        if word.end == word.start:
            raise self.fail(f"bash does not expect {self.peek()!r} here")
        return word

    def _assignment(self, word: Word) -> None:
        match = _ASSIGNMENT.match(self.text, self.pos, self.end)
        if match is None:
            return
        if match[0].endswith("="):
            self.pos = match.end()
        elif not self._element(match.end(), match[1]):
            return
        word.name, word.value = match[1], self.pos
        if self.peek() == "(":
            self._compound(word)

    def _element(self, bracket: int, name: str = "", keys: list[Spot] | None = None) -> bool:
        """Read `[…]=` at `bracket`; without the `=` it is a plain word, and `pos` stays. Its content is the
        subscript of the array `name` or, in `name=([…]=…)`, one more of `keys`."""
        start, notes, current = self.pos, self.notes.sizes(), len(self.current)
        self.pos = bracket
        if keys is None:
            self.subscript(name, "")
        else:
            spots = self.brackets("")
        self.pos += 1 if self.at("+=") else 0
        if self.peek() == "=":
            self.pos += 1
            self.notes.arrays.add(name)
            if keys is not None:
                keys += spots
            return True
        self.pos = start
        self.notes.forget(notes)
        del self.current[current:]
        return False

    def _compound(self, word: Word) -> None:
        """Read the elements of `name=(…)`."""
        start = self.pos
        self.notes.arrays.add(word.name)
        self.enter()
        self.pos += 1
        self.gap()
        while self.peek() != ")":
            if self.pos >= self.end:
                raise self.unclosed("parenthesis", start)
            if self.peek() == "[":
                self._element(self.pos, word.name, word.keys)
            self.pieces(parts.BARE)
            self.gap()
            if self.pos < self.end and self.peek() in ";&|<>(":
                raise self.fail(f"bash does not expect {self.peek()!r} in an array")
        self.pos += 1
        self.depth -= 1
        word.value = self.pos

    def _function(self, _start: int) -> None:
        self.blanks()
        self._no_reference("the name of a function")
        self.word()
        self.blanks()
        if function := _FUNCTION.match(self.text, self.pos, self.end):
            self.pos = function.end()

    def _loop(self, start: int) -> None:
        """Read the head of `for` and `select`."""
        self.blanks()
        if self.at("(("):
            if not self.tried_arithmetic(2):
                raise self.unclosed("for ((", start)
            return
        self._no_reference("the name of a loop's variable")
        name = self.word()
        self.notes.written.add(name.raw)
        self.gap()
        if not _IN.match(self.text, self.pos, self.end):
            return
        self.pos += 2
        while not self._command_ends():
            self.notes.looped.append((name.raw, self.word().spots))

    def _no_reference(self, what: str) -> None:
        found = self.starts.get(self.pos)
        if found is not None:
            self.misplaced(Spot(found, parts.BARE, self.pos), what)

    def _case(self, start: int) -> None:
        self.blanks()
        self.word()
        self.gap()
        if not self.at("in"):
            raise self.fail("this case has no in", start)
        self.pos += 2
        while True:
            self.gap()
            if esac := _ESAC.match(self.text, self.pos, self.end):
                self.pos = esac.end()
                return
            self._clause(start)

    def _clause(self, start: int) -> None:
        if self.peek() == "(":
            self.pos += 1
        while True:
            self.blanks()
            self.word(parts.PATTERN)
            self.blanks()
            c = self.peek()
            self.pos += 1
            if c == ")":
                break
            if c != "|":
                raise self.unclosed("case", start)
        self.commands(";;")
        if end := _CLAUSE_END.match(self.text, self.pos, self.end):
            self.pos = end.end()
        elif not _ESAC.match(self.text, self.pos, self.end):
            raise self.unclosed("case", start)

    def _condition(self, start: int) -> None:
        """Read `[[ … ]]`."""
        words: list[Word] = []
        operator = ""
        while True:
            self.gap()
            if end := _CONDITION_END.match(self.text, self.pos, self.end):
                self.pos = end.end()
                return
            c = self.peek()
            if not c:
                raise self.unclosed("[[", start)
            if (
                operator != "=~"
                and c in "()&|;<>"
                and not (c in "<>" and self.text.startswith("(", self.pos + 1, self.end))
            ):
                self.pos += 1
                words, operator = [], ""
                continue
            word = self._operand_of(operator)
            self._test(operator, words, word)
            operator = word.raw
            if operator != "!" or words:
                words.append(word)

    def _operand_of(self, operator: str) -> Word:
        if operator != "=~":
            return self.word(parts.PATTERN if operator in _PATTERN_TESTS else parts.BARE)
        word = self.begin_word()
        outer, self.current = self.current, word.spots
        while self.pos < self.end and self.peek() not in _REGEX_ENDS:
            if self.peek() == "(":
                self.group(parts.PATTERN)
            elif self.peek() == "|":
                self.pos += 1
            else:
                self.pieces(parts.PATTERN, _CONDITION_ENDS)
        self.current = outer
        word.end, word.last = self.pos, len(self.notes.spots)
        if word.end == word.start:
            raise self.fail(f"bash does not expect {self.peek()!r} in a regular expression")
        return word

    def _test(self, operator: str, words: list[Word], word: Word) -> None:
        """What the operator before `word` requires of its sides."""
        if operator in _INTEGER_TESTS and len(words) > 1:
            for side in (words[-2], word):
                self.notes.arithmetic.append(side.raw)
                for spot in side.spots:
                    spot.need(parts.INTEGER, f"[[ {operator} ]]")
        elif operator in ("-v", "-R") and len(words) == 1:
            for spot in word.spots:
                self.misplaced(spot, f"the name of a variable, after {operator}")
