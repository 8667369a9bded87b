"""One program and its group: started in a session of its own, with nothing open but what it is given, then watched,
signalled, killed, reaped.

Its end is observed through a pidfd without reaping it, so that its number stays in use until the rest of its group has
been signalled. `end` is the orderly way and awaits; `close` is the last resort and does not await, since the loop may
be shutting down.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from ion import procfs
from ion.errors import IonError
from ion.process import files, limits
from ion.process.files import Relay, write_program_file
from ion.process.survivors import signal_group, write_down

# How long a killed process may take to vanish before it is left behind (it sleeps in the kernel, on a dead disk say);
# the second one holds the whole event loop up.
_KILLED_WAIT_S = 5.0
_CLOSE_WAIT_S = 2.0
_POLL_S = (0.005, 0.02, 0.05, 0.1)
# Stands for a status that the host program lost by ignoring SIGCHLD; no process can have it.
LOST = 1 << 16
# (who started it, program): a fork of this interpreter must not end programs that are not its own.
_living: set[tuple[int, int]] = set()


def how_many_live() -> int:
    """How many programs of this process are not closed yet."""
    return len(_living)


def beside(log: Path | str, suffix: str) -> Path:
    """The file of a log stem: `.out` or `.err`."""
    return Path(f"{log}{suffix}")


class SpawnError(IonError):
    """A program could not be started. `missing`: the program was not found."""

    code = "spawn"

    def __init__(self, program: str, reason: str, *, missing: bool = False, hint: str = "") -> None:
        super().__init__(f"cannot start {program}: {reason}", hint=hint)
        self.program = program
        self.missing = missing


class ProcessSpec(Struct, frozen=True):
    """What to start: see `process.run`, also for `said` and `events`. `ends` are descriptors for its stdin and stdout,
    used instead of `stdin` and the file for stdout; the caller keeps them."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    log: Path | str
    stdin: bytes | None = None
    descriptors: Sequence[int] = ()
    register: Path | None = None
    ends: tuple[int, int] | None = None
    said: Callable[[str], None] | None = None
    events: Callable[[str], None] | None = None


class Child(Struct):
    """A started program. `exited` is resolved when its leader has ended. `over` is resolved once, by what ends the
    waiting for it: `exited`, `broken` (its output cannot be written any more), or what the caller adds. `family`
    holds its relatives, collected before it was signalled; `ended` says that nothing of it is left; `later` starts
    the watching of its output."""

    pid: int
    loop: asyncio.AbstractEventLoop
    relays: tuple[Relay, ...]
    exited: asyncio.Future[None]
    over: asyncio.Future[str]
    returncode: int | None = None
    pidfd: int | None = None
    later: asyncio.TimerHandle | None = None
    reaped: bool = False
    thread_reaps: bool = False
    ended: bool = False
    family: dict[int, str] = field(default_factory=dict)

    def bytes_written(self) -> int:
        """Bytes that it has written so far."""
        return sum(stream.size for stream in self.relays)


def spawn(start: ProcessSpec) -> Child:
    """Start a program, watched and recorded. Raises `SpawnError`, and `ScarceError` if it may work later."""
    try:
        return _spawn(start)
    except OSError as error:
        if limits.is_scarce(error):
            raise limits.ScarceError(start.argv[0], error) from error
        raise SpawnError(start.argv[0], f"its log cannot be made ({error})") from error


def _spawn(start: ProcessSpec) -> Child:
    if too_few := limits.too_few():
        raise SpawnError(start.argv[0], too_few, hint="raise the limit: ulimit -n 256")
    loop = asyncio.get_running_loop()
    over: asyncio.Future[str] = loop.create_future()
    with contextlib.ExitStack() as undo:
        relays = []
        for suffix in (".out", ".err") if start.ends is None else (".err",):
            lines = files.LineSplitter(start.said) if start.said is not None else None
            if suffix == ".out" and start.events is not None:
                lines = files.LineSplitter(start.events, files.EVENT_BYTES)
            relays.append(files.start_relay(f"{start.log}{suffix}", lines))
            undo.callback(files.finish_relay, relays[-1], loop)
        limits.require_room(max(relays[-1].source, relays[-1].writer), len(_living))
        before = procfs.ticks()
        pid = _begin(start, relays)
        born = procfs.born(pid, before, procfs.ticks())
        child = Child(pid, loop, tuple(relays), loop.create_future(), over)
        _living.add((os.getpid(), pid))
        undo.callback(close, child)
        _watch(child)
        child.later = loop.call_later(files.WATCHED_AFTER_S, _follow, child)
        if start.register is not None:
            write_down(start.register, pid, born)
        undo.pop_all()
    return child


def _begin(start: ProcessSpec, relays: Sequence[Relay]) -> int:
    out = start.ends[1] if start.ends is not None else relays[0].writer
    try:
        return _start(start, out, relays[-1].writer)
    finally:
        for stream in relays:
            files.release(stream)


def _start(start: ProcessSpec, out: int, err: int) -> int:
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
    popen.returncode = 0  # it is reaped by `_take_status`
    return popen.pid


def _follow(child: Child) -> None:
    """The program runs longer than a moment: take its output as it comes."""
    for stream in child.relays:
        files.watch(stream, child.loop, partial(limits.resolve, child.over, "broken"))


def _watch(child: Child) -> None:
    """Resolve `exited` when the leader has ended, without reaping it where the system allows that."""
    try:
        child.pidfd = limits.aside(os.pidfd_open(child.pid))
    except (AttributeError, OSError):
        child.thread_reaps = not hasattr(os, "waitid")
        threading.Thread(target=_watch_blocking, args=(child,), daemon=True).start()
        return
    child.loop.add_reader(child.pidfd, _exited, child)


def _exited(child: Child) -> None:
    if child.pidfd is not None:
        child.loop.remove_reader(child.pidfd)
        os.close(child.pidfd)
        child.pidfd = None
    limits.resolve(child.exited, None)
    limits.resolve(child.over, "exited")


def _watch_blocking(child: Child) -> None:
    """For systems without pidfd. Where `waitid` is missing too, the reaping comes first; a group that still has
    members keeps its number even so (POSIX, "process group lifetime")."""
    if not child.thread_reaps:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        _take_status(child, 0)
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        child.loop.call_soon_threadsafe(_exited, child)


async def end(child: Child, grace_ms: int) -> None:
    """End the whole group: SIGTERM, the grace period, SIGKILL. At once if nothing is left."""
    if not child.exited.done():
        child.family = procfs.relatives(child.pid)
    _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + grace_ms / 1000
    child.ended = await _gone(child, deadline)
    if not child.ended:
        _signal(child, signal.SIGKILL)
        child.ended = await _gone(child, time.monotonic() + _KILLED_WAIT_S)


async def _gone(child: Child, deadline: float) -> bool:
    """Wait until `deadline` for the leader and then for all that it leaves."""
    if not child.exited.done():
        await asyncio.wait({child.exited}, timeout=max(0.0, deadline - time.monotonic()))
    if not child.exited.done():
        return False
    _reap(child)
    polls = iter(_POLL_S)
    pause = 0.0
    while _left(child):
        pause = next(polls, pause)
        if time.monotonic() + pause > deadline:
            return False
        await asyncio.sleep(pause)
    return True


def _left(child: Child) -> bool:
    """Whether anything of the reaped leader's group or family still lives."""
    family = any(procfs.identity(pid) == identity for pid, identity in child.family.items())
    return family or (signal_group(child.pid, 0) and procfs.group_lives(child.pid))


def _signal(child: Child, number: int) -> None:
    """Members of the family that are not in the group, or just left it, are signalled by their number."""
    signal_group(child.pid, number)
    for pid, identity in child.family.items():
        if procfs.identity(pid) == identity:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != child.pid:
                    os.kill(pid, number)


def _reap(child: Child) -> None:
    """Take the leader's status if it has ended."""
    if not child.reaped and not child.thread_reaps:
        _take_status(child, os.WNOHANG)


def _take_status(child: Child, options: int) -> None:
    """`subprocess` must not do this: it calls a lost status 0."""
    try:
        pid, raw = os.waitpid(child.pid, options)
    except ChildProcessError:
        pid, raw = child.pid, None
    if pid == child.pid:
        child.returncode = LOST if raw is None else os.waitstatus_to_exitcode(raw)
        child.reaped = True


def close(child: Child) -> None:
    """Kill what was not ended in an orderly way. Does not await, since the loop may be shutting down."""
    if not child.ended:
        _signal(child, signal.SIGKILL)
        deadline = time.monotonic() + _CLOSE_WAIT_S
        _reap(child)
        while (not child.reaped or _left(child)) and time.monotonic() < deadline:
            time.sleep(0.002)
            _reap(child)
    if child.later is not None:
        child.later.cancel()
    for stream in child.relays:
        files.finish_relay(stream, child.loop)
    if child.pidfd is not None:
        with contextlib.suppress(RuntimeError):
            child.loop.remove_reader(child.pidfd)
        os.close(child.pidfd)
        child.pidfd = None
    _living.discard((os.getpid(), child.pid))
    limits.something_freed()


@atexit.register
def _kill_all() -> None:
    """An interpreter that exits with programs still running (a loop in a daemon thread) kills them."""
    for owner, group in tuple(_living):
        if owner == os.getpid():
            signal_group(group, signal.SIGKILL)
