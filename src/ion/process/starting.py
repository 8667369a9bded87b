"""Starting a program in its own session, with nothing open but what it is given.

`posix_spawn` costs half as much as `subprocess`, and is used where it can do that: on Linux, by a path, in the current
directory of this process, with no descriptor at or above the limit (which may have been lowered since). Everything else
uses `subprocess`. Neither runs our code in the child.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ion.errors import IonError
from ion.process import limits
from ion.process.program_file import write_program_file
from ion.records import dataclass

_OPEN_HERE = "/proc/self/fd"
# Python ignores them, which a program would inherit.
_BY_DEFAULT = (signal.SIGPIPE, *((signal.SIGXFSZ,) if hasattr(signal, "SIGXFSZ") else ()))


class SpawnError(IonError):
    """A program could not be started. `missing`: the program was not found."""

    code = "spawn"

    def __init__(self, program: str, reason: str, *, missing: bool = False, hint: str = "") -> None:
        super().__init__(f"cannot start {program}: {reason}", hint=hint)
        self.program = program
        self.missing = missing


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to start: see `process.run`, also for `said`. `ends` are descriptors for its stdin and stdout, used
    instead of `stdin` and the file for stdout; the caller keeps them."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    log: Path | str
    stdin: bytes | None = None
    descriptors: Sequence[int] = ()
    register: Path | None = None
    ends: tuple[int, int] | None = None
    said: Callable[[str], None] | None = None


def begin(start: ProcessSpec, out: int, err: int) -> int:
    """Start it with these descriptors as its stdout and stderr, and return its number. Raises `SpawnError`, and
    `ScarceError` if it may work later."""
    program = start.argv[0]
    try:
        with _source(start) as source:
            highest = max(source, out, err, *start.descriptors)
            with limits.given_back(highest):
                others = _inheritable() if _is_simple(start, (source, out, err)) else None
                if others is not None and max(highest, *others, 0) < limits.most_descriptors():
                    pid = _spawned(start, source, out, err, others)
                else:
                    pid = _opened(start, source, out, err)
            limits.give_back(pid, highest)
            return pid
    except FileNotFoundError as error:
        if error.filename is not None and Path(error.filename) == start.cwd:
            raise SpawnError(program, f"the working directory {start.cwd} does not exist") from error
        raise SpawnError(program, "no such program", missing=True, hint="is it installed and on PATH?") from error
    except OSError as error:
        if limits.is_scarce(error):
            raise limits.ScarceError(program, error) from error
        hint = "arguments and environment are too large together" if error.errno == errno.E2BIG else ""
        raise SpawnError(program, os.strerror(error.errno or 0), hint=hint) from error
    except ValueError as error:
        raise SpawnError(program, f"an argument or a variable cannot be passed on ({error})") from error


@contextlib.contextmanager
def _source(start: ProcessSpec) -> Iterator[int]:
    """The descriptor that it reads from; -1 for nothing."""
    if start.ends is not None:
        yield start.ends[0]
        return
    if not start.stdin:
        yield -1
        return
    with write_program_file(f"{start.log}.in", [start.stdin]) as handed, Path(handed.path).open("rb") as stream:
        yield stream.fileno()


def _is_simple(start: ProcessSpec, own: Sequence[int]) -> bool:
    """Whether `posix_spawn` can do it: it neither searches for a program nor changes the directory, and it moves
    descriptors one by one, so none may have the number of another's target."""
    if sys.platform != "linux" or "/" not in start.argv[0] or any(0 <= descriptor <= 2 for descriptor in own):
        return False
    try:
        return os.getcwd() == str(start.cwd)  # noqa: PTH109  (a path object for each program is expensive)
    except FileNotFoundError:
        return False


def _spawned(start: ProcessSpec, source: int, out: int, err: int, others: set[int]) -> int:
    first: Any = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    if source >= 0:
        first = (os.POSIX_SPAWN_DUP2, source, 0)
    actions = [first, (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in others - {*start.descriptors}]
    # Onto itself: it is inherited from then on.
    actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in start.descriptors]
    return os.posix_spawn(
        start.argv[0], list(start.argv), start.env, file_actions=actions, setsid=True, setsigdef=_BY_DEFAULT
    )


def _inheritable() -> set[int] | None:
    """What a program would inherit besides its three streams: whatever Ion itself inherited, or the C library of
    some package opened. None if the system does not say."""
    try:
        open_here = os.listdir(_OPEN_HERE)  # noqa: PTH208  (a path object for each descriptor is expensive)
    except OSError:
        return None
    return {descriptor for name in open_here if (descriptor := int(name)) > 2 and _is_inheritable(descriptor)}


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # closed since: the list was read from it
        return False


def _opened(start: ProcessSpec, source: int, out: int, err: int) -> int:
    popen = subprocess.Popen(
        start.argv,
        cwd=start.cwd,
        env=start.env,
        stdin=source if source >= 0 else subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        pass_fds=start.descriptors,
    )
    popen.returncode = 0  # it is reaped elsewhere: see child.py
    return popen.pid
