"""What is due at some time, the first of it first. Everything in a run that waits for a time is in one of these."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator

from ion.core.instances import Instance, Position


class Timers:
    """Times by the instances that wait for them. `due_of` says which times an instance of this address waits for now:
    what was set for another time is forgotten."""

    def __init__(self, due_of: Callable[[str], Collection[int]]) -> None:
        self._due_of = due_of
        self._heap: list[tuple[int, Position, str]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def __iter__(self) -> Iterator[str]:
        """The addresses of all, in no order."""
        return iter([address for due, _, address in self._heap if due in self._due_of(address)])

    def set(self, due: int, instance: Instance) -> None:
        heapq.heappush(self._heap, (due, instance.place, instance.address))

    def next(self) -> tuple[int, str] | None:
        """The first of all: when, and of which instance."""
        while self._heap:
            due, _, address = self._heap[0]
            if due in self._due_of(address):
                return due, address
            heapq.heappop(self._heap)
        return None

    def take(self, at: int) -> list[str]:
        """Those that are due by this time, each once."""
        found: dict[str, None] = {}
        while (due := self.next()) is not None and due[0] <= at:
            found[due[1]] = None
            heapq.heappop(self._heap)
        return list(found)
