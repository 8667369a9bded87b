"""When a loop's reply says that the work is done, and which part of the reply is the output (language.md §7).

A model that refuses, explains or asks often quotes the signal. A loop that ends there has silently lost work, while one
that continues costs a turn. So a tag counts outside of code only, and the bare word only if it is alone. All scans are
linear: the text comes from a model.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter

_EMPHASIS = "*_`~"
_SENTENCE_ENDS = ".!?:…。！？：\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_NUMBERED_OR_TICKED = re.compile(r"(?<!\S)(?:\d{1,9}\)|\[[xX]\])(?!\S)")
_NOT_TICKED = re.compile(r"\[\s*\]")
_LIST_MARKS = frozenset("+✓✔✅☑")
_PROMISE = re.compile(r"<(/?)promise(?:\s[^<>]*)?>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)$", re.MULTILINE)
_BACKTICKS = re.compile(r"`+|\n[ \t]*\n")
Ranges = list[tuple[int, int]]


def read_signal(text: str, until: str | None) -> tuple[bool, str]:
    """Whether `text` signals `until`, and the text without signal tags, trimmed.

    The signal is `<tag>SIGNAL</tag>` in any letter case, or, case-sensitive, SIGNAL alone on a line, or at the end of
    the reply with nothing before it in its sentence. Without `until` nothing is signalled, and only `<promise>` pairs
    are removed. A tag in code is not a tag, and stays.
    """
    word = None if until is None else until.strip()
    code = _code(text)
    tags = [] if word is None else [m.span() for m in _tag_pattern(word).finditer(text) if not _within(m.start(), code)]
    promises = [match for match in _PROMISE.finditer(text) if not _within(match.start(), code)]
    signaled = bool(tags) or (word is not None and (_at_the_end(text, word) or _alone_on_a_line(text, word)))
    return signaled, _without(text, sorted([*tags, *_pairs(promises)])).strip()


def _tag_pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"<([a-z][\w-]*)(?:\s[^<>]*)?>\s*{re.escape(word)}\s*</\1\s*>", re.IGNORECASE | re.ASCII)


def _pairs(promises: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Every `<promise>…</promise>`, whatever it contains; an unclosed one does not count."""
    opened: int | None = None
    for match in promises:
        if not match[1]:
            opened = match.start() if opened is None else opened
        elif opened is not None:
            yield opened, match.end()
            opened = None


def _without(text: str, spans: Ranges) -> str:
    kept: list[str] = []
    done = 0
    for start, end in spans:
        kept.append(text[done : max(start, done)])
        done = max(end, done)
    return "".join((*kept, text[done:]))


# ---------------------------------------------------------------------- the bare word


def _at_the_end(text: str, word: str) -> bool:
    """Whether the reply ends with `word`, and its last sentence or line contains nothing else."""
    start = text.rfind(word)
    if start < 0 or not all(map(_says_nothing, text[start + len(word) :])):
        return False
    before = text[max(text.rfind(end, 0, start) for end in _SENTENCE_ENDS) + 1 : start]
    if before.rstrip(_EMPHASIS)[-1:] == "-" or _NOT_TICKED.search(before):
        return False
    return all(map(_says_nothing, _NUMBERED_OR_TICKED.sub("", before)))


def _says_nothing(character: str) -> bool:
    """Whether it is a blank, emphasis, a list marker or punctuation. `>` is not, since it quotes, and neither are
    braces, which belong to JSON."""
    if character.isspace() or character in _EMPHASIS or character in _LIST_MARKS:
        return True
    return character not in "{}" and unicodedata.category(character) in (
        "Pc",
        "Pd",
        "Ps",
        "Pe",
        "Pi",
        "Pf",
        "Po",
        "Cf",
        "Mn",
    )


def _alone_on_a_line(text: str, word: str) -> bool:
    fenced = _fenced(text)
    start = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if (bare == word or bare.strip(_EMPHASIS) == word) and not _within(start, fenced):
            return True
        start += len(line)
    return False


# ---------------------------------------------------------------------- code


def _code(text: str) -> Ranges:
    """Where code is in a markdown text: fenced blocks, and what backticks enclose within a paragraph."""
    code: Ranges = []
    done = 0
    for start, end in [*_fenced(text), (len(text), len(text))]:
        code += _backticked(text, done, start)
        code.append((start, end))
        done = end
    return code


def _fenced(text: str) -> Ranges:
    """The fenced blocks; a fence that is never closed is text."""
    fences = [(match.span(), match[1], not match[2].strip()) for match in _FENCE.finditer(text)]
    longest = {"`": 0, "~": 0}
    closable: list[bool] = []
    for _, marks, bare in reversed(fences):
        closable.append(longest[marks[0]] >= len(marks))
        if bare:
            longest[marks[0]] = max(longest[marks[0]], len(marks))
    blocks: Ranges = []
    opened: tuple[int, str] | None = None
    for (span, marks, bare), may_open in zip(fences, reversed(closable), strict=True):
        if opened is None:
            opened = (span[0], marks) if may_open else None
        elif bare and marks.startswith(opened[1]):
            blocks.append((opened[0], span[1]))
            opened = None
    return blocks


def _backticked(text: str, start: int, end: int) -> Ranges:
    """The code spans from `start` to `end`: a run of backticks up to the next run that is as long, in one paragraph."""
    spans: Ranges = []
    runs: list[tuple[int, int]] = []
    for match in [*_BACKTICKS.finditer(text, start, end), None]:
        if match is not None and match[0][0] == "`":
            runs.append(match.span())
            continue
        spans += _matched(runs)
        runs = []
    return spans


def _matched(runs: Ranges) -> Iterator[tuple[int, int]]:
    following: dict[int, int] = {}
    closes = [-1] * len(runs)
    for index in reversed(range(len(runs))):
        length = runs[index][1] - runs[index][0]
        closes[index] = following.get(length, -1)
        following[length] = index
    index = 0
    while index < len(runs):
        if closes[index] >= 0:
            yield runs[index][0], runs[closes[index]][1]
            index = closes[index]
        index += 1


def _within(place: int, ranges: Ranges) -> bool:
    """Whether a place is inside of one of these ranges, which are in order and do not overlap."""
    index = bisect_right(ranges, place, key=itemgetter(0)) - 1
    return index >= 0 and place < ranges[index][1]
