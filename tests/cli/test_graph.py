"""`ion graph`: a workflow, or a run with its states, in every format; the drawings themselves are in tests/views."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .kit import Ion, Project

WORKFLOW = """
name: it
description: d
nodes:
  - id: end
    bash: echo x
  - id: maybe
    depends_on: [end]
    when: $end.output == 'y'
    bash: echo
  - id: review
    depends_on: [end]
    approval: {message: ok?}
  - id: last
    depends_on: [review]
    trigger_rule: all_done
    bash: echo $maybe.output
"""


def test_a_workflow_in_every_format(ion: Ion, project: Project) -> None:
    project.write("it", WORKFLOW)
    assert ion("graph", "it").out == "end ┬─ maybe ? ─┬─ last\n    └─ review ⏸ ┘\n"
    found = ion("graph", "it", "--json").json("graph")
    assert found["nodes"][1] == {
        "id": "maybe",
        "kind": "bash",
        "when": "$end.output == 'y'",
        "trigger_rule": "all_success",
    }
    assert found["edges"][-1] == {"from": "maybe", "to": "last", "kind": "order"}
    assert '"maybe" -> "last" [style=dashed];' in ion("graph", "it", "--format", "dot").out
    assert ion("graph", "it", "--format", "mermaid").out.startswith('flowchart LR\n    n0["end"]\n')
    assert ion("graph").status == 2
    assert ion("graph", "it", "--format", "png").status == 2


def test_a_run_shows_its_states_and_the_graph_that_it_froze(ion: Ion, project: Project) -> None:
    path = project.write("it", WORKFLOW)
    ion("run", "it", "--run-id", "mine")
    path.write_text("name: it\ndescription: d\nnodes:\n  - id: new\n    bash: echo\n")
    shown = ion("graph", "--run", "mine").out
    assert "✓ end" in shown
    assert "– maybe ?" in shown
    assert "⏸ review" in shown
    assert "○ last" in shown
    states = {
        node["id"]: node["status"] for node in ion("graph", "it", "--run", "mine", "--json").json("graph")["nodes"]
    }
    assert states == {"end": "completed", "maybe": "skipped", "review": "waiting", "last": "pending"}
    assert "class n0 completed" in ion("graph", "--run", "mine", "--format", "mermaid").out
    assert ion("graph", "other", "--run", "mine").status == 2


HELLO = "name: hello\ndescription: Says <hello> & more\nnodes:\n  - {id: a, bash: 'echo hi'}\n"


GATE = """
name: gate
description: d
nodes:
  - id: g
    approval: {message: ok?, decisions: [{id: approve, label: Y}, {id: hold, label: H}]}
  - {id: after, depends_on: [g], when: "$g.output.decision == 'approve'", bash: 'true'}
"""


def test_a_picture_that_any_reader_of_xml_can_read(ion: Ion, project: Project) -> None:
    project.write(
        "hello",
        HELLO.replace("name: hello", "name: 'he<l&lo'").replace("{id: a,", "{id: a, when: \"$INPUTS.x == '<&>'\",")
        + "inputs: {x: {default: y}}\n",
    )
    root = ET.fromstring(ion("graph", "he<l&lo", "--format", "svg").out)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a ?", "$INPUTS.x == '<&>'"]
    assert root.find("{http://www.w3.org/2000/svg}title").text == "he<l&lo"  # type: ignore[union-attr]


def test_a_picture_in_the_colours_of_a_run(ion: Ion, project: Project) -> None:
    project.write("gate", GATE)
    assert ion("run", "gate", "--run-id", "mine", "--quiet").status == 3
    root = ET.fromstring(ion("graph", "--run", "mine", "--format", "svg").out)
    boxes = [box.get("class") for box in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert boxes == ["box waiting", "box pending"]
    height, width = float(root.get("height") or 0), float(root.get("width") or 0)
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x") or -1) + float(box.get("width") or 0) <= width
        assert 0 <= float(box.get("y") or -1) + float(box.get("height") or 0) <= height


NESTED = """
name: nested
description: Nodes inside of nodes.
nodes:
  - {id: list, bash: 'seq 1 "$INPUTS.count"'}
  - id: review
    depends_on: [list]
    fan_out: {lines: $list.output, as: n, max_parallel: all, join: all_done, max_items: 2000}
    group:
      nodes:
        - {id: lint, bash: 'test $INPUTS.n != 2'}
        - {id: parts, depends_on: [lint], fan_out: {items: [a, b]}, bash: 'true'}
  - id: fix
    depends_on: [review]
    loop_group:
      until_node: check
      max_iterations: 3
      nodes:
        - {id: edit, bash: 'echo x >> n'}
        - {id: check, depends_on: [edit], bash: 'test $(wc -l < n) -ge 2'}
  - {id: ship, depends_on: [fix], when: $INPUTS.count == 99, workflow: called}
inputs: {count: {default: 3}}
"""
CALLED = (
    "name: called\ndescription: d\nnodes: [{id: build, bash: 'true'}, {id: push, depends_on: [build], bash: 'true'}]\n"
)


def nested(project: Project) -> None:
    project.write("called", CALLED)
    project.write("nested", NESTED)


def test_what_is_inside_of_nodes_is_a_box_below(ion: Ion, project: Project) -> None:
    nested(project)
    assert (
        ion("graph", "nested").out
        == """\
list ─ review × lines ─ fix ↻ ─ ship ?

┌─ review × lines ─┐
│ lint ─ parts × 2 │
└──────────────────┘

┌─ fix ↻ ──────┐
│ edit ─ check │
└──────────────┘

┌─ ship ? · workflow called ─┐
│ build ─ push               │
└────────────────────────────┘
"""
    )
    in_ascii = ion("graph", "nested", LANG="C").out
    assert in_ascii.isascii()
    assert "review x lines" in in_ascii
    shown = {node["id"]: node for node in ion("graph", "nested", "--json").json("graph")["nodes"]}
    assert (shown["review"]["fan_out"], shown["ship"]["workflow"]) == ("lines", "called")
    assert shown["fix"]["inside"]["edges"] == [{"from": "edit", "to": "check", "kind": "depends_on"}]
    assert shown["review"]["inside"]["nodes"][1]["fan_out"] == "2"


def test_what_is_inside_of_nodes_is_a_part_of_its_own_for_other_programs(ion: Ion, project: Project) -> None:
    nested(project)
    mermaid = ion("graph", "nested", "--format", "mermaid").out
    assert mermaid.count("subgraph ") == mermaid.count("    end\n") == 3
    assert (
        """    subgraph n1["review #215; lines"]
        direction LR
        n2["lint"]
        n3["parts #215; 2"]
        n2 --> n3
    end
"""
        in mermaid
    )
    assert "    n0 --> n1\n" in mermaid
    dot = ion("graph", "nested", "--format", "dot").out
    assert dot.count("{") == dot.count("}") == 4
    assert '"list" -> "review.lint" [lhead="cluster review"];' in dot
    assert '"review.parts" -> "fix.edit" [ltail="cluster review", lhead="cluster fix"];' in dot
    root = ET.fromstring(ion("graph", "nested", "--format", "svg").out)
    space = "{http://www.w3.org/2000/svg}"
    assert [one.text for one in root.iter(f"{space}text") if one.get("class") == "title"] == [
        *("review × lines", "fix ↻", "ship ? · workflow called"),
    ]
    panels = [one for one in root.iter(f"{space}rect") if one.get("class") == "panel"]
    assert len(panels) == 3
    for panel in panels:
        assert float(panel.get("y") or 0) + float(panel.get("height") or 0) <= float(root.get("height") or 0)
        assert float(panel.get("x") or 0) + float(panel.get("width") or 0) <= float(root.get("width") or 0)


def test_a_run_shows_what_really_ran_with_counts(ion: Ion, project: Project) -> None:
    """What has not begun is not opened; of a loop it is the last iteration."""
    nested(project)
    assert ion("run", "nested", "--run-id", "mine", "--quiet").status == 0
    assert (
        ion("graph", "--run", "mine").out
        == """\
✓ list ─ ✓ review  2 of 3 · 1 failed ─ ✓ fix ↻ ─ – ship ?

┌─ ✓ review  2 of 3 · 1 failed ───────────────┐
│ ✗ lint  2 of 3 · 1 failed ─ ✓ parts  4 of 4 │
└─────────────────────────────────────────────┘

┌─ ✓ fix ↻ · iteration 2 ─┐
│ ✓ edit ─ ✓ check        │
└─────────────────────────┘
"""
    )
    nodes = {node["id"]: node for node in ion("graph", "--run", "mine", "--json").json("graph")["nodes"]}
    assert nodes["review"]["counts"] == {"completed": 2, "failed": 1}
    assert (nodes["fix"]["iteration"], "inside" in nodes["ship"]) == (2, False)
    assert "class n2 failed" in ion("graph", "--run", "mine", "--format", "mermaid").out


def test_a_thousand_items_are_one_box(ion: Ion, project: Project) -> None:
    text = "name: wide\ndescription: d\nnodes: [{id: all, fan_out: {lines: $ARGUMENTS, max_parallel: all}, %s}]\n"
    project.write("wide", text % "group: {nodes: [{id: ask, approval: {message: Ok?}}]}")
    lines = "\n".join(str(number) for number in range(1000))
    assert ion("run", "wide", lines, "--run-id", "mine", "--quiet").status == 3
    assert (
        ion("graph", "--run", "mine").out
        == """\
⏸ all  0 of 1000 · 1000 waiting

┌─ ⏸ all  0 of 1000 · 1000 waiting ─┐
│ ⏸ ask ⏸  0 of 1000 · 1000 waiting │
└───────────────────────────────────┘
"""
    )
    for style in ("mermaid", "dot", "svg"):
        assert len(ion("graph", "--run", "mine", "--format", style).out) < 4000


CHECKS = """
name: checks
description: d
inputs: {what: {default: ""}}
nodes:
  - {id: lint, bash: 'echo lint'}
  - {id: tests, bash: 'echo tests'}
  - {id: sum, depends_on: [lint, tests], bash: 'echo $INPUTS.what'}
"""


def test_what_an_include_brings_is_a_box(ion: Ion, project: Project) -> None:
    project.write("checks", CHECKS)
    build, ship = "{id: build, bash: 'true'}", "{id: ship, depends_on: [c], bash: x}"
    nodes = f"[{build}, {{id: c, include: checks, depends_on: [build]}}, {ship}]"
    project.write("inner", f"name: inner\ndescription: d\nnodes: {nodes}\n")
    project.write("outer", "name: outer\ndescription: d\nnodes: [{id: r, include: inner}]\n")
    assert ion("graph", "inner").out == (
        "build ─ c ─ ship\n"
        "\n"
        "┌─ c · include ──────┐\n"
        "│ c__lint ─┬─ c__sum │\n"
        "│ c__tests ┘         │\n"
        "└────────────────────┘\n"
    )
    outer = ion("graph", "outer").out
    assert outer.startswith("r\n")
    assert "│ r__build ─ r__c ─ r__ship" in outer
    assert "┌─ r__c · include " in outer
    assert "subgraph" in ion("graph", "inner", "--format", "mermaid").out
    assert [one["id"] for one in ion("graph", "inner", "--json").json("graph")["nodes"]] == [
        *("build", "c__lint", "c__tests", "c__sum", "ship"),
    ]
    ion("run", "inner", "--run-id", "r", "--quiet")
    assert "┌─ ✓ c · include" in ion("graph", "--run", "r").out
