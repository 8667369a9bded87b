"""The append-only log of the file store: one checked line for each write, so that a write is there as a whole or not at
all.

A line is `CRC-32 (8 hex digits) LENGTH JSON`. A crash can leave a last line without its end, or with zeros for whole
blocks that never reached the disk: a torn write that was never acknowledged. The next writer cuts it off, unless it is
known to have been acknowledged (`logstate.py`). Any other line that does not check out was once whole: it is damage,
named by file and offset, and nothing is cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from ion import codec
from ion.core import events as e
from ion.errors import DamagedStoreError, StoreError
from ion.stores.disk import sync, write_all

LOCK_TIMEOUT_S = 30.0
_BLOCK_BYTES = 512  # no disk writes less at once
_HEADER = re.compile(rb"([0-9a-f]{8}) ([1-9][0-9]{0,11}) ")


class Unit(Struct, frozen=True, gc=False):
    """One write: its events, the number of the first, and its place in the file, `start` to `end` in bytes."""

    seq: int
    events: tuple[e.Event, ...]
    start: int
    end: int
    extra: dict[str, Any]


def checked_line(data: Any) -> bytes:
    """JSON as a line with length and checksum."""
    text = codec.encode(data).encode()
    return b"%08x %d %s\n" % (zlib.crc32(text), len(text), text)


def parse_line(line: bytes) -> Any:
    """The inverse of `checked_line`. Raises `ValueError` if the line is not what was written."""
    header = _HEADER.match(line)
    if header is None:
        raise ValueError("no length and checksum")
    text = line[header.end() : -1]
    if line[-1:] != b"\n" or len(text) != int(header[2]):
        raise ValueError("another length")
    if zlib.crc32(text) != int(header[1], 16):
        raise ValueError("another checksum")
    return json.loads(text)


def unit_line(seq: int, events: Sequence[e.Event], **extra: Any) -> bytes:
    """The line that holds one write; `seq` numbers its first event."""
    return checked_line({"seq": seq, **extra, "events": events})


def read_units(file: BinaryIO, path: Path, start: int, end: int, seq: int, acknowledged: int = 0) -> Iterator[Unit]:
    """The writes between two offsets, the first of them beginning with event `seq`; ends before a torn one. Everything
    before the offset `acknowledged` was whole once.

    Raises `DamagedStoreError` naming file and offset.
    """
    file.seek(start)
    while start < end:
        line = file.readline(end - start)
        if start + len(line) >= end and _is_torn(line, start):
            if start < acknowledged:
                why = f"a write is cut off here that was acknowledged: the log had continued to byte {acknowledged}"
                raise damaged_at(path, start, why)
            return
        try:
            data = parse_line(line)
            if data["seq"] != seq:
                raise ValueError(f"event {seq} was to follow, not {data['seq']}")
            events = tuple(e.from_json(event) for event in data.pop("events"))
        except (ValueError, KeyError, TypeError, DamagedStoreError) as error:
            raise damaged_at(path, start, str(error)) from error
        yield Unit(data.pop("seq"), events, start, start + len(line), data)
        start += len(line)
        seq += len(events)


def damaged_at(path: Path, offset: int, why: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"{path} is damaged at byte {offset}: {why}",
        hint="restore this run's folder from a backup; the other runs are not touched by it",
        file=str(path),
        offset=offset,
    )


def _is_torn(line: bytes, start: int) -> bool:
    """Whether this last line, at offset `start`, is what a cut-off write leaves: see the head of the module."""
    end = start + len(line)
    for zeros in re.finditer(rb"\0+", line):
        first, last = start + zeros.start(), start + zeros.end()
        if (first == start or first % _BLOCK_BYTES == 0) and (last == end or last % _BLOCK_BYTES == 0):
            return True
    header = _HEADER.match(line)
    return not line.endswith(b"\n") and (header is None or len(line) <= header.end() + int(header[2]))


def read_head(file: BinaryIO) -> bytes:
    """The beginning of a log, which contains a checksum of its first write and so distinguishes it from others."""
    file.seek(0)
    return file.read(16)


def append(descriptor: int, end: int, data: bytes) -> None:
    """Make `data` durable at offset `end`, to which the file is cut first.

    Raises `OSError` with the log unchanged; `StoreError` if it could not be restored, then this file must not be
    written any more.
    """
    try:
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
        write_all(descriptor, data, end)
    except OSError:
        _undo(descriptor, end)
        raise
    try:
        sync(descriptor)
    except OSError as error:
        _undo(descriptor, end)
        raise StoreError(
            f"the disk failed under a log: {error.strerror}",
            hint="check the disk and start again; what was written stays",
        ) from error


def _undo(descriptor: int, end: int) -> None:
    try:
        os.ftruncate(descriptor, end)
    except OSError as error:
        raise StoreError(f"cannot take a failed write back: {error.strerror}", hint="check the disk") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """The descriptor of the log at `path`, for this thread of this process alone; the kernel frees it if the process
    dies.

    Held for one write only, and never inherited by children. Raises `FileNotFoundError` if the log does not exist,
    `StoreError` if another process keeps it locked.
    """
    descriptor = _open_locked(path, os.O_RDWR, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_at_rest(path: Path) -> tuple[BinaryIO, int]:
    """The log, to be read up to the returned size, at which no write was in progress.

    Raises as `locked` does.
    """
    descriptor = _open_locked(path, os.O_RDONLY, fcntl.LOCK_SH)
    size = os.fstat(descriptor).st_size
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return os.fdopen(descriptor, "rb"), size


def _open_locked(path: Path, flags: int, kind: int) -> int:
    """Open and lock; if the run was deleted meanwhile and made anew, that one."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _lock(descriptor, kind, path, deadline)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, kind: int, path: Path, deadline: float) -> None:
    pause = 0.0005
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another process has held {path} for {LOCK_TIMEOUT_S:.0f} s",
                    hint="see who has it open (fuser FILE), then try again",
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        else:
            return
