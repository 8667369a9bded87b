"""Times, sizes and texts as people read them, each cut to the room that it has."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol, TypeAlias

from ion.language.problems import printable
from ion.views.masking import Shown, masked, shown, shown_lines

# Colours and styles of a terminal (ECMA-48, SGR), with which programs decorate what they write.
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
# Text as it is, or (role, text); what a role looks like is for the face to say.
Part: TypeAlias = str | tuple[str, str]


class Sheet(Protocol):
    """What a text is laid out for. `unicode`: it can show more than ASCII; `width` is in columns."""

    unicode: bool
    width: int

    def encodable(self, text: str) -> str:
        """The text with stand-ins for what cannot be shown there."""


def duration(milliseconds: int | None) -> str:
    """`0.4s`, `12s`, `3m04s`, `1h12m`; '' for None."""
    if milliseconds is None:
        return ""
    tenths = round(milliseconds / 100)
    if tenths < 100:
        return f"{tenths / 10:.1f}s"
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    minutes = seconds // 60
    return f"{minutes // 60}h{minutes % 60:02}m"


def passing(milliseconds: int | None) -> str:
    """A duration that is still growing, in whole seconds: `3s`, `3m04s`; '' for None."""
    if milliseconds is None:
        return ""
    seconds = milliseconds // 1000
    return f"{seconds}s" if seconds < 10 else duration(seconds * 1000)


def elapsed(milliseconds: int) -> str:
    """`01:02.3`: minutes, seconds, tenths."""
    tenths = max(0, milliseconds) // 100
    return f"{tenths // 600:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def size(count: int) -> str:
    """`0 B`, `2.1 KB`, `14 MB`, in powers of 1024."""
    if count < 1024:
        return f"{count} B"
    power = min(4, (count.bit_length() - 1) // 10)
    amount = count / 1024**power
    unit = ("KB", "MB", "GB", "TB")[power - 1]
    return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"


def moment(milliseconds: int | None, now: int) -> str:
    """The local time of day, with the date if that is not today's. Both are ms since the epoch."""
    if milliseconds is None:
        return ""
    at, today = (datetime.fromtimestamp(ms / 1000).astimezone() for ms in (milliseconds, now))
    return at.strftime("%H:%M:%S" if at.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def width(text: str) -> int:
    """The columns that a printable text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> Shown:
    """The text in at most so many columns; `…` replaces the end that has no room."""
    whole = shown(text)
    if width(whole) <= columns:
        return whole
    kept, used = "", 0
    for character in whole:
        used += _columns(character)
        if used > columns - 1:
            break
        kept += character
    return Shown(f"{kept}…" if columns > 0 else "")


def cut_middle(name: str, columns: int) -> str:
    """An id in at most so many columns; `…` replaces its middle."""
    if len(name) <= columns or columns < 3:
        return cut(name, columns)
    head = (columns - 1) // 2
    return f"{name[:head]}…{name[len(name) - (columns - 1 - head) :]}"


def cut_ids(names: Iterable[str], columns: int) -> dict[str, str]:
    """Each id in at most so many columns, or in as many more as it takes for no two to look the same."""
    shown = {name: cut_middle(name, columns) for name in names}
    while alike := {text for text, count in Counter(shown.values()).items() if count > 1}:
        columns += max(4, columns // 2)
        shown |= {name: cut_middle(name, columns) for name, text in shown.items() if text in alike}
    return shown


def pad(text: str, columns: int) -> Shown:
    """The text, cut or filled up to exactly so many columns."""
    kept = cut(text, columns)
    return Shown(kept + " " * (columns - width(kept)))


def one_line(text: str) -> Shown:
    """A text on one line, its runs of blanks and breaks as one blank each."""
    return Shown(printable(" ".join(masked(text).split())))


def wrapped(text: str, columns: int, *, first: int = 0, encoded: Callable[[str], str] = str) -> Iterator[Shown]:
    """All lines of a text, each in at most so many columns (the first one in `first` less); what has no room is
    continued below, further to the right than its line began, so that it does not look like a line of its own.
    `encoded` is what the terminal makes of a line."""
    for number, line in enumerate(shown_lines(text)):
        yield from map(Shown, _folded(encoded(line).rstrip(), columns, first if number == 0 else 0))


def _folded(line: str, columns: int, taken: int) -> Iterator[str]:
    indent = len(line) - len(line.lstrip(" "))
    deeper = " " * min(indent + 2, columns // 2)
    while width(line) > columns - taken:
        at = _place_to_break(line, columns - taken)
        yield line[:at].rstrip()
        line, taken = deeper + line[at:].lstrip(" "), 0
    yield line


def _place_to_break(line: str, columns: int) -> int:
    """Before the last word that has no room, or within a word that has none at all; never among the blanks at the
    beginning."""
    start = len(line) - len(line.lstrip(" "))
    used, blank = 0, 0
    for place, character in enumerate(line):
        used += _columns(character)
        if character == " " and place > start:
            blank = place
        if used > columns:
            return blank or max(place, start + 1)
    return len(line)


def readable_lines(text: str) -> list[Shown]:
    """All lines of what a program wrote, without the colours that a terminal would show, each fit to be shown."""
    return shown_lines(_COLOURS.sub("", text))


def plural(number: int, word: str) -> str:
    """`1 gate`, `2 gates`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
