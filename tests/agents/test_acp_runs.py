"""Whole runs whose prompts go to an agent that speaks ACP, by the command line and the settings: many at once, killed
in the middle, and asked whether it may."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ion
from ion.agents.acp import AcpAgent
from ion.agents.presets import Preset
from ion.core.events import WorkflowStarted
from processes import PATIENCE_S, alive, until, with_environment

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-P", "-m", "ion.cli"]


class Project:
    """A project whose agent `robot` is a stand-in that behaves in a given way."""

    def __init__(self, folder: Path, behaviour: str, settings: str = "", nodes: str = "") -> None:
        self.folder = folder
        self.record = folder / "asked"
        words = json.dumps([sys.executable, "-S", str(HERE / "acp_stand_in.py"), behaviour, str(self.record)])
        (folder / ".ion" / "workflows").mkdir(parents=True)
        (folder / ".ion" / "config.yaml").write_text(
            f"agent: robot\nagents:\n  robot:\n    type: acp\n    command: {words}\n    max_parallel: 50\n{settings}"
        )
        nodes = nodes or "- id: fix\n  prompt: hello\n"
        (folder / ".ion" / "workflows" / "w.yaml").write_text(f"name: w\ndescription: test\nnodes:\n{nodes}")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**os.environ, "XDG_CONFIG_HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    def prompts(self) -> list[dict[str, Any]]:
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [params for method, params in lines if method == "session/prompt"]

    def keys(self) -> list[str]:
        return [prompt["_meta"]["ion"]["idempotencyKey"] for prompt in self.prompts()]

    def agents(self) -> list[int]:
        """Living processes of the agent."""
        program = str(HERE / "acp_stand_in.py").encode()
        found = []
        for pid in with_environment("ION_RUN_ID=r"):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if program in words and str(self.record).encode() in words:
                found.append(pid)
        return found

    def waiting(self) -> list[dict[str, Any]]:
        try:
            return ion.get_run("r", project=self.folder).to_json()["waiting"]
        except ion.errors.NotFoundError:
            return []


async def test_twenty_prompts_at_once_on_one_process_and_nothing_is_left(tmp_path: Path) -> None:
    nodes = "".join(f"- id: n{i}\n  prompt: p{i}\n" for i in range(20))
    project = Project(tmp_path, "echo", nodes=nodes)
    argv = (sys.executable, "-S", str(HERE / "acp_stand_in.py"), "echo", str(project.record))
    agent = AcpAgent(Preset("robot", command=argv), "robot")
    descriptors: list[set[str]] = []
    for number in range(3):
        run_id = f"twenty-{os.getpid()}-{number}"  # no other program of this machine has it
        result = await ion.execute_workflow(
            "w", project=tmp_path, agent=agent, run_id=run_id, options=ion.RunOptions(max_concurrency=20)
        )
        assert result.status == "completed"
        assert {n.output.text for n in result.state.nodes.values() if n.output} == {f"echo: p{i}" for i in range(20)}
        descriptors.append({path.name for path in Path("/proc/self/fd").iterdir()})
        assert with_environment(f"ION_RUN_ID={run_id}") == []
    assert len(descriptors[2]) == len(descriptors[0])
    started = [line for line in project.record.read_text().splitlines() if line.startswith('["initialize"')]
    assert len(started) == 3
    assert len(asyncio.all_tasks()) == 1


def test_ion_is_killed_in_the_middle_of_a_prompt(tmp_path: Path) -> None:
    """Resume ends what was left running, and asks again under the same key."""
    project = Project(tmp_path, "waits")
    with project.start("run", "w", "--run-id", "r") as process:
        until(lambda: len(project.prompts()) == 1)
        (left,) = project.agents()
        process.send_signal(signal.SIGKILL)
    with project.start("resume", "r") as process:
        until(lambda: len(project.prompts()) == 2)
        assert not alive(left)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert project.keys() == ["r/fix", "r/fix"]
    assert project.agents() == []


def test_the_agent_is_killed_in_the_middle_of_a_prompt(tmp_path: Path) -> None:
    """A crash is tried again, in another process, under the same key."""
    project = Project(
        tmp_path, "dies_once", nodes="- id: fix\n  prompt: hello\n  retry: {max_attempts: 1, delay_ms: 1000}\n"
    )
    status, out, _ = project.run("run", "w", "--run-id", "r")
    assert (status, out) == (0, "echo: hello\n")
    assert project.keys() == ["r/fix", "r/fix"]
    events = [item.event for item in ion.get_events("r", project=tmp_path)]
    (retrying,) = [event for event in events if event.type == "node_retrying"]
    assert "signal 9" in retrying.error.message  # type: ignore[attr-defined]


ASKS = "- id: fix\n  prompt: execute rm -rf build\n"


def test_a_person_decides_while_the_turn_is_held_open(tmp_path: Path) -> None:
    project = Project(tmp_path, "asks", nodes=ASKS)
    with project.start("run", "w", "--run-id", "r", "--plain") as process:
        until(project.waiting)
        (asked,) = project.waiting()
        assert (asked["node"], asked["kind"], asked["request"]) == ("fix", "permission", "fix.1")
        assert asked["message"].startswith("robot asks for permission to execute: rm -rf build\n")
        status, _, err = project.run("approve", "r", "fix", "--request", "fix.1")
        assert status == 0, err
        out, shown = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "y!\n"), shown
    assert "robot asks for permission to execute: rm -rf build" in shown
    assert len(project.prompts()) == 1
    status, _, err = project.run("reject", "r", "fix", "--request", "fix.1")
    assert status == 5, err


def test_a_turn_that_asks_twice_is_answered_from_another_terminal(tmp_path: Path) -> None:
    """Every answer comes back at once with the next question, and with the commands that answer it."""
    project = Project(tmp_path, "asks_in_turn", nodes="- id: fix\n  prompt: |\n    execute one\n    execute two\n")
    with project.start("run", "w", "--run-id", "r", "--plain") as process:
        until(project.waiting)
        status, shown, _ = project.run("show", "r")
        assert "ion approve r fix --request fix.1" in shown
        status, out, err = project.run("approve", "r", "fix", "--request", "fix.1")
        assert (status, out) == (3, ""), err
        assert "robot asks for permission to execute: two" in err
        assert "ion approve r fix --request fix.2" in err
        assert process.poll() is None
        status, _, err = project.run("reject", "r", "fix", "--request", "fix.2", "--json")
        assert status == 0, err
        out, shown = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "y! n\n"), shown
    assert "| ion approve r fix --request fix.1      ion reject r fix --request fix.1\n" in shown
    assert "| ion approve r fix --request fix.2      ion reject r fix --request fix.2\n" in shown


def test_ion_ends_while_it_asks_and_the_answer_brings_the_prompt_back(tmp_path: Path) -> None:
    project = Project(tmp_path, "asks", nodes=ASKS)
    with project.start("run", "w", "--run-id", "r") as process:
        until(project.waiting)
        process.send_signal(signal.SIGKILL)
    status, _, err = project.run("resume", "r")
    assert status == 3
    assert "ion approve r fix --request fix.1" in err
    assert "ion respond r fix allow_always --request fix.1" in err
    assert len(project.prompts()) == 1
    status, out, err = project.run("respond", "r", "fix", "allow_always", "--request", "fix.1")
    assert (status, out) == (0, "Y\n"), err
    assert project.keys() == ["r/fix", "r/fix"]


def test_an_option_without_a_place_is_said_before_the_run_and_at_the_node(tmp_path: Path) -> None:
    nodes = "- id: fix\n  prompt: hello\n  allowed_tools: [Read]\n  effort: low\n"
    project = Project(tmp_path, "echo", nodes=nodes)
    status, out, _ = project.run("validate")
    assert status == 0
    assert "agent robot has no option for allowed_tools: it is not passed on (the node fix)" in out
    status, out, _ = project.run("run", "w", "--json")
    assert status == 0
    assert json.loads(out)["nodes"]["fix"]["notes"] == [
        "robot has no option for allowed_tools: it is not passed on",
        "robot offers no effort in this session: it is not passed on",
    ]


def test_a_run_does_not_begin_without_the_sdk_or_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, "echo", settings="  other: {type: acp, command: no-such-agent --acp}\n")
    status, _, err = project.run("run", "w", "--agent", "other")
    assert (status, "no-such-agent, the agent of the node fix, is not installed" in err) == (2, True), err
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "acp" else find(name, *more))
    with pytest.raises(ion.errors.MissingRuntimeError) as caught:
        ion.execute_workflow_sync("w", project=tmp_path)
    assert "'robot' speaks ACP" in caught.value.message
    assert caught.value.hint == "pip install 'ion-workflows[acp]'"
    assert not any(isinstance(item, WorkflowStarted) for item in ion.list_runs(project=tmp_path))
