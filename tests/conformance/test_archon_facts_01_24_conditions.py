"""Archon's facts 1–24: conditions. What Ion changes on purpose is tested as Ion has it (language.md §4)."""

from __future__ import annotations

import json

import pytest

from conformance.kit import World, codes, error, problems, statuses
from ion import RunResult

OBJECT = {"type": "object", "properties": {"sure": {"type": "string"}, "maybe": {"type": "string"}}}


def judge(world: World, condition: str, output: str, producer: str = "a") -> RunResult:
    """A run in which the bash node `a` has this output and `b` has this condition."""
    return world.run(
        f"""
        inputs:
          value: {{}}
        nodes:
          - id: {producer}
            bash: printf '%s\\n' "$INPUTS.value"
          - id: b
            depends_on: [{producer}]
            when: {json.dumps(condition)}
            bash: echo ran
        """,
        inputs={"value": output},
    )


def runs(world: World, condition: str, output: str) -> bool:
    """Whether the condition holds of this output; a skip is one by the condition, and the run completes either way."""
    run = judge(world, condition, output)
    assert run.status == "completed"
    b = run.data["nodes"]["b"]
    assert (b["status"], b["reason"]) in (("completed", None), ("skipped", "when"))
    return bool(b["status"] == "completed")


HOLDS = [
    pytest.param("$a.output == 'X'", "X", True, id="01-equal"),
    pytest.param("$a.output=='X'", "X", True, id="02-no-blanks"),
    pytest.param("  $a.output   ==   'X'  ", "X", True, id="02-many-blanks"),
    pytest.param("$a.output\n  == 'X'", "X", True, id="02-a-line-break"),
    pytest.param("$a.output != 'X'", "X", False, id="03-unequal-of-equals"),
    pytest.param("$a.output != 'X'", "Y", True, id="03-unequal"),
    pytest.param("$a.output == ''", "", True, id="04-empty"),
    pytest.param("$a.output == 'x'", "X", False, id="05-case-matters"),
    pytest.param("$a.output == 'X'", "X\n", False, id="05-a-newline-counts"),
    pytest.param("$a.output == 'X'", " X", False, id="05-a-blank-counts"),
    pytest.param("$a.output.type == 'BUG'", '{"type":"BUG"}', True, id="06-field"),
    pytest.param("$a.type == 'BUG'", '{"type":"BUG"}', True, id="06-field-without-output"),
    pytest.param("$a.output.n == '42'", '{"n":42}', True, id="07-number-as-text"),
    pytest.param("$a.output.n == 42", '{"n":42}', True, id="07-number"),
    pytest.param("$a.output.ok == true", '{"ok":true}', True, id="08-boolean"),
    pytest.param("$a.output.ok == 'true'", '{"ok":true}', True, id="08-boolean-as-text"),
    pytest.param("""$a.output.items == '["todo","fix"]'""", '{"items": ["todo", "fix"]}', True, id="09-compact-list"),
    pytest.param("""$a.output.o == '{"b":1.5,"a":null}'""", '{"o": {"b": 1.50, "a": null}}', True, id="09-compact-map"),
    pytest.param("$a.output > '80'", "81", True, id="10-more"),
    pytest.param("$a.output > '80'", "80", False, id="10-not-more"),
    pytest.param("$a.output >= 80", "80", True, id="10-at-least"),
    pytest.param("$a.output < -1", "-1.5", True, id="10-less"),
    pytest.param("$a.output <= 9", "10", False, id="10-as-numbers-not-as-texts"),
    pytest.param("$a.output > 4", " 5 ", True, id="10-blanks-around-a-number"),
    pytest.param("$a.output >= '1000'", "1e3", True, id="10-an-exponent"),
    pytest.param("$a.output == 0.5", "0.5", True, id="10-a-number-as-a-literal"),
    pytest.param("$a.output == 0.5", "0.50", False, id="10-equality-is-of-texts"),
    pytest.param("$a.output == 'X' && $a.output != 'X' || $a.output == 'X'", "X", True, id="13-and-binds-tighter"),
    pytest.param("$a.output == 'X' || $a.output == 'X' && $a.output != 'X'", "X", True, id="13-also-on-the-right"),
    pytest.param("$a.output == 'x && y'", "x && y", True, id="16-and-in-quotes"),
    pytest.param("$a.output == 'x || y'", "x || y", True, id="16-or-in-quotes"),
    pytest.param("$a.t == 'A'", '```json\n{"t":"A"}\n```', True, id="23-fenced"),
    pytest.param("$a.t == 'A'", 'Here it is:\n```\n{"t":"A"}\n```\nDone.', True, id="23-fenced-in-prose"),
    pytest.param("$a.t == 'A'", '```json {"t":"A"} ```', True, id="23-fenced-on-one-line"),
]


@pytest.mark.parametrize(("condition", "output", "holds"), HOLDS)
def test_what_a_condition_says_of_an_output(world: World, condition: str, output: str, holds: bool) -> None:
    """1–7, 9, 10, 13, 16, 23: each id begins with its fact."""
    assert runs(world, condition, output) is holds


UNREADABLE = [
    pytest.param("$a.output.ok == True", "small letters", id="08-capital-true"),
    pytest.param("($a.output == 'X' && $a.output == 'X')", "parentheses", id="13-parentheses"),
    pytest.param("$a.output == 'X' || garbage", "begins with a reference", id="14-garbage-behind-or"),
    pytest.param("garbage || $a.output == 'X'", "begins with a reference", id="15-garbage-before-or"),
    pytest.param('$a.output == "X"', "single quotes", id="17-double-quotes"),
    pytest.param("$a.output = 'X'", "= is not an operator", id="17-single-equals-sign"),
    pytest.param("!$a.output == 'X'", "no negation", id="17-not"),
    pytest.param("'X' == $a.output", "write the reference on the left", id="17-literal-on-the-left"),
    pytest.param("$a.output", "compared with nothing", id="17-bare-reference"),
    pytest.param("$a.f.g == 'X'", "not read any deeper", id="17-nesting-without-output"),
    pytest.param("$a.output.b-c == 'x'", "no '-' in its name", id="24-hyphen-in-a-field"),
    pytest.param("", "a comparison is missing", id="17-empty"),
    pytest.param("$a.output contains 'x'", "unknown operator 'contains'", id="17-contains"),
]


@pytest.mark.parametrize(("condition", "said"), UNREADABLE)
def test_a_condition_that_does_not_parse_is_an_error_of_the_file(condition: str, said: str) -> None:
    """8, 13–15, 17, 22, 24 [Ion]: not a node that is skipped at run time, wherever in the condition the fault is."""
    text = f"""
        nodes:
          - id: a
            bash: echo X
          - id: b
            depends_on: [a]
            when: {json.dumps(condition)}
            bash: echo ran
        """
    (problem,) = [p for p in problems(text) if p.severity == "error"]
    assert problem.code == "bad-condition"
    assert said in problem.message
    assert problem.hint
    if "contains" in condition:
        assert "compute it in a bash or script node and compare that node's output" in problem.hint
    assert (problem.path, problem.line) == ("nodes[1].when", 8)


def test_fact_17_nesting_below_output_is_read(world: World) -> None:
    """17 [Ion]: `$a.output.f.g` parses, and reads the field of a field."""
    assert runs(world, "$a.output.f.g == 'x'", '{"f": {"g": "x"}}')


@pytest.mark.parametrize("output", ["abc", "12abc", "", "0x10", "1_000", "NaN"])
def test_fact_11_and_12_a_number_that_is_none_fails_the_node(world: World, output: str) -> None:
    """11, 12 [Ion]: `> 5` of a text that is not a number skips nothing, and text behind a number is not cut off."""
    run = judge(world, "$a.output > 5", output)
    assert run.status == "failed"
    assert "needs a number" in error(run, "b")


def test_fact_14_what_comes_after_the_deciding_comparison_is_not_looked_at(world: World) -> None:
    """14: `true || …` holds although the field on the right is not there; with a false left side the node fails."""
    assert runs(world, "$a.output == 'X' || $a.output.missing == 'y'", "X")
    assert error(judge(world, "$a.output == 'X' || $a.output.missing == 'y'", "Y"), "b").startswith("condition: ")
    assert not runs(world, "$a.output == 'X' && $a.output.missing == 'y'", "Y")


def test_fact_18_a_field_of_plain_text_fails_the_node(world: World) -> None:
    """18: plain text has no field, and the node that asks for one fails; it is not skipped."""
    run = judge(world, "$a.output.f == 'x'", "plain text")
    assert run.status == "failed"
    assert "the output is not JSON" in error(run, "b")


def test_fact_19_a_field_that_is_not_there_fails_the_node_and_the_fields_are_listed(world: World) -> None:
    """19: JSON without a schema and without the field."""
    assert "'present', 'other'" in error(judge(world, "$a.output.missing == 'x'", '{"present":1,"other":2}'), "b")


@pytest.mark.parametrize(("field", "status"), [("maybe", "completed"), ("sure", "skipped"), ("undeclared", "failed")])
def test_fact_19_a_declared_field_that_was_left_out_is_empty_and_an_undeclared_one_fails(
    world: World, field: str, status: str
) -> None:
    """19: with `output_format`, what is declared but absent reads as '', what is not declared is an error."""
    run = world.run(
        f"""
        nodes:
          - id: a
            prompt: classify
            output_format: {json.dumps(OBJECT)}
          - id: b
            depends_on: [a]
            when: $a.output.{field} == ''
            bash: echo ran
        """,
        agent=lambda request: '{"sure": "yes"}',
    )
    assert statuses(run)["b"] == status


@pytest.mark.parametrize("reference", ["$a.output", "$a.output.f"])
def test_fact_20_a_failed_producer_cannot_be_compared(world: World, reference: str) -> None:
    """20: reached by `all_done`, a condition on a failed node fails its own node."""
    run = world.run(f"""
        nodes:
          - id: a
            bash: echo '{{"f":"x"}}'; exit 1
          - id: b
            depends_on: [a]
            trigger_rule: all_done
            when: {reference} == 'x'
            bash: echo ran
        """)
    assert "'a' failed" in error(run, "b")


@pytest.mark.parametrize(("reference", "status"), [("$a.output", "completed"), ("$a.output.f", "failed")])
def test_fact_21_a_skipped_producer_is_empty_and_has_no_fields(world: World, reference: str, status: str) -> None:
    """21: the whole output of a skipped node is '', a field of it fails the node that asks."""
    run = world.run(f"""
        nodes:
          - id: never
            bash: echo no
          - id: a
            depends_on: [never]
            when: $never.output == 'yes'
            bash: echo '{{"f":""}}'
          - id: b
            depends_on: [a]
            trigger_rule: all_done
            when: {reference} == ''
            bash: echo ran
        """)
    assert statuses(run) == {"never": "completed", "a": "skipped", "b": status}


INPUT_MODE = """
    inputs:
      mode: {}
    nodes:
      - id: b
        when: $INPUTS.mode == 'fast'
        bash: echo ran
"""


@pytest.mark.parametrize(
    ("inputs", "status"), [({"mode": "fast"}, "completed"), ({"mode": "slow"}, "skipped"), ({}, "failed")]
)
def test_fact_22_conditions_read_inputs_and_fail_without_one(world: World, inputs: dict[str, str], status: str) -> None:
    """22: an input is compared with its value; one that was not given fails the node."""
    assert statuses(world.run(INPUT_MODE, inputs=inputs)) == {"b": status}


def test_fact_22_an_input_that_nobody_declared_is_warned_of_and_fails_the_node(world: World) -> None:
    """22: `$INPUTS.mood` loads, with a warning, and fails where it is used."""
    text = INPUT_MODE.replace("$INPUTS.mode", "$INPUTS.mood")
    run = world.run(text, inputs={"mode": "fast"})
    assert "no input 'mood'" in error(run, "b")


def test_fact_24_a_hyphen_may_stand_in_a_nodes_id(world: World) -> None:
    """24: `$a-b.output` names the node `a-b`."""
    assert statuses(judge(world, "$a-b.output == 'x'", "x", producer="a-b"))["b"] == "completed"


def test_comparing_prose_with_a_literal_is_an_error_of_the_file() -> None:
    """language.md §4: an agent's whole answer without `output_format` never equals a fixed text."""
    text = """
        nodes:
          - id: a
            prompt: yes or no?
          - id: b
            depends_on: [a]
            when: $a.output == 'yes'
            bash: echo ran
        """
    assert codes(text) == ["prose-compared"]


@pytest.mark.parametrize("length", [4096, 4097, 300_000])
def test_a_long_output_is_compared_exactly(world: World, length: int) -> None:
    """language.md §10: beyond 4 KiB by its hash and length; the right text is still equal, any other is not."""
    text = "x" * length
    world.file("text", "").write_text(text + "\n")
    run = world.run(f"""
        nodes:
          - {{id: a, bash: cat text}}
          - {{id: same, depends_on: [a], when: "$a.output == '{text}'", bash: echo}}
          - {{id: other, depends_on: [a], when: "$a.output == '{text[:-1]}y'", bash: echo}}
          - {{id: shorter, depends_on: [a], when: "$a.output != '{text[:-1]}'", bash: echo}}
        """)
    seen = statuses(run)
    assert (seen["same"], seen["other"], seen["shorter"]) == ("completed", "skipped", "completed")
