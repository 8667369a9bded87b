"""Waits that a process carries: it is their clock while it lives, and after it whoever drives the run next."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ion
from ion import events
from processes import until

DRIVER = "import sys, ion; sys.exit(ion.execute_workflow_sync('w', run_id='k').exit_status)"


def of_type(project: Path, kind: type[Any]) -> list[Any]:
    try:
        found = ion.get_events("k", project=project)
    except ion.errors.NotFoundError:
        return []
    return [one.event for one in found if isinstance(one.event, kind)]


def test_a_wait_survives_kill_9_and_is_over_once(project: Path, write: Callable[..., Path]) -> None:
    write("""
    nodes:
      - {id: pause, wait: 2s}
      - {id: after, depends_on: [pause], bash: 'echo "$pause.output.status" >> ran'}
    """)
    process = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=project, stdin=subprocess.DEVNULL)
    until(lambda: of_type(project, events.WaitStarted))
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: ion.get_run("k", project=project).status == "interrupted")
    result = ion.resume_workflow_sync("k", project=project)
    assert result.status == "completed"
    (started,) = of_type(project, events.WaitStarted)
    done = next(one for one in of_type(project, events.NodeCompleted) if one.node == "pause")
    assert started.due_at == started.at + 2000 <= done.at
    assert (project / "ran").read_text() == "elapsed\n"


def run(project: Path, **options: Any) -> ion.RunResult:
    return ion.execute_workflow_sync("w", run_id="k", project=project, options=ion.RunOptions(**options))


def test_a_check_is_tried_until_it_exits_with_0(project: Path, write: Callable[..., Path]) -> None:
    write("""
    nodes:
      - id: poll
        wait: {check: "echo try >> tries; [ $(wc -l < tries) = 3 ] && echo there", every: 1s, deadline: 1h}
        env: {X: y}
      - {id: after, depends_on: [poll], bash: "echo '$poll.output.output'"}
    """)
    result = run(project)
    assert (result.status, result.output) == ("completed", "there")
    assert result.nodes["poll"].output is not None
    assert json.loads(result.nodes["poll"].output)["status"] == "satisfied"


def test_until_an_instant_that_a_text_names(project: Path, write: Callable[..., Path]) -> None:
    write("""
    nodes:
      - {id: when, bash: echo 2020-01-01T00:00:00Z}
      - {id: pause, wait: {until: $when.output}}
      - {id: bad, depends_on: [when], wait: {until: "$when.output tomorrow"}}
    """)
    result = run(project)
    assert result.nodes["pause"].output == '{"status":"elapsed","waited_ms":0}'
    assert result.nodes["bad"].status == "failed"
    error = result.nodes["bad"].error
    assert error is not None
    assert "is not a date with a time" in error.message


@pytest.mark.parametrize("wait", ["3d", "{event: go}", "{event: go, deadline: 3d}"])
def test_what_takes_longer_than_there_is_patience_pauses_the_run(
    project: Path, write: Callable[..., Path], wait: str
) -> None:
    write(f"""
    nodes:
      - {{id: pause, wait: {wait}}}
    """)
    result = run(project, patience_ms=1000)
    assert (result.status, result.exit_status) == ("paused", 3)


def test_a_dry_run_waits_for_nothing(project: Path, write: Callable[..., Path]) -> None:
    write("""
    nodes:
      - {id: a, wait: 3d}
      - {id: b, wait: {event: go}, depends_on: [a]}
      - {id: c, wait: {check: "false"}, depends_on: [b]}
      - {id: d, bash: echo, depends_on: [c], when: "$b.output.status == 'received' && $c.output.status == 'satisfied'"}
    """)
    command = [sys.executable, "-m", "ion.cli", "run", "w", "--dry-run", "--json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)["nodes"]
    assert {name: node["status"] for name, node in nodes.items()} == dict.fromkeys("abcd", "completed")
