"""Starting a run as a command line asks for it, in this process or in the one behind `--detach`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ion.cli import terminal
from ion.views.masking import hide_run

if TYPE_CHECKING:
    from ion import Observer
    from ion.api.clusters import ClusterRun
    from ion.api.preparing import RunSpec
    from ion.api.runs import StartedRun
    from ion.api.workspace import Workspace


def start(workspace: Workspace, spec: RunSpec, observers: tuple[Observer, ...]) -> StartedRun | ClusterRun:
    """Create the run in the store, owned by this process or by a cluster. Raises what `ion.api.runs.start` raises."""
    from ion.api import runs

    options = replace(spec.options, observers=observers)
    started = runs.start(workspace, replace(spec, options=options))
    hide_run(workspace, started.run_id)
    return started


def say(warned: str, notes: Iterable[str] = ()) -> None:
    """That the workflow's file has warnings, which no --quiet hides, and what else is worth a look."""
    screen = terminal.talk()
    if warned:
        screen.line(("warning", warned))
    screen.lines(f"note: {note}" for note in notes)
