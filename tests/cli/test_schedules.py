"""`ion schedules`, and what `ion tick` starts by them: one run for each slot, and only what was accepted."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from postgres_server import emptied_database

from ion import clocks
from ion.api.acceptance import accept, judge_schedule, read_acceptance
from ion.api.schedules import start_due
from ion.api.slots import slots_between
from ion.api.workspace import Workspace, open_workspace
from ion.stores.sqlite import SqliteStore
from processes import until

from .kit import Ion, Project

HOUR = 3_600_000
MINUTE = 60_000
TRIAGE = """
name: triage
description: Sorts what came in.
inputs: {since: {default: 1d}}
nodes:
  - {id: sort, bash: echo sorted $INPUTS.since}
"""
WAITS = """
name: triage
description: Asks first.
nodes:
  - {id: ask, approval: {message: Really?}}
"""
NIGHTLY = (
    'schedules:\n  nightly: {workflow: triage, cron: "30 2 * * *", timezone: Europe/Berlin, inputs: {since: 2d}}\n'
)


def settings(project: Project, text: str) -> None:
    (project.folder / ".ion" / "config.yaml").write_text(text)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = at("2026-11-02T12:00")

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clocks, "now_ms", hand)
    return hand


@pytest.fixture
def nightly(ion: Ion, project: Project, clock: Hand) -> Ion:
    """A project with an accepted schedule."""
    project.write("triage", TRIAGE)
    settings(project, NIGHTLY)
    assert ion("schedules", "accept", "--yes").status == 0
    return ion


def passed(project: Project) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """One pass, without driving anything: the ids of the runs that it created, the slots that it skipped, and why it
    left a schedule alone."""
    workspace = open_workspace(project.folder)
    try:
        done = start_due(workspace)
    finally:
        workspace.close()
    skipped = [(hour(one.slot), one.reason) for some in done.skipped.values() for one in some]
    return [one.run_id for one in done.started], skipped, [one.reason for one in done.left]


def hour(slot: int) -> str:
    return datetime.fromtimestamp(slot / 1000, UTC).strftime("%m-%d %H:%M")


class TestListing:
    def test_a_project_without_schedules(self, ion: Ion) -> None:
        assert ion("schedules").err == "This project has no schedules; .ion/config.yaml would name them.\n"
        assert ion("schedules", "--json").json("schedules") == {"schedules": [], "hooks": [], "concurrency": []}

    def test_the_next_times_and_the_last_runs(self, nightly: Ion, clock: Hand) -> None:
        (one,) = nightly("schedules", "--json").json("schedules")["schedules"]
        assert (one["state"], one["problem"], one["last"]) == ("active", "", [])
        assert one["next"] == [f"2026-11-0{day}T01:30:00.000Z" for day in (3, 4, 5)]
        clock.now = at("2026-11-03T01:31")
        nightly("tick")
        until(lambda: "completed" in nightly("schedules").out)
        (one,) = nightly("schedules", "--json").json("schedules")["schedules"]
        assert [run["run_id"][:22] for run in one["last"]] == ["nightly-20261103t0130z"]

    def test_text(self, nightly: Ion) -> None:
        first, *others = nightly("schedules").out.splitlines()
        assert first == "nightly  active  triage  30 2 * * * Europe/Berlin"
        assert [line.split()[0] for line in others] == ["next"] * 3

    def test_listing_makes_no_store(self, nightly: Ion, project: Project) -> None:
        assert nightly("schedules").status == 0
        assert not (project.folder / ".ion" / "ion.db").exists()


class TestStarting:
    def test_a_slot_starts_one_run_with_its_inputs(self, nightly: Ion, clock: Hand) -> None:
        clock.now = at("2026-11-03T01:29")
        assert nightly("tick").err == "Nothing is due.\n"
        clock.now = at("2026-11-03T01:30")
        (started,) = nightly("tick", "--json").json("tick")["started"]
        assert (started["schedule"], started["workflow"]) == ("nightly", "triage")
        assert started["slot"] == "2026-11-03T01:30:00.000Z"
        until(lambda: nightly("show", started["run_id"], "--json").json()["status"] == "completed")
        assert nightly("output", started["run_id"]).out == "sorted 2d\n"
        assert nightly("tick").err == "Nothing is due.\n"

    def test_text(self, nightly: Ion, clock: Hand) -> None:
        clock.now = at("2026-11-03T01:30")
        said = nightly("tick").err
        assert said.startswith("started    nightly-20261103t0130z-")
        assert said.endswith("1 run continues in the background.\n")

    def test_a_new_schedule_catches_up_nothing_older_than_its_acceptance(
        self, ion: Ion, project: Project, clock: Hand
    ) -> None:
        project.write("triage", TRIAGE)
        settings(project, NIGHTLY.replace("30 2", "0 *").replace("}}", "}, catch_up: all, overlap: allow}"))
        clock.now = at("2026-11-03T10:30")
        ion("schedules", "accept", "--yes")
        clock.now = at("2026-11-03T12:30")
        started, _, _ = passed(project)
        assert [run_id[8:22] for run_id in started] == ["20261103t1100z", "20261103t1200z"]

    @pytest.mark.parametrize(
        ("catch_up", "started", "skipped"),
        [
            ("none", [], ["11", "12", "13"]),
            ("last", ["13"], ["11", "12"]),
            ("all", ["11", "12", "13"], []),
        ],
    )
    def test_slots_that_were_missed(
        self, ion: Ion, project: Project, clock: Hand, catch_up: str, started: list[str], skipped: list[str]
    ) -> None:
        project.write("triage", TRIAGE)
        rules = f"overlap: allow, catch_up: {catch_up}"
        settings(project, f'schedules:\n  hourly: {{workflow: triage, cron: "0 * * * *", {rules}}}\n')
        clock.now = at("2026-11-03T10:30")
        ion("schedules", "accept", "--yes")
        clock.now = at("2026-11-03T13:30")
        new, missed, _ = passed(project)
        assert [run_id[16:18] for run_id in new] == started
        assert missed == [(f"11-03 {one}:00", "missed") for one in skipped]

    def test_without_catch_up_a_slot_that_is_on_time_is_started(self, ion: Ion, project: Project, clock: Hand) -> None:
        project.write("triage", TRIAGE)
        settings(project, 'schedules:\n  hourly: {workflow: triage, cron: "0 * * * *", catch_up: none}\n')
        ion("schedules", "accept", "--yes")
        clock.now += HOUR + 2 * MINUTE
        assert len(passed(project)[0]) == 1

    def test_nothing_is_caught_up_that_is_older_than_a_day(self, nightly: Ion, project: Project, clock: Hand) -> None:
        settings(project, NIGHTLY.replace("}}", "}, catch_up: all, overlap: allow}"))
        nightly("schedules", "accept", "--yes")
        clock.now += 10 * 24 * HOUR
        assert [run_id[8:16] for run_id in passed(project)[0]] == ["20261112"]

    def test_a_clock_that_died_after_its_decision_is_completed_by_the_next(
        self, nightly: Ion, project: Project, clock: Hand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock.now = at("2026-11-03T01:30")

        def dies(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as changed:
            changed.setattr("ion.api.schedules._start", dies)
            with pytest.raises(KeyboardInterrupt):
                passed(project)
        clock.now += HOUR
        assert [run_id[8:22] for run_id in passed(project)[0]] == ["20261103t0130z"]
        assert passed(project) == ([], [], [])

    def test_a_schedule_whose_run_cannot_start_is_named_and_tried_again(
        self, nightly: Ion, project: Project, clock: Hand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.write("triage", TRIAGE + "secrets: [TOKEN]\n")
        nightly("schedules", "accept", "--yes")
        clock.now = at("2026-11-03T01:30")
        assert passed(project) == ([], [], ["the secret TOKEN of the workflow 'triage' is not set"])
        monkeypatch.setenv("TOKEN", "s3cret")
        assert len(passed(project)[0]) == 1


class TestOverlap:
    def every_hour(self, ion: Ion, project: Project, overlap: str) -> None:
        project.write("triage", WAITS)
        settings(project, f'schedules:\n  hourly: {{workflow: triage, cron: "0 * * * *", overlap: {overlap}}}\n')
        ion("schedules", "accept", "--yes")

    def test_skip_records_the_slot(self, ion: Ion, project: Project, clock: Hand) -> None:
        self.every_hour(ion, project, "skip")
        clock.now += HOUR
        (first,) = passed(project)[0]
        clock.now += HOUR
        assert passed(project) == ([], [("11-02 14:00", "overlap")], [])
        (one,) = ion("schedules", "--json").json("schedules")["schedules"]
        assert one["skipped"] == [{"slot": "2026-11-02T14:00:00.000Z", "reason": "overlap"}]
        ion("cancel", first)
        clock.now += HOUR
        assert len(passed(project)[0]) == 1

    def test_skip_holds_for_slots_that_are_caught_up_together(self, ion: Ion, project: Project, clock: Hand) -> None:
        self.every_hour(ion, project, "skip, catch_up: all")
        clock.now += 2 * HOUR
        started, skipped, _ = passed(project)
        assert (len(started), skipped) == (1, [("11-02 14:00", "overlap")])

    def test_allow_starts_it_all_the_same(self, ion: Ion, project: Project, clock: Hand) -> None:
        self.every_hour(ion, project, "allow")
        for _ in range(2):
            clock.now += HOUR
            assert len(passed(project)[0]) == 1

    def test_cancel_asks_for_the_end_of_the_earlier_one(self, ion: Ion, project: Project, clock: Hand) -> None:
        self.every_hour(ion, project, "cancel")
        clock.now += HOUR
        (first,) = passed(project)[0]
        ion("resume", first)
        clock.now += HOUR
        (second,) = passed(project)[0]
        assert "the schedule 'hourly' starts its next run" in ion("events", first).out
        assert "cancel_requested" not in ion("events", second).out


class TestAcceptance:
    def test_nothing_starts_that_was_not_accepted(self, ion: Ion, project: Project, clock: Hand) -> None:
        project.write("triage", TRIAGE)
        settings(project, NIGHTLY)
        clock.now = at("2026-11-03T01:30")
        assert passed(project) == ([], [], ["it is not accepted: ion schedules accept"])
        assert ion("tick").err == "left alone  nightly  it is not accepted: ion schedules accept\n"
        assert ion("schedules").err == "To let them take effect: ion schedules accept\n"

    @pytest.mark.parametrize(
        "change",
        [
            lambda project: settings(project, NIGHTLY.replace("30 2", "* *")),
            lambda project: settings(project, NIGHTLY.replace("2d", "$(rm -rf ~)")),
            lambda project: settings(project, NIGHTLY + "agents: {claude: {command: evil}}\n"),
            lambda project: settings(project, NIGHTLY + "env: {BASH_ENV: evil.sh}\n"),
            lambda project: settings(project, NIGHTLY + "log: /tmp/elsewhere\n"),
            lambda project: project.write("triage", TRIAGE.replace("sorted", "evil")),
        ],
        ids=["cron", "inputs", "agents", "env", "log", "workflow"],
    )
    def test_what_changed_since_starts_nothing(
        self, nightly: Ion, project: Project, clock: Hand, change: Callable[[Project], object]
    ) -> None:
        change(project)
        clock.now = at("2026-11-03T01:30")
        assert passed(project) == (
            [], [], ["it, or what it runs, has changed since it was accepted: ion schedules accept"]
        )  # fmt: skip
        said = nightly("schedules", "accept", "--yes")
        assert "nightly has changed since it was accepted, or what it runs has, and starts nothing:" in said.err
        clock.now += 24 * HOUR
        assert len(passed(project)[0]) == 1

    def test_a_script_or_command_that_changed_starts_nothing(self, ion: Ion, project: Project, clock: Hand) -> None:
        scripts = project.folder / ".ion" / "scripts"
        scripts.mkdir()
        (scripts / "sort.py").write_text("print(1)\n")
        script = "name: triage\ndescription: A script.\nnodes: [{id: s, script: sort, runtime: uv}]\n"
        project.write("triage", script)
        settings(project, NIGHTLY.replace(", inputs: {since: 2d}", ""))
        ion("schedules", "accept", "--yes")
        (scripts / "sort.py").write_text("print(2)\n")
        clock.now = at("2026-11-03T01:30")
        assert "has changed" in passed(project)[2][0]

    def test_it_shows_what_it_accepts_and_asks(self, ion: Ion, project: Project) -> None:
        project.write("triage", TRIAGE)
        settings(project, NIGHTLY)
        done = ion("schedules", "accept")
        assert done.status == 2
        assert "stdin is not a terminal" in done.err
        assert "nightly is not accepted yet, and starts nothing:" in done.err
        for shown in ("30 2 * * * Europe/Berlin", "since = 2d", "triage.yaml"):
            assert shown in done.err
        assert ion("schedules", "--json").json()["schedules"][0]["state"] == "new"

    def test_it_is_recorded_outside_of_the_project(self, nightly: Ion, project: Project, tmp_path: Path) -> None:
        """So that a repository cannot bring its own acceptance along, and another user has none."""
        other = nightly("schedules", "--json", XDG_STATE_HOME=str(tmp_path / "other")).json("schedules")
        assert other["schedules"][0]["state"] == "new"
        assert not [path for path in (project.folder / ".ion").rglob("*") if "accept" in path.name]

    def test_a_schedule_that_is_broken_is_named(self, ion: Ion, project: Project) -> None:
        settings(project, NIGHTLY)
        done = ion("schedules", "accept", "--yes")
        assert done.status == 1
        assert "nightly cannot be accepted: " in done.err
        settings(project, NIGHTLY.replace("30 2 * * *", "30 2 * *"))
        project.write("triage", TRIAGE)
        assert "it does not have five fields" in ion("schedules").out

    def test_inputs_that_do_not_fit_are_said_before_it_is_accepted(self, ion: Ion, project: Project) -> None:
        project.write("triage", TRIAGE)
        settings(project, NIGHTLY.replace("since", "sinse"))
        done = ion("schedules", "accept", "--yes")
        assert done.status == 1
        assert "nightly cannot be accepted: unknown input 'sinse'" in done.err

    def test_accepting_again_says_that_nothing_is_new(self, nightly: Ion) -> None:
        assert nightly("schedules", "accept").err == "Nothing is new; all that is there is accepted.\n"
        assert nightly("schedules", "accept", "--json").json("schedules") == {"accepted": [], "broken": []}

    def test_a_schedule_that_is_gone_is_forgotten_and_new_when_it_comes_back(
        self, nightly: Ion, project: Project, clock: Hand
    ) -> None:
        settings(project, NIGHTLY.replace("nightly", "daily"))
        nightly("schedules", "accept", "--yes")
        settings(project, NIGHTLY)
        assert nightly("schedules", "--json").json()["schedules"][0]["state"] == "new"


class TestPausing:
    def test_slots_of_a_paused_schedule_are_recorded_and_not_caught_up(
        self, nightly: Ion, project: Project, clock: Hand
    ) -> None:
        assert nightly("schedules", "pause", "nightly").err == "The schedule nightly is paused.\n"
        clock.now = at("2026-11-03T01:30")
        assert passed(project) == ([], [("11-03 01:30", "paused")], [])
        clock.now = at("2026-11-04T01:30")  # no clock runs
        assert nightly("schedules", "--json").json("schedules")["schedules"][0]["state"] == "paused"
        assert nightly("schedules", "resume", "nightly", "--json").json("schedules") == {
            "name": "nightly",
            "paused": False,
        }
        assert passed(project) == ([], [], [])
        (one,) = nightly("schedules", "--json").json("schedules")["schedules"]
        assert [skipped["reason"] for skipped in one["skipped"]] == ["paused", "paused"]
        clock.now = at("2026-11-05T01:30")
        assert len(passed(project)[0]) == 1

    def test_an_unknown_one(self, nightly: Ion) -> None:
        done = nightly("schedules", "pause", "hourly")
        assert done.status == 2
        assert "unknown schedule 'hourly'" in done.err


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("schedules: []", "'schedules' must be a mapping from a name to a schedule"),
            ("schedules: {a: x}", "the schedule 'a' must be a mapping"),
            ("schedules: {A b: {workflow: w, cron: x}}", "'A b' is not a valid name for a schedule"),
            ("schedules: {a: {workflow: w}}", "the schedule 'a' has no 'cron'"),
            ("schedules: {a: {workflow: w, cron: x, timezone: Mars/Base}}", "unknown time zone 'Mars/Base'"),
            ("schedules: {a: {workflow: w, cron: x, timezone: ../../etc/passwd}}", "unknown time zone"),
            ("schedules: {a: {workflow: w, cron: x, overlap: maybe}}", "'overlap' must be one of: skip, queue"),
            ("schedules: {a: {workflow: w, cron: x, catchup: all}}", "unknown schedule setting 'catchup'"),
            ("concurrency: {a: {limit: 1}}", "the concurrency group 'a' has no 'workflows'"),
            ("concurrency: {a: {workflows: [w], limit: 0}}", "'limit' must be a number above 0"),
        ],
    )
    def test_what_is_wrong_is_said(self, ion: Ion, project: Project, text: str, message: str) -> None:
        settings(project, text + "\n")
        done = ion("schedules")
        assert done.status == 2
        assert message in done.err

    def test_they_are_not_the_user_s_settings(self, ion: Ion, project: Project) -> None:
        user = project.folder / "user-config" / "ion"
        user.mkdir(parents=True)
        (user / "config.yaml").write_text(NIGHTLY)
        assert "'schedules' is a setting of a project, not of a user" in ion("schedules").err


# ---------------------------------------------------------------------- several machines, and clocks that are wrong


class Machine:
    """A machine with a clock of its own and a user's folder of its own, on a store that is shared."""

    def __init__(self, name: str, project: Path, store: str, state: Path) -> None:
        self.name, self.project, self.store, self.state = name, project, store, state
        self.jump = 0

    def act(self, now: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[Workspace], Any]) -> Any:
        with monkeypatch.context() as here:
            uname = os.uname_result(("Linux", self.name, *os.uname()[2:]))
            here.setattr(os, "uname", lambda: uname)
            here.setenv("XDG_STATE_HOME", str(self.state))
            here.setattr(clocks, "now_ms", lambda: now + self.jump)
            workspace = open_workspace(self.project, self.store)
            try:
                return act(workspace)
            finally:
                workspace.close()


def accept_all(workspace: Workspace) -> None:
    judged = [judge_schedule(workspace, name, read_acceptance(workspace)) for name in workspace.settings.schedules]
    accept(workspace, schedules=judged, groups=[])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_month_on_two_machines_with_missed_hours_and_jumping_clocks(
    kind: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run for each slot, whoever looks, and whatever the clocks say meanwhile."""
    project.write("triage", TRIAGE)
    settings(
        project,
        "project: shop\nschedules:\n  often: {workflow: triage, cron: '15 */6 * * *', timezone: Europe/Berlin,"
        " overlap: allow, catch_up: all}\n",
    )
    store = emptied_database(tmp_path) if kind == "postgres" else f"sqlite:{tmp_path / 'shared.db'}"
    machines = [Machine(name, project.folder, store, tmp_path / name) for name in ("one", "two")]
    begin, chance = at("2026-10-10T00:00"), random.Random(7)
    for machine in machines:
        machine.act(begin, monkeypatch, accept_all)
    started: list[str] = []
    missed = 0
    for now in range(begin, begin + 30 * 24 * HOUR, HOUR):
        if missed < 15 and chance.random() < 0.6:
            missed += 1
            continue
        missed = 0
        for machine in chance.sample(machines, chance.choice([1, 2, 2])):
            if chance.random() < 0.05:
                machine.jump = chance.choice([0, -9, -2, 3, 7]) * HOUR
            done = machine.act(now, monkeypatch, start_due)
            assert not done.left
            started += [one.run_id for one in done.started]
    for machine in machines:
        machine.jump = 0
        done = machine.act(begin + 30 * 24 * HOUR, monkeypatch, start_due)
        started += [one.run_id for one in done.started]

    def expected(workspace: Workspace) -> list[str]:
        from ion.api.schedules import slot_run_id

        schedule = workspace.settings.schedules["often"]
        slots = slots_between(schedule, begin, begin + 30 * 24 * HOUR)
        return [slot_run_id(workspace, "often", slot) for slot in slots]

    slots = machines[0].act(begin, monkeypatch, expected)
    assert len(slots) == 120
    assert sorted(started)[: len(slots)] == sorted(slots)
    assert len(started) == len(set(started)), "none is started twice"
    kept = machines[0].act(begin, monkeypatch, lambda workspace: workspace.store.list_workflow_runs())
    assert sorted(run.run_id for run in kept) == sorted(started)


def test_ticks_at_the_same_moment_start_a_slot_once(nightly: Ion, project: Project, clock: Hand) -> None:
    clock.now = at("2026-11-03T01:30")
    found: list[str] = []

    def tick() -> None:
        found.extend(passed(project)[0])

    SqliteStore(project.folder / ".ion" / "ion.db").close()
    threads = [threading.Thread(target=tick) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run_id[:22] for run_id in found] == ["nightly-20261103t0130z"]


def test_a_clock_that_was_a_year_ahead_once_does_not_stop_the_schedule(
    nightly: Ion, project: Project, clock: Hand
) -> None:
    settings(project, NIGHTLY.replace("}}", "}, overlap: allow}"))
    nightly("schedules", "accept", "--yes")
    clock.now = at("2027-11-03T01:30")
    assert len(passed(project)[0]) == 1
    clock.now = at("2026-11-03T01:31")
    assert [run_id[8:16] for run_id in passed(project)[0]] == ["20261103"]
    assert passed(project) == ([], [], [])
