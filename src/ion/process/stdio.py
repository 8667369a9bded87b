"""A program that is talked to while it lives: lines to its stdin, lines from its stdout, its stderr into a file.

It is a `child` like any other: it has its own group, is recorded, and ends with all that it started. Reading ends when
the program has ended, although a grandchild may hold the pipe open. Writing to a program that does not read ends when
the program is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from ion.errors import IonError
from ion.process.child import Child, ProcessSpec, beside, close, end, spawn
from ion.process.limits import ScarceError, resolve

_CHUNK_BYTES = 1 << 16


class LineError(IonError):
    """A program wrote a line that is longer than the limit."""

    code = "line"


class StdioProcess(Struct):
    """A program at the other end. Only one task may call `read_line`, any number `write`."""

    child: Child
    log: Path | str
    _to: int
    _from: int
    _longest: int
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    async def read_line(self) -> bytes | None:
        """The next line without its newline; None at the end. Raises `LineError`."""
        while True:
            at = self._buffer.find(b"\n", self._searched)
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                self._searched = 0
                return line
            self._searched = len(self._buffer)
            if self._searched > self._longest:
                raise LineError(f"it wrote a line of more than {self._longest} bytes")
            data = await self._read()
            await asyncio.sleep(0)  # one that never stops must not have the whole loop
            if not data:
                return None
            self._buffer += data

    async def _read(self) -> bytes:
        """The bytes that can be read now; b'' at the end."""
        while self._from >= 0:
            ended = self.child.exited.done()
            try:
                return os.read(self._from, _CHUNK_BYTES)
            except BlockingIOError:
                if ended:
                    break
            await self._ready(self._from, self.child.loop.add_reader, self.child.loop.remove_reader)
        return b""

    async def _ready(self, pipe: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        """Wait until a pipe is ready, or its other end is closed."""
        ready: asyncio.Future[None] = self.child.loop.create_future()
        self._waiting.add(ready)
        add(pipe, resolve, ready, None)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if pipe in (self._from, self._to):
                remove(pipe)

    def _wake_all(self) -> None:
        for ready in self._waiting:
            resolve(ready, None)

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises `BrokenPipeError` when nobody reads any more."""
        async with self._writing:
            rest = memoryview(data)
            while rest:
                if self._to < 0 or self.child.exited.done():
                    raise BrokenPipeError("the program has ended")
                try:
                    rest = rest[os.write(self._to, rest) :]
                except BlockingIOError:
                    await self._ready(self._to, self.child.loop.add_writer, self.child.loop.remove_writer)

    async def end(self, grace_ms: int) -> None:
        """Close its stdin, and end the program and its group: SIGTERM, the grace period, SIGKILL."""
        try:
            self._hang_up()
            await end(self.child, grace_ms)
        finally:
            self.close()

    def close(self) -> None:
        """Kill whatever still lives. Does not await. May be called again."""
        self._hang_up()
        close(self.child)
        if self._from >= 0:
            with contextlib.suppress(RuntimeError):
                self.child.loop.remove_reader(self._from)
            os.close(self._from)
            self._from = -1
        self._wake_all()

    def _hang_up(self) -> None:
        if self._to >= 0:
            with contextlib.suppress(RuntimeError):
                self.child.loop.remove_writer(self._to)
            os.close(self._to)
            self._to = -1
        self._wake_all()

    @property
    def stderr(self) -> Path:
        """The file of its stderr, made when there is something to write."""
        return beside(self.log, ".err")


def start_stdio(start: ProcessSpec, longest_line: int) -> StdioProcess:
    """Start a program and keep its stdin and stdout open; `start.ends` is made here. Raises `SpawnError`, and
    `ScarceError` if it may work later."""
    theirs_in, ours_out = _pipe(start)
    try:
        ours_in, theirs_out = _pipe(start)
    except BaseException:
        os.close(theirs_in)
        os.close(ours_out)
        raise
    try:
        for descriptor in (ours_out, ours_in):
            os.set_blocking(descriptor, False)
        child = spawn(replace(start, ends=(theirs_in, theirs_out)))
    except BaseException:
        os.close(ours_out)
        os.close(ours_in)
        raise
    finally:
        os.close(theirs_in)
        os.close(theirs_out)
    made = StdioProcess(child=child, log=start.log, _to=ours_out, _from=ours_in, _longest=longest_line)
    child.exited.add_done_callback(lambda _: made._wake_all())  # noqa: SLF001
    return made


def _pipe(start: ProcessSpec) -> tuple[int, int]:
    try:
        return os.pipe()
    except OSError as error:
        raise ScarceError(start.argv[0], error) from error
