"""What texts and conditions refer to: unknown nodes, inputs, edges by reference, prose, scripts, bindings, sessions."""

from __future__ import annotations

from textwrap import dedent

import pytest
from load_kit import codes, good, load, only

from ion.language.conditions import parse_condition
from ion.language.load import parse_workflow

# Every place of a node where a text may refer to another node; REF stands for the reference.
SURFACES = {
    "prompt": "{id: b, prompt: 'x REF y'}",
    "bash": "{id: b, bash: 'echo REF'}",
    "cancel": "{id: b, cancel: 'since REF'}",
    "script": "{id: b, script: 'x = REF;', runtime: bun}",
    "loop.prompt": "{id: b, loop: {prompt: 'x REF', until: D, max_iterations: 1}}",
    "loop.until_bash": "{id: b, loop: {prompt: x, until_bash: 'test -n REF', max_iterations: 1}}",
    "loop.gate_message": "{id: b, loop: {prompt: x, until: D, max_iterations: 1, gate_message: 'REF'}}",
    "approval.message": "{id: b, approval: {message: 'Ship REF?'}}",
    "approval.on_reject.prompt": "{id: b, approval: {message: m, on_reject: {prompt: 'Mend REF'}}}",
    "systemPrompt": "{id: b, prompt: x, systemPrompt: 'You REF'}",
    "agents.c.prompt": "{id: b, prompt: x, agents: {c: {prompt: 'REF', description: d}}}",
    "agents.c.description": "{id: b, prompt: x, agents: {c: {prompt: p, description: 'REF'}}}",
    "env.A": "{id: b, bash: x, env: {A: 'REF'}}",
    "with.v": "{id: b, bash: x, with: {v: REF}}",
    "with.v.deep[0]": "{id: b, bash: x, with: {v: {deep: ['REF and more']}}}",
    "with.v.from": "{id: b, bash: x, with: {v: {from: REF, if_skipped: none}}}",
    "when": "{id: b, bash: x, when: REF == 'x'}",
}


@pytest.mark.parametrize("surface", SURFACES)
def test_an_unknown_node_is_an_error_in_every_text(surface: str) -> None:
    """Wherever it stands, with its path and a suggestion."""
    problem = only(load("- {id: plan, bash: x}\n- " + SURFACES[surface].replace("REF", "$plam.output.f")))
    assert (problem.code, problem.path) == ("unknown-node", f"nodes[1].{surface}")
    assert "$plam.output.f" in problem.message
    assert problem.hint.startswith("did you mean 'plan'?")


@pytest.mark.parametrize("surface", SURFACES)
def test_a_reference_is_an_edge_with_a_warning(surface: str) -> None:
    """A node waits for what its texts refer to, and is told that `depends_on` does not say so."""
    text = "- {id: plan, bash: x}\n- " + SURFACES[surface].replace("REF", "$plan.output.f")
    loaded = load(text)
    assert "order-by-reference" in codes(loaded)
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[1].order == ("plan",)
    assert loaded.workflow.nodes[1].waits_for == ("plan",)


@pytest.mark.parametrize("surface", SURFACES)
def test_no_warning_where_depends_on_says_it(surface: str) -> None:
    text = SURFACES[surface].replace("REF", "$plan.output.f").replace("{id: b,", "{id: b, depends_on: [plan],")
    loaded = load(f"- {{id: plan, bash: x}}\n- {text}")
    assert "order-by-reference" not in codes(loaded)
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[1].order == ()


def test_what_depends_on_implies_needs_no_warning() -> None:
    """A reference to a node further up is remembered as an edge, but tells the author nothing new."""
    loaded = load("""
      - {id: a, bash: x}
      - {id: b, bash: x, depends_on: [a]}
      - {id: c, bash: "echo $a.output $b.output", depends_on: [b]}
    """)
    assert loaded.problems == ()
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[2].order == ("a",)


def test_one_warning_for_each_node_that_is_referred_to() -> None:
    loaded = load("""
      - {id: a, bash: x}
      - {id: b, prompt: "$a.output $a.output.x", when: $a.output == 'x'}
    """)
    assert codes(loaded) == ["order-by-reference"]


def test_a_node_that_refers_to_itself() -> None:
    """It does not make an edge, so no cycle, but a warning."""
    loaded = load("- {id: a, prompt: 'before: $a.output'}")
    assert codes(loaded) == ["self-reference"]
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[0].order == ()


@pytest.mark.parametrize(
    "text", ["\\$plan.output", "$plan.outputs", "${plan.output}", "$plan", "$HOME", "$INPUT.x", "$1plan.output"]
)
def test_what_is_no_reference(text: str) -> None:
    """An escaped dollar, another word, a name of nobody: text."""
    assert load(f"- {{id: b, prompt: '{text}'}}").problems == ()


# Cycles

RING = """
- {id: a, bash: x, depends_on: [c]}
- {id: b, bash: x, depends_on: [a]}
- {id: c, bash: x, depends_on: [b]}
"""


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("- {id: a, bash: x, depends_on: [a]}", "'a' depends on itself"),
        (RING, "these nodes wait for each other: a → c → b → a"),
        (
            "- {id: a, bash: 'echo $b.output'}\n- {id: b, bash: x, depends_on: [a]}",
            "these nodes wait for each other: a → b → a",
        ),
    ],
)
def test_a_cycle_names_its_nodes_in_order(nodes: str, message: str) -> None:
    """Through `depends_on` and through references."""
    problem = only(load(nodes))
    assert (problem.code, problem.message) == ("dependency-cycle", message)


def test_a_long_cycle_is_shortened() -> None:
    nodes = "".join(f"- {{id: n{n}, bash: x, depends_on: [n{(n + 1) % 100}]}}\n" for n in range(100))
    assert only(load(nodes)).message.endswith("→ n19 → … 80 more → n0")


def test_an_unknown_dependency() -> None:
    problem = only(load("- {id: classify, bash: x}\n- {id: b, bash: x, depends_on: [clasify]}"))
    assert (problem.code, problem.path) == ("unknown-node", "nodes[1].depends_on[0]")
    assert problem.hint == "did you mean 'classify'?"


def test_returns_names_a_node() -> None:
    problem = only(load("- {id: plan, bash: x}", root="returns: plam"))
    assert (problem.code, problem.path, problem.hint) == ("unknown-node", "returns", "did you mean 'plan'?")


# Inputs


def test_an_undeclared_input_is_a_warning() -> None:
    """In texts and in conditions, with a suggestion; the file loads."""
    loaded = load(
        "- {id: a, bash: 'echo $INPUTS.topik', when: $INPUTS.mode == 'x'}",
        root="inputs: {topic: {}}",
    )
    assert codes(loaded) == ["undeclared-input", "undeclared-input"]
    assert sorted(problem.hint for problem in loaded.problems) == [
        "declare it: inputs: {mode: {}}",
        "did you mean 'topic'?",
    ]
    assert loaded.workflow is not None


def test_with_declares_names_for_its_own_node() -> None:
    """`$INPUTS.green` of a binding is declared by it, in the node's text but not in `with` itself or in `when`."""
    nodes = "- {id: a, bash: 'echo $INPUTS.green', with: {green: 1}%s}"
    assert load(nodes % "").problems == ()
    assert codes(load(nodes % ", when: $INPUTS.green == 'x'")) == ["undeclared-input"]
    assert codes(load("- {id: a, bash: x, with: {a: 1, b: $INPUTS.a}}")) == ["undeclared-input"]


def test_the_workflows_env_names_inputs_but_no_nodes() -> None:
    loaded = load("- {id: a, bash: x}", root="inputs: {t: {}}\nenv: {A: $INPUTS.t, B: $INPUTS.u, C: 'x $a.output'}")
    assert [(p.code, p.path) for p in loaded.problems] == [("undeclared-input", "env.B"), ("env-names-node", "env.C")]


# Conditions


@pytest.mark.parametrize(
    ("condition", "column"),
    [("$a.output = 'x'", 0), ("", 0), ("$a.output == 'x' && ($a.output == 'y')", 20), ('$a.output == "x"', 13)],
)
def test_a_condition_that_does_not_parse_is_an_error_at_its_place(condition: str, column: int) -> None:
    """A parse failure is told when the file loads, at the character, with what to write."""
    text = condition.replace('"', '\\"')
    problem = only(load(f'- {{id: a, bash: x}}\n- {{id: b, bash: x, depends_on: [a], when: "{text}"}}'))
    assert (problem.code, problem.path) == ("bad-condition", "nodes[1].when")
    assert problem.hint
    if column:
        assert problem.column == 44 + column


def test_conditions_are_lowered() -> None:
    node = good("- {id: a, bash: x}\n- {id: b, bash: x, depends_on: [a], when: $a.output == 'x'}").nodes[1]
    assert node.when == parse_condition("$a.output == 'x'")


@pytest.mark.parametrize("kind", ["prompt: x", "command: x", "loop: {prompt: x, until: D, max_iterations: 1}"])
def test_prose_is_not_compared_with_a_fixed_text(kind: str) -> None:
    """An agent's whole answer never equals a literal; a field of it, or another node's output, may."""
    nodes = "- {id: a, %s%s}\n- {id: b, bash: x, depends_on: [a], when: %s == 'x'}"
    assert only(load(nodes % (kind, "", "$a.output"))).code == "prose-compared"
    assert load(nodes % (kind, "", "$a.output.f")).errors == ()
    assert load(nodes % (kind, ", output_format: {type: string}", "$a.output")).errors == ()
    assert load(nodes % ("bash: x", "", "$a.output")).errors == ()


# Scripts


def test_a_reference_in_code_is_pasted_and_that_is_a_warning() -> None:
    """Once for a script, and it shows `with:`; names of the engine stay text there."""
    loaded = load("""
      - {id: a, bash: x}
      - id: b
        script: |
          const x = $a.output, y = "$a.output.f", z = "$ARGUMENTS $INPUTS.my-topic $ARGUMENTS"
        runtime: bun
        depends_on: [a]
    """)
    assert codes(loaded) == ["reference-in-script", "name-in-script", "name-in-script"]
    assert "with: {value: $a.output}" in loaded.problems[0].hint
    assert [p.hint for p in loaded.problems[1:]] == [
        "read the environment variable ARGUMENTS",
        "read the environment variable INPUTS_MY_TOPIC",
    ]


@pytest.mark.parametrize("value", ["x $a.output", "$a.output$a.output", "$ARGUMENTS", "text", "''"])
def test_from_is_one_whole_reference(value: str) -> None:
    problem = only(load(f"- {{id: a, bash: x}}\n- {{id: b, bash: x, depends_on: [a], with: {{v: {{from: {value}}}}}}}"))
    assert (problem.code, problem.path) == ("bad-binding", "nodes[1].with.v.from")


def test_what_if_skipped_says_is_no_text() -> None:
    """The value for a skipped producer is data: a reference in it is none."""
    text = (
        "- {id: a, bash: x}\n- {id: b, bash: x, depends_on: [a], with: {v: {from: $a.output, if_skipped: $c.output}}}"
    )
    assert load(text).problems == ()


def test_problems_of_shell_text_have_their_places() -> None:
    """What the shell lexer finds is told at the reference: here a name that bash would take a value as."""
    problem = only(load("- {id: a, bash: x}\n- {id: b, depends_on: [a], bash: 'printf -v $a.output x'}"))
    assert (problem.code, problem.path, problem.column) == ("reference-position", "nodes[1].bash", 45)


# Options of the workflow as texts


def test_texts_of_the_workflows_options_count_for_each_agent_node() -> None:
    """A system prompt that refers to a node is an edge of every agent node that uses it."""
    workflow = good(
        "- {id: a, bash: x}\n- {id: b, prompt: x}\n- {id: c, prompt: x, systemPrompt: own}",
        root="systemPrompt: Know $a.output",
    )
    assert [node.order for node in workflow.nodes] == [(), ("a",), ()]


# Sessions


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ("- {id: a, prompt: x}\n- {id: b, prompt: x, context: {resume: c}}", "unknown-node"),
        ("- {id: a, bash: x}\n- {id: b, prompt: x, depends_on: [a], context: {resume: a}}", "bad-resume"),
        ("- {id: a, prompt: x}\n- {id: b, prompt: x, context: {resume: a}}", "bad-resume"),
        ("- {id: a, prompt: x, context: {resume: a}}", "bad-resume"),
    ],
)
def test_resume_names_an_agent_node_upstream(nodes: str, code: str) -> None:
    problem = only(load(nodes))
    assert problem.code == code
    assert problem.path.endswith("context.resume")


def test_an_edge_by_reference_is_upstream_too() -> None:
    workflow = good("- {id: a, prompt: x}\n- {id: b, prompt: $a.output, context: {resume: a}}")
    assert workflow.nodes[1].continues == "a"


def test_a_field_at_fault_hides_no_rule_on_the_others() -> None:
    """The missing description, the input `name` and the loop's number are told together with what the rules find."""
    text = """
        name: x
        inputs: {name: [1], n: {type: number, default: x, unknown: 1}}
        returns: nothing
        nodes:
          - {id: a, loop: {max_iterations: ten, interactive: true}}
    """
    found = {problem.code for problem in parse_workflow(dedent(text)).problems}
    assert {"missing-field", "wrong-type", "unknown-field", "bad-default", "unknown-node"} <= found
    assert {"loop-prompt", "loop-without-end", "gate-message-missing"} <= found
