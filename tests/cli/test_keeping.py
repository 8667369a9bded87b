"""Runs taken from store to store, and damage found and named: `export`, `import`, `doctor`, a damaged run in `runs`."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from processes import PATIENCE_S

from .conftest import COMMAND, Ion, Project

BIG = """
name: big
description: An output that lives beside the log, and a gate.
nodes:
  - id: make
    bash: head -c 300000 /dev/zero | tr '\\0' x
  - id: ask
    depends_on: [make]
    approval: {message: Go on?}
  - id: use
    depends_on: [ask]
    bash: printf '%s' "$make.output" | wc -c
"""
HELLO = "name: hello\ndescription: d\nnodes:\n  - id: hello\n    bash: echo hello\n"
STORES = ["sqlite:.ion/ion.db", "file:.ion/store"]


def blobs(project: Project) -> list[Path]:
    return [path for path in (project.folder / ".ion").rglob("*") if len(path.name) == 64]


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store, which is the project's from here on, with the run `mine` that waits at its gate."""
    monkeypatch.setenv("ION_STORE", request.param)
    project.write("big", BIG)
    assert ion("run", "big", "--run-id", "mine").status == 3
    return str(request.param)


def test_a_waiting_run_moves_to_another_store_and_goes_on_there(kept: str, ion: Ion, project: Project) -> None:
    exported = ion("export", "mine", "--output", "run.jsonl", "--json")
    (other,) = set(STORES) - {kept}
    assert exported.json() == {
        "run_id": "mine",
        "file": str(project.folder / "run.jsonl"),
        "bytes": (project.folder / "run.jsonl").stat().st_size,
    }
    assert (project.folder / "run.jsonl").stat().st_mode & 0o777 == 0o600
    assert ion("import", "run.jsonl", "--store", other, "--json").json() == {"run_id": "mine"}
    assert ion("show", "mine", "--json").json("run") == ion("show", "mine", "--store", other, "--json").json("run")
    approved = ion("approve", "mine", "--store", other)
    assert (approved.status, approved.out) == (0, "300000\n")
    assert ion("show", "mine", "--json").json("run")["status"] == "paused", "the exported run stays as it was"


def test_through_pipes(project: Project, tmp_path: Path) -> None:
    project.write("hello", HELLO)
    project.run("run", "hello", "--run-id", "mine")
    exported = project.run("export")
    assert exported.status == 0
    assert len(exported.out.splitlines()) == 6
    taken = project.run("import", "-", "--store", "file:.ion/other", stdin=exported.out)
    assert (taken.status, taken.out) == (0, "")
    assert "ion show mine --store file:.ion/other" in taken.err
    again = project.run("import", "-", "--store", "file:.ion/other", stdin=exported.out)
    assert again.status == 5
    assert "exists already" in again.err
    cut = project.run("import", "-", "--store", "file:.ion/third", stdin=exported.out[:-30])
    assert cut.status == 1
    assert "damaged at line 6" in cut.err
    assert "No runs" in project.run("runs", "--store", "file:.ion/third").err


def test_a_reader_that_goes_away_is_no_error(kept: str, project: Project) -> None:
    export = subprocess.Popen(
        [*COMMAND, "export", "mine"],
        cwd=project.folder,
        env=project.environment(ION_STORE=kept),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert export.stdout is not None
    export.stdout.read(10)
    export.stdout.close()
    assert (export.wait(timeout=PATIENCE_S), export.stderr.read() if export.stderr else b"") == (0, b"")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["export", "none"], 2, "no run has the id 'none'"),
        (["export", "mine", "--json"], 2, "--json needs --output FILE"),
        (["export", "mine", "--output", "no/such/folder/x"], 1, "cannot write"),
        (["import", "missing"], 2, "the file missing cannot be read"),
        (["import", "."], 2, "cannot be read: Is a directory"),
        (["import", ".ion/workflows/hello.yaml"], 2, "hello.yaml is not an export of Ion"),
        (["import"], 2, "Missing argument 'FILE'"),
    ],
)
def test_what_cannot_be_done_is_said(command: list[str], status: int, said: str, ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    ion("run", "hello", "--run-id", "mine")
    result = ion(*command)
    assert result.status == status
    assert said in result.err + result.out
    assert not [path for path in project.folder.iterdir() if path.name.endswith(".tmp")]


def test_a_run_with_a_lost_output_is_not_exported(kept: str, ion: Ion, project: Project) -> None:
    (project.folder / "run.jsonl").write_text("an older export")
    (blob,) = blobs(project)
    blob.unlink()
    result = ion("export", "mine", "--output", "run.jsonl")
    assert result.status == 1
    assert "is gone from the store" in result.err
    assert (project.folder / "run.jsonl").read_text() == "an older export"


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
