"""What an agent does is seen while it works: in plain lines, by those who only watch, and in its log."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from processes import until

from .kit import Project

AGENT = """#!/bin/bash
cat > /dev/null
say() { printf '%s\\n' "$1"; }
say '{"type":"system","subtype":"init","session_id":"s"}'
say '{"type":"assistant","message":{"id":"1","content":[{"type":"text","text":"I will look first."}]}}'
edit='{"type":"tool_use","name":"Edit","input":{"file_path":"'$PWD'/src/auth.py"}}'
say '{"type":"assistant","message":{"id":"1","content":['"$edit"']}}'
say '{"type":"something_new","text":"\\u001b[2Jx"}'
touch working; while [ ! -e seen ]; do sleep 0.05; done
say '{"type":"assistant","message":{"id":"2","content":[{"type":"text","text":"42 \\u001b[2J"}]}}'
say '{"type":"result","subtype":"success","is_error":false,"result":"42","session_id":"s","usage":{"output_tokens":5}}'
"""


@pytest.fixture
def project(project: Project) -> Project:
    program = project.folder / "agent.sh"
    program.write_text(AGENT)
    program.chmod(0o755)
    settings = f"agent: helper\nagents: {{helper: {{preset: claude, command: {program}}}}}\n"
    (project.folder / ".ion").mkdir(exist_ok=True)
    (project.folder / ".ion" / "config.yaml").write_text(settings)
    project.write("w", "name: w\ndescription: d\nnodes: [{id: a, prompt: look}]\n")
    return project


def test_its_steps_are_plain_lines_and_its_log_is_readable(project: Project) -> None:
    (project.folder / "seen").touch()
    done = project.run("run", "w", "--plain", "--run-id", "mine")
    assert (done.status, done.out) == (0, "42\n")
    shown = [line.split(None, 3)[1:] for line in done.err.splitlines() if " works " in line]
    assert shown[:2] == [
        ["works", "a", "helper · I will look first."],
        ["works", "a", "helper · Edit src/auth.py"],
    ]
    assert "\x1b" not in done.err
    assert project.run("logs", "mine").out == "I will look first.\n> Edit src/auth.py\n42 \x1b[2J\n"
    raw = project.run("logs", "mine", "--raw").out
    assert [json.loads(line)["type"] for line in raw.splitlines()][:2] == ["system", "assistant"]
    assert project.run("output", "mine", "a").out == "42\n"
    assert [one["stream"] for one in project.run("logs", "mine", "--json").json("logs")] == ["transcript"]
    assert [one["stream"] for one in project.run("logs", "mine", "--raw", "--json").json("logs")] == ["stdout"]


@pytest.mark.parametrize("command", [["watch", "mine", "--plain"], ["logs", "mine", "--follow"]])
def test_those_who_watch_see_it_while_it_works(project: Project, command: list[str]) -> None:
    running = project.start("run", "w", "--plain", "--run-id", "mine")
    until((project.folder / "working").exists)
    watching = project.start(*command)
    said: list[str] = []
    assert watching.stdout is not None
    reader = threading.Thread(target=said.extend, args=(watching.stdout,))
    reader.start()
    try:
        until(lambda: any("Edit src/auth.py" in line for line in tuple(said)))
    finally:
        (project.folder / "seen").touch()
        for process in (running, watching):
            process.communicate()
        reader.join()
    assert running.returncode == 0


def test_silence_counts_from_its_last_step(project: Project) -> None:
    project.write(
        "w",
        "name: w\ndescription: d\n"
        "nodes: [{id: a, prompt: look, idle_timeout: 500, retry: {max_attempts: 1, delay_ms: 1000}}]\n",
    )
    done = project.run("run", "w", "--json")
    error = done.json("run")["nodes"]["a"]["error"]
    assert error["code"] == "timeout"
    assert "said nothing for 500 ms" in error["message"]
    assert Path(project.folder / "working").exists()
