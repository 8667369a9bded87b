"""`ion approve`: a gate is answered once, by name where there are several, and never by the run's own programs."""

from __future__ import annotations

import pytest

from .kit import COMMAND, Ion, Project
from .workflows import GATES_OF_ITEMS, PROMPTS, TWO_GATES, start


def test_several_gates_need_a_name(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("approve", "mine")
    assert result.status == 2
    assert "2 gates are open: first, second" in result.err
    assert ion("approve", "mine", "first").status == 3
    last = ion("approve", "mine", "--comment", "fine")
    assert (last.status, last.out) == (0, "fine\n")


def test_a_gate_is_answered_once(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    assert ion("approve", "mine", "first").status == 3
    again = ion("reject", "mine", "first", "--json")
    assert again.status == 5
    assert again.json("error")["error"]["code"] == "answered"
    assert ion("approve", "mine", "nobody").status == 2
    assert ion("approve", "mine", "end").status == 5


def test_a_program_of_the_run_asks_for_nothing_but_its_end(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests have one guard: a new one that is not in this list is refused too."""
    start(
        ion,
        project,
        PROMPTS.replace("nodes:", "max_budget_usd: 1\nnodes:\n  - {id: gate, approval: {message: Go?}}", 1),
    )
    (project.folder / "answer").write_text("Tom")
    before = ion("events", "mine").out
    monkeypatch.setenv("ION_RUN_ID", "mine")
    for words in (
        ("approve", "mine", "gate"),
        ("reject", "mine", "gate"),
        ("respond", "mine", "gate", "approve"),
        ("submit", "mine", "name", "--file", "answer"),
        ("resume", "mine", "--max-budget-usd", "5"),
    ):
        refused = ion(*words, "--json")
        assert (refused.status, refused.json("error")["error"]["code"]) == (5, "own-gate"), words
    assert ion("events", "mine").out == before
    assert ion("cancel", "mine").status == 0
    assert ion("show", "mine", "--json").json("run")["status"] == "cancelled"


def test_neither_does_a_program_of_a_run_within_the_run(ion: Ion, project: Project) -> None:
    """However deep: each Ion tells its programs of all the runs that it is within itself."""
    command = " ".join(COMMAND)
    inner = {"outer": "run middle --run-id within", "middle": "run inner", "inner": "approve mine gate"}
    for name, words in inner.items():
        gate = "{id: gate, approval: {message: Go?}}, " if name == "outer" else ""
        node = f"{{id: n, bash: '{command} {words} 2>> {project.folder}/said'}}"
        project.write(name, f"name: {name}\ndescription: d\nnodes: [{gate}{node}]\n")
    assert ion("run", "outer", "--run-id", "mine").status == 3
    assert "may not answer the run's own gates" in (project.folder / "said").read_text()
    assert "approval_resolved" not in ion("events", "mine").out
    assert ion("approve", "mine", "gate").status == 1, "from outside it can be, and the run ends as failed"


def test_no_resume_only_records(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("approve", "mine", "first", "--no-resume")
    assert result.status == 0
    assert "ion resume mine" in result.err
    as_json = ion("approve", "mine", "second", "--no-resume", "--json")
    assert as_json.status == 0
    assert as_json.json("run")["status"] == "paused"
    assert ion("resume", "mine").status == 0


def test_the_gate_of_an_item_is_answered_by_its_address(ion: Ion, project: Project) -> None:
    start(ion, project, GATES_OF_ITEMS)
    assert ion("approve", "mine", "ship.1.ok", "--quiet").status == 3
    assert ion("output", "mine", "ship.1").out == "pushed b\n"
    assert ion("approve", "mine", "ship[2].ok", "--quiet").status == 3
    assert ion("output", "mine", "ship.2").out == "pushed c\n"
    assert ion("approve", "mine", "ship.1.ok", "--quiet").status == 5
    assert ion("approve", "mine", "ship.7.ok", "--quiet").status == 2


def test_several_gates_say_the_commands_that_answer_each_and_all(ion: Ion, project: Project) -> None:
    start(ion, project, GATES_OF_ITEMS)
    everywhere = ion("approve", "mine", "--json")
    assert everywhere.status == 2
    error = everywhere.json("error")["error"]
    assert error["code"] == "several-gates"
    assert error["hint"].split("\n") == [
        "ion approve mine how",
        "ion approve mine ship.0.ok",
        "ion approve mine ship.1.ok",
        "ion approve mine ship.2.ok",
        "ion approve mine ship --each",
    ]
    inside = ion("reject", "mine", "ship")
    assert inside.status == 2
    assert "3 gates are open inside of 'ship': ship.0.ok, ship.1.ok, ship.2.ok" in inside.err
    assert "ion reject mine ship --each" in inside.err
    one = ion("approve", "mine", "ship.1", "--json").json("error")["error"]
    assert (one["code"], one["message"]) == ("gate-inside", "a gate is open inside of 'ship.1': ship.1.ok")
    assert one["hint"].split("\n")[0] == "ion approve mine ship.1.ok"


def test_each_answers_every_gate_inside_and_says_how_many(ion: Ion, project: Project) -> None:
    start(ion, project, GATES_OF_ITEMS)
    done = ion("approve", "mine", "ship", "--each", "--comment", "all of them")
    assert done.status == 3
    assert "Answered: 3 gates." in done.err
    shown = ion("show", "mine", "--json").json("run")
    assert [one["node"] for one in shown["waiting"]] == ["how"]
    assert ion("output", "mine", "ship").out == '["pushed a","pushed b","pushed c"]\n'
    assert ion("events", "mine").out.count('"comment": "all of them"') == 3
    again = ion("approve", "mine", "ship", "--each", "--json")
    assert (again.status, again.json("error")["error"]["code"]) == (5, "not-open")
    assert ion("respond", "mine", "how", "slow", "--each", "--quiet").status == 0, "a gate is inside of itself"


def test_each_of_one_item_leaves_the_others(ion: Ion, project: Project) -> None:
    start(ion, project, GATES_OF_ITEMS)
    assert ion("reject", "mine", "ship.1", "--each", "--no-resume", "--quiet").status == 0
    waiting = ion("show", "mine", "--json").json("run")["waiting"]
    assert {one["node"] for one in waiting} == {"ship.0.ok", "ship.2.ok", "how"}


def test_each_tells_of_the_gates_that_have_no_such_decision(ion: Ion, project: Project) -> None:
    choice = 'approval: {message: "Ship $INPUTS.target?", decisions: [{id: approve}, {id: hold}]}'
    plain = "{id: other, approval: {message: Also?}}"
    text = GATES_OF_ITEMS.replace('approval: {message: "Ship $INPUTS.target?"}', choice)
    start(ion, project, text.replace("        - id: push", f"        - {plain}\n        - id: push"))
    answered = ion("respond", "mine", "ship", "hold", "--each")
    assert answered.status == 3
    assert "Answered: 3 gates." in answered.err
    assert "ship.0.other: the gate 'ship.0.other' has no decisions" in answered.err
    refused = ion("respond", "mine", "ship", "hold", "--each")
    assert refused.status == 2, "none of the gates that are left has this decision"
    assert "Answered" not in refused.err


@pytest.mark.parametrize("words", [("--each",), ("ship", "--each", "--request", "r")])
def test_each_takes_a_node_and_no_request(ion: Ion, project: Project, words: tuple[str, ...]) -> None:
    start(ion, project, GATES_OF_ITEMS)
    assert ion("approve", "mine", *words).status == 2


def test_many_gates_alike_are_counted(ion: Ion, project: Project) -> None:
    """Of forty questions the first few stand on the screen, with the command that answers all."""
    start(ion, project, GATES_OF_ITEMS.replace("[a, b, c]", str(list(range(40)))))
    said = ion("resume", "mine").err
    assert "Paused: 41 gates are open." in said
    assert said.count("ion approve mine ship.") == 5
    assert "… and 35 more inside of ship" in said
    assert "ion approve mine ship --each      ion reject mine ship --each" in said
    asked = ion("approve", "mine", "ship", "--each", "--no-resume").err
    assert asked.count("Ship ") == 5
    assert "Answered: 40 gates." in asked
