"""The values of `ion run`'s options: inputs, texts and stubs, some of them in files. Each raises `UsageError` with what
was asked and what to write instead."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from ion.errors import UsageError
from ion.foreign import loads

# The longest text that is taken from one file or from stdin, in bytes; the longest line of MCP and ACP too.
LONGEST = 64 * 1024 * 1024


def read_inputs(pairs: Iterable[str], file: str | None) -> dict[str, Any]:
    """The inputs of `--inputs FILE` with those of `--input k=v` over them; `k=@file` takes a file's text."""
    inputs = _read_object(file) if file is not None else {}
    given: dict[str, str] = {}
    for pair in pairs:
        name, value = split_pair("--input", pair)
        if name in given:
            raise UsageError(f"--input {name} was given twice")
        given[name] = read_text(value)
    return {**inputs, **given}


def read_stubs(pairs: Iterable[str]) -> dict[str, str]:
    """The stubs of `--stub NODE=TEXT`."""
    return dict(split_pair("--stub", pair) for pair in pairs)


def split_pair(option: str, pair: str) -> tuple[str, str]:
    """`name=value` in two."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} takes NAME=VALUE, not {pair!r}", hint=f"as in: {option} {name or 'name'}=value")
    return name, value


def read_text(value: str) -> str:
    """The text itself, or all of that in the file of `@file`."""
    if not value.startswith("@"):
        return value
    try:
        return _decode(_read(value[1:]), value[1:])
    except UsageError as error:
        error.hint = error.hint or "@ takes a file's text; a text that begins with @ can be given with --inputs"
        raise


def read_answer(file: str) -> str:
    """The text of a file, or of stdin for `-`, less one final end of line (as a program's output, language.md §6)."""
    return _decode(_read(file), file).removesuffix("\n")


def _read_object(file: str) -> dict[str, Any]:
    text = _decode(_read(file), file)
    try:
        value = loads(text)
    except ValueError as error:
        raise UsageError(f"--inputs {file} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"--inputs {file} must hold a JSON object", hint='as in: {"name": "value"}')
    return value


def _read(file: str) -> bytes:
    """The bytes of a file, or of stdin for `-`: at most `LONGEST`, so that /dev/zero fills no memory."""
    try:
        if file != "-":
            with Path(file).open("rb") as stream:
                return _bounded(stream, f"the file {file}")
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return _bounded(sys.stdin.buffer, "stdin")
    except OSError as error:
        raise UsageError(f"the file {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"the file {file!r} cannot be read: {error}") from None


def _bounded(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise UsageError(f"{name} is longer than {LONGEST:,} bytes", hint="put it into a file, and give its path")
    return data


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{'stdin' if file == '-' else file} is not UTF-8 text (at byte {error.start})") from None
