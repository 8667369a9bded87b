"""A file that is made for one program: the code it runs, or the values it reads.

If the system supports it, the file has no name (memfd): the program inherits its descriptor and opens it by that.
Nothing is left when Ion is killed, nobody else can open it, and no inode is created, which would cost more than the
file is worth. Elsewhere it is a file that only its owner can read, removed afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from ion.process import limits

_FOLDER = Path("/dev/fd")


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


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
