"""Redirections and here-documents, with the blanks, comments and newlines between words.

The body of a here-document begins after the next newline of the same level of nesting, whatever is in between, and
ends at a line that is its delimiter; only then is its text read.
"""

from __future__ import annotations

import re
from abc import abstractmethod

from ion.language.shell import parts
from ion.language.shell.expansions import Expansions
from ion.language.shell.parts import Heredoc, ShellCommand, Word

_BLANKS = re.compile(r"(?:[ \t]|\\\n)+")
_REDIRECT = re.compile(
    r"(?:([0-9]+)|\{[A-Za-z_][A-Za-z0-9_]*\})?(<<<|<<-?|<>|<&|>>|>&|>\||<(?!\()|>(?!\())|(&>>|&>)", re.ASCII
)
_DELIMITER = re.compile(r"(?:[^\s;&|()<>'\"\\`]|\\.|'[^']*'|\"(?:[^\"\\`]|\\.)*\")+", re.DOTALL)
_EXPANSION = re.compile(r"\$[A-Za-z_0-9@*#?$!-]+|\$\{[^}]*\}|[$`].*", re.DOTALL)


class Documents(Expansions):
    """See `Cursor`. `pending` are the here-documents whose bodies begin after the next newline."""

    @abstractmethod
    def word(self, position: str = parts.BARE, *, assignable: bool = False) -> Word:
        """Read one word; if `assignable`, it may be `name=…`, `name[…]=…` or `name=(…)`."""

    def blanks(self) -> None:
        """Skip blanks, joined lines and a comment, which begins only where a word could."""
        if blanks := _BLANKS.match(self.text, self.pos, self.end):
            self.pos = blanks.end()
        if self.peek() == "#":
            newline = self.text.find("\n", self.pos, self.end)
            self.pos = self.end if newline < 0 else newline

    def gap(self) -> None:
        """Skip blanks, comments and newlines."""
        self.blanks()
        while self.peek() == "\n":
            self.newline()
            self.blanks()

    def newline(self) -> None:
        self.pos += 1
        pending, self.pending = self.pending, []
        for heredoc in pending:
            self.body(heredoc)

    def redirect(self, command: ShellCommand) -> bool:
        """Read a redirection and its target, if one begins here."""
        match = _REDIRECT.match(self.text, self.pos, self.end)
        if match is None:
            return False
        operator = match[2] or match[3]
        self.pos = match.end()
        self.blanks()
        if operator in ("<<", "<<-"):
            self._opening(command, tabs=operator == "<<-")
            return True
        target = self.word()
        if operator == "<<<":
            command.inputs.append(target.spots)
        elif operator in (">&", "<&"):
            self._descriptor(match, target)
        return True

    def _descriptor(self, match: re.Match[str], target: Word) -> None:
        """bash expands the target of `>&` twice, so a value there must be a descriptor number. With text other than
        digits it can only be a file, and `&>` says the same and expands once."""
        if not target.spots:
            return
        rest = _without(target)
        twice = match[2] == ">&" and match[1] in (None, "1")
        if re.search(r"[^0-9'\"-]", _EXPANSION.sub("", rest)):
            if twice and not match[0].startswith("{"):
                self.edit(match.start(), match.end(), "&>")
        elif "$" in rest or "`" in rest:
            for spot in target.spots if twice else ():
                self.misplaced(spot, "the target of >&, which it expands twice", "write &> for a file")
        else:
            for spot in target.spots:
                spot.need(parts.DESCRIPTOR, f"the target of {match[2]}")

    def edit(self, start: int, end: int, text: str) -> None:
        if self.in_backticks:
            raise self.fail("Ion cannot rewrite this within backticks", start, "write $( ) instead of backticks")
        self.notes.edits.append((start, end, text))

    def _opening(self, command: ShellCommand, *, tabs: bool) -> None:
        word = _DELIMITER.match(self.text, self.pos, self.end)
        if word is None:
            raise self.fail("Ion cannot read the delimiter of this here-document")
        raw = word[0]
        quoted = any(c in raw for c in "'\"\\")
        delimiter = re.sub(r"\\(.)|'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", _unquoted, raw, flags=re.DOTALL)
        heredoc = Heredoc((self.pos, word.end()), delimiter, quoted, tabs)
        self.pos = word.end()
        self.pending.append(heredoc)
        command.inputs.append(heredoc.spots)

    def body(self, heredoc: Heredoc) -> None:
        """Read the body that begins at `pos`, and move past the line that closes it."""
        start = self.pos
        heredoc.body, heredoc.closing = self._extent(heredoc)
        duty, self.duty = self.duty, ""
        outer, self.current = self.current, heredoc.spots
        if heredoc.quoted:
            self.raw(start, heredoc.body[1], parts.HERE_QUOTED)
            if heredoc.spots:
                self.notes.heredocs.append(heredoc)
                self._openable(*heredoc.body)
        else:
            self.here_document(heredoc.body[1])
        self.current, self.duty = outer, duty
        self.pos = min(heredoc.closing[1] + 1, self.end)

    def _openable(self, start: int, end: int) -> None:
        """A here-document whose own text cannot be escaped in its place cannot contain a value."""
        what = "a reference is in a quoted here-document within "
        if self.in_backticks:
            raise self.fail(what + "backticks", start, "write $( ) instead of backticks")
        if self.in_document and "\\\n" in self.text[start:end]:
            raise self.fail(what + "another one, which joins its lines", start, "put its text into a variable before")

    def _extent(self, heredoc: Heredoc) -> tuple[tuple[int, int], tuple[int, int]]:
        """The ranges of the body and of the closing line. Unquoted, a `\\` before a newline joins lines first, also
        in everything that such a body contains."""
        joins = not heredoc.quoted or self.in_document
        line = self.pos
        while line < self.end:
            end = self._line_end(line)
            while joins and end < self.end and self.is_escaped(end):
                end = self._line_end(end + 1)
            text = self.text[line:end].replace("\\\n", "") if joins else self.text[line:end]
            if (text.lstrip("\t") if heredoc.tabs else text) == heredoc.delimiter:
                return (self.pos, line), (line, end)
            line = end + 1
        return (self.pos, self.end), (self.end, self.end)

    def _line_end(self, start: int) -> int:
        end = self.text.find("\n", start, self.end)
        return self.end if end < 0 else end


def _without(word: Word) -> str:
    """The text of a word without its references."""
    text, done = "", word.start
    for spot in word.spots:
        text += word.text[done : spot.at]
        done = spot.at + spot.found.end - spot.found.start
    return text + word.text[done : word.end]


def _unquoted(match: re.Match[str]) -> str:
    escaped, single, double = match.groups()
    if double is not None:
        return re.sub(r"\\([\"\\$`])", r"\1", double)
    return str(escaped if escaped is not None else single)
