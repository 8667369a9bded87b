"""`finally` of a run that a cluster drives: after every end, also when its worker is killed in its middle."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.engine.temporal.kit import COMMAND, Project

import ion
from ion.core import events as e
from processes import until

WORKFLOW = """
nodes:
  - {{id: lock, always_run: true, bash: 'test ! -e lock && touch lock'}}
  - {{id: work, depends_on: [lock], bash: '{work}'}}
finally:
  - id: unlock
    bash: |
      echo "$RUN.status $work.outcome.status" >> ends
      {during}
      rm -f lock
"""
WAITS = "echo $$ >> pids; until [ -e go ]; do sleep 0.1; done"


def begun(project: Project, work: str, during: str = "true") -> None:
    """A run `one` of the cluster, with one worker, in the middle of what writes its pid."""
    project.write("w", WORKFLOW.format(work=work, during=during))
    project.work()
    assert project.run("w", "--run-id", "one", "--detach")[0] == 0
    until(lambda: (project.folder / "pids").exists() and len(project.living()) == 1)


def ends(project: Project) -> list[str]:
    return (project.folder / "ends").read_text().splitlines()


def is_locked(project: Project) -> bool:
    return (project.folder / "lock").exists()


def test_after_it_failed_and_there_again_when_it_is_resumed(project: Project) -> None:
    project.write("w", WORKFLOW.format(work="test -e lock -a -e fixed", during="true"))
    project.work()
    assert project.run("w", "--run-id", "one", "--quiet")[0] == 1
    assert (ends(project), is_locked(project)) == (["failed failed"], False)
    (project.folder / "fixed").touch()
    assert project.ion("resume", "one", "--quiet")[0] == 0
    assert (ends(project), is_locked(project)) == (["failed failed", "completed completed"], False)


def test_after_a_cancel(project: Project) -> None:
    begun(project, WAITS)
    assert is_locked(project)
    assert project.ion("cancel", "one", "--reason", "enough")[0] == 0
    until(lambda: project.status("one") == "cancelled")
    assert (ends(project), is_locked(project), project.living()) == (["cancelled cancelled"], False, [])


def test_a_second_cancel_ends_it_at_once(project: Project) -> None:
    begun(project, "exit 3", WAITS)
    shown = json.loads(project.ion("show", "one", "--json")[1])
    assert (shown["status"], shown["finishing"]) == ("running", True)
    assert project.ion("cancel", "one")[0] == 0
    until(lambda: project.status("one") == "failed")
    assert ion.get_run("one", project=project.folder).finally_failed == ("unlock",)
    assert (is_locked(project), project.living()) == (True, [])


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_after_its_worker_was_killed_in_its_middle(project: Project, end: str) -> None:
    """Another worker begins it again, after it has ended what was left; the end stays as it was decided."""
    work = "exit 3" if end == "failed" else "touch working; sleep 600"
    project.write("w", WORKFLOW.format(work=work, during=WAITS))
    worker = project.work()
    assert project.run("w", "--run-id", "one", "--detach")[0] == 0
    if end == "cancelled":
        until((project.folder / "working").exists)
        cancel = [*COMMAND, "cancel", "one", "--reason", "enough"]
        project.workers.append(subprocess.Popen(cancel, cwd=project.folder, env=project.environment))
    until(lambda: (project.folder / "pids").exists() and len(project.living()) == 1)
    orphans = project.living()
    worker.kill()
    worker.wait()
    project.work()
    until(lambda: len((project.folder / "pids").read_text().split()) == 2)
    until(lambda: len(project.living()) == 1 and not set(orphans) & set(project.living()))
    (project.folder / "go").touch()
    until(lambda: project.status("one") == end)
    assert ends(project) == [f"{end} {end}"] * 2
    assert not is_locked(project)
    log = [x.event for x in ion.get_events("one", project=project.folder)]
    assert sum(isinstance(one, e.WorkflowFinishing) for one in log) == 1
    assert log[-1].type == f"workflow_{end}"
    assert log[-1].finally_failed == ()  # type: ignore[attr-defined]
