"""Waits, signals and deadlines of gates where a cluster drives the run: its timers are the clock."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.engine.temporal.kit import Project

from processes import until

WAITS = """
nodes:
  - {id: pause, wait: 1s}
  - {id: check, wait: {check: "echo try >> tries; [ $(wc -l < tries) = 2 ]", every: 1s}}
  - {id: ask, depends_on: [pause, check], approval: {message: go?, timeout: 1s, on_timeout: approve}}
  - {id: merged, depends_on: [ask], wait: {event: merged}}
  - {id: say, depends_on: [merged], bash: "echo $merged.output.payload $pause.output.status $check.output.status"}
"""

LIMITED = """
import json, pathlib, sys, time
sys.stdin.read()
end = pathlib.Path("end")
if not end.exists():
    end.write_text(str(int(time.time()) + 3))
said = {"type": "result", "subtype": "success", "session_id": "s"}
if time.time() < int(end.read_text()):
    print(json.dumps({**said, "is_error": True, "api_error_status": 429,
                      "result": "usage limit reached|" + end.read_text()}))
    sys.exit(1)
print(json.dumps({**said, "is_error": False, "result": "ok"}))
"""


def waiting(project: Project) -> list[Any]:
    found: list[Any] = json.loads(project.ion("show", "one", "--json")[1])["waiting"]
    return found


def test_timers_checks_signals_and_the_deadline_of_a_gate(project: Project) -> None:
    project.write("waits", WAITS)
    project.work()
    status, _, said = project.run("waits", "--run-id", "one", "--detach")
    assert status == 0, said
    until(lambda: [one["kind"] for one in waiting(project)] == ["signal"])
    assert project.status("one") == "paused"
    assert project.ion("approve", "one", "ask")[0] == 5, "the cluster let it expire, with no process of ours"
    status, out, said = project.ion("signal", "one", "merged", "--data", '"yes"')
    assert (status, out) == (0, "yes elapsed satisfied\n"), said
    assert project.ion("signal", "one", "merged")[0] == 5


def test_a_run_is_left_to_its_cluster_when_it_waits_for_longer_than_the_patience(project: Project) -> None:
    project.write("waits", "nodes:\n  - {id: pause, wait: 3s}\n  - {id: say, depends_on: [pause], bash: echo over}\n")
    project.work()
    status, _, said = project.run("waits", "--run-id", "one", "--patience", "1s")
    assert status == 3, said
    assert "its cluster continues it" in said
    (one,) = waiting(project)
    assert (one["kind"], one["node"]) == ("timer", "pause")
    until(lambda: project.status("one") == "completed")
    assert project.ion("output", "one")[1] == "over\n"


def test_waits_within_the_patience_are_followed_to_their_end(project: Project) -> None:
    project.write("waits", "nodes:\n  - {id: pause, wait: 1s}\n  - {id: say, depends_on: [pause], bash: echo over}\n")
    project.work()
    status, out, said = project.run("waits", "--run-id", "one", "--patience", "1m")
    assert (status, out) == (0, "over\n"), said


def test_runs_of_a_cluster_count_in_a_concurrency_group_and_are_never_queued(project: Project) -> None:
    project.write(
        "asks", "nodes: [{id: ask, approval: {message: go?}}, {id: a, bash: test -e good, depends_on: [ask]}]\n"
    )
    with (project.folder / ".ion" / "config.yaml").open("a") as settings:
        settings.write("concurrency: {deploy: {workflows: [asks], limit: 1, hold: process}}\n")
    _, _, said = project.run("asks", "--run-id", "zero", "--detach")
    assert "the concurrency group 'deploy' is not accepted, and does not hold" in said
    assert project.ion("schedules", "accept", "--yes")[0] == 0
    project.work()
    assert project.run("asks", "--run-id", "one")[0] == 3
    status, _, said = project.run("asks", "--run-id", "two")
    assert status == 5
    assert "the concurrency group 'deploy' is full" in said
    assert "a run of a cluster is not queued" in said
    assert project.ion("show", "two")[0] == 2, "no run is made"
    assert project.ion("run", "asks", "--run-id", "here")[0] == 3
    assert project.status("here") == "queued", "it counts for the runs of this machine too"
    assert project.ion("approve", "one")[0] == 1, "it has kept its place, and fails"
    assert project.ion("resume", "here")[0] == 3
    assert project.run("asks", "--run-id", "three")[0] == 3, "a paused one of this machine holds none here"
    status, _, said = project.ion("resume", "one")
    assert (status, project.status("one")) == (5, "failed"), said
    (project.folder / "good").touch()
    assert project.ion("approve", "three")[0] == 0
    assert project.ion("resume", "one")[0] == 0


def test_a_timer_of_the_cluster_ends_the_wait_for_an_agent_at_its_limit(project: Project) -> None:
    (project.folder / "limited.py").write_text(LIMITED)
    with (project.folder / ".ion" / "config.yaml").open("a") as settings:
        settings.write(f"  limited: {{preset: claude, command: [{json.dumps(sys.executable)}, limited.py]}}\n")
    project.write("asks", "agent: limited\nnodes: [{id: a, prompt: one}, {id: b, prompt: two, depends_on: [a]}]\n")
    project.work()
    status, out, said = project.run("asks", "--run-id", "one", "--patience", "1m")
    assert (status, out) == (0, "ok\n"), said
    log = [json.loads(line) for line in project.ion("events", "one", "--json")[1].splitlines()]
    closed = [one for one in log if one["type"] == "lane_closed"]
    begun = [one["at"] for one in log if one["type"] == "node_started"]
    assert len(closed) == 1
    assert begun[1] >= closed[0]["until"]
    assert len(begun) == 3
