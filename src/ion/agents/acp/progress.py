"""What an agent does, as short lines for whoever watches: tool calls as they start and fail, the state of its plan,
and its thoughts, line by line."""

from __future__ import annotations

from collections.abc import Callable

from ion.agents.acp.protocol import ToolCall, Update

_CHARACTERS = 200


class Progress:
    """The lines of one turn. `say` gets each as it comes; untrusted text, on one line."""

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self._say = say
        self._thought = ""
        self._last = ""

    def show(self, update: Update, call: ToolCall | None) -> None:
        """Report what is new; `call` is the update's tool call with all that is known of it."""
        if update.thought:
            self._think(update.thought)
        elif call is not None and update.tool is not None:
            failed = "failed: " if update.tool.status == "failed" else ""
            if failed or update.tool.title or update.tool.status is None:
                self._line(f"{failed}{call.title or call.kind or 'a tool'}")
        elif update.plan:
            done = sum(status == "completed" for status, _ in update.plan)
            at = next((text for status, text in update.plan if status == "in_progress"), "")
            self._line(f"plan {done}/{len(update.plan)}{': ' if at else ''}{at}")

    def _think(self, text: str) -> None:
        *lines, rest = (self._thought + text).split("\n")
        self._thought = rest[-_CHARACTERS * 4 :]
        for line in lines:
            if line.strip():
                self._line(f"thinks: {line}")

    def _line(self, text: str) -> None:
        line = " ".join(text[: 4 * _CHARACTERS].split())
        line = line if len(line) <= _CHARACTERS else f"{line[: _CHARACTERS - 1]}…"
        if self._say is not None and line and line != self._last:
            self._last = line
            self._say(line)
