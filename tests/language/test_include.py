"""`include`: the nodes of another file become nodes of this one (language.md §13, Archon's facts of it)."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from any_workflow import load_any
from hypothesis import given, settings
from hypothesis import strategies as st
from load_kit import HEAD, block_text, codes, good, load, load_file, marked, only, shown, write

from ion.api.dry import dry_run
from ion.api.workspace import Workspace
from ion.engine.freeze import source_of
from ion.errors import Problem
from ion.language import workflow as w
from ion.language.frozen import read_frozen
from ion.language.load import parse_workflow

REVIEW = """
- {id: gather, bash: 'git diff "$INPUTS.base"'}
- {id: critique, depends_on: [gather], prompt: 'Look at $gather.output for $INPUTS.focus'}
"""


def project_of(folder: Path, **blocks: str) -> Path:
    """A project whose workflows have these names and nodes."""
    write(folder, {f".ion/workflows/{name}.yaml": block_text(nodes, name=name) for name, nodes in blocks.items()})
    return folder


def ids(workflow: w.Workflow) -> list[str]:
    return [node.id for node in workflow.nodes]


def test_its_nodes_become_nodes_of_the_file(tmp_path: Path) -> None:
    workflow = good(
        """
        - {id: plan, bash: x}
        - {id: review, include: block, depends_on: [plan], with: {base: $plan.output, focus: speed}}
        - {id: end, bash: "echo $review.output $review__gather.output", depends_on: [review]}
        """,
        project=project_of(tmp_path, block=REVIEW),
    )
    _, gather, critique, end = workflow.nodes
    assert ids(workflow) == ["plan", "review__gather", "review__critique", "end"]
    assert (gather.depends_on, critique.depends_on) == (("plan",), ("review__gather",))
    assert critique.body == w.Prompt("Look at $review__gather.output for $INPUTS.focus")
    assert end.depends_on == ("review__critique",)
    assert end.order == ("review__gather",)
    assert isinstance(end.body, w.Bash)
    assert end.body.shell.text == "echo $review__critique.output $review__gather.output"
    assert [end.body.shell.text[one.start : one.end] for one in end.body.shell.placements] == [
        "$review__critique.output",
        "$review__gather.output",
    ]
    assert workflow.commands == {}


def test_values_are_handed_over_by_name_and_never_pasted(tmp_path: Path) -> None:
    """In bash the text stays; a prompt has only what it reads; a program has all of them in its environment."""
    workflow = good(
        "- {id: r, include: block, with: {base: $(rm), focus: $a.output.x}}\n- {id: a, bash: x}",
        project=project_of(tmp_path, block=REVIEW),
    )
    gather, critique, _ = workflow.nodes
    values = {"base": w.Binding("$(rm)"), "focus": w.Binding("$a.output.x")}
    assert isinstance(gather.body, w.Bash)
    assert gather.body.shell.text == 'git diff "$INPUTS.base"'
    assert gather.bindings == values
    assert critique.bindings == {"focus": values["focus"]}
    assert (gather.order, critique.order) == (("a",), ("a",))


def test_the_sinks_and_the_output(tmp_path: Path) -> None:
    """`depends_on` means all of the sinks; the output is that of `returns`, else of the first sink."""
    nodes = "- {id: a, bash: x}\n- {id: b, bash: x, depends_on: [a]}\n- {id: c, bash: x, depends_on: [a]}"
    project = project_of(tmp_path, block=nodes)
    outer = "- {id: i, include: block}\n- {id: end, bash: echo $i.output, depends_on: [i]}"
    end = good(outer, project=project).nodes[-1]
    assert end.depends_on == ("i__b", "i__c")
    assert isinstance(end.body, w.Bash)
    assert end.body.shell.placements[0].reference == w.NodeReference("i__b")
    write(tmp_path, {".ion/workflows/block.yaml": block_text(nodes, "returns: a")})
    workflow = good(outer, root="returns: i", project=project)
    assert workflow.nodes[-1].order == ("i__a",)
    assert workflow.returns == "i__a"


def test_includes_inside_of_includes(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        inner="- {id: z, prompt: 'For $INPUTS.who'}",
        middle="- {id: y, include: inner, with: {who: '$INPUTS.name and $b.output'}}\n- {id: b, bash: x}",
    )
    workflow = good("- {id: x, include: middle, with: {name: me}}", project=project)
    assert ids(workflow) == ["x__y__z", "x__b"]
    assert workflow.nodes[0].bindings == {"who": w.Binding("me and $x__b.output")}
    assert workflow.nodes[0].order == ("x__b",)


def test_a_skipped_include_is_skipped_whole(tmp_path: Path) -> None:
    """Its own `when` and trigger rule decide for each node, before the node's own `when`; an entry's own rule wins."""
    nodes = """
- {id: a, bash: x, when: "$INPUTS.mode == 'y' || $INPUTS.mode == 'z'"}
- {id: b, bash: x, depends_on: [a], trigger_rule: all_done}
- {id: c, bash: x, trigger_rule: one_success}
"""
    workflow = good(
        """
        - {id: p, bash: x}
        - id: i
          include: block
          depends_on: [p]
          trigger_rule: none_failed_min_one_success
          when: $p.output == '1' || $p.output == '2'
          with: {mode: $p.output}
        """,
        project=project_of(tmp_path, block=nodes),
    )
    _, a, b, c = workflow.nodes
    outer = a.activations[0].when
    assert outer is not None
    assert [[one.literal for one in group] for group in outer.alternatives] == [["1"], ["2"]]
    rule = "none_failed_min_one_success"
    assert (a.trigger_rule, a.activations) == (rule, (w.Activation((), rule, outer),))
    assert (b.trigger_rule, b.activations) == ("all_done", (w.Activation(("p",), rule, outer),))
    assert (c.trigger_rule, c.depends_on) == ("one_success", ("p",))
    assert a.when is not None
    assert [one.reference for group in a.when.alternatives for one in group] == [w.NodeReference("p")] * 2


@pytest.mark.parametrize(
    ("value", "when", "alternatives"),
    [
        ("fast", "$INPUTS.v == 'fast'", None),
        ("fast", "$INPUTS.v != 'fast'", []),
        ("slow", "$INPUTS.v == 'fast' || $p.output == 'x'", [["x"]]),
        ("fast", "$INPUTS.v == 'fast' && $p.output == 'x'", [["x"]]),
        ("3", "$INPUTS.v > 2", None),
        ("{a: {b: 1}}", "$INPUTS.v.a.b == 1", None),
        (r"'\$p.output'", r"$INPUTS.v == '$p.output'", None),
    ],
)
def test_fixed_values_are_compared_at_once(
    value: str, when: str, alternatives: list[list[str]] | None, tmp_path: Path
) -> None:
    nodes = f'- {{id: p, bash: x}}\n- {{id: q, bash: x, depends_on: [p], when: "{when}"}}'
    project = project_of(tmp_path, block=nodes)
    condition = good(f"- {{id: i, include: block, with: {{v: {value}}}}}", project=project).nodes[1].when
    found = None if condition is None else [[one.literal for one in group] for group in condition.alternatives]
    assert found == alternatives


@pytest.mark.parametrize(
    ("nodes", "value"),
    [
        ("- {id: q, bash: x, when: $INPUTS.v > 2}", "text"),
        ("- {id: q, bash: x, when: $INPUTS.v == 'x'}", "'a $p.output'"),
        ("- {id: q, bash: x, when: $INPUTS.v == 'x'}", "{from: $p.output, if_skipped: n}"),
        ("- {id: q, bash: x, when: $INPUTS.v == 'x'}", "$ARGUMENTS"),
        ("- {id: q, bash: x, when: $INPUTS.v.a == 'x'}", "{b: 1}"),
        ("- {id: q, bash: x, with: {m: 'the $INPUTS.v.txt'}}", "$p.output"),
        ("- {id: q, bash: x, with: {m: 'the $INPUTS.v'}}", "{from: $p.output, if_skipped: n}"),
    ],
)
def test_a_value_that_cannot_be_used_where_it_is_read(nodes: str, value: str, tmp_path: Path) -> None:
    """A problem at the value, which is in this file."""
    problem = only(
        load(
            f"- {{id: p, bash: x}}\n- {{id: i, include: block, depends_on: [p], with: {{v: {value}}}}}",
            project=project_of(tmp_path, block=nodes),
        )
    )
    assert (problem.code, problem.path) == ("bad-binding", "nodes[1].with.v")
    assert "block.yaml" in problem.hint


def test_an_item_hides_an_input_of_its_name(tmp_path: Path) -> None:
    nodes = "- {id: g, fan_out: {items: $INPUTS.v, as: v}, group: {nodes: [{id: q, bash: x, when: $INPUTS.v == '1'}]}}"
    (group,) = good("- {id: i, include: block, with: {v: [1, 2]}}", project=project_of(tmp_path, block=nodes)).nodes
    assert group.fan_out == w.FanOut(items=[1, 2], name="v")
    assert isinstance(group.body, w.Group)
    assert group.body.scope.nodes[0].bindings == {}
    assert group.body.scope.nodes[0].when is not None


def test_options_of_the_file_do_not_read_the_inputs_of_another(tmp_path: Path) -> None:
    project = project_of(tmp_path, block="- {id: a, prompt: $INPUTS.v}")
    root = "inputs: {v: {}}\nsystemPrompt: For $INPUTS.v"
    problem = only(load("- {id: i, include: block, with: {v: x}}", root=root, project=project))
    assert (problem.code, problem.path) == ("bad-binding", "nodes[0].with.v")


DECLARED = """inputs:
  base: {required: true, description: The branch to compare with}
  depth: {type: integer, default: 3}
  kind: {enum: [a, b]}
  label: {default: "{base}-x", refers_to: [base]}
"""


def test_declared_inputs_have_their_defaults_and_types(tmp_path: Path) -> None:
    write(tmp_path, {".ion/workflows/block.yaml": block_text("- {id: a, bash: x}", DECLARED)})
    (node,) = good("- {id: i, include: block, with: {base: main, depth: 5}}", project=tmp_path).nodes
    assert {name: binding.value for name, binding in node.bindings.items()} == {
        "base": "main",
        "depth": 5,
        "label": "main-x",
    }


@pytest.mark.parametrize(
    ("given", "code", "path", "said"),
    [
        ("{}", "missing-input", "nodes[0].include", "The branch to compare with"),
        ("{base: x, bse: y}", "unknown-input", "nodes[0].with.bse", "'bse'"),
        ("{base: x, depth: much}", "bad-input", "nodes[0].with.depth", "must be of the type integer"),
        ("{base: x, kind: c}", "bad-input", "nodes[0].with.kind", "must be one of a, b"),
    ],
)
def test_what_does_not_fit_the_declarations(given: str, code: str, path: str, said: str, tmp_path: Path) -> None:
    for kind in ("include", "workflow"):
        write(tmp_path, {".ion/workflows/block.yaml": block_text("- {id: a, bash: x}", DECLARED)})
        problem = only(load(f"- {{id: i, {kind}: block, with: {given}}}", project=tmp_path))
        assert (problem.code, problem.path) == (code, path.replace("include", kind))
        assert said in problem.message


def test_without_declarations_extras_are_ignored_and_what_is_read_must_be_given(tmp_path: Path) -> None:
    project = project_of(tmp_path, block=REVIEW)
    assert codes(load("- {id: i, include: block, with: {base: x, focus: y, more: z}}", project=project)) == []
    problem = only(load("- {id: i, include: block, with: {base: x}}", project=project))
    assert (problem.code, problem.path) == ("missing-input", "nodes[0].include")
    assert "$INPUTS.focus" in problem.message


def test_options_environment_strictness_and_secrets_of_its_own(tmp_path: Path) -> None:
    root = "model: small\nagent: theirs\nenv: {A: b}\nstrict: true\nsecrets: [TOKEN]\ntimeout: 5m"
    write(tmp_path, {".ion/workflows/block.yaml": block_text("- {id: a, prompt: x}\n- {id: b, bash: x}", root)})
    loaded = load(
        "- {id: i, include: block}\n- {id: c, bash: x}",
        root="model: large\neffort: high\nsecrets: [KEY]",
        project=tmp_path,
    )
    assert [(one.code, one.path) for one in loaded.problems] == [("no-effect", "nodes[0].include")]
    assert loaded.workflow is not None
    a, b, c = loaded.workflow.nodes
    assert (a.options, a.agent, a.env) == ({"model": "small", "effort": "high"}, "theirs", {"A": "b"})
    assert isinstance(b.body, w.Bash)
    assert isinstance(c.body, w.Bash)
    assert (b.body.shell.strict, b.env, c.body.shell.strict) == (True, {"A": "b"}, False)
    assert loaded.workflow.secrets == ("KEY", "TOKEN")


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """A command beside the included file is another one than that of the project; both are frozen."""
    write(
        tmp_path,
        {
            ".ion/workflows/deep/block.yaml": block_text(
                "- {id: a, bash: x}\n- {id: b, command: ask}\n- {id: c, script: tool, runtime: python}"
            ),
            ".ion/workflows/deep/commands/ask.md": "See $a.output",
            ".ion/workflows/deep/scripts/tool.py": "1",
            ".ion/commands/ask.md": "Mine",
            ".ion/scripts/tool.py": "2",
        },
    )
    workflow = good(
        """
        - {id: m, command: ask}
        - {id: i, include: block}
        - {id: n, script: tool, runtime: python}
        """,
        project=tmp_path,
    )
    bodies = {node.id: node.body for node in workflow.nodes}
    assert (bodies["m"], bodies["i__b"]) == (w.Command("ask"), w.Command("ask-2"))
    assert workflow.commands["ask-2"].text == "See $i__a.output"
    assert (bodies["i__c"], bodies["n"]) == (w.Script("python", name="tool"), w.Script("python", name="tool-2"))
    assert read_frozen(source_of(workflow)) == workflow


def test_sessions_go_through_the_whole_graph(tmp_path: Path) -> None:
    """An include is gone once it is loaded: layers, and whose session continues, are those of the flat graph."""
    project = project_of(tmp_path, block="- {id: a, prompt: x}\n- {id: b, prompt: x, depends_on: [a]}")
    workflow = good(
        """
        - {id: p, prompt: x}
        - {id: i, include: block, depends_on: [p]}
        - {id: q, prompt: x, depends_on: [i], context: {resume: i__a}}
        """,
        project=project,
    )
    assert [node.continues for node in workflow.nodes] == [None, "p", "i__a", "i__a"]


# What is wrong


def test_problems_of_the_file_have_their_place_and_the_way_to_it(tmp_path: Path) -> None:
    inner, middle, outer = (tmp_path / f".ion/workflows/{name}.yaml" for name in ("inner", "middle", "outer"))
    project_of(tmp_path, inner="- {id: a, bash: echo $nowhere.output}", middle="- {id: m, include: inner}")
    write(tmp_path, {".ion/workflows/outer.yaml": f"{HEAD}nodes:\n  - {{id: o, include: middle}}\n"})
    found = load_file(outer, tmp_path).problems
    first = next(one for one in found if one.code == "unknown-node")
    assert (first.file, first.line, first.path) == (str(inner), 5, "nodes[0].bash")
    assert marked(inner.read_text(), first) == "$nowhere.output"
    assert first.way == f"included from {middle}:5:22\nincluded from {outer}:4:22"
    assert [(one.code, one.file) for one in found if one.code == "broken-workflow"] == [
        ("broken-workflow", str(middle)),
        ("broken-workflow", str(outer)),
    ]


@pytest.mark.parametrize(
    ("nodes", "code", "path"),
    [
        ("- {id: i, include: nowhere}", "unknown-workflow", "nodes[0].include"),
        ("- {id: i, workflow: nowhere}", "unknown-workflow", "nodes[0].workflow"),
        ("- {id: i, include: ./block.yaml}", "bad-name", "nodes[0].include"),
        ("- {id: i, include: $INPUTS.x}", "bad-name", "nodes[0].include"),
        ("- {id: i, include: loop}", "workflow-cycle", "nodes[0].include"),
        ("- {id: i, include: twice}", "duplicate-name", "nodes[0].include"),
        ("- {id: i, include: block}\n- {id: i__a, bash: x}", "duplicate-id", "nodes[0].include"),
        ("- {id: i, include: nested}\n- {id: i__n, include: block}", "duplicate-id", "nodes[1].include"),
        (f"- {{id: {'i' * 198}, include: block}}", "bad-id", "nodes[0].include"),
        ("- {id: i, include: block, input: x}", "no-effect-here", "nodes[0].input"),
        ("- {id: i, include: block, timeout: 5m}", "no-effect-here", "nodes[0].timeout"),
        ("- {id: i, include: block, retry: {max_attempts: 1}}", "no-effect-here", "nodes[0].retry"),
        ("- {id: i, include: block, depends_on: [i__a]}", "dependency-cycle", "nodes[0].depends_on[0]"),
        ("- {id: i, include: block, with: {v: $i__a.output}}", "dependency-cycle", "nodes[0].with.v"),
        ("- {id: i, include: block, depends_on: [b]}\n- {id: b, bash: echo $i__a.output}", "dependency-cycle", ""),
        ("- {id: i, include: block}\n- {id: b, bash: echo $i__z.output}", "unknown-node", "nodes[1].bash"),
        ("- {id: i, include: block}\n- {id: b, bash: x, when: $i.output == 'x'}", "prose-compared", "nodes[1].when"),
    ],
)
def test_what_cannot_be_included(nodes: str, code: str, path: str, tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        block="- {id: a, prompt: x}",
        nested="- {id: n, include: block}",
        loop="- {id: i, include: again}",
        again="- {id: i, workflow: loop}",
    )
    write(tmp_path, {f".ion/workflows/{one}.yaml": block_text("- {id: a, bash: x}", name="twice") for one in "xy"})
    problem = next(one for one in load(nodes, project=project).errors if not one.way)
    assert problem.code in (code, "broken-workflow"), problem
    assert code in [one.code for one in load(nodes, project=project).errors]
    assert not path or problem.path == path


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    assert only(load("- {id: i, include: block}")).code == "unknown-workflow"
    hint = only(load("- {id: i, include: block}", project=tmp_path)).hint
    assert hint.split("\n")[:2] == ["looked in", str(tmp_path / ".ion/workflows")]


def test_how_deep_they_go(tmp_path: Path) -> None:
    """Archon reads 3; Ion 16."""
    for depth in range(18):
        node = f"- {{id: n, include: b{depth + 1}}}" if depth < 17 else "- {id: n, bash: x}"
        write(tmp_path, {f".ion/workflows/b{depth}.yaml": block_text(node, name=f"b{depth}")})
    at = {depth: load(f"- {{id: n, include: b{depth}}}", project=tmp_path) for depth in (1, 2, 14, 15)}
    assert [one.code for one in at[15].problems if not one.way] == []
    assert [one.code for one in at[14].problems if not one.way] == ["archon-depth"]
    assert [one.code for one in at[2].errors if not one.way] == []
    assert [one.code for one in at[1].errors if not one.way] == ["too-deep"]
    assert len(ids(good("- {id: n, include: b2}", project=tmp_path))[0].split("__")) == 17


def test_how_much_they_bring(tmp_path: Path) -> None:
    """Each file is read once, however often it is named, and the size of the result is bounded."""
    for depth in range(8):
        twice = f"- {{id: a, include: b{depth + 1}}}\n- {{id: b, include: b{depth + 1}}}"
        many = "\n".join(f"- {{id: n{number}, bash: x}}" for number in range(20))
        write(tmp_path, {f".ion/workflows/b{depth}.yaml": block_text(twice if depth < 7 else many, name=f"b{depth}")})
    assert len(good("- {id: n, include: b1}", project=tmp_path).nodes) == 1280
    assert "too-many-nodes" in codes(load("- {id: n, include: b0}", project=tmp_path), "error")


def test_all_problems_are_shown_once(tmp_path: Path) -> None:
    """A file that is checked by itself and by way of another one."""
    from ion.language.discovery import discover
    from ion.language.load import all_problems

    project_of(tmp_path, inner="- {id: a, bash: x, timeout: 5}", outer="- {id: o, include: inner}")
    (problem,) = all_problems([found.loaded for found in discover(tmp_path, tmp_path / "none")])
    assert (problem.code, problem.way) == ("short-timeout", "")


# The cache


def test_the_cache_notices_a_change_in_an_included_file(tmp_path: Path) -> None:
    """Also one that did not exist, and one of an included file's own files."""
    project_of(tmp_path, inner="- {id: a, command: ask}", outer="- {id: o, include: inner}")
    outer = tmp_path / ".ion/workflows/outer.yaml"
    assert "missing-file" in [one.code for one in load_file(outer, tmp_path).problems]
    write(tmp_path, {".ion/workflows/commands/ask.md": "One"})
    for text in ("One", "Two"):
        write(tmp_path, {".ion/workflows/commands/ask.md": text})
        for _ in range(2):
            workflow = load_file(outer, tmp_path).workflow
            assert workflow is not None
            assert workflow.commands["ask"].text == text
    project_of(tmp_path, inner="- {id: b, bash: x}")
    workflow = load_file(outer, tmp_path).workflow
    assert workflow is not None
    assert ids(workflow) == ["o__b"]


# Whatever is written

NAMES = st.sampled_from(["a", "b", "a__b", "item"])
TEXTS = st.sampled_from(
    [
        "x",
        "$a.output",
        "$b.output.f",
        "$a__a.output",
        "$INPUTS.v",
        "$INPUTS.v.w",
        "$INPUTS.item $ITEM_INDEX",
        r"\$INPUTS.v \\$INPUTS.v",
        "$LOOP_PREV.a.output",
        "$nowhere.output",
        "'$INPUTS.v' \"$a.output\"",
    ]
)
WHEN = st.one_of(st.none(), TEXTS.map(lambda text: f"{text.split()[0]} == 'x'"))


@st.composite
def nodes(draw: st.DrawFn, depth: int = 2) -> list[dict[str, object]]:
    made = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3)):
        node: dict[str, object] = {"id": name}
        kinds = ["bash", "prompt", "include", "workflow", *(("group", "loop_group") if depth else ())]
        kind = draw(st.sampled_from(kinds))
        if kind in ("group", "loop_group"):
            body: dict[str, object] = {"nodes": draw(nodes(depth=depth - 1)), "returns": draw(NAMES)}
            node[kind] = body if kind == "group" else {**body, "until_bash": draw(TEXTS), "max_iterations": 2}
        elif kind in ("include", "workflow"):
            node |= {kind: draw(st.sampled_from(["one", "two"])), "with": {"v": draw(TEXTS)}}
        else:
            node |= {kind: draw(TEXTS)}
        if draw(st.booleans()):
            node["depends_on"] = draw(st.lists(NAMES, max_size=2, unique=True))
        if draw(st.integers(0, 3)) == 0:
            node["fan_out"] = {"items": draw(st.sampled_from(["$a.output", "[1]", "$INPUTS.v"])), "as": draw(NAMES)}
        if (when := draw(WHEN)) is not None:
            node["when"] = when
        made.append(node)
    return made


@given(one=nodes(), two=nodes(), main=nodes())
@settings(max_examples=150, deadline=None)
def test_any_nesting_loads_or_is_a_problem(
    tmp_path_factory: pytest.TempPathFactory, one: object, two: object, main: object
) -> None:
    """Never a traceback; and what loads comes back from its frozen form as it was, and is accepted there."""
    folder = tmp_path_factory.mktemp("any")
    for name, found in (("one", one), ("two", two), ("main", main)):
        text = json.dumps({"name": name, "description": "x", "nodes": found})
        write(folder, {f".ion/workflows/{name}.yaml": text})
    loaded = load_file(folder / ".ion/workflows/main.yaml", folder)
    assert loaded.workflow is not None or loaded.errors, shown(loaded)
    if loaded.workflow is not None:
        assert read_frozen(source_of(loaded.workflow)) == loaded.workflow
    for problem in loaded.problems:
        assert isinstance(problem, Problem)
        assert problem.line > 0


JUNK = st.sampled_from([None, True, 3, "", "x", "$a.output", [], {}, [None], {"a": 1}, {"nodes": [{"id": "a"}]}])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in below for inner in places(item, (*path, key)))]


@given(main=nodes(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_anything_anywhere_is_a_problem_or_nothing(main: list[Any], data: st.DataObject) -> None:
    """A value of another kind in any place of any body: never a traceback."""
    document: dict[str, Any] = {"name": "main", "description": "x", "nodes": deepcopy(main)}
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(document)[1:]))
        target: Any = document
        for part in path:
            target = target[part]
        target[last] = deepcopy(data.draw(JUNK))
    loaded = parse_workflow(json.dumps(document))
    assert loaded.workflow is not None or loaded.errors


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_right_loads_at_every_depth(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Includes in groups in includes, fanned out or not: it loads, and its frozen form is accepted as it is."""
    loaded = load_any(tmp_path_factory.mktemp("right"), data, failures=data.draw(st.booleans()))
    assert loaded.workflow is not None, shown(loaded)
    assert read_frozen(source_of(loaded.workflow)) == loaded.workflow


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_right_is_gone_through_to_the_end(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A dry run opens every graph inside of every node, once for each item."""
    folder = tmp_path_factory.mktemp("right")
    workflow = load_any(folder, data, items=False, failures=data.draw(st.booleans())).workflow
    assert workflow is not None
    run = dry_run(Workspace(folder), workflow).result
    assert run.status == "completed", {name: node.error for name, node in run.nodes.items()}
