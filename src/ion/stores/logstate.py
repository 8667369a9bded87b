"""What a run's log says up to some byte, kept so that each new write costs only its own reading.

It can be saved beside the log, so that a short command need not read a long log. Such a `row` file is a cache: not
synced, checked, and dropped if it does not belong to this very log. The log alone is believed.

How far the log was acknowledged is in `written`, after each write and not synced either: it may know less than the
log holds, never more. What is missing there is not a torn write, but damage. (Of a copy that was made during the run
`written` may be newer than the log: it says of which file it is.)
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field

from ion.errors import DamagedStoreError, StoreError, UsageError
from ion.stores import encoding, logfile, rules
from ion.stores.base import WorkflowRun
from ion.stores.disk import write_all

_SAVE_EVERY_BYTES = 64 * 1024


class LogState(Struct):
    """The state of one log after its first `end` bytes.

    `head` is the beginning of the log, which tells it from another one under the same name. `run` is the row without
    its owner. `marks` are (number of an event, offset of its write), some of them, in order. Up to `acknowledged` the
    log was whole once.
    """

    run_id: str
    path: Path
    head: bytes
    run: WorkflowRun | None = None
    requests: rules.OpenRequests = field(default_factory=rules.OpenRequests)
    source_check: int = 0
    end: int = 0
    marks: list[tuple[int, int]] = field(default_factory=lambda: [(1, 0)])
    saved_end: int = 0
    acknowledged: int = 0
    unusable: StoreError | None = None

    @property
    def row(self) -> WorkflowRun:
        """Raises `DamagedStoreError` if the log holds no whole write: a run is never made without one."""
        if self.run is None:
            raise logfile.damaged_at(self.path, 0, "the run's start is missing")
        return self.run

    @property
    def next_seq(self) -> int:
        return 1 if self.run is None else self.run.last_seq + 1

    def place_of(self, seq: int) -> tuple[int, int]:
        """Where to begin reading for event `seq`: the number of an event not after it, and its offset."""
        if seq >= self.next_seq:
            return self.next_seq, self.end
        return self.marks[bisect.bisect_right(self.marks, (seq, self.end)) - 1]

    def read_on(self, file: BinaryIO, size: int) -> None:
        """Take in what follows in the first `size` bytes of the log. Raises `DamagedStoreError`."""
        for unit in self.units(file, size, self.next_seq, self.end):
            self.absorb(unit)

    def units(self, file: BinaryIO, size: int, seq: int, start: int) -> Iterator[logfile.Unit]:
        """The writes in the first `size` bytes of the log, from that at `start` on, which begins with event `seq`."""
        return logfile.read_units(file, self.path, start, size, seq, self.acknowledged)

    def absorb(self, unit: logfile.Unit) -> None:
        """Advance by the write that begins at `end`."""
        if self.run is None:
            self.run = self._first_row(unit)
        else:
            self.run = rules.advanced(self.run, unit.events)
        self.requests.apply(unit.events)
        self.end = unit.end
        if unit.end - self.marks[-1][1] >= _SAVE_EVERY_BYTES:
            self.marks.append((self.run.last_seq + 1, unit.end))

    def _first_row(self, unit: logfile.Unit) -> WorkflowRun:
        try:
            self.source_check = unit.extra["source"]
            return rules.first_row(self.run_id, unit.extra["project"], unit.events, None, None)
        except (KeyError, UsageError) as error:
            raise logfile.damaged_at(self.path, unit.start, str(error)) from error

    def note_written(self, descriptor: int) -> None:
        """Record that everything up to `end` is in the log of this descriptor."""
        self.acknowledged = self.end
        line = logfile.checked_line([self.head.hex(), os.fstat(descriptor).st_ino, f"{self.end:015}"])
        with contextlib.suppress(OSError):  # as in `save`
            written = os.open(f"{self.path.parent}/written", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                write_all(written, line)
            finally:
                os.close(written)

    def require_acknowledged(self, file: BinaryIO, size: int) -> None:
        """Read how far the log was acknowledged. Raises `DamagedStoreError` if it is shorter now."""
        inode, end = self._written()
        self.acknowledged = max(end, self.acknowledged)
        if size < end and inode == os.fstat(file.fileno()).st_ino:
            raise logfile.damaged_at(self.path, size, f"it ends here, and was acknowledged up to byte {end}")

    def _written(self) -> tuple[int, int]:
        """The log's inode and its end, as far as they were recorded; (0, 0) if nothing is known."""
        try:
            head, inode, end = logfile.parse_line(self.path.with_name("written").read_bytes())
            return (inode, int(end)) if head == self.head.hex() else (0, 0)
        except (OSError, ValueError, TypeError):
            return 0, 0

    def save(self) -> None:
        """Save now and then, and when the run comes to rest."""
        if self.end - self.saved_end < _SAVE_EVERY_BYTES and self.row.status == "running":
            return
        self.saved_end = self.end
        row = encoding.columns(self.row)
        data = [self.head.hex(), self.end, self.source_check, row, self.requests.node_of]
        temporary = self.path.with_name(".row.tmp")
        with contextlib.suppress(OSError):  # the log has it all; a full disk must not fail a write that is durable
            temporary.write_bytes(logfile.checked_line(data))
            temporary.chmod(0o600)
            temporary.rename(self.path.with_name("row"))

    @classmethod
    def saved(cls, run_id: str, path: Path, head: bytes, size: int) -> LogState | None:
        """What `save` wrote for this log of `size` bytes, None if nothing usable exists.

        It may be ahead of the log in a copy that was made while the run continued.
        """
        try:
            found, end, source_check, row, node_of = logfile.parse_line(path.with_name("row").read_bytes())
            run = encoding.row(row)
            if found != head.hex() or run.run_id != run_id:
                return None
            if end > size:
                return cls(run_id, path, head, acknowledged=end)
            requests = rules.OpenRequests(node_of)
        except (OSError, ValueError, TypeError, DamagedStoreError):
            return None
        return cls(
            run_id=run_id,
            path=path,
            head=head,
            run=run,
            requests=requests,
            source_check=source_check,
            end=end,
            marks=[(1, 0), (run.last_seq + 1, end)],
            saved_end=end,
            acknowledged=end,
        )
