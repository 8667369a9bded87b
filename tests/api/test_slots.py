"""The slots of cron expressions, on the days on which clocks are changed too, and from wherever one begins to look."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.api.deployment import Schedule
from ion.api.slots import next_slots, slots_between
from ion.errors import UsageError

HOUR = 3_600_000
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def shown(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next slots as UTC."""
    found = next_slots(Schedule("w", cron, zone), ms(after, zone), count)
    return [datetime.fromtimestamp(slot / 1000, UTC).strftime("%m-%d %H:%M") for slot in found]


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # the missing hour: at its end
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00", ["03-29 01:00", "03-30 00:30"]),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00", ["03-08 07:00", "03-09 06:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["10-03 15:30", "10-04 15:15"]),
        # the hour that comes twice: once
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", ["10-25 00:30", "10-26 01:30"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["11-01 05:30", "11-02 06:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00", ["04-04 14:45", "04-05 15:15"]),
        # every hour: in both
        ("Europe/Berlin", "0 * * * *", "2026-10-25T01:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("America/New_York", "*/30 1 * * *", "2026-11-01T00:59", ["11-01 05:00", "11-01 05:30"]),
    ],
)
def test_days_on_which_clocks_are_changed(zone: str, cron: str, after: str, expected: list[str]) -> None:
    assert shown(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(("zone", "day"), [("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01")])
def test_a_slot_of_the_hour_that_comes_twice_comes_once_whenever_one_looks(zone: str, day: str) -> None:
    """A clock that looks each minute sees what one sees that looks once."""
    schedule = Schedule("w", "30 1,2 * * *", zone)
    start, end = ms(f"{day}T00:00", zone), ms(f"{day}T06:00", zone)
    whole = slots_between(schedule, start, end)
    pieces = [slot for at in range(start, end, 60_000) for slot in slots_between(schedule, at, at + 60_000)]
    assert pieces == whole
    assert len(whole) == 2


EXPRESSIONS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["0", "30", "*/15", "5,50", "*"]),
        st.sampled_from(["*", "2", "1,2,3", "*/6", "0-4"]),
        st.sampled_from(["*", "1", "*/2", "28-31"]),
        st.sampled_from(["*", "3", "10,11", "4"]),
        st.sampled_from(["*", "0", "1-5"]),
    ),
)
# Around the days on which one of the zones changes its clocks, and anywhere.
MOMENTS = st.one_of(
    st.integers(0, 12 * HOUR).map(lambda more: ms("2026-03-28T22:00") + more),
    st.integers(0, 12 * HOUR).map(lambda more: ms("2026-10-24T22:00") + more),
    st.integers(ms("2026-01-01T00:00"), ms("2027-01-01T00:00")),
)


@given(cron=EXPRESSIONS, zone=st.sampled_from(ZONES), start=MOMENTS, cut=st.integers(0, 24 * HOUR))
def test_looking_twice_finds_what_looking_once_finds(cron: str, zone: str, start: int, cut: int) -> None:
    """No slot is lost and none comes twice, wherever a clock stopped looking."""
    schedule = Schedule("w", cron, zone)
    end = start + 24 * HOUR
    whole = slots_between(schedule, start, end)
    parts = slots_between(schedule, start, start + cut) + slots_between(schedule, start + cut, end)
    assert parts == whole
    assert whole == sorted(set(whole))
    assert all(start < slot <= end and slot % 60_000 == 0 for slot in whole)


@pytest.mark.parametrize(
    "cron", ["", "x", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 4 *", "*/0 * * * *", "@daily"]
)
def test_an_expression_that_is_none_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match="invalid cron expression"):
        next_slots(Schedule("w", cron), 0, 1)
