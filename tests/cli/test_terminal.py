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
