"""A stream that is written by a thread of its own: a stopped terminal (Ctrl-S), or a slow reader of a pipe,
holds up the lines and not the run, whose lease would end meanwhile.

While somebody is asked something here (`stand`), what else is written keeps off the line on which they type: it is
printed below, and the prompt once more below that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from ion.cli.terminal import Stream


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
