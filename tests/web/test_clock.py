"""`ion serve --clock`: the page's process is the clock too."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.kit import Project
from processes import until
from web.kit import Server, make_project, serving

GATE = """
name: gate
description: Asks, and then works.
nodes:
  - id: ok
    approval: {message: Is it good?}
  - id: work
    depends_on: [ok]
    bash: echo begun > begun; while [ ! -e go ]; do sleep 0.05; done; echo worked
"""

# The wall clock of the server's process, from its start on: the minutes of a schedule pass in seconds.
HURRIED = """
import time
from ion import clocks
began = time.time_ns() // 1_000_000
clocks.now_ms = lambda: began + 60 * (time.time_ns() // 1_000_000 - began)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write("gate", GATE)
    return made


def status(project: Project, run_id: str) -> str:
    return str(project.run("show", run_id, "--json").json()["status"])


def approve(server: Server, run_id: str) -> None:
    page = server.get(f"/r/{run_id}")
    request = page.text.partition('name="request" value="')[2].partition('"')[0]
    fields = {"csrf": page.csrf, "request": request, "choice": "approve", "comment": ""}
    reply = server.post(f"/r/{run_id}/n/ok/answer", fields)
    assert (reply.status, reply.headers["location"]) == (303, f"/r/{run_id}")


def test_an_answered_run_continues(project: Project) -> None:
    assert project.run("run", "gate", "--run-id", "g1", "--quiet").status == 3
    (project.folder / "go").touch()
    with serving(project, "--clock", "--allow-answers") as server:
        approve(server, "g1")
        until(lambda: status(project, "g1") == "completed")
        assert "completed" in server.get("/r/g1").text


def test_without_a_clock_nothing_is_continued(project: Project) -> None:
    assert project.run("run", "gate", "--run-id", "g1", "--quiet").status == 3
    with serving(project, "--allow-answers") as server:
        approve(server, "g1")
        assert "Nobody drives the run now. It continues with" in server.get("/r/g1").text
        assert "ion resume g1" in server.get("/").text
    assert not (project.folder / "begun").exists()
    assert status(project, "g1") == "paused"


def test_its_end_leaves_runs_that_can_be_resumed(project: Project) -> None:
    assert project.run("run", "gate", "--run-id", "g1", "--quiet").status == 3
    with serving(project, "--clock", "--allow-answers") as server:
        approve(server, "g1")
        until((project.folder / "begun").exists)
    assert server.process.returncode == 0
    assert status(project, "g1") == "interrupted"
    (project.folder / "go").touch()
    assert project.run("resume", "g1", "--quiet").status == 0


def test_a_schedule_starts_its_run(project: Project) -> None:
    project.write("one", "name: one\ndescription: x\nnodes:\n  - id: a\n    bash: touch done\n")
    settings = project.folder / ".ion" / "config.yaml"
    settings.write_text('schedules:\n  often: {workflow: one, cron: "* * * * *"}\n')
    with serving(project, "--clock", first=HURRIED) as server:
        page = server.get("/schedules").text
        assert "is not accepted yet, and starts nothing" in page
        assert "ion schedules accept" in page
        assert project.run("schedules", "accept", "--yes").status == 0
        assert "ion schedules pause often" in server.get("/schedules").text
        until((project.folder / "done").exists)
        until(lambda: "completed" in project.run("runs").out)
        assert "often-" in server.get("/").text


def test_listing_schedules_makes_no_store(project: Project) -> None:
    with serving(project) as server:
        for path in ("/", "/gates", "/workflows", "/schedules"):
            assert server.get(path).status == 200
    assert not (project.folder / ".ion" / "ion.db").exists()
