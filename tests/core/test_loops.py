"""When a reply ends a loop."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.core.loops import read_signal


@pytest.mark.parametrize(
    ("text", "until", "signaled"),
    [
        ("Work done. COMPLETE", "COMPLETE", True),
        ("Work done. COMPLETE!\n", "COMPLETE", True),
        ("The status is not COMPLETE yet.", "COMPLETE", False),
        ("  COMPLETE  \nmore to say", "COMPLETE", True),
        ("complete", "COMPLETE", False),
        ("<promise>complete</promise>", "COMPLETE", True),
        ("<promise> COMPLETE </promise> and more", "COMPLETE", True),
        ("<COMPLETE>ALL_CLEAN</done>", "ALL_CLEAN", False),
        ('<done attr="1"> ALL_CLEAN </done> tail', "ALL_CLEAN", True),
        ("INCOMPLETE", "COMPLETE", False),
        ("NOT_COMPLETE", "COMPLETE", False),
        ("**COMPLETE**", "COMPLETE", True),
        ("`COMPLETE`\nthat was it", "COMPLETE", True),
        ("all is _COMPLETE_.", "COMPLETE", True),
        ("", "COMPLETE", False),
        ("anything", None, False),
        ("a.b DONE!", "DONE!", True),
    ],
)
def test_the_signal(text: str, until: str | None, signaled: bool) -> None:
    assert read_signal(text, until)[0] is signaled


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Done. <promise>X</promise>", "Done."),
        ("a <PROMISE>whatever\nit is</PROMISE> b", "a  b"),
        ("keep <promise> this", "keep <promise> this"),
        ("x <end>X</end> y <end>Z</end>", "x  y <end>Z</end>"),
        ("X", "X"),
    ],
)
def test_tags_are_taken_out_of_the_output(text: str, cleaned: str) -> None:
    assert read_signal(text, "X")[1] == cleaned


@pytest.mark.parametrize("piece", ["<promise>", "<a ", "<a>  ", "COMPLETE ", "</promise>", "<promise>COMPLETE"])
def test_a_hostile_reply_is_read_in_linear_time(piece: str) -> None:
    started = time.process_time()
    read_signal(piece * (400_000 // len(piece)), "COMPLETE")
    assert time.process_time() - started < 5


@given(st.text("<>/promiseCOMPLETE *_`\n.", max_size=60))
def test_any_reply_is_read(text: str) -> None:
    signaled, cleaned = read_signal(text, "COMPLETE")
    assert isinstance(signaled, bool)
    assert cleaned == cleaned.strip()
