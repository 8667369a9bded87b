"""Texts for people: as wide as there is room, times and sizes in few characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.core.events import Failure
from ion.views import text as formatting
from ion.views.words import failure_text

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60)


@given(ANY_TEXT, st.integers(0, 40))
def test_a_text_is_cut_to_its_room(text: str, columns: int) -> None:
    assert formatting.width(formatting.cut(text, columns)) <= columns
    assert formatting.width(formatting.pad(text, columns)) == columns


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("fix-issue", 9, "fix-issue"),
        ("fix-issue", 8, "fix-iss…"),
        ("漢字漢字", 6, "漢字…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_what_is_cut_says_so(text: str, columns: int, shown: str) -> None:
    assert formatting.cut(text, columns) == shown


def test_an_id_is_cut_in_its_middle() -> None:
    assert formatting.cut_middle("a-very-long-node-id", 9) == "a-ve…e-id"
    assert formatting.cut_middle("short", 9) == "short"


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0.0s"),
        (400, "0.4s"),
        (9_940, "9.9s"),
        (9_960, "10s"),
        (59_400, "59s"),
        (59_600, "1m00s"),
        (184_000, "3m04s"),
        (3_599_700, "1h00m"),
        (4_320_000, "1h12m"),
        (None, ""),
    ],
)
def test_durations(milliseconds: int | None, shown: str) -> None:
    assert formatting.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (2150, "2.1 KB"),
        (14 << 20, "14 MB"),
        (3 << 40, "3.0 TB"),
        (1 << 60, "1048576 TB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert formatting.size(count) == shown


def test_elapsed_time_has_stable_columns() -> None:
    assert [formatting.elapsed(ms) for ms in (0, 8_649, 62_300, 7_200_000, -5)] == [
        "00:00.0",
        "00:08.6",
        "01:02.3",
        "120:00.0",
        "00:00.0",
    ]


@given(ANY_TEXT, st.integers(20, 60), st.integers(0, 10))
def test_a_wrapped_text_loses_nothing_but_blanks(text: str, columns: int, first: int) -> None:
    lines = list(formatting.wrapped(text, columns, first=first))
    assert all(formatting.width(line) <= columns and line.isprintable() for line in lines)
    assert not lines or formatting.width(lines[0]) <= columns - first
    whole = "".join(formatting.printable(line) for line in text.splitlines())
    assert "".join("".join(lines).split(" ")) == "".join(whole.split(" "))


def test_what_is_continued_stands_further_to_the_right() -> None:
    text = "a list:\n  * an item that has no room in a line\n\nx" + "y" * 40
    assert list(formatting.wrapped(text, 20)) == [
        "a list:",
        "  * an item that has",
        "    no room in a",
        "    line",
        "",
        "xyyyyyyyyyyyyyyyyyyy",
        "  yyyyyyyyyyyyyyyyyy",
        "  yyy",
    ]


def test_what_took_too_long_is_not_told_by_its_exit_status() -> None:
    late = Failure("timeout", "bash timed out after 1000 ms: stopping", exit_status=1)
    assert failure_text(late).headline.startswith("bash timed out after 1000 ms")
    assert failure_text(Failure("exit-status", "bash failed [exit 1]: no", exit_status=1)).headline == "exit 1"
