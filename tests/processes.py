"""What tests ask of the system about processes, and how long they wait for it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# No test waits this long on a machine that works. It is below the limit of a test, so that what did not come is named.
PATIENCE_S = 120.0


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
    """Wait until something holds, however busy the machine is; `seconds` is for sweeps alone."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


async def eventually(condition: Callable[[], Any]) -> None:
    """As `until`, for a test whose event loop has something else to do meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.01)


def written(file: Path) -> str:
    """The first line of a file, once another process has written it whole."""
    until(lambda: file.exists() and "\n" in file.read_text())
    return file.read_text().splitlines()[0]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has reaped yet does not."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")


def with_environment(entry: str) -> list[int]:
    """The live processes that have this `NAME=value` in their environment (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry.encode() in (folder / "environ").read_bytes().split(b"\0") and alive(int(folder.name)):
                found.append(int(folder.name))
        except OSError:
            continue
    return found
