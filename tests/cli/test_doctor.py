"""`ion doctor`: what is installed, configured, damaged and left over; a damaged run in `ion runs`."""

from __future__ import annotations

import os
import sqlite3
import time

import pytest

from ion import clocks

from .kit import Ion, Project
from .workflows import blobs

HELLO = "name: hello\ndescription: d\nnodes:\n  - id: hello\n    bash: echo hello\n"


def test_doctor_on_a_whole_store(kept: str, ion: Ion) -> None:
    result = ion("doctor")
    assert result.status == 0
    assert f"{kept}  (1 run)" in result.out
    assert result.out.endswith("No damage found.\n")
    found = ion("doctor", "--json").json("doctor")
    assert (found["runs"], found["damage"], found["stale_files"]) == (1, [], [])
    assert found["installed"]["bash"]


def test_doctor_makes_no_store(ion: Ion, project: Project) -> None:
    result = ion("doctor")
    assert (result.status, "none there yet" in result.out) == (0, True)
    assert [path.name for path in (project.folder / ".ion").iterdir()] == ["workflows"]


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_doctor_names_the_file_of_a_damaged_output(kept: str, harm: str, ion: Ion, project: Project) -> None:
    (blob,) = blobs(project)
    if harm == "gone":
        blob.unlink()
    else:
        blob.write_bytes(b"y" + blob.read_bytes()[1:])
    result = ion("doctor", "--json")
    assert result.status == 1
    (damage,) = result.json("doctor")["damage"]
    assert (damage["run_id"], damage["file"]) == ("mine", str(blob))
    assert str(blob) in ion("doctor").out


def test_a_damaged_log_is_named_with_its_place_and_hides_no_other_run(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    for run in ("bad", "good", "worse"):
        assert ion("run", "hello", "--run-id", run, "--store", "file:.ion/store").status == 0
    runs = project.folder / ".ion" / "store" / "runs"
    lines = (runs / "bad" / "log").read_bytes().splitlines(keepends=True)
    offset = sum(map(len, lines[:2])) if len(lines) > 2 else len(lines[0])
    for run, place in (("bad", offset), ("worse", 0)):
        data = bytearray((runs / run / "log").read_bytes())
        data[place + 20] ^= 1
        (runs / run / "log").write_bytes(data)
        (runs / run / "row").unlink(missing_ok=True)
    result = ion("doctor", "--json", "--store", "file:.ion/store")
    assert result.status == 1
    found = {one["run_id"]: (one["file"], one["offset"]) for one in result.json("doctor")["damage"]}
    assert found["bad"] == (str(runs / "bad" / "log"), offset)
    assert found["worse"] == (str(runs / "worse" / "log"), 0)
    said = ion("doctor", "--store", "file:.ion/store").out
    assert f"at byte {offset}" in said
    assert "Nothing was changed" in said

    listed = ion("runs", "--json", "--store", "file:.ion/store")
    assert {run["run_id"]: run["status"] for run in listed.json("runs")} == {
        "bad": "damaged",
        "good": "completed",
        "worse": "damaged",
    }
    assert "damaged" in ion("runs", "--store", "file:.ion/store").out
    only = ion("runs", "--status", "damaged", "--json", "--store", "file:.ion/store").json("runs")
    assert {run["run_id"] for run in only} == {"bad", "worse"}
    shown = ion("show", "bad", "--store", "file:.ion/store")
    assert shown.status == 1
    assert f"is damaged at byte {offset}" in shown.err


def test_a_damaged_database_is_named(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    ion("run", "hello", "--run-id", "mine")
    file = project.folder / ".ion" / "ion.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE events SET event = replace(event, 'hello', 'jello') WHERE seq = 2")
    connection.close()
    (damage,) = ion("doctor", "--json").json("doctor")["damage"]
    assert damage["run_id"] == "mine"
    assert "event 2 of run mine is damaged" in damage["message"]
    file.write_bytes(b"no database" * 1000)
    for rest in file.parent.glob("ion.db-*"):
        rest.unlink()
    result = ion("doctor", "--json")
    assert result.status == 1
    assert any("is not an SQLite database" in one["message"] for one in result.json("doctor")["damage"])


def test_doctor_names_what_dead_processes_left_and_only_that(kept: str, ion: Ion, project: Project) -> None:
    data = project.folder / ".ion"
    (data / "runs" / "mine" / "artifacts").mkdir(parents=True, exist_ok=True)
    (data / "runs" / "mine" / "artifacts" / "mine.tmp").touch()
    folder = blobs(project)[0].parents[1]
    old, new = folder / ".0123.tmp", folder / ".4567.tmp"
    for path in (old, new, *data.rglob("artifacts/*")):
        path.touch()
        if path != new:
            os.utime(path, (time.time() - 7200,) * 2)
    result = ion("doctor", "--json")
    assert (result.status, result.json("doctor")["stale_files"]) == (0, [str(old)])
    assert f"left over  {old}" in ion("doctor").out
    assert old.exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@localhost:1/ion", "postgresql://me@localhost:1/ion"),
        ("postgresql://me@localhost:1/ion?connect_timeout=1&password=secret", "postgresql://me@localhost:1/ion?"),
    ],
)
def test_a_store_that_is_away_is_said_without_its_password(url: str, shown: str, ion: Ion) -> None:
    result = ion("doctor", "--store", url)
    assert result.status == 1
    assert shown in result.out
    assert "secret" not in result.out + result.err


def test_a_run_whose_log_was_damaged_since_hides_no_other_run(ion: Ion, project: Project) -> None:
    """Its row says that it completed; how cleanly, nobody can say."""
    project.write("hello", HELLO)
    for run in ("worn", "good"):
        assert ion("run", "hello", "--run-id", run, "--store", "file:.ion/store").status == 0
    log = project.folder / ".ion" / "store" / "runs" / "worn" / "log"
    data = bytearray(log.read_bytes())
    data[-20] ^= 1
    log.write_bytes(data)
    listed = ion("runs", "--json", "--store", "file:.ion/store")
    assert listed.status == 0, listed.err
    assert {run["run_id"]: run["clean"] for run in listed.json("runs")} == {"worn": None, "good": True}
    assert ion("runs", "--unclean", "--json", "--store", "file:.ion/store").json("runs") == []


GATE = "name: gate\ndescription: Asks.\nnodes: [{id: ask, approval: {message: Go?}}]\n"
HOURLY = 'schedules:\n  hourly: {workflow: gate, cron: "0 * * * *"}\n'


class TestClocks:
    """What is overdue, what no clock continues, and that no clock runs."""

    def notes(self, ion: Ion) -> list[str]:
        found: list[str] = ion("doctor", "--json").json("doctor")["notes"]
        return found

    def test_a_run_that_is_overdue_while_no_clock_looks(
        self, ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.write("gate", GATE)
        ion("run", "gate", "--run-id", "mine")
        assert self.notes(ion) == []
        ion("approve", "mine", "--no-resume")
        assert self.notes(ion) == [], "it is due, but not overdue"
        now = clocks.now_ms()
        monkeypatch.setattr(clocks, "now_ms", lambda: now + 400_000)
        hint = "ion tick is one, ion schedule install has this machine call it"
        assert self.notes(ion) == [f"mine could continue, and no clock has ever looked here: {hint}"]

    def test_a_clock_that_looks_is_known(self, ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.write("gate", GATE)
        (project.folder / ".ion" / "config.yaml").write_text(HOURLY)
        ion("schedules", "accept", "--yes")
        assert "no clock has ever looked here" in self.notes(ion)[0]
        ion("tick")
        assert self.notes(ion) == []
        now = clocks.now_ms()
        monkeypatch.setattr(clocks, "now_ms", lambda: now + 400_000)
        assert self.notes(ion)[0].startswith("schedules are accepted, and no clock has looked here since ")

    def test_what_is_not_accepted_is_named(self, ion: Ion, project: Project) -> None:
        project.write("gate", GATE)
        (project.folder / ".ion" / "config.yaml").write_text(HOURLY + "concurrency: {one: {workflows: [gate]}}\n")
        assert self.notes(ion) == [
            "the schedule 'hourly' starts nothing: it is not accepted: ion schedules accept",
            "the concurrency group 'one' does not hold: it is not accepted: ion schedules accept",
        ]
        ion("schedules", "accept", "--yes")
        project.write("gate", GATE.replace("Asks", "Evil"))
        assert "has changed since it was accepted" in self.notes(ion)[0]

    def test_a_run_that_lacks_a_secret_is_named(self, ion: Ion, project: Project) -> None:
        project.write("gate", GATE + "secrets: [TOKEN]\n")
        ion("run", "gate", "--run-id", "mine", TOKEN="s3cret")
        ion("approve", "mine", "--no-resume")
        assert self.notes(ion) == [
            "no clock continues the run mine: the secret TOKEN of the workflow 'gate' is not set"
        ]
