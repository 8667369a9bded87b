"""What was loaded once, kept in `<project>/.ion/cache`, so that a second load imports neither pydantic nor yaml.

Each workflow file has one entry, so the cache cannot grow without limit. An entry is valid if Ion's version, the bytes
of the file and the answer to every lookup of another file (also those that found nothing) are the same. It
carries its own checksum, so a torn or foreign entry is a miss. The cache is optional: where it cannot be written,
loading is slower and nothing else. It is only kept in projects that have an `.ion` folder already.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from ion.digests import sha256_of
from ion.language.resources import Resources
from ion.language.source import read_file
from ion.version import VERSION

FORMAT = "2"
MAX_BYTES = 64 * 1024 * 1024
Content = TypeVar("Content")


def folder_of(project: Path) -> Path | None:
    """Where a project keeps its cache; None if it has no `.ion`, or a link leads out of the project there."""
    folder = project / ".ion" / "cache"
    real = Path(os.path.realpath(project)) / ".ion" / "cache"
    return folder if folder.parent.is_dir() and Path(os.path.realpath(folder)) == real else None


class Entry(Struct, frozen=True, gc=False):
    """A workflow file's place in the cache, and the key under which its content is valid."""

    path: Path
    key: str

    @classmethod
    def of(cls, folder: Path, file: Path, data: bytes) -> Entry:
        """The entry of `file`, which has these bytes, in a project's cache (`folder_of`)."""
        name = sha256_of(os.fsencode(file))[:32]
        key = hashlib.sha256(f"{_version()}\0{file}\0".encode("utf-8", "surrogateescape") + data)
        return cls(folder / f"{name}.json", key.hexdigest())

    def read(self, resources: Callable[[], Resources], decode: Callable[[dict[str, Any]], Content]) -> Content | None:
        """What was written under this key, decoded, or None. The files that it depends on are checked again."""
        data, problem = read_file(self.path, MAX_BYTES)
        if problem is not None:
            return None
        head, _, body = data.partition(b"\n")
        try:
            if head.decode("ascii", "replace") != _checksum(self.key, body):
                return None
            content = json.loads(body)
            for kind, name, runtime, named_in, fingerprint in content["lookups"]:
                if resources().fingerprint((kind, name, runtime, named_in)) != fingerprint:
                    return None
            return decode(content["loaded"])
        except (ValueError, KeyError, TypeError, AttributeError):  # not an entry of ours
            return None

    def write(self, loaded: dict[str, Any], resources: Resources) -> None:
        """Keep what was loaded. The file appears complete or not at all, whoever else writes it."""
        lookups = [[*lookup, fingerprint] for lookup, fingerprint in resources.lookups.items()]
        body = json.dumps({"lookups": lookups, "loaded": loaded}, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):  # a folder that cannot be written: slower, not wrong
            self.path.parent.mkdir(exist_ok=True)
            _ignore(self.path.parent)
            _replace(self.path, _checksum(self.key, body).encode() + b"\n" + body)


def _checksum(key: str, body: bytes) -> str:
    return sha256_of(key.encode() + body)


def _ignore(folder: Path) -> None:
    """Make git ignore the folder. Never writes through a link."""
    with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x") as stream:
        stream.write("*\n")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    temporary.unlink(missing_ok=True)  # of a process of the same number that was killed
    with temporary.open("xb") as stream:
        stream.write(data)
    temporary.replace(path)


@cache
def _version() -> str:
    """Ion's version and, for those who work on Ion itself, the state of this room's source files."""
    files = []
    for folder, _, names in os.walk(Path(__file__).parent):
        files += [(name, os.stat(f"{folder}/{name}").st_mtime_ns) for name in names if name.endswith(".py")]  # noqa: PTH116
    return repr((FORMAT, VERSION, sorted(files)))
