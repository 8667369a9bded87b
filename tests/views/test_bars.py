"""Bars stand where the time was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ion.views.rows import axis, bar


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(8, 90))
def test_a_bar_fills_its_field(start: int, took: int, whole: int, columns: int) -> None:
    drawn = bar(start, took, whole, columns)
    assert len(drawn) == columns
    assert drawn.strip().startswith("▐")
    assert bar(None, None, whole, columns) == " " * columns
    assert axis(whole, columns).startswith("0s")


def test_bars_stand_where_the_time_was() -> None:
    assert bar(0, 500, 1000, 10) == "▐████     "
    assert bar(500, 500, 1000, 10) == "     ▐████"
    assert bar(1000, 0, 1000, 10) == "         ▐"
