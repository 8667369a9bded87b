"""When a reply ends a loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.core.loops import read_signal
from work import assert_linear


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
        ("All tasks are COMPLETE.", "COMPLETE", False),
        ("all is _COMPLETE_.", "COMPLETE", False),
        ("I will not say COMPLETE.", "COMPLETE", False),
        ("T9 remains, so not replying COMPLETE.", "COMPLETE", False),
        ('Until then I must not print "COMPLETE"!', "COMPLETE", False),
        ("The word for that would be\n> COMPLETE", "COMPLETE", False),
        ("- [x] T8\n- [ ] COMPLETE", "COMPLETE", False),
        ("not-COMPLETE", "COMPLETE", False),
        ("I would print\n```\nCOMPLETE\n```\nbut T9 remains.", "COMPLETE", False),
        ("When done: `<promise>COMPLETE</promise>`. T9 remains.", "COMPLETE", False),
        ("When done:\n```xml\n<promise>COMPLETE</promise>\n```\nT9 remains.", "COMPLETE", False),
        ("~~~\n<promise>COMPLETE</promise>\n~~~\nT9 remains.", "COMPLETE", False),
        ("use ``a ` b <x>COMPLETE</x>`` then", "COMPLETE", False),
        ("`<x>COMPLETE</x>` comes later", "COMPLETE", False),
        ("`a` and `<x>COMPLETE</x>` later", "COMPLETE", False),
        ("`a`<x>COMPLETE</x>", "COMPLETE", True),
        ("1\n2\n3\n4\n5\n6\n7\n8\n9\n```\nCOMPLETE\n```\nT9 remains.", "COMPLETE", False),
        ("make it\n--COMPLETE", "COMPLETE", False),
        ("as of v1.x COMPLETE", "COMPLETE", False),
        ("~~~ <x>COMPLETE</x>\ncode\n~~~\nT9 remains.", "COMPLETE", False),
        ("a lone ` and <x>COMPLETE</x> then", "COMPLETE", True),
        ("`a`\n\n<x>COMPLETE</x> `b`", "COMPLETE", True),
        ("```\nnever closed\n<x>COMPLETE</x>", "COMPLETE", True),
        ("```\ncode\n```\nDone: <x>COMPLETE</x> then", "COMPLETE", True),
        ("````\n```\n<x>COMPLETE</x>\n```\n````\n", "COMPLETE", False),
        ("`a` <x>COMPLETE</x> `b`", "COMPLETE", True),
        ("<x>COMPLETE</x>`a`", "COMPLETE", True),
        ("`a\n\n<x>COMPLETE</x> `b", "COMPLETE", True),
        ("~~~\na ` b\n~~~\n<x>COMPLETE</x> ` then", "COMPLETE", True),
        ("```\na\n```\n<x>COMPLETE</x>\n```\nb\n```\nend", "COMPLETE", True),
        ("```\n```py\n<x>COMPLETE</x>\n```\nend", "COMPLETE", False),
        ("~~~~\nnever closed\n~~~\n<x>COMPLETE</x>\n~~~\nend", "COMPLETE", False),
        ("~~~~\n~~~a\n<x>COMPLETE</x>\n~~~\n~~~~b\nend", "COMPLETE", False),
        ("**DONE**\nmore to say", "**DONE**", True),
        ("Status: COMPLETE", "COMPLETE", True),
        ("Status: **COMPLETE**.", "COMPLETE", True),
        ("All green!\n\n- COMPLETE", "COMPLETE", True),
        ("All green\n2) COMPLETE", "COMPLETE", True),
        ("All green\n- [x] COMPLETE", "COMPLETE", True),
        ("All green\n\u2705 COMPLETE \u2705\n", "COMPLETE", True),
        ("All green\n### COMPLETE ###", "COMPLETE", True),
        ("Is it? (COMPLETE)", "COMPLETE", True),
        ("\u5168\u90e8\u5b8c\u6210\u3002COMPLETE", "COMPLETE", True),
        ("All green\nCOMPLETED", "COMPLETE", False),
        ('{"done": false, "wanted": "COMPLETE"}', "COMPLETE", False),
        ("", "COMPLETE", False),
        ("anything", None, False),
        ("a.b. DONE!", "DONE!", True),
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
        ("a <promise>b <x>X</x> c</promise> d <x>X</x>", "a  d"),
        ("a <promise>b <x>X</x> c", "a <promise>b  c"),
        ("a <promise>b `</promise>` c</promise> d", "a  d"),
        ("</promise> a <promise>b</promise>", "</promise> a"),
        ("a <promise>b <promise>c</promise> d", "a  d"),
        ("<promise>a</promise> b </promise>", "b </promise>"),
        ("say `<promise>X</promise>` at the end", "say `<promise>X</promise>` at the end"),
        ("X", "X"),
    ],
)
def test_tags_are_taken_out_of_the_output(text: str, cleaned: str) -> None:
    assert read_signal(text, "X")[1] == cleaned


@pytest.mark.parametrize(
    "piece",
    [
        *("<promise>", "<a ", "<a>  ", "COMPLETE ", "</promise>", "<promise>COMPLETE", "`<x>COMPLETE</x>`"),
        *("```a\n<x>COMPLETE</x>\n", "```\nCOMPLETE\n", "`a``b```c <x>COMPLETE</x>", "*-.:", "- [ ] "),
    ],
)
def test_a_hostile_reply_is_read_in_linear_time(piece: str) -> None:
    assert_linear(lambda text: read_signal(text, "COMPLETE"), lambda size: piece * (size // len(piece)), 2_000)
    read_signal(piece * (400_000 // len(piece)), "COMPLETE")


@pytest.mark.parametrize("mark", "+\u2713\u2714\u2705\u2611*_`~-\u2014\u2022(\u00ab\"'#\ufeff\ufe0f\u00a0")
def test_marks_and_punctuation_say_nothing(mark: str) -> None:
    """Before the word with a blank, after it, and twice."""
    for text in (f"Yes.\n{mark} COMPLETE", f"Yes.\n{mark}{mark} COMPLETE {mark}", f"COMPLETE{mark}"):
        assert read_signal(text, "COMPLETE")[0], text


@pytest.mark.parametrize("mark", "><{}|$=^a1\u00e9\u2192")
def test_other_characters_do(mark: str) -> None:
    for text in (f"Yes.\n{mark} COMPLETE", f"Yes. COMPLETE {mark}"):
        assert not read_signal(text, "COMPLETE")[0], text


@pytest.mark.parametrize("end", ".!?:\u2026\u3002\uff01\uff1f\uff1a\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
def test_what_ends_a_sentence(end: str) -> None:
    assert read_signal(f"It is done{end} COMPLETE", "COMPLETE")[0]
    assert not read_signal(f"It is done{end} not COMPLETE", "COMPLETE")[0]


PROSE = st.text(st.characters(categories=("Lu", "Ll", "Nd"), exclude_characters="COMPLETE"), min_size=1, max_size=8)


@given(st.lists(PROSE, min_size=1), st.lists(PROSE), st.sampled_from(["", ".", "!", "?", "`", "**", '"', "\n", " ."]))
def test_a_word_among_others_is_never_the_signal(before: list[str], after: list[str], mark: str) -> None:
    """Whatever the sentence says: it says more than the word."""
    assert not read_signal(f"{' '.join(before)} COMPLETE{mark}{' '.join(['', *after])}", "COMPLETE")[0]


@given(PROSE, st.sampled_from([". ", "! ", "? ", ": ", "\n"]), st.sampled_from(["", "**", "_", "`", "- ", '"', "# "]))
def test_a_word_that_ends_a_reply_by_itself_is_the_signal(prose: str, end: str, mark: str) -> None:
    assert read_signal(f"{prose}{end}{mark}COMPLETE{mark.strip()}.\n", "COMPLETE")[0]


@given(PROSE, PROSE, st.sampled_from(["```", "````", "~~~"]), st.sampled_from(["<a>COMPLETE</a>", "COMPLETE"]))
def test_what_is_quoted_as_code_is_not_the_signal(before: str, after: str, fence: str, signal: str) -> None:
    assert read_signal(f"{before}\n{fence}\n{signal}\n{fence}\n{after}", "COMPLETE")[0] is False


@given(st.text("<>/promiseCOMPLETE *_`~\n.-", max_size=80))
def test_any_reply_is_read(text: str) -> None:
    signaled, cleaned = read_signal(text, "COMPLETE")
    assert isinstance(signaled, bool)
    assert cleaned == cleaned.strip()
