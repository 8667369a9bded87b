"""Waits, signals and deadlines of gates where a cluster drives the run: its timers are the clock."""

from __future__ import annotations

import json
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
