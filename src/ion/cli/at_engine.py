"""Following a run that a cluster drives, from the command that started or continued it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from ion.api import reading
from ion.views.following import follow

if TYPE_CHECKING:
    from ion.api.engines import EngineRun
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.view import View

# How long a run may wait for a worker before a message says so.
_PATIENCE_S = 10.0
_LOOK_AGAIN_S = 5.0
_POLL_S = 0.1


def follow_engine_run(workspace: Workspace, started: EngineRun, view: View) -> RunResult:
    """Show what happens in the run from where the cluster has taken it up, until it ends or waits for people."""
    done, run_id = threading.Event(), started.run_id
    before = max(started.after, 1)
    watcher = threading.Thread(target=_say_if_nobody_works, args=(workspace, run_id, before, view, done))
    watcher.start()
    try:
        if view.live is not None:
            state = reading.read_state(workspace, run_id)
            view.live.begin(reading.read_frozen(workspace, run_id, state), reading.logs_folder(workspace, run_id))
            view.live.resume()
        while workspace.store.get_workflow_run(run_id).last_seq <= before:
            time.sleep(_POLL_S)
        follow(workspace, run_id, view.observers, from_start=started.after == 0)
    finally:
        done.set()
        watcher.join()
        view.end()
    return reading.describe(workspace, run_id)


def _say_if_nobody_works(workspace: Workspace, run_id: str, before: int, view: View, done: threading.Event) -> None:
    """Once for the run, and once for each kind of worker that its nodes wait for."""
    if done.wait(_PATIENCE_S):
        return
    state = reading.read_state(workspace, run_id)
    if state.engine is None:
        return
    if workspace.store.get_workflow_run(run_id).last_seq == before:
        view.screen.line(f"No worker has picked up the run yet. One is started by: ion worker --engine {state.engine}")
    from ion.api.engines import missing_workers
    from ion.errors import IonError

    missing = missing_workers(workspace, run_id)
    told: set[str] = set()
    while True:
        with contextlib.suppress(IonError):  # the command itself says it, when it asks the cluster
            for options, node in missing().items():
                if options not in told:
                    told.add(options)
                    command = f"ion worker --engine {state.engine} {options}".rstrip()
                    view.screen.line(f"No worker is free for the node {node}. One is started by: {command}")
        if done.wait(_LOOK_AGAIN_S):
            return
