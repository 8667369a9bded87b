"""Files of Ion's own that a step removes: nothing is lost without a word, and git never sees a run's data."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ion.api import workspace as workspaces
from ion.api.workspace import Workspace, open_workspace
from ion.errors import StoreError
from processes import PATIENCE_S

from .kit import Ion, Project

HELLO = "name: hello\ndescription: d\nnodes: [{id: hello, bash: echo hello}]\n"
CLEANS = """
name: cleans
description: A clean checkout in the middle, as many scripts make one.
nodes:
  - {id: a, bash: "until git clean -fdxq; do :; done"}  # again if Ion writes a file between two looks of git
  - {id: b, depends_on: [a], bash: 'echo "$a.output"; ls "$ARTIFACTS_DIR"'}
"""
SAYS = """
name: says
description: Its output is on the disk when the file is removed.
nodes:
  - {id: a, bash: "echo before; until ls .ion/runs/*/logs/a/*.out; do :; done >&2; rm -r .ion/runs/*/logs"}
"""


def git(project: Project, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=project.folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def checkout(project: Project) -> Project:
    """A project with its workflows in git."""
    for name, text in (("hello", HELLO), ("cleans", CLEANS), ("says", SAYS)):
        project.write(name, text)
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "-c", "user.name=n", "-c", "user.email=a@b", "commit", "-qm", "w")
    return project


def test_a_first_run_leaves_the_work_tree_clean(ion: Ion, checkout: Project) -> None:
    assert ion("run", "hello", "--quiet").status == 0
    assert git(checkout, "status", "--porcelain", "-uall") == ""
    (checkout.folder / ".ion" / "config.yaml").write_text("{}\n")
    assert git(checkout, "status", "--porcelain", "-uall") == "?? .ion/config.yaml\n"


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_an_unfinished_gitignore_is_written_again(ion: Ion, checkout: Project, cut: int) -> None:
    assert ion("run", "hello", "--quiet").status == 0
    ignore = checkout.folder / ".ion" / ".gitignore"
    whole = ignore.read_text()
    ignore.write_text(whole[:cut])
    assert "so git sees the data of runs" in ion("doctor").out or cut == -1
    assert ion("run", "hello", "--quiet").status == 0
    assert ignore.read_text() == whole
    ignore.write_text(f"{whole}!state/\n")
    assert ion("run", "hello", "--quiet").status == 0
    assert ignore.read_text().endswith("!state/\n"), "what a person wrote stays"


def test_many_threads_make_the_folder_at_once(project: Project) -> None:
    """As a program does that begins several runs, or a worker and its client in one process."""
    for number in range(20):
        folder = project.folder / str(number)
        folder.mkdir()
        space = open_workspace(folder)
        together = threading.Barrier(8)

        def make(space: Workspace = space, together: threading.Barrier = together) -> Path:
            together.wait(PATIENCE_S)
            return space.make_data_folder()

        with ThreadPoolExecutor(8) as threads:
            made = [threads.submit(make) for _ in range(8)]
            assert {one.result() for one in made} == {folder / ".ion"}
        assert [file.name for file in (folder / ".ion").iterdir()] == [".gitignore"]


def test_a_gitignore_appears_whole_or_not_at_all(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, mode: int = 0) -> None:
        path.write_bytes(data[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspaces, "write_file", full)
    with pytest.raises(StoreError, match="No space left"):
        open_workspace(project.folder).make_data_folder()
    assert [path.name for path in (project.folder / ".ion").iterdir()] == ["workflows"]


@pytest.mark.parametrize("store", ["sqlite:.ion/ion.db", "file:.ion/store"])
def test_a_step_that_removes_the_store_ends_the_run_with_a_word(ion: Ion, checkout: Project, store: str) -> None:
    done = ion("run", "cleans", "--store", store)
    assert done.status == 1
    assert "no longer exists: it was removed or replaced while Ion was using it" in done.err
    assert "git clean -x takes .ion too" in done.err
    assert ion("run", "hello", "--quiet").status == 0
    assert git(checkout, "status", "--porcelain", "-uall") == ""


def test_a_step_that_removes_the_runs_folder_fails_what_would_need_it(
    ion: Ion, checkout: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = ("--store", f"sqlite:{tmp_path_factory.mktemp('elsewhere')}/ion.db")
    done = ion("run", "cleans", *store)
    assert done.status == 1
    assert "the run's folder" in done.err
    assert "no longer exists" in done.err
    again = ion("resume", "last", *store)
    assert again.status == 0
    assert git(checkout, "status", "--porcelain", "-uall") == ""


def test_an_output_that_was_removed_is_not_taken_for_none(ion: Ion, checkout: Project) -> None:
    done = ion("run", "says")
    assert done.status == 1
    assert "was removed or replaced meanwhile" in done.err
    assert checkout.folder.exists()
