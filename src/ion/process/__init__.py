"""Run one program, whole: its process group from birth to the last survivor.

The program leads a session of its own, reads nothing or a file, and what it writes is streamed to files. Whatever it
leaves in its group is ended with it, and every wait here has an end. `starting` is its birth, `child` one such program
and its group, `relay` the way of its output, `program_file` a file made for it, `journal` what is written down about
it, `procfs` what the system says about processes, `limits` what it gives only so much of."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ion import masking
from ion.errors import IonError
from ion.process.child import LOST, Child, beside, close, end, how_many_live, resolve, spawn
from ion.process.limits import ScarceError, Turnstile, is_scarce
from ion.process.program_file import ProgramFile, create, write_program_file
from ion.process.starting import ProcessSpec, SpawnError
from ion.records import dataclass

__all__ = [
    "Exit",
    "OutputError",
    "ProgramFile",
    "ScarceError",
    "SpawnError",
    "Turnstile",
    "beside",
    "create",
    "how_many_live",
    "is_scarce",
    "run",
    "tail",
    "write_program_file",
]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a program ended: by `status`, or by `signal` (its name). Both None: the status was lost, because the host
    program ignores SIGCHLD. `timed_out` and `idle` say that Ion ended it, and why."""

    status: int | None
    signal: str | None = None
    timed_out: bool = False
    idle: bool = False
    duration_ms: int = 0


class OutputError(IonError):
    """What a program printed could not be kept (a full disk); it was ended."""

    code = "output"


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path | str,
    stdin: bytes | None = None,
    handed: Sequence[ProgramFile] = (),
    register: Path | None = None,
    timeout_ms: int | None = None,
    idle_timeout_ms: int | None = None,
    grace_ms: int = 5000,
    said: Callable[[str], None] | None = None,
) -> Exit:
    """Run `argv` to its end and end whatever it leaves in its group.

    stdout and stderr go to `log` + `.out` and `.err` while it runs; a file that stays empty is not made. The program
    inherits the files in memory `handed`, which are closed here once it has begun, and is written down in `register`
    (see `register.py`). After `timeout_ms`, after `idle_timeout_ms` without a new byte in either, or when the awaiting
    task is cancelled, the group gets SIGTERM, and SIGKILL after `grace_ms`; a second cancellation cuts the grace short.
    `said` is called in the event loop with each line of either as it is written (what is not UTF-8 becomes U+FFFD, of a
    line over 4 KiB its beginning). A process that left both session and family (a double fork with setsid) is out of
    reach. Raises `SpawnError`, `OutputError`, and `ScarceError` if nothing was started and it may work later.
    """
    started = time.monotonic()
    descriptors = [file.descriptor for file in handed if file.descriptor is not None]
    child = spawn(ProcessSpec(argv, cwd, env, log, stdin, descriptors, register, said=said))
    try:
        for file in handed:
            file.close()
        cause = await _wait(child, timeout_ms, idle_timeout_ms)
        await end(child, grace_ms)
    except asyncio.CancelledError:
        await end(child, grace_ms)
        raise
    finally:
        close(child)
    for stream in child.relays:
        if stream.error is not None:
            raise OutputError(f"the output of {argv[0]} cannot be written: {stream.error.strerror}") from stream.error
    status, name = _decode(child.returncode)
    milliseconds = round((time.monotonic() - started) * 1000)
    return Exit(status, name, cause == "timeout", cause == "idle", milliseconds)


def tail(path: Path, limit: int = 2000) -> str:
    """The last `limit` characters of a file as text, as `masking.tail` cuts it; what is not UTF-8 becomes U+FFFD. A
    missing file is ''."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 4 * limit))
            data = stream.read(4 * limit)
    except FileNotFoundError:
        return ""
    text = data.decode("utf-8", "replace")
    return masking.tail(text if size <= len(data) else masking.CUT + text, limit)


async def _wait(child: Child, timeout_ms: int | None, idle_ms: int | None) -> str:
    """Wait for the leader: `exited`, `timeout`, `idle` or `broken`."""
    limit = None if timeout_ms is None else child.loop.call_later(timeout_ms / 1000, resolve, child.over, "timeout")
    if idle_ms is not None:
        _watch_idle(child, idle_ms / 1000, child.written, time.monotonic())
    try:
        return await child.over
    finally:
        if limit is not None:
            limit.cancel()


def _watch_idle(child: Child, idle_s: float, written: int, active: float) -> None:
    """Look now and then whether something was written since; it was `written` bytes at the time `active`."""
    if child.over.done():
        return
    now = time.monotonic()
    if child.written != written:
        written, active = child.written, now
    elif now >= active + idle_s:
        resolve(child.over, "idle")
        return
    pause = min(active + idle_s - now, max(0.02, min(5.0, idle_s / 10)))
    child.loop.call_later(pause, _watch_idle, child, idle_s, written, active)


def _decode(returncode: int | None) -> tuple[int | None, str | None]:
    if returncode is None or returncode == LOST:
        return None, None
    if returncode >= 0:
        return returncode, None
    try:
        return None, signal.Signals(-returncode).name
    except ValueError:
        return None, f"SIG{-returncode}"
