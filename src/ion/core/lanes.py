"""The lanes of agents: one whose account or provider is at its limit is closed until some time, and no turn of that
agent begins before (language.md §16). A limit never fails a node by itself: the attempt that met it does not count.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from ion.core import events as e

QUOTA, RATE = "quota_exhausted", "rate_limited"
# How long a lane is closed where nobody says until when: the first is for one closing, each further for one more in a
# row. From the third on it is a quota, and a quota begins behind that.
RESTS_MS = (5_000, 30_000, 120_000, 300_000, 600_000, 1_200_000, 2_400_000, 3_600_000)
_FIRST_QUOTA = 4
_LEAST_MS = 1000
# So long in all a turn waits for short limits of the rate; one beyond that counts as an attempt.
UNCOUNTED_MS = 600_000


class Lane(Struct, frozen=True, gc=False):
    """A lane that was closed by `error` until `until` (ms since the epoch), for the `closings`-th time in a row, when
    the log had `seq` events; `delay_ms` is how long that was then."""

    until: int
    error: e.Failure
    closings: int
    seq: int
    delay_ms: int

    @property
    def is_quota(self) -> bool:
        return self.error.code == QUOTA

    def seen_at(self, at: int) -> Lane:
        """To a process that continues at this time, whose clock may be behind that of the one before."""
        return replace(self, until=min(self.until, at + self.delay_ms))


class Held(Struct, frozen=True, gc=False):
    """The agents whose closed lanes hold turns back, and when the first of these opens."""

    agents: tuple[str, ...] = ()
    until: int | None = None


NOT_HELD = Held()


def closing(lane: Lane | None, agent: str, error: e.Failure, since: int, at: int) -> e.LaneClosed | None:
    """The closing of an agent's lane after a turn, begun when the log had `since` events, met a limit. None: `lane`
    says that already, since that turn had begun before it was closed."""
    known = error.resets_at
    if error.code == RATE and known is not None and known < at + _LEAST_MS:
        known = None
    if lane is not None and since < lane.seq:
        if known is not None and known > lane.until:
            return e.LaneClosed(at, agent, _as(error, is_quota=lane.is_quota), known, lane.closings)
        if error.code != QUOTA or lane.is_quota or known is not None:
            return None
    before = 0 if lane is None else lane.closings
    if known is not None:
        if error.code == RATE:
            return e.LaneClosed(at, agent, error, known, before)
        # What was said before was too early, if this is not the first, and so is what has passed by now.
        least = _rest(max(before, 1)) if before or known < at + _LEAST_MS else 0
        return e.LaneClosed(at, agent, error, max(known, at + least), before + 1)
    number = before + 1 if error.code == RATE else max(before + 1, _FIRST_QUOTA)
    told = _as(error, is_quota=number >= _FIRST_QUOTA - 1)
    return e.LaneClosed(at, agent, told, at + _rest(number), number)


def _rest(closings: int) -> int:
    return RESTS_MS[min(closings, len(RESTS_MS)) - 1]


def _as(error: e.Failure, *, is_quota: bool) -> e.Failure:
    return replace(error, code=QUOTA) if is_quota else error


def counts_as_attempt(lane: Lane | e.LaneClosed, error: e.Failure, rested_ms: int, at: int) -> bool:
    """Whether an attempt that met a limit counts: it never does for a quota, and for a limit of the rate once its turn
    has waited for `rested_ms`."""
    if QUOTA in (error.code, lane.error.code):
        return False
    return rested_ms + max(0, lane.until - at) > UNCOUNTED_MS


def closed_lanes(lanes: Mapping[str, Lane], at: int) -> dict[str, int]:
    """The agents whose lanes are closed, and until when."""
    return {agent: lane.until for agent, lane in lanes.items() if lane.until > at}
