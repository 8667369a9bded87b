"""Placing the references of shell text: reading it as a whole, then deciding what only the whole text can tell.

What depends on the rest of the script: whether an array is associative, whether a variable is an integer, whether an
engine name is the script's own, and which here-documents must be opened because they contain a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ion.language.references import find_references, reference_text
from ion.language.shell import parts
from ion.language.shell.code import hint
from ion.language.shell.grammar import Grammar
from ion.language.shell.parts import Heredoc, ShellFindings, Spot, Unplaced, is_own
from ion.language.workflow import EngineReference, Placement, Shell

_WORD = re.compile(r"[A-Za-z0-9_]+")
_ESCAPED_IN_DOCUMENTS = re.compile(r"[$`\\]")
# Two quotes are nothing in the key of a map. Should the array be none after all, where the script runs, they end its
# arithmetic with an error before bash looks at the value.
_GUARD = "''"
_RAW = (parts.SINGLE, parts.ANSI, parts.HERE_QUOTED)


class ShellProblem(Struct, frozen=True, gc=False):
    """A problem of shell text; `offset` counts characters from its start. `severity` is `error` or `warning`."""

    code: str
    message: str
    hint: str
    offset: int
    severity: str = "error"


class ShellResult(Struct, frozen=True, gc=False):
    """Shell text with its references placed. It cannot be run if one of its problems is an error."""

    shell: Shell
    problems: tuple[ShellProblem, ...] = ()


def place(text: str) -> ShellResult:
    """The position of every reference in `text`, which is a script for bash; never raises.

    A reference where bash would evaluate its value as code, or text that cannot be classified, is the error
    `reference-position`; the warnings are `reference-in-code` and `value-used-as-arithmetic`.
    """
    found = find_references(text, escapes=False)
    if not found:
        return ShellResult(Shell(text))
    notes = ShellFindings()
    try:
        Grammar(text, {reference.start: reference for reference in found}, notes).whole()
    except Unplaced as problem:
        message = f"{problem.message}, so Ion cannot tell how bash would read the references in this text"
        return ShellResult(Shell(text), (ShellProblem("reference-position", message, problem.hint, problem.offset),))
    return _settled(text, notes)


def _settled(text: str, notes: ShellFindings) -> ShellResult:
    left = set(_left_as_text(text, notes))
    _settle_checks(text, notes)
    spots = sorted((spot for spot in notes.spots if spot not in left), key=lambda spot: spot.found.start)
    edits = list(notes.edits)
    for heredoc in notes.heredocs:
        kept = [spot for spot in heredoc.spots if spot not in left]
        if kept:
            edits += _opened(text, heredoc, kept)
    problems = [*_misplaced(notes), *_in_code(notes, left), *_used_as_arithmetic(text, notes)]
    problems.sort(key=lambda problem: (problem.offset, problem.code))
    return ShellResult(Shell(text, tuple(map(_placement, spots)), tuple(sorted(edits))), tuple(problems))


def _placement(spot: Spot) -> Placement:
    detail: dict[str, Any] = {"check": spot.check, "where": spot.where} if spot.check else {}
    if spot.gap:
        detail["gap"] = True
    if spot.own:
        detail["own"] = True
    return Placement(spot.found.start, spot.found.end, spot.found.reference, spot.position, detail)


def _left_as_text(text: str, notes: ShellFindings) -> Iterator[Spot]:
    """Engine names that stay as they are, in text that bash takes literally: the script assigns them, or the text is
    a script itself, whose shell reads them from its environment."""
    for spot in notes.spots:
        spot.own = is_own(spot, notes)
        if spot.own and spot.position in _RAW:
            yield spot
        elif spot.position in _RAW and isinstance(spot.found.reference, EngineReference):
            assignment = re.compile(rf"(?<![\w$.-]){spot.found.reference.name}\+?=(?!=)")
            if assignment.search(_region(text, spot, notes)):
                yield spot
    for spots, language, _ in notes.code:
        if language == "shell":
            yield from (s for s in spots if s.position in _RAW and isinstance(s.found.reference, EngineReference))


def _region(text: str, spot: Spot, notes: ShellFindings) -> str:
    """The quoted text around a reference."""
    for heredoc in notes.heredocs:
        if spot in heredoc.spots:
            return text[heredoc.body[0] : heredoc.body[1]]
    start = text.rfind("'", 0, spot.found.start) + 1
    end = text.find("'", spot.found.end)
    return text[start:] if end < 0 else text[start:end]


def _settle_checks(text: str, notes: ShellFindings) -> None:
    for name, spots in notes.assigned + notes.looped:
        if name in notes.integers:
            _need(spots, parts.INTEGER, f"the integer variable {name}")
    for name, spots, offset in notes.subscripts:
        if name in notes.maps:
            notes.edits.append((offset, offset, _GUARD))
        else:
            _need(spots, parts.INTEGER, f"a subscript of {name}")
    for name, spots in notes.redeclared:
        if name in notes.arrays:
            _need(spots, parts.NOT_COMPOUND, f"the array {name}")
    for spot in notes.spots:
        if spot.own:
            spot.check = spot.where = ""
        if spot.check == parts.INTEGER:
            before = text[: spot.found.start].rstrip("\"'") if text[spot.found.start - 1] in "\"'+-" else ""
            spot.gap = before.endswith(("+", "-"))


def _need(spots: list[Spot], check: str, where: str) -> None:
    for spot in spots:
        spot.need(check, where)


def _opened(text: str, heredoc: Heredoc, spots: list[Spot]) -> Iterator[tuple[int, int, str]]:
    """The edits that turn a quoted here-document into an unquoted one, with the same text except for its references."""
    body = text[heredoc.body[0] : heredoc.body[1]]
    delimiter = heredoc.delimiter
    if not _WORD.fullmatch(delimiter):
        delimiter = next(name for name in _fresh_names() if name not in body)
        if heredoc.closing[0] < heredoc.closing[1]:
            yield (*heredoc.closing, delimiter)
        elif heredoc.closing[0] < len(text):
            yield (heredoc.closing[0], heredoc.closing[0], delimiter)
    yield (*heredoc.word, delimiter)
    references = {spot.found.start for spot in spots}
    for match in _ESCAPED_IN_DOCUMENTS.finditer(text, *heredoc.body):
        if match.start() not in references:
            yield (match.start(), match.start(), "\\")


def _fresh_names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"ION_END_{number}"


def _misplaced(notes: ShellFindings) -> Iterator[ShellProblem]:
    for name, spots in notes.assigned:
        if name in notes.untied:
            notes.misplaced.extend((spot, f"the target of the nameref {name}", "") for spot in spots)
    for name, spots in notes.looped:
        if name in notes.references:
            notes.misplaced.extend((spot, f"the target of the nameref {name}", "") for spot in spots)
    seen: set[Spot] = set()
    for spot, what, advice in notes.misplaced:
        if spot not in seen and not is_own(spot, notes):
            seen.add(spot)
            shown = reference_text(spot.found.reference)
            message = f"{shown} is where bash would evaluate its value as code: {what}"
            yield ShellProblem("reference-position", message, advice or _by_value(shown), spot.found.start)


def _by_value(shown: str) -> str:
    return f"decide by the value instead, as in case {shown} in one) … ;; two) … ;; esac"


def _in_code(notes: ShellFindings, left: set[Spot]) -> Iterator[ShellProblem]:
    seen: set[Spot] = set()
    for spots, language, name in notes.code:
        for spot in spots:
            if spot in left or spot in seen or spot.own:
                continue
            seen.add(spot)
            shown = reference_text(spot.found.reference)
            message = f"{shown} is in code for {name}, which would run what the value says"
            yield ShellProblem(
                "reference-in-code", message, hint(language, spot.found.reference), spot.found.start, "warning"
            )


def _used_as_arithmetic(text: str, notes: ShellFindings) -> Iterator[ShellProblem]:
    """Variables that hold one value unchecked and are evaluated later, as in `n=$plan.output.n; (( n > 3 ))`."""
    if not (notes.copies and notes.arithmetic):
        return
    evaluated = {name for part in notes.arithmetic for name in re.findall(r"[A-Za-z_]\w*", part, re.ASCII)}
    for name, spot in notes.copies:
        checked = re.search(rf"\$\{{?{name}\}}?\"?\s+=~", text)
        if name in evaluated and not spot.check and not spot.own and not checked:
            shown = reference_text(spot.found.reference)
            yield ShellProblem(
                "value-used-as-arithmetic",
                f"{name} holds {shown} and is used in arithmetic, where bash would evaluate the value as code",
                f"write {shown} itself there (Ion checks that it is a number), or declare -i {name} before",
                spot.found.start,
                "warning",
            )
