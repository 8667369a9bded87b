"""Observers receive every event once it is durable, and lines of progress. They cannot fail a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from ion.core.events import Recorded
from ion.core.state import RunState

_log = logging.getLogger("ion")


class Observer(Protocol):
    """Someone who watches a run. Both methods are called in the thread of the engine and must be quick.

    With `wants_lines = False` an observer receives the steps of agents, but not each line that a program writes.
    """

    def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:
        """An event is in the log. `state` is the state after the whole append it came with; do not keep it."""

    def progress(self, run_id: str, node: str, line: str) -> None:
        """A running node reported something: a line that its bash or script wrote, a step of its agent. Untrusted
        text, at most 4 KiB."""


class Observers:
    """Several observers as one. An observer that raises is removed, with a warning in the log."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)

    def events(self, run_id: str, recorded: Iterable[Recorded], state: RunState) -> None:
        if not self._observers:
            return
        for item in recorded:
            for observer in tuple(self._observers):
                try:
                    observer.event(run_id, item, state)
                except Exception:  # noqa: BLE001 an observer cannot fail a run
                    self._leave_out(observer)

    @property
    def want_lines(self) -> bool:
        """Whether any of them wants the lines of programs."""
        return any(map(_wants_lines, self._observers))

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Pass it to all of them."""
        self._say(self._observers, run_id, node, line)

    def lines(self, run_id: str, node: str, line: str) -> None:
        """Pass it to those that want the lines of programs."""
        self._say(filter(_wants_lines, self._observers), run_id, node, line)

    def _say(self, observers: Iterable[Observer], run_id: str, node: str, line: str) -> None:
        for observer in tuple(observers):
            try:
                observer.progress(run_id, node, line)
            except Exception:  # noqa: BLE001 an observer cannot fail a run
                self._leave_out(observer)

    def _leave_out(self, observer: Observer) -> None:
        self._observers.remove(observer)
        _log.warning("the observer %s failed and is left out", type(observer).__name__, exc_info=True)


def _wants_lines(observer: Observer) -> bool:
    return getattr(observer, "wants_lines", True)
