"""`--log`, `--notify`, `--otel` of `ion run`, and their settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from processes import until

from .kit import Project

SECRET = """
name: secret
description: d
secrets: [ION_TEST_SECRET]
nodes: [{id: a, bash: 'echo "$ION_TEST_SECRET"'}]
"""


ASKS = """
name: asks
description: A gate with a reminder and a deadline, and one after it.
nodes:
  - {id: ask, approval: {message: "Ship $(it)?", remind: [1s], timeout: 3s, on_timeout: approve}}
  - {id: later, depends_on: [ask], approval: {message: Later?}}
  - {id: merged, wait: {event: merged}}
"""
HELLO = "name: hello\ndescription: Says <hello> & more\nnodes:\n  - {id: a, bash: 'echo hi'}\n"


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_file_without_secrets(project: Project) -> None:
    project.write("secret", SECRET)
    done = project.run("run", "secret", "--log", "all.jsonl", ION_TEST_SECRET="s3cret-value")
    assert done.status == 0
    text = (project.folder / "all.jsonl").read_text()
    assert "s3cret" not in text
    assert lines(project.folder / "all.jsonl")[-1]["type"] == "workflow_completed"


def test_settings_watch_every_run(project: Project, tmp_path: Path) -> None:
    project.write("hello", HELLO)
    told = tmp_path / "told"
    user = project.folder / "user-config" / "ion"
    user.mkdir(parents=True)
    (user / "config.yaml").write_text(f"notify: tee {told}\n")
    (project.folder / ".ion" / "config.yaml").write_text("log: true\n")
    assert project.run("run", "hello", "--run-id", "one").status == 0
    assert len(lines(project.folder / ".ion" / "runs" / "one" / "events.jsonl")) == 4
    assert json.loads(told.read_text())["status"] == "completed"
    (user / "config.yaml").write_text("log: 7\nnotify: ''\notel: perhaps\n")
    wrong = project.run("run", "hello")
    assert wrong.status == 2
    assert wrong.err.count("error[bad-value]") == 3


def test_a_repository_names_no_command_that_notifies(project: Project, tmp_path: Path) -> None:
    project.write("hello", HELLO)
    (project.folder / ".ion" / "config.yaml").write_text(f"notify: touch {tmp_path / 'evil'}\n")
    done = project.run("run", "hello")
    assert done.status == 2
    assert "'notify' is a setting of a user, not of a project" in done.err
    assert not (tmp_path / "evil").exists()


def test_new_questions_and_reminders_are_told_as_json_also_by_a_clock(project: Project, tmp_path: Path) -> None:
    project.write("asks", ASKS)
    told = tmp_path / "told"
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\ncat >> {told}\nexit 3\n")
    tell.chmod(0o755)
    user = project.folder / "user-config" / "ion"
    user.mkdir(parents=True)
    (user / "config.yaml").write_text(f"notify: {tell}\n")
    done = project.run("run", "asks", "--run-id", "one")
    assert done.status == 3
    assert done.err.count(f"the notify command {tell} ended with status 3") == 1, "a warning, and nothing else"

    def waiting() -> list[list[tuple[object, object]]]:
        return [[(one["node"], one["kind"]) for one in line["waiting"]] for line in lines(told)]  # type: ignore[attr-defined]

    assert waiting() == [[("ask", "approval"), ("merged", "signal")]]
    (ask, merged) = lines(told)[0]["waiting"]  # type: ignore[misc]
    assert (ask["message"], merged["event"]) == ("Ship $(it)?", "merged")
    assert set(ask) == {"node", "kind", "message", "due_at"}

    def ticked(count: int) -> bool:
        project.run("tick")
        return len(lines(told)) == count

    until(lambda: ticked(2))
    assert waiting()[1] == waiting()[0], "the reminder"
    until(lambda: ticked(3))
    assert waiting()[2] == [("later", "approval"), ("merged", "signal")], "what the deadline has led to"


def test_a_detached_run_is_watched_too(project: Project) -> None:
    project.write("hello", HELLO)
    assert project.run("run", "hello", "--run-id", "one", "--detach", "--log", "d.jsonl").status == 0
    assert project.run("watch", "one").status == 0
    assert lines(project.folder / "d.jsonl")[0]["run_id"] == "one"
    for made in ("d.jsonl", ".ion/runs/one/ion.log"):
        assert (project.folder / made).stat().st_mode & 0o777 == 0o600, "for its owner only"


def test_tracing_without_the_extra_is_one_line(project: Project) -> None:
    project.write("hello", HELLO)
    hidden = "import sys; sys.modules['opentelemetry'] = None; from ion.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", hidden, "run", "hello", "--otel", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'ion-workflows[otel]'" in done.stderr
    assert project.run("runs", "--json").json("runs") == []
