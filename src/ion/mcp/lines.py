"""The server's ends of stdin and stdout, and what stands between the client's lines and the SDK.

Every request gets an answer: the SDK drops a line that it cannot read, and the client waits forever. So each line is
read here first, by the one rule for text from outside (`ion.foreign`), and passed on in a form that the SDK takes. One
that cannot be passed on is answered with a JSON-RPC error, with the id of the call if it can be found.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, BinaryIO

from ion.foreign import loads

# The longest message; of a longer one no more is kept in memory.
LONGEST_LINE = 64 * 1024 * 1024
# A JSON text, or a part of one: strings (the last may be cut off), what opens and closes, and all between. Nothing is
# looked at twice.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]|[^"{}\[\]]++', re.DOTALL)
_NUMBER = re.compile(r"\s*:\s*(-?[0-9]{1,18})\s*,?\s*")


def take_stdin() -> BinaryIO:
    """Take over the client's end of stdin; descriptor 0, which programs could inherit, is empty from here on."""
    ours = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Not closed at the end: a thread may still wait for a line from it.
    return os.fdopen(ours, "rb", closefd=False)


def take_stdout() -> BinaryIO:
    """Take over the client's end of stdout; whatever else writes to descriptor 1 writes to stderr from here on."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "wb", 0, closefd=False)


class Answers:
    """The server's messages, for the SDK. The answer to a request with the id `unsaid` is not passed on."""

    def __init__(self, stream: BinaryIO, unsaid: str) -> None:
        self._stream = stream
        self._unsaid = f'"id":{json.dumps(unsaid)},'

    async def write(self, text: str) -> None:
        from anyio.to_thread import run_sync

        if self._unsaid and self._unsaid in text[:200]:
            self._unsaid = ""
        else:
            await run_sync(write_all, self._stream, text.encode("utf-8", "replace"))

    async def flush(self) -> None:
        """Nothing is held back."""


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write all of it, to a pipe that may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


class MessageLines:
    """The client's messages, one JSON text each, for the SDK: those that were read already, and all that follow.
    `refuse` receives what must be answered at once."""

    def __init__(self, stream: BinaryIO, read: Iterable[bytes]) -> None:
        self._stream = stream
        self._read = read
        self.refuse: Callable[[dict[str, Any]], Any] | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        from anyio.to_thread import run_sync

        before = iter(self._read)
        while line := next(before, b"") or await run_sync(self._stream.readline, LONGEST_LINE):
            message, refused = read_message(line)
            if _is_cut(line):
                await run_sync(self._pass_over)
            if message is not None:
                yield message
            elif refused is not None and self.refuse is not None:
                await self.refuse(refused)

    def _pass_over(self) -> None:
        """Skip the rest of this line."""
        while _is_cut(self._stream.readline(LONGEST_LINE)):
            pass


def _is_cut(line: bytes) -> bool:
    return len(line) == LONGEST_LINE and not line.endswith(b"\n")


def read_message(line: bytes) -> tuple[str | None, dict[str, Any] | None]:
    """The message for the SDK, or the answer to an invalid one; neither if it needs no answer."""
    import mcp_types as types

    if not line.strip():
        return None, None
    try:
        if _is_cut(line):
            raise ValueError(f"it is longer than {LONGEST_LINE >> 20} MiB")
        value = loads(line)
    except ValueError as error:
        number = _number_in(line.decode("utf-8", "replace"))
        return None, _refusal(number, types.PARSE_ERROR, f"the message is not JSON that Ion reads: {error}")
    if not isinstance(value, dict):
        return None, _refusal(None, types.INVALID_REQUEST, "the message is not a JSON object")
    message = json.dumps(value)
    if "id" in value and not (isinstance(value["id"], str | int) and not isinstance(value["id"], bool)):
        return None, _refusal(None, types.INVALID_REQUEST, "the id of the message is not a text or a whole number")
    try:
        types.jsonrpc_message_adapter.validate_json(message, by_name=False)
    except ValueError:
        if "method" not in value and ("result" in value or "error" in value):
            return None, None  # an answer, to nothing that was asked
        if "method" in value and "id" not in value:
            return None, None  # a notification
        return None, _refusal(value.get("id"), types.INVALID_REQUEST, "the message is not a request of JSON-RPC 2.0")
    return message, None


def _refusal(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _number_in(text: str) -> str | int | None:
    """The `id` of the outermost object of a text that cannot be read as JSON."""
    depth, before = 0, ""
    for match in _TOKENS.finditer(text):
        piece = match[0]
        depth += (piece in "{[") - (piece in "}]")
        if depth == 1 and before == '"id"' and (number := _NUMBER.match(piece)):
            return int(number[1])
        if depth == 1 and before == '"id":' and piece.startswith('"'):
            return _text_of(piece)
        before = '"id":' if before == '"id"' and piece.strip() == ":" else piece
    return None


def _text_of(piece: str) -> str | None:
    try:
        return str(loads(piece))
    except ValueError:  # cut off, or what is wrong with the whole
        return None
