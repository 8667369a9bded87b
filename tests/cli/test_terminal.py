"""What reaches a person: printable, in an encoding that the stream has, in the room that there is."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.cli import terminal
from ion.cli.terminal import Screen
from ion.errors import IonError
from ion.views import text as formatting
from ion.views.timeline import Bar, axis, bar

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60)


def screen(encoding: str = "utf-8", *, unicode: bool = True, colour: bool = False) -> tuple[Screen, io.BytesIO]:
    buffer = io.BytesIO()
    return Screen(io.TextIOWrapper(buffer, encoding, newline="\n"), unicode, colour), buffer


@given(st.lists(st.one_of(ANY_TEXT, st.tuples(st.sampled_from(["good", "error", "nothing"]), ANY_TEXT)), max_size=4))
def test_any_text_is_one_printable_line(parts: list[terminal.Part]) -> None:
    shown, buffer = screen()
    shown.line(*parts)
    line = buffer.getvalue().decode()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@given(ANY_TEXT)
def test_a_colour_is_the_only_thing_that_acts_on_a_terminal(text: str) -> None:
    shown, buffer = screen(colour=True)
    shown.line(("bad", text), "x")
    line = buffer.getvalue().decode()
    assert line.startswith("\x1b[31m")
    assert line.endswith("\x1b[0mx\n")
    assert line[len("\x1b[31m") : -len("\x1b[0mx\n")].isprintable()


@given(ANY_TEXT, st.sampled_from(["ascii", "latin-1", "cp437", "utf-8"]))
def test_no_encoding_is_too_small(text: str, encoding: str) -> None:
    shown, buffer = screen(encoding, unicode=encoding == "utf-8")
    shown.line(text)
    line = buffer.getvalue().decode(encoding)
    assert line.count("\n") == 1
    assert line.isascii() or encoding == "utf-8"


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


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LC_ALL": "de_DE.utf8", "LANG": "C"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "POSIX"}, False),
        ({}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "en_US.UTF-8"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "C", "PYTHONUTF8": "1"}, True),
    ],
)
def test_the_locale_says_what_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal.shows_unicode(io.TextIOWrapper(io.BytesIO(), "utf-8")) is expected
    assert terminal.shows_unicode(io.TextIOWrapper(io.BytesIO(), "latin-1")) is False


def test_talk_to_nobody_is_no_error_and_data_to_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.TextIOWrapper):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone(io.BytesIO()))
    monkeypatch.setattr(sys, "stdout", Gone(io.BytesIO()))
    terminal.talk().lines(["one", "two"])
    with pytest.raises(IonError, match="the output cannot be written: Input/output error"):
        terminal.data().line("one")
    monkeypatch.setattr(sys, "stdout", None)
    terminal.data().line("one")
    terminal.write_json({})


def test_json_is_ascii_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.write_json({"x": "\x1b\x7f\x9b\u202eü\ud800"}, indent=None)
    assert capsys.readouterr().out == '{"x": "\\u001b\\u007f\\u009b\\u202e\\u00fc\\ufffd"}\n'


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
