"""Conditions: the grammar, its errors with their hints, how values are compared (archon's facts 7.1)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, to_builtins

from ion.errors import ConditionError
from ion.language.conditions import (
    ConditionSyntaxError,
    Fingerprint,
    Lookup,
    comparison_text,
    evaluate,
    explain,
    parse_condition,
)
from ion.language.references import reference_text
from ion.language.values import canonical, select_whole
from ion.language.workflow import Comparison, Condition, InputReference, NodeReference


def reading(**outputs: str) -> Lookup:
    """A lookup over whole outputs by node; inputs are the names that end in `_input`."""

    def read(reference: NodeReference | InputReference) -> str | Fingerprint:
        if isinstance(reference, InputReference):
            if f"{reference.name}_input" not in outputs:
                raise ConditionError(f"unknown input {reference.name!r}")
            return outputs[f"{reference.name}_input"]
        return canonical(select_whole(outputs[reference.node], reference.path))

    return read


def holds(condition: str, **outputs: str) -> bool:
    return evaluate(parse_condition(condition), reading(**outputs))


@pytest.mark.parametrize(
    ("condition", "output", "expected"),
    [
        ("$a.output == 'X'", "X", True),
        ("$a.output=='X'", "X", True),
        ("  $a.output  \n ==\t'X'  ", "X", True),
        ("$a.output != 'X'", "X", False),
        ("$a.output == ''", "", True),
        ("$a.output == 'x'", "X", False),
        ("$a.output == 'X'", "X\n", False),
        ("$a.output.type == 'BUG'", '{"type":"BUG"}', True),
        ("$a.type == 'BUG'", '{"type":"BUG"}', True),
        ("$a.output.n == '42'", '{"n":42}', True),
        ("$a.output.n == 42", '{"n":42}', True),
        ("$a.output.n == 42", '{"n":42.0}', True),
        ("$a.output.ok == true", '{"ok":true}', True),
        ("$a.output.ok == 'true'", '{"ok":true}', True),
        ("$a.output.ok == false", '{"ok":true}', False),
        ("""$a.output.items == '["todo","fix"]'""", '{"items": ["todo", "fix"]}', True),
        ("$a.output.x == 'null'", '{"x": null}', True),
        ("$a.output.x.y.z == 'deep'", '{"x": {"y": {"z": "deep"}}}', True),
        ("$a.output > '80'", "81", True),
        ("$a.output > '80'", "80", False),
        ("$a.output >= 80", "80", True),
        ("$a.output < -1.5", " -2e0 \n", True),
        ("$a.output <= 0", "0.0", True),
        ("$a.output < 1", "1", False),
        ("$a.output == 'x && y || z'", "x && y || z", True),
        ("$a.t == 'A'", '```json\n{"t":"A"}\n```', True),
        ("$a.output == '$b.output \\ \"'", '$b.output \\ "', True),
        ("$a.output > 9007199254740992", "9007199254740993", True),
    ],
)
def test_one_comparison(condition: str, output: str, expected: bool) -> None:
    assert holds(condition, a=output) is expected


def test_names_with_hyphens_and_inputs() -> None:
    assert holds("$a-b.output == 'x'", **{"a-b": "x"})
    assert holds("$INPUTS.mode == 'fast'", mode_input="fast")
    assert holds("$INPUTS.output == 'the input of that name'", output_input="the input of that name")


@pytest.mark.parametrize(
    ("a", "b", "c", "expected"),
    [("1", "1", "0", True), ("1", "0", "1", True), ("1", "0", "0", False), ("0", "1", "1", True)],
)
def test_and_binds_tighter_than_or(a: str, b: str, c: str, expected: bool) -> None:
    assert holds("$a.output == 1 && $b.output == 1 || $c.output == 1", a=a, b=b, c=c) is expected


def test_what_comes_after_the_deciding_comparison_is_not_read() -> None:
    """`gone` has no output: reading it would raise."""
    assert holds("$a.output == 'X' || $gone.output == 'Y'", a="X")
    assert not holds("$a.output == 'X' && $gone.output == 'Y'", a="Z")
    with pytest.raises(KeyError):
        holds("$gone.output == 'X' || $a.output == 'X'", a="X")


@pytest.mark.parametrize(
    "output", ["abc", "", "12abc", "0x10", "1_000", "٣", "1.", ".5", "+1", "NaN", "Infinity", "1 2", "1\n2"]
)
def test_a_number_that_is_none_fails(output: str) -> None:
    with pytest.raises(ConditionError, match=r"\$a\.output > 5 needs a number, and the value is ") as caught:
        holds("$a.output > 5", a=output)
    assert "== and !=" in caught.value.hint


def test_numbers_of_any_size_are_compared_or_refused() -> None:
    assert holds("$a.output > 5", a="1e999999")
    assert holds("$a.output > 5", a="1" * 100_000)
    with pytest.raises(ConditionError, match="too large"):
        holds("$a.output > 5", a="1e99999999999999999999")


def test_an_unknown_input_fails() -> None:
    with pytest.raises(ConditionError, match="unknown input 'mode'"):
        holds("$INPUTS.mode == 'x'")


def test_a_long_text_is_compared_by_its_fingerprint() -> None:
    text = "é" * 5_000
    data = text.encode()
    fingerprint = Fingerprint(hashlib.sha256(data).hexdigest(), len(data))
    assert evaluate(parse_condition(f"$a.output == '{text}'"), lambda _: fingerprint)
    assert evaluate(parse_condition(f"$a.output != '{text[1:]}x'"), lambda _: fingerprint)
    with pytest.raises(ConditionError, match="a text of 10000 bytes"):
        evaluate(parse_condition("$a.output > 5"), lambda _: fingerprint)


@pytest.mark.parametrize(
    ("condition", "offset", "message", "hint"),
    [
        ("$a.output contains 'x'", 10, "unknown operator 'contains'", "compute it in a bash or script node"),
        ("$a.output in ('a', 'b')", 10, "unknown operator 'in'", "compute it"),
        ("($a.output == 'x')", 0, "no parentheses", "&& binds tighter"),
        ("$a.output == 'x')", 16, "no parentheses", "&& binds tighter"),
        ('$a.output == "X"', 13, "single quotes", "write 'X'"),
        ('$a.output == "it\'s"', 13, "cannot hold one", "compute it"),
        ("$a.output == 'it's'", 17, "cannot hold a single quote", "compute it"),
        ("$a.output == 'x", 13, "not closed", "single quotes"),
        ("$a.output = 'X'", 10, "= is not an operator", "write =="),
        ("$a.output === 'X'", 10, "unknown operator ===", "== !="),
        ("$a.output =~ 'X'", 10, "= is not an operator", "write =="),
        ("$a.output 'X'", 10, "an operator is missing", "== !="),
        ("!$a.output == 'x'", 0, "no negation", "write !="),
        ("not $a.output == 'x'", 0, "no negation", "write !="),
        ("'X' == $a.output", 0, "on the left", "$check.output == 'ok'"),
        ("5 < $a.output", 0, "on the left", "$check.output == 'ok'"),
        ("$a.output", 9, "compared with nothing", "write $a.output == 'true'"),
        ("$a.output && $b.output == 1", 10, "compared with nothing", "write $a.output == 'true'"),
        ("$a.output == null", 13, "unknown word null", "'null'"),
        ("$a.output == True", 13, "true in small letters", "true or false"),
        ("$a.output == yes", 13, "yes is not quoted", "write 'yes'"),
        ("$a.output == $b.output", 13, "compared with a literal", "compute it"),
        ("$a.output ==", 12, "nothing to compare with", "single quotes"),
        ("$a.output == 1e3", 13, "a number is written", "true or false"),
        ("$a.output == +1", 13, "a number is written", "true or false"),
        ("$a.output == .5", 13, "a number is written", "true or false"),
        ("$a.output == 12abc", 13, "a number is written", "true or false"),
        ("$a.output == -", 13, "'-' is not a literal", "true or false"),
        ("$a.output > 'abc'", 12, "compares numbers", "== or !="),
        ("$a.output < ''", 12, "compares numbers", "== or !="),
        ("$a.f.g == 'x'", 4, "any deeper", "$a.output.f"),
        ("$INPUTS.a.b-c == 1", 11, "no '-'", "another name"),
        ("$a.output.b-c == 'x'", 11, "no '-'", "another name"),
        ("$a.output[0] == 'x'", 9, "no elements of lists", "compute it"),
        ("$ARGUMENTS == 'x'", 0, "cannot read $ARGUMENTS", "$INPUTS.arguments"),
        ("$a == 'x'", 0, "$a names no value", "write $a.output"),
        ("${a.output} == 'x'", 0, "no braces", "$node.output"),
        ("a.output == 'x'", 0, "begins with $", "write $a.output"),
        ("true", 0, "on the left", "as in"),
        ("always", 0, "begins with a reference", "as in"),
        ("$a.output == 'x' and $b.output == 'y'", 17, "and does not join", "write &&"),
        ("$a.output == 'x' OR $b.output == 'y'", 17, "OR does not join", "write ||"),
        ("$a.output == 'x' & $b.output == 'y'", 17, "& does not join", "write &&"),
        ("$a.output == 'x' | $b.output == 'y'", 17, "| does not join", "write ||"),
        ("$a.output == 'x' 'y'", 17, "cannot hold a single quote", "compute it"),
        ("$a.output == 'x', $b.output == 'y'", 16, "cannot hold", "compute it"),
        ("$a.output == 1 2", 15, "ends before", "join comparisons"),
        ("$a.output == 'x' &&", 19, "missing", "write one"),
        ("|| $a.output == 'x'", 0, "begins with a reference", "as in"),
        ("", 0, "missing", "write one"),
        ("   ", 3, "missing", "write one"),
    ],
)
def test_what_does_not_parse_says_why_and_where(condition: str, offset: int, message: str, hint: str) -> None:
    with pytest.raises(ConditionSyntaxError) as caught:
        parse_condition(condition)
    assert (caught.value.offset, message in caught.value.message, hint in caught.value.hint) == (offset, True, True), (
        f"{caught.value.offset}: {caught.value.message} | {caught.value.hint}"
    )


def test_a_condition_that_is_wrong_after_the_deciding_part_does_not_load() -> None:
    """Archon would never look at it; Ion reads conditions whole."""
    with pytest.raises(ConditionSyntaxError):
        parse_condition("$a.output == 'X' || garbage")


def test_explain_shows_each_comparison_with_what_was_seen() -> None:
    condition = parse_condition("$a.output == 'x' && $b.output == 1 || $c.n >= 2 || $d.output != true")
    rows = explain(condition, reading(a="y\n", b="1", c='{"n": 3}', d=""))
    assert rows == [
        ("$a.output == 'x'", r"'y\n'", False),
        ("$b.output == 1", "", None),
        ("$c.output.n >= 2", "'3'", True),
        ("$d.output != true", "", None),
    ]


def test_explain_names_what_cannot_be_judged_and_goes_no_further() -> None:
    rows = explain(parse_condition("$a.output > 5 || $b.output == 1"), reading(a="many", b="1"))
    assert rows[0][1:] == ("$a.output > 5 needs a number, and the value is 'many'", None)
    assert rows[1] == ("$b.output == 1", "", None)


def test_explain_shortens_long_values() -> None:
    condition = parse_condition("$a.output == 'x'")
    assert len(explain(condition, reading(a="x" * 1000))[0][1]) == 60
    assert explain(condition, lambda _: Fingerprint("", 9))[0][1] == "a text of 9 bytes"


REFERENCES = st.sampled_from(
    [NodeReference("a"), NodeReference("a-b", ("c",)), NodeReference("n", ("x", "y")), InputReference("m-n")]
)
COMPARISONS = st.builds(
    Comparison,
    REFERENCES,
    st.sampled_from(["==", "!="]),
    st.text(st.characters(exclude_characters="'")).filter(str.isprintable),
) | st.builds(Comparison, REFERENCES, st.sampled_from(["<", "<=", ">", ">="]), st.integers().map(str))


@given(st.lists(st.lists(COMPARISONS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3))
def test_a_condition_written_out_parses_to_itself(groups: list[tuple[Comparison, ...]]) -> None:
    text = " || ".join(" && ".join(map(comparison_text, group)) for group in groups)
    assert parse_condition(text) == Condition(text, tuple(groups))
    assert convert(to_builtins(parse_condition(text)), Condition) == parse_condition(text)


@given(st.text(st.sampled_from("$a.output INPUTS=!<>&|'\"()0.5-truenlx[\n"), max_size=50) | st.text())
def test_any_text_parses_or_says_where_it_does_not(text: str) -> None:
    problem = syntax_error(text)
    if problem is None:
        references = [c.reference for group in parse_condition(text).alternatives for c in group]
        assert all(reference_text(reference).startswith("$") for reference in references)
    else:
        assert 0 <= problem.offset <= len(text)
        assert problem.message
        assert problem.hint


def syntax_error(text: str) -> ConditionSyntaxError | None:
    try:
        parse_condition(text)
    except ConditionSyntaxError as error:
        return error
    return None


def test_long_conditions_take_linear_time() -> None:
    condition = parse_condition(" || ".join(["$a.output == 'x'"] * 20_000))
    assert evaluate(condition, reading(a="y")) is False
