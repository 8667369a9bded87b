"""The files of a program: those that its output goes to, and one that is made for it, the code it runs or the values it
reads.

For its output the program gets a pipe and not the file itself, since `echo … > /dev/stderr` and `tee /dev/stdout` would
reopen the file and truncate it. Nobody waits for the end of the pipe, which a grandchild may hold open forever: when
the program has ended, the rest of the pipe is read and it is closed. For a program of a few milliseconds that is all:
the loop watches a pipe only after a moment, and the file is made when there is something to write.

If the system supports it, a file that is made for a program has no name (memfd): the program inherits its descriptor
and opens it by that. Nothing is left when Ion is killed, nobody else can open it, and no inode is created, which would
cost more than the file is worth. Elsewhere it is a file that only its owner can read, removed afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from ion.process import limits

_FOLDER = Path("/dev/fd")
_CHUNK_BYTES = 1 << 16
_LINE_BYTES = 1 << 12
EVENT_BYTES = 1 << 20
WATCHED_AFTER_S = 0.02
# More than any pipe holds by default; one that a survivor fills without an end is not followed further.
_DRAIN_BYTES = 1 << 21


class Relay(Struct):
    """One stream and the file at `path` that it goes to. `size` counts the bytes in the file; `error` is why writing
    failed. `writer` is the program's end, closed here once the program has it. `watched`: the loop reports new data.
    `lines` receives each line."""

    path: str
    source: int
    writer: int
    target: int = -1
    size: int = 0
    error: OSError | None = None
    watched: bool = False
    lines: LineSplitter | None = None


class LineSplitter:
    """Splits a stream into lines and reports each as soon as it is complete; of a long line, its beginning."""

    def __init__(self, say: Callable[[str], None], limit: int = _LINE_BYTES) -> None:
        self._say = say
        self._limit = limit
        self._rest = b""

    def take(self, data: bytes) -> None:
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[: self._limit]
        for line in whole:
            self._say(line[: self._limit].decode("utf-8", "replace"))

    def end(self) -> None:
        """Report the last line if it has no newline."""
        if self._rest:
            self.take(b"\n")


def start_relay(path: str, lines: LineSplitter | None = None) -> Relay:
    """Relay into a file at `path`.

    An existing file is removed, not reused: a process that outlived another Ion may still write to it.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  (a path object for each stream of each program is expensive)
    source, writer = os.pipe()
    try:
        source = limits.aside(source)
    except OSError:
        os.close(writer)
        raise
    os.set_blocking(source, False)
    return Relay(path, source, writer, lines=lines)


def finish_relay(relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
    """Read what the pipe still holds and close everything. May be called again."""
    release(relay)
    if relay.source < 0:
        return
    if relay.watched:
        with contextlib.suppress(RuntimeError):
            loop.remove_reader(relay.source)
    limit = relay.size + _DRAIN_BYTES
    while relay.error is None and relay.size < limit and _move(relay):
        pass
    os.close(relay.source)
    relay.source = -1
    if relay.lines is not None:
        relay.lines.end()
    if relay.target >= 0:
        _require_in_place(relay)
        os.close(relay.target)


def _require_in_place(relay: Relay) -> None:
    """The file is still where it will be read: otherwise an output would look empty."""
    written = os.fstat(relay.target)
    try:
        found = os.stat(relay.path)  # noqa: PTH116  (as in `start_relay`)
    except FileNotFoundError:
        found = None
    if found is None or not os.path.samestat(found, written) or found.st_size != relay.size:
        relay.error = relay.error or OSError(errno.ESTALE, f"{relay.path} was removed or replaced meanwhile")


def release(relay: Relay) -> None:
    """Close the program's end here."""
    if relay.writer >= 0:
        os.close(relay.writer)
        relay.writer = -1


def watch(relay: Relay, loop: asyncio.AbstractEventLoop, failed: Callable[[], None]) -> None:
    """Read data as soon as it comes. `failed` is called once when writing fails."""
    relay.watched = True
    loop.add_reader(relay.source, _pump, relay, loop, failed)


def _pump(relay: Relay, loop: asyncio.AbstractEventLoop, failed: Callable[[], None]) -> None:
    if not _move(relay):
        loop.remove_reader(relay.source)
        relay.watched = False
    if relay.error is not None:
        failed()


def _move(relay: Relay) -> bool:
    """Move one chunk; False if there is none now, at the end, or if it cannot be written."""
    try:
        data = os.read(relay.source, _CHUNK_BYTES)
    except BlockingIOError:
        return False
    try:
        if data and relay.target < 0:
            relay.target = limits.aside(create(relay.path))
        rest = memoryview(data)
        while rest:
            written = os.write(relay.target, rest)
            relay.size += written
            rest = rest[written:]
    except OSError as error:
        relay.error = error
    if relay.lines is not None:
        relay.lines.take(data)
    return bool(data) and relay.error is None


# ---------------------------------------------------------------------- a file made for a program


class ProgramFile(Struct):
    """`path` is what the program opens; `descriptor` must be passed on to it (None: the file has a name). Close it
    when the program has ended."""

    path: str
    descriptor: int | None = None

    def close(self) -> None:
        """Release it. May be called again."""
        if self.descriptor is None:
            Path(self.path).unlink(missing_ok=True)
        elif self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_program_file(place: Path | str, pieces: Iterable[bytes], *, in_memory: bool = True) -> ProgramFile:
    """Write a file of these pieces: at `place` if it needs a name, must not be `in_memory`, or cannot be.

    Raises `OSError` (`ScarceError` if it may work later), and what `pieces` raises; then nothing is left.
    """
    try:
        return _hand(place, pieces, nameless=in_memory and _can_be_nameless())
    except OSError as error:
        if limits.is_scarce(error):
            raise limits.ScarceError("a program", error) from error
        raise


def _hand(place: Path | str, pieces: Iterable[bytes], *, nameless: bool) -> ProgramFile:
    if nameless:
        descriptor = os.memfd_create("ion", os.MFD_CLOEXEC)
        handed = ProgramFile(f"{_FOLDER}/{descriptor}", descriptor)
        os.fchmod(descriptor, 0o600)
        target = descriptor
    else:
        target = create(place)
        handed = ProgramFile(str(place))
    try:
        for piece in pieces:
            _write(target, piece)
    except BaseException:
        handed.close()
        raise
    finally:
        if not nameless:
            os.close(target)
    return handed


@cache
def _can_be_nameless() -> bool:
    return hasattr(os, "memfd_create") and _FOLDER.is_dir()


def create(path: Path | str) -> int:
    """A descriptor of a new file that only its owner can read; an existing file is replaced. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        Path(path).unlink()
    return os.open(path, flags, 0o600)


def keep(path: Path | str, text: str) -> None:
    """Write a text into a new file, for whoever may look at it; what the disk does not take is not there."""
    with contextlib.suppress(OSError), os.fdopen(create(path), "wb", 0) as file:
        file.write(text.encode("utf-8", "replace"))


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
