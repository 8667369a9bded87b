"""The one rule for secrets in texts."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.masking import SHORTEST, mask, mask_json, mask_stream, secret_values


def test_the_values_are_those_of_the_environment() -> None:
    environ = {"A": "hunter2", "B": "", "C": "hunter2", "D": "other"}
    assert secret_values(["A", "B", "C", "GONE"], environ) == ("hunter2",)


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("nothing", (), "nothing"),
        ("a hunter2, hunter2!", ("hunter2",), "a ***, ***!"),
        ("abcdef abcd", ("abcd", "abcdef"), "*** ***"),
        ("abc", ("abc",), "abc"),
        ("a.c+", ("a.c+",), "***"),
        ("abc+", ("a.c+",), "abc+"),
        ("first line\nsecond line", ("first line\nsecond line\n",), "***"),
        ("> second line", ("first line\nsecond line\n",), "> ***"),
        ('{"x": "say \\"hi\\""}', ('say "hi"',), '{"x": "***"}'),
        ('"gr\\u00fcn" grün', ("grün",), '"***" ***'),
    ],
)
def test_mask(text: str, secrets: tuple[str, ...], shown: str) -> None:
    assert mask(text, secrets) == shown


def test_json_is_masked_in_its_texts_and_not_in_its_names() -> None:
    value = {"token": ["a token", ("token", 5, None)], "n": 1.5}
    assert mask_json(value, ("token",)) == {"token": ["a ***", ["***", 5, None]], "n": 1.5}


class Pieces(io.BytesIO):
    """A stream that gives what it holds in small pieces."""

    step = 3

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


words = st.text(st.sampled_from("ab é\n"), max_size=12)


@given(st.lists(words, max_size=3), st.text(st.sampled_from("ab é\n"), max_size=60), st.integers(1, 9))
def test_a_stream_is_masked_as_a_text_is_wherever_its_pieces_end(secrets: list[str], text: str, step: int) -> None:
    values = tuple(secrets)
    stream = Pieces(text.encode())
    stream.step = step
    assert b"".join(mask_stream(stream, values)).decode() == mask(text, values)


@given(st.text(min_size=SHORTEST).filter(lambda value: "*" not in value), st.text(), st.text())
def test_no_value_of_four_characters_is_left(secret: str, before: str, after: str) -> None:
    shown = mask(f"{before}{secret}{after}", (secret,))
    assert "***" in shown
    assert secret not in shown or secret in before + after or secret in f"{before}***{after}"


@given(st.text(min_size=SHORTEST))
def test_a_value_inside_json_text_is_found(secret: str) -> None:
    assert mask(json.dumps({"x": secret}), (secret,)) == '{"x": "***"}' or "*" in secret


def test_bytes_that_are_no_text_stay() -> None:
    assert b"".join(mask_stream(io.BytesIO(b"\xff\0hunter2\xfe"), ("hunter2",))) == b"\xff\0***\xfe"
