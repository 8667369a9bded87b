"""Who else watches a run: a file that takes its events, a command that is notified, spans of OpenTelemetry; as a
command line or the settings want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ion.engine.event_log import event_object
from ion.engine.observe import Observer

if TYPE_CHECKING:
    from ion.api.workspace import Workspace

__all__ = ["Watcher", "event_object", "watchers"]


class Watcher(Observer, Protocol):
    """An observer that is told when the run is not driven any more."""

    def close(self) -> None: ...


def watchers(
    workspace: Workspace, *, log: str | None, notify: str | None, otel: bool, shown: Callable[[Any], Any]
) -> Iterator[Watcher]:
    """Those that the command line (`log`, `notify`, `otel`) or the settings want. `shown` masks what they are given.
    Raises `UsageError` for one that cannot be had."""
    settings = workspace.settings
    file = log or settings.log
    if file:
        from ion.engine.event_log import EventLog

        yield EventLog(_log_path(workspace, file, given=log is not None), shown)
    command = notify or settings.notify
    if command:
        from ion.engine.notifying import Notify

        yield Notify(command, workspace.project, shown)
    if otel or settings.otel:
        from ion.engine.tracing import Tracing

        yield Tracing()


def _log_path(workspace: Workspace, log: bool | str, *, given: bool) -> Callable[[str], Path]:
    """A file for all runs, relative to where it was named, or one in each run's folder."""
    if isinstance(log, str):
        path = Path(log).expanduser() if given else workspace.project / Path(log).expanduser()
        return lambda _run_id: path
    return lambda run_id: workspace.data / "runs" / run_id / "events.jsonl"
