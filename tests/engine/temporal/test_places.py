"""Which worker carries a node out, and which files it sees there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.temporal.kit import Project

import ion
from ion.core import events as e
from processes import until

# Who carries a node out, is seen by what its shell descends from.
WHO = "tr '\\0' ' ' < /proc/$PPID/cmdline"


def outputs(project: Project, run: str) -> dict[str, str]:
    shown = json.loads(project.ion("show", run, "--json")[1])
    return {name: node["output"] for name, node in shown["nodes"].items()}


def test_a_label_chooses_the_worker(project: Project) -> None:
    nodes = f"""
nodes:
  - {{id: any, bash: {WHO}}}
  - {{id: large, runs_on: gpu, depends_on: [any], bash: {WHO}}}
"""
    project.write("w", nodes)
    project.work()
    project.work("--label", "gpu", "--label", "other", "--only-labelled")
    assert project.run("w", "--run-id", "one", "--quiet")[0] == 0
    said = outputs(project, "one")
    assert "--label gpu" not in said["any"]
    assert "--label gpu" in said["large"]
    assert project.ion("run", "w", "--quiet")[0] == 0  # on this machine labels are of no effect


def test_it_is_said_when_no_worker_takes_a_node(project: Project) -> None:
    """And a run can be cancelled that waits for one."""
    inside = "group: {nodes: [{id: c, runs_on: gpu, bash: 'true'}]}"
    project.write("w", f"nodes:\n  - {{id: a, bash: 'true'}}\n  - {{id: b, depends_on: [a], {inside}}}\n")
    sooner = "from ion.cli import driving\ndriving._PATIENCE_S, driving._LOOK_AGAIN_S = 2.0, 1.0"
    program = [sys.executable, "-P", "-c", f"{sooner}\nfrom ion.cli.main import main\nmain()"]
    command = [*program, "run", "w", "--engine", project.server.url, "--run-id", "one"]
    running = subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert running.stderr is not None
    for said in running.stderr:
        if b"No worker has picked up the run yet" in said:
            project.work("--label", "other", "--only-labelled")
        if b"No worker is free for the node a" in said:
            assert b"--label" not in said
            project.work()
        if b"No worker is free for the node b.c" in said:
            assert b"--label gpu" in said
            break
    else:
        pytest.fail("it was not said")
    assert project.ion("cancel", "one")[0] == 0
    with running.stderr:
        running.stderr.read()
    assert running.wait(60) == 4


def test_a_pinned_run_stays_with_its_worker(project: Project) -> None:
    """Also where another one is there, when it is resumed, and when it continues after an answer."""
    nodes = "".join(f"  - {{id: n{i}, depends_on: [{f'n{i - 1}' if i else ''}], bash: {WHO}}}\n" for i in range(6))
    last = "  - {id: ok, depends_on: [n5], approval: {message: go?}}\n"
    last += f"  - {{id: last, depends_on: [ok], bash: test -e fixed && {WHO}}}\n"
    project.write("w", f"workspace: pinned\nnodes:\n{nodes}{last}")
    project.work("--name", "one")
    project.work("--name", "two")
    assert project.run("w", "--run-id", "r", "--quiet")[0] == 3
    assert project.ion("approve", "r")[0] == 1
    project.write_file("fixed", "")
    assert project.ion("resume", "r", "--quiet")[0] == 0
    placed = [x.event for x in ion.get_events("r", project=project.folder) if isinstance(x.event, e.WorkflowPlaced)]
    assert len(placed) == 1
    said = outputs(project, "r")
    assert all(f"--name {placed[0].worker}" in said[node] for node in said if node != "ok"), said


def test_a_pinned_run_is_placed_by_the_label_of_what_is_inside(project: Project) -> None:
    nodes = f"{{nodes: [{{id: a, runs_on: gpu, bash: {WHO}}}, {{id: b, runs_on: gpu, depends_on: [a], bash: {WHO}}}]}}"
    project.write("w", f"workspace: pinned\nnodes:\n  - {{id: g, fan_out: {{items: [1, 2]}}, group: {nodes}}}\n")
    project.work("--name", "plain")
    project.work("--name", "large", "--label", "gpu")
    assert project.run("w", "--run-id", "r", "--quiet")[0] == 0
    said = json.loads(outputs(project, "r")["g"])
    assert len(said) == 2
    assert all("--name large" in one for one in said)


def test_a_pinned_run_that_no_worker_took_can_be_cancelled(project: Project) -> None:
    project.write("w", "workspace: pinned\nnodes:\n  - {id: a, bash: 'true', runs_on: gpu}\n")
    project.work()
    assert project.run("w", "--run-id", "r", "--detach")[0] == 0
    until(lambda: project.nodes("r")["a"] == "running")
    assert project.ion("cancel", "r")[0] == 0
    until(lambda: project.status("r") == "cancelled")


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_each_worker_has_a_checkout_of_the_commit(project: Project, tmp_path: Path) -> None:
    """The worker has another clone, at another path; what it does not have is fetched. Nothing is left at the end."""
    steps = """
workspace: git
nodes:
  - {id: here, bash: 'cat part/text; pwd; git rev-parse HEAD; echo changed > part/text'}
  - {id: then, depends_on: [here], bash: 'cat part/text'}
  - {id: ok, depends_on: [then], approval: {message: go?}}
  - {id: last, depends_on: [ok], bash: 'cat part/text'}
"""
    origin = project.folder
    project.write("w", steps)
    git(origin, "init", "--quiet")
    status, _, said = project.run("w")
    assert (status, "needs a commit" in said) == (2, True)
    project.write_file(".gitignore", ".ion/ion.db*\n.ion/runs\n*.log\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "first")
    clone = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    (origin / "part").mkdir()
    project.write_file("part/text", "committed\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "second")
    project.write_file("part/text", "not committed\n")
    engine = f"{project.server.url}?queue=shared"
    store = f"sqlite:{origin}/.ion/ion.db"
    project.work("--engine", engine, "--store", store, folder=clone)
    status, _, said = project.ion("run", "w", "--engine", engine, "--run-id", "r")
    assert (status, "uncommitted changes here (1)" in said) == (3, True)
    assert project.ion("approve", "r")[0] == 0
    found = outputs(project, "r")
    assert found["here"].split() == ["committed", f"{clone}/.ion/checkouts/r", git(origin, "rev-parse", "HEAD")]
    assert (found["then"], found["last"]) == ("changed", "changed")
    assert (origin / "part/text").read_text() == "not committed\n"
    until(lambda: not (clone / ".ion/checkouts/r").exists())
    assert "checkouts" not in git(clone, "worktree", "list")


def test_a_commit_that_cannot_be_had_fails_the_node(project: Project, tmp_path: Path) -> None:
    project.write("w", "workspace: git\nnodes:\n  - {id: a, bash: 'true'}\n")
    git(project.folder, "init", "--quiet")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "--quiet", "-m", "first")
    clone = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(project.folder), str(clone))
    git(clone, "remote", "remove", "origin")
    git(project.folder, "commit", "--quiet", "--allow-empty", "-m", "second")
    engine, store = f"{project.server.url}?queue=lacking", f"sqlite:{project.folder}/.ion/ion.db"
    project.work("--engine", engine, "--store", store, folder=clone)
    assert project.ion("run", "w", "--engine", engine, "--run-id", "r", "--quiet")[0] == 1
    shown = json.loads(project.ion("show", "r", "--json")[1])
    assert shown["nodes"]["a"]["error"]["code"] == "checkout"
    git(clone, "fetch", "--quiet", str(project.folder))
    assert project.ion("resume", "r", "--quiet")[0] == 0


def test_a_checkout_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    from ion.engine.checkouts import check_out

    (tmp_path / "project").mkdir()
    git(tmp_path / "project", "init", "--quiet")
    (tmp_path / "project" / "file").write_text("text")
    git(tmp_path / "project", "add", ".")
    git(tmp_path / "project", "commit", "--quiet", "-m", "first")
    commit = git(tmp_path / "project", "rev-parse", "HEAD")
    folder = check_out(tmp_path / "project", tmp_path / "checkouts", "r", commit)
    (folder / "file").write_text("work of a node")
    assert check_out(tmp_path / "project", tmp_path / "checkouts", "r", commit) == folder
    assert (folder / "file").read_text() == "work of a node"
    (tmp_path / "checkouts" / "r.whole").unlink()
    assert check_out(tmp_path / "project", tmp_path / "checkouts", "r", commit) == folder
    assert (folder / "file").read_text() == "text"
    shutil.rmtree(folder)
    assert check_out(tmp_path / "project", tmp_path / "checkouts", "r", commit) == folder


@pytest.mark.parametrize("commit", ["--orphan", "HEAD", "", "a" * 39, "$(id)"])
def test_what_is_no_commit_never_reaches_git(tmp_path: Path, commit: str) -> None:
    from ion.engine.checkouts import CheckoutError, check_out

    with pytest.raises(CheckoutError, match="names no commit"):
        check_out(tmp_path, tmp_path / "checkouts", "r", commit)
