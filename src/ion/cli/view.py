"""How a run is shown while it is running: as a live tree, line by line, as JSON lines, or not at all; and whether the
person at the terminal is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ion.api.watchers import watchers
from ion.cli import terminal
from ion.cli.terminal import Screen
from ion.views import masking
from ion.views.waiting import labels_of

if TYPE_CHECKING:
    from ion import Observer, Workflow
    from ion.api.runs import StartedRun
    from ion.api.watchers import Watcher
    from ion.api.workspace import Workspace
    from ion.cli.asking import Asker
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.context import CliContext
    from ion.cli.live import Live


class OutputOptions(Struct, frozen=True):
    """What the command line says of it."""

    as_json: bool = False
    events: bool = False
    quiet: bool = False
    plain: bool = False
    log: str | None = None
    notify: str | None = None
    otel: bool = False


class View(Struct, dict=True):
    """The observers of a run, and what begins and ends with its drive. `closing` are those that
    are to be told of the end."""

    screen: Screen
    observers: tuple[Observer, ...] = ()
    live: Live | None = None
    asker: Asker | None = None
    writer: BackgroundWriter | None = None
    closing: list[Watcher] = field(default_factory=list)

    def begin(self, started: StartedRun) -> None:
        """The drive of this run begins."""
        self.show(started.workflow, started.logs)

    def show(self, workflow: Workflow | None, logs: Path) -> None:
        """A run of this workflow is shown from here on."""
        if self.asker is not None:
            self.asker.labels = labels_of(workflow)
        if self.live is not None:
            self.live.begin(workflow, logs)
            self.live.resume()

    def end(self) -> None:
        """Nothing is drawn any more, and what was to be written is."""
        if self.live is not None:
            self.live.pause()
        if self.writer is not None:
            self.writer.finish()
        for observer in self.closing:
            observer.close()


def open_view(workspace: Workspace, cli: CliContext | None, output_options: OutputOptions) -> View:
    """The view for this command line and these streams. `cli` None: no commands are shown (a dry run)."""
    view = _shown(workspace, cli, output_options)
    if cli is not None:
        log, notify, otel = output_options.log, output_options.notify, output_options.otel
        view.closing = [*watchers(workspace, log=log, notify=notify, otel=otel, shown=masking.masked_json)]
        view.observers = (*view.observers, *view.closing)
    return view


def _shown(workspace: Workspace, cli: CliContext | None, output_options: OutputOptions) -> View:
    screen = terminal.talk()
    if output_options.events:
        from ion.cli.events import EventLines

        return View(screen, (EventLines(),))
    if output_options.quiet:
        return View(screen)
    view = _live(screen, cli) if cli is not None and not output_options.plain and draws(screen) else None
    if view is None:
        view = _lines(screen, cli)
    if cli is not None and not output_options.as_json:
        _ask(view, workspace, cli)
    return view


def draws(screen: Screen) -> bool:
    """Whether the stream is a terminal on which one can draw."""
    return (
        terminal.is_terminal(screen.stream)
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
        and not os.environ.get("CI")
    )


def _lines(screen: Screen, cli: CliContext | None) -> View:
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.plain import Plain

    writer = None
    if screen.stream is not None:
        writer = BackgroundWriter(screen.stream)
        screen = screen.through(writer)
    return View(screen, (Plain(screen, cli),), writer=writer)


def _live(screen: Screen, cli: CliContext) -> View:
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.live import Live

    assert screen.stream is not None, "`draws` has looked at it"
    writer = BackgroundWriter(screen.stream)
    screen = screen.through(writer)
    live = Live(screen, writer, cli)
    return View(screen, (live,), live, writer=writer)


def open_watching(workspace: Workspace, cli: CliContext, run_id: str, *, plain: bool) -> View:
    """The view of somebody who only watches a run that another process drives. Lines go to stdout, since they are what
    was asked for; whoever reads them there is asked as well, if that is a person."""
    from ion.api.reading import logs_folder, read_frozen, read_state

    on_terminal = terminal.is_terminal(terminal.data().stream)
    if not plain and draws(terminal.talk()) and on_terminal:
        view = _live(terminal.talk(), cli)
        view.show(read_frozen(workspace, run_id, read_state(workspace, run_id)), logs_folder(workspace, run_id))
    else:
        view = _lines(terminal.data(), cli)
    if on_terminal:
        _ask(view, workspace, cli)
    return view


def _ask(view: View, workspace: Workspace, cli: CliContext) -> None:
    from ion.cli.asking import Asker, person_present

    if view.writer is None or not person_present():
        return
    if view.live is None:
        view.asker = Asker(workspace, view.screen, view.writer, _nothing, _nothing)
    else:
        from ion.cli.meanwhile import Meanwhile

        meanwhile = Meanwhile(view.screen, view.writer, cli)
        view.asker = Asker(workspace, view.screen, view.writer, view.live.pause, view.live.resume, meanwhile)
        view.observers = (*view.observers, meanwhile)
    view.observers = (*view.observers, view.asker)


def _nothing() -> None:
    """There is nothing on the screen to make room on."""
