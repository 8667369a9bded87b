"""Bars stand where the time was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ion.views.rows import Bar, axis, bar


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(8, 90))
def test_a_bar_fills_its_field(start: int, end: int, length: int, columns: int) -> None:
    whole = Bar(0, length)
    drawn = bar(Bar(min(start, end), max(start, end)), whole, columns)
    assert len(drawn) == columns
    assert drawn.strip().startswith("▐")
    assert bar(None, whole, columns) == " " * columns
    assert axis(whole, columns).startswith("0s")


def test_bars_stand_where_the_time_was() -> None:
    whole = Bar(1000, 2000)
    assert bar(Bar(1000, 1500), whole, 10) == "▐████     "
    assert bar(Bar(1500, 2000), whole, 10) == "     ▐████"
    assert bar(Bar(2000, 2000), whole, 10) == "         ▐"
