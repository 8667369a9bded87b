"""`ion prune`: old runs are forgotten, and nothing that anybody needs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_kit import SHARED_BETWEEN_PROCESSES

from processes import PATIENCE_S, until

from .kit import COMMAND, Ion, Project

BIG = """
name: big
description: An output beside the log
nodes: [{id: a, bash: "head -c 300000 /dev/zero | tr '\\\\0' x; echo $INPUTS.n"}]
inputs: {n: {default: ''}}
"""
GATE = "name: gate\ndescription: d\nnodes: [{id: g, approval: {message: ok?}}]\n"
SLOW = "name: slow\ndescription: d\nnodes: [{id: a, bash: 'touch begun; sleep 60'}]\n"


def names(ion: Ion) -> set[str]:
    return {run["run_id"] for run in ion("runs", "--json").json("runs")}


def age(project: Project) -> None:
    """Make every output as old as one that nobody has put lately."""
    for path in (project.folder / ".ion").rglob("blobs/??/*"):
        os.utime(path, (0, 0))


def test_old_runs_go_with_their_folders_and_outputs(ion: Ion, project: Project) -> None:
    """What another run refers to stays."""
    project.write("big", BIG)
    for run, given in [("one", ""), ("two", ""), ("three", "3")]:
        assert ion("run", "big", "--run-id", run, "--input", f"n={given}", "--quiet").status == 0
    age(project)
    assert "No run is old enough." in ion("prune", "--yes").err
    listed = ion("prune", "--older-than", "0m", "--keep", "1", "--dry-run", "--json").json("prune")
    assert listed == {"runs": ["two", "one"], "outputs": 0, "bytes": 0, "dry_run": True, "damaged": []}
    done = ion("prune", "--older-than", "0m", "--yes", "--keep", "2", "--json").json("prune")
    assert (done["runs"], done["outputs"]) == (["one"], 0)
    assert names(ion) == {"two", "three"}
    assert not (project.folder / ".ion" / "runs" / "one").exists()
    assert len(ion("show", "two", "--json").json("run")["nodes"]) == 1
    done = ion("prune", "--older-than", "0m", "--yes", "--json").json("prune")
    assert (sorted(done["runs"]), done["outputs"]) == (["three", "two"], 2)
    assert names(ion) == set()
    assert list((project.folder / ".ion" / "blobs").glob("??/*")) == []
    assert ion("doctor").status == 0


INSIDE = """
name: inside
description: Items whose texts look like paths
nodes:
  - id: each
    fan_out: {items: ["../../up", "/etc", "a/b", ".."]}
    group: {nodes: [{id: look, bash: 'echo "$INPUTS.item"; echo said >&2'}]}
"""


def test_what_is_inside_of_nodes_is_in_folders_by_address(ion: Ion, project: Project) -> None:
    """They go with the run; no text of an item is ever a part of a path."""
    project.write("inside", INSIDE)
    assert ion("run", "inside", "--run-id", "one", "--quiet").status == 0
    runs = project.folder / ".ion" / "runs"
    assert sorted(path.name for path in (runs / "one" / "logs").iterdir()) == [f"each.{i}.look" for i in range(4)]
    assert ion("logs", "one", "each.2.look").out.strip().endswith("a/b")
    assert ion("doctor").status == 0
    assert ion("prune", "--older-than", "0m", "--yes").status == 0
    assert list(runs.iterdir()) == []
    assert not [path for path in project.folder.rglob("*") if path.name in ("up", "b", "etc")]


def test_what_may_still_go_on_stays(ion: Ion, project: Project) -> None:
    project.write("gate", GATE)
    project.write("slow", SLOW)
    assert ion("run", "gate", "--run-id", "waits", "--quiet").status == 3
    process = project.start("run", "slow", "--run-id", "runs", "--quiet")
    try:
        until((project.folder / "begun").exists)
        assert "No run is old enough." in ion("prune", "--older-than", "0m", "--yes").err
        everything = [f"--status={name}" for name in ("paused", "interrupted", "completed")]
        assert ion("prune", "--older-than", "0m", "--yes", *everything, "--json").json("prune")["runs"] == ["waits"]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert ion("prune", "--older-than", "0m", "--yes", "--status", "interrupted").status == 0
    assert names(ion) == set()


def test_nobody_to_ask(ion: Ion, project: Project) -> None:
    project.write("big", BIG)
    assert ion("run", "big", "--quiet").status == 0
    refused = project.run("prune", "--older-than", "0m")
    assert (refused.status, "--yes deletes" in refused.err) == (2, True)
    assert len(names(ion)) == 1
    assert ion("prune", "--older-than", "soon").status == 2


def test_somebody_is_asked(project: Project) -> None:
    import pexpect

    project.write("big", BIG)
    assert project.run("run", "big", "--quiet").status == 0
    for answer, left in (("n", 1), ("y", 0)):
        words = [*COMMAND[1:], "prune", "--older-than", "0m"]
        child = pexpect.spawn(COMMAND[0], words, cwd=str(project.folder), env=project.environment(), timeout=PATIENCE_S)  # type: ignore[arg-type]
        child.expect("for good")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert len(project.run("runs", "--json").json("runs")) == left


def test_a_prune_that_was_cut_off_is_finished_by_the_next(ion: Ion, project: Project) -> None:
    project.write("big", BIG)
    assert ion("run", "big", "--run-id", "one", "--quiet").status == 0
    assert ion("run", "big", "--run-id", "one-more", "--quiet").status == 0
    folder = project.folder / ".ion" / "runs" / "one"
    from ion.api.workspace import open_workspace

    workspace = open_workspace(project.folder)
    (mark,) = (folder / ".stores").iterdir()
    mark.with_suffix(".leaving").touch()
    workspace.store.delete_workflow_run("one")
    workspace.close()
    assert folder.exists()
    assert ion("prune", "--yes").status == 0
    assert not folder.exists()


def test_files_that_another_store_of_the_project_needs_stay(ion: Ion, project: Project) -> None:
    """The same run in two stores has its artifacts and logs in one folder."""
    project.write("gate", GATE)
    assert ion("run", "gate", "--run-id", "one", "--quiet").status == 3
    folder = project.folder / ".ion" / "runs" / "one"
    (folder / "artifacts" / "kept").touch()
    everything = ["--older-than", "0m", "--yes", "--status", "paused", "--status", "completed"]
    assert ion("export", "one", "--output", "one.jsonl").status == 0
    assert ion("import", "one.jsonl", "--store", "file:.ion/other").status == 0
    assert ion("prune", *everything, "--store", "file:.ion/other").status == 0
    assert (folder / "artifacts" / "kept").exists(), "it is not this store's"
    assert ion("import", "one.jsonl", "--store", "file:.ion/other").status == 0
    assert ion("approve", "one", "--store", "file:.ion/other", "--quiet").status == 0
    assert ion("prune", *everything).status == 0
    assert (folder / "artifacts" / "kept").exists(), "the other store needs it"
    assert ion("prune", *everything, "--store", "file:.ion/other").status == 0
    assert not folder.exists()


def test_files_of_a_run_that_was_brought_into_another_store_stay_before_it_is_continued(
    ion: Ion, project: Project
) -> None:
    project.write("gate", GATE)
    assert ion("run", "gate", "--run-id", "one", "--quiet").status == 3
    kept = project.folder / ".ion" / "runs" / "one" / "artifacts" / "kept"
    kept.touch()
    everything = ["--older-than", "0m", "--yes", "--status", "paused"]
    assert ion("export", "one", "--output", "one.jsonl").status == 0
    assert ion("import", "one.jsonl", "--store", "file:.ion/other").status == 0
    assert ion("prune", *everything).status == 0
    assert kept.exists(), "the other store needs it"
    assert ion("prune", *everything, "--store", "file:.ion/other").status == 0
    assert not kept.exists()


def test_prunes_at_once_and_runs_that_are_gone_meanwhile(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another prune comes first with each single thing."""
    from ion.api import maintenance as prune

    project.write("big", BIG)
    assert ion("run", "big", "--run-id", "one", "--quiet").status == 0
    age(project)
    nested = []

    def first_another(workspace: object, run_id: str) -> Path:
        if not nested:
            nested.append(run_id)
            assert ion("prune", "--older-than", "0m", "--yes").status == 0
        return real(workspace, run_id)  # type: ignore[arg-type]

    real = prune._mark_of
    monkeypatch.setattr(prune, "_mark_of", first_another)
    assert ion("prune", "--older-than", "0m", "--yes", "--json").json("prune")["runs"] == []
    assert nested == ["one"]
    assert not (project.folder / ".ion" / "runs" / "one").exists()


def test_a_damaged_run_keeps_all_outputs_and_hides_nothing(ion: Ion, project: Project) -> None:
    project.write("big", BIG)
    for run in ("bad", "good"):
        assert ion("run", "big", "--run-id", run, "--quiet").status == 0
    age(project)
    with sqlite3.connect(project.folder / ".ion" / "ion.db") as database:
        database.execute("UPDATE runs SET started_at = 1000000000000000000 WHERE run_id = 'bad'")
    database.close()
    assert {run["run_id"]: run["status"] for run in ion("runs", "--json").json("runs")} == {
        "good": "completed",
        "bad": "damaged",
    }
    assert ion("show", "--json").json("run")["run_id"] == "good", "the newest is not the one of the year 30,000"
    assert "its started_at cannot be" in ion("show", "bad").err
    said = ion("prune", "--older-than", "0m", "--yes")
    assert (said.status, "1 damaged run (bad) needs is not known" in said.err) == (0, True)
    assert names(ion) == {"bad"}
    done = ion("prune", "--older-than", "0m", "--yes", "--status", "damaged", "--json").json("prune")
    assert (done["runs"], done["damaged"], done["outputs"] > 0) == (["bad"], [], True)


def test_a_row_whose_id_is_a_path_leads_nowhere(ion: Ion, project: Project) -> None:
    project.write("big", BIG)
    assert ion("run", "big", "--run-id", "one", "--quiet").status == 0
    (project.folder / "precious").mkdir()
    with sqlite3.connect(project.folder / ".ion" / "ion.db") as database:
        database.execute("UPDATE runs SET run_id = '../../precious'")
    database.close()
    assert [run["status"] for run in ion("runs", "--json").json("runs")] == ["damaged"]
    assert ion("prune", "--older-than", "0m", "--yes", "--status", "damaged").status == 0
    assert ion("runs", "--json").json("runs") == []
    assert list((project.folder / "precious").iterdir()) == []
    assert (project.folder / ".ion" / "runs" / "one").exists()


RACE = """
import sys
from pathlib import Path
from ion.stores import create_store
from ion.api.maintenance import used_blobs

store = create_store(sys.argv[1], project=Path(sys.argv[2]))
if sys.argv[3] == "put":
    for turn in range(60):
        content = store.put_blob(b"the same output each time")
        with store.open_blob(content.sha256) as stream:
            assert stream.read() == b"the same output each time", turn
else:
    for _ in range(60):
        store.delete_blobs(set(), before=int(sys.argv[4]))
"""


@pytest.mark.parametrize("kind", SHARED_BETWEEN_PROCESSES)
def test_an_output_that_is_being_put_is_not_taken_away(kind: str, tmp_path: Path) -> None:
    """One process puts the same output again and again, another forgets all that is older than a moment ago."""
    url = SHARED_BETWEEN_PROCESSES[kind](tmp_path)
    moment = str(time.time_ns() // 1_000_000)
    started = [
        subprocess.Popen([sys.executable, "-c", RACE, url, str(tmp_path), what, moment], stderr=subprocess.PIPE)
        for what in ("put", "forget")
    ]
    for process in started:
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said.decode()
