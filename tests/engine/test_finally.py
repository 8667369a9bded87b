"""A lock file is removed by `finally` after every end of a run, with real processes; and is there again in a run that
failed and was resumed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.engine.commands import Site

from processes import until, with_environment

WORKFLOW = """
{more}
nodes:
  - id: lock
    bash: test ! -e lock && touch lock
    always_run: true
  - id: work
    depends_on: [lock]
    {work}
finally:
  - id: unlock
    bash: |
      echo "$RUN.status, $work.outcome.status $work.outcome.code, $RUN.error" >> ends
      {during}
      rm -f lock
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "sqlite:.ion/ion.db")


def write(site: Site, work: str, during: str = "true", more: str = "") -> None:
    site.write(WORKFLOW.format(work=work, during=during, more=more))


def run(site: Site, *more: str) -> int:
    status, _, _ = site.run("run", "w", "--run-id", site.id, *more)
    return status


def ends(site: Site) -> list[str]:
    return site.path("ends").read_text().splitlines()


def is_unlocked(site: Site) -> bool:
    return not site.path("lock").exists()


def kill(site: Site, process: Any) -> None:
    """As the kernel does when there is no memory: the process and all that it started."""
    for pid in (process.pid, *with_environment(f"ION_RUN_ID={site.id}")):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def test_after_it_completed(site: Site) -> None:
    write(site, "bash: test -e lock")
    assert run(site) == 0
    assert is_unlocked(site)
    assert ends(site) == ["completed, completed , "]


def test_after_it_failed_and_there_again_when_it_is_resumed(site: Site) -> None:
    write(site, "bash: test -e lock && test -e fixed")
    assert run(site) == 1
    assert is_unlocked(site)
    assert ends(site) == ["failed, failed exit-status, 1 of 2 nodes failed: work"]
    site.path("fixed").touch()
    assert site.run("resume", site.id)[0] == 0, "the lock was there while it worked"
    assert is_unlocked(site)
    assert ends(site)[1:] == ["completed, completed , "]


def test_after_fail_fast(site: Site) -> None:
    write(site, "bash: exit 3", more="fail_fast: true")
    assert run(site) == 1
    assert is_unlocked(site)


def test_after_its_time_was_over(site: Site) -> None:
    write(site, "bash: sleep 600", more="timeout: 1500")
    assert run(site) == 1
    assert is_unlocked(site)
    assert ends(site) == ["failed, cancelled , the run took longer than 1500 ms"]


def test_after_a_cancel_of_a_run_that_is_owned(site: Site) -> None:
    write(site, "bash: touch working; sleep 600")
    process = site.start("run", "w", "--run-id", site.id)
    until(site.path("working").exists)
    assert site.run("cancel", site.id, "--reason", "enough")[0] == 0
    assert process.wait() == 4
    assert is_unlocked(site)
    assert ends(site) == ["cancelled, cancelled , enough"]


def test_after_a_cancel_of_a_run_that_is_paused(site: Site) -> None:
    write(site, "approval: {message: ok?}")
    assert run(site) == 3
    assert not is_unlocked(site)
    assert site.run("cancel", site.id)[0] == 0
    assert is_unlocked(site)
    assert ends(site) == ["cancelled, cancelled , "]


def test_after_a_cancel_of_a_run_that_was_interrupted(site: Site) -> None:
    write(site, "bash: touch working; sleep 600")
    process = site.start("run", "w", "--run-id", site.id)
    until(site.path("working").exists)
    kill(site, process)
    assert site.shown()["status"] == "interrupted"
    assert not is_unlocked(site)
    assert site.run("cancel", site.id)[0] == 0
    assert is_unlocked(site)
    assert site.shown()["status"] == "cancelled"


def test_not_after_an_interruption_but_once_a_resume_has_ended_it(site: Site) -> None:
    write(site, "bash: touch working; test -e fixed || sleep 600")
    process = site.start("run", "w", "--run-id", site.id)
    until(site.path("working").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert not is_unlocked(site)
    site.path("lock").unlink()
    site.path("fixed").touch()
    assert site.run("resume", site.id)[0] == 0
    assert is_unlocked(site)


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_after_it_was_stopped_in_its_middle_and_resumed(site: Site, how: str) -> None:
    write(site, "bash: exit 3", during="touch during; test -e fixed || sleep 600")
    process = site.start("run", "w", "--run-id", site.id)
    until(site.path("during").exists)
    assert json.loads(site.run("show", site.id, "--json")[1])["status"] == "running"
    if how == "killed":
        kill(site, process)
    else:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    site.path("fixed").touch()
    assert site.run("resume", site.id)[0] == 1, "the end was decided"
    assert is_unlocked(site)
    assert ends(site) == ["failed, failed exit-status, 1 of 2 nodes failed: work"] * 2
    assert site.shown()["error"]["message"] == "1 of 2 nodes failed: work"


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_second_cancel_and_its_own_timeout_end_it_at_once(site: Site, end: str) -> None:
    write(site, "bash: exit 3", during="touch during; sleep 600")
    if end == "timeout":
        text = site.path(".ion/workflows/w.yaml").read_text()
        head, _, nodes = text.partition("finally:\n")
        nodes = "".join(f"  {line}\n" for line in nodes.splitlines())
        site.path(".ion/workflows/w.yaml").write_text(f"{head}finally:\n  timeout: 1500\n  nodes:\n{nodes}")
    process = site.start("run", "w", "--run-id", site.id)
    until(site.path("during").exists)
    if end == "cancel":
        assert site.run("cancel", site.id)[0] == 0, "it has ended"
    assert process.wait() == 1
    assert site.shown()["status"] == "failed"
    assert site.log()[-1].finally_failed == ("unlock",)  # type: ignore[attr-defined]
    assert not is_unlocked(site)
    assert with_environment(f"ION_RUN_ID={site.id}") == []


def test_a_lock_of_a_called_workflow(site: Site) -> None:
    write(site, "bash: touch working; sleep 600")
    site.write("nodes:\n  - id: ship\n    workflow: w\n", "outer")
    process = site.start("run", "outer", "--run-id", site.id)
    until(site.path("working").exists)
    assert site.run("cancel", site.id, "--reason", "enough")[0] == 0
    assert process.wait() == 4
    assert is_unlocked(site)
    assert ends(site)[0].startswith("cancelled, cancelled ,")
