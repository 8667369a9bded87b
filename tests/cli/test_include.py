"""`include` from the command line: a file whose nodes become nodes of another, checked, drawn and run."""

from __future__ import annotations

import json

import pytest

from .kit import Ion, Project

BLOCK = """\
name: review-block
description: A review
inputs:
  base: {required: true}
  mode: {default: full}
nodes:
  - id: gather
    bash: 'echo "diff of $INPUTS.base ($INPUTS_MODE)"'
  - id: critique
    depends_on: [gather]
    when: $INPUTS.mode == 'full'
    bash: echo "read [$gather.output]"
  - id: tidy
    depends_on: [critique]
    trigger_rule: all_done
    bash: echo tidied
returns: critique
"""
MAIN = """\
name: change
description: A change
inputs: {on: {default: yes}}
nodes:
  - id: plan
    bash: echo 'a "$(touch made)" plan'
  - id: review
    include: review-block
    depends_on: [plan]
    when: $INPUTS.on == 'yes' || $INPUTS.on == 'always'
    with: {base: $plan.output}
  - id: end
    depends_on: [review]
    trigger_rule: all_done
    bash: echo "ended with <$review.output>"
"""


@pytest.fixture(autouse=True)
def files(project: Project) -> None:
    project.write("review-block", BLOCK)
    project.write("change", MAIN)


def test_a_run_goes_through_its_nodes(ion: Ion, project: Project) -> None:
    result = ion("run", "change", "--run-id", "r1")
    assert result.out == 'ended with <read [diff of a "$(touch made)" plan (full)]>\n'
    assert not (project.folder / "made").exists()
    shown = ion("show", "r1", "--json").json()
    assert list(shown["nodes"]) == ["plan", "review__gather", "review__critique", "review__tidy", "end"]
    assert {node["status"] for node in shown["nodes"].values()} == {"completed"}
    assert "diff of a" in ion("output", "r1", "review__gather").out
    assert "$review__gather.output" in ion("show", "r1", "review__critique").out


def test_a_skipped_include_is_skipped_whole(ion: Ion) -> None:
    """Also the node inside that runs whatever became of those before it."""
    assert ion("run", "change", "--run-id", "r1", "--input", "on=no").out == "ended with <>\n"
    nodes = ion("show", "r1", "--json").json()["nodes"]
    assert [name for name, node in nodes.items() if node["status"] == "skipped"] == [
        "review__gather",
        "review__critique",
        "review__tidy",
    ]


def test_what_failed_inside_is_run_again(ion: Ion, project: Project) -> None:
    project.write("review-block", BLOCK.replace('echo "read', 'test -e ok || exit 3; echo "read'))
    assert ion("run", "change", "--run-id", "r1").status == 1
    (project.folder / "ok").touch()
    assert ion("resume", "r1").status == 0
    lines = map(json.loads, ion("events", "r1", "--json").out.splitlines())
    events = [one for one in lines if one["type"] == "node_started"]
    assert [one["node"] for one in events].count("review__gather") == 1


def test_graph_dry_run_and_problems(ion: Ion, project: Project) -> None:
    graph = ion("graph", "change").out
    assert "review__gather" in graph
    assert ion("run", "change", "--dry-run").status == 0
    assert ion("validate").status == 0
    project.write("change", MAIN.replace("with: {base", "with: {bse"))
    result = ion("validate", "change")
    assert "error[unknown-input]: 'review-block' has no input 'bse'" in result.out
    assert "^^^ did you mean 'base'?" in result.out
    assert "error[missing-input]: 'review-block' needs the input 'base'" in result.out
    project.write("change", MAIN)
    project.write("review-block", BLOCK.replace("$gather.output", "$gathr.output"))
    result = ion("validate", "change")
    assert "  --> .ion/workflows/review-block.yaml:12:" in result.out
    assert "\n      included from .ion/workflows/change.yaml:8:14\n" in result.out
    problems = ion("validate", "change", "--json").json("validate")
    way = [f"included from {project.folder}/.ion/workflows/change.yaml:8:14"]
    assert [(one["code"], one.get("way")) for one in problems] == [("broken-workflow", None), ("unknown-node", way)]
    failed = ion("run", "change", "--json").json("error")
    assert failed["error"]["problems"][1]["way"] == way


def test_a_graph_needs_no_command_files(ion: Ion, project: Project) -> None:
    """Also not those of an included file; it says which are missing."""
    project.write("asks", "name: asks\ndescription: d\nnodes:\n  - {id: a, command: nowhere}\n")
    project.write("outer", "name: outer\ndescription: d\nnodes:\n  - {id: o, include: asks}\n")
    result = ion("graph", "outer")
    assert (result.status, result.out.split()) == (
        0,
        ["o", "┌─", "o", "·", "include", "─┐", "│", "o__a", "│", "└───────────────┘"],
    )
    assert "nowhere" in result.err
    assert ion("run", "outer").status == 2


def test_one_for_each_item(ion: Ion, project: Project) -> None:
    """Fanned out, it is a graph of its own for each item, which is the input of that name."""
    project.write(
        "each",
        """\
name: each
description: d
nodes:
  - id: list
    bash: echo '["one", "$(touch made)"]'
  - id: review
    include: review-block
    depends_on: [list]
    fan_out: {items: $list.output, as: base}
    with: {mode: $list.output}
  - id: end
    depends_on: [review]
    bash: echo "$review.output"
""",
    )
    project.write("review-block", BLOCK.replace("when: $INPUTS.mode == 'full'", "when: $INPUTS.mode != 'full'"))
    result = ion("run", "each", "--run-id", "r1")
    given = '["one", "$(touch made)"]'
    assert json.loads(result.out) == [f"read [diff of {base} ({given})]" for base in json.loads(given)]
    assert not (project.folder / "made").exists()
    assert ion("output", "r1", "review.1.tidy").out == "tidied\n"


def test_a_called_workflow_has_its_own_inputs_and_defaults(ion: Ion, project: Project) -> None:
    project.write(
        "callee",
        """\
name: callee
description: d
inputs:
  who: {required: true}
  count: {type: integer, default: 7}
  label: {default: "{who}!", refers_to: [who]}
nodes:
  - {id: a, when: $INPUTS.count > 5, bash: 'echo "$INPUTS.who $INPUTS.label <$ARGUMENTS>"'}
""",
    )
    project.write(
        "caller",
        """\
name: caller
description: d
nodes:
  - {id: list, bash: "echo '[\\"x y\\"]'"}
  - {id: one, workflow: callee, with: {who: me, count: 9}}
  - {id: each, workflow: callee, depends_on: [list], fan_out: {items: $list.output, as: who}}
  - {id: end, depends_on: [one, each], bash: 'echo "$one.output $each.output"'}
""",
    )
    assert ion("run", "caller").out == 'me me! <> ["x y x y! <x y>"]\n'
