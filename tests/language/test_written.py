"""Numbers and booleans in places for text keep the text that the file has (language.md §2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import HEAD, codes, good, load, only

from ion.language.load import parse_workflow
from ion.language.workflow import Binding

NUMBERS = ["1.10", "0755", "1e3", "0x1F", "0o17", "-0", "+1", "12345678901234567890", "2026", "1.0", ".5"]


@pytest.mark.parametrize("text", [*NUMBERS, "true", "True", "FALSE"])
def test_the_text_stays(text: str) -> None:
    workflow = good(
        f"- {{id: a, bash: x, env: {{A: {text}}}, with: {{b: {text}, c: {{from: $z.output, if_skipped: {text} }}}}}}\n"
        "- {id: z, bash: x}\n",
        root=f"env:\n  A: {text}   # a comment\ninputs: {{v: {{default: {text}, enum: [{text}, x]}}}}",
    )
    node, declared = workflow.nodes[0], workflow.inputs[0]
    assert (workflow.env, node.env) == ({"A": text}, {"A": text})
    assert node.bindings == {"b": Binding(text), "c": Binding("$z.output", True, text)}
    assert (declared.default, declared.enum) == (text, (text, "x"))


def test_an_alias_has_the_text_of_what_it_stands_for() -> None:
    workflow = good(
        "- {id: a, bash: x, env: *shared}\n- {id: b, bash: x, env: {A: *version, B: *again}}\n",
        root="env: &shared {V: &version 1.10}\ninputs: {again: {default: &again 007}}",
    )
    assert workflow.nodes[0].env == {"V": "1.10"}
    assert workflow.nodes[1].env == {"A": "1.10", "B": "007"}


def test_what_has_a_type_stays_a_number() -> None:
    workflow = good(
        "- {id: a, bash: x, timeout: 0755, with: {data: {n: 1.10}, list: [1.10]}}\n",
        root="""
            inputs:
              n: {type: number, default: 1.10, enum: [1.10]}
              i: {type: integer, default: 007}
              l: {default: [1.10]}
        """,
    )
    assert workflow.nodes[0].timeout_ms == 755
    assert workflow.nodes[0].bindings == {"data": Binding({"n": 1.1}), "list": Binding([1.1])}
    assert [item.default for item in workflow.inputs] == [1.1, 7, [1.1]]


def test_an_enum_of_texts_may_look_like_numbers() -> None:
    assert good("- {id: a, bash: x}", root="inputs: {v: {type: string, enum: [3.10, 3.9]}}").inputs[0].enum == (
        "3.10",
        "3.9",
    )


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1e999"])
def test_what_is_not_a_number_is_an_error(text: str) -> None:
    assert only(load("- {id: a, bash: x}", root=f"env: {{A: {text}}}")).code == "bad-number"


def test_nan_is_a_text_and_so_not_a_default_of_a_number() -> None:
    assert codes(load("- {id: a, bash: x}", root="inputs: {n: {type: number, default: NaN}}")) == ["bad-default"]


def test_a_boolean_default_as_in_yaml_1_1() -> None:
    problem = only(load("- {id: a, bash: x}", root="inputs: {b: {type: boolean, default: yes}}"))
    assert (problem.code, problem.hint) == ("bad-default", "write true")


@given(st.recursive(st.sampled_from(NUMBERS), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6))
def test_a_shared_value_keeps_its_text_wherever_it_is_used(value: object) -> None:
    """Anchors in anchors: whatever is shared, what is in `env` has the text of the file."""
    text = str(value).replace("'", "")
    workflow = good(
        "- {id: a, bash: x, env: {A: *leaf}, with: {b: *whole}}\n",
        root=f"inputs: {{w: {{default: &whole {{deep: {text}, leaf: &leaf 1.10}}}}}}",
    )
    assert workflow.nodes[0].env == {"A": "1.10"}


@pytest.mark.parametrize(
    "root",
    [
        "env: {<<: {A: 1.10}}",
        "x: &x {A: 1.10}\nenv: {<<: *x, B: 2}",
        "env: {A: 1, A: 2}",
        "env: {? [a] : 1, b: 2}",
        "env: {A: *nope}",
        "env: &e {A: *e}",
        "env: {A: !x 3}",
        "env: [1.10]",
        "env: {1.10: 2.20}",
        "inputs: {a: {default: 1, default: 2}}",
    ],
)
def test_a_wrong_document_is_told_as_wrong(root: str) -> None:
    assert load("- {id: a, bash: x}", root=root).errors


@pytest.mark.parametrize(
    "nodes",
    [
        "&n [{id: a, bash: x, env: &e {A: 1.10}}]\nenv: *e",
        "[{id: b, bash: x, env: &e {A: 1.10}}, {id: a, bash: x, env: *e}]",
    ],
)
def test_whole_mappings_may_be_shared(nodes: str) -> None:
    workflow = parse_workflow(f"{HEAD}nodes: {nodes}\n").workflow
    assert workflow is not None
    assert workflow.nodes[-1].env == {"A": "1.10"}
    assert workflow.env in ({"A": "1.10"}, {})
