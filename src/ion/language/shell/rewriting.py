"""Rewriting placed shell text for bash: each reference becomes a variable, quoted as its position requires.

The script keeps its lines. Values travel in a data file that `preamble` reads into unexported variables, so their size
and their bytes do not matter. Only in the few positions where bash would evaluate a value is it read here, and refused
before bash starts (reference: the language, §5.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ion.errors import UnreadableReferenceError
from ion.language.references import Found, end_of, path_of, reference_text
from ion.language.shell import parts
from ion.language.values import repr_text
from ion.language.workflow import EngineReference, Placement, Reference, Shell

LONGEST_PATTERN = 20_000
_INTEGER = re.compile(r"[+-]?0*([0-9]{1,19})")
_DESCRIPTOR = re.compile(r"[0-9]+-?|-")
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)

# %s is the variable; all that stands around it belongs to the quoting of the position.
_FORMS = {
    parts.BARE: '"%s"',
    parts.PATTERN: '"%s"',
    parts.REPLACEMENT: '"%s"',
    parts.DOUBLE: "%s",
    parts.HERE: "%s",
    parts.HERE_QUOTED: "%s",
    parts.ARITHMETIC: "%s",
    parts.SUBSCRIPT: "%s",
    parts.SINGLE: "'\"%s\"'",
    parts.ANSI: "'\"%s\"$'",
}


class Value(Protocol):
    """The value of a reference."""

    @property
    def consumed(self) -> int:
        """How many elements of the reference's path belong to it; the rest is text."""

    def read(self) -> str:
        """The whole text; used only if the position requires a check."""


V = TypeVar("V", bound=Value)


class Rewritten(Struct, Generic[V], frozen=True, gc=False):
    """The script for bash, and the variables that it needs, in the order of the data file, with their values."""

    text: str
    variables: dict[str, V]


def rewrite(shell: Shell, resolve: Callable[[Reference], V]) -> Rewritten[V]:
    """Replace the references of `shell`, which has no error, with variables.

    `resolve` is called once for each reference as written (also for engine names, which stay `${NAME}`, except those
    that the script assigns itself); what it raises passes through. Raises `UnreadableReferenceError` for a value that
    its position does not allow.
    """
    values: dict[Reference, V] = {}
    names: dict[Reference, str] = {}
    variables: dict[str, V] = {}
    edits = list(shell.edits)
    for placement in shell.placements:
        reference = placement.reference
        end = placement.end
        if placement.detail.get("own"):
            variable = reference_text(reference)[1:]
        else:
            value = values[reference] if reference in values else values.setdefault(reference, resolve(reference))
            end = end_of(Found(placement.start, end, reference), value.consumed)
            _check(shell, placement, value)
            variable = _variable(_read(reference, value.consumed), value, names, variables)
        edits.append((placement.start, end, _form(placement, variable)))
    return Rewritten(_edited(shell.text, edits), variables)


def can_rewrite(shell: Shell) -> bool:
    """Whether the placements and edits are such as `placing` makes, wherever they come from."""
    spans = [*((place.start, place.end) for place in shell.placements), *(edit[:2] for edit in shell.edits)]
    return all(0 <= start <= end <= len(shell.text) for start, end in spans) and all(
        place.position in _FORMS
        and place.detail.get("check") in (None, *_CHECKS)
        and ("check" not in place.detail or isinstance(place.detail.get("where"), str))
        for place in shell.placements
    )


def preamble(variables: Iterable[str], data_path: str) -> str:
    """The code before the first line of a rewritten script, on the same line, that loads its variables.

    The file at `data_path` holds the values in this order, each ended by a NUL. Nothing is exported, no line is added;
    if the file cannot be read the script exits with status 125 instead of running without its values.
    """
    names = list(variables)
    if not names:
        return ""
    reads = " && ".join(f"IFS= builtin read -rd '' {name}" for name in names)
    unexported = " ".join(names)
    return (
        f"{{ {reads} && builtin export -n {unexported}; }} < {_quoted(data_path)} || "
        "{ builtin echo 'ion: the values of this script cannot be read' >&2; builtin exit 125; }; "
    )


def _read(reference: Reference, consumed: int) -> Reference:
    """The reference without the path elements that are text."""
    return replace(reference, path=path_of(reference)[:consumed]) if path_of(reference) else reference


def _variable(reference: Reference, value: V, names: dict[Reference, str], variables: dict[str, V]) -> str:
    if isinstance(reference, EngineReference):
        return reference.name
    if reference not in names:
        names[reference] = f"__ion_{len(names) + 1}"
        variables[names[reference]] = value
    return names[reference]


def _form(placement: Placement, variable: str) -> str:
    """A blank goes before the value where the `-` of a negative number would meet another one."""
    gap = " " if placement.detail.get("gap") else ""
    return _FORMS[placement.position] % f"{gap}${{{variable}}}"


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    result: list[str] = []
    done = 0
    for start, end, replacement in sorted(edits):
        result += (text[done:start], replacement)
        done = end
    return "".join(result) + text[done:]


def _check(shell: Shell, placement: Placement, value: Value) -> None:
    check = placement.detail.get("check")
    if not check:
        return
    text = value.read()
    accepted, demand, advice = _CHECKS[check]
    if accepted(text):
        return
    line = shell.text.count("\n", 0, placement.start) + 1
    shown = repr_text(text) if len(text) <= 60 else f"{repr_text(text[:40])}… ({len(text)} characters)"
    raise UnreadableReferenceError(
        f"line {line}: {reference_text(placement.reference)} is in {placement.detail['where']}, "
        f"where its value must be {demand}; it is {shown}",
        hint=advice,
    )


def _is_integer(text: str) -> bool:
    match = _INTEGER.fullmatch(text)
    return match is not None and _SMALLEST <= int(text[:1].strip("+0123456789") + match[1]) <= _LARGEST


_CHECKS: dict[str, tuple[Callable[[str], bool], str, str]] = {
    parts.INTEGER: (
        _is_integer,
        "a whole number of 64 bits",
        "bash would evaluate any other text there as code; compare texts with [[ == ]], and declare -A a map",
    ),
    parts.DESCRIPTOR: (
        lambda text: _DESCRIPTOR.fullmatch(text) is not None,
        "the number of a file descriptor",
        "bash would evaluate any other text there twice; write > or &> for a file",
    ),
    parts.NOT_COMPOUND: (
        lambda text: not text.startswith("("),
        "a text that does not begin with (",
        "bash would evaluate it as the elements of the array; use a variable of another name",
    ),
    parts.SHORT: (
        lambda text: len(text) <= LONGEST_PATTERN,
        f"at most {LONGEST_PATTERN} characters long",
        "bash matches long patterns in quadratic time; compare with [[ == ]], or cut in a script node",
    ),
}


def _quoted(path: str) -> str:
    """`path` as one word for bash, on one line."""
    if path.isprintable():
        return "'" + path.replace("'", "'\\''") + "'"
    escaped = path.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"$'{escaped}'"
