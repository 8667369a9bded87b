"""What bash's builtins do with their arguments beyond taking them as text: names, arithmetic, declarations.

bash evaluates a value in one of these places, however well it is quoted, so the reference there is an error of the
file, or its value is checked before bash starts (facts tried on bash 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from ion.language.shell import parts
from ion.language.shell.code import examine_code
from ion.language.shell.parts import ShellCommand, ShellFindings, Spot, Word

DECLARES = frozenset({"declare", "typeset", "local", "export", "readonly"})

_QUOTED_ASSIGNMENT = re.compile(r"[\"']([A-Za-z_][A-Za-z0-9_]*)\+?=")
# The options of a builtin that take a text: a value may be attached to them.
_OPTION_VALUES = {
    **dict.fromkeys(DECLARES, "-"),
    **dict.fromkeys(("printf", "wait", "unset"), "-"),
    **dict.fromkeys(("mapfile", "readarray"), "dnOsuc"),
    "read": "dinNptu",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BEFORE_OPERATORS = frozenset({"!", "-a", "-o", "(", "\\(", "'('", '"("'})
_BINARY = re.compile(r"=|==|!=|<|>|-[a-z]{2}|-a|-o|\)")
_EVALUATED_VARIABLES = frozenset({"PS4", "BASH_ENV", "PROMPT_COMMAND", "ENV"})


def examine(command: ShellCommand, notes: ShellFindings) -> None:
    """Record what a simple command says about its variables and its references."""
    for word in command.assignments:
        _note_value(word, word.name, notes)
        _need_numbers(word)
    words = _without_prefix(command.words)
    if words and words[0].braces:
        _misplace(words[0].spots, "braces that make a command of several words", notes)
    name = words[0].literal if words else None
    if name is None:
        return
    if name in DECLARES or name in _HANDLERS:
        _refuse_options(name, words[1:], notes)
    if name in DECLARES:
        _declare(name, words[1:], notes)
    elif name in _HANDLERS:
        _HANDLERS[name](words[1:], command, notes)
    examine_code(command, words, notes)


def _refuse_options(name: str, arguments: list[Word], notes: ShellFindings) -> None:
    """A value must not become an option, or several words, of a builtin whose options name variables."""
    if name == "printf":
        arguments = arguments[: len(arguments) - len(_options(arguments, "v")[1]) + 1]
    for word in arguments:
        if word.raw == "--":
            break
        if word.braces and not word.name:
            _misplace(word.spots, f"braces that make several arguments of {name}", notes)
        values = _OPTION_VALUES.get(name)
        if word.spots and values is not None and re.match(rf"[\"']*-(?![a-zA-Z]*[{values}])", word.raw):
            _misplace(word.spots, f"an option of {name}", notes)


def _need_numbers(word: Word) -> None:
    """`name=([…]=…)`: only after `declare -A` in the same command is a subscript certainly not arithmetic."""
    for spot in word.keys:
        spot.need(parts.INTEGER, f"a subscript of {word.name}=(…)")


def _without_prefix(words: list[Word]) -> list[Word]:
    """The words after `builtin` and `command`, which change nothing about arguments."""
    while words and words[0].raw in ("builtin", "command") and len(words) > 1 and not words[1].raw.startswith("-"):
        words = words[1:]
    return words


def _note_value(word: Word, name: str, notes: ShellFindings) -> None:
    """`name=value`: its references go into the variable; a value that is one reference alone makes it a copy."""
    notes.written.add(name)
    if not word.spots:
        return
    notes.assigned.append((name, word.spots))
    if name in _EVALUATED_VARIABLES:
        notes.code.append((word.spots, "shell", f"{name}="))
    spot = word.spots[0]
    value = word.raw[word.value - word.start :].strip("\"'")
    if len(word.spots) == 1 and len(value) == spot.found.end - spot.found.start:
        notes.copies.append((name, spot))


def _misplace(spots: list[Spot], what: str, notes: ShellFindings, hint: str = "") -> None:
    for spot in spots:
        notes.misplaced.append((spot, what, hint))


def _declare(name: str, arguments: list[Word], notes: ShellFindings) -> None:
    """`-n` is the nameref of `declare`, but takes the attribute away in `export`."""
    flags = ""
    for word in arguments:
        quoted = _QUOTED_ASSIGNMENT.match(word.raw)
        if word.name:
            _declare_value(name, flags, word, word.name, notes)
        elif quoted:
            _declare_value(name, flags, word, quoted[1], notes)
        elif word.spots:
            _misplace(word.spots, f"the name of a variable, after {name}", notes)
        elif word.raw.startswith("-"):
            flags += word.raw[1:] if name not in ("export", "readonly") else word.raw[1:].replace("n", "")
        elif plain := _NAME.fullmatch(word.literal or ""):
            _declare_name(flags, plain[0], notes)
            if "n" in flags:
                notes.untied.add(plain[0])


def _declare_name(flags: str, name: str, notes: ShellFindings) -> None:
    if "n" in flags:
        notes.references.add(name)
    if "i" in flags:
        notes.integers.add(name)
    if "A" in flags:
        notes.maps.add(name)
    if "a" in flags or "A" in flags:
        notes.arrays.add(name)


def _declare_value(builtin: str, flags: str, word: Word, name: str, notes: ShellFindings) -> None:
    _declare_name(flags, name, notes)
    _note_value(word, name, notes)
    if "A" not in flags:
        _need_numbers(word)
    texts = [spot for spot in word.spots if spot.at >= word.value]
    if word.raw.startswith(f"{name}["):
        keys = [spot for spot in word.spots if spot.at < word.value]
        _misplace(keys, f"a subscript in an argument of {builtin}", notes, "assign the element without it")
    if "n" in flags:
        _misplace(texts, "the name of a variable, of a nameref", notes)
    elif "a" in flags or "A" in flags:
        hint = f"bash evaluates it; write {name}=({_shown(texts)}) for one element" if texts else ""
        _misplace(texts, f"the text of an array, after {builtin} -{flags}", notes, hint)
    elif builtin not in ("export", "readonly"):
        notes.redeclared.append((name, texts))


def _shown(spots: list[Spot]) -> str:
    from ion.language.references import reference_text

    return reference_text(spots[0].found.reference)


def _options(arguments: list[Word], with_value: str) -> tuple[list[tuple[str, Word]], list[Word]]:
    """The options of a builtin that take a value, and its operands. An attached value (`-vx`) is the option's word."""
    options: list[tuple[str, Word]] = []
    index = 0
    while index < len(arguments):
        raw = arguments[index].raw
        if raw == "--":
            return options, arguments[index + 1 :]
        if not raw.startswith("-") or raw == "-":
            return options, arguments[index:]
        letter = next((i for i, c in enumerate(raw) if i and c in with_value), 0)
        if letter and letter < len(raw) - 1:
            options.append((raw[letter], arguments[index]))
        elif letter and index + 1 < len(arguments):
            index += 1
            options.append((raw[letter], arguments[index]))
        index += 1
    return options, []


def _names(words: list[Word], what: str, notes: ShellFindings) -> list[str]:
    """Words that are names of variables: references are not allowed there. Returns the names that are plain."""
    for word in words:
        _misplace(word.spots, f"the name of a variable, {what}", notes)
    names = [word.raw.partition("[")[0] for word in words if not word.spots]
    notes.written.update(names)
    return names


def _read(arguments: list[Word], command: ShellCommand, notes: ShellFindings) -> None:
    options, operands = _options(arguments, "adinNptu")
    arrays = _names([word for letter, word in options if letter == "a"], "of read -a", notes)
    notes.arrays.update(arrays)
    for name in arrays + _names(operands, "of read", notes):
        notes.assigned.extend((name, spots) for spots in command.inputs)


def _mapfile(arguments: list[Word], command: ShellCommand, notes: ShellFindings) -> None:
    options, operands = _options(arguments, "dnOsuCc")
    for name in _names(operands, "of mapfile", notes):
        notes.arrays.add(name)
        notes.assigned.extend((name, spots) for spots in command.inputs)
    for letter, word in options:
        if letter == "C" and word.spots:
            notes.code.append((word.spots, "shell", "mapfile -C"))


def _printf(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    options, operands = _options(arguments, "v")
    for name in _names([word for _, word in options], "of printf -v", notes):
        notes.assigned.extend((name, word.spots) for word in operands if word.spots)
    _end_options(arguments, operands, notes)


def _wait(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    options, operands = _options(arguments, "p")
    _names([word for _, word in options], "of wait -p", notes)
    _end_options(arguments, operands, notes)


def _end_options(arguments: list[Word], operands: list[Word], notes: ShellFindings) -> None:
    """A first operand that is a value, such as `-vx`, would be an option without a `--` before it."""
    if operands and operands[0].spots and not any(word.raw == "--" for word in arguments):
        notes.edits.append((operands[0].origin, operands[0].origin, "-- "))


def _unset(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    _names([word for word in arguments if not word.raw.startswith("-")], "of unset", notes)


def _getopts(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    _names(arguments[1:2], "of getopts", notes)


def _test(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    arguments = [word for word in arguments if word.raw != "]"]
    for before, word in pairwise(arguments):
        if before.raw in ("-v", "-R"):
            _misplace(word.spots, f"the name of a variable, after {before.raw}", notes)
    while arguments and arguments[0].raw == "!":
        arguments = arguments[1:]
    for index, (word, following) in enumerate(pairwise(arguments)):
        opens = index == 0 or arguments[index - 1].raw in _BEFORE_OPERATORS
        variable = following.literal is None and not following.spots and len(arguments) == 3
        if word.spots and opens and not (variable or _BINARY.fullmatch(following.literal or "")):
            _misplace(word.spots, "the operator of a test", notes)


def _let(arguments: list[Word], _command: ShellCommand, notes: ShellFindings) -> None:
    for word in arguments:
        notes.arithmetic.append(word.raw)
        for spot in word.spots:
            spot.need(parts.INTEGER, "let")


_HANDLERS: dict[str, Callable[[list[Word], ShellCommand, ShellFindings], None]] = {
    "read": _read,
    "mapfile": _mapfile,
    "readarray": _mapfile,
    "printf": _printf,
    "wait": _wait,
    "unset": _unset,
    "getopts": _getopts,
    "test": _test,
    "[": _test,
    "let": _let,
}
