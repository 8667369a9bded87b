"""What the system says about processes: what a number stands for, who is related, who still lives.

The system reuses process numbers, so a process is identified by its number and an identity (boot and start time). Only
Linux provides this; elsewhere identities and relatives are unknown, and the process group has to be enough.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_DEAD = frozenset("ZXx")
# Whether the clock and /proc said the same of the first process that both were asked about; empty before.
_agreed: list[bool] = []


class Stat(NamedTuple):
    """The fields of `/proc/PID/stat` (proc(5)) that matter here. `start` is in clock ticks since the boot."""

    state: str
    parent: int
    group: int
    session: int
    start: str

    @property
    def lives(self) -> bool:
        """It is not a zombie."""
        return self.state not in _DEAD


def identity(pid: int) -> str | None:
    """What distinguishes this process from any other with its number; None if it does not exist, is a zombie, or
    without /proc."""
    row = stat(pid)
    return f"{boot()}:{row.start}" if row is not None and row.lives else None


def ticks() -> int | None:
    """The time since the boot in the unit of start times, None on a system without that clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime_ns(clock) // _tick_ns()


def born(pid: int, after: int | None, before: int | None) -> str | None:
    """The identity of a process that was started between two moments (`ticks`).

    If both are the same tick it is known without reading /proc, if this clock is the one that /proc shows: of the first
    process both are compared.
    """
    if after is None or after != before or _agreed == [False]:
        return identity(pid)
    told = f"{boot()}:{after}"
    if _agreed:
        return told
    seen = identity(pid)
    if seen is not None:
        _agreed.append(seen == told)
    return seen


@cache
def _tick_ns() -> int:
    return 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def relatives(leader: int) -> dict[int, str]:
    """The living members of the leader's session and its descendants, each with its identity."""
    rows = stats()
    children: dict[int, list[int]] = {}
    for pid, row in rows.items():
        children.setdefault(row.parent, []).append(pid)
    found = {pid for pid, row in rows.items() if row.session == leader}
    open_ends = [leader, *found]
    while open_ends:
        fresh = [child for child in children.get(open_ends.pop(), ()) if child not in found]
        found.update(fresh)
        open_ends.extend(fresh)
    living = (pid for pid in found - {leader} if rows[pid].lives)
    return {pid: f"{boot()}:{rows[pid].start}" for pid in living}


def group_lives(group: int) -> bool:
    """Whether a process group has a member that is not a zombie. Without /proc: True, ask with a signal."""
    rows = stats()
    return not rows or any(row.group == group and row.lives for row in rows.values())


def stats() -> dict[int, Stat]:
    """What there is about all processes."""
    return {pid: row for pid in pids() if (row := stat(pid)) is not None}


def pids() -> set[int]:
    """The numbers of all processes; none without /proc."""
    return {int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()} if _PROC.is_dir() else set()


def stat(pid: int) -> Stat | None:
    """The entry of a process; None if it does not exist, or without /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  (read for each of many)
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[3]), fields[19])


def environment(pid: int) -> list[bytes]:
    """The entries of the environment that it was started with; none if it is not there, or not ours to see."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def ancestors(pid: int) -> set[int]:
    """This process and all that it descends from."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        row = stat(pid)
        pid = 0 if row is None else row.parent
    return found


def namespace(kind: str) -> str:
    """In which space of numbers or of time (`pid`, `time`) this process is: a container has its own. '' if unknown."""
    try:
        return os.readlink(f"/proc/self/ns/{kind}")  # noqa: PTH115  (the link names no path)
    except OSError:
        return ""


@cache
def boot() -> str:
    """The id of this boot of this kernel; '' if unknown."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
