"""`ion tick`: what a clock continues, once, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ion import clocks, codec, create_store
from ion.api.clock import DueRun, Found, LeftRun, look
from ion.api.workspace import open_workspace
from ion.core import events as e
from ion.engine import seals
from ion.stores import encoding
from ion.stores.base import WorkflowStore
from ion.stores.lease import this_process
from processes import until

from .kit import Ion, Project

GATE = """
name: gate
description: Asks, then writes.
nodes:
  - {id: ask, approval: {message: Ship it?}}
  - {id: ship, depends_on: [ask], bash: "echo $ION_RUN_ID >> $PROOF; echo shipped"}
"""
NOTHING: dict[str, list[Any]] = {"started": [], "skipped": [], "continued": [], "left": []}


@pytest.fixture
def gated(ion: Ion, project: Project) -> Ion:
    """A project with the run `mine`, which waits at its gate."""
    project.write("gate", GATE)
    assert ion("run", "gate", "--run-id", "mine").status == 3
    return ion


def store_of(project: Project) -> WorkflowStore:
    return create_store("sqlite:.ion/ion.db", project=project.folder)


def events_of(project: Project, run_id: str = "mine") -> list[e.Event]:
    with store_of(project) as store:
        return [recorded.event for recorded in store.get_workflow_events(run_id)]


def leave(project: Project, run_id: str = "mine", *, due_in_ms: int = -1_000) -> None:
    """As a process does that leaves a run which continues by itself later."""
    now = clocks.now_ms()
    with store_of(project) as store:
        lease = store.acquire_lease(run_id, this_process(), lease_ms=30_000)
        store.create_workflow_event(run_id, [e.WorkflowPaused(now, due_at=now + due_in_ms)], lease=lease)
        store.release_lease(lease)


def wakings(project: Project, run_id: str = "mine") -> int:
    return sum(isinstance(event, e.WorkflowResumed) for event in events_of(project, run_id))


def rests(project: Project, run_id: str = "mine") -> bool:
    with store_of(project) as store:
        run = store.get_workflow_run(run_id)
        return run.status != "running" and run.owner is None


def seen(project: Project, **how: Any) -> Found:
    workspace = open_workspace(project.folder)
    try:
        return look(workspace, **how)
    finally:
        workspace.close()


def reasons(project: Project, **how: Any) -> dict[str, str]:
    found = seen(project, **how)
    assert not found.due
    return {left.run_id: left.reason for left in found.left}


class TestContinuing:
    def test_nothing_is_due(self, gated: Ion) -> None:
        done = gated("tick")
        assert (done.status, done.out, done.err) == (0, "", "Nothing is due.\n")
        assert gated("tick", "--json").json("tick") == NOTHING

    def test_a_project_without_runs_gets_no_store(self, ion: Ion, project: Project) -> None:
        assert ion("tick").err == "Nothing is due.\n"
        assert not (project.folder / ".ion" / "ion.db").exists()

    def test_an_answer_that_nobody_acted_on_is_acted_on(self, gated: Ion, project: Project) -> None:
        proof = project.folder / "proof"
        gated("approve", "mine", "--no-resume")
        done = gated("tick", "--json", PROOF=str(proof))
        (continued,) = done.json("tick")["continued"]
        assert (done.status, continued["run_id"], continued["workflow"]) == (0, "mine", "gate")
        until(lambda: gated("show", "mine", "--json").json()["status"] == "completed")
        assert proof.read_text() == "mine\n"
        assert gated("tick").err == "Nothing is due.\n"

    def test_a_wait_that_is_over_is_woken_once_and_one_that_is_not_stays(self, gated: Ion, project: Project) -> None:
        gated("run", "gate", "--run-id", "later")
        leave(project)
        leave(project, "later", due_in_ms=3_600_000)
        said = gated("tick").err
        assert "continued  mine  gate  due since" in said
        assert "later" not in said
        until(lambda: wakings(project) == 1 and rests(project))
        assert gated("tick").err == "Nothing is due.\n"
        assert (wakings(project), wakings(project, "later")) == (1, 0)

    def test_what_is_due_first_comes_first(self, gated: Ion, project: Project) -> None:
        gated("run", "gate", "--run-id", "other")
        leave(project, due_in_ms=-1_000)
        leave(project, "other", due_in_ms=-5_000)
        assert [due.run_id for due in seen(project).due] == ["other", "mine"]

    def test_a_run_that_a_living_process_owns_is_left_to_it(self, gated: Ion, project: Project) -> None:
        leave(project)
        with store_of(project) as store:
            lease = store.acquire_lease("mine", this_process(), lease_ms=30_000)
            store.create_workflow_event("mine", [e.WorkflowResumed(clocks.now_ms())], lease=lease)
        assert seen(project) == Found()

    def test_a_run_whose_process_died_between_two_attempts_continues(self, ion: Ion, project: Project) -> None:
        project.write("retry", "name: retry\ndescription: Fails once.\nnodes:\n" + RETRY)
        process = project.start("run", "retry", "--run-id", "mine")
        until(lambda: (project.folder / ".ion" / "ion.db").exists() and "node_retrying" in ion("events", "mine").out)
        process.kill()
        process.wait()
        assert seen(project).due == (DueRun(run_id="mine", workflow="retry", due_at=None),)
        assert ion("tick").status == 0
        until(lambda: ion("show", "mine", "--json").json()["status"] == "completed")
        assert (project.folder / "tries").read_text() == "1\n2\n"

    def test_a_run_whose_process_died_in_a_turn_is_left_to_people(self, ion: Ion, project: Project) -> None:
        project.write("slow", SLOW)
        process = project.start("run", "slow", "--run-id", "mine", start_new_session=True)
        until((project.folder / "begun").exists)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        why = "its process died while slow ran; somebody has to see what that left: ion resume mine"
        assert seen(project).left == (LeftRun(run_id="mine", workflow="slow", reason=why),)
        assert wakings(project) == 0

    def test_a_run_without_its_secrets_is_named_and_not_woken(self, ion: Ion, project: Project) -> None:
        project.write("gate", GATE + "secrets: [TOKEN]\n")
        ion("run", "gate", "--run-id", "mine", TOKEN="s3cret")
        ion("approve", "mine", "--no-resume")
        assert ion("tick", "--json").json("tick")["left"] == [
            {"run_id": "mine", "workflow": "gate", "reason": "the secret TOKEN of the workflow 'gate' is not set"}
        ]
        assert wakings(project) == 0

    def test_a_run_without_its_runtime_is_named_and_not_woken(
        self, gated: Ion, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gated("approve", "mine", "--no-resume")
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        assert reasons(project) == {"mine": "bash is not installed (needed by ship)"}

    def test_many_ticks_at_once_wake_each_run_once(self, gated: Ion, project: Project) -> None:
        run_ids = ["mine", *(f"r{number}" for number in range(11))]
        for run_id in run_ids[1:]:
            gated("run", "gate", "--run-id", run_id)
        for run_id in run_ids:
            leave(project, run_id)
        ticks = [project.start("tick") for _ in range(6)]
        assert [tick.wait() for tick in ticks] == [0] * 6
        until(lambda: all(wakings(project, run_id) and rests(project, run_id) for run_id in run_ids))
        assert [wakings(project, run_id) for run_id in run_ids] == [1] * len(run_ids)

    @pytest.mark.sweep
    @pytest.mark.timeout(1800)
    def test_fifty_ticks_at_once_over_two_hundred_runs(self, gated: Ion, project: Project) -> None:
        run_ids = [f"r{number}" for number in range(200)]
        for run_id in run_ids:
            gated("run", "gate", "--run-id", run_id)
            leave(project, run_id)
        ticks = [project.start("tick") for _ in range(50)]
        assert [tick.wait() for tick in ticks] == [0] * 50
        until(lambda: all(wakings(project, run_id) and rests(project, run_id) for run_id in run_ids), 1200)
        assert [wakings(project, run_id) for run_id in run_ids] == [1] * len(run_ids)

    def test_no_more_runs_at_once_than_twice_the_processors(self, ion: Ion, project: Project) -> None:
        project.write("busy", BUSY)
        most = 2 * (os.cpu_count() or 1)
        run_ids = [f"r{number}" for number in range(most + 3)]
        for run_id in run_ids:
            ion("run", "busy", "--run-id", run_id)
            ion("approve", run_id, "--no-resume")
        assert ion("tick").status == 0
        until(lambda: all(ion("show", run_id, "--json").json()["status"] == "completed" for run_id in run_ids))
        at_once = [int(line) for line in (project.folder / "counts").read_text().split()]
        assert len(at_once) == len(run_ids)
        assert 1 <= max(at_once) <= most


RETRY = """
  - id: work
    bash: |
      echo "$(( $(cat tries 2>/dev/null | wc -l) + 1 ))" >> tries
      test "$(wc -l < tries)" -ge 2
    retry: {max_attempts: 2, delay_ms: 4000, on_error: all}
"""
SLOW = """
name: slow
description: Takes its time.
nodes:
  - {id: slow, bash: "touch begun; sleep 300"}
"""
BUSY = """
name: busy
description: Says how many are at work.
nodes:
  - {id: ask, approval: {message: Begin?}}
  - id: work
    depends_on: [ask]
    bash: |
      mkdir -p at-work && touch "at-work/$ION_RUN_ID"
      sleep 0.3
      ls at-work | wc -l >> counts
      rm "at-work/$ION_RUN_ID"
"""


class TestWhoseRunsAClockTakes:
    """Only those of its own project that this user started on this host, and never an imported one."""

    @pytest.fixture(autouse=True)
    def answered(self, gated: Ion, project: Project) -> None:
        """The run `mine` has something to do; each test makes it somebody else's, or says that it is."""
        gated("approve", "mine", "--no-resume")
        assert [due.run_id for due in seen(project).due] == ["mine"]

    def started(self, project: Project) -> e.WorkflowStarted:
        first = events_of(project)[0]
        assert isinstance(first, e.WorkflowStarted)
        return first

    def forge(self, project: Project, run_id: str, *more: e.Event, **by: Any) -> None:
        """A run as whoever can write to the store may write it."""
        first = self.started(project)
        with store_of(project) as store:
            forged = replace(first, by={**first.by, **by})
            project_of_it = str(project.folder)
            store.import_workflow_run(
                run_id, project=project_of_it, source=store.get_source("mine"), events=[forged, *more]
            )

    def test_not_one_of_another_project(self, project: Project, gated: Ion, tmp_path: Path) -> None:
        other = tmp_path / "other"
        (other / ".ion").mkdir(parents=True)
        store = f"sqlite:{project.folder / '.ion' / 'ion.db'}"
        done = gated("tick", "--project", str(other), "--store", store, "--json").json("tick")
        assert done == NOTHING

    def test_not_one_that_was_started_on_another_host(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere = os.uname_result(("Linux", "another-host", *os.uname()[2:]))
        monkeypatch.setattr(os, "uname", lambda: elsewhere)
        assert reasons(project) == {"mine": f"it was started on {socket.gethostname()}"}

    def test_not_one_of_another_user(self, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        by = self.started(project).by
        monkeypatch.setattr("getpass.getuser", lambda: "mallory")
        assert [due.run_id for due in seen(project).due] == ["mine"], "a name alone says nothing"
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home-of-mallory"))
        assert reasons(project) == {"mine": f"{by['user']} started it"}

    def test_not_one_of_a_user_who_only_has_the_same_name(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-home"))
        assert reasons(project) == {"mine": "its start does not have the seal of this user"}

    def test_never_an_imported_one(self, project: Project, gated: Ion, tmp_path: Path) -> None:
        """Not even one that this user exported here."""
        file = str(tmp_path / "run.ion")
        gated("export", "mine", "--output", file)
        with store_of(project) as store:
            store.delete_workflow_run("mine")
        assert gated("import", file).status == 0
        assert reasons(project) == {"mine": "it was imported, or started by an older Ion"}
        assert "imported" in reasons(project, any_host=True)["mine"]

    def test_never_a_forged_import(self, project: Project, gated: Ion, tmp_path: Path) -> None:
        """A file that says that this user started it here, with the seal of another run."""
        file = tmp_path / "run.ion"
        gated("export", "mine", "--output", str(file))
        seal = self.started(project).by["seal"]
        assert seal in file.read_text(), "an export says who started it"
        with store_of(project) as store:
            store.delete_workflow_run("mine")
        gated("import", str(file))
        assert "seal" not in self.started(project).by
        assert list(reasons(project)) == ["mine"]

    def test_not_a_row_that_was_forged(self, project: Project, gated: Ion) -> None:
        """A row that says more than its log: that it is due, or that it still runs."""
        gated("run", "gate", "--run-id", "waits")
        with sqlite3.connect(project.folder / ".ion" / "ion.db") as database:
            database.execute("UPDATE runs SET due_at = 1 WHERE run_id = 'waits'")
            database.execute("UPDATE runs SET due_at = NULL WHERE run_id = 'mine'")
        assert seen(project) == Found()

    def test_not_a_log_that_was_forged(self, project: Project) -> None:
        """With the right names, and with the seal of another run."""
        now = clocks.now_ms()
        self.forge(project, "forged", e.WorkflowPaused(now, due_at=now))
        self.forge(project, "nameless", e.WorkflowPaused(now, due_at=now), seal="x", user=["me"], host={})
        found = seen(project)
        assert [due.run_id for due in found.due] == ["mine"]
        assert {left.run_id: left.reason for left in found.left} == {
            "forged": "its start does not have the seal of this user",
            "nameless": "somebody started it",
        }

    def test_not_a_start_that_was_changed(self, project: Project) -> None:
        """What it runs, where, with which inputs and by which agent is sealed."""
        first, run, root = self.started(project), "mine", str(project.folder)
        assert seals.is_sealed_here(first, run, root)
        for change in ({"digest": "0"}, {"cwd": "/"}, {"inputs": {"a": 1}}, {"agent": "sh"}, {"arguments": "x"}):
            assert not seals.is_sealed_here(replace(first, **change), run, root), change
        assert not seals.is_sealed_here(first, "other", root)
        assert not seals.is_sealed_here(first, run, "/other")

    def test_not_one_whose_settings_have_changed_since(self, project: Project, gated: Ion) -> None:
        """A `git pull` may bring another program for an agent, or an environment: a clock does not run it unseen."""
        file = project.folder / ".ion" / "config.yaml"
        file.write_text("env: {BASH_ENV: evil.sh}\n")
        why = "the settings have changed since it began, and with them what it may run: ion resume mine"
        assert reasons(project) == {"mine": why}
        file.write_text("max_concurrency: 3\n")
        assert [due.run_id for due in seen(project).due] == ["mine"]

    def test_a_log_without_a_start_stops_no_clock(self, project: Project, gated: Ion) -> None:
        gated("run", "gate", "--run-id", "forged")
        text = codec.encode(e.WorkflowPaused(1, due_at=1))
        with sqlite3.connect(project.folder / ".ion" / "ion.db") as database:
            values = (text, encoding.checksum("forged", 1, text))
            database.execute("UPDATE events SET event = ?, checksum = ? WHERE run_id = 'forged' AND seq = 1", values)
            database.execute("UPDATE runs SET due_at = 1 WHERE run_id = 'forged'")
        found = seen(project)
        assert [due.run_id for due in found.due] == ["mine"]
        assert {left.run_id: left.reason for left in found.left} == {"forged": "its log does not begin with its start"}

    def test_not_with_a_key_that_others_can_read(self, project: Project) -> None:
        key = seals.user_state_folder() / "key"
        assert key.stat().st_mode & 0o777 == 0o600
        key.chmod(0o644)
        assert reasons(project) == {"mine": "its start does not have the seal of this user"}

    def test_not_with_a_key_that_is_a_link_into_a_repository(self, project: Project) -> None:
        key = seals.user_state_folder() / "key"
        shutil.move(key, project.folder / "key")
        key.symlink_to(project.folder / "key")
        assert reasons(project) == {"mine": "its start does not have the seal of this user"}

    def test_a_rerun_is_this_user_s_own(self, project: Project, gated: Ion) -> None:
        gated("cancel", "mine")
        assert gated("rerun", "mine", "--run-id", "again").status == 3
        gated("approve", "again", "--no-resume")
        assert [due.run_id for due in seen(project).due] == ["again"]

    def test_a_user_without_a_home_can_run_and_has_no_clock(self, project: Project, gated: Ion) -> None:
        assert gated("run", "gate", "--run-id", "sealless", XDG_STATE_HOME="/dev/null/x").status == 3
        gated("approve", "sealless", "--no-resume")
        assert [left.run_id for left in seen(project).left] == ["sealless"]

    def test_what_is_not_its_own_is_listed(self, gated: Ion, tmp_path: Path) -> None:
        done = gated("tick", XDG_STATE_HOME=str(tmp_path / "another-home"))
        assert done.err == "left alone  mine  gate  its start does not have the seal of this user\n"


class TestAnyHost:
    """`--any-host` lifts the host rule, where the folder is there with the git remote that was recorded."""

    @pytest.fixture
    def repository(self, project: Project) -> Path:
        git = project.folder / ".git"
        git.mkdir()
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text('[remote "origin"]\n\turl = https://me:pw@example.org/x.git\n')
        return git

    @pytest.fixture
    def elsewhere(self, repository: Path, gated: Ion, monkeypatch: pytest.MonkeyPatch) -> str:
        gated("approve", "mine", "--no-resume")
        here = socket.gethostname()
        uname = os.uname_result(("Linux", "another-host", *os.uname()[2:]))
        monkeypatch.setattr(os, "uname", lambda: uname)
        return here

    @pytest.mark.usefixtures("elsewhere")
    def test_it_lifts_the_host_rule(self, project: Project) -> None:
        assert list(reasons(project)) == ["mine"]
        assert [due.run_id for due in seen(project, any_host=True).due] == ["mine"]

    @pytest.mark.usefixtures("elsewhere")
    def test_the_password_of_the_remote_is_not_recorded(self, project: Project) -> None:
        first = events_of(project)[0]
        assert isinstance(first, e.WorkflowStarted)
        assert first.by["remote"] == "https://me@example.org/x.git"

    def test_the_remote_must_be_the_recorded_one(self, elsewhere: str, repository: Path, project: Project) -> None:
        (repository / "config").write_text('[remote "origin"]\n\turl = https://example.org/another.git\n')
        why = f"it was started on {elsewhere}, and {project.folder} is not a clone of the same git remote here"
        assert reasons(project, any_host=True) == {"mine": why}

    def test_there_must_be_a_remote(self, elsewhere: str, repository: Path, project: Project) -> None:
        (repository / "config").write_text("")
        assert "not a clone" in reasons(project, any_host=True)["mine"]

    @pytest.mark.usefixtures("elsewhere")
    def test_the_user_rule_stays(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("getpass.getuser", lambda: "mallory")
        assert "started it" in reasons(project, any_host=True)["mine"]


def test_a_project_without_git_is_not_taken_from_another_host(
    gated: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated("approve", "mine", "--no-resume")
    uname = os.uname_result(("Linux", "another-host", *os.uname()[2:]))
    monkeypatch.setattr(os, "uname", lambda: uname)
    assert "not a clone" in reasons(project, any_host=True)["mine"]


def test_the_folder_must_be_there(gated: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = project.folder / "sub"
    gone.mkdir()
    gated("run", "gate", "--run-id", "sub", "--cwd", str(gone))
    gated("approve", "sub", "--no-resume")
    gone.rmdir()
    uname = os.uname_result(("Linux", "another-host", *os.uname()[2:]))
    monkeypatch.setattr(os, "uname", lambda: uname)
    assert reasons(project, any_host=True)["sub"].endswith(f"and its folder {gone} is not here")


def test_what_the_background_process_could_not_do_is_in_its_log(gated: Ion, project: Project) -> None:
    gated("approve", "mine", "--no-resume")
    assert gated("tick").status == 0
    log = project.folder / ".ion" / "clock.log"
    until(log.exists)
    until(lambda: rests(project))


def test_json_is_one_object(gated: Ion) -> None:
    assert json.loads(gated("tick", "--json").out) == NOTHING
