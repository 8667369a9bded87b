"""From a program's pipe into its file.

The program gets a pipe and not the file itself, since `echo … > /dev/stderr` and `tee /dev/stdout` open what is there
anew and would cut off all that a file held before. Nobody waits for the end of the pipe, which a grandchild may hold
open for ever: when the program has ended, what the pipe still holds is taken, and then it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ion.records import dataclass

_CHUNK_BYTES = 1 << 18
# More than any pipe holds by default; one that a survivor fills without an end is not followed further.
_DRAIN_BYTES = 1 << 21


@dataclass(slots=True)
class Relay:
    """One stream on its way. `size` counts the bytes in the file; `error` is why no more could be written. `writer` is
    the end for the program, to be closed here once it has it."""

    source: int
    target: int
    writer: int
    size: int = 0
    error: OSError | None = None


def start(path: Path, loop: asyncio.AbstractEventLoop, failed: Callable[[], None]) -> Relay:
    """Relay into a new file at `path`, while the loop runs. `failed` is called once when writing does not work.

    A file that is there is replaced, not reused: a process that outlived another Ion may still write to it.
    """
    path.unlink(missing_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        source, writer = os.pipe()
    except OSError:
        os.close(target)
        raise
    os.set_blocking(source, False)
    relay = Relay(source, target, writer)
    loop.add_reader(source, _pump, relay, loop, failed)
    return relay


def finish(relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
    """Take what the pipe still holds and close everything. May be called again."""
    release(relay)
    if relay.source < 0:
        return
    with contextlib.suppress(RuntimeError):
        loop.remove_reader(relay.source)
    limit = relay.size + _DRAIN_BYTES
    while relay.error is None and relay.size < limit and _move(relay):
        pass
    os.close(relay.source)
    os.close(relay.target)
    relay.source = -1


def release(relay: Relay) -> None:
    """Close the program's end here."""
    if relay.writer >= 0:
        os.close(relay.writer)
        relay.writer = -1


def _pump(relay: Relay, loop: asyncio.AbstractEventLoop, failed: Callable[[], None]) -> None:
    if not _move(relay):
        loop.remove_reader(relay.source)
    if relay.error is not None:
        failed()


def _move(relay: Relay) -> bool:
    """Move one chunk; False when there is none now, none any more, or nowhere to put it."""
    try:
        data = os.read(relay.source, _CHUNK_BYTES)
    except BlockingIOError:
        return False
    try:
        rest = memoryview(data)
        while rest:
            written = os.write(relay.target, rest)
            relay.size += written
            rest = rest[written:]
    except OSError as error:
        relay.error = error
    return bool(data) and relay.error is None
