"""Run one program and its whole process group, from start to the last survivor.

The program leads its own session, reads nothing or a file, and its output is streamed to files. Whatever it leaves in
its group ends with it, and every wait has a limit. `child` starts and watches a program and its group, `files` moves
its output and makes files for it, `stdio` talks to it, `survivors` records it and finds what is left, `limits` handles
resources that run out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ion import masking
from ion.errors import IonError
from ion.process.child import LOST, Child, ProcessSpec, SpawnError, beside, close, end, how_many_live, spawn
from ion.process.files import ProgramFile, create, keep, write_program_file
from ion.process.limits import ScarceError, Turnstile, is_scarce, resolve

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
    "keep",
    "run",
    "tail",
    "write_program_file",
]


class Exit(Struct, frozen=True, gc=False):
    """How a program ended: by `status`, or by `signal` (its name). Both are None if the status was lost, because the
    program around Ion ignores SIGCHLD. `timed_out` and `idle` say that Ion ended it, and why."""

    status: int | None
    signal: str | None = None
    timed_out: bool = False
    idle: bool = False
    duration_ms: int = 0


class OutputError(IonError):
    """The output of a program could not be kept (a full disk); the program was ended."""

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
    events: Callable[[str], None] | None = None,
    signs: Callable[[], int] | None = None,
) -> Exit:
    """Run `argv` to its end, and end whatever it leaves in its group.

    stdout and stderr go to `log` + `.out` and `.err` while it runs; an empty file is not made. The program inherits the
    files in memory `handed`, which are closed here once it has started, and is recorded in `register` (see
    `survivors`). After `timeout_ms`, after `idle_timeout_ms` without new output, or when the awaiting task is
    cancelled, the group gets SIGTERM, and SIGKILL after `grace_ms`; a second cancellation skips the rest of the grace
    period. `said` is called in the event loop with each line as it is written (bytes that are not UTF-8 become U+FFFD;
    of a line over 4 KiB, its beginning); `events` with each line of stdout alone, up to 1 MiB. With `signs`, a count of
    signs of life, the program is idle while that stays as it is, whatever it writes. A process that left both session
    and family (a double fork with setsid) is out of reach. Raises `SpawnError` and `OutputError`, and `ScarceError` if
    nothing was started and it may work later.
    """
    started = time.monotonic()
    descriptors = [file.descriptor for file in handed if file.descriptor is not None]
    child = spawn(
        ProcessSpec(
            argv=argv,
            cwd=cwd,
            env=env,
            log=log,
            stdin=stdin,
            descriptors=descriptors,
            register=register,
            said=said,
            events=events,
        )
    )
    try:
        for file in handed:
            file.close()
        cause = await _wait(child, timeout_ms, idle_timeout_ms, signs or child.bytes_written)
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


def tail(path: Path, limit: int = 2000, begin: int = 0) -> str:
    """The last `limit` characters of a file from byte `begin` on as text, cut as `masking.tail` does; bytes that are
    not UTF-8 become U+FFFD. A missing file is ''."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END) - begin
            stream.seek(begin + max(0, size - 4 * limit))
            data = stream.read(4 * limit)
    except FileNotFoundError:
        return ""
    text = data.decode("utf-8", "replace")
    return masking.tail(text if size <= len(data) else masking.CUT + text, limit)


async def _wait(child: Child, timeout_ms: int | None, idle_ms: int | None, signs: Callable[[], int]) -> str:
    """Wait for the leader: `exited`, `timeout`, `idle` or `broken`."""
    limit = None if timeout_ms is None else child.loop.call_later(timeout_ms / 1000, resolve, child.over, "timeout")
    if idle_ms is not None:
        _watch_idle(child, idle_ms / 1000, signs, signs(), time.monotonic())
    try:
        return await child.over
    finally:
        if limit is not None:
            limit.cancel()


def _watch_idle(child: Child, idle_s: float, signs: Callable[[], int], seen: int, active: float) -> None:
    """Check at intervals for a sign of life; their count was `seen` at the time `active`."""
    if child.over.done():
        return
    now = time.monotonic()
    if signs() != seen:
        seen, active = signs(), now
    elif now >= active + idle_s:
        resolve(child.over, "idle")
        return
    pause = min(active + idle_s - now, max(0.02, min(5.0, idle_s / 10)))
    child.loop.call_later(pause, _watch_idle, child, idle_s, signs, seen, active)


def _decode(returncode: int | None) -> tuple[int | None, str | None]:
    if returncode is None or returncode == LOST:
        return None, None
    if returncode >= 0:
        return returncode, None
    try:
        return None, signal.Signals(-returncode).name
    except ValueError:
        return None, f"SIG{-returncode}"
