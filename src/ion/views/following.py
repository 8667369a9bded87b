"""Following a run: its events, each with the state after it; and what its programs wrote."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.api import reading
from ion.core.fold import apply
from ion.core.state import RunState
from ion.kinds import AGENT_TURNS
from ion.views.waiting import held_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ion import Observer, Run
    from ion.api.workspace import Workspace
    from ion.core.events import Recorded


# How much of a transcript is shown at once.
_STEP_BYTES = 1 << 16


class Follower:
    """Where one reader is in the log of a run: the number of the last event that it has seen, and the state then."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._read: dict[Path, int] = {}
        self.state = RunState()
        self.after = 0

    def show(self, events: Iterable[Recorded], observers: Iterable[Observer]) -> None:
        """Show these events, which follow on what was seen so far."""
        for recorded in events:
            apply(self.state, recorded.event)
            self.after = recorded.seq
            for observer in observers:
                observer.event(self._run_id, recorded, self.state)

    def show_steps(self, logs: Path, observers: Iterable[Observer]) -> None:
        """Show what agents said and did since, by their transcripts under `logs`."""
        for node in self.state.nodes.values():
            if node.status == "running" and node.turn in AGENT_TURNS:
                path = logs / node.id / f"{node.starts}-{node.turn}.txt"
                for line in self._new_lines(path):
                    for observer in observers:
                        observer.progress(self._run_id, node.id, line)

    def _new_lines(self, path: Path) -> list[str]:
        """The lines that were written since and are whole."""
        try:
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                data = stream.read(_STEP_BYTES)
        except OSError:
            return []
        whole = data.rpartition(b"\n")[0] if len(data) < _STEP_BYTES else data
        self._read[path] = self._read.get(path, 0) + len(whole)
        lines = whole.decode("utf-8", "replace").splitlines()
        return [line.removeprefix("> ").strip() for line in lines if line.strip()]


def follow_until_asked(run: Run, observers: Iterable[Observer]) -> None:
    """Show what happens in a run from now on, until no living process drives it or it can do nothing until somebody
    answers."""
    follower = Follower(run.run_id)
    follower.show(run.events(), ())
    alive = True
    while alive:
        alive, found = reading.read_new_events(run.workspace, run.run_id, follower.after)
        follower.show(found, observers)
        if alive and not found:
            if held_up(follower.state):
                return
            time.sleep(reading.POLL_SECONDS)


def follow(run: Run, observers: Iterable[Observer], *, from_start: bool) -> None:
    """Show the events of a run, and what its agents do, until no living process drives it; `from_start`: also the
    events that are there already."""
    follower = Follower(run.run_id)
    follower.show(run.events(), observers if from_start else ())
    logs = reading.logs_folder(run.workspace, run.run_id)
    alive = True
    while alive:
        alive, found = reading.read_new_events(run.workspace, run.run_id, follower.after)
        follower.show(found, observers)
        follower.show_steps(logs, observers)
        if alive:
            time.sleep(reading.POLL_SECONDS)


_STREAMS = {".out": "stdout", ".err": "stderr", ".txt": "transcript"}


class LogFile(Struct, frozen=True):
    """What one program wrote to one stream, or the transcript of an agent. `start` counts the node's starts, from 1."""

    path: Path
    node: str
    start: int
    turn: str
    stream: str

    @classmethod
    def of(cls, path: Path) -> LogFile:
        """From its path, `NODE/START-TURN.out`, `.err` or `.txt` (nodes/base.py, `log_name`)."""
        start, _, turn = path.stem.partition("-")
        return cls(path, path.parent.name, int(start), turn, _STREAMS[path.suffix])

    @property
    def title(self) -> str:
        """`tests, bash, start 2, stderr`."""
        again = [f"start {self.start}"] if self.start > 1 else []
        return ", ".join([self.node, self.turn, *again, self.stream])

    def to_json(self) -> dict[str, Any]:
        """The shape of `ion logs --json`."""
        return {
            "node": self.node,
            "start": self.start,
            "turn": self.turn,
            "stream": self.stream,
            "file": str(self.path),
            "text": self.path.read_bytes().decode("utf-8", "replace"),
        }


def tail(path: Path, most: int) -> tuple[str, int]:
    """The end of a file, at most so many bytes of it, and how long it is; no more of it is read. A text that was cut
    begins with `…`, so that the rest of a secret is known for what it is (`masking`)."""
    with path.open("rb") as stream:
        length = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, length - most))
        data = stream.read(most)
    text = data.decode("utf-8", "replace")
    return (text if length <= most else f"…{text}"), length


def log_files(workspace: Workspace, run_id: str, node: str | None = None, *, raw: bool = False) -> list[LogFile]:
    """What the programs of a run (or of one node) wrote, oldest first; files that are empty are left out."""
    return readable(reading.log_files(workspace, run_id, node), raw=raw)


def readable(paths: Iterable[Path], *, raw: bool = False) -> list[LogFile]:
    """Those of these files that have something to read. The transcript of an agent replaces its stdout, unless it is to
    be `raw`."""
    paths = tuple(paths)
    told = {path.with_suffix(".out") for path in paths if path.suffix == ".txt"}
    shown = [path for path in paths if (path.suffix != ".txt" if raw else path not in told)]
    return [LogFile.of(path) for path in shown if path.stat().st_size]
