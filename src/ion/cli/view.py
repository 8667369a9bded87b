"""Starting a run, and how it is shown while it is running: as a live tree, line by line, as JSON lines, or not at all;
and whether the person at the terminal is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from ion.api.watchers import event_object, watchers
from ion.cli import terminal
from ion.cli.terminal import Screen
from ion.views import masking
from ion.views.waiting import labels_of

if TYPE_CHECKING:
    from ion import Observer, Recorded, Run, RunSpec, RunState, Workflow
    from ion.api.clusters import ClusterRun
    from ion.api.runs import StartedRun
    from ion.api.watchers import Watcher
    from ion.api.workspace import Workspace
    from ion.cli.asking import Asker
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.context import CliContext, OutputOptions
    from ion.cli.live import Live


class View(Struct, dict=True):
    """The observers of a run, and what begins and ends with its drive. `closing` are those that
    are to be told of the end; `patience_ms` is how long waits may take."""

    screen: Screen
    observers: tuple[Observer, ...] = ()
    live: Live | None = None
    asker: Asker | None = None
    writer: BackgroundWriter | None = None
    patience_ms: int | None = None
    closing: list[Watcher] = field(default_factory=list)

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


class EventLines:
    """An observer that prints each event to stdout. When stdout is closed it stops printing, and the run continues."""

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


def start(workspace: Workspace, spec: RunSpec, observers: tuple[Observer, ...]) -> StartedRun | ClusterRun:
    """Create the run in the store, owned by this process or by a cluster. Raises what `ion.api.runs.start` raises."""
    from ion.api import runs

    started = runs.start(workspace, replace(spec, options=replace(spec.options, observers=observers)))
    masking.hide_run(workspace, started.run_id)
    return started


def open_view(workspace: Workspace, cli: CliContext | None, output: OutputOptions) -> View:
    """The view for this command line and these streams. `cli` None: no commands are shown (a dry run)."""
    view = _shown(workspace, cli, output)
    view.patience_ms = output.patience_ms
    if cli is not None:
        log, notify, otel = output.log, output.notify, output.otel
        view.closing = [*watchers(workspace, log=log, notify=notify, otel=otel, shown=masking.masked_json)]
        view.observers = (*view.observers, *view.closing)
    return view


def _shown(workspace: Workspace, cli: CliContext | None, output: OutputOptions) -> View:
    screen = terminal.talk()
    if output.events:
        return View(screen, (EventLines(),))
    if output.quiet:
        return View(screen)
    view = _on(screen, cli, live=cli is not None and not output.plain and draws(screen))
    if cli is not None and not output.as_json:
        _ask(view, workspace, cli)
    return view


def draws(screen: Screen) -> bool:
    """Whether the stream is a terminal on which one can draw."""
    return (
        terminal.is_terminal(screen.stream)
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
        and not os.environ.get("CI")
    )


def _on(screen: Screen, cli: CliContext | None, *, live: bool) -> View:
    """The view as a tree (`live`) or as lines, written in the background."""
    from ion.cli.background_writer import BackgroundWriter
    from ion.cli.plain import Plain

    if screen.stream is None:
        return View(screen, (Plain(screen, cli),))
    writer = BackgroundWriter(screen.stream)
    screen = screen.through(writer)
    if not live:
        return View(screen, (Plain(screen, cli),), writer=writer)
    from ion.cli.live import Live

    tree = Live(screen, writer, cli)
    return View(screen, (tree,), tree, writer=writer)


def open_watching(run: Run, cli: CliContext, *, plain: bool) -> View:
    """The view of somebody who only watches a run that another process drives. Lines go to stdout, since they are what
    was asked for; whoever reads them there is asked as well, if that is a person."""
    from ion.api.reading import logs_folder

    on_terminal = terminal.is_terminal(terminal.data().stream)
    if not plain and draws(terminal.talk()) and on_terminal:
        view = _on(terminal.talk(), cli, live=True)
        view.show(run.workflow(), logs_folder(run.workspace, run.run_id))
    else:
        view = _on(terminal.data(), cli, live=False)
    if on_terminal:
        _ask(view, run.workspace, cli)
    return view


def _ask(view: View, workspace: Workspace, cli: CliContext) -> None:
    from ion.cli.asking import Asker, person_present

    if view.writer is None or not person_present():
        return
    if view.live is None:
        view.asker = Asker(workspace, view.screen, view.writer, _nothing, _nothing)
    else:
        from ion.cli.background_writer import Meanwhile

        meanwhile = Meanwhile(view.screen, view.writer, cli)
        view.asker = Asker(workspace, view.screen, view.writer, view.live.pause, view.live.resume, meanwhile)
        view.observers = (*view.observers, meanwhile)
    view.observers = (*view.observers, view.asker)


def _nothing() -> None:
    """There is nothing on the screen to make room on."""
