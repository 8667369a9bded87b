"""What was read in the output of an agent's program, what follows from it, and what every parser needs for that.

An error gets its code only from structure (a field, a status), never from words: words change, and a model can be made
to say them. `conclude` decides: the agent has succeeded only if the program exited with 0, a result was found, and the
output does not call it an error.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field

from ion.agents.base import AgentError, PromptResult
from ion.foreign import decoder, loads
from ion.masking import head, tail

_SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}", re.ASCII)
_MESSAGE_CHARACTERS = 2000
_MOST = 10**15
# How many values over several lines are looked for: each that is none costs the length of the text.
_LONG_VALUES_TRIED = 20


class Printed(Struct, frozen=True, gc=False):
    """What a program printed, and its exit status."""

    stdout: bytes
    stderr: bytes = b""
    status: int | None = None


class Reading(Struct, frozen=True, gc=False):
    """What was found. `text` None: no result. `error` is (code, message) if the output itself reports a failure; the
    code is '' if it does not say which. `notes` as in `PromptResult`. `total` is what the session has used in all, as
    far as the output says, or may be what this turn alone did (`counting`). `resets_at` as in `AgentError`."""

    text: str | None = None
    session: str | None = None
    structured: Any = None
    usage: Mapping[str, float] = field(default_factory=dict)
    error: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    total: Mapping[str, float] = field(default_factory=dict)
    resets_at: int | None = None

    @property
    def session_total(self) -> dict[str, Any]:
        """The total with its session, for the next turn in it."""
        return {"session": self.session, **self.total} if self.session is not None and self.total else {}


Parser: TypeAlias = Callable[[Printed], Reading]


def conclude(reading: Reading, status: int | None, said: str, name: str) -> PromptResult:
    """The result, if it is one. `status` is the exit status (None: none), `said` the end of what the program wrote
    to people. Raises `AgentError`."""
    usage, total = dict(reading.usage), reading.session_total
    if reading.error is not None:
        code, message = reading.error
        raise AgentError(
            code or "crashed",
            _failure(name, status, message or said),
            usage=usage,
            session_total=total,
            resets_at=reading.resets_at,
        )
    if status != 0:
        code = "not_found" if status == 127 else "crashed"
        raise AgentError(code, _failure(name, status, said), usage=usage, session_total=total)
    if reading.text is None:
        message = _failure(name, 0, said, "ended well but gave no result")
        raise AgentError("bad_output", message, usage=usage, session_total=total)
    return PromptResult(reading.text, reading.session, reading.structured, usage, reading.notes, total)


def _failure(name: str, status: int | None, what: str, how: str = "failed") -> str:
    exit_ = f" [exit {status}]" if status else ""
    text = tail(what.strip(), _MESSAGE_CHARACTERS)
    return f"agent {name} {how}{exit_}" + (f": {text}" if text else "")


def refused_calls(names: Iterable[str]) -> tuple[str, ...]:
    """The note that tool calls were refused, with the names of the tools; empty if none were."""
    counts = Counter(names)
    if not counts:
        return ()
    listed = ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())
    return (f"not done, since its permissions refused it: {head(listed, _MESSAGE_CHARACTERS)}",)


def json_value(data: bytes) -> Any:
    """The JSON value of these bytes, or None."""
    try:
        return loads(data.strip() or b"null")
    except ValueError:
        return None


def json_values(data: bytes) -> Iterator[Any]:
    """The JSON values of an output: all of it, else each that begins a line. Lines of a log may stand between them."""
    try:
        yield loads(data.strip() or b"null")
        return
    except ValueError:
        text = data.decode("utf-8", "replace")
    position = tries = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position : end if end >= 0 else len(text)]
        position += len(line) + 1
        if not line.startswith(("{", "[")):
            continue
        value = json_value(line.encode())
        if value is None and tries < _LONG_VALUES_TRIED:
            tries += 1
            with contextlib.suppress(ValueError, RecursionError):
                _, after = decoder().raw_decode(text, position - len(line) - 1)
                value = loads(text[position - len(line) - 1 : after])
                position = after
        if value is not None:
            yield value


def json_objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of an output, those of a list that is all of it included."""
    for value in json_values(data):
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


def at_pointer(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901), or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}|-1", name, re.ASCII):
            index = int(name)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def session_id(value: Any) -> str | None:
    """An id that may go back onto a command line: no leading dash, and only characters of ids."""
    return value if isinstance(value, str) and _SESSION.fullmatch(value) else None


def http_code(status: Any) -> str:
    """The error code of an HTTP status, '' if it says nothing."""
    if status in (401, 403):
        return "not_logged_in"
    if status == 404:  # a model that does not exist
        return "refused"
    return "rate_limited" if status in (429, 529) else ""


def message_of(error: Any) -> str:
    if isinstance(error, dict):
        found = error.get("message")
        return found if isinstance(found, str) else head(json.dumps(error, ensure_ascii=False), _MESSAGE_CHARACTERS)
    return error if isinstance(error, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def amounts(values: dict[str, Any]) -> dict[str, float]:
    """Those that are amounts: numbers that can be summed, whatever else is in an output."""
    return {name: value for name, value in values.items() if is_amount(value)}


def is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


def total_of(*values: Any) -> float | None:
    found = [value for value in values if is_amount(value)]
    return sum(found) if found else None


def added(total: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    return amounts({**total, **{name: total.get(name, 0) + amount for name, amount in more.items()}})
