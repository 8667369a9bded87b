"""What the programs of a run wrote: which program, which stream, which start of its node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.api import reading

if TYPE_CHECKING:
    from ion.api.workspace import Workspace

_STREAMS = {".out": "stdout", ".err": "stderr"}


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


def log_files(workspace: Workspace, run_id: str, node: str | None = None) -> list[LogFile]:
    """What the programs of a run (or of one node) wrote, oldest first; files that are empty are left out."""
    return [LogFile.of(path) for path in reading.log_files(workspace, run_id, node) if path.stat().st_size]
