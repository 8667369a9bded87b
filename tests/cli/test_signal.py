"""`ion signal`, and waits on the command line: what is waited for is said, a signal counts once, patience ends."""

from __future__ import annotations

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from processes import until

from .kit import Ion, Project

FLOW = """
name: release
description: Waits for a merge.
nodes:
  - {id: merged, wait: {event: pr-merged, deadline: 3d}}
  - {id: say, depends_on: [merged], bash: "echo $merged.output.payload"}
"""


@pytest.fixture
def waiting(ion: Ion, project: Project) -> Ion:
    """A project with the run `mine`, which waits for a signal."""
    project.write("release", FLOW)
    assert ion("run", "release", "--run-id", "mine").status == 3
    return ion


def shown(ion: Ion, run: str = "mine") -> Any:
    return json.loads(ion("show", run, "--json").out)


def test_what_it_waits_for_is_said(waiting: Ion) -> None:
    (one,) = shown(waiting)["waiting"]
    assert {**one, "due_at": "…"} == {
        "node": "merged",
        "kind": "signal",
        "message": "waits for the signal 'pr-merged'",
        "event": "pr-merged",
        "due_at": "…",
    }
    said = waiting("resume", "mine").err
    assert "Paused: 1 signal is waited for.\n  ion signal mine pr-merged\n" in said
    assert "It continues by itself from 20" in said


def test_a_signal_continues_the_run_with_its_payload(waiting: Ion) -> None:
    done = waiting("signal", "mine", "pr-merged", "--data", '{"n": [1, "ü"]}')
    assert (done.status, done.out) == (0, '{"n":[1,"ü"]}\n')


def test_it_is_only_recorded_where_that_is_asked_for(waiting: Ion) -> None:
    assert waiting("signal", "mine", "pr-merged", "--no-resume").status == 0
    assert shown(waiting)["status"] == "paused"
    assert waiting("resume", "mine").status == 0


def test_the_same_delivery_changes_nothing(waiting: Ion) -> None:
    waiting("signal", "mine", "pr-merged", "--id", "a1", "--data", "1", "--no-resume")
    again = waiting("signal", "mine", "pr-merged", "--id", "a1", "--data", "2", "--no-resume")
    assert (again.status, "The delivery a1 has come before; nothing changes." in again.err) == (0, True)
    assert waiting("resume", "mine").out == "1\n"


def test_from_eight_processes_at_once_it_is_taken_once(waiting: Ion, project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(project.run, "signal", "mine", "pr-merged", "--id", "same", "--data", str(number), "--quiet")
            for number in range(8)
        ]
        found = [call.result() for call in calls]
    assert {one.status for one in found} <= {0, 5}
    events = [json.loads(line) for line in waiting("events", "mine").out.splitlines()]
    assert sum(event.get("signal") == "same" for event in events) == 1
    assert shown(waiting)["status"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["pr-mergd"], 2, "did you mean 'pr-merged'?"),
        (["pr-merged", "--data", "{"], 2, "--data is not JSON"),
        (["pr-merged", "--for", "say"], 2, "'say' is not a wait for the signal 'pr-merged'"),
        (["pr-merged", "--id", ""], 2, "1 to 200 characters"),
        (["pr-merged", "--id", "x" * 201], 2, "1 to 200 characters"),
        (["pr-merged", "--for", "$(rm x)"], 2, "is not a wait for the signal"),
    ],
)
def test_what_nobody_waits_for_is_refused(waiting: Ion, arguments: list[str], status: int, said: str) -> None:
    done = waiting("signal", "mine", *arguments)
    assert (done.status, said in done.err) == (status, True), done.err


def test_a_payload_has_a_bound(waiting: Ion, project: Project) -> None:
    (project.folder / "large").write_text(json.dumps("x" * (1 << 20)))
    assert "longer than 1 MiB" in waiting("signal", "mine", "pr-merged", "--data", "@large").err


def test_to_a_run_that_has_ended_it_is_refused(waiting: Ion) -> None:
    waiting("cancel", "mine")
    assert waiting("signal", "mine", "pr-merged").status == 5


def test_patience_is_how_long_a_process_waits(ion: Ion, project: Project) -> None:
    project.write("pause", "name: pause\ndescription: Waits.\nnodes: [{id: a, wait: 1s}, {id: b, wait: 1d}]\n")
    done = ion("run", "pause", "--run-id", "mine", "--patience", "1m")
    assert done.status == 3
    found = shown(ion)
    assert [one["node"] for one in found["waiting"]] == ["b"], "it had the patience for a"
    assert found["nodes"]["a"]["status"] == "completed"
    assert ion("run", "pause", "--patience", "soon").status == 2


def test_ctrl_c_while_it_only_waits_leaves_a_paused_run(project: Project) -> None:
    project.write("pause", "name: pause\ndescription: Waits.\nnodes: [{id: a, bash: echo}, {id: b, wait: 2h}]\n")
    process = project.start("run", "pause", "--run-id", "mine", "--patience", "1d", stderr=subprocess.PIPE)
    until(lambda: "wait_started" in project.run("events", "mine").out)
    until(lambda: json.loads(project.run("show", "mine", "--json").out)["nodes"]["a"]["status"] == "completed")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 3, said
    assert "Paused: 1 wait is not over." in said
    assert "It continues by itself from " in said
    assert json.loads(project.run("show", "mine", "--json").out)["status"] == "paused"


def test_a_rerun_begins_without_the_signals_of_the_old_run(waiting: Ion) -> None:
    assert waiting("signal", "mine", "pr-merged", "--data", "7", "--no-resume").status == 0
    assert waiting("signal", "mine", "pr-merged", "--data", "8").status == 0
    assert waiting("rerun", "mine", "--run-id", "again").status == 3
    assert [one["event"] for one in shown(waiting, "again")["waiting"]] == ["pr-merged"]
    kept = waiting("rerun", "mine", "--run-id", "kept", "--from", "say")
    assert (kept.status, kept.out) == (0, "7\n"), "what a wait before it has received is kept"


def test_how_often_a_check_was_tried_is_shown(ion: Ion, project: Project) -> None:
    check = '{check: "echo try >> tries; [ $(wc -l < tries) = 3 ]", every: 1s}'
    flow = f"nodes:\n  - {{id: soon, wait: {check}}}\n  - {{id: late, wait: {{check: 'false', every: 1h}}}}\n"
    project.write("checks", f"name: checks\ndescription: Tries.\n{flow}")
    assert ion("run", "checks", "--run-id", "mine", "--patience", "1m").status == 3
    found = shown(ion)
    (late,) = found["waiting"]
    assert (late["kind"], late["node"], late["tries"]) == ("check", "late", 1)
    rows = {line.split()[0]: line for line in ion("show", "mine").out.splitlines() if line[:1].isalpha()}
    assert rows["soon"].endswith("3 tries")
    assert rows["late"].endswith("1 try  waits for its check to pass")
    assert ion("show", "mine", "soon").out.startswith("soon   completed   3 tries   after ")
