"""What people write who know other systems, or who guess: the problem says what to write instead, with their values."""

from __future__ import annotations

import pytest
from load_kit import HEAD, load, only

from ion.language.fields import ELSEWHERE, FOREIGN, KINDS, KNOWN_ANYWHERE
from ion.language.load import parse_workflow


@pytest.mark.parametrize(
    ("nodes", "hint"),
    [
        (
            "{a: {bash: 'true'}, b: {bash: 'true'}}",
            "write a list of mappings with 'id', the first one as - {id: a, bash: …}",
        ),
        ("{a: }", "write a list of mappings with 'id', the first one as - {id: a}"),
        ("{'a \\n b': 1}", "write a list of mappings with 'id', the first one as - {id: name}"),
        ("{}", "write [a, b]"),
    ],
)
def test_nodes_are_a_list(nodes: str, hint: str) -> None:
    text = f"{HEAD}nodes: {nodes}\n"
    problem = only(parse_workflow(text))
    assert (problem.code, problem.message) == ("wrong-type", "'nodes' must be a list, not a mapping")
    assert (problem.hint, problem.line) == (hint, 3)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("a", "write [a]"),
        ("a, c", "write [a, c]"),
        ("a c", "write [a, c]"),
        ("'[a]'", "write [a]"),
        ("'a: b'", "write [a, b]"),
        ("''", "write [a, b]"),
        ("3", "write [a, b]"),
    ],
)
def test_one_that_is_no_list_is_shown_as_one(given: str, hint: str) -> None:
    loaded = load(f"- {{id: a, bash: 'true'}}\n- id: b\n  bash: 'true'\n  depends_on: {given}\n")
    problem = only(loaded)
    assert (problem.code, problem.hint) == ("wrong-type", hint)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("'yes'", "write true"),
        ("No", "write false"),
        ("'TRUE'", "write true"),
        ("maybe", "write true or false, without quotes"),
        ("1", "write true or false, without quotes"),
    ],
)
def test_a_wrong_boolean(given: str, hint: str) -> None:
    problem = only(load(f"- {{id: a, bash: 'true', always_run: {given}}}\n"))
    said = given.strip("'") if given == "1" else f"'{given.strip(chr(39))}'"
    assert problem.message == f"'always_run' must be true or false, not {said}"
    assert problem.hint == hint


def test_a_node_without_an_id() -> None:
    problem = only(load("- {bash: 'true'}\n"))
    assert (problem.code, problem.message) == ("missing-field", "a bash node needs 'id'")
    assert problem.hint == "write 'id: name'; other nodes refer to it by that name"


def test_a_kind_of_other_systems_beside_one_of_ours_has_no_hint() -> None:
    problem = only(load("- {id: b, bash: 'true', run: x}\n"), "warning")
    assert (problem.code, problem.hint) == ("unknown-field", "")


@pytest.mark.parametrize("field", ["run", "cmd", "shell"])
def test_a_kind_of_other_systems(field: str) -> None:
    loaded = load(f"- {{id: b, {field}: make}}\n")
    problem = only(loaded)
    assert (problem.code, problem.path) == ("no-kind", f"nodes[0].{field}")
    assert problem.hint == "Ion calls it 'bash'"


def test_what_other_systems_say_means_something_here() -> None:
    assert not ELSEWHERE.keys() & KNOWN_ANYWHERE
    assert (FOREIGN.keys() & KNOWN_ANYWHERE) <= {"interactive", "on_error"}
    assert set(ELSEWHERE.values()) <= KNOWN_ANYWHERE | set(KINDS)


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ('bash: echo "Status: ok"', "write 'bash: |', and the text on the next line, indented"),
        ("bash: [ -f x ] && echo y", "write 'bash: |', and the text on the next line, indented"),
        ('bash: "x" && echo y', "write 'bash: |', and the text on the next line, indented"),
        ("prompt: Note: do this", "write 'prompt: |', and the text on the next line, indented"),
        ("when: a: b", "quote a value that holds ': ', and check the indent"),
        ("bash:\n  - make\n  - make test", "write 'bash: |', and the lines below it, indented, without '- '"),
        ("bash: x\nretry: 3", "write retry: {max_attempts: …}"),
        ("approval: Publish?", "write approval: {message: …}"),
        ("bash: x\nwhen: true", "leave it out: without a condition the node runs"),
        ("bash: x\ntrigger_rule: always", "write all_done: it runs whatever became of the nodes before"),
        ("bash: x\ntrigger_rule: all_succes", "did you mean 'all_success'?"),
        ("bash: x\nwhen: always()", "write trigger_rule: all_done, and no condition"),
        ("bash: x\nwhen: ${{ success() }}", "leave it out: a node runs once all that it depends on completed"),
        ("bash: x\nwhen: failure()", "a node with catches: [NODE] runs after that one failed"),
        ("bash: x\nwhen: $z.output | length > 0", "write $z.output != '', or != '[]' for a list"),
        ("bash: x\nwhen: $other.output == 'x'", "the nodes are a, z"),
        ("bash: for f in *; do echo $f$n.output; done", "if $n is a variable of the script, write ${n}.output"),
    ],
)
def test_a_field_as_it_is_written_elsewhere(field: str, hint: str) -> None:
    lines = "\n".join(f"    {line}" for line in field.split("\n"))
    loaded = parse_workflow(f"{HEAD}nodes:\n  - id: a\n{lines}\n  - {{id: z, bash: x}}\n")
    assert only(loaded).hint == hint


def test_of_many_nodes_some_are_named_and_it_is_said_that_there_are_more() -> None:
    nodes = "".join(f"- {{id: other{number}, bash: x}}\n" for number in range(13))
    problem = only(load(f"{nodes}- {{id: last, bash: x, when: \"$elsewhere.output == '1'\"}}\n"))
    assert problem.hint.startswith("the nodes are other0, other1, ")
    assert problem.hint.endswith("other11, …")


def test_a_condition_does_not_read_the_environment() -> None:
    problem = only(load("- {id: a, bash: x, when: \"$CI == 'true'\"}\n"))
    assert problem.message == "a condition does not read the environment: $CI"
    assert problem.hint.startswith('declare an input and write $INPUTS.ci, then: ion run … --input ci="$CI"\n')


def test_after_a_failure_runs_a_catcher() -> None:
    assert "catches" in only(load("- {id: a, bash: x, trigger_rule: on_failure}\n")).hint


@pytest.mark.parametrize("description", ['description: ""', "description:", ""])
def test_a_workflow_says_what_it_does(description: str) -> None:
    loaded = parse_workflow(f"name: demo\n{description}\nnodes: [{{id: a, bash: x}}]\n")
    assert only(loaded).hint == "say in a line what the workflow does; ion list shows it"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_at_the_top_is_a_node(kind: str) -> None:
    problem = only(load("- {id: a, bash: x}\n", root=f"{kind}: {{prompt: x}}"), "warning")
    assert problem.hint == f"it is a node of its own, listed under 'nodes': - {{id: name, {kind}: …}}"
