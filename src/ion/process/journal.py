"""Which programs a run started: one line each, so that the next owner of the run can end what a dead Ion left.

There is one file for all programs of a run. It is only appended to and never synced: a new file for each program would
cost more than everything else that Ion does to start it. A line stays when its program has ended. The start time in it
tells the program from another process that has the same number by now.

If several processes work for one run, each has its own register, named after the process.
"""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

from ion import procfs


def write_down(register: Path, pid: int, identity: str | None) -> None:
    """Append a program. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(register, flags, 0o600)
    except FileNotFoundError:
        register.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(register, flags, 0o600)
    try:
        os.write(descriptor, f"{pid} {identity or ''}\n".encode())
    finally:
        os.close(descriptor)


def end_recorded(register: Path) -> int:
    """Kill the groups of the programs in `register` that still live, and empty it. Returns how many there were.

    Invalid lines are skipped (the last one may be torn).
    """
    try:
        lines = register.read_bytes().decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return 0
    ended = 0
    for line in lines:
        number, _, identity = line.partition(" ")
        if number.isdecimal() and identity and procfs.identity(int(number)) == identity:
            signal_group(int(number), signal.SIGKILL)
            ended += 1
    register.unlink(missing_ok=True)
    return ended


def register_here(run: Path) -> Path:
    """The register of the calling process for the run with this folder."""
    return run / "workers" / f"{os.getpid()}.{_place()}.{procfs.identity(os.getpid()) or ''}".replace(":", ".")


def end_recorded_by_the_dead(registers: Path) -> int:
    """Kill what processes that are dead by now had started and recorded in this folder. Returns how many there were.

    Those of another machine, boot or container cannot be judged from here, and are left alone.
    """
    ended = 0
    for register in registers.glob(f"*.{_place()}.*"):
        number, _, identity = register.name.replace(f".{_place()}.", " ").partition(" ")
        alive = (procfs.identity(int(number)) or "").replace(":", ".") if number.isdecimal() else identity
        if identity and identity != alive:
            ended += end_recorded(register)
    return ended


def _place() -> str:
    """Where process numbers mean the same: this machine, and its process-number namespace."""
    return hashlib.sha256(f"{os.uname().nodename}\n{procfs.namespace('pid')}".encode()).hexdigest()[:12]


def signal_group(group: int, number: int) -> bool:
    """Whether the group had a member that may be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
