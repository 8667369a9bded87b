"""Concurrency groups of the settings: no more runs at once than a group allows, and the next one in its turn."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ion import clocks
from ion.api.clock import look
from ion.api.places import TURN_MS
from ion.api.workspace import open_workspace
from processes import until

from .kit import Ion, Project

# Works until the file `go` is there, and says how many do at once.
WORK = """
name: work
description: Works until it may stop.
nodes:
  - id: work
    bash: |
      mkdir -p at-work && touch "at-work/$ION_RUN_ID"
      ls at-work | wc -l >> counts
      while ! test -e go; do sleep 0.05; done
      rm "at-work/$ION_RUN_ID"
"""
ASKS = "name: asks\ndescription: Asks.\nnodes: [{id: ask, approval: {message: Go?}}]\n"
FAILS = """
name: fails
description: Fails at first.
nodes:
  - {id: always, always_run: true, bash: 'true'}
  - {id: a, depends_on: [always], bash: test -e good}
"""
THINKS = "name: thinks\ndescription: Asks an agent.\nnodes: [{id: a, prompt: Well?}]\n"


def group(project: Project, rules: str = "limit: 1", more: str = "") -> None:
    text = f"concurrency:\n  deploy: {{workflows: [work, asks, fails, thinks], {rules}}}\n{more}"
    (project.folder / ".ion" / "config.yaml").write_text(text)


@pytest.fixture
def deploy(ion: Ion, project: Project) -> Ion:
    """A project whose workflows run one at a time."""
    for name, text in (("work", WORK), ("asks", ASKS), ("fails", FAILS), ("thinks", THINKS)):
        project.write(name, text)
    group(project)
    assert ion("schedules", "accept", "--yes").status == 0
    return ion


def accepted(ion: Ion, project: Project, rules: str) -> None:
    group(project, rules)
    ion("schedules", "accept", "--yes")


def started(project: Project, run_id: str) -> subprocess.Popen[str]:
    """A run that works in a process of its own."""
    process = project.start("run", "work", "--run-id", run_id, start_new_session=True)
    until((project.folder / "at-work" / run_id).exists)
    return process


def stop(project: Project) -> None:
    (project.folder / "go").touch()


def status(ion: Ion, run_id: str) -> str:
    return str(ion("show", run_id, "--json").json("run")["status"])


def place(ion: Ion, run_id: str) -> dict[str, Any]:
    (waiting,) = ion("show", run_id, "--json").json("run")["waiting"]
    return dict(waiting)


def ran(ion: Ion, run_id: str) -> list[str]:
    """The nodes whose turns began, in order."""
    events = map(json.loads, ion("events", run_id).out.splitlines())
    return [event["node"] for event in events if event["type"] == "node_started"]


def due(project: Project) -> list[str]:
    workspace = open_workspace(project.folder)
    try:
        return [one.run_id for one in look(workspace).due]
    finally:
        workspace.close()


class TestQueue:
    def test_a_run_that_finds_no_place_is_queued_and_continued_by_a_clock(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        done = deploy("run", "work", "--run-id", "second")
        assert done.status == 3
        assert "Queued: it waits for a place in the concurrency group 'deploy', as number 1." in done.err
        assert status(deploy, "second") == "queued"
        assert place(deploy, "second") == {
            "node": None, "kind": "queue", "place": 1, "message": "a place in the concurrency group 'deploy'",
        }  # fmt: skip
        assert [run["run_id"] for run in deploy("runs", "--status", "queued", "--json").json("runs")] == ["second"]
        assert due(project) == [], "there is no place yet"
        stop(project)
        first.wait()
        assert due(project) == ["second"]
        deploy("tick")
        until(lambda: status(deploy, "second") == "completed")

    def test_the_first_one_in_the_queue_comes_first(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        for run_id in ("second", "third"):
            assert deploy("run", "work", "--run-id", run_id).status == 3
        assert (place(deploy, "second")["place"], place(deploy, "third")["place"]) == (1, 2)
        stop(project)
        first.wait()
        assert deploy("run", "work", "--run-id", "fourth").status == 3, "it may not pass the others"
        assert place(deploy, "fourth")["place"] == 3
        assert due(project) == ["second"]
        for run_id in ("second", "third", "fourth"):
            assert deploy("resume", run_id).status == 0
        assert due(project) == []

    def test_a_resume_of_a_queued_run_stays_in_its_place(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        for run_id in ("second", "third"):
            deploy("run", "work", "--run-id", run_id)
        assert deploy("resume", "third").status == 3
        assert (place(deploy, "second")["place"], place(deploy, "third")["place"]) == (1, 2)
        stop(project)
        first.wait()

    def test_a_queued_run_can_be_cancelled_and_leaves_the_queue(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        for run_id in ("second", "third"):
            deploy("run", "work", "--run-id", run_id)
        deploy("cancel", "second")
        assert status(deploy, "second") == "cancelled"
        assert place(deploy, "third")["place"] == 1
        stop(project)
        first.wait()

    def test_one_that_is_detached_is_queued_too(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        assert deploy("run", "work", "--run-id", "second", "--detach").status == 0
        until(lambda: status(deploy, "second") == "queued")
        stop(project)
        first.wait()

    def test_other_workflows_are_not_in_the_group(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        project.write("other", "name: other\ndescription: Free.\nnodes: [{id: a, bash: echo free}]\n")
        assert deploy("run", "other").status == 0
        stop(project)
        first.wait()

    def test_never_more_at_once_than_the_limit(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "limit: 2")
        run_ids = [f"r{number}" for number in range(6)]
        processes = [project.start("run", "work", "--run-id", run_id) for run_id in run_ids]
        until(lambda: len(deploy("runs", "--json").json("runs")) == len(run_ids))
        until(lambda: [status(deploy, run_id) for run_id in run_ids].count("queued") == 4)
        stop(project)
        for process in processes:
            process.wait()
        while due(project):
            deploy("tick")
            until(lambda: "running" not in deploy("runs").out)
        assert [status(deploy, run_id) for run_id in run_ids] == ["completed"] * 6
        assert max(map(int, (project.folder / "counts").read_text().split())) == 2


class TestOnFull:
    def test_refuse_makes_no_run(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "on_full: refuse")
        first = started(project, "first")
        done = deploy("run", "work", "--run-id", "second", "--json")
        assert done.status == 5
        assert done.json("error")["error"]["code"] == "full"
        assert "the concurrency group 'deploy' is full: a run of it is under way" in done.json()["error"]["message"]
        assert deploy("show", "second").status == 2
        stop(project)
        first.wait()

    def test_cancel_oldest_ends_that_run_and_waits_for_its_place(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "on_full: cancel_oldest")
        first = started(project, "first")
        assert deploy("run", "work", "--run-id", "second").status == 3
        assert first.wait() == 4
        assert "the run second needs its place in 'deploy'" in deploy("events", "first").out
        stop(project)
        assert deploy("resume", "second").status == 0

    def test_cancel_oldest_ends_one_that_is_paused_by_the_next_tick(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "on_full: cancel_oldest")
        deploy("run", "asks", "--run-id", "first")
        assert deploy("run", "asks", "--run-id", "second").status == 3
        assert due(project) == ["first"]
        deploy("tick")
        until(lambda: status(deploy, "first") == "cancelled")
        assert due(project) == ["second"]


class TestHold:
    def test_a_paused_run_keeps_its_place(self, deploy: Ion, project: Project) -> None:
        assert deploy("run", "asks", "--run-id", "first").status == 3
        assert deploy("run", "asks", "--run-id", "second").status == 3
        assert status(deploy, "second") == "queued"
        assert deploy("approve", "first").status == 0
        assert due(project) == ["second"]

    def test_with_hold_process_it_has_none_while_it_is_paused(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "hold: process")
        deploy("run", "asks", "--run-id", "first")
        second = started(project, "second")
        done = deploy("approve", "first")
        assert (done.status, status(deploy, "first")) == (3, "queued")
        stop(project)
        second.wait()
        assert due(project) == ["first"]
        deploy("tick")
        until(lambda: status(deploy, "first") == "completed")

    def test_the_place_of_a_dead_owner_is_free(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        stop(project)
        assert deploy("run", "work", "--run-id", "second").status == 0

    def test_a_run_that_was_cut_off_takes_a_place_again_or_is_queued(self, deploy: Ion, project: Project) -> None:
        first = started(project, "first")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        (project.folder / "at-work" / "first").unlink()
        second = started(project, "second")
        assert deploy("resume", "first").status == 3
        assert status(deploy, "first") == "queued"
        stop(project)
        second.wait()
        assert deploy("resume", "first").status == 0

    def test_a_failed_run_that_is_resumed_is_queued_with_its_place(self, deploy: Ion, project: Project) -> None:
        assert deploy("run", "fails", "--run-id", "failed").status == 1
        first = started(project, "first")
        (project.folder / "good").touch()
        done = deploy("resume", "failed")
        assert done.status == 3
        assert "Queued: it waits for a place in the concurrency group 'deploy', as number 1." in done.err
        assert (status(deploy, "failed"), place(deploy, "failed")["place"]) == ("queued", 1)
        assert due(project) == []
        stop(project)
        first.wait()
        assert due(project) == ["failed"]
        deploy("tick")
        until(lambda: status(deploy, "failed") == "completed")
        assert ran(deploy, "failed") == ["always", "a", "always", "a"], "what a resume runs again, once"

    def test_a_rerun_with_another_agent_is_queued_and_keeps_the_agent(self, deploy: Ion, project: Project) -> None:
        assert deploy("run", "thinks", "--run-id", "old", "--agent", "false").status == 1
        first = started(project, "first")
        (project.folder / "good").touch()
        assert deploy("rerun", "old", "--run-id", "new", "--agent", "echo new").status == 3
        assert deploy("resume", "old", "--agent", "echo resumed").status == 3
        assert [place(deploy, run_id)["place"] for run_id in ("new", "old")] == [1, 2]
        stop(project)
        first.wait()
        assert deploy("resume", "new").status == 0
        assert deploy("output", "new").out.startswith("new")
        assert deploy("resume", "old").status == 0
        assert deploy("output", "old").out.startswith("resumed")

    def test_a_group_that_refuses_does_not_queue_a_resume(self, deploy: Ion, project: Project) -> None:
        accepted(deploy, project, "on_full: refuse")
        assert deploy("run", "fails", "--run-id", "failed").status == 1
        first = started(project, "first")
        assert deploy("resume", "failed").status == 5
        assert deploy("rerun", "failed", "--run-id", "again").status == 5
        assert (status(deploy, "failed"), deploy("show", "again").status) == ("failed", 2)
        stop(project)
        first.wait()


class TestTurns:
    """A queued run whose machine is off, or that its clock may not continue, holds up those behind it for a while."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        now = [clocks.now_ms()]
        monkeypatch.setattr(clocks, "now_ms", lambda: now[0])
        return now

    @pytest.fixture
    def free(self, deploy: Ion, project: Project, monkeypatch: pytest.MonkeyPatch, now: list[int]) -> None:
        """The place is free; `theirs` of another machine is before `mine` and `next` in the queue."""
        assert deploy("run", "asks", "--run-id", "first").status == 3
        here = os.uname()
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "another-host", *here[2:])))
        assert deploy("run", "asks", "--run-id", "theirs").status == 3
        monkeypatch.setattr(os, "uname", lambda: here)
        for run_id in ("mine", "next"):
            assert deploy("run", "asks", "--run-id", run_id).status == 3
        now[0] += 10 * TURN_MS
        assert due(project) == [], "nobody's turn begins while there is no place"
        assert deploy("approve", "first").status == 0

    @pytest.mark.usefixtures("free")
    def test_a_turn_that_nobody_takes_passes_to_the_next_one(self, project: Project, now: list[int]) -> None:
        assert due(project) == []
        now[0] += TURN_MS
        assert due(project) == [], "it has its time"
        now[0] += 1
        assert due(project) == ["mine"]

    @pytest.mark.usefixtures("free")
    def test_who_let_it_pass_keeps_its_place_and_holds_nobody_up(
        self, deploy: Ion, project: Project, now: list[int]
    ) -> None:
        assert due(project) == []
        now[0] += TURN_MS + 1
        assert deploy("resume", "mine").status == 3
        assert [status(deploy, run_id) for run_id in ("mine", "theirs", "next")] == ["paused", "queued", "queued"]
        assert [place(deploy, run_id)["place"] for run_id in ("theirs", "next")] == [1, 2]
        assert deploy("approve", "mine").status == 0
        assert due(project) == ["next"], "it does not wait for it once more"
        assert deploy("resume", "theirs").status == 3
        assert status(deploy, "theirs") == "paused", "its machine is on again"

    @pytest.mark.usefixtures("free")
    def test_a_clock_that_was_ahead_holds_nobody_up_for_longer(self, project: Project, now: list[int]) -> None:
        now[0] += 1000 * TURN_MS
        assert due(project) == []
        now[0] -= 1000 * TURN_MS
        assert due(project) == []
        now[0] += TURN_MS + 1
        assert due(project) == ["mine"]

    def test_the_record_of_a_group_does_not_grow(self, deploy: Ion, project: Project) -> None:
        deploy("run", "asks", "--run-id", "first")
        for number in range(3):
            deploy("run", "asks", "--run-id", f"q{number}")
            deploy("cancel", f"q{number}")
        deploy("run", "asks", "--run-id", "behind")
        with sqlite3.connect(project.folder / ".ion" / "ion.db") as database:
            (text,) = database.execute("SELECT text FROM records WHERE name LIKE '%deploy%'").fetchone()
        assert (json.loads(text)["holders"], json.loads(text)["queue"]) == (["first"], ["behind"])


class TestAcceptance:
    def test_a_group_that_is_not_accepted_does_not_hold_and_that_is_said(self, ion: Ion, project: Project) -> None:
        project.write("asks", ASKS)
        group(project)
        ion("run", "asks", "--run-id", "first")
        done = ion("run", "asks", "--run-id", "second")
        assert "the concurrency group 'deploy' is not accepted, and does not hold: ion schedules accept" in done.err
        assert status(ion, "second") == "paused"

    def test_a_group_that_changed_does_not_hold(self, deploy: Ion, project: Project) -> None:
        group(project, "limit: 1, on_full: cancel_oldest")
        deploy("run", "asks", "--run-id", "first")
        deploy("run", "asks", "--run-id", "second")
        assert status(deploy, "second") == "paused"

    def test_it_is_listed(self, deploy: Ion) -> None:
        assert deploy("schedules").out == "deploy  accepted  at most 1 of work, asks, fails, thinks, on_full queue\n"


@pytest.mark.parametrize("overlap", ["queue", "cancel"])
def test_slots_of_a_schedule_wait_for_each_other(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch, overlap: str
) -> None:
    now = [clocks.now_ms() // 3_600_000 * 3_600_000]
    monkeypatch.setattr(clocks, "now_ms", lambda: now[0])
    project.write("asks", ASKS)
    (project.folder / ".ion" / "config.yaml").write_text(
        f'schedules:\n  hourly: {{workflow: asks, cron: "0 * * * *", overlap: {overlap}}}\n'
    )
    ion("schedules", "accept", "--yes")
    runs = []
    for _ in range(2):
        now[0] += 3_600_000
        (one,) = ion("tick", "--json").json("tick")["started"]
        runs.append(one["run_id"])
        until(lambda: status(ion, runs[-1]) in ("paused", "queued"))
    first, second = runs
    if overlap == "queue":
        until(lambda: status(ion, second) == "queued")
        assert ion("approve", first).status == 0
    else:
        until(lambda: status(ion, first) == "cancelled")
    until(lambda: ion("tick").status == 0 and status(ion, second) == "paused")


def test_a_store_that_is_shared_counts_the_runs_of_every_folder(
    ion: Ion, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's name says what belongs together."""
    store = f"sqlite:{tmp_path / 'shared.db'}"
    folders = [project.folder, tmp_path / "clone"]
    for folder in folders:
        there = Project(folder)
        there.write("asks", ASKS)
        group(there, more="project: shop\n")
        ion("schedules", "accept", "--yes", "--project", str(folder))
    states = []
    for number, folder in enumerate(folders):
        done = ion("run", "asks", "--run-id", f"r{number}", "--project", str(folder), "--store", store, "--json")
        states.append(done.json("run")["status"])
    assert states == ["paused", "queued"]
