"""`ion respond`: a gate is answered with one of its decisions."""

from __future__ import annotations

from .kit import Ion, Project
from .workflows import start

DECISIONS = """
name: decide
description: A gate with decisions of its own.
nodes:
  - id: pick
    approval:
      message: Which?
      decisions: [{id: approve, label: Red}, {id: blue}]
  - id: end
    depends_on: [pick]
    bash: echo "$pick.output.decision - $pick.output.text"
"""


def test_decisions_are_answered_by_name(ion: Ion, project: Project) -> None:
    start(ion, project, DECISIONS)
    assert "ion respond mine pick approve" in ion("show", "mine").out
    assert ion("show", "mine", "--json").json("run")["waiting"][0]["decisions"] == ["approve", "blue"]
    wrong = ion("respond", "mine", "pick", "green")
    assert wrong.status == 2
    assert "one of: approve, blue" in wrong.err
    result = ion("respond", "mine", "pick", "blue", "like the sky")
    assert (result.status, result.out) == (0, "blue - like the sky\n")


def test_decisions_of_gates_inside_of_nodes_have_their_labels(ion: Ion, project: Project) -> None:
    gate = "{id: ask, approval: {message: Which?, decisions: [{id: approve, label: Take it}, {id: drop, label: No}]}}"
    text = f"name: it\ndescription: d\nnodes: [{{id: all, fan_out: {{items: [a, b]}}, group: {{nodes: [{gate}]}}}}]\n"
    project.write("it", text)
    said = ion("run", "it", "--run-id", "mine").err
    assert "ion respond mine all.1.ask approve      Take it" in said
    assert ion("respond", "mine", "all.0.ask", "drop", "--quiet").status == 3
    assert "drop (No)" in ion("show", "mine", "all.0.ask").out
