"""The only way to a person's screen: lines made of plain or styled parts, made printable, in an encoding that it has.

Outputs, messages and reasons come from strangers. `Screen.line` makes everything printable that it is given, so no
caller can forget to, and masks secrets (`views.masking`); colours are added afterwards and only on a terminal. What
cannot be encoded is written as an ASCII stand-in or an escape, never as an exception.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, TextIO

from ion.errors import IonError
from ion.views import masking
from ion.views.text import Part, wrapped

DEFAULT_WIDTH = 80

_COLOURS = {
    "good": "32",
    "bad": "31",
    "active": "36",
    "attention": "33",
    "faint": "2",
    "strong": "1",
    "error": "1;31",
    "warning": "1;33",
    "caret": "31",
    "gutter": "34",
    "hint": "36",
}
_SAME_MEANING = {
    "…": "...", "·": "-", "→": "->", "←": "<-", "–": "-", "—": "-", "›": ">", "‘": "'", "’": "'", "“": '"', "”": '"',
    "✓": "ok", "✗": "FAIL", "●": "run", "○": "wait", "⏸": "gate", "↻": "loop",
}  # fmt: skip
_SAME_SHAPE = {"-": "─┄", "|": "│┆", "+": "┌┐└┘├┤┬┴┼", "#": "▐█"}
_STAND_INS = str.maketrans(
    _SAME_MEANING | {character: plain for plain, characters in _SAME_SHAPE.items() for character in characters}
)


class Stream(Protocol):
    """What a screen needs of the stream that it writes to."""

    @property
    def encoding(self) -> str: ...

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class Screen:
    """A stream for people. `unicode`: it can show more than ASCII. `width` is in columns. A lenient one (talk, not
    data) ignores that its stream is closed."""

    def __init__(
        self,
        stream: Stream | None,
        unicode: bool = True,
        colour: bool = False,
        width: int = DEFAULT_WIDTH,
        lenient: bool = False,
    ) -> None:
        self.stream = stream
        self.unicode = unicode
        self.colour = colour
        self.width = width
        self.lenient = lenient

    def through(self, stream: Stream, *, colour: bool = True) -> Screen:
        """This screen as it is written by way of another stream, in colour if it has any and `colour`."""
        return Screen(stream, self.unicode, colour and self.colour, self.width, self.lenient)

    def line(self, *parts: Part) -> None:
        """Write one line. Whatever is in the parts, it stays one line and acts on no terminal."""
        self.write("".join(self.paint(*part) if isinstance(part, tuple) else masking.shown(part) for part in parts))

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def paint(self, role: str, text: str) -> str:
        """A printable text in the colour of its role."""
        shown = masking.shown(text)
        colour = _COLOURS.get(role) if self.colour else None
        return f"\x1b[{colour}m{shown}\x1b[0m" if colour else shown

    def write(self, line: str) -> None:
        """Write a line that is fit to be shown already. Raises `BrokenPipeError` or `IonError` unless lenient."""
        if self.stream is None:
            return
        try:
            with _writing():
                self.stream.write(self.encodable(line.rstrip()) + "\n")
                self.stream.flush()
        except (BrokenPipeError, IonError):
            if not self.lenient:
                raise
            self.stream = None

    def plain(self, text: str) -> str:
        """A text that acts on no terminal, without secrets, as far as this screen can show it; for what is written by
        other means than `line`."""
        return self.encodable(masking.shown(text))

    def wrap(self, message: str, *, indent: int, first: int = 0) -> list[str]:
        """The lines of a message for a place that is indented so far; its first line has `first` columns less."""
        columns = max(self.width - indent - 1, 20)
        return [*wrapped(message, columns, first=first, encoded=self.encodable)] or [""]

    def encodable(self, text: str) -> str:
        """The text with stand-ins and escapes for what the stream cannot show."""
        if not self.unicode:
            text = text.translate(_STAND_INS)
        encoding = (self.stream.encoding if self.stream is not None and self.unicode else None) or "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def talk() -> Screen:
    """stderr: progress, and everything that is said to a person."""
    return _screen(sys.stderr, lenient=True)


def data() -> Screen:
    """stdout, for what was asked for. Writing raises `BrokenPipeError` when the reader is gone."""
    return _screen(sys.stdout, lenient=False)


def _screen(stream: TextIO | None, *, lenient: bool) -> Screen:
    unicode = shows_unicode(stream)
    is_terminal = stream is not None and stream.isatty()
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"
    width = DEFAULT_WIDTH
    if is_terminal:
        from shutil import get_terminal_size

        width = max(width, get_terminal_size((width, 24)).columns)
    return Screen(stream, unicode, is_terminal and not plain, width, lenient)


def shows_unicode(stream: TextIO | None) -> bool:
    """Whether the stream and the locale can show more than ASCII.

    In the C locale Python writes UTF-8 all the same, and says so in LC_CTYPE (PEP 538); the terminal does not.
    """
    if stream is None or (stream.encoding or "").lower().replace("-", "") != "utf8":
        return False
    if os.environ.get("PYTHONUTF8") == "1" or os.environ.get("PYTHONIOENCODING"):
        return True
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if names[1] == "C.UTF-8" and names[2] in ("", "C", "POSIX"):
        names[1] = ""
    locale = next((name for name in names if name), "C")
    return locale not in ("C", "POSIX")


def is_terminal(stream: Stream | None) -> bool:
    """Whether a person looks at it."""
    return stream is not None and stream.isatty()


def write_bytes(source: BinaryIO) -> bytes:
    """Copy bytes to stdout exactly as they are but for secrets, and give the last chunk. Raises `BrokenPipeError` when
    the reader is gone."""
    last = b""
    if sys.stdout is not None:
        sys.stdout.flush()
        for chunk in masking.masked_bytes(source):
            with _writing():
                sys.stdout.buffer.write(chunk)
            last = chunk or last
        with _writing():
            sys.stdout.buffer.flush()
    return last


def write_json(value: object, *, indent: int | None = 2) -> None:
    """Print JSON in ASCII, so that no string in it can act on a terminal. `indent` None: on one line."""
    from ion.foreign import dumps

    write_text(dumps(masking.masked_json(value), indent).replace("\x7f", "\\u007f") + "\n")


def write_text(text: str) -> None:
    """Write to stdout what is safe already. Raises `BrokenPipeError` when the reader is gone, `IonError`."""
    if sys.stdout is not None:
        with _writing():
            sys.stdout.write(text)
            sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: the stream was closed
        reason = error.strerror if isinstance(error, OSError) else error
        raise IonError(f"the output cannot be written: {reason}", code="io") from error


def discard_stdout() -> None:
    """Let what is still to be written to a stdout without a reader go nowhere, the flush at exit included."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


def open_standard_streams() -> None:
    """Give the descriptors 0 to 2 something to be if they were closed, so that no file of ours gets their numbers and
    is then written to as if it were the terminal."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
