"""Long stretches in which nothing works are folded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ion.views.timeline import scale

MINUTE = 60_000


def test_a_run_without_gaps_is_even() -> None:
    line = scale(100, [(0, 40), (40, 100)])
    assert [line.place(at) for at in (-5, 0, 25, 50, 100, 200)] == [0, 0, 0.25, 0.5, 1, 1]
    assert line.gaps == ()


def test_a_night_between_two_minutes_is_folded() -> None:
    night = 8 * 60 * MINUTE
    line = scale(2 * MINUTE + night, [(0, MINUTE), (MINUTE + night, 2 * MINUTE + night)])
    assert [(gap.start, gap.length) for gap in line.gaps] == [(MINUTE, night)]
    assert round(line.place(MINUTE), 3) == 0.48
    assert round(line.place(MINUTE + night), 3) == 0.52


def test_a_gap_of_five_minutes_is_not() -> None:
    assert scale(7 * MINUTE, [(0, MINUTE), (6 * MINUTE, 7 * MINUTE)]).gaps == ()


def test_what_still_waits_at_the_end_is_folded_too() -> None:
    line = scale(61 * MINUTE, [(0, MINUTE)])
    assert (line.place(MINUTE), line.place(61 * MINUTE)) == (0.96, 1)


def test_a_run_in_which_nothing_worked_has_a_line() -> None:
    assert scale(0, []).place(0) == 0
    assert scale(60 * MINUTE, []).place(30 * MINUTE) == 0.5


@given(st.integers(0, 10**8), st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**7)), max_size=30))
def test_places_grow_with_time(whole: int, spans: list[tuple[int, int]]) -> None:
    line = scale(whole, [(start, min(whole, start + took)) for start, took in spans if start <= whole])
    places = [line.place(at) for at in sorted({0, whole, *(start for start, _ in spans if start <= whole)})]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
