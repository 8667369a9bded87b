"""kill -9 of a run at any moment: what completed stays, to the byte; the rest runs again; show never lies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import ion
from ion import events
from processes import PATIENCE_S, alive, until, with_environment

WORKFLOW = """
nodes:
  - id: start
    bash: echo start >> ran; head -c 400000 /dev/urandom | base64 -w 60
  - id: left
    depends_on: [start]
    bash: echo left >> ran; sleep 0.05; echo "left of ${#ARGUMENTS}"
  - id: right
    depends_on: [start]
    bash: echo right >> ran; sleep 0.02; date +%N
  - id: work
    depends_on: [left]
    loop:
      prompt: again
      until_bash: echo check >> checks; [ "$(sort -u checks | wc -l)" = 1 ] && [ "$(wc -l < checks)" -ge 2 ]
      max_iterations: 9
  - id: join
    depends_on: [right, work]
    bash: echo join >> ran; printf '%s' "$start.output" | sha256sum
"""
DRIVER = """
import sys, ion
def agent(request):
    with open("asked", "a") as f: f.write(request.key + "\\n")
    return f"reply to {request.key}"
verb, run = sys.argv[1:]
if verb == "run":
    result = ion.execute_workflow_sync("w", agent=agent, run_id=run, arguments="x")
else:
    result = ion.resume_workflow_sync(run, agent=agent)
sys.exit(result.exit_status)
"""


def drive(project: Path, verb: str, run: str = "k") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, verb, run], cwd=project, stdin=subprocess.DEVNULL, start_new_session=True
    )


def exists(project: Path, run: str) -> bool:
    try:
        ion.get_run(run, project=project)
    except ion.errors.NotFoundError:
        return False
    return True


def completed(project: Path, run: str) -> dict[str, events.Content]:
    nodes = ion.get_run(run, project=project).state.nodes
    return {node.id: node.output for node in nodes.values() if node.status == "completed" and node.output is not None}


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_at_random_moments_it_still_ends_right(
    seed: int, project: Path, write: Callable[..., Path]
) -> None:
    write(WORKFLOW)
    run = f"killed-{seed}"
    moment = random.Random(seed)
    kept: dict[str, events.Content] = {}
    for _attempt in range(12):
        process = drive(project, "resume" if exists(project, run) else "run", run)
        try:
            process.wait(timeout=moment.uniform(0.35, 0.9))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            if exists(project, run):
                shown = ion.get_run(run, project=project)
                assert shown.status in ("interrupted", "completed")
                now = completed(project, run)
                assert {node: now[node] for node in kept} == kept, "an output changed"
                kept = now
                if shown.status == "completed":
                    break
            continue
        break
    else:
        assert drive(project, "resume" if exists(project, run) else "run", run).wait(timeout=PATIENCE_S) == 0
    result = ion.get_run(run, project=project)
    assert result.status == "completed"
    assert result.output == f"{result.state.nodes['start'].output.sha256}  -"  # type: ignore[union-attr]
    assert {node: completed(project, run)[node] for node in kept} == kept
    log = [recorded.event for recorded in ion.get_events(run, project=project)]
    assert all(count == 1 for count in Counter(ev.node for ev in log if isinstance(ev, events.NodeCompleted)).values())
    _never_started_after_it_completed(log)
    assert with_environment(f"ION_RUN_ID={run}") == []


def _never_started_after_it_completed(log: list[events.Event]) -> None:
    done: set[str] = set()
    for event in log:
        if isinstance(event, events.NodeCompleted):
            done.add(event.node)
        elif isinstance(event, events.NodeStarted):
            assert event.node not in done


def test_a_killed_run_shows_as_interrupted_at_once_and_its_cut_off_node_runs_again(
    project: Path, write: Callable[..., Path]
) -> None:
    write("""
        nodes:
          - {id: a, bash: "echo a >> ran; echo out"}
          - {id: b, depends_on: [a], bash: "echo b >> ran; test -e go || sleep 3600; cat <<< $a.output"}
        """)
    process = drive(project, "run")
    until(lambda: (project / "ran").exists() and (project / "ran").read_text() == "a\nb\n")
    assert ion.get_run("k", project=project).status == "running"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert ion.get_run("k", project=project).status == "interrupted"
    assert [status for _, status in ion.list_runs(project=project)] == ["interrupted"]
    (project / "go").touch()
    assert drive(project, "resume").wait(timeout=PATIENCE_S) == 0
    assert (project / "ran").read_text() == "a\nb\nb\n"


FAN = """
    nodes:
      - {id: list, always_run: true, bash: cat list}
      - id: each
        depends_on: [list]
        fan_out: {lines: $list.output, as: file, max_parallel: 4}
        group:
          nodes:
            - {id: first, bash: 'echo "$INPUTS.file first $ION_IDEMPOTENCY_KEY" >> ran; echo "$INPUTS.file"'}
            - id: second
              depends_on: [first]
              bash: 'echo "$INPUTS.file second $ION_IDEMPOTENCY_KEY" >> ran; test -e go || case "$INPUTS.file" in [g-z]) sleep 3600;; esac; echo "$INPUTS.file"'
    """  # noqa: E501


@pytest.mark.parametrize("changed", [False, True])
def test_killed_in_the_middle_of_a_fan_out_it_runs_no_finished_item_again(
    project: Path, write: Callable[..., Path], *, changed: bool
) -> None:
    """Of each item that had not ended only what had not. If the list has changed since, the new items run besides, and
    what is gone does not; no key serves two items."""
    write(FAN)
    (project / "list").write_text("\n".join("abcdefghij"))
    ran = project / "ran"
    process = drive(project, "run")
    until(lambda: ran.exists() and len(ran.read_text().splitlines()) == 20)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = ran.read_text().splitlines()
    kept = {name for name, content in completed(project, "k").items() if name.startswith("each.")}
    assert {f"each.{i}" for i in range(6)} <= kept
    assert {f"each.{i}.first" for i in range(10)} <= kept
    after = "Xjihfedcba" if changed else "abcdefghij"
    (project / "list").write_text("\n".join(after))
    (project / "go").touch()
    assert drive(project, "resume").wait(timeout=PATIENCE_S) == 0
    again = [line.rpartition(" ")[0] for line in ran.read_text().splitlines()[20:]]
    unfinished = {f"{name} second" for name in after if name in "ghij"}
    new = {"X first", "X second"} if changed else set()
    assert sorted(again) == sorted(unfinished | new)
    assert ion.get_run("k", project=project).output == json.dumps([*after], separators=(",", ":"))
    keys = [line.split() for line in (*begun, *ran.read_text().splitlines()[20:])]
    served = {key: name for name, _, key in keys}
    assert all(served[key] == name for name, _, key in keys)


def test_a_live_owner_keeps_its_run(project: Path, write: Callable[..., Path]) -> None:
    write("nodes:\n  - {id: a, bash: 'touch begun; sleep 3600'}\n")
    process = drive(project, "run")
    until((project / "begun").exists)
    with pytest.raises(ion.errors.RefusedError, match=str(process.pid)):
        ion.resume_workflow_sync("k", project=project, agent=lambda request: "")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not alive(process.pid)


def test_a_run_of_the_same_id_in_another_project_is_not_touched(
    project: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    write("nodes:\n  - {id: a, bash: 'touch begun; test -e go || sleep 3600'}\n")
    other = tmp_path / "other"
    shutil.copytree(project, other)
    processes = [drive(folder, "run") for folder in (project, other)]
    until(lambda: all((folder / "begun").exists() for folder in (project, other)))
    processes[0].kill()
    processes[0].wait()
    (project / "go").touch()
    assert drive(project, "resume").wait(timeout=PATIENCE_S) == 0
    time.sleep(0.3)
    assert ion.get_run("k", project=other).state.nodes["a"].status == "running"
    assert len(with_environment("ION_RUN_ID=k")) >= 1, "the other project's process lives"
    ion.cancel("k", project=other)
    assert processes[1].wait(timeout=PATIENCE_S) == 4
