"""Between a program's lines and the SDK: whatever the program writes, only what the SDK can handle reaches it.

The SDK runs every notification as a task of its own, logs tracebacks for what it does not know, and closes the
connection for a line that is JSON but not an object. So updates are taken out here, in the order in which they come;
requests other than the known ones are refused here; and meaningless lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ion.foreign import loads
from ion.masking import head
from ion.process.stdio import LineError, StdioProcess

# No message of an agent is longer; it would have to be held in memory several times.
LONGEST_LINE = 64 * 1024 * 1024
_UNKNOWN_METHOD = -32601


class Wire:
    """A transport of the SDK over a program. `notify` gets each notification's method and parameters at once;
    requests of the agent are passed on only if their method is in `answered`."""

    def __init__(self, stdio: StdioProcess, notify: Callable[[str, Any], None], answered: frozenset[str]) -> None:
        self._stdio = stdio
        self._notify = notify
        self._answered = answered
        self.problem = ""
        self.ended = False

    async def receive(self) -> dict[str, Any] | None:
        """The next message for the SDK; None at the end. Never raises, since the SDK would log that."""
        try:
            while (line := await self._stdio.read_line()) is not None:
                message = _message(line)
                if message is not None and await self._is_for_sdk(message):
                    return message
        except LineError as error:
            self.problem = error.message
        except OSError as error:
            self.problem = f"it cannot be read: {error}"
        self.ended = True
        return None

    async def _is_for_sdk(self, message: dict[str, Any]) -> bool:
        method = message.get("method")
        if method is None:
            return True
        if "id" not in message:
            self._notify(method, message.get("params"))
            return False
        if method in self._answered:
            return True
        error = {"code": _UNKNOWN_METHOD, "message": "Method not found", "data": {"method": method}}
        await self.send({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return False

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message. Raises `ConnectionError` for a request that cannot be delivered; an answer is silently
        lost."""
        # Halves of surrogate pairs and what is no JSON become something that is: the SDK would log a traceback.
        line = json.dumps(message, separators=(",", ":"), default=str) + "\n"
        try:
            await self._stdio.write(line.encode("utf-8", "replace"))
        except OSError as error:
            if "method" in message:
                raise ConnectionError("nobody reads any more") from error

    async def close(self) -> None:
        """Nothing to close: the end of the program closes everything."""


def _message(line: bytes) -> dict[str, Any] | None:
    """A JSON-RPC message; None for a line that is not one."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    method, number = message.get("method"), message.get("id")
    if not isinstance(method, str | None) or not isinstance(number, str | int | None):
        return None
    if method is None and not isinstance(message.get("error", {}), dict):
        message["error"] = {"code": 0, "message": head(str(message["error"]), 1000)}
    return message
