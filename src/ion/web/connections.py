"""How many connections are open at once, and how long one may take to say what it wants: many that say nothing, or
say it byte by byte, must not keep a person from the page."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 128
REQUEST_SECONDS = 10


class LimitedConnection(H11Protocol):
    """A connection that is closed if a request does not come whole in time. Of too many, the one that has waited for
    the longest time without a request is closed; if all have one, the new one is."""

    most = MOST
    request_seconds: float = REQUEST_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit: asyncio.TimerHandle | None = None
        self.began = self.loop.time()
        self._wait()
        # One that was told to end counts no longer; it leaves `connections` a little later.
        opened = [one for one in self.connections if isinstance(one, LimitedConnection) and not one.is_ending]
        if len(opened) > self.most:
            idle = [one for one in opened if not one.is_asked]
            min(idle, key=lambda one: one.began, default=self).transport.abort()

    @property
    def is_ending(self) -> bool:
        return bool(self.transport.is_closing())

    @property
    def is_asked(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def handle_events(self) -> None:
        super().handle_events()
        if self.is_asked:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._limit = self.loop.call_later(self.request_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """A WebSocket is not offered; nothing is said on the terminal because a stranger asked for one."""


def limited(most: int = MOST, request_seconds: float = REQUEST_SECONDS) -> type[LimitedConnection]:
    """The protocol with these limits."""
    values: dict[str, Any] = {"most": most, "request_seconds": request_seconds}
    return type("LimitedConnection", (LimitedConnection,), values)
