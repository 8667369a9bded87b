"""What waits and which command answers it, for a run in which everything waits at once."""

from __future__ import annotations

from pathlib import Path

import ion
from ion import RunResult
from ion.core.state import RunState
from ion.testing import MemoryStore
from ion.views.waiting import NO_LABELS, all_asked, labels_of, shortest_answer, summary, waiting_in

WORKFLOW = """
name: release
description: d
nodes:
  - id: review
    approval: {message: "Ship it?"}
  - id: choose
    approval:
      message: Where to?
      decisions:
        - {id: approve, label: for the team}
        - {id: production}
  - id: notes
    prompt: Write the notes.
"""


def waiting_run(tmp_path: Path) -> tuple[ion.Workflow, RunResult]:
    workflow = ion.parse_workflow(WORKFLOW)
    return workflow, ion.execute_workflow_sync(workflow, store=MemoryStore(), project=tmp_path, run_id="r1")


def command(*words: str) -> str:
    return " ".join(("ion", *words))


def test_all_that_waits_is_named_in_file_order_with_the_commands_that_answer_it(tmp_path: Path) -> None:
    workflow, result = waiting_run(tmp_path)
    asked = all_asked(command, "r1", result.state, labels_of(workflow))
    assert [(one.waiting.kind, one.waiting.node, one.commands) for one in asked] == [
        (
            "approval",
            "review",
            (('ion approve r1 review --comment "…"', ""), ('ion reject r1 review --reason "…"', "")),
        ),
        (
            "approval",
            "choose",
            (("ion respond r1 choose approve", "for the team"), ("ion respond r1 choose production", "")),
        ),
        ("prompt", "notes", (("ion next r1", ""), ("ion submit r1 notes --file FILE", ""))),
    ]
    assert summary(result.state) == "2 gates are open, 1 prompt waits for an agent"


def test_the_object_of_the_run_and_the_views_name_the_same(tmp_path: Path) -> None:
    _, result = waiting_run(tmp_path)
    assert [(one.kind, one.node) for one in result.waiting] == [
        (one.kind, one.node) for one in waiting_in(result.state)
    ]


def test_a_node_has_its_shortest_answer_and_one_that_asks_nothing_has_none(tmp_path: Path) -> None:
    _, result = waiting_run(tmp_path)
    shortest = [shortest_answer(command, "r1", node) for node in result.state.nodes.values()]
    assert shortest == ["ion approve r1 review", "ion respond r1 choose approve", "ion next r1"]
    answered = ion.execute_workflow_sync(
        ion.parse_workflow("name: w\ndescription: d\nnodes:\n  - {id: a, bash: echo}\n"), project=tmp_path
    )
    assert shortest_answer(command, "r2", answered.state.nodes["a"]) == ""


def test_a_spent_budget_waits_for_a_larger_one() -> None:
    state = RunState(status="paused", over_budget=True, spent_usd=2.0, max_budget_usd=1.5)
    (asked,) = all_asked(command, "r1", state, NO_LABELS)
    assert asked.waiting.kind == "budget"
    assert asked.commands == (("ion resume r1 --max-budget-usd 4.00", ""),)
    assert summary(state) == "the budget is spent"


def test_a_rejection_says_what_it_ends_and_the_last_iteration_offers_no_other(tmp_path: Path) -> None:
    loop = "loop: {prompt: DONE, until: DONE, max_iterations: 1, interactive: true, gate_message: Well?}"
    text = (
        "name: w\ndescription: d\nnodes:\n"
        f"  - {{id: alone, {loop}}}\n"
        f"  - {{id: each, fan_out: {{items: [1]}}, {loop}}}\n"
        f"  - {{id: deep, fan_out: {{items: [1]}}, group: {{nodes: [{{id: in, {loop}}}]}}}}\n"
        f"  - {{id: plain, group: {{nodes: [{{id: inner, {loop}}}]}}}}\n"
    )
    result = ion.execute_workflow_sync(ion.parse_workflow(text), project=tmp_path, agent=lambda _: "DONE")
    asked = {one.waiting.node: one.commands for one in all_asked(command, "r", result.state, NO_LABELS)}
    assert asked == {
        node: ((f"ion approve r {node}", "finishes it"), (f"ion reject r {node}", f"ends {ended}"))
        for node, ended in (
            ("alone", "the run"),
            ("each.0", "each.0"),
            ("deep.0.in", "deep.0"),
            ("plain.inner", "the run"),
        )
    }
