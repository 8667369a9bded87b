"""Several processes want the same run: one owns it, one answer counts, and a process that was stopped past its lease
can do no harm."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import URLS, Site, assert_sound

import ion
from ion.core import events as e
from ion.errors import UsageError
from ion.stores.lease import this_process
from processes import PATIENCE_S, alive, until

LEASE = {"ION_LEASE_MS": "1000"}
HELD = """
nodes:
  - {id: a, bash: echo a >> ran}
  - id: hold
    depends_on: [a]
    bash: |
      echo $$ >> ran
      until [ -e release ]; do sleep 0.02; done
      echo held
"""
# Answers one gate after the other, each when its line comes: two of these meet at every gate.
RACER = """
import sys
from ion.cli.main import outcome
print("ready", flush=True)
for line in sys.stdin:
    sys.stdout.write(f"{outcome([*sys.argv[1:], line.strip(), '--no-resume'])}\\n")
    sys.stdout.flush()
"""


@pytest.fixture(params=URLS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, URLS[request.param])


def held_run(site: Site, **environment: str) -> subprocess.Popen[str]:
    """`ion run` in the midst of its second node."""
    site.write(HELD)
    process = site.start("run", "w", "--run-id", site.id, **environment)
    until(lambda: site.path("ran").exists() and len(site.path("ran").read_text().split()) == 2)
    return process


def test_eight_processes_resume_one_run_and_one_of_them_does(site: Site) -> None:
    killed = held_run(site)
    killed.kill()
    killed.communicate()
    resuming = [site.start("resume", site.id) for _ in range(8)]
    until(lambda: sum(process.poll() is not None for process in resuming) >= 7)
    (owner,) = [process for process in resuming if process.poll() is None]
    site.path("release").touch()
    out, _ = owner.communicate(timeout=PATIENCE_S)
    assert (owner.returncode, out) == (0, "held\n")
    for process in resuming:
        if process is not owner:
            _, err = process.communicate()
            assert process.returncode == 5
            assert f"belongs to process {owner.pid} on " in err
    log = site.log()
    assert [event.type for event in log].count("workflow_resumed") == 1
    assert_sound(site)
    assert len(site.path("ran").read_text().split()) == 3


def race(site: Site, gates: int) -> None:
    """`approve` and `reject` of each gate at the same moment, each in a process."""
    site.write("nodes:\n" + "".join(f"  - {{id: g{i}, approval: {{message: ok?}}}}\n" for i in range(gates)))
    assert site.run("run", "w", "--run-id", site.id)[0] == 3
    racers = {
        verb: subprocess.Popen(
            [sys.executable, "-P", "-c", RACER, verb, site.id],
            cwd=site.folder,
            env=site.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for verb in ("approve", "reject")
    }
    streams = [(racer.stdin, racer.stdout) for racer in racers.values()]
    assert [out.readline() for _, out in streams if out is not None] == ["ready\n", "ready\n"]
    for number in range(gates):
        for stdin, _ in streams:
            assert stdin is not None
            stdin.write(f"g{number}\n")
            stdin.flush()
        assert sorted(out.readline() for _, out in streams if out is not None) == ["0\n", "5\n"]
    for racer in racers.values():
        racer.communicate()
    resolved = Counter(event.node for event in site.log() if isinstance(event, e.ApprovalResolved))
    assert resolved == {f"g{i}": 1 for i in range(gates)}


def test_of_approve_and_reject_one_wins(site: Site) -> None:
    race(site, 40)


@pytest.mark.sweep
def test_of_approve_and_reject_one_wins_two_hundred_times(site: Site) -> None:
    race(site, 200)


def test_an_owner_that_is_stopped_past_its_lease_is_replaced_and_can_write_nothing_more(site: Site) -> None:
    stopped = held_run(site, **LEASE)
    stopped.send_signal(signal.SIGSTOP)
    until(lambda: site.shown()["status"] == "interrupted")
    site.path("release").touch()
    status, out, err = site.run("resume", site.id, **LEASE)
    assert (status, out) == (0, "held\n"), err
    log = site.log()
    assert_sound(site)
    stopped.send_signal(signal.SIGCONT)
    _, err = stopped.communicate(timeout=PATIENCE_S)
    assert stopped.returncode == 5
    assert "no longer belongs to this process" in err
    assert site.log() == log


def test_a_zombie_ends_its_own_processes(site: Site) -> None:
    """The new owner is elsewhere, where it cannot reach what the old one left running."""
    stopped = held_run(site, **LEASE)
    child = int(site.path("ran").read_text().split()[1])
    stopped.send_signal(signal.SIGSTOP)
    until(lambda: site.shown()["status"] == "interrupted")
    store = site.store()
    lease = store.acquire_lease(site.id, this_process(), lease_ms=60_000)
    log = site.log()
    assert alive(child)
    stopped.send_signal(signal.SIGCONT)
    _, err = stopped.communicate(timeout=PATIENCE_S)
    assert (stopped.returncode, alive(child)) == (5, False)
    assert "no longer belongs to this process" in err
    assert site.log() == log
    assert store.get_workflow_run(site.id).owner == lease.owner, "it did not take the new owner's lease away"
    store.close()


def test_a_dead_owner_on_another_host_is_replaced_when_its_lease_has_ended(tmp_path: Path) -> None:
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")
    if subprocess.run([*elsewhere, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can give a process another host's name")
    for lease_ms, expected in (("60000", 5), ("1000", 0)):
        site = Site(tmp_path / lease_ms, URLS["sqlite"])
        killed = held_run(site, ION_LEASE_MS=lease_ms)
        killed.kill()
        killed.communicate()
        site.path("release").touch()
        time.sleep(1)
        status, _, err = site.run("resume", site.id, before=elsewhere)
        assert (status, "belongs to process" in err) == (expected, expected == 5)
        if status == 5:
            assert site.run("resume", site.id)[:2] == (0, "held\n"), "here it is known to be dead"
        assert_sound(site)


def test_answers_and_cancel_reach_a_running_owner_within_a_second(site: Site) -> None:
    site.write("""
        nodes:
          - {id: long, bash: 'echo $$ > leader; sleep 60'}
          - {id: gate, approval: {message: ok?}}
          - {id: again, depends_on: [gate], approval: {message: sure?}}
          - {id: ask, prompt: Say hello}
        """)
    owner = site.start("run", "w", "--run-id", site.id)
    until(lambda: site.path("leader").exists() and len(site.shown()["waiting"]) == 2)
    assert site.run("approve", site.id, "gate", "--no-resume")[0] == 0
    site.path("answer").write_text("hello")
    assert site.run("submit", site.id, "ask", "--file", "answer", "--no-resume")[0] == 0
    until(lambda: [one["node"] for one in site.shown()["waiting"]] == ["again"])
    until(lambda: site.shown()["nodes"]["ask"]["status"] == "completed")
    assert site.run("cancel", site.id)[0] == 0
    assert owner.wait(timeout=PATIENCE_S) == 4
    owner.communicate()
    assert not alive(int(site.path("leader").read_text()))
    log = site.log()
    asked = [event.at for event in log if event.type in ("approval_resolved", "prompt_answered", "cancel_requested")]
    done = [event.at for event in log if isinstance(event, e.NodeCompleted | e.WorkflowCancelled)]
    assert len(asked) == len(done) == 3, [event.type for event in log]
    took = [end - begin for begin, end in zip(asked, done, strict=True)]
    assert min(took) < 1000, took
    assert max(took) < 5000, took


@pytest.mark.parametrize("length", ["999", "1e9", "99999999999"])
def test_a_lease_of_no_sensible_length_is_refused(
    length: str, write: Callable[..., Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ION_LEASE_MS", length)
    with pytest.raises(UsageError, match="invalid lease length"):
        ion.execute_workflow_sync(write("nodes:\n  - {id: a, bash: 'true'}\n"), project=project)
