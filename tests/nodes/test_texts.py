"""Values of references and the environment of programs: one table of names, everywhere the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from turn_kit import World

from ion.core.events import Content
from ion.errors import UnreadableReferenceError
from ion.language.templates import templates_of
from ion.nodes.base import Turn
from ion.nodes.texts import Values
from ion.nodes.variables import Environment, environment

NODES = """
    inputs:
      who: {default: Bo}
      my-list: {default: [1, {a: null}]}
      missing: {description: never given}
    nodes:
      - {id: a, bash: echo}
      - {id: b, prompt: x, output_format: {type: object, properties: {opt: {}}}}
      - {id: x, depends_on: [a, b], prompt: x}
"""


def values(world: World, node: str = "x", **fields: object) -> Values:
    return Values(Turn(templates_of(world.workflow)[node], "prompt", node, **fields), world.context)  # type: ignore[arg-type]


def env(world: World, *, text: str = "", code: str = "", **fields: object) -> Environment:
    turn = Turn(templates_of(world.workflow)["x"], "prompt", "x", **fields)  # type: ignore[arg-type]
    return environment(turn, world.context, Values(turn, world.context), text=text, code=code)


def render(world: World, text: str, **fields: object) -> str:
    return values(world, **fields).render(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ARGUMENTS|$USER_MESSAGE", "do it|do it"),
        ("$INPUTS.who $INPUTS.my-list", 'Bo [1,{"a":null}]'),
        ("$CONTEXT|$EXTERNAL_CONTEXT|$ISSUE_CONTEXT", "ctx|ctx|ctx"),
        ("$LOOP_PREV_OUTPUT|$LOOP_USER_INPUT|$REJECTION_REASON|$REWORK", "prev|said|why|redone"),
        ("$DOCS_DIR", "docs/"),
        ("$BASE_BRANCH", "trunk"),
        ("$a.output.n.m.k $a.output.t.md. $a.outputs", "5 text.md. $a.outputs"),
        ("\\$ARGUMENTS \\\\$ARGUMENTS $UNKNOWN $ARGUMENTS_X", "$ARGUMENTS \\do it $UNKNOWN $ARGUMENTS_X"),
        ("[$x.output][$x.output.f]", "[][]"),
    ],
)
def test_names_in_texts(tmp_path: Path, text: str, expected: str) -> None:
    world = World(tmp_path, NODES, arguments="do it", external_context="ctx", base_branch=lambda: "trunk").completed(
        "a", '{"n": {"m": {"k": 5}}, "t": "text"}'
    )
    fields = {"previous": Content("prev"), "user_input": "said", "rejection_reason": "why"}
    fields["rework"] = Content("redone")
    assert render(world, text, **fields) == expected


def test_folders_are_those_of_the_run(tmp_path: Path) -> None:
    world = World(tmp_path, NODES)
    folders = world.context.folders
    assert render(world, "$WORKFLOW_ID $ARTIFACTS_DIR $STATE_DIR") == (
        f"{world.context.run_id} {folders.artifacts} {folders.state}"
    )
    elsewhere = World(tmp_path, NODES, cwd=tmp_path / "elsewhere")
    assert render(elsewhere, "$DOCS_DIR") == f"{tmp_path}/project/docs/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$INPUTS.whoo", r"\$INPUTS.whoo is not declared: there are missing, my-list, who"),
        ("$INPUTS.missing", r"\$INPUTS.missing was not given"),
        ("$BASE_BRANCH", "default branch was not found"),
        ("$a.output.x", r"\$a.output.x: unknown field 'x'"),
        ("$nobody.output", "unknown node 'nobody'"),
        ("$b.output", "'b' has not ended"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnreadableReferenceError, match=message):
        render(World(tmp_path, NODES).completed("a", "{}"), text)


def test_a_declared_field_that_was_left_out_is_empty(tmp_path: Path) -> None:
    assert render(World(tmp_path, NODES).completed("b", "{}"), "[$b.output.opt]") == "[]"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text())
def test_a_value_is_never_looked_at_again(tmp_path: Path, value: str) -> None:
    world = World(tmp_path, NODES, arguments=f"{value}$ARGUMENTS$a.output\\1$&{{x}}")
    expected = world.context.arguments.replace("\0", "\ufffd")
    assert render(world, "<$ARGUMENTS>") == f"<{expected}>"


# ---------------------------------------------------------------------- with:


def bound(tmp_path: Path, binding: str, a: str | None, b: str = "") -> object:
    nodes = f"""
    inputs: {{v: {{default: of the run}}}}
    nodes:
      - {{id: a, bash: echo}}
      - {{id: b, prompt: x, output_format: {{type: object}}}}
      - {{id: x, depends_on: [a, b], bash: echo, with: {{v: {binding}}}}}
    """
    world = World(tmp_path, nodes).completed("b", b)
    world = world.skipped("a") if a is None else world.completed("a", a)
    return values(world).bindings["v"]


@pytest.mark.parametrize(
    ("binding", "a", "expected"),
    [
        ("$a.output.n", '{"n": 3}', 3),
        ("$a.output.n", '{"n": [1, {"x": null}]}', [1, {"x": None}]),
        ("$a.output.n", '{"n": "3"}', "3"),
        ("'n=$a.output.n'", '{"n": true}', "n=true"),
        ("$a.output.n.md", '{"n": "file"}', "file.md"),
        ("$a.output", '{"n": 1}', '{"n": 1}'),
        ("{deep: [$a.output.n, 7]}", '{"n": false}', {"deep": [False, 7]}),
        ("$INPUTS.v", "", "of the run"),
        ("5", "", "5"),
        ("{from: $a.output.n, if_skipped: [0]}", '{"n": 1}', 1),
        ("{from: $a.output.n, if_skipped: [0]}", None, [0]),
        ("{from: $a.output.n, if_skipped: null}", None, None),
        ("$a.output", None, ""),
    ],
)
def test_bindings_keep_the_type_of_a_whole_reference(
    tmp_path: Path, binding: str, a: str | None, expected: object
) -> None:
    assert bound(tmp_path, binding, a) == expected


def test_a_whole_output_that_is_json_by_promise_is_json_in_a_binding(tmp_path: Path) -> None:
    assert bound(tmp_path, "$b.output", "", '{"n": 1}') == {"n": 1}


def test_a_binding_hides_the_input_of_its_name(tmp_path: Path) -> None:
    nodes = "inputs: {v: {default: run}}\nnodes: [{id: x, bash: echo, with: {v: 'node, $INPUTS.v'}}]"
    assert render(World(tmp_path, nodes), "$INPUTS.v") == "node, run"


# ---------------------------------------------------------------------- environment


def test_every_name_is_in_the_environment(tmp_path: Path) -> None:
    world = World(tmp_path, NODES, arguments="do it", external_context="ctx")
    got = env(world, user_input="said", iteration=2).variables
    run_id = world.context.run_id
    assert {name: got[name] for name in ("ARGUMENTS", "USER_MESSAGE", "CONTEXT", "LOOP_USER_INPUT")} == {
        "ARGUMENTS": "do it",
        "USER_MESSAGE": "do it",
        "CONTEXT": "ctx",
        "LOOP_USER_INPUT": "said",
    }
    assert (got["INPUTS_WHO"], got["INPUTS_MY_LIST"], got["INPUTS_MISSING"]) == ("Bo", '[1,{"a":null}]', "")
    assert (got["LOOP_PREV_OUTPUT"], got["REJECTION_REASON"], got["REWORK"], got["DOCS_DIR"]) == ("", "", "", "docs/")
    assert (got["ION_RUN_ID"], got["ION_NODE_ID"]) == (run_id, "x")
    assert (got["WORKFLOW_ID"], got["ION_IDEMPOTENCY_KEY"]) == (run_id, f"{run_id}/x/2")
    assert got["PATH"] == os.environ["PATH"]


def test_precedence(tmp_path: Path) -> None:
    nodes = """
    inputs: {who: {default: input}}
    env: {A: workflow, B: workflow, INPUTS_WHO: workflow, ARGUMENTS: workflow}
    nodes:
      - {id: x, bash: echo, env: {B: 'node $ARGUMENTS', ION_RUN_ID: node}, with: {who: binding}}
    """
    environ = {"A": "ion", "B": "ion", "C": "ion", "ARGUMENTS": "ion", "ION_NODE_ID": "outer"}
    world = World(tmp_path, nodes, arguments="args", environ=environ)
    got = env(world).variables
    assert {name: got[name] for name in ("A", "B", "C", "INPUTS_WHO", "ARGUMENTS", "ION_NODE_ID")} == {
        "A": "workflow",
        "B": "node args",
        "C": "ion",
        "INPUTS_WHO": "binding",
        "ARGUMENTS": "args",
        "ION_NODE_ID": "x",
    }
    assert got["ION_RUN_ID"] == world.context.run_id


def test_the_base_branch_is_looked_up_only_where_it_is_named(tmp_path: Path) -> None:
    looked: list[str] = []

    def branch() -> str | None:
        looked.append("looked")
        return "trunk"

    world = World(tmp_path, NODES, base_branch=branch, environ={})
    assert "BASE_BRANCH" not in env(world, text="$BASE_BRANCHES", code="BASE_BRANCHES").variables
    assert looked == []
    for named in ({"text": "git diff $BASE_BRANCH"}, {"text": '"${BASE_BRANCH%x}"'}, {"code": "env['BASE_BRANCH']"}):
        assert env(world, **named).variables["BASE_BRANCH"] == "trunk"


def test_a_base_branch_that_is_not_found_fails_texts_and_is_absent_in_scripts(tmp_path: Path) -> None:
    world = World(tmp_path, NODES, environ={})
    with pytest.raises(UnreadableReferenceError, match="BASE_BRANCH"):
        env(world, text="git diff ${BASE_BRANCH}")
    assert "BASE_BRANCH" not in env(world, code="os.environ.get('BASE_BRANCH')").variables


@pytest.mark.parametrize("length", [131_072 - len("ARGUMENTS=") - 1, 131_072 - len("ARGUMENTS=")])
def test_the_largest_value_that_a_variable_carries(tmp_path: Path, length: int) -> None:
    world = World(tmp_path, NODES, arguments="x" * length, environ={"ARGUMENTS_FILE": "stale"})
    got = env(world)
    fits = length + len("ARGUMENTS=") + 1 <= 131_072
    assert ("ARGUMENTS" in got.variables) is fits
    assert ("ARGUMENTS_FILE" in got.variables) is not fits
    if not fits:
        path = Path(got.variables["ARGUMENTS_FILE"])
        assert path.read_text() == "x" * length
        assert path.stat().st_mode & 0o777 == 0o600
    pid = os.posix_spawn("/bin/true", ["true"], got.variables)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_largest_go_first_when_all_together_are_too_much(tmp_path: Path) -> None:
    sizes = {f"v{n:02}": 1000 * n for n in range(1, 60)}
    inputs = "\n".join(f"      {name}: {{default: {'x' * size}}}" for name, size in sizes.items())
    world = World(tmp_path, f"    inputs:\n{inputs}\n    nodes: [{{id: x, bash: echo}}]", environ={})
    got = env(world)
    assert sum(len(name) + len(value) + 2 for name, value in got.variables.items()) <= 1024 * 1024
    moved = sorted(int(name.removeprefix("INPUTS_V")) for name in got.files)
    assert moved
    assert moved == list(range(min(moved), 60))


def test_a_nul_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    nodes = "nodes: [{id: a, bash: echo}, {id: x, bash: echo, with: {v: $a.output}}]"
    got = env(World(tmp_path, nodes).completed("a", b"a\xff"))
    assert os.fsencode(got.variables["INPUTS_V"]) == b"a\xff"
    got = env(World(tmp_path, nodes).completed("a", b"a\xff\0"))
    assert Path(got.variables["INPUTS_V_FILE"]).read_bytes() == b"a\xff\0"
    assert "INPUTS_V" not in got.variables


def test_half_a_surrogate_pair_is_marked(tmp_path: Path) -> None:
    assert env(World(tmp_path, NODES, arguments="a\ud800b")).variables["ARGUMENTS"] == "a\ufffdb"
