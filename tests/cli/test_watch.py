"""`ion watch`: a run of another process is seen, and answered where it is watched."""

from __future__ import annotations

import re

import pytest

from .kit import Project
from .terminals import BESIDE, GATED, Open


def test_watching_a_run_of_another_process(project: Project, terminal: Open) -> None:
    """The gate opens once the watcher shows what the node beside it said: a question takes the place of the tree."""
    first = "  - {id: first, bash: 'until [ -e seen ]; do sleep 0.05; done'}\n"
    project.write("beside", BESIDE.replace("  - {id: review,", first + "  - {id: review, depends_on: [first],"))
    assert project.run("run", "beside", "--run-id", "mine", "--detach").status == 0
    shown = terminal("watch", "mine")
    shown.until("step one")
    (project.folder / "seen").touch()
    shown.until("⏸ review")
    shown.until("[l]ater   ›")
    shown.type("l")
    (project.folder / "go").touch()
    status, text = shown.end()
    assert status == 0
    assert "✓ work" in text
    assert "ion approve mine" in text


@pytest.mark.parametrize("command", ["watch", "resume"])
def test_later_is_taken_up_again(project: Project, terminal: Open, command: str) -> None:
    project.write("gated", GATED)
    assert project.run("run", "gated", "--run-id", "mine").status == 3
    shown = terminal(command, "mine")
    shown.until("[l]ater   ›")
    shown.child.sendintr()
    status, text = shown.end()
    assert status == (3 if command == "resume" else 0)
    assert "ion approve mine" in text
    shown = terminal(command, "mine")
    shown.until("[l]ater   ›")
    shown.type("a on Monday")
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, "published, on Monday")
    told = project.run("show", "mine", "review").out
    assert re.search(r"answered +approved by \S+@\S+ at \d\d:\d\d:\d\d, cli", told)
    assert re.search(r"comment +on Monday", told)
    answers = project.run("show", "mine", "review", "--json").json("node")["answers"]
    assert [(one["decision"], one["comment"]) for one in answers] == [("approved", "on Monday")]


def test_a_watched_run_is_answered_where_it_is_watched(project: Project, terminal: Open) -> None:
    """It continues where it is running."""
    project.write("beside", BESIDE)
    assert project.run("run", "beside", "--run-id", "mine", "--detach").status == 0
    shown = terminal("watch", "mine")
    shown.until("[l]ater   ›")
    shown.type("a")
    shown.until("✓ review")
    (project.folder / "go").touch()
    assert shown.end()[0] == 0
    assert project.run("show", "mine", "--json").json("run")["status"] == "completed"
