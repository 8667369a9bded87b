"""What a dead owner of a run left running: found again by what it wrote down, and by the run's name in environments.

A process's number and start time go unsynced into the run's register right after it was started, so this costs no
commit; on Linux the environment closes the gap between the start and that file. A number that means another process by
now is never touched, nor is the caller or anything that it descends from.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ion.process.register import end_recorded

_PROC = Path("/proc")


def end_left_behind(register: Path, run_id: str, artifacts: Path) -> int:
    """Kill what a dead owner left of a run; gives how many groups and processes there were.

    `register` is the run's (`register.py`). Every process of the run has `ION_RUN_ID` and, as `ARTIFACTS_DIR`, the
    folder `artifacts` in its environment: a run of another project may have the same id.
    """
    ended = end_recorded(register)
    spared = _ancestors(os.getpid())
    for pid in _of_run(os.fsencode(f"ION_RUN_ID={run_id}"), artifacts):
        if pid not in spared:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended


def _of_run(entry: bytes, artifacts: Path) -> list[int]:
    if not _PROC.is_dir():
        return []
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                entries = (folder / "environ").read_bytes().split(b"\0")
                if entry in entries and _has_folder(entries, artifacts):
                    found.append(int(folder.name))
    return found


def _has_folder(entries: list[bytes], artifacts: Path) -> bool:
    """Whether this environment names that folder, by whatever path. Raises `OSError` if there is none."""
    named = [entry.partition(b"=")[2] for entry in entries if entry.startswith(b"ARTIFACTS_DIR=")]
    return any(artifacts.samefile(os.fsdecode(path)) for path in named)


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
