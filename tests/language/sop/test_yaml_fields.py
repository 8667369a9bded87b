"""The fields of YAML that converted SOPs need: `continued`, `refers_to`, `placeholder`."""

from __future__ import annotations

import pytest
from load_kit import codes, good, load, marked, only

from ion.language.load import parse_workflow
from ion.language.workflow import Input, Prompt, Workflow

NODES = "- {id: a, prompt: x}\n"


def test_a_prompt_for_a_session_that_goes_on() -> None:
    workflow = good(
        "- {id: a, prompt: x}\n- id: b\n  depends_on: [a]\n  prompt: all of it\n  continued: ' the rest '\n"
    )
    assert workflow.by_id["b"].body == Prompt("all of it", "the rest")
    assert Workflow.from_json(workflow.to_json()) == workflow


def test_references_in_it_are_checked_and_make_an_order() -> None:
    loaded = load(
        "- {id: a, prompt: x}\n- {id: b, prompt: y, continued: $a.output}\n- {id: c, prompt: z, continued: $d.output}\n"
    )
    assert codes(loaded) == ["order-by-reference", "unknown-node"]
    loaded = load("- {id: a, prompt: x}\n- {id: b, prompt: y, continued: $a.output}\n")
    assert loaded.workflow is not None
    assert loaded.workflow.by_id["b"].order == ("a",)


@pytest.mark.parametrize(
    "node", ["{id: a, bash: x, continued: y}", "{id: a, prompt: x, continued: ''}", "{id: a, prompt: x, continued:}"]
)
def test_where_it_makes_no_sense(node: str) -> None:
    assert codes(load(f"- {node}\n")) != []


def test_a_default_that_refers_to_other_inputs() -> None:
    workflow = good(NODES, root="inputs:\n  a: {default: 'x/{b}', refers_to: [b]}\n  b: {placeholder: '{b}'}\n")
    assert workflow.inputs == (
        Input("a", has_default=True, default="x/{b}", refers_to=("b",)),
        Input("b", placeholder="{b}"),
    )
    assert Workflow.from_json(workflow.to_json()) == workflow


@pytest.mark.parametrize(
    ("inputs", "code", "mark"),
    [
        ("a: {default: x, refers_to: [b]}", "bad-default", "b"),
        ("a: {refers_to: [a]}", "bad-default", "refers_to"),
        ("a: {default: [3], refers_to: [b]}\n  b: {}", "bad-default", "refers_to"),
        ("a: {default: x, refers_to: [b]}\n  b: {default: y, refers_to: [a]}", "default-cycle", "refers_to"),
        ("a: {default: x, refers_to: [a]}", "default-cycle", "refers_to"),
        ("a: {default: x, refers_to: a}", "wrong-type", "a"),
        ("a: {default: x, refers_to: []}", "bad-value", "["),
    ],
)
def test_defaults_that_cannot_be_filled_in(inputs: str, code: str, mark: str) -> None:
    text = f"name: x\ndescription: y\ninputs:\n  {inputs}\nnodes:\n{NODES}"
    loaded = parse_workflow(text)
    problem = next(one for one in loaded.problems if one.code == code)
    assert marked(text, problem) == mark
    assert loaded.workflow is None


def test_a_near_name_is_suggested() -> None:
    loaded = load(NODES, root="inputs:\n  name: {}\n  a: {default: '{nme}', refers_to: [nme]}\n")
    assert only(loaded).hint == "did you mean 'name'?"
