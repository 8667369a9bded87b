"""language.md §5: references in texts, as far as the facts do not cover them."""

from __future__ import annotations

import json
import subprocess

import pytest

import ion
from conformance.kit import World, agent, error, output, problems, statuses
from ion.core import events as e

SURFACES = [
    "prompt: see $x.output",
    "prompt: hi, systemPrompt: see $x.output",
    "prompt: hi, agents: {helper: {description: see $x.output, prompt: hi}}",
    "prompt: hi, agents: {helper: {description: hi, prompt: see $x.output}}",
    "bash: echo $x.output.f",
    "bash: echo, when: $x.output == 'y'",
    "bash: echo, env: {X: $x.output}",
    "bash: echo, with: {x: {y: [$x.output]}}",
    "bash: echo, with: {x: {from: $x.output}}",
    'runtime: python, script: "print($x.output)"',
    "cancel: see $x.output",
    "approval: {message: see $x.output}",
    "approval: {message: hi, on_reject: {prompt: see $x.output}}",
    "loop: {prompt: see $x.output, until: X, max_iterations: 1}",
    "loop: {prompt: hi, until_bash: echo $x.output, max_iterations: 1}",
    "loop: {prompt: hi, until: X, max_iterations: 1, interactive: true, gate_message: see $x.output}",
]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_text_knows_references(surface: str) -> None:
    """A node that is not there is an error wherever a text may name one."""
    (problem,) = [p for p in problems(f"nodes:\n  - {{id: a, {surface}}}\n") if p.severity == "error"]
    assert problem.code == "unknown-node"
    assert "$x.output" in problem.message


@pytest.mark.parametrize("surface", SURFACES)
def test_an_order_by_reference_counts_in_every_text(surface: str) -> None:
    """Each of them waits for the node that it names."""
    loaded = ion.parse_workflow(
        f"name: t\ndescription: d\nnodes:\n  - {{id: a, {surface}}}\n  - {{id: x, bash: echo}}\n"
    )
    assert loaded.by_id["a"].order == ("x",)


@pytest.mark.parametrize(
    ("node", "waiting"),
    [
        ("approval: {message: '$a.output \\$a.output $ARGUMENTS $FOO'}", "it's $a.output hi $FOO"),
        ("prompt: '$a.output \\$a.output $ARGUMENTS $FOO'", "it's $a.output hi $FOO"),
    ],
)
def test_a_backslash_makes_a_reference_text(world: World, node: str, waiting: str) -> None:
    """And names that Ion does not know stay as they are."""
    run = world.run(f'nodes: [{{id: a, bash: echo "it\'s"}}, {{id: b, {node}, depends_on: [a]}}]\n', arguments="hi")
    (item,) = run.data["waiting"]
    assert (item.get("message") or item["prompt"]) == waiting


def test_every_name_of_the_engine(world: World) -> None:
    """Run id, the run's own folder, the folder kept across runs, `docs/`, the text and the context given to the run."""
    text = """
        nodes:
          - {id: a, bash: 'echo x > "$ARTIFACTS_DIR/file"; echo once >> "$STATE_DIR/file"'}
          - id: b
            depends_on: [a]
            bash: echo "$WORKFLOW_ID" "$(cat "$ARTIFACTS_DIR/file")" "$(wc -l < "$STATE_DIR/file")" "$DOCS_DIR"
          - id: ask
            depends_on: [a]
            prompt: "$USER_MESSAGE|$ARGUMENTS|$CONTEXT|$EXTERNAL_CONTEXT|$ISSUE_CONTEXT|$WORKFLOW_ID|$LOOP_USER_INPUT|"
    """
    answering = agent()
    runs = [world.run(text, arguments="hi", context="issue 7", agent=answering) for _ in range(2)]
    for count, run in enumerate(runs, 1):
        assert output(run, "b").split() == [run.run_id, "x", str(count), "docs/"]
    assert answering.prompts("ask")[0] == f"hi|hi|issue 7|issue 7|issue 7|{runs[0].run_id}||"


def test_context_that_no_text_names_follows_the_prompt(world: World) -> None:
    """Behind a rule."""
    answering = agent()
    world.run("nodes: [{id: a, prompt: Fix it.}]\n", context="issue 7", agent=answering)
    assert answering.prompts("a") == ["Fix it.\n\n---\n\nissue 7"]


def test_the_default_branch_is_the_repositorys(world: World) -> None:
    """What the remote's HEAD names; looked up only where a text names it."""
    for words in (
        "init -q -b trunk",
        "-c user.name=a -c user.email=a@b commit -q --allow-empty -m x",
        "update-ref refs/remotes/origin/develop HEAD",
        "symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/develop",
    ):
        subprocess.run(["git", *words.split()], cwd=world.project, check=True)
    answering = agent()
    run = world.run(
        """
        nodes:
          - {id: a, prompt: $BASE_BRANCH}
          - {id: b, bash: echo $BASE_BRANCH}
          - {id: c, runtime: python, script: 'import os; print(os.environ["BASE_BRANCH"])'}
          - {id: d, runtime: python, script: 'import os; print([n for n in os.environ if n.startswith("BASE")])'}
        """,
        agent=answering,
    )
    assert answering.prompts("a") == ["develop"]
    assert [output(run, node) for node in "bcd"] == ["develop", "develop", "[]"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=world.project, check=True, capture_output=True, text=True)
    assert [event.git_head for event in world.log(run, e.WorkflowStarted)] == [head.stdout.strip()]


def test_an_undeclared_input_is_a_warning_and_fails_the_node_that_uses_it(world: World) -> None:
    """The other nodes do not mind."""
    text = "nodes: [{id: a, prompt: hi $INPUTS.name}, {id: b, bash: echo $INPUTS.name}, {id: c, bash: echo}]\n"
    found = ion.validate(world.write(text), project=world.project)
    assert [(p.code, p.severity) for p in found] == [("undeclared-input", "warning")] * 2
    run = world.run(text, agent=agent())
    assert statuses(run) == {"a": "failed", "b": "failed", "c": "completed"}


def test_a_missing_field_fails_the_consuming_node_and_lists_those_there_are(world: World) -> None:
    """In prompts and in bash."""
    run = world.run(
        """
        nodes:
          - {id: a, bash: "echo '{\\"title\\":1,\\"body\\":2}'"}
          - {id: b, depends_on: [a], prompt: see $a.output.titel}
          - {id: c, depends_on: [a], bash: echo $a.output.titel}
        """,
        agent=agent(),
    )
    for node in "bc":
        assert "'title', 'body'" in error(run, node)
        assert "did you mean 'title'?" in run.data["nodes"][node]["error"]["hint"]


def test_a_declared_field_that_was_left_out_is_empty(world: World) -> None:
    """In texts as in conditions."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "note": {"type": "string"}}}
    answering = agent(a='{"title": "T"}')
    world.run(
        f"""
        nodes:
          - {{id: a, prompt: hi, output_format: {json.dumps(schema)}}}
          - {{id: b, depends_on: [a], prompt: "$a.output.title|$a.output.note|$a.output.note.md"}}
        """,
        agent=answering,
    )
    assert answering.prompts("b") == ["T||.md"]


def test_a_skipped_node_is_empty_and_has_no_fields(world: World) -> None:
    """Its whole output is '', a field of it fails the node that asks."""
    answering = agent()
    run = world.run(
        """
        inputs: {x: {default: no}}
        nodes:
          - {id: a, bash: echo, when: $INPUTS.x == 'yes'}
          - {id: b, depends_on: [a], trigger_rule: all_done, prompt: "<$a.output>"}
          - {id: c, depends_on: [a], trigger_rule: all_done, prompt: "<$a.output.f>"}
        """,
        agent=answering,
    )
    assert answering.prompts("b") == ["<>"]
    assert "was skipped" in error(run, "c")
