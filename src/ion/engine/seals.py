"""What proves that this user started a run on this machine: the seal in the first event of its log.

A clock runs what it finds in a store with the rights of its user. A store may be shared, be writable by others, or come
with a repository; whoever can write to it can write any name into a row or a log. So the start of a run holds a keyed
hash of itself, made with a key that only this user has, outside of every project. An imported run has none.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
from pathlib import Path

from msgspec.structs import replace

from ion import codec
from ion.core.events import WorkflowStarted

_KEY_BYTES = 32


def user_state_folder() -> Path:
    """Where Ion keeps what belongs to this user and to no project: in `$XDG_STATE_HOME`, or `~/.local/state`. Raises
    `RuntimeError` for a user without a home."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".local" / "state") / "ion"


def sealed(started: WorkflowStarted, run_id: str, project: str) -> WorkflowStarted:
    """The first event of a run that this user starts here, with its seal; without one, if there can be no key: then a
    clock does not take the run."""
    key = _key(make=True)
    return started if key is None else replace(started, by={**started.by, "seal": _seal(key, started, run_id, project)})


def is_sealed_here(started: WorkflowStarted, run_id: str, project: str) -> bool:
    """Whether this user started this run, in this project, with the key that is here."""
    seal, key = started.by.get("seal"), _key(make=False)
    if key is None or not isinstance(seal, str):
        return False
    return hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(key, started, run_id, project).encode())


def _seal(key: bytes, started: WorkflowStarted, run_id: str, project: str) -> str:
    text = codec.encode([run_id, project, replace(started, by=_without_seal(started))])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _without_seal(started: WorkflowStarted) -> dict[str, object]:
    return {name: value for name, value in started.by.items() if name != "seal"}


def _key(*, make: bool) -> bytes | None:
    """The user's key, made when it is first needed; None if there is none, or one that others could read or write."""
    try:
        path = user_state_folder() / "key"
        if make and not path.exists():
            _make_key(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            is_own = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
            key = file.read(_KEY_BYTES + 1)
    except (OSError, RuntimeError):
        return None
    return key if is_own and len(key) == _KEY_BYTES else None


def _make_key(path: Path) -> None:
    """Of processes that make it at once, one does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".key.{os.urandom(8).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
