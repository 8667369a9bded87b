"""The one place where Ion asks the system for the time, and where a test can replace the clock.

Recorded times are milliseconds since the epoch. A wall clock may be set forward or back during a run, so measurements
use `running_from`: the wall clock as it was once, advanced by a clock of this boot that never jumps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
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
    """When the steady clock was 0, in milliseconds since the epoch, if the wall clock is right at this moment."""
    return now_ms() - steady_ms()


def running_from(zero: int) -> Callable[[], int]:
    """A clock in milliseconds since the epoch that advances like the steady one. `zero` is an earlier result of
    `zero_ms`."""
    return partial(_since, zero)


def _since(zero: int) -> int:
    return zero + steady_ms()


def timestamp(at: int | None) -> str | None:
    """Milliseconds since the epoch as ISO-8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
