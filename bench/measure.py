"""Running programs in turn and comparing them: what a whole process cost, and ratios with their spread.

A program is started with `posix_spawn` and reaped with `wait4`, which gives its processor time and its peak memory with
those of all that it waited for. A program that prints a JSON object as its last line adds figures of its own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Figures = dict[str, float]


@dataclass(frozen=True)
class Program:
    """A program that does a work. `prepare` is called before each round and not measured. `status` is what it exits
    with when all is well."""

    name: str
    argv: Sequence[str]
    cwd: Path
    prepare: Callable[[], None] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    status: int = 0


class FailedError(Exception):
    """A program did not do its work."""


def environment() -> dict[str, str]:
    """This process's environment, without what would make Python compile its modules at every start."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "ION_STORE")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def run(program: Program) -> Figures:
    """Run it once: `wall` and `cpu` in seconds, `peak` in KiB, and what it says itself.

    Raises `FailedError` with the last of what it printed.
    """
    if program.prepare is not None:
        program.prepare()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _in(program.cwd):
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, err.fileno(), 2),
        ]
        began = time.perf_counter()
        pid = os.posix_spawnp(
            program.argv[0], list(program.argv), {**environment(), **program.env}, file_actions=actions
        )
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        printed, said = _read(out.fileno()), _read(err.fileno())
    if os.waitstatus_to_exitcode(status) != program.status:
        raise FailedError(f"{program.name} ended with {os.waitstatus_to_exitcode(status)}: {(said or printed)[-600:]}")
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": float(usage.ru_maxrss),
        **_own_figures(printed),
    }


def rounds(programs: Sequence[Program], count: int, tell: Callable[[str], None]) -> dict[str, list[Figures]]:
    """Run all of them `count` times, in turn, after one turn that warms what can be warm. Who fails is left out."""
    found: dict[str, list[Figures]] = {program.name: [] for program in programs}
    for number in range(count + 1):
        # Forwards and backwards in turn, so that nobody always runs in the wake of the same neighbour.
        for program in programs if number % 2 else reversed(programs):
            if program.name not in found:
                continue
            gc.collect()
            try:
                figures = run(program)
            except (FailedError, OSError) as error:
                tell(f"{program.name} is left out: {error}")
                del found[program.name]
                continue
            if number or count == 1:
                found[program.name].append(figures)
        if count == 1:
            break
    return found


@dataclass(frozen=True)
class Spread:
    """A ratio (or a value): that of the medians, and the smallest and largest of a single round."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g}–{self.high:.3g})"


def ratio(above: list[Figures], below: list[Figures], figure: str, scale: float = 1.0) -> Spread:
    """How the figure of one compares with that of another, round by round. `scale` multiplies the result."""
    pairs = [(one[figure], other[figure]) for one, other in zip(above, below, strict=False)]
    each = [scale * one / other for one, other in pairs]
    medians = [statistics.median(values) for values in zip(*pairs, strict=True)]
    return Spread(scale * medians[0] / medians[1], min(each), max(each))


def value(samples: list[Figures], figure: str, scale: float = 1.0) -> Spread:
    """A figure by itself."""
    values = [scale * one[figure] for one in samples]
    return Spread(statistics.median(values), min(values), max(values))


def _own_figures(printed: str) -> Figures:
    lines = printed.strip().splitlines()
    if not lines or not lines[-1].startswith('{"'):
        return {}
    try:
        return {name: float(number) for name, number in json.loads(lines[-1]).items()}
    except (ValueError, TypeError):
        return {}


def _read(descriptor: int) -> str:
    os.lseek(descriptor, max(0, os.lseek(descriptor, 0, os.SEEK_END) - 65536), os.SEEK_SET)
    return os.read(descriptor, 65536).decode("utf-8", "replace")


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
