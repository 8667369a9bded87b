"""The limits of one turn of an agent: wall clock, and time since it last gave a sign of life. Both stop while a person
decides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any


class Clock:
    """Starts when it is made. Times are in ms; None: no limit."""

    def __init__(self, timeout_ms: int | None, idle_timeout_ms: int | None) -> None:
        self._timeout_ms = timeout_ms
        self._idle_ms = idle_timeout_ms
        self._started = self._last = time.monotonic()
        self._asking = 0
        self._stopped_at = 0.0

    def seconds_left(self) -> float | None:
        """Seconds until the wall-clock limit."""
        return None if self._timeout_ms is None else self._started + self._timeout_ms / 1000 - time.monotonic()

    def alive(self) -> None:
        """The agent gave a sign of life."""
        self._last = time.monotonic()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the clock while a person decides; several may at once."""
        if not self._asking:
            self._stopped_at = time.monotonic()
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._started += time.monotonic() - self._stopped_at
                self._last = time.monotonic()

    async def overdue(self, *events: asyncio.Future[Any]) -> str:
        """Wait for one of the events. Returns '', or the limit that was exceeded first, in words."""
        while True:
            passed, wait = self._look()
            if passed:
                return passed
            await asyncio.wait(events, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if any(event.done() for event in events):
                return ""

    def _look(self) -> tuple[str, float | None]:
        """The limit that is exceeded, or how long until one may be."""
        now = time.monotonic()
        if self._asking:
            return "", 1.0
        left = []
        if self._timeout_ms is not None:
            left.append(self._started + self._timeout_ms / 1000 - now)
            if left[-1] <= 0:
                return f"timed out after {self._timeout_ms} ms", None
        if self._idle_ms is not None:
            left.append(self._last + self._idle_ms / 1000 - now)
            if left[-1] <= 0:
                return f"said nothing for {self._idle_ms} ms", None
        return "", min(left, default=None)
