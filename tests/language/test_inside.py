"""Nodes inside of nodes: group, loop_group, workflow, fan_out, and an include that is fanned out (language.md §13)."""

from __future__ import annotations

from pathlib import Path

import pytest
from load_kit import block, codes, good, load, marked, node, only, write

from ion.engine.freeze import source_of
from ion.language import workflow as w
from ion.language.frozen import read_frozen
from ion.language.load import parse_workflow
from work import assert_linear

HEAD = "name: demo\ndescription: A demonstration\nnodes:\n"


# What it becomes


def test_a_group_is_a_node_with_a_graph() -> None:
    """Inside, order and texts are those of siblings; what is read outside is what the group waits for."""
    workflow = good("""
      - {id: plan, bash: x}
      - {id: other, bash: x}
      - id: g
        depends_on: [plan]
        group:
          returns: b
          nodes:
            - {id: a, bash: "echo $plan.output $other.output"}
            - {id: b, bash: "echo $a.output", depends_on: [a]}
            - id: deeper
              depends_on: [b]
              group: {nodes: [{id: c, bash: "echo $b.output $other.output"}]}
      - {id: end, bash: "echo $g.output", depends_on: [g]}
    """)
    assert [one.id for one in workflow.nodes] == ["plan", "other", "g", "end"]
    group = workflow.by_id["g"]
    assert (group.kind, group.depends_on, group.order) == ("group", ("plan",), ("other",))
    assert isinstance(group.body, w.Group)
    a, b, deeper = group.body.scope.nodes
    assert group.body.scope.returns == "b"
    assert (a.depends_on, a.order, b.depends_on, b.order) == ((), (), ("a",), ())
    assert (deeper.depends_on, deeper.order) == (("b",), ())
    assert read_frozen(source_of(workflow)) == workflow


def test_a_loop_group() -> None:
    workflow = good("""
      - id: fix
        retry: {max_attempts: 1}
        timeout: 5m
        loop_group:
          until: DONE
          until_bash: test "$check.output" = ok
          until_node: check
          until_all: true
          max_iterations: 5
          fresh_context: true
          interactive: true
          gate_message: "Look at $patch.output, $LOOP_PREV.patch.output"
          signal_completes: true
          nodes:
            - {id: patch, prompt: "Last time: $LOOP_PREV.check.output.reason, round $LOOP_ITERATION"}
            - id: check
              bash: make
              depends_on: [patch]
              when: "$LOOP_PREV.check.output != 'ok' && $LOOP_ITERATION < 4"
    """)
    (fix,) = workflow.nodes
    assert isinstance(fix.body, w.LoopGroup)
    assert (fix.timeout_ms, fix.retry) == (300_000, w.Retry(1))
    assert fix.body.until_bash is not None
    assert [one.reference for one in fix.body.until_bash.placements] == [w.NodeReference("check")]
    assert (fix.body.until, fix.body.until_node, fix.body.until_all, fix.body.max_iterations) == (
        "DONE",
        "check",
        True,
        5,
    )
    assert fix.body.gate_message == "Look at $patch.output, $LOOP_PREV.patch.output"
    check = fix.body.scope.nodes[1]
    assert check.when is not None
    assert [one.reference for one in check.when.alternatives[0]] == [
        w.PreviousReference("check"),
        w.EngineReference("LOOP_ITERATION"),
    ]
    assert workflow.interactive
    assert read_frozen(source_of(workflow)) == workflow


@pytest.mark.parametrize(
    ("written", "fan_out"),
    [
        ("{items: $list.output}", w.FanOut(items="$list.output")),
        ("{items: [1, 'a', {b: $list.output}], as: f}", w.FanOut(items=[1, "a", {"b": "$list.output"}], name="f")),
        ("{items: '[\"a\", 2]', max_parallel: all}", w.FanOut(items=["a", 2], max_parallel=None)),
        ("{lines: $list.output, max_parallel: 2}", w.FanOut(lines="$list.output", max_parallel=2)),
        ("{lines: x, max_items: 10000}", w.FanOut(lines="x", max_items=10_000)),
        ("{items: [], join: all_done, fail_fast: true}", w.FanOut(items=[], join="all_done", fail_fast=True)),
    ],
)  # fmt: skip
def test_a_fan_out(written: str, fan_out: w.FanOut) -> None:
    workflow = good(f"- {{id: list, bash: x}}\n- {{id: n, prompt: p, fan_out: {written}}}")
    assert workflow.nodes[1].fan_out == fan_out
    assert workflow.nodes[1].order == (("list",) if "list" in str(written) else ())
    assert read_frozen(source_of(workflow)) == workflow


def test_what_an_instance_sees() -> None:
    """Its item by name, with fields, its index, and how many there are, wherever a text of the instance stands."""
    loaded = load("""
      - {id: list, bash: x}
      - id: review
        depends_on: [list]
        fan_out: {items: $list.output, as: file}
        bash: 'echo "$INPUTS.file.name" $ITEM_INDEX/$ITEM_COUNT'
        with: {size: $INPUTS.file.size}
        env: {FILE: $INPUTS.file}
      - id: g
        fan_out: {items: [1, 2]}
        group:
          nodes:
            - {id: a, prompt: "Item $INPUTS.item, $ITEM_INDEX"}
            - {id: b, prompt: "$INPUTS.item and $INPUTS.inner", fan_out: {items: $INPUTS.item.parts, as: inner}}
    """)
    assert codes(loaded) == []
    assert loaded.workflow is not None
    review = loaded.workflow.nodes[1]
    assert isinstance(review.body, w.Bash)
    assert [one.reference for one in review.body.shell.placements] == [
        w.InputReference("file", ("name",)),
        w.EngineReference("ITEM_INDEX"),
        w.EngineReference("ITEM_COUNT"),
    ]


def test_a_condition_that_names_the_item_is_each_instances(tmp_path: Path) -> None:
    write(tmp_path, block("- {id: z, bash: x}"))
    text = """
      - {id: list, bash: x}
      - {id: a, bash: x, fan_out: {items: [1]}, when: "$list.output == 'x'"}
      - {id: b, bash: x, fan_out: {items: [1]}, when: "$INPUTS.item.kind == 'x' && $list.output == 'y'"}
      - {id: c, bash: x, fan_out: {items: [1]}, when: $ITEM_INDEX < 3}
      - {id: d, workflow: block, fan_out: {items: [1]}, when: $ITEM_COUNT > 0}
    """
    found = good(text, project=tmp_path).nodes[1:]
    assert [(one.when is not None, one.fan_out.when is not None) for one in found if one.fan_out] == [
        (True, False),
        (False, True),
        (False, True),
        (False, True),
    ]


def test_outside_of_its_place_a_name_is_text_in_bash_too() -> None:
    """A script may have a variable of its own called so."""
    loaded = load("- {id: a, bash: 'echo $ITEM_INDEX $LOOP_PREV.a.output'}")
    assert codes(loaded) == ["not-a-reference", "not-a-reference"]
    assert loaded.workflow is not None
    body = loaded.workflow.nodes[0].body
    assert isinstance(body, w.Bash)
    assert body.shell.placements == ()


def test_a_called_workflow_is_frozen_with_the_caller(tmp_path: Path) -> None:
    """By its name, with those that it calls itself; defaults are filled in when it runs."""
    root = "inputs: {target: {required: true}, count: {type: integer, default: 1}}\nsecrets: [T]\nenv: {A: b}"
    write(tmp_path, block("- {id: a, bash: x}\n- {id: again, workflow: deep}", root))
    write(tmp_path, block("- {id: z, command: ask}", name="deep"))
    write(tmp_path, {".ion/commands/ask.md": "Ask"})
    workflow = good(
        """
        - {id: list, bash: x}
        - {id: ship, workflow: block, with: {target: $list.output, count: "3"}}
        - {id: talk, workflow: deep, input: "About $list.output"}
        - {id: each, workflow: block, fan_out: {items: $list.output, as: target}}
        """,
        project=tmp_path,
    )
    _, ship, talk, each = workflow.nodes
    assert (ship.body, talk.body) == (w.WorkflowCall("block"), w.WorkflowCall("deep", "About $list.output"))
    assert ship.bindings == {"target": w.Binding("$list.output"), "count": w.Binding(3)}
    assert (ship.order, talk.order) == (("list",), ("list",))
    assert each.fan_out is not None
    assert (each.fan_out.name, each.fan_out.join) == ("target", "all_done")
    assert sorted(workflow.workflows) == ["block", "deep"]
    assert workflow.workflows["block"].workflows == {}
    assert workflow.workflows["deep"].commands["ask"].text == "Ask"
    assert (workflow.commands, workflow.secrets, workflow.env) == ({}, ("T",), {})
    assert read_frozen(source_of(workflow)) == workflow


def test_an_include_that_is_fanned_out_is_a_group(tmp_path: Path) -> None:
    """Its ids stay bare, the item is the input of that name, and the rest is handed over."""
    nodes = """
    - {id: look, bash: 'cat "$INPUTS.file" $INPUTS.depth'}
    - {id: judge, prompt: "$look.output of $INPUTS.file", depends_on: [look], when: $INPUTS.depth == '1'}
    """
    write(tmp_path, block(nodes, "inputs: {file: {required: true}, depth: {}}\nreturns: judge"))
    workflow = good(
        """
        - {id: list, bash: x}
        - {id: i, include: block, fan_out: {items: $list.output, as: file}, with: {depth: $list.output}}
        """,
        project=tmp_path,
    )
    include = workflow.nodes[1]
    assert isinstance(include.body, w.Group)
    assert include.fan_out == w.FanOut(items="$list.output", name="file", join="all_done")
    assert (include.order, include.bindings) == (("list",), {})
    look, judge = include.body.scope.nodes
    assert include.body.scope.returns == "judge"
    assert (look.id, look.order, look.bindings) == ("look", (), {"depth": w.Binding("$list.output")})
    assert judge.when is not None
    assert judge.when.alternatives[0][0].reference == w.NodeReference("list")
    assert read_frozen(source_of(workflow)) == workflow


def test_includes_inside_of_groups(tmp_path: Path) -> None:
    """They are spliced into the graph that they are in; a group in an include keeps its ids."""
    write(tmp_path, block("- {id: a, bash: x}\n- {id: g, group: {nodes: [{id: b, bash: echo $a.output}]}}"))
    workflow = good(
        """
        - id: o
          loop_group:
            until_node: p
            returns: p
            max_iterations: 2
            nodes:
              - {id: p, include: block}
              - {id: q, prompt: "$p.output, $p__a.output, $LOOP_PREV.p.output", depends_on: [p]}
        """,
        project=tmp_path,
    )
    body = workflow.nodes[0].body
    assert isinstance(body, w.LoopGroup)
    a, g, q = body.scope.nodes
    assert (body.scope.returns, body.until_node) == ("p__a", "p__a")
    assert (a.id, g.id, g.order, q.depends_on, q.order) == ("p__a", "p__g", ("p__a",), ("p__a", "p__g"), ())
    assert isinstance(g.body, w.Group)
    inner = g.body.scope.nodes[0]
    assert inner.id == "b"
    assert isinstance(inner.body, w.Bash)
    assert inner.body.shell.text == "echo $p__a.output"
    assert q.body == w.Prompt("$p__a.output, $p__a.output, $LOOP_PREV.p__a.output")


def test_what_an_include_inside_of_a_group_is_given_from_outside(tmp_path: Path) -> None:
    """The group waits for it; the nodes inside wait for siblings alone."""
    write(tmp_path, block("- {id: a, prompt: $INPUTS.v $INPUTS.w}"))
    workflow = good(
        """
        - {id: out, bash: x}
        - id: g
          group:
            nodes:
              - {id: in, bash: x}
              - {id: i, include: block, with: {v: $out.output, w: $in.output}, when: $out.output == 'x'}
        """,
        project=tmp_path,
    )
    group = workflow.by_id["g"]
    assert isinstance(group.body, w.Group)
    assert (group.order, group.body.scope.nodes[1].order) == (("out",), ("in",))
    assert read_frozen(source_of(workflow)) == workflow


def test_a_session_that_is_resumed_from_inside_of_an_included_file(tmp_path: Path) -> None:
    """It is the node's by its new name; where that node has many instances there is no such session."""
    nodes = """
    - {id: a, prompt: x}
    - {id: g, depends_on: [a], group: {nodes: [{id: b, prompt: x, context: {resume: a}}]}}
    """
    write(tmp_path, block(nodes))
    body = good("- {id: i, include: block}", project=tmp_path).nodes[1].body
    assert isinstance(body, w.Group)
    assert body.scope.nodes[0].continues == "i__a"
    for text in (
        "- {id: i, include: block, fan_out: {items: [1], as: x}}",
        "- {id: o, group: {nodes: [{id: i, include: block}]}}",
    ):
        assert only(load(text, project=tmp_path)).code == "bad-resume"


def test_agent_options_of_a_group_are_defaults_inside() -> None:
    group = node(
        """
        - id: g
          model: small
          agent: mine
          group:
            nodes:
              - {id: a, prompt: x, effort: low}
              - {id: l, model: tiny, loop_group: {until: D, max_iterations: 1, nodes: [{id: b, prompt: x}]}}
        """,
        root="model: large\neffort: high",
    )
    assert isinstance(group.body, w.Group)
    a, loop = group.body.scope.nodes
    assert isinstance(loop.body, w.LoopGroup)
    assert (a.options, a.agent) == ({"model": "small", "effort": "low"}, "mine")
    assert loop.body.scope.nodes[0].options == {"model": "tiny", "effort": "high"}


def test_sessions_are_walked_in_each_graph() -> None:
    """A node with instances counts as a layer of several; a graph inside begins fresh; `resume` may name a node outside
    of all of them."""
    workflow = good("""
      - {id: a, prompt: x}
      - {id: many, prompt: x, depends_on: [a], fan_out: {items: [1]}}
      - {id: b, prompt: x, depends_on: [many]}
      - id: g
        depends_on: [b]
        group:
          nodes:
            - {id: c, prompt: x}
            - {id: d, prompt: x, depends_on: [c]}
            - {id: e, prompt: x, depends_on: [d], context: {resume: a}}
      - {id: f, prompt: x, depends_on: [g]}
    """)
    assert [one.continues for one in workflow.nodes] == [None, None, None, None, None]
    body = workflow.by_id["g"].body
    assert isinstance(body, w.Group)
    assert [one.continues for one in body.scope.nodes] == [None, "c", "a"]


def test_numbers_keep_their_text_inside(tmp_path: Path) -> None:
    body = good("- {id: g, group: {nodes: [{id: a, bash: x, env: {V: 1.10}, with: {v: 0755}}]}}").nodes[0].body
    assert isinstance(body, w.Group)
    assert (body.scope.nodes[0].env, body.scope.nodes[0].bindings) == ({"V": "1.10"}, {"v": w.Binding("0755")})


# What is wrong

INSIDE = {
    "group": "- {id: g, group: {nodes: [NODES]}}",
    "loop_group": "- {id: g, loop_group: {nodes: [NODES], until: DONE, max_iterations: 2}}",
    "deep": "- {id: o, group: {nodes: [{id: g, group: {nodes: [NODES]}}]}}",
    "fanned out": "- {id: g, fan_out: {items: [1]}, group: {nodes: [NODES]}}",
}


@pytest.mark.parametrize("around", INSIDE)
@pytest.mark.parametrize(
    ("inner", "code", "path", "underlined"),
    [
        ("{id: a, bash: 'echo $nowhere.output'}", "unknown-node", "[0].bash", "$nowhere.output"),
        ("{id: a, bash: 'echo $g.output'}", "dependency-cycle", "[0].bash", "$g.output"),
        ("{id: plan, bash: x}", "duplicate-id", "[0].id", "plan"),
        ("{id: g, bash: x}", "duplicate-id", "[0].id", "g"),
        ("{id: a, bash: x}, {id: a, bash: x}", "duplicate-id", "[1].id", "a"),
        ("{id: a, bash: x, depends_on: [plan]}", "unknown-node", "[0].depends_on[0]", "plan"),
        ("{id: a, bash: x, depends_on: [b]}, {id: b, bash: x, depends_on: [a]}", "dependency-cycle", "", "b"),
        ("{id: a, bash: x, when: a == b}", "bad-condition", "[0].when", "a"),
        ("{id: a, promt: x}", "no-kind", "[0].promt", "promt"),
        ("{id: a, bash: x, timeout: soon}", "bad-duration", "[0].timeout", "soon"),
        ("{id: a, bash: x, needs: [b]}", "foreign-field", "[0].needs", "needs"),
        ("{id: a, prompt: x, context: {resume: later}}", "bad-resume", "[0].context.resume", "later"),
        ("{id: a, bash: x}, nonsense", "wrong-type", "[1]", "nonsense"),
    ],
)
def test_problems_inside_have_their_own_place(inner: str, code: str, path: str, underlined: str, around: str) -> None:
    text = f"- {{id: plan, bash: x}}\n{INSIDE[around].replace('NODES', inner)}\n- {{id: later, prompt: x}}\n"
    whole = HEAD + text
    problem = parse_workflow(whole).errors[0]
    base = {
        "group": "nodes[1].group.nodes",
        "fanned out": "nodes[1].group.nodes",
        "loop_group": "nodes[1].loop_group.nodes",
        "deep": "nodes[1].group.nodes[0].group.nodes",
    }[around]
    assert problem.code == code
    assert problem.path.startswith(base + path)
    assert marked(whole, problem) == underlined


def test_from_outside_only_the_output_of_the_whole_can_be_read() -> None:
    problem = only(load("- {id: g, group: {nodes: [{id: a, bash: x}]}}\n- {id: b, bash: echo $a.output}"))
    assert problem.message == "'b' refers to $a.output, which is inside of 'g'"
    assert problem.hint == "from outside only $g.output can be read: name it in 'returns' of 'g'"


def test_siblings_may_have_the_same_ids_inside() -> None:
    assert (
        codes(load("- {id: g, group: {nodes: [{id: a, bash: x}]}}\n- {id: h, group: {nodes: [{id: a, bash: x}]}}"))
        == []
    )


def test_a_reference_from_inside_is_an_edge_of_the_whole() -> None:
    """With the warning of every edge by reference, where the reference is; and it takes part in cycles."""
    text = "- {id: p, bash: x}\n- {id: g, group: {nodes: [{id: a, bash: echo $p.output}]}}"
    problem = only(load(text), "warning")
    assert (problem.code, problem.path) == ("order-by-reference", "nodes[1].group.nodes[0].bash")
    assert problem.message == "'g' refers to $p.output but does not depend on 'p'"
    problem = only(load(text.replace("bash: x", "bash: x, depends_on: [g]")))
    assert (problem.code, problem.message) == ("dependency-cycle", "these nodes wait for each other: p → g → p")


@pytest.mark.parametrize(
    ("nodes", "code", "path"),
    [
        ("- {id: g, group: {nodes: []}}", "bad-value", "nodes[0].group.nodes"),
        ("- {id: g, group: [a]}", "wrong-type", "nodes[0].group"),
        ("- {id: g, group: {nodes: [{id: a, bash: x}], returns: b}}", "unknown-node", "nodes[0].group.returns"),
        ("- {id: g, group: {nodes: [{id: a, bash: x}], until: b}}", "unknown-field", "nodes[0].group.until"),
        ("- {id: g, group: {nodes: [{id: a, bash: x}]}, env: {A: b}}", "no-effect-here", "nodes[0].env"),
        ("- {id: g, group: {nodes: [{id: a, bash: x}]}, with: {a: b}}", "no-effect-here", "nodes[0].with"),
        ("- {id: g, group: {nodes: [{id: a, bash: x}]}, runs_on: gpu}", "no-effect-here", "nodes[0].runs_on"),
        ("- {id: l, loop: {prompt: x, until: D, max_iterations: 1}, retry: {max_attempts: 1}}", "no-effect-here", ""),
    ],
)
def test_what_a_group_cannot_have(nodes: str, code: str, path: str) -> None:
    problem = load(nodes).problems[0]
    assert problem.code == code
    assert not path or problem.path == path


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ("max_iterations: 2", "loop-without-end", ""),
        ("until: D", "missing-field", ""),
        ("until: D, max_iterations: 0", "bad-value", ".max_iterations"),
        ("until_field: d, until: D, max_iterations: 1", "no-effect-here", ".until_field"),
        ("until_node: b, max_iterations: 1", "unknown-node", ".until_node"),
        ("until: D, max_iterations: 1, interactive: true", "gate-message-missing", ".interactive"),
        ("until_bash: 'test $z.output', max_iterations: 1", "unknown-node", ".until_bash"),
        ("until_bash: 'test $LOOP_PREV.z.output', max_iterations: 1", "unknown-node", ".until_bash"),
    ],
)
def test_what_a_loop_group_cannot_have(body: str, code: str, path: str) -> None:
    problem = only(load(f"- {{id: g, loop_group: {{nodes: [{{id: a, bash: x}}], {body}}}}}"))
    assert (problem.code, problem.path) == (code, f"nodes[0].loop_group{path}")


def test_the_node_that_ends_a_loop_group_is_one() -> None:
    loaded = load("- {id: g, loop_group: {nodes: [{id: a, bash: x}], until_node: [a], max_iterations: 1}}")
    assert "wrong-type" in {problem.code for problem in loaded.problems}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("until: D, until_bash: x, max_iterations: 1", "any-of-several"),
        ("until: D, until_all: true, max_iterations: 1", "no-effect"),
        ("until: D, signal_completes: true, max_iterations: 1", "no-effect"),
        ("until: D, gate_message: fine?, max_iterations: 1", "no-effect"),
        ("until_bash: 'test $a.output = ok', max_iterations: 1", "ends-the-loop"),
    ],
)
def test_what_is_odd_in_a_loop_group(body: str, code: str) -> None:
    problem = only(load(f"- {{id: g, loop_group: {{nodes: [{{id: a, bash: x}}], {body}}}}}"), "warning")
    assert problem.code == code


PARTS = {
    "group": "group: {nodes: [{id: a, bash: x}], KEY}",
    "loop_group": "loop_group: {nodes: [{id: a, bash: x}], until: D, max_iterations: 1, KEY}",
    "fan_out": "bash: x, fan_out: {items: [1], KEY}",
    "loop": "loop: {prompt: x, until: D, max_iterations: 1, KEY}",
    "approval": "approval: {message: m, KEY}",
    "retry": "bash: x, retry: {max_attempts: 1, KEY}",
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("key", ["depends_on", "when", "trigger_rule", "always_run", "allow_failure", "env", "cwd"])
def test_a_field_of_the_node_that_is_indented_too_deep(key: str, part: str) -> None:
    """It would not act, so something else would run."""
    problem = only(load(f"- {{id: n, {PARTS[part].replace('KEY', f'{key}: x')}}}"))
    assert (problem.code, problem.path) == ("unknown-field", f"nodes[0].{part}.{key}")
    assert problem.message == f"'{key}' is not a field of '{part}'"
    assert problem.hint.startswith("it belongs to ")


@pytest.mark.parametrize(
    ("part", "key", "code", "hint"),
    [
        ("group", "retry", "unknown-field", "it belongs to the node, beside 'group'"),
        ("group", "fan_out", "unknown-field", "it belongs to the node, beside 'group'"),
        ("group", "timeout", "unknown-field", "it belongs to the node, beside 'group'"),
        ("fan_out", "timeout", "unknown-field", "it belongs to the node, beside 'fan_out'"),
        ("fan_out", "retry", "unknown-field", "it belongs to the node, beside 'fan_out'"),
        ("fan_out", "max_paralel", "unknown-field", "did you mean 'max_parallel'?"),
        ("fan_out", "max-parallel", "unknown-field", "did you mean 'max_parallel'?"),
        ("fan_out", "parallel", "unknown-field", "did you mean 'max_parallel'?"),
        ("fan_out", "joins", "unknown-field", "did you mean 'join'?"),
        ("fan_out", "As", "unknown-field", "did you mean 'as'?"),
        ("group", "return", "unknown-field", "did you mean 'returns'?"),
        ("group", "needs", "foreign-field", "Ion calls it 'depends_on'"),
        ("retry", "delay", "unknown-field", "did you mean 'delay_ms'?"),
        ("loop", "until_node", "unknown-field", "it belongs below 'loop_group'"),
    ],
)
def test_a_slip_in_what_governs_what_runs(part: str, key: str, code: str, hint: str) -> None:
    problem = only(load(f"- {{id: n, {PARTS[part].replace('KEY', f'{key}: x')}}}"))
    assert (problem.code, problem.path.rpartition(".")[0]) == (code, f"nodes[0].{part}")
    assert problem.hint.split("\n")[0] == hint


@pytest.mark.parametrize("part", PARTS)
def test_another_unknown_field_of_a_part_is_a_warning(part: str) -> None:
    assert only(load(f"- {{id: n, {PARTS[part].replace('KEY', 'colour: x')}}}"), "warning").code == "unknown-field"


@pytest.mark.parametrize(
    ("node", "key", "hint"),
    [
        ("group: {nodes: [{id: a, bash: x}]}, nodes: []", "nodes", "it belongs below 'group'"),
        (PARTS["loop_group"].replace(", KEY", "") + ", until_bash: x", "until_bash", "it belongs below 'loop_group'"),
        (PARTS["loop_group"].replace(", KEY", "") + ", max_iterations: 3", "", "it belongs below 'loop_group'"),
        ("workflow: block, inputs: {a: b}", "inputs", "hand values over in 'with'"),
    ],
)
def test_where_a_field_belongs(node: str, key: str, hint: str, tmp_path: Path) -> None:
    write(tmp_path, block("- {id: z, bash: x}"))
    (problem,) = load(f"- {{id: n, {node}}}", project=tmp_path).problems
    assert (problem.code, problem.hint.split("\n")[0]) == ("unknown-field", hint)
    assert problem.path.endswith(key)
    assert problem.severity == ("warning" if key in ("nodes", "inputs") else "error")


@pytest.mark.parametrize("value", ["[a]", "{a: b}", "3", "true", "''", "null"])
@pytest.mark.parametrize(
    ("part", "key"),
    [("loop_group", key) for key in ("until_node", "returns", "until_bash", "until", "gate_message")]
    + [("group", "returns")]
    + [("fan_out", key) for key in ("as", "lines", "join", "max_parallel", "max_items")],
)
def test_a_value_of_any_type_is_judged(part: str, key: str, value: str) -> None:
    """The file is at fault, and never Ion."""
    load(f"- {{id: n, {PARTS[part].replace('KEY', f'{key}: {value}')}}}\n- {{id: b, bash: x, depends_on: [n]}}")


def test_a_check_may_read_what_ends_the_loop() -> None:
    """`until_node` says that its failure does not end it."""
    body = "until_node: a, until_bash: 'test $a.output = ok', until_all: true, max_iterations: 1"
    assert codes(load(f"- {{id: g, loop_group: {{nodes: [{{id: a, bash: x}}], {body}}}}}")) == []


def test_the_iteration_before_is_known_only_in_a_loop() -> None:
    text = "- {id: g, group: {nodes: [{id: a, bash: x, when: COND}]}}"
    for condition in ("$LOOP_PREV.a.output == 'x'", "$LOOP_ITERATION > 1", "$ITEM_INDEX == 0"):
        problem = only(load(text.replace("COND", condition)))
        assert (problem.code, problem.path) == ("bad-condition", "nodes[0].group.nodes[0].when")
    problem = only(
        load("""
      - id: g
        loop_group: {until: D, max_iterations: 1, nodes: [{id: abc, prompt: "$LOOP_PREV.abd.output"}]}
    """)
    )
    assert (problem.code, problem.hint.split("\n")[0]) == ("unknown-node", "did you mean 'abc'?")


@pytest.mark.parametrize(
    ("fan_out", "code", "path"),
    [
        ("{}", "bad-fan-out", "fan_out"),
        ("{items: [1], lines: x}", "bad-fan-out", "fan_out.lines"),
        ("{items: some text}", "bad-fan-out", "fan_out.items"),
        ("{items: '{}'}", "bad-fan-out", "fan_out.items"),
        ("{items: 3}", "wrong-type", "fan_out.items"),
        ("{items: [1, 2, 3], max_items: 2}", "too-many-items", "fan_out.items"),
        ("{items: '[1, 2, 3]', max_items: 2}", "too-many-items", "fan_out.items"),
        ("{items: [1], max_items: 10001}", "bad-value", "fan_out.max_items"),
        ("{items: [1], max_items: 0}", "bad-value", "fan_out.max_items"),
        ("{items: [1], max_parallel: 0}", "bad-value", "fan_out.max_parallel"),
        ("{items: [1], max_parallel: some}", "bad-value", "fan_out.max_parallel"),
        ("{items: [1], join: first_success}", "bad-value", "fan_out.join"),
        ("{items: [1], as: a.b}", "bad-name", "fan_out.as"),
        ("{items: [1], as: mode}", "item-name", "fan_out.as"),
        ("{items: [1], as: bound}", "item-name", "fan_out.as"),
        ("{items: $nowhere.output}", "unknown-node", "fan_out.items"),
        ("{items: $n.output}", "self-reference", "fan_out.items"),
        ("{items: $INPUTS.item}", "undeclared-input", "fan_out.items"),
        ("{lines: '$ITEM_INDEX'}", "not-a-reference", "fan_out.lines"),
        ("3", "wrong-type", "fan_out"),
        ("{items: x $other.output}", "bad-fan-out", "fan_out.items"),
        ("{items: $other.output x}", "bad-fan-out", "fan_out.items"),
        ("{items: [3.9, 3.10]}", "number-rewritten", "fan_out.items[1]"),
        ("{items: [{v: [010]}]}", "number-rewritten", "fan_out.items[0].v[0]"),
        ("{items: [0x1F]}", "number-rewritten", "fan_out.items[0]"),
    ],
)
def test_what_a_fan_out_cannot_have(fan_out: str, code: str, path: str) -> None:
    nodes = (
        f"- {{id: other, bash: x}}\n- {{id: n, bash: x, with: {{bound: v}}, fan_out: {fan_out}, depends_on: [other]}}"
    )
    loaded = load(nodes, root="inputs: {mode: {}}")
    assert [(one.code, one.path) for one in loaded.problems] == [(code, f"nodes[1].{path}")]


@pytest.mark.parametrize(
    "items", ["[3.9, 10, -1, '3.10', yes, 2026-01-01]", "'[3.10]'", "'[\"a\", $other.output]'", "$other.output"]
)
def test_items_that_are_what_they_look_like(items: str) -> None:
    text = f"- {{id: other, bash: x}}\n- {{id: n, bash: x, depends_on: [other], fan_out: {{items: {items}}}}}"
    assert codes(load(text)) == []


@pytest.mark.parametrize("kind", ["include", "workflow"])
def test_an_item_in_the_file_is_a_value_of_the_input(kind: str, tmp_path: Path) -> None:
    write(tmp_path, block("- {id: z, bash: x}", "inputs: {count: {type: integer}}"))
    for items, wrong in (("[1, z, '2', $o.output]", [1]), ("'[[], 2]'", [0])):
        text = f"- {{id: n, {kind}: block, fan_out: {{items: {items}, as: count}}, depends_on: [o]}}"
        found = load(f"- {{id: o, bash: x}}\n{text}", project=tmp_path).errors
        assert [(one.code, one.path) for one in found] == [
            ("bad-input", f"nodes[1].fan_out.items[{index}]") for index in wrong
        ]


@pytest.mark.parametrize("name", ["[x]", "./x.yaml", "$o.output"])
@pytest.mark.parametrize("kind", ["include", "workflow"])
def test_a_name_at_fault_is_one_problem(kind: str, name: str, tmp_path: Path) -> None:
    problem = only(load(f"- {{id: o, bash: x}}\n- {{id: n, {kind}: {name}, depends_on: [o]}}", project=tmp_path))
    assert problem.path == f"nodes[1].{kind}"
    assert problem.code != "unknown-workflow"


def test_the_item_has_the_name_that_as_gives() -> None:
    problem = only(load("- {id: n, bash: 'echo $INPUTS.item', fan_out: {items: [1], as: file}}"), "warning")
    assert (problem.code, problem.hint) == ("undeclared-input", "did you mean 'file'? so 'as' names the item")


@pytest.mark.parametrize("body", ["approval: {message: m}", "cancel: x", "wait: 5m"])
def test_what_cannot_be_fanned_out(body: str) -> None:
    problem = only(load(f"- {{id: n, {body}, fan_out: {{items: [1]}}}}"))
    assert problem.code == "no-effect-here"


def test_an_item_hides_no_item_around_it() -> None:
    text = "- {id: g, fan_out: {items: [1]}, group: {nodes: [{id: a, bash: x, fan_out: {items: [1]}}]}}"
    problem = only(load(text))
    assert (problem.code, problem.path) == ("item-name", "nodes[0].group.nodes[0].fan_out")
    assert codes(load(text.replace("bash: x, fan_out: {items: [1]", "bash: x, fan_out: {items: [1], as: other"))) == []


# The output of a node with an inside


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ("{id: n, prompt: x, output_format: FORMAT, fan_out: {items: [1]}}", "field-of-list"),
        ("{id: n, group: {nodes: [{id: a, bash: x}]}}", "undeclared-field"),
        ("{id: n, group: {nodes: [{id: a, prompt: x, output_format: FORMAT}, {id: b, bash: x}]}}", "undeclared-field"),
        ("{id: n, group: {returns: b, nodes: [{id: a, TYPED}, {id: b, bash: x}]}}", "undeclared-field"),
        ("{id: n, workflow: prose}", "undeclared-field"),
        ("{id: n, include: prose, fan_out: {items: [1], as: x}}", "field-of-list"),
        ("{id: n, prompt: x, output_format: FORMAT}", ""),
        ("{id: n, group: {returns: a, nodes: [{id: a, prompt: x, output_format: FORMAT}, {id: b, bash: x}]}}", ""),
        ("{id: n, group: {nodes: [{id: b, bash: x}, {id: a, depends_on: [b], prompt: x, output_format: FORMAT}]}}", ""),
        ("{id: n, loop_group: {until: D, max_iterations: 1, nodes: [{id: a, prompt: x, output_format: FORMAT}]}}", ""),
        ("{id: n, workflow: typed}", ""),
        ("{id: n, include: typed}", ""),
    ],
)  # fmt: skip
def test_a_field_of_the_output(node: str, code: str, tmp_path: Path) -> None:
    form = "{type: object, properties: {ok: {type: boolean}}}"
    write(tmp_path, block("- {id: a, prompt: x}", name="prose"))
    write(tmp_path, block(f"- {{id: a, prompt: x, output_format: {form}}}", name="typed"))
    node = node.replace("TYPED", "prompt: x, output_format: FORMAT").replace("FORMAT", form)
    for use in ("bash: echo $n.output.ok", "bash: x, when: $n.output.ok == 'true'"):
        loaded = load(f"- {node}\n- {{id: u, depends_on: [n], {use}}}", project=tmp_path)
        assert codes(loaded) == ([code] if code else [])


@pytest.mark.parametrize(
    ("node", "prose"),
    [
        ("{id: n, group: {nodes: [{id: a, prompt: x}]}}", True),
        ("{id: n, group: {returns: b, nodes: [{id: a, prompt: x}, {id: b, bash: x}]}}", False),
        ("{id: n, loop_group: {until: D, max_iterations: 1, nodes: [{id: a, prompt: x}]}}", True),
        ("{id: n, workflow: prose}", True),
        ("{id: n, include: prose}", True),
        ("{id: n, prompt: x, fan_out: {items: []}}", False),
    ],
)
def test_what_never_equals_a_fixed_text(node: str, prose: bool, tmp_path: Path) -> None:
    write(tmp_path, block("- {id: a, prompt: x}", name="prose"))
    loaded = load(f"- {node}\n- {{id: u, bash: x, depends_on: [n], when: \"$n.output == '[]'\"}}", project=tmp_path)
    assert codes(loaded) == (["prose-compared"] if prose else [])


# Calls


@pytest.mark.parametrize(
    ("call", "code", "path"),
    [
        ("workflow: block, input: x, with: {a: b}", "bad-binding", "input"),
        ("workflow: block, input: x, fan_out: {items: [1]}", "no-effect", "input"),
        ("workflow: block, fan_out: {items: [1], as: nothing}", "unknown-input", "fan_out.as"),
        ("include: block, fan_out: {items: [1]}", "missing-field", "fan_out"),
        ("workflow: block, model: small", "agent-field-ignored", "model"),
        ("workflow: block, isolation: worktree", "no-effect", "isolation"),
        ("workflow: block, with: {a: $nowhere.output}", "unknown-node", "with.a"),
    ],
)
def test_what_a_call_cannot_have(call: str, code: str, path: str, tmp_path: Path) -> None:
    write(tmp_path, block("- {id: z, bash: x}", "inputs: {a: {}}"))
    loaded = load(f"- {{id: n, {call}}}", project=tmp_path)
    assert [(one.code, one.path) for one in loaded.problems] == [(code, f"nodes[0].{path}")]


def test_how_deep_calls_go(tmp_path: Path) -> None:
    for depth in range(7):
        call = f"- {{id: n, workflow: b{depth + 1}}}" if depth < 6 else "- {id: n, bash: x}"
        write(tmp_path, block(call, name=f"b{depth}"))
    assert [one.code for one in load("- {id: n, workflow: b1}", project=tmp_path).errors if not one.way] == ["too-deep"]
    assert len(good("- {id: n, workflow: b2}", project=tmp_path).workflows) == 5


@pytest.mark.parametrize("nodes", ["- {id: k, bash: x}", "- {id: g, group: {nodes: [{id: k, bash: x}]}}"])
def test_what_an_include_has_inside_may_have_the_id_of_a_node_outside(nodes: str, tmp_path: Path) -> None:
    """Its texts do not see the caller's nodes; only a value that is filled in there could mean either."""
    write(tmp_path, block(nodes, "inputs: {x: {}, y: {}}"))
    text = "- {id: k, bash: x}\n- {id: i, include: block, depends_on: [k], fan_out: {items: $k.output, as: x}}"
    workflow = good(f"{text}\n- {{id: z, bash: echo $k.output, depends_on: [k]}}", project=tmp_path)
    assert read_frozen(source_of(workflow)) == workflow
    problem = only(load(text.replace("as: x}", "as: x}, with: {y: $k.output}"), project=tmp_path))
    assert (problem.code, problem.path) == ("duplicate-id", "nodes[1].include")
    assert problem.message == "'i' hands over the output of 'k', and a node inside of it has that id too"


def test_what_a_fanned_out_include_brings_is_inside_of_it(tmp_path: Path) -> None:
    write(tmp_path, block("- {id: a, bash: x}"))
    text = (
        "- {id: i, include: block, fan_out: {items: [1], as: x}}\n- {id: b, bash: echo $i__a.output, depends_on: [i]}"
    )
    assert only(load(text, project=tmp_path)).code == "unknown-node"
    problem = only(load(text.replace("i__a", "a"), project=tmp_path))
    assert problem.message == "'b' refers to $a.output, which is inside of 'i'"


def test_the_json_schema_knows_the_insides() -> None:
    """An editor checks the nodes of a body as those of the file."""
    from jsonschema import Draft202012Validator

    from ion.language.schema import workflow_json_schema

    validator = Draft202012Validator(workflow_json_schema())
    good = {"id": "g", "group": {"nodes": [{"id": "a", "bash": "x", "fan_out": {"items": "$b.output", "as": "f"}}]}}
    file = {"name": "n", "description": "d", "nodes": [good]}
    assert list(validator.iter_errors(file)) == []
    file["nodes"] = [{"id": "g", "group": {"nodes": [{"id": "a", "bash": 3}]}}]
    assert list(validator.iter_errors(file)) != []


def test_any_size_takes_time_in_proportion() -> None:
    """Many groups, references, items and resumed sessions: no walk over all of them for each."""

    def nodes(number: int) -> str:
        lines = ["- {id: top, prompt: x}"]
        for index in range(number):
            inner = "{id: a, prompt: '$top.output {{ x }}'}, {id: b, prompt: x, depends_on: [a], context: {resume: a}}"
            lines.append(f"- {{id: g{index}, depends_on: [top], group: {{nodes: [{inner}], returns: b}}}}")
            lines.append(f"- {{id: u{index}, prompt: $g{index}.output, depends_on: [g{index}]}}")
        return "\n".join(lines)

    assert_linear(good, nodes, 40)


@pytest.mark.parametrize(
    ("kind", "ignored"),
    [
        ("workflow: block", {"max_concurrency", "workspace"}),
        ("include: block", {"timeout", "fail_fast", "max_concurrency", "max_budget_usd", "workspace"}),
    ],
)
def test_what_another_file_has_no_say_in_is_named(kind: str, ignored: set[str], tmp_path: Path) -> None:
    root = "timeout: 5m\nfail_fast: true\nmax_concurrency: 2\nmax_budget_usd: 3\nworkspace: pinned"
    write(tmp_path, block("- {id: a, bash: x}", root))
    loaded = load(f"- {{id: n, {kind}}}\n", project=tmp_path)
    assert {one.message.split("'")[1] for one in loaded.problems if one.code == "no-effect"} == ignored
    assert loaded.workflow is not None


LONG = "n" * 90


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("- {id: " + "x" * 201 + ", bash: x}", "nodes[0].id"),
        (f"- id: a{LONG}\n  group: {{nodes: [{{id: b{LONG}, group: {{nodes: [{{id: c{LONG}, bash: x}}]}}}}]}}",
         "nodes[0].group.nodes[0].group.nodes[0].id"),
        (f"- id: a{LONG}\n  fan_out: {{items: [1]}}\n  group: {{nodes: [{{id: {LONG}and_more_to_it, bash: x}}]}}",
         "nodes[0].group.nodes[0].id"),
    ],
)  # fmt: skip
def test_an_address_is_part_of_the_names_of_files(written: str, place: str) -> None:
    """Else the program inside could not be started, long after the run began."""
    problem = only(load(written))
    assert (problem.code, problem.path) == ("bad-id", place)
    assert "at most 200" in problem.message


def test_an_address_may_have_two_hundred_characters() -> None:
    good("- {id: " + "x" * 200 + ", bash: x}")
    good(f"- id: a{LONG}\n  loop_group: {{until: X, max_iterations: 2, nodes: [{{id: {'x' * 102}, bash: x}}]}}")
