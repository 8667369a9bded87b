"""The parameters of SOPs, in all the ways that authors write them (facts 1 to 24)."""

from __future__ import annotations

from typing import Any

import pytest
from sop_kit import at, codes, default, document, good, only, parameter, parameters

from ion.language.sop import Parameter


def test_required() -> None:
    """Fact 1."""
    found = parameter("- **a** (required): x")
    assert (found.name, found.required, found.has_default, found.description) == ("a", True, False, "x")


def test_optional_has_no_default() -> None:
    """Fact 2: absent is not the empty text."""
    found = parameter("- **a** (optional): x")
    assert (found.required, found.has_default, found.default) == (False, False, None)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('- **a** (optional, default: "v"): x', "v"),
        ("- **a** (optional, default: 'v'): x", "v"),
        ("- **a** (optional, default: “v”): x", "v"),
        ("- **a** (optional, default: `v`): x", "v"),
        ("- **a** (optional, default: v): x", "v"),
        ("- **a** (optional, default: true): x", True),
        ("- **a** (optional, default: False): x", False),
        ('- **a** (optional, default: "true"): x', "true"),
        ("- **a** (optional, default: `true`): x", True),
        ("- **a** (optional, default: 3): x", 3),
        ("- **a** (optional, default:3): x", 3),
        ("- **a** (optional, default 3): x", 3),
        ("- **a** (optional, default is 3): x", 3),
        ("- **a** (optional; default = -3): x", -3),
        ("- **a** (optional, default: 0.5): x", 0.5),
        ("- **a** (optional, default: 1.2.3): x", "1.2.3"),
        ('- **a** (optional, default: "3"): x', "3"),
        ('- **a** (optional, default: "f(x), y"): x', "f(x), y"),
        ('- **a** (optional, default: "it is ) here"): x', "it is ) here"),
        ("- **a** (optional, default: f(x), y): x", "f(x), y"),
        ('- **a** (optional, default: ""): x', ""),
        ("- **a** (default: 7): x", 7),
        ("- **a** (default: x, optional): x", "x"),
        ("- **a** (optional, default: the dir, if any, optional): x", "the dir, if any"),
    ],
)
def test_defaults(line: str, value: Any) -> None:
    """Facts 3, 4, 5, 8, 13, and a default without a status."""
    assert default(line) == value
    assert type(default(line)) is type(value)
    assert not parameter(line).required
    assert codes(document(parameters=line)) == []


@pytest.mark.parametrize("word", ["none", "None", "null", "N/A", ""])
def test_a_default_that_says_there_is_none(word: str) -> None:
    found = parameter(f"- **a** (optional, default: {word}): x")
    assert (found.required, found.has_default) == (False, False)


def test_a_default_in_prose_is_kept_as_prose() -> None:
    """Fact 6: a text, marked as a description."""
    prose = parameter("- **a** (optional, default: current working directory): x")
    assert (prose.default, prose.prose) == ("current working directory", True)
    assert not parameter("- **a** (optional, default: auto): x").prose
    assert not parameter('- **a** (optional, default: "in quotes"): x').prose


def test_a_default_that_names_another() -> None:
    """Fact 7: the text as it is written, and whom it refers to; only declared names count."""
    a, b = parameters("- **a** (optional, default: `specs/{b}/{c}/{{b}}/${b}`): x\n- **b** (optional): y")
    assert (a.default, a.refers_to) == ("specs/{b}/{c}/{{b}}/${b}", ("b",))
    assert b.refers_to == ()


def test_defaults_in_a_circle() -> None:
    """Fact 7: the error names them."""
    text = document(
        parameters='- **a** (optional, default: "{b}"): x\n- **b** (optional, default: "{a}"): x\n'
        '- **c** (optional, default: "{c}"): x'
    )
    cycles = [one for one in _problems(text) if one.code == "default-cycle"]
    assert [one.message.partition(": ")[2] for one in cycles] == ["a → b → a", "c → c"]
    assert {one.severity for one in cycles} == {"error"}


@pytest.mark.parametrize(
    ("line", "name", "required"),
    [
        ("- **a** (Required) : x", "a", True),
        ("* **a**(optional,default:3): x", "a", False),
        ("- `a` (required): x", "a", True),
        ("- **`a`** (required): x", "a", True),
        ("- a (required): x", "a", True),
        ("+ __a__ (required): x", "a", True),
        ("1. **a** (required): x", "a", True),
        ("- **a:** (optional) x", "a", False),
        ("- **a** (required) - x", "a", True),
        ("- **a** (required) — x", "a", True),
        ("- **a** (required) x", "a", True),
        ("- **a** (not required): x", "a", False),
        ("- **a** (string, optional): x", "a", False),
        ("- **a** (string): Required. x", "a", True),
        ("- **a**: Optional. x", "a", False),
        ("- **a** (required)", "a", True),
    ],
)
def test_ways_of_writing_one(line: str, name: str, required: bool) -> None:
    """Fact 9, and what else is met."""
    found = parameter(line)
    assert (found.name, found.required) == (name, required)
    assert codes(document(parameters=line)) == []


def test_nested_bullets_belong_to_the_description() -> None:
    """Fact 10: lines are kept, and the next parameter begins a new one."""
    a, b = parameters('- **a** (required): one of\n  - "x": this\n    - deeper\n  - "y": that\n- **b** (required): z')
    assert a.description == 'one of\n- "x": this\n  - deeper\n- "y": that'
    assert b.description == "z"


def test_wrapped_lines_belong_to_the_description() -> None:
    """Fact 11; what is in a paragraph of its own below the list does not."""
    a, b = parameters("- **a** (required): first\n  second\nthird\n- **b** (required): z\n\nA note about all of them.")
    assert a.description == "first\nsecond\nthird"
    assert b.description == "z"


def test_parentheses_over_two_lines() -> None:
    assert default("- **a** (optional,\n  default: 3): x") == 3


def test_a_note_beside_the_status() -> None:
    """Fact 12."""
    found = parameter("- **a** (required on CI, see the note): x")
    assert (found.required, found.note) == (True, "on CI, see the note")
    assert parameter("- **a** (optional, context only on CI): x").note == "context only on CI"


def test_required_with_a_default_is_optional() -> None:
    """Fact 14."""
    text = document(parameters='- **a** (required, default: "z"): x')
    found = good(text).parameters[0]
    assert (found.required, found.default) == (False, "z")
    assert codes(text) == ["required-with-default"]


def test_without_a_status_it_is_required() -> None:
    """Fact 15."""
    text = document(parameters="- **a**: x")
    assert good(text).parameters[0].required
    assert codes(text) == ["param-untyped"]


def test_parentheses_that_say_something_else() -> None:
    """Fact 16: placed at them, with the pattern to write."""
    text = document(parameters="- **amount** (maybe): x")
    problem = only(text, "bad-parameter")
    assert at(text, problem) == "(maybe): x"
    assert problem.message == "'amount' says \"(maybe)\", neither required nor optional"
    assert problem.hint == 'write (required), (optional) or (optional, default: "...")'
    assert problem.length == len("(maybe)")


@pytest.mark.parametrize("line", ["- **a** (required: x", "- **a** (required: x (and y)", "- **a** (required\n\n  x)"])
def test_a_parenthesis_that_is_never_closed(line: str) -> None:
    """Fact 17."""
    assert "never closed" in only(document(parameters=line), "bad-parameter").message


def test_a_name_that_cannot_be_one() -> None:
    """Fact 18."""
    problem = only(document(parameters="- **Bad Name** (required): x"), "bad-parameter")
    assert (problem.severity, problem.hint) == ("error", "write 'bad_name'")
    assert "digits" in only(document(parameters="- **日本** (required): x"), "bad-parameter").hint


def test_a_name_with_hyphens_is_only_unusual() -> None:
    """Fact 19."""
    text = document(parameters="- **my-arg** (required): x\n- **Other** (required): y")
    assert [one.name for one in good(text).parameters] == ["my-arg", "Other"]
    assert codes(text) == ["param-name", "param-name"]


def test_declared_twice() -> None:
    """Fact 20: both lines are named."""
    problem = only(document(parameters="- **a** (required): x\n- **a** (optional): y"), "duplicate-parameter")
    assert problem.message == "'a' is declared twice, in line 9 and in line 10"


def test_two_names_of_one_variable() -> None:
    """As in every workflow: both would be INPUTS_MY_X."""
    text = document(parameters="- **my_x** (required): x\n- **my-x** (required): y")
    assert "INPUTS_MY_X" in only(text, "input-clash").message


@pytest.mark.parametrize("text", ["None", "", "N/A", "This procedure takes no parameters.", "- None"])
def test_no_parameters(text: str) -> None:
    """Fact 21: an empty section is as good as a full one; only a missing one is worth a word."""
    assert parameters(text) == ()
    assert codes(document(parameters=text)) == []
    assert codes(document(parameters=None)) == ["no-parameters"]


@pytest.mark.parametrize(
    "label",
    [
        "\n**Constraints for parameter acquisition:**",
        "\n**Constraints for parameter acquisition:**\n",
        "\n**Constraints**:",
        "\nConstraints:",
        "\n### Constraints",
        "**Constraints for parameter acquisition:**",
    ],
)
def test_what_stands_below_the_constraints_is_no_parameter(label: str) -> None:
    """Fact 22, also where the blank line before the label is missing."""
    lines = f"- **a** (required): x\n{label}\n- You MUST ask\n- **nested** (required): no\n"
    (found,) = parameters(lines)
    assert (found.name, found.description) == ("a", "x")


def test_code_is_no_parameter() -> None:
    """Fact 23."""
    fenced, indented = "```\n- **no** (required): x\n```", "      - **not** (required): x"
    (found,) = parameters(f"{fenced}\n\n- **a** (required): x\n\n{indented}\n")
    assert found.name == "a"


def test_optional_before_required() -> None:
    """Fact 24: said once."""
    text = document(parameters="- **a** (optional): x\n- **b** (required): y\n- **c** (required): z")
    assert only(text, "order").message == "'b' is required and comes after 'a', which is optional"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("### Required", "### Optional"),
        ("### Required Parameters", "### Optional parameters:"),
        ("**Required:**", "**Optional:**"),
        ("Required parameters:", "Optional inputs:"),
    ],
)
def test_a_status_for_several(first: str, second: str) -> None:
    """By headings and labels over the lists; what parentheses say wins."""
    found = parameters(
        f"{first}\n\n- **a**: x\n- **b** (string): y\n\n{second}\n\n- **c**: z\n- **d** (default: 3): w\n"
        "- **e** (required): v"
    )
    assert [(one.name, one.required) for one in found] == [
        ("a", True),
        ("b", True),
        ("c", False),
        ("d", False),
        ("e", True),
    ]


@pytest.mark.parametrize(
    "line",
    ["- **Task Name**: {task_name}", "**Task Name**: {task_name}", "- **Task Name** (required): `{task_name}`"],
)
def test_a_title_with_its_name_in_braces(line: str) -> None:
    found = parameter(line)
    assert (found.name, found.required, found.description) == ("task_name", True, "Task Name")


def test_a_title_keeps_what_is_said_behind_the_name() -> None:
    assert parameter("- **Task Name** (optional): {task} - how it is called").description == (
        "Task Name: how it is called"
    )


def test_bold_words_that_are_no_parameter_are_told() -> None:
    """A reader would not notice that nothing was declared."""
    text = document(parameters="- **Interactive** mode asks first\n- plain words: nothing")
    assert good(text).parameters == ()
    assert codes(text) == ["unread-parameter"]


def test_japanese_descriptions() -> None:
    found = parameter('- **task_name** (optional, default: "計画"): 作業の名前（短く）')
    assert (found.default, found.description) == ("計画", "作業の名前（短く）")


def test_the_type_that_a_default_gives() -> None:
    found = parameters(
        "- **a** (default: true): x\n- **b** (default: 3): x\n- **c** (default: 1.5): x\n- **d** (default: x): x\n"
        "- **e** (optional): x"
    )
    assert [one.type for one in found] == ["boolean", "integer", "number", None, None]


def _problems(text: str) -> tuple[Any, ...]:
    from ion.language.sop import parse_sop

    return parse_sop(text, file="t.sop.md").problems


def test_places_are_those_of_the_file() -> None:
    """Lines and columns from 1, of the name."""
    text = document(parameters="intro\n\n  - **a** (required): x")
    found: Parameter = good(text).parameters[0]
    assert text.split("\n")[found.line - 1][found.column - 1 :].startswith("**a**")
