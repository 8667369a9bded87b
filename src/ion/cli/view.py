"""How a run is shown while it goes on: as a live tree, line by line, as JSON lines, or not at all; and whether the
person at the terminal is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ion.cli import terminal
from ion.cli.terminal import Screen
from ion.records import dataclass, field

if TYPE_CHECKING:
    from ion.api.runs import StartedRun
    from ion.api.workspace import Workspace
    from ion.cli.asking import Asker
    from ion.cli.behind import Behind
    from ion.cli.live import Live
    from ion.cli.place import Place
    from ion.engine.observe import Observer


@dataclass(frozen=True)
class Manner:
    """What the command line says of it."""

    as_json: bool = False
    events: bool = False
    quiet: bool = False
    plain: bool = False
    log: str | None = None
    notify: str | None = None
    otel: bool = False


@dataclass
class View:
    """The observers of a run, and what begins and ends with its drive. `closing` are those that
    are to be told of the end."""

    screen: Screen
    observers: tuple[Observer, ...] = ()
    live: Live | None = None
    asker: Asker | None = None
    behind: Behind | None = None
    closing: list[Any] = field(default_factory=list)

    def begin(self, started: StartedRun) -> None:
        """The drive of this run begins."""
        if self.live is not None:
            self.live.begin(started.workflow, started.logs)
            self.live.resume()

    def end(self) -> None:
        """Nothing is drawn any more, and what was to be written is."""
        if self.live is not None:
            self.live.pause()
        if self.behind is not None:
            self.behind.finish()
        for observer in self.closing:
            observer.close()


def open_view(workspace: Workspace, place: Place | None, manner: Manner) -> View:
    """The view for this command line and these streams. Without a place no commands are shown (a dry run)."""
    view = _shown(workspace, place, manner)
    if place is not None:
        view.closing = list(_watchers(workspace, manner))
        view.observers = (*view.observers, *view.closing)
    return view


def _shown(workspace: Workspace, place: Place | None, manner: Manner) -> View:
    screen = terminal.talk()
    if manner.events:
        from ion.cli.event_lines import EventLines

        return View(screen, (EventLines(),))
    if manner.quiet:
        return View(screen)
    view = _live(screen, place) if place is not None and not manner.plain and draws(screen) else None
    if view is None:
        view = _lines(screen, place)
    if place is not None and not manner.as_json:
        _ask(view, workspace)
    return view


def _watchers(workspace: Workspace, manner: Manner) -> Iterator[Any]:
    """Those that the command line or the settings want besides. Raises `UsageError` for one that cannot be had."""
    from ion.cli import hiding

    settings = workspace.settings
    log = manner.log or settings.log
    if log:
        from ion.engine.event_log import EventLog

        yield EventLog(_log_path(workspace, log, given=manner.log is not None), hiding.masked_json)
    notify = manner.notify or settings.notify
    if notify:
        from ion.engine.notifying import Notify

        yield Notify(notify, workspace.project, hiding.masked_json)
    if manner.otel or settings.otel:
        from ion.engine.tracing import Tracing

        yield Tracing()


def _log_path(workspace: Workspace, log: bool | str, *, given: bool) -> Callable[[str], Path]:
    """A file for all runs, relative to where it was named, or one in each run's folder."""
    if isinstance(log, str):
        path = Path(log).expanduser() if given else workspace.project / Path(log).expanduser()
        return lambda _run_id: path
    return lambda run_id: workspace.data / "runs" / run_id / "events.jsonl"


def draws(screen: Screen) -> bool:
    """Whether the stream is a terminal on which one can draw."""
    return (
        terminal.is_terminal(screen.stream)
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
        and not os.environ.get("CI")
    )


def _lines(screen: Screen, place: Place | None) -> View:
    from ion.cli.behind import Behind
    from ion.cli.plain import Plain

    behind = None
    if screen.stream is not None:
        behind = Behind(screen.stream)
        screen = replace(screen, stream=behind)
    return View(screen, (Plain(screen, place),), behind=behind)


def _live(screen: Screen, place: Place) -> View:
    from ion.cli.behind import Behind
    from ion.cli.live import Live

    assert screen.stream is not None, "`draws` has looked at it"
    behind = Behind(screen.stream)
    screen = replace(screen, stream=behind)
    live = Live(screen, behind, place)
    return View(screen, (live,), live, behind=behind)


@contextmanager
def live_view(workspace: Workspace, place: Place, run_id: str) -> Iterator[Live]:
    """A live view of a run that another process drives, drawn while this lasts."""
    from ion.api.reading import logs_folder, read_frozen, read_state

    view = _live(terminal.talk(), place)
    live = view.live
    assert live is not None
    live.begin(read_frozen(workspace, run_id, read_state(workspace, run_id)), logs_folder(workspace, run_id))
    live.resume()
    try:
        yield live
    finally:
        view.end()


def _ask(view: View, workspace: Workspace) -> None:
    from ion.cli.asking import Asker, person_present

    if view.behind is None or not person_present():
        return
    live = view.live
    pause, resume = (live.pause, live.resume) if live is not None else (_nothing, _nothing)
    view.asker = Asker(workspace, view.screen, view.behind, pause, resume)
    view.observers = (*view.observers, view.asker)


def _nothing() -> None:
    """There is nothing on the screen to make room on."""
