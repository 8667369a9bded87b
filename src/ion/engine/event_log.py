"""An observer that writes each event as a JSON line into a file, for log collectors.

It is a copy: the store's log is the authority. Lines are appended as they come and not synced. A new file is readable
by its owner only, like everything that Ion keeps of runs; the owner decides who else may read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ion import codec
from ion.core.events import Recorded
from ion.core.state import RunState
from ion.foreign import dumps

_TIMES = ("at", "due_at", "owned_until", "until", "resets_at")


def event_object(run_id: str, recorded: Recorded) -> dict[str, Any]:
    """One event with its run and number; times are ISO-8601 in UTC."""
    fields = codec.to_json(recorded.event)
    fields |= fields.pop("reply", {})
    if "error" in fields:
        fields["error"] = {"hint": "", **fields["error"]}
    for holder, name in ((one, name) for one in (fields, fields.get("error", {})) for name in _TIMES):
        if name in holder:
            moment = datetime.fromtimestamp(holder[name] / 1000, UTC)
            holder[name] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"run_id": run_id, "seq": recorded.seq, **fields}


class EventLog:
    """Appends to the file that `path_of` returns for a run. `shown` masks an event."""

    wants_lines = False

    def __init__(self, path_of: Callable[[str], Path], shown: Callable[[Any], Any] = lambda event: event) -> None:
        self._path_of = path_of
        self._shown = shown
        self._files: dict[str, TextIO] = {}

    def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:  # noqa: ARG002
        file = self._files.get(run_id)
        if file is None:
            path = self._path_of(run_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            file = self._files[run_id] = os.fdopen(descriptor, "a", encoding="ascii", buffering=1)
        file.write(dumps(self._shown(event_object(run_id, recorded))) + "\n")

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Progress is not an event."""

    def close(self) -> None:
        """Release the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
