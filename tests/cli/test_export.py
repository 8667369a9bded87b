"""`ion export`: a run as one file, for another store."""

from __future__ import annotations

import subprocess
from pathlib import Path

from processes import PATIENCE_S

from .kit import COMMAND, Ion, Project
from .workflows import STORES, blobs

HELLO = "name: hello\ndescription: d\nnodes:\n  - id: hello\n    bash: echo hello\n"


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


def test_a_run_with_a_lost_output_is_not_exported(kept: str, ion: Ion, project: Project) -> None:
    (project.folder / "run.jsonl").write_text("an older export")
    (blob,) = blobs(project)
    blob.unlink()
    result = ion("export", "mine", "--output", "run.jsonl")
    assert result.status == 1
    assert "is gone from the store" in result.err
    assert (project.folder / "run.jsonl").read_text() == "an older export"
