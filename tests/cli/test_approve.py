"""`ion approve`: a gate is answered once, by name where there are several, and never by the run's own programs."""

from __future__ import annotations

import pytest

from .kit import COMMAND, Ion, Project
from .workflows import PROMPTS, TWO_GATES, start


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
