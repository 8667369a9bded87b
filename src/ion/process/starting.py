"""Starting a program in its own session, with nothing open but what it is given."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ion.errors import IonError
from ion.process import limits
from ion.process.program_file import write_program_file


class SpawnError(IonError):
    """A program could not be started. `missing`: the program was not found."""

    code = "spawn"

    def __init__(self, program: str, reason: str, *, missing: bool = False, hint: str = "") -> None:
        super().__init__(f"cannot start {program}: {reason}", hint=hint)
        self.program = program
        self.missing = missing


class ProcessSpec(Struct, frozen=True):
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
