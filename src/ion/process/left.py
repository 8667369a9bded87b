"""What a dead owner of a run left running: found again by what it wrote down, and by the run's name in environments.

A process's number and start time go unsynced into a file beside its log right after it was started, so this costs no
commit; on Linux the environment closes the gap between the start and that file. A number that means another process by
now is never touched, nor is the caller or anything that it descends from.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ion.process.child import end_recorded

_PROC = Path("/proc")


def end_left_behind(logs: Path, entry: str) -> int:
    """Kill what a dead owner left of a run; gives how many groups and processes there were.

    `logs` is the folder of the run's logs, `entry` what every process of the run has in its environment
    (`ION_RUN_ID=…`).
    """
    recorded = [file.with_suffix("") for file in logs.glob("*/*.pid")]
    ended = sum(end_recorded(log) for log in recorded)
    spared = _ancestors(os.getpid())
    for pid in _with_environment(entry.encode()):
        if pid not in spared:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended


def _with_environment(entry: bytes) -> list[int]:
    if not _PROC.is_dir():
        return []
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
        except OSError:
            break
        pid = int(text[text.rindex(")") + 2 :].split()[1])
    return found
