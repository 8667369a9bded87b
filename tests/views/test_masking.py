"""A text is masked once on its way to a screen, and before anything shortens it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from ion.cli.terminal import Screen
from ion.views import masking
from ion.views.masking import Shown, shown
from ion.views.text import cut, one_line, pad, wrapped

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def secret() -> Iterator[None]:
    masking.begin([f"postgresql://me:{SECRET}@host/db"])
    yield
    masking.begin([])


def test_a_text_is_masked_once_however_often_it_is_shaped(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_through = []
    mask = masking.Hidden.text

    def counted(hidden: masking.Hidden, text: str) -> str:
        looked_through.append(text)
        return mask(hidden, text)

    monkeypatch.setattr(masking.Hidden, "text", counted)
    stream = io.StringIO()
    said = f"the password  is {SECRET}"
    Screen(stream).line(pad(cut(one_line(said), 30), 32), ("good", shown("done")))
    assert looked_through == [said, "done"]
    assert stream.getvalue() == "the password is ***             done\n"


@pytest.mark.parametrize("columns", range(1, 40))
def test_no_part_of_a_secret_is_left_where_a_text_is_cut_or_folded(columns: int) -> None:
    text = f"see {SECRET}"
    assert "hun" not in cut(text, columns)
    assert "hun" not in pad(text, columns)
    assert not any("hun" in line for line in wrapped(text, columns + 3))


def test_a_plain_text_is_masked_by_the_screen_itself() -> None:
    stream = io.StringIO()
    Screen(stream).line(f"a {SECRET}", ("bad", SECRET))
    assert stream.getvalue() == "a ******\n"


def test_what_is_put_together_from_shown_texts_is_looked_at_again() -> None:
    assert not isinstance(f"{shown('a')} {SECRET}", Shown)
    assert shown(f"{shown('a')} {SECRET}") == "a ***"
