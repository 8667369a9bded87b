"""Agents that are programs, and what is left of a prompt when Ion or the agent is killed in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import ion
from ion import events
from processes import alive, until, with_environment

# An agent that says that it was asked, and answers once there is a file `go`.
AGENT = """
import os, sys, time
with open("asked", "a") as file:
    file.write(f"{os.environ['ION_IDEMPOTENCY_KEY']} {os.getpid()}\\n")
while not os.path.exists("go"):
    time.sleep(0.02)
print("answer to " + sys.stdin.read())
"""
ONE = "nodes:\n  - {id: a, prompt: 'question', retry: {max_attempts: 2, delay_ms: 1000}}\n"


@pytest.fixture
def asking(project: Path) -> Path:
    """A project whose agent waits for a file `go`."""
    (project / "agent.py").write_text(AGENT)
    command = json.dumps([sys.executable, "-S", "-E", "agent.py"])
    (project / ".ion" / "config.yaml").write_text(f"agent: slow\nagents: {{slow: {{command: {command}}}}}\n")
    return project


def start(project: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "ion.cli", *arguments]
    return subprocess.Popen(command, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def asked(project: Path) -> list[tuple[str, int]]:
    file = project / "asked"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(key, int(pid)) for key, _, pid in (line.partition(" ") for line in lines)]


def test_ion_is_killed_in_mid_prompt_and_resume_asks_again_with_the_same_key(
    asking: Path, write: Callable[..., Path]
) -> None:
    write(ONE)
    owner = start(asking, "run", "w", "--run-id", "killed-1")
    until(lambda: asked(asking))
    owner.kill()
    owner.wait()
    ((_, left),) = asked(asking)
    assert ion.get_run("killed-1", project=asking).status == "interrupted"
    (asking / "go").touch()
    assert start(asking, "resume", "killed-1").wait(60) == 0
    assert [key for key, _ in asked(asking)] == ["killed-1/a", "killed-1/a"]
    assert not alive(left), "the agent of the dead process was ended"
    run = ion.get_run("killed-1", project=asking)
    assert run.output == "answer to question"
    log = [recorded.event for recorded in ion.get_events("killed-1", project=asking)]
    assert Counter(type(event) for event in log)[events.NodeCompleted] == 1
    assert with_environment("ION_RUN_ID=killed-1") == []


def test_the_agent_is_killed_in_mid_prompt_and_is_asked_again_with_the_same_key(
    asking: Path, write: Callable[..., Path]
) -> None:
    write(ONE)
    owner = start(asking, "run", "w", "--run-id", "killed-2")
    until(lambda: asked(asking))
    os.kill(asked(asking)[0][1], signal.SIGKILL)
    (asking / "go").touch()
    assert owner.wait(60) == 0
    assert [key for key, _ in asked(asking)] == ["killed-2/a", "killed-2/a"]
    log = [recorded.event for recorded in ion.get_events("killed-2", project=asking)]
    (retry,) = [event for event in log if isinstance(event, events.NodeRetrying)]
    assert (retry.error.code, retry.error.message) == ("crashed", "agent slow was ended by SIGKILL")
    assert ion.get_run("killed-2", project=asking).output == "answer to question"


def test_a_pending_prompt_survives_the_death_of_its_run_and_is_answered_once(
    project: Path, write: Callable[..., Path]
) -> None:
    write("nodes:\n  - {id: ask, prompt: question}\n  - {id: busy, bash: 'touch up; sleep 60'}\n")
    owner = start(project, "run", "w", "--run-id", "pending")
    until(lambda: ion_has_pending(project) and (project / "up").exists())
    before = ion.next_prompts("pending", project=project)
    owner.kill()
    owner.wait()
    assert ion.next_prompts("pending", project=project) == before
    assert before[0]["key"] == "pending/ask"
    for i in range(4):
        (project / f"answer{i}").write_text(f"answer {i}")
    answers = [start(project, "submit", "pending", "ask", "--no-resume", "--file", f"answer{i}") for i in range(4)]
    assert sorted(answer.wait(60) for answer in answers) == [0, 5, 5, 5]
    log = [recorded.event for recorded in ion.get_events("pending", project=project)]
    (answered,) = [event.output.text for event in log if isinstance(event, events.PromptAnswered)]
    assert ion.submit("pending", "ask", str(answered), project=project) is False
    with pytest.raises(ion.errors.RefusedError, match="answered already"):
        ion.submit("pending", "ask", "another", project=project)


def ion_has_pending(project: Path) -> bool:
    try:
        return bool(ion.next_prompts("pending", project=project))
    except ion.errors.NotFoundError:
        return False


def test_a_thousand_prompts_wait_and_each_is_answered_once(project: Path, write: Callable[..., Path]) -> None:
    write("nodes:\n" + "".join(f"  - {{id: p{i}, prompt: 'question {i}'}}\n" for i in range(1000)))
    run = ion.execute_workflow_sync("w", project=project)
    assert run.status == "paused"
    waiting = ion.next_prompts(run.run_id, project=project)
    assert len({prompt["request"] for prompt in waiting}) == 1000
    for i in (0, 500, 999):
        assert ion.submit(run.run_id, f"p{i}", f"by hand {i}", project=project)
    done = ion.resume_workflow_sync(run.run_id, project=project, agent=lambda request: request.prompt.upper())
    assert done.status == "completed"
    outputs = [done.data["nodes"][f"p{i}"]["output"] for i in (0, 1, 500, 998, 999)]
    assert outputs == ["by hand 0", "QUESTION 1", "by hand 500", "QUESTION 998", "by hand 999"]


@pytest.mark.usefixtures("hurry")
def test_many_prompts_leave_no_descriptor_and_no_process(project: Path, write: Callable[..., Path]) -> None:
    """In one process, also where an agent fails, is silent, or leaves children behind."""
    script = "read -r line || :; sleep 60 & case $line in *3) exit 1;; *4) sleep 60;; esac; echo $line"
    command = json.dumps(["bash", "-c", script])
    (project / ".ion" / "config.yaml").write_text(f"agents: {{sh: {{command: {command}, max_parallel: 8}}}}\n")
    rest = "idle_timeout: 1000, retry: {max_attempts: 1, delay_ms: 1000}"
    nodes = [f"  - {{id: p{i}, agent: sh, prompt: question {i}, {rest}}}\n" for i in range(20)]
    write("nodes:\n" + "".join(nodes))
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(2):
        run = ion.execute_workflow_sync("w", project=project)
        failed = [node for node, data in run.data["nodes"].items() if data["status"] == "failed"]
        assert failed == ["p3", "p4", "p13", "p14"]
        assert with_environment(f"ION_RUN_ID={run.run_id}") == []
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 2, "what a store keeps open, and no more"


@pytest.mark.parametrize(("structured", "status"), [('{"answer": 1}', "completed"), ('{"answer": "no"}', "failed")])
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_what_an_agent_says_is_structured_is_validated_here_all_the_same(
    project: Path, write: Callable[..., Path], name: str, structured: str, status: str
) -> None:
    """With its own flag for a schema, which it may ignore; what does not fit is asked again twice, in new sessions."""
    stand_in = Path(__file__).parents[1] / "agents" / "stand_in.py"
    command = json.dumps([sys.executable, "-S", "-E", str(stand_in), name])
    env = json.dumps({"STRUCTURED": structured, "RECORD": str(project / "record")})
    settings = f"agent: it\nagents: {{it: {{preset: {name}, command: {command}, env: {env}}}}}\n"
    (project / ".ion" / "config.yaml").write_text(settings)
    write(
        "nodes:\n  - {id: first, prompt: hi}\n  - id: a\n    depends_on: [first]\n    prompt: hi\n"
        "    output_format: {type: object, properties: {answer: {type: integer}}, required: [answer]}\n"
    )
    run = ion.execute_workflow_sync("w", project=project)
    assert run.data["nodes"]["a"]["status"] == status
    argv = [json.loads(line)["argv"] for line in (project / "record").read_text().splitlines()][1:]
    flags = {"claude": "--json-schema=", "codex": "--output-schema="}
    assert all(any(word.startswith(flags[name]) for word in one) for one in argv)
    resumed = [any("resume" in word for word in one) for one in argv]
    assert resumed == ([True] if status == "completed" else [True, False, False])
    if status == "failed":
        assert run.data["nodes"]["a"]["error"]["code"] == "bad_output"
        assert "'no' is not of type 'integer'" in run.data["nodes"]["a"]["error"]["message"]
        assert run.data["nodes"]["a"]["usage"]["input_tokens"] == 3 * {"claude": 15, "codex": 100}[name]
