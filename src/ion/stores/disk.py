"""Durable operations on a disk, and its errors as messages.

On macOS `fsync` leaves the data in the drive's own cache; `F_FULLFSYNC` does not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ion.errors import StoreError


def sync(descriptor: int) -> None:
    """Make a file's content durable."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fdatasync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def write_all(descriptor: int, data: bytes, offset: int = 0) -> None:
    """Write at an offset until everything is written."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file, for its owner only, and make its content durable; its name is not durable yet (`sync_folder`)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(descriptor, data)
        sync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file with `data`, durably: a reader sees all of the old or all of the new.

    The caller holds a lock: the temporary file beside it has a fixed name, and so cannot pile up.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    write_file(temporary, data)
    temporary.rename(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make one folder (not its parents), for its owner only, durably; an existing one stays as it is.

    Its name is synced in any case: whoever made it may have died before that.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def inode_of(path: Path | str) -> tuple[int, int] | None:
    """What distinguishes the file at this path from any other that replaces it; None if it does not exist."""
    try:
        found = os.stat(path)  # noqa: PTH116  (for each commit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def not_in_place(what: str) -> StoreError:
    """What was opened is not at its path any more: nobody will find what is written to it."""
    return StoreError(
        f"{what} no longer exists: it was removed or replaced while Ion was using it",
        hint="nothing that was done since is kept; find what removes it (git clean -x takes .ion too: add -e .ion), "
        "restore it from a backup or start again",
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an `OSError` of the disk into a `StoreError` that says what failed and what to do. A closed pipe is not
    an error of the disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StoreError(f"{what}: {error.strerror or error}{place}", hint=_remedy(error)) from error


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on the disk and try again; what was written before stays"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make it writable for this user, or choose another place with --store"
        case errno.ENOENT | errno.ENOTDIR:
            return "create the folder, or choose another place with --store"
        case _:
            return "check the disk; what was written before stays"
