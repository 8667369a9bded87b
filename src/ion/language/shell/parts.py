"""What the lexer of shell text finds: references in their positions, words, commands, here-documents.

`ShellFindings` collects what one script shows while it is read. Some of it decides about references that precede it (an
array declared associative further down, an engine name that the script assigns itself), so nothing is final before the
end.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ion.language.references import Found
from ion.language.workflow import EngineReference

# The forms that a reference is rewritten in (reference: §5.1 of the language).
BARE, DOUBLE, SINGLE, ANSI = "bare", "double", "single", "ansi"
HERE, HERE_QUOTED = "here-document", "quoted here-document"
PATTERN, REPLACEMENT, ARITHMETIC, SUBSCRIPT = "pattern", "replacement", "arithmetic", "subscript"

# What a value must be where bash would evaluate it otherwise.
INTEGER, DESCRIPTOR, NOT_COMPOUND, SHORT = "integer", "descriptor", "not-compound", "short"


class Unplaced(Exception):  # noqa: N818  (it says what happened, as StopIteration does)
    """Shell text that cannot be classified: `offset` is where, in characters of the text that is being read."""

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


class Spot(Struct, eq=False):
    """One reference in its position. `at` is its offset in the text that is being read, which within backticks is
    not that of the file. `check` is what its value must be, `where` says why, for messages."""

    found: Found
    position: str
    at: int
    check: str = ""
    where: str = ""
    gap: bool = False
    own: bool = False

    def need(self, check: str, where: str) -> None:
        """A value that must be an integer already meets every other requirement."""
        if self.check != INTEGER:
            self.check, self.where = check, where


class Word(Struct, eq=False):
    """A word of a command. `spots` are its own references, not those of commands within it; all of them are in
    `ShellFindings.spots` from `first` to `last`. `name` is the variable if it is an assignment, whose value begins
    at `value`; `keys` are the references in the subscripts of `name=([…]=…)`. `origin` is where it begins in the
    file; with `braces`, as in `{a,b}`, it makes several words."""

    text: str
    start: int
    first: int
    origin: int
    end: int = 0
    last: int = 0
    name: str = ""
    value: int = 0
    braces: bool = False
    spots: list[Spot] = field(default_factory=list)
    keys: list[Spot] = field(default_factory=list)

    @property
    def raw(self) -> str:
        return self.text[self.start : self.end]

    @property
    def literal(self) -> str | None:
        """The word without its quotes; None if bash expands something in it."""
        raw = self.raw
        if not any(c in raw for c in "'\"\\$`"):
            return raw
        return None if "$" in raw or "`" in raw else raw.replace("\\", "").replace('"', "").replace("'", "")


class Heredoc(Struct, eq=False):
    """A here-document: the range of its delimiter as written, of its body, and of the line that closes it."""

    word: tuple[int, int]
    delimiter: str
    quoted: bool
    tabs: bool
    body: tuple[int, int] = (0, 0)
    closing: tuple[int, int] = (0, 0)
    spots: list[Spot] = field(default_factory=list)
    inside: list[Spot] = field(default_factory=list)


class ShellCommand(Struct, eq=False):
    """A simple command; `inputs` are the references in its here-documents and here-strings (filled in later)."""

    words: list[Word] = field(default_factory=list)
    assignments: list[Word] = field(default_factory=list)
    inputs: list[list[Spot]] = field(default_factory=list)


class ShellFindings(Struct, eq=False):
    """What a script has shown so far. The pairs are a variable's name and the references that go into it; a subscript
    also has the offset after its `[`.

    `maps` are associative arrays; `references` are namerefs, `untied` those that are declared without a target, so that
    an assignment gives them one.
    """

    spots: list[Spot] = field(default_factory=list)
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    misplaced: list[tuple[Spot, str, str]] = field(default_factory=list)
    code: list[tuple[list[Spot], str, str]] = field(default_factory=list)
    heredocs: list[Heredoc] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    integers: set[str] = field(default_factory=lambda: {"RANDOM", "SRANDOM", "OPTIND", "HISTCMD"})
    maps: set[str] = field(default_factory=set)
    arrays: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    untied: set[str] = field(default_factory=set)
    assigned: list[tuple[str, list[Spot]]] = field(default_factory=list)
    looped: list[tuple[str, list[Spot]]] = field(default_factory=list)
    redeclared: list[tuple[str, list[Spot]]] = field(default_factory=list)
    subscripts: list[tuple[str, list[Spot], int]] = field(default_factory=list)
    copies: list[tuple[str, Spot]] = field(default_factory=list)
    arithmetic: list[str] = field(default_factory=list)

    def sizes(self) -> tuple[int, ...]:
        """A mark to return to with `forget`, when text was read in a way that turns out not to be bash's."""
        return tuple(len(items) for items in self._lists())

    def forget(self, sizes: tuple[int, ...]) -> None:
        for items, size in zip(self._lists(), sizes, strict=True):
            del items[size:]

    def _lists(self) -> tuple[list[Any], ...]:
        lists = (self.spots, self.edits, self.misplaced, self.code, self.heredocs, self.assigned, self.redeclared)
        return (*lists, self.looped, self.subscripts, self.copies, self.arithmetic)


def is_own(spot: Spot, notes: ShellFindings) -> bool:
    """Whether the reference is a variable of the script: an engine name that it assigns itself."""
    reference = spot.found.reference
    return isinstance(reference, EngineReference) and reference.name in notes.written
