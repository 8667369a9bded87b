"""A stream that is written by a thread of its own: whoever holds the terminal (Ctrl-S), or reads a pipe too slowly,
holds up the lines and not the run, whose lease would end meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from ion.cli.terminal import Stream


class Behind:
    """Text goes to `stream` in order, a little later. Once the stream is gone, writing raises `BrokenPipeError`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._turns: SimpleQueue[str | Callable[[], object] | None] = SimpleQueue()
        self._gone = False
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

    def finish(self) -> None:
        """Wait until all is written; nothing is written afterwards."""
        self._turns.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (turn := self._turns.get()) is not None:
            if not isinstance(turn, str):
                turn()
            elif not self._gone:
                self._put(turn)

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            if self._turns.empty() or not text.endswith("\n"):
                self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._gone = True
