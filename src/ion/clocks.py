"""What time it is: the one place where Ion asks the system, and where a test can put its own hand to the clock.

What is written down are milliseconds since the epoch. A wall clock may be put forward or back while a run lasts, so
whoever measures takes `running_from`: the wall clock as it was once, moved on by a clock of this boot that never jumps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# One for all processes of a boot, which also counts while the machine sleeps; elsewhere the nearest to it.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> int:
    """Milliseconds since the epoch, by the wall clock."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds of a clock that all processes of this boot share, and that nobody can set."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


def zero_ms() -> int:
    """Where the steady clock stood at 0, in milliseconds since the epoch, if the wall clock is right at this moment."""
    return now_ms() - steady_ms()


def running_from(zero: int) -> Callable[[], int]:
    """A clock in milliseconds since the epoch that runs as the steady one does. `zero` is what `zero_ms` gave once."""
    return partial(_since, zero)


def _since(zero: int) -> int:
    return zero + steady_ms()
