"""Events as JSON lines, as `ion events` prints them and `ion run --events` while it runs. Times are ISO-8601 in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ion.cli import terminal
from ion.engine.event_log import event_object

if TYPE_CHECKING:
    from ion.core.events import Recorded
    from ion.core.state import RunState

__all__ = ["EventLines", "event_object"]


class EventLines:
    """An observer that prints each event to stdout. When nobody reads any more it falls silent, and the run goes on."""

    wants_lines = False

    def __init__(self) -> None:
        self._silent = False

    def event(self, run_id: str, recorded: Recorded, _state: RunState) -> None:
        if self._silent:
            return
        try:
            terminal.write_json(event_object(run_id, recorded), indent=None)
        except BrokenPipeError:
            self._silent = True
            terminal.discard_stdout()

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Not an event."""
