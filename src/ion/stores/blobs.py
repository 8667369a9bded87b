"""Bytes too big for the log, kept once under their hash beside it: `blobs/<2 digits>/<sha256>`.

Written to a temporary file, synced, renamed, folder synced: an existing name has the whole content. Reading one to the
end raises if it is not what was kept, so a damaged output never passes for a real one.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ion import digests
from ion.core.events import Content
from ion.errors import DamagedStoreError, StoreError
from ion.stores.disk import make_folder, storage_errors, sync, sync_folder

CHUNK_BYTES = 1024 * 1024


def keep(folder: Path, data: bytes | Path) -> Content:
    """Keep `data` durably under `folder` and return its hash and size. Raises `StoreError` if the disk does not take
    it."""
    with storage_errors(f"cannot keep an output in {folder}"):
        make_folder(folder)
        temporary = folder / f".{os.urandom(8).hex()}.tmp"
        try:
            content = _copy(data, temporary)
            place = _place(folder, content.sha256)
            make_folder(place.parent)
            with _locked(folder):
                if _is_intact(place, content.sha256):
                    os.utime(place)
                    temporary.unlink()
                else:
                    temporary.rename(place)
            sync_folder(place.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return content


def forget(folder: Path, used: AbstractSet[str], before: int) -> tuple[int, int]:
    """Remove what is kept under `folder`, is not among `used`, and was put before `before` (ms since the epoch);
    returns how many and their bytes. Raises `StoreError`."""
    count = size = 0
    with storage_errors(f"cannot remove outputs from {folder}"):
        for place in folder.glob("??/*"):
            if place.name in used or len(place.name) != 64:
                continue
            with _locked(folder), contextlib.suppress(FileNotFoundError):  # somebody else forgets, too
                found = place.stat()
                if found.st_mtime_ns // 1_000_000 < before:
                    place.unlink()
                    count, size = count + 1, size + found.st_size
    return count, size


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Excludes the removal of unused content while another process relies on content that exists already."""
    from filelock import FileLock

    return FileLock(folder / ".lock", mode=0o600)


def open_kept(folder: Path, sha256: str) -> BinaryIO:
    """The bytes kept under `sha256`; reading to the end raises `DamagedStoreError` if they differ."""
    try:
        file = _place(folder, sha256).open("rb")
    except FileNotFoundError as error:
        raise missing(sha256) from error
    except OSError as error:
        raise StoreError(f"cannot read an output in {folder}: {error.strerror}") from error
    return verified(sha256, file.read, file.close)


def verified(sha256: str, read: Callable[[int], bytes], close: Callable[[], None]) -> BinaryIO:
    """A stream over `read(at most n bytes)` that checks the hash of everything when it ends."""
    return cast("BinaryIO", io.BufferedReader(_Verified(sha256, read, close), CHUNK_BYTES))


def missing(sha256: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"the output {sha256} is gone from the store", hint="restore the store, blobs included, from a backup"
    )


class _Verified(io.RawIOBase):
    def __init__(self, sha256: str, read: Callable[[int], bytes], close: Callable[[], None]) -> None:
        self._sha256, self._read, self._close = sha256, read, close
        self._hash = digests.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        self._hash.update(data)
        if not data and self._hash.hexdigest() != self._sha256:
            raise DamagedStoreError(
                f"the output {self._sha256} is damaged: its content has another hash",
                hint="restore the store, blobs included, from a backup",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()


def chunks_of(data: bytes | Path) -> Iterator[bytes]:
    """The content piece by piece. Raises `OSError` if the file cannot be read."""
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _copy(data: bytes | Path, target: Path) -> Content:
    digest, size = digests.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        for chunk in chunks_of(data):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        sync(file.fileno())
    return Content(blob=digest.hexdigest(), length=size)


def _is_intact(place: Path, sha256: str) -> bool:
    try:
        with place.open("rb") as file:
            import hashlib

            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _place(folder: Path, sha256: str) -> Path:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise DamagedStoreError(f"the log names an output by {sha256!r}, which is not a hash")
    return folder / sha256[:2] / sha256
