"""The one rule for secrets in texts."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.core import events as e
from ion.core.outcomes import Failed, GateOpened
from ion.masking import (
    SHORTEST,
    head,
    mask,
    mask_json,
    mask_messages,
    mask_stream,
    passwords,
    secret_values,
    tail,
    without_password,
)


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
        ("?k=a%2Fb%20c", ("a/b c",), "?k=***"),
        ("'it\\'s \\x1b\"'", ("it's \x1b\"",), "'***'"),
        ("the end is hunter2-an…", ("hunter2-and-more",), "the end is ***…"),
        ("…r2-and-more was it", ("hunter2-and-more",), "…*** was it"),
        ("hunt… hun… …more …ore", ("hunter2-and-more",), "***… hun… …*** …ore"),
        ("'hunter2-a'… left out …\nand-more", ("hunter2-and-more",), "'***'… left out …\n***"),
        ("hunter… hunter2", ("hunter2-and-more", "hunter2"), "***… ***"),
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


def test_a_byte_that_is_not_utf8_hides_nothing() -> None:
    assert mask("sec\ufffdret sec\udcffret %x=sec%FFret", ("sec\udcffret",)) == "*** *** %x=***"


def test_bytes_that_are_no_text_stay() -> None:
    assert b"".join(mask_stream(io.BytesIO(b"\xff\0hunter2\xfe"), ("hunter2",))) == b"\xff\0***\xfe"


@given(
    st.text(st.sampled_from("ab-"), min_size=SHORTEST, max_size=9), st.text(st.sampled_from("xy")), st.integers(2, 30)
)
def test_what_is_cut_within_a_secret_keeps_no_part_of_it(secret: str, around: str, limit: int) -> None:
    text = f"{around}{secret}{around}"
    for shown in (mask(head(text, limit), (secret,)), mask(tail(text, limit), (secret,))):
        left = shown.replace("…", "").strip("xy")
        assert len(left) < SHORTEST, "nothing, stars, or a piece that is too short to matter"


@pytest.mark.parametrize(
    ("url", "shown", "found"),
    [
        ("postgresql://u:pw@h:5432/db", "postgresql://u@h:5432/db", {"pw"}),
        ("postgresql://u:p%40w@/db?host=/tmp", "postgresql://u@/db?host=/tmp", {"p%40w", "p@w"}),
        ("postgresql://u@/db?host=h&password=p%20w", "postgresql://u@/db?host=h", {"p%20w", "p w"}),
        ("postgresql://h/db?pass%77ord=pw&a=b", "postgresql://h/db?a=b", {"pw"}),
        ("postgresql://u:p@w@h/db", "postgresql://u@h/db", {"p@w"}),
        ("postgresql://u:p/w?x#@h/db", "postgresql://u@h/db", {"p/w?x#"}),
        ("postgresql://u:1234@h/db", "postgresql://u@h/db", {"1234"}),
        ("POSTGRESQL://u:pw@h/db", "POSTGRESQL://u@h/db", {"pw"}),
        (" postgresql+x-1.y://u:pw@h/db", " postgresql+x-1.y://u@h/db", {"pw"}),
        ("temporal://:key@h:7233/ns", "temporal://@h:7233/ns", {"key"}),
        ("postgresql://h:5432/db?user=a@b", "postgresql://h:5432/db?user=a@b", set()),
        ("postgresql://u@h/db", "postgresql://u@h/db", set()),
        ("sqlite:a:b@c", "sqlite:a:b@c", set()),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str, found: set[str]) -> None:
    assert without_password(url) == shown
    assert set(passwords(url)) == found


def test_messages_of_records_are_masked_and_nothing_else() -> None:
    secrets = ("hunter2",)
    output = e.Content("hunter2")
    failure = e.Failure("x", "was hunter2", "not hunter2")
    masked = e.Failure("x", "was ***", "not ***")
    assert mask_messages(e.NodeFailed(1, "n", failure), secrets) == e.NodeFailed(1, "n", masked)
    assert mask_messages(e.NodeSkipped(1, "n", "when", "hunter2"), secrets).detail == "***"
    assert mask_messages(e.WorkflowCancelled(1, "by hunter2"), secrets).reason == "by ***"
    assert mask_messages(GateOpened("hunter2?"), secrets) == GateOpened("***?")
    assert mask_messages(Failed(failure, ("hunter2",)), secrets) == Failed(masked, ("***",))
    values = {"output.a": e.Value(error="it is hunter2"), "output": e.Value(text="hunter2")}
    completed = mask_messages(e.NodeCompleted(1, "n", e.Reply(output, values, notes=("hunter2",))), secrets)
    assert (completed.reply.output, completed.reply.notes) == (output, ("***",))
    assert completed.reply.values == {"output.a": e.Value(error="it is ***"), "output": e.Value(text="hunter2")}
    assert mask_messages(e.NodeFailed(1, "n", failure), ()).error is failure
