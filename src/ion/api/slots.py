"""When a schedule is due: its slots, the instants of its cron expression in its time zone.

A slot is ms since the epoch. On the day on which clocks are set forward a slot in the missing hour comes at its end; on
that on which they are set back a slot of a fixed hour comes once, the first time, and one of every hour in both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

from ion.api.deployment import DEFAULT_TIMEZONE, Schedule
from ion.errors import UsageError

_FIELDS = 5
# The search begins before an hour that the clock may show twice, so that it passes through it from its first time on.
_BEFORE_S = 3 * 3600


def slots(schedule: Schedule, after: int) -> Iterator[int]:
    """The slots after this moment (ms since the epoch), in order, without end unless there are none. Raises
    `UsageError` for an invalid cron expression, and if cronsim is not installed."""
    from zoneinfo import ZoneInfo

    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        hint = "install it: uv tool install 'ion-workflows[schedule]'"
        raise UsageError("schedules need the package cronsim", hint=hint) from error
    zone = UTC if schedule.timezone == DEFAULT_TIMEZONE else ZoneInfo(schedule.timezone)
    start = datetime.fromtimestamp(after / 1000 - _BEFORE_S, zone)
    try:
        if len(schedule.cron.split()) != _FIELDS:
            raise CronSimError("it does not have five fields")
        moments = CronSim(schedule.cron, start)
    except CronSimError as error:
        raise UsageError(
            f"invalid cron expression {schedule.cron!r:.80}: {str(error)[:1].lower()}{str(error)[1:]}",
            hint='five fields: minute, hour, day of the month, month, day of the week, such as "30 2 * * 1-5"',
        ) from error
    found = (int(moment.timestamp() * 1000) for moment in moments)
    return (slot for slot in _increasing(found) if slot > after)


def _increasing(found: Iterator[int]) -> Iterator[int]:
    last = 0
    for slot in found:
        if slot > last:
            yield slot
            last = slot


def slots_between(schedule: Schedule, after: int, until: int) -> list[int]:
    """Those after one moment up to another."""
    return list(itertools.takewhile(lambda slot: slot <= until, slots(schedule, after)))


def next_slots(schedule: Schedule, after: int, count: int) -> list[int]:
    """The first ones after this moment."""
    return list(itertools.islice(slots(schedule, after), count))
