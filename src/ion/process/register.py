"""Which programs a run started: a line for each, so that whoever takes the run over can end what a dead Ion left.

One file for all programs of a run, only ever appended to and never synced: a new file for each program would cost more
than everything else that Ion does to start it. A line stays when its program has ended. Its start time guards against
a number that means another process by now.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ion.process import table


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
    """Kill the groups of the programs in `register` that still live, and begin it anew; how many there were.

    Lines that mean nothing (the last one may be torn) are passed over.
    """
    try:
        lines = register.read_bytes().decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return 0
    ended = 0
    for line in lines:
        number, _, identity = line.partition(" ")
        if number.isdecimal() and identity and table.identity(int(number)) == identity:
            signal_group(int(number), signal.SIGKILL)
            ended += 1
    register.unlink(missing_ok=True)
    return ended


def signal_group(group: int, number: int) -> bool:
    """Whether there was somebody in the group that may be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
