"""A stream that is written by a thread of its own: a stopped terminal (Ctrl-S), or a slow reader of a pipe,
holds up the lines and not the run, whose lease would end meanwhile.

While somebody is asked something here (`stand`), what else is written keeps off the line on which they type: it is
printed below, and the prompt once more below that.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ion.cli.plain import Plain
from ion.cli.terminal import Screen, Stream
from ion.views.text import cut

if TYPE_CHECKING:
    from ion import RunState
    from ion import events as e
    from ion.cli.context import CliContext

# Of what happens while somebody types, the last so many lines are shown.
LINES = 3
_SAVE, _RESTORE, _ERASE_BELOW = "\x1b7", "\x1b8", "\x1b[J"
_NEXT_LINE = "\r\x1b[B\x1b[K"


class BackgroundWriter:
    """Text goes to `stream` in order, a little later. Once the stream is gone, writing raises `BrokenPipeError`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._turns: SimpleQueue[str | Callable[[], object] | None] = SimpleQueue()
        self._gone = False
        self._prompt = ""
        self._hidden = False
        self._thread = threading.Thread(target=self._work, name="ion-lines", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        if self._gone:
            raise BrokenPipeError
        self._turns.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread flushes."""

    def then(self, act: Callable[[], object]) -> None:
        """Have the thread do this once all that was written so far is out; what is written later waits for it."""
        self._turns.put(act)

    def stand(self, prompt: str) -> None:
        """Write the prompt at which a person types, and keep it the last thing on the screen. '': nobody types any
        more."""
        self.then(lambda: self._stand(prompt))

    def finish(self) -> None:
        """Wait until all is written; nothing is written afterwards."""
        self._turns.put(None)
        self._thread.join()

    # ------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        while (turn := self._turns.get()) is not None:
            if not isinstance(turn, str):
                turn()
            elif self._prompt and not self._hidden:
                self._hidden = True
                self._put(f"\n{turn}")
            else:
                self._put(turn)
            if self._hidden and self._turns.empty():
                self._hidden = False
                self._put(self._prompt)

    def _stand(self, prompt: str) -> None:
        self._prompt, self._hidden = prompt, False
        self._put(prompt)

    def _put(self, text: str) -> None:
        if self._gone:
            return
        try:
            self._stream.write(text)
            if self._turns.empty() or not text.endswith("\n"):
                self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._gone = True


class Meanwhile:
    """What happens in a run while a person is asked something: its last lines, below the one on which they type. The
    tree comes back, with all of this in it, once the question is over.

    An observer: its lines are those of `Plain`, and it is the stream that `Plain` writes them to.
    """

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
        self._plain.progress(run_id, node, line)

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
