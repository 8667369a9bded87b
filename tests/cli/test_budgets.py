"""What agents cost, on the screen and in JSON; a run that has spent its budget waits until somebody raises it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from processes import PATIENCE_S, until

from .kit import Ion, Project

STAND_IN = Path(__file__).parents[1] / "agents" / "stand_in.py"
CHAIN = """
name: chain
description: three prompts of a quarter dollar each
max_budget_usd: 0.5
nodes:
  - {id: one, prompt: hi}
  - {id: two, prompt: hi, depends_on: [one]}
  - {id: three, prompt: hi, depends_on: [two]}
"""


@pytest.fixture
def claude(project: Project) -> Project:
    """A project whose agent says what it costs: a quarter dollar each time."""
    command = json.dumps([sys.executable, "-S", "-E", str(STAND_IN), "claude"])
    settings = f"agent: claude\nagents: {{claude: {{preset: claude, command: {command}}}}}\n"
    (project.folder / ".ion" / "config.yaml").write_text(settings)
    project.write("chain", CHAIN)
    return project


def test_a_spent_budget_pauses_the_run_and_the_screen_says_how_it_goes_on(claude: Project, ion: Ion) -> None:
    paused = ion("run", "chain", "--run-id", "r1")
    assert paused.status == 3
    assert "Paused: the budget is spent." in paused.err
    assert "  the run has spent $0.50 of at most $0.50 (max_budget_usd)" in paused.err
    assert "  ion resume r1 --max-budget-usd 1.00" in paused.err
    shown = ion("show", "r1", "--json").json("run")
    assert shown["waiting"] == [
        {"node": None, "kind": "budget", "message": "the run has spent $0.50 of at most $0.50 (max_budget_usd)"}
    ]
    assert (shown["max_budget_usd"], shown["usage"]["cost_usd"]) == (0.5, 0.5)
    assert ion("resume", "r1").status == 3, "nothing has changed"
    low = ion("resume", "r1", "--max-budget-usd", "0.5", "--json")
    assert (low.status, low.json("error")["error"]["code"]) == (2, "usage")
    done = ion("resume", "r1", "--max-budget-usd", "1", "--json").json("run")
    assert (done["status"], done["max_budget_usd"]) == ("completed", 1)
    assert done["usage"] == {"input_tokens": 45, "output_tokens": 15, "cached_input_tokens": 9, "cost_usd": 0.75}
    assert done["nodes"]["three"]["usage"]["cost_usd"] == 0.25
    assert "cost  $0.75 of at most $1.00 · 45 tokens in, 15 out" in ion("show", "r1").out
    assert "budget_raised" in ion("events", "r1").out


def test_a_run_may_be_given_another_budget_than_its_workflow_has(claude: Project, ion: Ion) -> None:
    paused = ion("run", "chain", "--run-id", "less", "--max-budget-usd", "0.25", "--json")
    assert (paused.status, paused.json("run")["max_budget_usd"]) == (3, 0.25)
    more = ion("run", "chain", "--run-id", "more", "--max-budget-usd", "1", "--json").json("run")
    assert (more["status"], more["max_budget_usd"]) == ("completed", 1)
    again = ion("rerun", "more", "--json").json("run")
    assert (again["status"], again["max_budget_usd"]) == ("completed", 1)
    for wrong in ("0", "-1", "nan", "inf"):
        assert ion("run", "chain", "--max-budget-usd", wrong).status == 2


def test_it_is_raised_while_another_process_owns_the_run(claude: Project, ion: Ion) -> None:
    claude.write(
        "beside",
        CHAIN.replace("name: chain", "name: beside")
        + "  - {id: slow, bash: 'until test -e go; do sleep 0.05; done', timeout: 10m}\n",
    )
    owner = claude.start("run", "beside", "--run-id", "r2", "--quiet")
    try:
        until(lambda: ion("show", "r2", "--json").json().get("usage", {}).get("cost_usd") == 0.5)
        raising = claude.start("resume", "r2", "--max-budget-usd", "2")
        until(lambda: ion("show", "r2", "--json").json()["nodes"]["three"]["status"] == "completed")
        (claude.folder / "go").touch()
        said, err = raising.communicate(timeout=PATIENCE_S)
        assert raising.returncode == 0, err
        assert "The run continues where it is running" in err
        assert "you said: hi" in said
        assert owner.wait(30) == 0
    finally:
        for process in (owner, raising):
            process.kill()
            process.communicate()


def test_a_node_that_has_spent_what_it_may_fails_and_a_resume_gives_it_as_much_again(claude: Project, ion: Ion) -> None:
    claude.write(
        "loop",
        "name: loop\ndescription: d\nnodes:\n"
        "  - {id: a, maxBudgetUsd: 0.5, loop: {prompt: hi, until: NEVER, max_iterations: 3}}\n",
    )
    failed = ion("run", "loop", "--json").json("run")
    error = failed["nodes"]["a"]["error"]
    assert (failed["status"], error["code"]) == ("failed", "budget")
    assert error["message"] == "it has cost $0.50 of at most $0.50 (maxBudgetUsd)"
    assert failed["nodes"]["a"]["iterations"] == 2
    again = ion("resume", "--json").json("run")
    assert again["nodes"]["a"]["error"]["code"] == "max_iterations"
    assert again["usage"]["cost_usd"] == 0.75


@pytest.mark.parametrize(
    "line", ["max_budget_usd: 0", "max_budget_usd: lots", "max_budget_usd: .inf", "max_budget_usd: true"]
)
def test_what_is_no_budget(project: Project, ion: Ion, line: str) -> None:
    project.write("bad", CHAIN.replace("max_budget_usd: 0.5", line))
    assert ion("validate", ".ion/workflows/bad.yaml", "--json").json()[0]["path"] == "max_budget_usd"
    project.write("bad", CHAIN.replace("max_budget_usd: 0.5", line.replace("max_budget_usd", "maxBudgetUsd")))
    assert ion("validate", ".ion/workflows/bad.yaml", "--json").json()[0]["path"] == "maxBudgetUsd"


def test_options_without_effect_are_said_when_the_run_begins(claude: Project, ion: Ion) -> None:
    claude.write(
        "o", "name: o\ndescription: d\nnodes: [{id: a, prompt: hi, hooks: {}}, {id: b, prompt: hi, hooks: {}}]\n"
    )
    said = ion("run", "o").err
    assert "note: agent claude has no option for hooks: it is not passed on (the nodes a, b)" in said


def test_what_is_inside_of_a_node_counts_as_its_own(claude: Project, ion: Ion) -> None:
    group = "group: {nodes: [{id: one, prompt: hi}, {id: two, prompt: hi, depends_on: [one]}]}"
    claude.write("fan", f"name: fan\ndescription: d\nnodes:\n  - {{id: f, fan_out: {{items: [1, 2]}}, {group}}}\n")
    nodes = ion("run", "fan", "--run-id", "r", "--json").json("run")["nodes"]
    assert nodes["f"]["usage"]["cost_usd"] == 1
    assert [one["usage"]["cost_usd"] for one in nodes["f"]["instances"]] == [0.5, 0.5]
    assert re.search(r"^  cost +\$1\.00 · 60 tokens in, 20 out, 12 cached$", ion("show", "r", "f").out, re.MULTILINE)
    assert ion("show", "r", "f.1", "--json").json("node")["usage"]["cost_usd"] == 0.5


LAST = """
finally:
  timeout: 2s
  nodes:
    - {id: unlock, bash: 'rm -f lock; echo "$RUN.status: $one.outcome.status, $two.outcome.code" >> ends'}
"""


def test_finally_runs_after_a_node_that_has_spent_what_it_may(claude: Project, ion: Ion) -> None:
    """A spent budget of the run is a pause, not an end; that of a called workflow fails its node."""
    claude.write("dear", CHAIN.replace("name: chain", "name: dear").replace("0.5", "0.25"))
    nodes = "  - {id: one, bash: touch lock}\n  - {id: two, depends_on: [one], workflow: dear}\n"
    claude.write("calls", f"name: calls\ndescription: d\nnodes:\n{nodes}{LAST}")
    done = ion("run", "calls", "--json").json("run")
    assert (done["status"], done["nodes"]["two"]["error"]["code"]) == ("failed", "budget")
    assert (claude.folder / "ends").read_text() == "failed: completed, budget\n"
    assert not (claude.folder / "lock").exists()


def test_finally_runs_when_a_run_that_has_spent_its_budget_is_cancelled(claude: Project, ion: Ion) -> None:
    claude.write("chain", CHAIN + LAST)
    assert ion("run", "chain", "--run-id", "r1", "--quiet").status == 3
    assert not (claude.folder / "ends").exists(), "a pause is not an end"
    assert ion("cancel", "r1").status == 0
    assert (claude.folder / "ends").read_text() == "cancelled: completed, \n"
    assert ion("show", "r1", "--json").json("run")["status"] == "cancelled"


def test_a_prompt_of_finally_that_nothing_is_left_for_ends_with_the_time_of_finally(claude: Project, ion: Ion) -> None:
    told = "    - {id: tell, prompt: hi}\n"
    claude.write("chain", CHAIN.replace("  - {id: three, prompt: hi, depends_on: [two]}\n", "") + LAST + told)
    done = ion("run", "chain", "--json").json("run")
    assert (done["status"], done["clean"], done["finally_failed"]) == ("completed", False, ["tell"])
    assert (claude.folder / "ends").read_text() == "completed: completed, \n"
