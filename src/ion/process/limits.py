"""Resources that a system limits, above all descriptors and processes.

Ion raises its own descriptor limit as far as it may, since each program costs several; programs get the limit that Ion
was given, because some loop over all numbers up to it. A resource that is used up is not a failure of a program: the
start of a program waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TypeVar

from ion.errors import IonError

_Result = TypeVar("_Result")
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
# More than any number of slots needs; a system may allow a billion, and have tables for them.
_ENOUGH = 65_536
# Descriptors that programs leave to the rest of Ion (the store, logs, agents), and to each other for their output.
_LEFT_FREE = 32
_LEFT_PER_PROGRAM = 2
# What is open before the first program starts, what that needs, and what is left free.
LEAST_DESCRIPTORS = 48
# So long whoever waits does so while no program of this process runs, which would free something at its end.
PATIENCE_S = 600.0
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)

# The soft limit that this process was given, once it has been raised.
_given: int | None = None
_lowered = threading.Lock()
_waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()


class ScarceError(IonError):
    """Nothing was started, because the system has run out of something at this moment."""

    code = "spawn"

    def __init__(self, what: str, error: OSError) -> None:
        reason = os.strerror(error.errno or 0)
        super().__init__(f"cannot start {what}: {reason}", hint="fewer at once: --jobs N; or raise the limit: ulimit")
        self.reason = reason


def is_scarce(error: OSError) -> bool:
    """Whether this may work later, when something has been given back."""
    return error.errno in _SCARCE


def raise_limit() -> None:
    """Raise the descriptor limit as far as this process may. For a program of its own, not for a guest in another."""
    global _given  # noqa: PLW0603  (it is the process's)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system may have a limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            _given = soft if _given is None else _given


def aside(descriptor: int) -> int:
    """The same file under a number above the limit of programs; closes the given one. The numbers that `given_back`
    needs stay free, however many programs run. Raises `OSError`."""
    if _given is None:
        return descriptor
    try:
        with _lowered:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _given)
    finally:
        os.close(descriptor)


def most_descriptors() -> int:
    """How many descriptors this process may have at this moment."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def too_few() -> str:
    """Why no program can ever start in this process; '': some can."""
    most = most_descriptors()
    fine = most >= LEAST_DESCRIPTORS
    return "" if fine else f"only {most} files may be open at once, and Ion needs {LEAST_DESCRIPTORS}"


def require_room(descriptor: int, programs: int) -> None:
    """Raise the `OSError` of a full table if too little is free, judged by the number of the newest descriptor: the
    system returns the lowest one that is free. `programs` is how many run."""
    if descriptor + _LEFT_FREE + _LEFT_PER_PROGRAM * programs >= most_descriptors():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@contextlib.contextmanager
def given_back(highest: int) -> Iterator[None]:
    """Whatever starts in this context has the limit that this process was given. `highest` is the largest descriptor
    that it inherits: if that is near the limit, other threads could open nothing meanwhile, and `give_back` must be
    used."""
    if _given is None or highest + _LEFT_FREE >= _given:
        yield
        return
    with _lowered:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_given, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def give_back(pid: int, highest: int) -> None:
    """The same for a program that was just started, where `given_back` could not."""
    if _given is not None and highest + _LEFT_FREE >= _given and hasattr(resource, "prlimit"):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_given, hard))


class Turnstile:
    """Someone who waits for a scarce resource, as often as it takes."""

    def __init__(self) -> None:
        self._tries = 0
        self._until: float | None = None

    async def wait(self, programs: int) -> bool:
        """Wait until something may have been given back; False if that has not helped for too long. `programs` is
        how many run here."""
        if programs:
            self._until = None
        elif self._until is None:
            self._until = time.monotonic() + PATIENCE_S
        elif time.monotonic() > self._until:
            return False
        loop = asyncio.get_running_loop()
        freed: asyncio.Future[None] = loop.create_future()
        place = (loop, freed)
        _waiting.append(place)
        try:
            await asyncio.wait({freed}, timeout=_PAUSES_S[min(self._tries, len(_PAUSES_S) - 1)])
        finally:
            with contextlib.suppress(ValueError):  # it was its turn
                _waiting.remove(place)
        self._tries += 1
        return True


def something_freed() -> None:
    """A program has ended: the first of those who wait tries again."""
    while _waiting:
        loop, freed = _waiting.popleft()
        if not freed.done():
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(resolve, freed, None)
            return


def resolve(future: asyncio.Future[_Result], result: _Result) -> None:
    """Resolve a future that is neither resolved nor cancelled."""
    if not future.done():
        future.set_result(result)
