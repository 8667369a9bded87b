"""What happens in a run while a person is asked something: its last lines, below the one on which they type.

The tree is not drawn meanwhile, since it would draw over what is typed; it comes back, with all of this in it, as soon
as the question is over.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ion.cli.plain import Plain
from ion.cli.terminal import Screen
from ion.views.text import cut

if TYPE_CHECKING:
    from ion import RunState
    from ion import events as e
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.context import CliContext

LINES = 3
_SAVE, _RESTORE, _ERASE_BELOW = "\x1b7", "\x1b8", "\x1b[J"
_NEXT_LINE = "\r\x1b[B\x1b[K"


class Meanwhile:
    """An observer. Its lines are those of `Plain`; it is the stream that `Plain` writes them to."""

    wants_lines = False

    encoding = "utf-8"

    def __init__(self, screen: Screen, writer: BackgroundWriter, cli: CliContext | None) -> None:
        self._screen = screen
        self._writer = writer
        self._lines: deque[str] = deque(maxlen=LINES)
        self._open = False
        self._plain = Plain(screen.through(self, colour=False), cli)

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        self._plain.event(run_id, recorded, state)

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Only events are said."""

    def begin(self) -> None:
        """A new question is put: what happened before it is in the tree."""
        self._lines.clear()

    def open(self, prompt: str) -> None:
        """Make room, and put the prompt above it."""
        self._writer.write("\n" * LINES + f"\x1b[{LINES}A\r{prompt}")
        self._open = True
        self._draw()

    def close(self) -> None:
        """What is written next replaces the lines."""
        self._open = False
        self._writer.write(_ERASE_BELOW)

    def write(self, text: str, /) -> int:
        self._lines += [line for line in text.split("\n") if line]
        self._draw()
        return len(text)

    def flush(self) -> None:
        """Nothing: the drawing is flushed where it is written."""

    def isatty(self) -> bool:
        return True

    def _draw(self) -> None:
        if self._open and self._lines:
            shown = [self._screen.encodable(cut(line, self._screen.width - 1)) for line in self._lines]
            self._writer.write("".join([_SAVE, *(f"{_NEXT_LINE}{line}" for line in shown), _RESTORE]))
