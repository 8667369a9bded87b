"""What the system says about processes: what a number stands for, who is related, who still lives.

The system reuses process numbers, so a process is identified by its number and an identity (boot and start time). Only
Linux provides this; elsewhere there are no identities and no relatives, and the process group has to be enough.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_DEAD = frozenset("ZX")
# Whether the clock and /proc said the same of the first process that both were asked about; empty before.
_agreed: list[bool] = []


class _Row(NamedTuple):
    """The fields of `/proc/PID/stat` (proc(5)) that matter here. `start` is in clock ticks since the boot."""

    state: str
    parent: int
    group: int
    session: int
    start: str


def identity(pid: int) -> str | None:
    """What distinguishes this process from any other with its number; None if it does not exist, is a zombie, or
    without /proc."""
    row = _row(pid)
    return f"{_boot()}:{row.start}" if row is not None and row.state not in _DEAD else None


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
    told = f"{_boot()}:{after}"
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
    rows = _rows()
    children: dict[int, list[int]] = {}
    for pid, row in rows.items():
        children.setdefault(row.parent, []).append(pid)
    found = {pid for pid, row in rows.items() if row.session == leader}
    open_ends = [leader, *found]
    while open_ends:
        fresh = [child for child in children.get(open_ends.pop(), ()) if child not in found]
        found.update(fresh)
        open_ends.extend(fresh)
    living = (pid for pid in found - {leader} if rows[pid].state not in _DEAD)
    return {pid: f"{_boot()}:{rows[pid].start}" for pid in living}


def group_lives(group: int) -> bool:
    """Whether a process group has a member that is not a zombie. Without /proc: True, ask with a signal."""
    rows = _rows()
    return not rows or any(row.group == group and row.state not in _DEAD for row in rows.values())


def _rows() -> dict[int, _Row]:
    if not _PROC.is_dir():
        return {}
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return {pid: row for pid in pids if (row := _row(pid)) is not None}


def _row(pid: int) -> _Row | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  (read for each of many)
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return _Row(fields[0], int(fields[1]), int(fields[2]), int(fields[3]), fields[19])


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
