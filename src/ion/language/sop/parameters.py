"""The parameters of an SOP: the bullets of `## Parameters` in all the ways that authors write them.

`- **name** (required|optional[, default: x]): text` is the rule; bullets with any marker, names in backticks or bare,
status by a heading or a label, notes in the parentheses, defaults in quotes, in backticks or as prose are all read. A
bullet that is not a parameter stays text of the section and reaches the prompts with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ion.language.patterns import PLACEHOLDER
from ion.language.sop.model import Parameter, SopProblems
from ion.language.sop.page import Block, Page, item_text, plain
from ion.language.workflow import variable_name

PATTERN = 'write (required), (optional) or (optional, default: "...")'
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)

_LABEL = re.compile(r"(?:\*\*|__)(?P<bold>[^*\n]+?)(?:\*\*|__)|`(?P<code>[^`\n]+)`|(?P<bare>[^\W\d][\w-]*)(?=[ \t]*\()")
_STATUS = re.compile(r"(?P<no>\bnot[ \t]+required\b)|\b(?P<word>required|optional)\b", re.IGNORECASE)
_DEFAULT = re.compile(r"[,;]?\s*\bdefaults?\b(?:[ \t]+(?:is|to|value))?\s*[:=]?\s*", re.IGNORECASE)
_AFTER_DEFAULT = re.compile(r"[,;]\s*(?=(?:required|optional)\b)", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_NUMBER = re.compile(r"[+-]?[0-9]+(?P<part>\.[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 300
_NOTHING = frozenset({"", "none", "null", "n/a"})
_SWITCH = re.compile(r"\W*(required|optional)\b(?:\s+(?:parameters?|inputs?|arguments?))?\W*", re.IGNORECASE)
_STOP = re.compile(r"[*_\s]*(?:constraints?|parameter constraints?|notes?|examples?|validation)\b", re.IGNORECASE)
_CONSTRAINTS = re.compile(r"[*_\s]*constraints?\b[^.\n]*[:*]\s*$", re.IGNORECASE)
_TITLED = re.compile(r"[ \t]*(?:\*\*|__)(?P<label>[^*\n]+?)(?:\*\*|__)[ \t]*:?[ \t]*`?\{(?P<name>[A-Za-z_][\w-]*)\}`?")
_STARTS_WITH_STATUS = re.compile(r"\s*[(*_]*(required|optional)\b", re.IGNORECASE)
_STARTS_WITH_NAME = re.compile(r"\s*`?\{(?P<name>[A-Za-z_][A-Za-z0-9_-]*)\}`?[ \t]*[-–—:,.]?[ \t]*", re.ASCII)
_SEPARATOR = re.compile(r"[ \t]*(?::|-(?=\s)|–|—)?[ \t]*")
_SNAKE = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


class _Entry(Struct, frozen=True, gc=False):
    """A bullet that may be a parameter: its text without marker, its place, and the status from its heading."""

    text: str
    line: int
    column: int
    status: str = ""


def read_parameters(page: Page, start: int, end: int, notes: SopProblems) -> tuple[Parameter, ...]:
    """The parameters that the lines from `start` to `end` declare, in order, each name once."""
    found: dict[str, Parameter] = {}
    for entry in _entries(page, start, end):
        parameter = _read(entry, notes)
        if parameter is None:
            continue
        first = found.get(parameter.name)
        if first is not None:
            message = f"'{parameter.name}' is declared twice, in line {first.line} and in line {parameter.line}"
            notes.error("duplicate-parameter", message, parameter.line, parameter.column, hint="remove one of the two")
            continue
        found[parameter.name] = parameter
    parameters = tuple(replace(one, refers_to=_referred(one, found)) for one in found.values())
    _check_clashes(parameters, notes)
    _check_cycles(parameters, notes)
    _check_order(parameters, notes)
    return parameters


def _entries(page: Page, start: int, end: int) -> Iterator[_Entry]:
    """The bullets up to the constraints, which may look like parameters but are not."""
    status = ""
    for block in page.between(start, end):
        if block.kind in ("heading", "paragraph"):
            switch = _SWITCH.fullmatch(block.text)
            if switch:
                status = switch[1].lower()
            elif block.kind == "heading":
                if _STOP.match(plain(block.text)):
                    return
                word = _STATUS.search(block.text)
                status = word["word"].lower() if word and word["word"] else ""
            elif _CONSTRAINTS.match(block.text):
                return
            else:
                yield from _titled(page, block, status)
        elif block.kind in ("bullet_list", "ordered_list"):
            for item in block.children:
                text, column = item_text(page, item)
                lines = text.split("\n")
                stop = next((n for n, line in enumerate(lines) if _CONSTRAINTS.match(line)), None)
                if stop != 0:
                    yield _Entry("\n".join(lines[:stop]), item.start + 1, column + 1, status)
                if stop is not None:  # a label without a blank line before it
                    return


def _titled(page: Page, block: Block, status: str) -> Iterator[_Entry]:
    """Lines such as `**Task Name**: {task_name}` that are not bullets."""
    for number in range(block.start, block.end):
        line = page.lines[number]
        if _TITLED.match(line):
            indent = len(line) - len(line.lstrip())
            yield _Entry(line.strip(), number + 1, indent + 1, status)


def _read(entry: _Entry, notes: SopProblems) -> Parameter | None:
    """The parameter of a bullet, or None for a bullet that is only text, or that is wrong and has been reported."""
    label = _LABEL.match(entry.text)
    if label is None:
        return None
    name = (label["bold"] or label["code"] or label["bare"]).strip().strip("`").strip()
    colon = name.endswith(":")
    name = name.rstrip(": \t")
    at = label.end()
    at += len(entry.text[at:]) - len(entry.text[at:].lstrip(" \t"))
    inside = ""
    if entry.text[at : at + 1] == "(":
        close = _closing(entry.text, at)
        if close is None:
            message = f"the '(' after '{name}' is never closed"
            notes.error("bad-parameter", message, *_place(entry, at), hint=PATTERN)
            return None
        inside, opened, at = entry.text[at + 1 : close], at, close + 1
    elif label["bare"] or not (colon or entry.text[at : at + 1] in (":", "")):
        if label["bare"] is None:
            message = f"'{name}' is not read as a parameter"
            notes.warning("unread-parameter", message, entry.line, entry.column, hint=f"{PATTERN} and ':' after it")
        return None
    else:
        opened = at
    separator = _SEPARATOR.match(entry.text, at)
    description = entry.text[separator.end() if separator else at :]
    if label["bare"] and not _STATUS.search(inside):
        return None
    name, description = _named(name, description)
    parameter = _with_status(entry, name, inside, description, opened, notes)
    return parameter if parameter is not None and _check_name(parameter, notes) else None


def _named(label: str, description: str) -> tuple[str, str]:
    """The name and the description; for `**Title Case**: {name}` the name is the one in braces."""
    braces = _STARTS_WITH_NAME.match(description)
    if braces and not _SNAKE.fullmatch(label):
        rest = description[braces.end() :].strip()
        return braces["name"], f"{label}: {rest}" if rest else label
    return label, description.rstrip()


def _with_status(
    entry: _Entry, name: str, inside: str, description: str, opened: int, notes: SopProblems
) -> Parameter | None:
    value, rest = _default(inside)
    word = _STATUS.search(rest)
    said = "optional" if word and word["no"] else word["word"].lower() if word else ""
    starts = _STARTS_WITH_STATUS.match(description)
    status = said or entry.status or (starts[1].lower() if starts else "")
    line, column = entry.line, entry.column
    parameter = Parameter(name, line, column, description=description, note=_note(rest))
    if value is not None:
        if status == "required":
            message = f"'{name}' has a default, so it is not required"
            notes.warning("required-with-default", message, line, column, hint="write (optional, default: …)")
        return replace(parameter, has_default=True, default=value[0], prose=value[1])
    if status:
        return replace(parameter, required=status == "required")
    if inside.strip() and not _DEFAULT.match(inside):
        message = f"'{name}' says \"({_short(inside)})\", neither required nor optional"
        notes.error("bad-parameter", message, *_place(entry, opened), length=len(inside) + 2, hint=PATTERN)
        return None
    if not inside.strip():
        message = f"'{name}' says neither required nor optional: it is taken as required"
        notes.warning("param-untyped", message, line, column, hint=PATTERN)
    return replace(parameter, required=not inside.strip())


def _default(inside: str) -> tuple[tuple[Any, bool] | None, str]:
    """The default in parentheses, as (value, whether it is prose), and what else they say."""
    found = _DEFAULT.search(inside)
    if found is None:
        return None, inside
    text = inside[found.end() :]
    close = _QUOTES.get(text[:1], "")
    end = text.find(close, 1) if close else -1
    if end > 0:
        rest = f"{inside[: found.start()]},{text[end + 1 :]}"
        quoted = text[1:end]
        return (_literal(quoted) if close == "`" else (quoted, False)), rest
    stop = _AFTER_DEFAULT.search(text)
    words = " ".join(text[: stop.start() if stop else len(text)].split()).rstrip(",;")
    rest = f"{inside[: found.start()]},{text[stop.start() :] if stop else ''}"
    return (None if words.lower() in _NOTHING else _literal(words)), rest


def _literal(words: str) -> tuple[Any, bool]:
    """A default without quotes: a boolean, a number, a word, or prose."""
    close = _QUOTES.get(words[:1], "")
    if len(words) > 1 and close and words.endswith(close):
        return words[1:-1], False
    if words.lower() in ("true", "false"):
        return words.lower() == "true", False
    number = _NUMBER.fullmatch(words)
    if number and len(words) <= _LONGEST_NUMBER:
        return (float(words) if number["part"] else int(words)), False
    return words, " " in words


def _note(rest: str) -> str:
    """What parentheses say besides the status and the default: `on CI, see the note`."""
    return " ".join(_STATUS.sub(" ", rest, count=1).split()).strip(" ,;:.")


def _closing(text: str, at: int) -> int | None:
    """The index of the parenthesis that closes the one at `at`, in the same paragraph; quotes and code hide theirs."""
    depth, index = 0, at
    end = text.find("\n\n", at)
    end = len(text) if end < 0 else end
    while index < end:
        character = text[index]
        if character in '"`“':
            close = text.find(_QUOTES[character], index + 1, end)
            index = index if close < 0 else close
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if not depth:
                return index
        index += 1
    return None


def _place(entry: _Entry, offset: int) -> tuple[int, int]:
    """Line and column of a character of an entry; the indentation of later lines is taken as the first one's."""
    before = entry.text[:offset]
    return entry.line + before.count("\n"), entry.column + offset - (before.rfind("\n") + 1)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def _check_name(parameter: Parameter, notes: SopProblems) -> bool:
    name = parameter.name
    wanted = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not IDENTIFIER.fullmatch(name):
        hint = f"write '{wanted}'" if IDENTIFIER.fullmatch(wanted) else "use small letters, digits and _"
        message = f"'{_short(name)}' cannot name a parameter"
        notes.error("bad-parameter", message, parameter.line, parameter.column, length=len(name) + 4, hint=hint)
        return False
    if not _SNAKE.fullmatch(name):
        message = f"'{name}' is not in snake_case, as names of parameters are"
        notes.warning("param-name", message, parameter.line, parameter.column, hint=f"write '{wanted}'")
    return True


def _referred(parameter: Parameter, known: dict[str, Parameter]) -> tuple[str, ...]:
    if not isinstance(parameter.default, str):
        return ()
    return tuple(dict.fromkeys(name for name in PLACEHOLDER.findall(parameter.default) if name in known))


def _check_clashes(parameters: tuple[Parameter, ...], notes: SopProblems) -> None:
    """Two names that become one environment variable are an error, as in every workflow."""
    first: dict[str, str] = {}
    for parameter in parameters:
        variable = variable_name(parameter.name)
        if variable in first:
            message = f"'{first[variable]}' and '{parameter.name}' would both be the environment variable {variable}"
            notes.error("input-clash", message, parameter.line, parameter.column, hint="rename one of the two")
        first.setdefault(variable, parameter.name)


def _check_cycles(parameters: tuple[Parameter, ...], notes: SopProblems) -> None:
    from ion.language.graph import find_cycles

    by_name = {parameter.name: parameter for parameter in parameters}
    for cycle in find_cycles({parameter.name: parameter.refers_to for parameter in parameters}):
        names = " → ".join([*cycle[:20], cycle[0]])
        place = by_name[cycle[0]]
        message = f"these defaults refer to each other: {names}"
        notes.error("default-cycle", message, place.line, place.column, hint="give one of them a value of its own")


def _check_order(parameters: tuple[Parameter, ...], notes: SopProblems) -> None:
    optional = ""
    for parameter in parameters:
        if not parameter.required:
            optional = optional or parameter.name
        elif optional:
            message = f"'{parameter.name}' is required and comes after '{optional}', which is optional"
            notes.warning("order", message, parameter.line, parameter.column, hint="list required parameters first")
            return
