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
