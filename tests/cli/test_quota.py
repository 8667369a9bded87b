"""An agent at its limit, on the command line: nothing fails, it is said until when, and the run continues then."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime
from typing import Any

import pytest

from processes import until

from .kit import Project

# At its limit until the second that the file `until` says, if it is there; `calls` has a line for each call.
AGENT = """#!/usr/bin/env python3
import json, pathlib, sys, time
sys.stdin.read()
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    calls.write("x\\n")
end = int((here / "until").read_text()) if (here / "until").exists() else 0
said = {"type": "result", "subtype": "success", "session_id": "s", "total_cost_usd": 0.01}
if time.time() < end:
    print(json.dumps({**said, "is_error": True, "api_error_status": 429, "result": f"usage limit reached|{end}"}))
    sys.exit(1)
print(json.dumps({**said, "is_error": False, "result": "ok"}))
"""
PARTS = """name: parts
description: Six prompts, and a step that needs no agent.
nodes:
  - {id: a, prompt: a}
  - {id: b, prompt: b}
  - {id: c, prompt: c}
  - {id: d, prompt: d}
  - {id: e, prompt: e}
  - {id: f, prompt: f}
  - {id: step, bash: echo done}
"""
SETTINGS = """agent: helper
agents:
  helper: {preset: claude, command: AGENT, max_parallel: 2}
  other: {command: "echo other"}
"""


@pytest.fixture
def limited(project: Project) -> Project:
    """A project whose agent is at its limit for an hour."""
    program = project.folder / "agent"
    program.write_text(AGENT)
    program.chmod(0o755)
    (project.folder / ".ion" / "config.yaml").write_text(SETTINGS.replace("AGENT", str(program)))
    project.write("parts", PARTS)
    limit(project, 3600)
    return project


def limit(project: Project, seconds: float) -> int:
    end = int(time.time() + seconds) + 1
    (project.folder / "until").write_text(str(end))
    return end


def calls(project: Project) -> int:
    file = project.folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def shown(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project.run("show", "mine", "--json").json("run")
    return found


def events(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.run("events", "mine", "--json").out.splitlines()]


def test_a_run_with_nothing_else_to_do_is_paused_and_says_what_continues_it(limited: Project) -> None:
    end = int((limited.folder / "until").read_text())
    done = limited.run("run", "parts", "--run-id", "mine", "--plain", "--patience", "1m")
    assert (done.status, calls(limited)) == (3, 2)
    found = shown(limited)
    assert found["nodes"]["step"]["status"] == "completed"
    assert "failed" not in {node["status"] for node in found["nodes"].values()}
    assert found["usage"]["cost_usd"] == pytest.approx(0.02)
    resets_at = found["waiting"][0]["resets_at"]
    assert found["waiting"] == [
        {
            "node": None,
            "kind": "quota",
            "message": "helper is at its limit",
            "agent": "helper",
            "resets_at": resets_at,
            "due_at": resets_at,
        }
    ]
    assert datetime.fromisoformat(resets_at).timestamp() == end
    assert " rest   helper " in done.err
    assert "is not asked again before " in done.err
    assert "waits for helper\n" in done.err
    assert "Paused: 1 agent is at its limit." in done.err
    assert "  ion resume mine      ion cancel mine\n" in done.err
    assert "ion resume mine --agent OTHER" in done.err


def test_another_agent_does_what_waits(limited: Project) -> None:
    assert limited.run("run", "parts", "--run-id", "mine", "--patience", "1m").status == 3
    done = limited.run("resume", "mine", "--agent", "other")
    assert (done.status, calls(limited)) == (0, 2), done.err
    assert {node["attempts"] for node in shown(limited)["nodes"].values()} == {1}


def test_a_resume_asks_again_at_once_and_the_lane_closes_again(limited: Project) -> None:
    assert limited.run("run", "parts", "--run-id", "mine", "--patience", "1m").status == 3
    assert limited.run("resume", "mine", "--patience", "1m").status == 3
    assert calls(limited) == 4
    (limited.folder / "until").unlink()
    assert limited.run("resume", "mine").status == 0
    assert [one["type"] for one in events(limited)].count("lane_closed") == 2


def test_a_process_that_waits_continues_at_the_reset(limited: Project) -> None:
    limit(limited, 2)
    done = limited.run("run", "parts", "--run-id", "mine")
    assert (done.status, done.out) == (0, shown(limited)["output"] + "\n")
    assert calls(limited) <= 2 + 6
    types = [one["type"] for one in events(limited)]
    assert (types.count("lane_closed"), types.count("lane_opened"), types.count("workflow_paused")) == (1, 1, 0)


def test_a_clock_wakes_a_run_whose_process_was_killed_once_the_limit_is_over(limited: Project) -> None:
    end = limit(limited, 6)
    process = limited.start("run", "parts", "--run-id", "mine", "--patience", "1d")
    until(lambda: "lane_closed" in limited.run("events", "mine").out)
    until(lambda: not any(node["status"] == "running" for node in shown(limited)["nodes"].values()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.communicate()
    before = len(events(limited))
    until(lambda: shown(limited)["status"] == "interrupted")

    def ticked() -> bool:
        limited.run("tick")
        return bool(shown(limited)["status"] == "completed")

    until(ticked)
    log = events(limited)
    again = [one for one in log[before:] if one["type"] == "node_started" and one["turn"] == "prompt"]
    assert again
    assert [one["at"] for one in again if datetime.fromisoformat(one["at"]).timestamp() < end] == []
    assert [one["type"] for one in log].count("lane_closed") == 1
