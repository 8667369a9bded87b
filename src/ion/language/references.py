"""References in texts: finding `$plan.output.title`, `$INPUTS.mode` and `$ARGUMENTS`, and filling them in, in one pass.

One pass is the point: a value is never scanned again, whatever it contains, so text that a person or an agent wrote
cannot name another value. How far a field path reaches is decided when the value is known (`Resolved.consumed`). What a
field is, and how a value becomes text, is in `values.py`. Shell text has its own rewriting in `shell`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Struct

from ion.language.patterns import pattern
from ion.language.workflow import (
    COUNTS,
    OUTCOMES,
    RUN_NAMES,
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    RunReference,
)
from ion.names import NAMES_OF_A_TURN

ENGINE_NAMES = (
    "ARGUMENTS",
    "USER_MESSAGE",
    "WORKFLOW_ID",
    "ARTIFACTS_DIR",
    "STATE_DIR",
    "DOCS_DIR",
    "BASE_BRANCH",
    "CONTEXT",
    "EXTERNAL_CONTEXT",
    "ISSUE_CONTEXT",
    *NAMES_OF_A_TURN,
)

# A name ends where no further word follows: `$ARGUMENTS_X` is another name, the `_` of `_run $WORKFLOW_ID_` is text.
_NAME_ENDS = r"(?!_*[A-Za-z0-9])"
_ENGINE = "|".join(sorted(ENGINE_NAMES, key=len, reverse=True))
_NODE = "[A-Za-z_][A-Za-z0-9_-]*+"
_PATH = r"(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_PATTERN = pattern(
    rf"\$(?:(?P<engine>{_ENGINE}){_NAME_ENDS}"
    rf"|INPUTS\.(?P<input>[A-Za-z_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)(?P<inner>{_PATH})"
    # Its end in text where the name would run on: `$INPUTS.{name}-draft.md`. In a shell this is a brace expansion.
    r"|(?P<braced>INPUTS\.\{[A-Za-z_][A-Za-z0-9_-]*\})"
    rf"|RUN\.(?P<run>{'|'.join(RUN_NAMES)}){_NAME_ENDS}"
    rf"|LOOP_PREV\.(?P<previous>{_NODE})\.output{_NAME_ENDS}(?P<before>{_PATH})"
    rf"|(?!INPUTS\.)(?P<node>{_NODE})\.(?:output{_NAME_ENDS}(?P<path>{_PATH})"
    rf"|outcome\.(?P<outcome>{'|'.join((*OUTCOMES, *COUNTS))}){_NAME_ENDS}))"
)
_NAME_GOES_ON = pattern("-*[A-Za-z0-9_]")
_MENTIONED = pattern(rf"\$\{{?[!#]?({_ENGINE}){_NAME_ENDS}")


class Found(Struct, frozen=True, gc=False):
    """A reference and its place: character offsets of the longest text that can belong to it, from its `$`."""

    start: int
    end: int
    reference: Reference


class Resolved(Struct, frozen=True, gc=False):
    """The text that replaces a reference; `consumed` is how many elements of its path belong to it."""

    text: str
    consumed: int = 0


def find_references(text: str, *, escapes: bool = True) -> list[Found]:
    """Every reference in `text`, in order; never raises.

    With `escapes`, one after an odd number of backslashes (`\\$plan.output`) is literal text and left out. Without, the
    text is code, in which `$INPUTS.{name}` is not a reference.
    """
    if "$" not in text:
        return []
    return [
        Found(match.start(), match.end(), _reference(match))
        for match in _PATTERN.finditer(text)
        if (backslashes(text, match.start()) % 2 == 0 if escapes else not match["braced"])
    ]


def escape(text: str) -> str:
    """A text that `render` makes into `text` itself, whatever it contains."""
    parts: list[str] = []
    done = 0
    for match in _PATTERN.finditer(text):
        parts.append(text[done : match.start()] + "\\" * (backslashes(text, match.start()) + 1))
        done = match.start()
    return "".join(parts) + text[done:]


def input_reference(name: str, text: str = "", at: int = 0) -> str:
    """`$INPUTS.name`, or `$INPUTS.{name}` if what follows it, `text` from `at`, would lengthen the name."""
    if name.endswith("-") or _NAME_GOES_ON.match(text, at):
        return f"$INPUTS.{{{name}}}"
    return f"$INPUTS.{name}"


def render(text: str, resolve: Callable[[Reference], Resolved]) -> str:
    """`text` with each reference replaced by what `resolve` returns, in one pass; errors of `resolve` pass through.

    Backslashes directly before a reference are escapes: of each pair one stays, an odd one makes the reference text.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    done = 0
    for match in _PATTERN.finditer(text):
        slashes = backslashes(text, match.start())
        parts.append(text[done : match.start() - slashes] + "\\" * (slashes // 2))
        done = match.start()
        if slashes % 2 == 0:
            found = Found(match.start(), match.end(), _reference(match))
            resolved = resolve(found.reference)
            parts.append(resolved.text)
            done = end_of(found, resolved.consumed)
    return "".join(parts) + text[done:]


def end_of(found: Found, consumed: int) -> int:
    """The offset after a reference of which `consumed` path elements belong to it; the rest is text."""
    return found.end - sum(len(element) + 1 for element in path_of(found.reference)[consumed:])


def path_of(reference: Reference) -> tuple[str, ...]:
    """The fields that a reference names below its value."""
    return () if isinstance(reference, EngineReference | OutcomeReference | RunReference) else reference.path


def whole_reference(text: Any) -> Reference | None:
    """The reference that `text` is, from its first character to its last."""
    found = find_references(text) if isinstance(text, str) else []
    return found[0].reference if len(found) == 1 and found[0].end - found[0].start == len(text) else None


def reference_text(reference: Reference) -> str:
    """A reference as an author writes it: `$plan.output.title`, `$INPUTS.mode`, `$ARGUMENTS`."""
    match reference:
        case NodeReference(node=node):
            return f"${node}.{reference.key}"
        case OutcomeReference(node, name):
            return f"${node}.outcome.{name}"
        case RunReference(name):
            return f"$RUN.{name}"
        case PreviousReference(node, path):
            return ".".join((f"$LOOP_PREV.{node}.output", *path))
        case InputReference(name, path):
            return ".".join((f"$INPUTS.{name}", *path))
        case EngineReference(name):
            return f"${name}"


@lru_cache(maxsize=256)
def engine_names(text: str) -> frozenset[str]:
    """The engine names that `text` may read, as `$NAME` or, in shell, `${NAME…}`: what must be looked up for it."""
    return frozenset(_MENTIONED.findall(text))


def _reference(match: re.Match[str]) -> Reference:
    if match["engine"]:
        return EngineReference(match["engine"])
    if match["input"]:
        return InputReference(match["input"], _path(match["inner"]))
    if match["braced"]:
        return InputReference(match["braced"][len("INPUTS.{") : -1])
    if match["previous"]:
        return PreviousReference(match["previous"], _path(match["before"]))
    if match["run"]:
        return RunReference(match["run"])
    if match["outcome"]:
        return OutcomeReference(match["node"], match["outcome"])
    return NodeReference(match["node"], _path(match["path"]))


def _path(written: str) -> tuple[str, ...]:
    return tuple(written.split(".")[1:])


def backslashes(text: str, end: int) -> int:
    """How many backslashes precede `end`."""
    start = end
    while start and text[start - 1] == "\\":
        start -= 1
    return end - start
