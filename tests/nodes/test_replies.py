"""JSON out of whatever an agent says, held against the author's schema."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.errors import OutputFormatError
from ion.nodes.replies import DEEPEST_REPLY, LONGEST_REPLY, CheckedReply, ask_again, validate_quickly, validate_reply
from work import assert_linear

ANY: dict[str, Any] = {}
VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["pass", "fail"]}, "notes": {"type": "array", "items": {"type": "string"}}},
    "required": ["verdict"],
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"verdict": "pass"}', '{"verdict":"pass"}'),
        ('\n  {"verdict": "pass"}\n', '{"verdict":"pass"}'),
        ('```\n{"verdict": "pass"}\n```', '{"verdict":"pass"}'),
        ('I looked.\n```JSON\n{"verdict": "fail", "notes": ["é"]}\n```\nBye', '{"verdict":"fail","notes":["é"]}'),
        ('```python\nprint()\n```\nand ```json {"verdict": "pass"} ```', '{"verdict":"pass"}'),
    ],
)
def test_json_in_the_reply_or_in_its_first_fence(text: str, expected: str) -> None:
    assert validate_reply(VERDICT, text) == CheckedReply(expected, json.loads(expected), repaired=False)


@pytest.mark.parametrize(
    "text",
    [
        '{"verdict": "pass"} {"verdict": "fail"}',
        'My verdict on [the file]: {"verdict": "pass"}. {Bye}',
        'As in {"verdict": "pass or fail"}, so:\n{"verdict": "pass"}\nTokens: [1, 2]',
        'Such as\n```json\n{"verdict": "one of both"}\n```\nMine:\n```json\n{"verdict": "pass"}\n```',
        'Such as\n```json\n{"verdict": "one of both"}\n```\nand mine is {"verdict": "pass"}',
        '[1]\n{"verdict": "pass"}',
    ],
)
def test_of_several_values_the_first_that_fits_counts(text: str) -> None:
    assert validate_reply(VERDICT, text) == CheckedReply('{"verdict":"pass"}', {"verdict": "pass"}, repaired=False)


def test_a_piece_of_what_can_be_repaired_is_not_the_reply() -> None:
    reply = validate_reply(ANY, "{'verdict': {\"of\": [1]}}")
    assert isinstance(reply, CheckedReply)
    assert (reply.value, reply.repaired) == ({"verdict": {"of": [1]}}, True)


def test_if_none_fits_what_is_wrong_with_the_first_is_said() -> None:
    text = '```\n{"verdict": 1}\n```\n{"verdict": 2}'
    assert validate_reply(VERDICT, text) == ("$.verdict: 1 is not one of ['pass', 'fail']",)


@pytest.mark.parametrize(
    "text",
    [
        "{'verdict': 'pass'}",
        '{verdict: "pass"}',
        '{"verdict": "pass",}',
        '{"verdict": "pass"',
        '```\n{"verdict": "pass"',
    ],
)
def test_what_is_almost_json_is_repaired_and_says_so(text: str) -> None:
    assert validate_reply(VERDICT, text) == CheckedReply('{"verdict":"pass"}', {"verdict": "pass"}, repaired=True)


@pytest.mark.parametrize("text", ["", "no json at all", "pass", '{"a": }', "```", "[" * 100_000])
def test_what_is_not_json_says_so(text: str) -> None:
    errors = validate_reply(ANY, text)
    assert isinstance(errors, tuple)
    assert errors[0].startswith("the reply is not JSON: ")


def test_why_it_is_not_json_is_said_in_words_for_whoever_replied() -> None:
    several = ("the reply is not JSON: it is text, or several values",)
    assert validate_reply(ANY, "I looked at [auth] and at [web].") == several
    assert validate_reply(ANY, '{"a": 1, "a": }') != several
    assert "strict" not in str(validate_reply(ANY, '{"a" 1}'))


def test_all_that_does_not_fit_is_listed_with_its_place() -> None:
    assert validate_reply(VERDICT, '{"verdict": "maybe", "notes": ["a", 2]}') == (
        "$.verdict: 'maybe' is not one of ['pass', 'fail']",
        "$.notes[1]: 2 is not of type 'string'",
    )
    assert validate_reply(VERDICT, "[]") == ("$: [] is not of type 'object'",)


def test_errors_are_bounded() -> None:
    errors = validate_reply(VERDICT, json.dumps({"verdict": "pass", "notes": list(range(1000))}))
    assert isinstance(errors, tuple)
    assert len(errors) == 20
    long = validate_reply(VERDICT, json.dumps({"verdict": "x" * 100_000}))
    assert isinstance(long, tuple)
    assert len(long[0]) <= 300


@pytest.mark.parametrize("value", ["text", 7, True, None, [1], {"b": 1, "a": {"x": 1.5}}])
def test_the_text_is_the_json_itself(value: object) -> None:
    reply = validate_reply(ANY, json.dumps(value))
    assert isinstance(reply, CheckedReply)
    assert reply.text == json.dumps(value, separators=(",", ":"))


@given(json_values)
def test_any_json_is_its_own_reply(value: object) -> None:
    reply = validate_reply(ANY, json.dumps(value))
    assert isinstance(reply, CheckedReply)
    assert json.loads(reply.text) == reply.value == value
    assert validate_quickly(ANY, json.dumps(value)) == reply


@given(st.text(alphabet=st.sampled_from('{}[]",:`\\ nul\n\t1e-'), max_size=200) | st.text())
def test_no_reply_is_a_crash(text: str) -> None:
    result = validate_reply(VERDICT, text)
    assert isinstance(result, CheckedReply | tuple)


@pytest.mark.parametrize(
    "piece", ["{", "[", '"', "`", "```json\n{", '{"a":1,', "\\", "x{", "'", '{"a":"', "[1,", "```"]
)
def test_hostile_replies_take_no_time(piece: str) -> None:
    assert_linear(lambda text: validate_reply(VERDICT, text), lambda size: piece * (size // len(piece)), 2_000)
    validate_reply(VERDICT, piece * (1_000_000 // len(piece)))
    validate_reply(VERDICT, piece * (190_000 // len(piece)))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "#/nowhere"},
        {"pattern": "("},
    ],
)
def test_a_schema_that_cannot_be_used_is_not_the_agents_fault(schema: dict[str, Any]) -> None:
    with pytest.raises(OutputFormatError, match="output_format is not a JSON Schema"):
        validate_reply(schema, '"x"')


def test_nothing_is_fetched_for_a_schema() -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(OutputFormatError, match="127"):
            validate_reply({"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}, '"x"')
        server.shutdown()
    assert asked == []


def test_the_schema_says_which_draft_it_is() -> None:
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]}
    assert isinstance(validate_reply(draft7, '["x"]'), tuple)
    assert isinstance(validate_reply({"prefixItems": [{"type": "integer"}]}, '["x"]'), tuple)


def test_depth_and_length_have_their_limits() -> None:
    """The same wherever it is asked: neither depends on how deep the asking program is nested itself."""
    schema: dict[str, Any] = {"$ref": "#/$defs/n", "$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}}

    def nested(levels: int) -> str:
        return "[" * levels + "]" * levels

    assert isinstance(validate_reply(schema, nested(DEEPEST_REPLY)), CheckedReply)
    assert validate_reply(schema, nested(DEEPEST_REPLY + 1)) == ("the reply is nested more than 100 levels deep",)
    assert validate_quickly(ANY, f'"{"x" * LONGEST_REPLY}"') == ("the reply is longer than 8 MiB",)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize(
    "form", ['{"n": %s}', '{"n": 1, "m": [%s]}', "{'n': %s}", '{"n": %s,}', '```json\n{"n": %s}\n```']
)
def test_a_number_that_no_json_can_hold_is_not_json(form: str, number: str) -> None:
    errors = validate_reply(ANY, form % number)
    assert isinstance(errors, tuple)
    assert errors[0].startswith("the reply is not JSON: ")


@pytest.mark.parametrize("form", ['{"n": %s, "ok": true}', "{'n': %s, 'ok': true}", '```\n{"n": %s, "ok": true}\n```'])
def test_an_integer_of_five_thousand_digits_is_text_and_spoils_nothing_beside_it(form: str) -> None:
    digits = "-" + "7" * 5000
    reply = validate_reply({"properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}, form % digits)
    assert isinstance(reply, CheckedReply)
    assert reply.value == {"n": digits, "ok": True}


def test_a_number_that_is_text_does_not_pass_as_a_number() -> None:
    schema = {"properties": {"n": {"type": "integer", "multipleOf": 0.1}}}
    assert isinstance(validate_reply(schema, '{"n": %s}' % ("7" * 308)), CheckedReply | tuple)
    assert isinstance(validate_reply(schema, '{"n": %s}' % ("7" * 309)), tuple)


def test_a_schema_without_an_end_is_not_the_agents_fault() -> None:
    with pytest.raises(OutputFormatError, match="refers to itself"):
        validate_reply({"allOf": [{"$ref": "#"}]}, "1")


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "x"},
        {"properties": {"a": {"patternProperties": {"x": {}}}}},
        {"items": {"uniqueItems": True}},
        {"anyOf": [{"$ref": "#"}]},
        {"enum": ["x" * 1_000_000]},
    ],
)
def test_only_what_cannot_take_long_is_checked_at_once(schema: dict[str, Any]) -> None:
    assert validate_quickly(schema, '"a"') is None
    assert validate_quickly(VERDICT, "{'verdict': 'pass'}") is None
    assert validate_quickly(VERDICT, '{"verdict": "pass"}') == validate_reply(VERDICT, '{"verdict": "pass"}')


def test_asking_again_keeps_the_prompt_first() -> None:
    text = ask_again("Judge $x.", ("$.a: wrong", "$: short"))
    assert text.startswith("Judge $x.\n\n")
    assert "\n- $.a: wrong\n- $: short\n" in text
