"""Fields of outputs, and the one text of a JSON value (archon's facts 2.4 and 7.0; what `JSON.stringify` gives)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.errors import UnreadableReferenceError
from ion.language.values import Selected, canonical, describe, did_you_mean, read_json, select, select_whole
from work import assert_linear

PLAN = '{"title": "T", "n": 42, "list": [1, 2], "deep": {"er": {"x": null}}, "none": null}'
DECLARED = {"type": "object", "properties": {"title": {}, "left": {"properties": {"out": {}}}, "none": {}}}


@pytest.mark.parametrize(
    ("path", "value", "consumed"),
    [
        ((), PLAN, 0),
        (("title",), "T", 1),
        (("title", "md"), "T", 1),
        (("n", "x", "y"), 42, 1),
        (("list", "length"), [1, 2], 1),
        (("deep", "er"), {"x": None}, 2),
        (("deep", "er", "x"), None, 3),
        (("deep", "er", "x", "md"), None, 3),
    ],
)
def test_a_path_is_followed_while_there_are_objects(path: tuple[str, ...], value: Any, consumed: int) -> None:
    assert select(PLAN, path) == Selected(value, consumed)


def test_a_declared_field_that_is_missing_or_null_is_empty() -> None:
    assert select("{}", ("title",), DECLARED) == Selected("", 1)
    assert select('{"none": null}', ("none", "md"), DECLARED) == Selected("", 1)
    assert select("{}", ("left", "out", "md"), DECLARED) == Selected("", 2)
    assert select('{"left": {}}', ("left", "out"), DECLARED) == Selected("", 2)
    assert select('{"title": 1}', ("title",), DECLARED) == Selected(1, 1)


def test_an_undeclared_null_is_null() -> None:
    assert canonical(select('{"x": null}', ("x",)).value) == "null"
    assert canonical(select('{"x": null}', ("x",), DECLARED).value) == "null"


def test_a_missing_field_names_the_fields_there_are() -> None:
    with pytest.raises(UnreadableReferenceError) as caught:
        select(PLAN, ("titel",))
    assert "unknown field 'titel'" in caught.value.message
    assert "'title', 'n', 'list', 'deep', 'none'" in caught.value.message
    assert caught.value.hint == "did you mean 'title'?"
    with pytest.raises(UnreadableReferenceError, match=r"unknown field 'deep\.wrong'; the fields are 'er'"):
        select(PLAN, ("deep", "wrong"))
    with pytest.raises(UnreadableReferenceError, match="the object is empty"):
        select("{}", ("x",))


@pytest.mark.parametrize("name", ["constructor", "toString", "__proto__", "__class__", "keys"])
def test_only_an_objects_own_keys_are_fields(name: str) -> None:
    with pytest.raises(UnreadableReferenceError, match="unknown field"):
        select("{}", (name,))


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("plain text", "the output is not JSON"),
        ("", "the output is not JSON"),
        ("[1, 2, 3]", "the output is a list of 3, not an object"),
        ("7", "the output is a number, not an object"),
        ("null", "the output is null, not an object"),
        ('"{}"', "the output is text, not an object"),
        ('{"a": NaN}', "the output is not JSON"),
        ('{"a": 1} trailing', "the output is not JSON"),
        ("[" * 100_000, "the output is not JSON"),
        ("9" * 10_000, "the output is text, not an object"),
    ],
)
def test_a_field_of_what_is_no_object(output: str, why: str) -> None:
    with pytest.raises(UnreadableReferenceError, match=why) as caught:
        select(output, ("x",))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text",
    [
        '{"t": "A"}',
        '\ufeff \n{"t": "A"}\n',
        '```json\n{"t":"A"}\n```',
        'Here it is:\n```\n{"t":"A"}\n```\nand more',
        'on one line ```json {"t": "A"} ``` as asked',
        '```JSON\n{"t": "A"}```',
        '```python\nprint(1)\n```\nthen\n```json\n{"t":"A"}\n```',
        'prose with ``` alone, then ```{"t":"A"}```',
        '```json\n{"t": broken}\n```\n```\n{"t":"A"}\n```\n```\n{"t":"B"}\n```',
        '```json\n{"t":"A","md":"```x```"}\n```',
    ],
)
def test_json_in_the_text_or_in_its_first_fence(text: str) -> None:
    assert select(text, ("t",)).value == "A"


@pytest.mark.parametrize("text", ['{"t":1', '```json\n{"t":1}\n', "``` ```", "```", '```{"t":1} x```'])
def test_no_json_is_guessed(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_the_whole_path_must_be_a_value_in_conditions() -> None:
    assert select_whole(PLAN, ("deep", "er", "x")) is None
    assert select_whole(PLAN, ()) == PLAN
    with pytest.raises(UnreadableReferenceError, match=r"output\.title is text, so it has no field 'md'"):
        select_whole(PLAN, ("title", "md"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n", "as it is\n"),
        (42, "42"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.9, "0.9"),
        (True, "true"),
        (None, "null"),
        (["a", "b"], '["a","b"]'),
        ({"x": 1.50, "é": [None, True, {}]}, '{"x":1.5,"é":[null,true,{}]}'),
        ({"b": 1, "2": 2, "a": 3, "1": 4, "01": 5}, '{"1":4,"2":2,"b":1,"a":3,"01":5}'),
        (['\b\f\n\r\t"\\\x00\x1f\x7f\u2028/'], '["\\b\\f\\n\\r\\t\\"\\\\\\u0000\\u001f\x7f\u2028/"]'),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e16, "10000000000000000"),
        (0.00001, "0.00001"),
        (0.0000015, "0.0000015"),
        (1e-7, "1e-7"),
        (-1.25e-10, "-1.25e-10"),
        (5e-324, "5e-324"),
        (float("inf"), "null"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_canonical_text(value: Any, text: str) -> None:
    """Each was compared with node's JSON.stringify, but for the last, where Ion keeps the digits."""
    assert canonical(value) == text


def test_half_a_surrogate_pair_can_be_written_as_utf_8() -> None:
    """A reply cut inside an emoji's escape must not break the run."""
    value = select(r'{"a": "x\ud83d", "b": "\ud83d\ude00", "c": "\\ud83d", "\udc00": 1}', ("a",)).value
    assert value == "x\ufffd"
    assert select(r'{"b": "\ud83d\ude00"}', ("b",)).value == "😀"
    assert select(r'{"c": "\\ud83d"}', ("c",)).value == r"\ud83d"


def test_a_value_nested_too_deeply_is_an_error() -> None:
    value: Any = []
    for _ in range(5_000):
        value = [value]
    with pytest.raises(UnreadableReferenceError, match="nested too deeply"):
        canonical(value)


def test_kinds_by_name() -> None:
    assert [describe(v) for v in ("", 1, 1.5, True, None, [1], {})] == [
        *("text", "a number", "a number", "true", "null", "a list of 1", "an object")
    ]


def test_near_names() -> None:
    assert did_you_mean("titel", ["title", "x"]) == "did you mean 'title'?"
    assert did_you_mean("zzz", ["title"]) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(JSON)
def test_canonical_text_is_json_that_has_the_same_canonical_text(value: Any) -> None:
    if not isinstance(value, str):
        assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.text(st.sampled_from('`json{}[]":,x1 \n\\u'), max_size=60), st.lists(st.sampled_from(["t", "x"]), max_size=3))
def test_no_output_makes_select_raise_anything_else(output: str, path: list[str]) -> None:
    with suppress(UnreadableReferenceError):
        assert select(output, tuple(path), DECLARED).consumed <= len(path)


@pytest.mark.parametrize(
    ("begin", "piece"), [("", "```["), ("", '```["'), ("", "```"), ("", '```["```[",'), ("[[" * 500, '"```"')]
)
def test_hostile_outputs_take_linear_time(begin: str, piece: str) -> None:
    def read(text: str) -> None:
        with suppress(ValueError):
            read_json(text)

    assert_linear(read, lambda size: begin + piece * (size // len(piece)), 2_000)
    read(begin + piece * (500_000 // len(piece)))
