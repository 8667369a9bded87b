"""Following a run: its events, each with the state after it; and what its programs wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.api import reading
from ion.api.reading import follow_events, read_new_events
from ion.core.fold import apply
from ion.core.state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ion import Observer, Run
    from ion.api.workspace import Workspace
    from ion.core.events import Recorded


class Follower:
    """Where one reader is in the log of a run: what it has seen, and the state after that."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.state = RunState()
        self.after = 0

    def catch_up(self, observers: Iterable[Observer]) -> None:
        """Show these observers the events that are there already."""
        self.show(self._run.events(), observers)

    def look(self) -> tuple[bool, list[Recorded]]:
        """Whether somebody alive drives the run, and what is new; `show` it before the next look."""
        return read_new_events(self._run.workspace, self._run.run_id, self.after)

    def follow(self, observers: Iterable[Observer]) -> None:
        """Show what comes until no living process drives the run."""
        for recorded in follow_events(self._run.workspace, self._run.run_id, after=self.after):
            self.show([recorded], observers)

    def show(self, events: Iterable[Recorded], observers: Iterable[Observer]) -> None:
        """Show these events, which follow on what was seen so far."""
        for recorded in events:
            apply(self.state, recorded.event)
            self.after = recorded.seq
            for observer in observers:
                observer.event(self._run.run_id, recorded, self.state)


def follow(run: Run, observers: Iterable[Observer], *, from_start: bool) -> None:
    """Show the events of a run until no living process drives it; `from_start`: also those that are there already."""
    follower = Follower(run)
    follower.catch_up(observers if from_start else ())
    follower.follow(observers)


class LogFile(Struct, frozen=True):
    """What one program wrote to one stream. `start` counts the node's starts, from 1."""

    path: Path
    node: str
    start: int
    turn: str
    stream: str

    @classmethod
    def of(cls, path: Path) -> LogFile:
        """From its path, `NODE/START-TURN.out` or `.err` (nodes/base.py, `log_name`)."""
        start, _, turn = path.stem.partition("-")
        return cls(path, path.parent.name, int(start), turn, "stderr" if path.suffix == ".err" else "stdout")

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


def log_files(workspace: Workspace, run_id: str, node: str | None = None) -> list[LogFile]:
    """What the programs of a run (or of one node) wrote, oldest first; files that are empty are left out."""
    return [LogFile.of(path) for path in reading.log_files(workspace, run_id, node) if path.stat().st_size]
