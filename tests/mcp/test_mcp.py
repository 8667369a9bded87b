"""`ion mcp`, driven by the official client over stdio: the caller is the agent, and Ion holds the order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client

import ion
from ion.mcp.greeting import VERSIONS
from ion.mcp.lines import LONGEST_LINE
from ion.mcp.tools import TOOLS
from processes import alive, until

# The handshake of all versions up to 2025-11-25, and the requests without one that came after.
ERAS = ("legacy", "auto")
WORKFLOWS = {
    "two.yaml": """
name: two
description: A shell step, two prompts and a gate
inputs: {topic: {required: true, description: What it is about}}
nodes:
  - {id: a, bash: 'echo "about $INPUTS.topic"'}
  - {id: p, depends_on: [a], prompt: "Write on $a.output"}
  - id: q
    depends_on: [p]
    prompt: "Rate $p.output"
    output_format: {type: object, required: [stars], properties: {stars: {type: integer}}}
  - {id: g, depends_on: [q], approval: {message: "Fine? $q.output.stars"}}
  - {id: z, depends_on: [g], bash: 'echo "$p.output: $q.output.stars"'}
""",
    "slow.yaml": """
name: slow
description: A step that takes long, and a prompt beside it
nodes:
  - {id: long, bash: 'echo $$ > "$ARTIFACTS_DIR/pid"; sleep 60'}
  - {id: ask, prompt: Say something}
""",
    "again.yaml": """
name: again
description: A step that takes long the first time
nodes:
  - {id: one, bash: 'echo x >> one.txt'}
  - {id: long, depends_on: [one], bash: 'if [ -e begun ]; then echo done; else echo $$ > begun; sleep 60; fi'}
  - {id: ask, depends_on: [long], prompt: "It says $long.output"}
""",
    "big.yaml": """
name: big
description: An output that is too long for one answer
secrets: [ION_TEST_SECRET]
nodes:
  - {id: big, bash: "head -c 300000 /dev/zero | tr '\\\\0' x"}
  - {id: key, depends_on: [big], prompt: 'the key is $told.output'}
  - {id: told, bash: 'echo "$ION_TEST_SECRET"'}
""",
    "odd name.yaml": """
name: Odd / näme
description: A name that no client can make a command of
nodes: [{id: a, bash: 'true'}]
""",
    "broken.yaml": "name: broken\nnodes: [{id: a}]\n",
    "choose.yaml": """
name: choose
description: A gate with decisions
nodes:
  - id: g
    approval: {message: Which?, decisions: [{id: approve, label: Yes}, {id: later, label: Later}]}
  - {id: z, depends_on: [g], bash: 'echo "$g.output.decision"'}
""",
    "rework.yaml": """
name: rework
description: A gate whose rework the client writes
nodes:
  - id: g
    approval: {message: "Good? $REWORK", on_reject: {prompt: "Redo it: $REJECTION_REASON"}}
  - {id: z, depends_on: [g], bash: 'echo "$g.output"'}
""",
}
SOP = """
# Sort mail

## Overview

Sorts it.

## Parameters

- **subject** (required): What to look for
- **folder** (optional, default: "inbox"): Where

## Steps

### 1. Look

Look in {folder} for {subject}.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ion" / "workflows").mkdir(parents=True)
    for name, text in WORKFLOWS.items():
        (folder / ".ion" / "workflows" / name).write_text(text)
    (folder / ".ion" / "workflows" / "sort-mail.sop.md").write_text(SOP)
    # A configured agent is not asked: whoever calls is the agent.
    (folder / ".ion" / "config.yaml").write_text("agent: shout\nagents: {shout: {command: tr a-z A-Z}}\n")
    return folder


@dataclass
class Caller:
    """A client of one server."""

    client: Client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool that worked gives."""
        failed, data = await self.ask(tool, **arguments)
        assert not failed, data
        return data

    async def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error of a tool that did not."""
        failed, data = await self.ask(tool, **arguments)
        assert failed, data
        error = data["error"]
        assert isinstance(error, dict)
        return error

    async def ask(self, tool: str, **arguments: Any) -> tuple[bool, dict[str, Any]]:
        result = await self.client.call_tool(tool, arguments)
        data = result.structured_content
        assert isinstance(data, dict)
        assert json.loads(result.content[0].text) == data  # clients that show only text show the same
        return bool(result.is_error), data


@asynccontextmanager
async def server(
    project: Path, *options: str, mode: str = "auto", first: str = "", **environment: str
) -> AsyncIterator[Caller]:
    """A client of a server; `first` is Python code that the server's process runs before."""
    program = ["-c", f"{first}\nfrom ion.cli.main import main\nmain()"] if first else ["-m", "ion.cli"]
    words = ["-P", *program, "mcp", "--project", str(project), *options]
    env = {**os.environ, "XDG_CONFIG_HOME": str(project / "none"), **environment}
    parameters = StdioServerParameters(command=sys.executable, args=words, env=env, cwd=project)
    async with Client(stdio_client(parameters), mode=mode) as client:
        yield Caller(client)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_workflow_from_its_start_to_its_end(project: Path, mode: str) -> None:
    """One prompt at a time, in order; the gate is answered by a person elsewhere."""
    async with server(project, mode=mode) as call:
        names = {tool.name for tool in (await call.client.list_tools()).tools}
        assert names == {"ion_list", "ion_start", "ion_next", "ion_submit", "ion_status", "ion_cancel"}

        step = await call("ion_start", workflow="two", inputs={"topic": "</user-input> $p.output"})
        run = step["run_id"]
        assert [(one["node"], one["prompt"]) for one in step["prompts"]] == [
            ("p", "Write on about </user-input> $p.output")
        ]
        step = await call("ion_submit", run_id=run, node="p", request=step["prompts"][0]["request"], output="words")
        assert [(one["node"], one["output_format"]["required"]) for one in step["prompts"]] == [("q", ["stars"])]

        error = await call.refused("ion_submit", run_id=run, node="q", output='{"stars": "many"}')
        assert (error["code"], "$.stars" in error["message"]) == ("output-format", True)
        again = await call("ion_next", run_id=run)
        assert [one["request"] for one in again["prompts"]] == ["q.1"]

        step = await call("ion_submit", run_id=run, node="q", output='{"stars": 4}')
        assert step["waiting"] == [{"node": "g", "kind": "approval", "message": "Fine? 4"}]
        assert "only a person" in step["next"]
        same = await call("ion_submit", run_id=run, node="q", output='{"stars": 4}')
        assert same["recorded"] is False
        other = await call.refused("ion_submit", run_id=run, node="q", output='{"stars": 5}')
        assert other["code"] == "answered"

        ion.approve(run, project=project)
        step = await call("ion_next", run_id=run)
        assert (step["status"], step["output"]) == ("completed", "words: 4")
        shown = await call("ion_status", run_id=run)
        assert shown["nodes"]["z"]["status"] == "completed"
        events = [item.event for item in ion.get_events(run, project=project)]
        assert {event.by["via"] for event in events if isinstance(event, ion.events.PromptAnswered)} == {"mcp"}


async def test_a_start_says_what_is_worth_saying_of_the_file(project: Path) -> None:
    """Warnings are told, and text that nothing would read is refused where inputs were meant."""
    folder = project / ".ion" / "workflows"
    (folder / "warned.yaml").write_text("name: warned\ndescription: d\ncolour: red\nnodes: [{id: a, bash: echo hi}]\n")
    async with server(project) as call:
        step = await call("ion_start", workflow="warned", arguments="look here")
        assert step["notes"][0] == "1 warning: ion validate warned"
        assert step["notes"][1].startswith("text-unused")
        error = await call.refused(
            "ion_start", workflow="two", inputs={"topic": "x"}, arguments="topic=y " + " " * 99999
        )
        assert (error["code"], error["hint"]) == ("text-unused", "write --input topic=y")


async def test_a_run_that_is_not_clean_says_so(project: Path) -> None:
    nodes = "[{id: lint, bash: exit 3, allow_failure: true}, {id: ship, bash: 'true'}]"
    (project / ".ion" / "workflows" / "foreseen.yaml").write_text(f"name: foreseen\ndescription: d\nnodes: {nodes}\n")
    async with server(project) as call:
        step = await call("ion_start", workflow="foreseen")
        assert (step["status"], step["clean"], step["allowed"]) == ("completed", False, ["lint"])
        assert "not clean" in step["next"]


async def test_gates_only_where_it_was_allowed(project: Path) -> None:
    async with server(project, "--allow-approve") as call:
        names = {tool.name for tool in (await call.client.list_tools()).tools}
        assert {"ion_approve", "ion_reject", "ion_respond"} <= names
        run = (await call("ion_start", workflow="choose"))["run_id"]
        error = await call.refused("ion_respond", run_id=run, node="g", decision="never")
        assert "approve, later" in error["hint"]
        step = await call("ion_respond", run_id=run, node="g", decision="later")
        assert (step["status"], step["output"]) == ("completed", "later")
        late = await call.refused("ion_approve", run_id=run, node="g")
        assert late["code"] == "ended"

        run = (await call("ion_start", workflow="two", inputs={"topic": "x"}))["run_id"]
        await call("ion_submit", run_id=run, node="p", output="w")
        await call("ion_submit", run_id=run, node="q", output='{"stars": 1}')
        step = await call("ion_reject", run_id=run, reason="too few")
        assert (step["status"], step["error"]["message"]) == ("cancelled", "too few")


MANY = """
name: many
description: A prompt and a gate for each of 30 items
nodes:
  - id: review
    fan_out: {items: $ARGUMENTS, max_parallel: all}
    group:
      nodes:
        - {id: look, prompt: "Look at $INPUTS.item"}
        - {id: ok, depends_on: [look], approval: {message: "Fine? $look.output"}}
"""


async def test_the_items_of_a_fan_out_in_a_bounded_form(project: Path) -> None:
    """Prompts come some at a time, each with its address; gates are answered one by one, or all inside of a node."""
    (project / ".ion" / "workflows" / "many.yaml").write_text(MANY)
    async with server(project, "--allow-approve") as call:
        step = await call("ion_start", workflow="many", arguments=json.dumps(list(range(30))))
        done = 0
        run = step["run_id"]
        while step.get("prompts_left") != 10:
            step = await call("ion_next", run_id=run)
        assert len(step["prompts"]) == 20
        while step["prompts"]:
            one = step["prompts"][0]
            assert (one["node"], one["prompt"]) == (f"review.{done}.look", f"Look at {done}")
            step = await call("ion_submit", run_id=run, node=f"review[{done}].look", output=f"seen {done}")
            done += 1
        assert done == 30
        while step.get("waiting_left") != 10:
            step = await call("ion_next", run_id=run)
        assert len(step["waiting"]) == 20
        error = await call.refused("ion_approve", run_id=run, node="review")
        assert (error["code"], "each" in error["hint"]) == ("several-gates", True)
        step = await call("ion_reject", run_id=run, node="review.0.ok", reason="not that")
        error = await call.refused("ion_approve", run_id=run, each=True)
        assert "takes a node" in error["message"]
        step = await call("ion_approve", run_id=run, node="review", each=True)
        assert (step["answered"], step["not_answered"], step["refused"]) == (29, 0, {})
        assert (step["waiting"], step["prompts"]) == ([], [])
        node = (await call("ion_status", run_id=run))["nodes"]["review"]
        assert (node["counts"]["total"], len(node["instances"]), node["instances_left"]) == (30, 1, 29)
        assert [(one["address"], one["item"]) for one in node["instances"]] == [("review.0", 0)]
        one = (await call("ion_status", run_id=run, node="review[3].look"))["node"]
        assert (one["address"], one["output"]) == ("review.3.look", "seen 3")
        error = await call.refused("ion_status", run_id=run, node="review.99")
        assert error["code"] == "not-found"


async def test_a_rework_that_the_client_wrote_can_be_rejected_and_approved(project: Path) -> None:
    async with server(project, "--allow-approve") as call:
        run = (await call("ion_start", workflow="rework"))["run_id"]
        for count in (1, 2):
            step = await call("ion_reject", run_id=run, reason=f"no {count}")
            (prompt,) = step["prompts"]
            assert prompt["prompt"] == f"Redo it: no {count}"
            step = await call("ion_submit", run_id=run, node="g", request=prompt["request"], output=f"draft {count}")
            assert step["waiting"] == [{"node": "g", "kind": "approval", "message": f"Good? draft {count}"}]
        step = await call("ion_approve", run_id=run)
        assert (step["status"], step["output"]) == ("completed", "draft 2")


async def test_an_answer_that_hangs_its_check_is_refused_and_others_are_served_meanwhile(project: Path) -> None:
    schema = r"{properties: {a: {type: string, pattern: '^(\w+\s?)*$'}}}"
    (project / ".ion" / "workflows" / "hang.yaml").write_text(
        f"name: hang\ndescription: d\nnodes: [{{id: x, prompt: hi, output_format: {schema}}}]\n"
    )
    async with server(project, first="from ion.nodes import checking\nchecking.PROCESSOR_SECONDS = 1") as call:
        step = await call("ion_start", workflow="hang", run_id="mine")
        asked = {"run_id": "mine", "node": "x", "request": step["prompts"][0]["request"]}
        hanging = asyncio.ensure_future(call.refused("ion_submit", **asked, output='{"a": "%s!"}' % ("a" * 50)))
        assert (await call("ion_status", run_id="mine"))["status"] == "paused"
        assert not hanging.done()
        assert "could not be held against output_format" in (await hanging)["message"]
        assert (await call("ion_submit", **asked, output='{"a": "b c"}'))["status"] == "completed"


async def test_a_server_inside_of_the_run_does_not_answer_its_gates(project: Path) -> None:
    paused = ion.execute_workflow_sync
    run = (await asyncio.to_thread(paused, "choose", project=project)).run_id
    async with server(project, "--allow-approve", ION_RUN_ID=run) as call:
        assert (await call.refused("ion_approve", run_id=run))["code"] == "own-gate"


async def test_last_is_not_a_run_since_another_client_may_have_begun_it(project: Path) -> None:
    async with server(project, "--allow-approve", "--allow-signal") as call:
        run = (await call("ion_start", workflow="two", inputs={"topic": "x"}))["run_id"]
        for tool in TOOLS:
            if "run_id" in tool.required:
                words = dict.fromkeys(tool.required, "approve") | {"run_id": "last"}
                error = await call.refused(tool.name, **words)
                assert (error["code"], "'last' is not a run" in error["message"]) == ("not-found", True), tool.name
        assert (await call("ion_status", run_id=run))["status"] == "paused"


async def test_waiting_is_bounded_and_the_run_goes_on(project: Path) -> None:
    """A prompt is handed out while another step still runs; cancel ends that step and its process."""
    async with server(project) as call:
        step = await call("ion_start", workflow="slow", run_id="mine")
        assert (step["run_id"], step["status"]) == ("mine", "running")
        assert [one["node"] for one in step["prompts"]] == ["ask"]
        twice = await call("ion_start", workflow="slow", run_id="mine", wait_seconds=0)
        assert (twice["run_id"], twice["notes"]) == ("mine", ["the run had been started before"])
        other = await call.refused("ion_start", workflow="two", inputs={"topic": "x"}, run_id="mine")
        assert (other["code"], "ion_next" in other["hint"]) == ("run-exists", True)
        step = await call("ion_submit", run_id="mine", node="ask", output="something", wait_seconds=0.2)
        assert (step["status"], step["prompts"]) == ("running", [])
        assert "ion_next" in step["next"]
        pid = int((project / ".ion" / "runs" / "mine" / "artifacts" / "pid").read_text())
        step = await call("ion_cancel", run_id="mine", reason="enough")
        assert step["status"] == "cancelled"
        assert not Path(f"/proc/{pid}").exists()
        assert (await call.refused("ion_cancel", run_id="mine"))["code"] == "ended"


async def test_many_at_once(project: Path) -> None:
    async with server(project) as call:
        started = await asyncio.gather(*(call("ion_start", workflow="two", inputs={"topic": str(n)}) for n in range(5)))
        runs = [step["run_id"] for step in started]
        assert len(set(runs)) == 5
        shown = await asyncio.gather(*(call("ion_status", run_id=runs[n % 5]) for n in range(200)))
        assert {one["status"] for one in shown} <= {"paused", "running"}
        answered = await asyncio.gather(*(call("ion_submit", run_id=run, node="p", output=run) for run in runs))
        assert [step["prompts"][0]["prompt"] for step in answered] == [f"Rate {run}" for run in runs]


async def test_a_server_that_dies_loses_nothing(project: Path) -> None:
    """kill -9 in the middle of a step, which works on: a new server ends it and continues, and what was completed is
    not run again (docs/mcp.md)."""
    with begun(project, "again", "cut") as process:
        until(lambda: (project / "begun").exists() and (project / "begun").read_text().endswith("\n"))
        process.kill()
    pid = int((project / "begun").read_text())
    async with server(project) as call:
        assert (await call("ion_status", run_id="cut"))["status"] == "interrupted"
        assert alive(pid)
        step = await call("ion_next", run_id="cut")
        assert [one["prompt"] for one in step["prompts"]] == ["It says done"]
        assert not alive(pid)
    assert (project / "one.txt").read_text() == "x\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, None], ids=["SIGTERM", "stdin closed"])
def test_a_server_that_is_told_to_go_leaves_no_process_and_a_run_to_go_on_with(
    project: Path, number: signal.Signals | None
) -> None:
    file = project / ".ion" / "runs" / "told" / "artifacts" / "pid"
    with begun(project, "slow", "told") as process:
        until(lambda: file.exists() and file.read_text().strip() != "")
        pid = int(file.read_text())
        if number is None:
            assert process.stdin is not None
            process.stdin.close()
        else:
            process.send_signal(number)
        assert process.wait(30) == (0 if number is None else -number)
        assert not Path(f"/proc/{pid}").exists()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert ion.get_run("told", project=project).status == "interrupted"


async def test_what_a_hostile_caller_may_not(project: Path) -> None:
    (project / "evil.yaml").write_text("name: evil\ndescription: x\nnodes: [{id: a, bash: touch evil}]\n")
    async with server(project) as call:
        for path in ("./evil.yaml", str(project / "evil.yaml"), "../x.yaml", "/etc/passwd"):
            assert "is a path" in (await call.refused("ion_start", workflow=path))["message"]
        assert (await call.refused("ion_start", workflow="evil"))["code"] == "not-found"
        assert (await call.refused("ion_start", workflow="broken"))["code"] == "invalid-workflow"
        agent = await call.refused("ion_start", workflow="slow", agent="touch evil")
        assert "no agent is configured" in agent["message"]
        missing = await call.refused("ion_start", workflow="two", inputs={"topik": "x"})
        assert "did you mean 'topic'" in missing["message"]
        assert "missing input 'topic'" in missing["message"]
        wrong = await call.refused("ion_start", workflow=7, cwd="/", wait_seconds=1e9)
        assert all(word in wrong["message"] for word in ("$.workflow", "cwd", "$.wait_seconds"))
        assert (await call.refused("ion_status", run_id="../../etc"))["code"] == "not-found"
        assert (await call.refused("ion_status", run_id="last"))["code"] == "not-found"
        assert (await call.refused("ion_submit", run_id="nobody", node="a", output="x"))["code"] == "not-found"
        assert (await call.refused("ion_approve", run_id="x"))["code"] == "not-found"
    assert not (project / "evil").exists()
    async with server(project, "--allow-paths") as call:
        assert (await call("ion_start", workflow="./evil.yaml"))["status"] == "completed"
    assert (project / "evil").exists()


async def test_large_outputs_and_secrets(project: Path) -> None:
    async with server(project, ION_TEST_SECRET="s3cret-value") as call:
        step = await call("ion_start", workflow="big")
        assert [one["prompt"] for one in step["prompts"]] == ["the key is ***"]
        shown = await call("ion_status", run_id=step["run_id"])
        big = shown["nodes"]["big"]
        assert (big["output"], big["output_bytes"]) == (None, 300_000)
        assert Path(big["output_file"]).stat().st_size == 300_000
        assert shown["nodes"]["told"]["output"] == "***"


async def test_an_error_shows_no_secret_of_its_run(project: Path) -> None:
    text = WORKFLOWS["two.yaml"].replace("description", "secrets: [ION_TEST_SECRET]\ndescription", 1)
    (project / ".ion" / "workflows" / "two.yaml").write_text(text)
    async with server(project, ION_TEST_SECRET="s3cret-value") as call:
        run = (await call("ion_start", workflow="two", inputs={"topic": "x"}))["run_id"]
        await call("ion_submit", run_id=run, node="p", output="words")
        error = await call.refused("ion_submit", run_id=run, node="q", output='{"stars": "s3cret-value"}')
        assert "$.stars: '***' is not" in error["message"]


async def test_a_path_that_is_not_unicode_ends_no_answer(project: Path) -> None:
    text = "name: odd\ndescription: in an odd file\nnodes: [{id: a, bash: 'true'}]\n"
    (project / ".ion" / "workflows" / os.fsdecode(b"odd\xff.yaml")).write_text(text)
    async with server(project) as call:
        (found,) = [one for one in (await call("ion_list"))["workflows"] if one["name"] == "odd"]
        assert found["file"].endswith("odd\ufffd.yaml")
        assert (await call("ion_start", workflow="odd"))["status"] == "completed"


CALL = '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "ion_status", "arguments": %s}}'
BRACKETS = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """One server that is sent line after line, whatever was in those before."""
    folder = tmp_path_factory.mktemp("served")
    words = [sys.executable, "-P", "-m", "ion.cli", "mcp", "--project", str(folder)]
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        first = {"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": begin}
        send(process, json.dumps(first).encode(), b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == "first"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def send(process: subprocess.Popen[bytes], *lines: bytes) -> None:
    assert process.stdin is not None
    for line in lines:
        process.stdin.write(line + b"\n")
        process.stdin.flush()


@pytest.mark.parametrize(
    ("line", "number", "said"),
    [
        (CALL % '{"run_id": "a\\ud83d"}', 7, "not-found"),
        (CALL % '{"\\udc00": 1}', 7, "invalid arguments for"),
        (CALL.encode() % b'{"run_id": "a\xff"}', 7, "not-found"),
        (CALL % f'{{"run_id": {BRACKETS}}}', 7, "nested too deeply"),
        (CALL.replace("7", '"\\ud83d \\"id\\": 8"') % BRACKETS, '\ufffd "id": 8', "nested too deeply"),
        (f'{{"params": {{"id": 8, "x": {BRACKETS}}}, "method": "tools/call", "id": 7}}', 7, "nested too deeply"),
        (CALL % '["x"]', 7, "Invalid request parameters"),
        (CALL % '{"run_id": "x", "wait_seconds": NaN}', 7, "NaN"),
        (CALL % ('{"run_id": "x", "n": ' + "9" * 5000 + "}"), 7, "invalid arguments for"),
        ('{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": [1]}', 7, "not a request"),
        ('{"jsonrpc": "2.0", "id": 7.5, "method": "tools/list"}', None, "the id of the message"),
        ('{"jsonrpc": "2.0", "id": 7, "method": ', 7, "not JSON"),
        ("[]", None, "not a JSON object"),
        ('{"jsonrpc": "2.0", "id": "\\x", "method": "tools/list"}', None, "not JSON"),
        ('{"jsonrpc": "2.0", "method": "tools/list", "id": "cut', None, "not JSON"),
        pytest.param('{"params": {"text": "' + '\\"' * 500_000, None, "not JSON", id="cut in a text with quotes"),
        pytest.param('{"id": 7, "x": "' + "x" * LONGEST_LINE + '"}', 7, "longer than 64 MiB", id="too long"),
    ],
)
def test_whatever_a_client_sends_is_answered(
    served: subprocess.Popen[bytes], line: str | bytes, number: Any, said: str
) -> None:
    last = {"jsonrpc": "2.0", "id": "last", "method": "tools/call", "params": {"name": "ion_list", "arguments": {}}}
    send(served, line if isinstance(line, bytes) else line.encode(), json.dumps(last).encode())
    assert served.stdout is not None
    answers: dict[Any, str] = {}
    while len(answers) < 2 and (text := served.stdout.readline()):
        answers[json.loads(text)["id"]] = text.decode()
    assert answers.keys() == {number, "last"}
    assert said in answers[number]


@pytest.mark.parametrize("version", [*VERSIONS, "1999-01-01"])
def test_the_greeting_is_what_the_sdk_says(tmp_path: Path, version: str) -> None:
    """The first answers are given before the SDK is loaded; once it has taken over, it says the same."""
    begin = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    asked: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": begin},
        {"jsonrpc": "2.0", "id": "two", "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 4, "method": "prompts/list"},
        {"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": begin},
        {"jsonrpc": "2.0", "id": "six", "method": "ping"},
        {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}},
    ]
    answers = {one["id"]: one["result"] for one in conversation(tmp_path, [json.dumps(one).encode() for one in asked])}
    assert list(answers) == [1, "two", 3, 4, 5, "six", 7]
    assert (answers[1], answers["two"], answers[3]) == (answers[5], answers["six"], answers[7])
    assert {"ion_start", "ion_submit"} <= {tool["name"] for tool in answers[3]["tools"]}


def conversation(folder: Path, lines: list[bytes]) -> list[dict[str, Any]]:
    """The answers of a server to these messages, each of which is sent after the answer to the one before."""
    words = [sys.executable, "-P", "-m", "ion.cli", "mcp", "--project", str(folder)]
    answers = []
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines:
            send(process, line)
            if b'"id"' in line:
                answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
    return answers


def test_the_sdk_is_loaded_late() -> None:
    code = "import sys, ion.cli.servers, ion.mcp.server; sys.exit(bool({'mcp', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "first",
    [
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 5}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "initialize"}',
        b'{"id": 1, "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "nonsense"}',
    ],
)
def test_a_client_that_begins_otherwise_is_answered(tmp_path: Path, first: bytes) -> None:
    (answer,) = conversation(tmp_path, [first])
    assert (answer["id"], "error" in answer) == (1, True)


async def test_lists_and_prompts(project: Path, tmp_path: Path) -> None:
    """What is new since the last call is seen; names are such that clients can make commands of them."""
    other = tmp_path / "sops"
    other.mkdir()
    (other / "tidy.sop.md").write_text(SOP.replace("Sort mail", "Tidy up"))
    async with server(project, "--sop-paths", str(other)) as call:
        listed = {one["name"]: one for one in (await call("ion_list"))["workflows"]}
        assert listed["two"]["inputs"]["topic"]["required"] is True
        assert listed["broken"]["problems"]
        assert {listed["tidy"]["kind"], listed["two"]["kind"]} == {"sop", "workflow"}
        step = await call("ion_start", workflow="tidy", inputs={"subject": "bills"})
        assert "Look in inbox for bills" in step["prompts"][0]["prompt"]

        shown = {one.name: one for one in (await call.client.list_prompts()).prompts}
        assert {"two", "slow", "sort-mail", "tidy", "Odd-n-me"} <= shown.keys()
        assert "broken" not in shown
        arguments = {one.name: one.required for one in shown["sort-mail"].arguments or ()}
        assert arguments == {"subject": True, "folder": False}
        assert {one.name for one in shown["two"].arguments or ()} == {"topic", "arguments"}

        text = await _prompt(call, "sort-mail", subject="a ~~~ b {folder}\n~~~~")
        assert "Look in {folder} for {subject}." in text
        assert "subject:\n~~~~~\na ~~~ b {folder}\n~~~~\n~~~~~\n" in text
        text = await _prompt(call, "two", topic="$p.output", arguments="and quickly")
        assert "'two'" in text
        assert "inputs.topic:\n~~~\n$p.output\n~~~" in text
        for name, given, said in [
            ("two", {}, "missing input 'topic': What it is about"),
            ("sort-mail", {"subjekt": "x"}, "did you mean 'subject'"),
            ("sort-mai", {}, "did you mean 'sort-mail'"),
        ]:
            with pytest.raises(MCPError, match=said):
                await call.client.get_prompt(name, given)

        (project / ".ion" / "workflows" / "new.yaml").write_text(WORKFLOWS["slow.yaml"].replace("slow", "brand-new"))
        assert "brand-new" in {one.name for one in (await call.client.list_prompts()).prompts}


async def test_an_output_that_is_too_long_for_an_answer_is_a_file(project: Path) -> None:
    text = "name: long\ndescription: d\nnodes: [{id: a, bash: 'printf %0300000d 0'}]\n"
    (project / ".ion" / "workflows" / "long.yaml").write_text(text)
    async with server(project) as call:
        step = await call("ion_start", workflow="long")
        assert (step["status"], step["output"], step["output_bytes"]) == ("completed", None, 300_000)
        assert Path(step["output_file"]).read_text() == "0" * 300_000
        assert "`output_file`" in step["next"]


async def test_a_missing_input_is_said_in_the_words_of_the_tools(project: Path) -> None:
    async with server(project) as call:
        error = await call.refused("ion_start", workflow="two")
        assert (error["hint"], "topic" in error["message"]) == (
            "they go into `inputs`; ion_list says which there are",
            True,
        )


async def test_progress_for_whoever_asks_for_it(project: Path) -> None:
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with server(project) as call:
        await call.client.call_tool("ion_start", {"workflow": "two", "inputs": {"topic": "x"}}, progress_callback=note)
    assert any("settled" in line for line in told)


async def test_progress_has_what_an_agent_does(project: Path) -> None:
    call_ = {"type": "tool_use", "name": "Edit", "input": {"file_path": "src/auth.py"}}
    events = [
        {"type": "assistant", "message": {"id": "1", "content": [call_]}},
        {"type": "result", "result": "done", "session_id": "s"},
    ]
    (project / "events").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    settings = "agents: {helper: {preset: claude, command: [sh, -c, cat events]}}\n"
    (project / ".ion" / "config.yaml").write_text(settings)
    (project / ".ion" / "workflows" / "edits.yaml").write_text(
        "name: edits\ndescription: d\nagent: helper\nnodes: [{id: a, prompt: hi}]\n"
    )
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with server(project) as call:
        await call.client.call_tool("ion_start", {"workflow": "edits"}, progress_callback=note)
    assert "a: helper · Edit src/auth.py" in told


async def _prompt(call: Caller, name: str, **arguments: str) -> str:
    text = (await call.client.get_prompt(name, arguments)).messages[0].content.text
    assert isinstance(text, str)
    return text


@contextmanager
def begun(project: Path, workflow: str, run_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that was told to start a workflow, as a client of the older era writes it."""
    words = [sys.executable, "-P", "-m", "ion.cli", "mcp", "--project", str(project)]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(project / "none")}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(words, cwd=project, env=environment, **pipes) as process:
        assert process.stdin is not None
        for message in handshake("ion_start", {"workflow": workflow, "run_id": run_id, "wait_seconds": 0}):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        yield process


def handshake(tool: str, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    yield {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    yield {"jsonrpc": "2.0", "method": "notifications/initialized"}
    yield {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


async def test_a_spent_budget_is_raised_by_a_person(project: Path) -> None:
    """The client is told so, and not that a gate is open."""
    stand_in = Path(__file__).parents[1] / "agents" / "stand_in.py"
    command = json.dumps([sys.executable, "-S", "-E", str(stand_in), "claude"])
    (project / ".ion" / "config.yaml").write_text(f"agents: {{paid: {{preset: claude, command: {command}}}}}\n")
    (project / ".ion" / "workflows" / "paid.yaml").write_text(
        "name: paid\ndescription: d\nmax_budget_usd: 0.2\nagent: paid\n"
        "nodes: [{id: a, prompt: hi}, {id: b, prompt: hi, depends_on: [a]}]\n"
    )
    async with server(project) as call:
        step = await call("ion_start", workflow="paid")
        assert [item["kind"] for item in step["waiting"]] == ["budget"]
        assert f"ion resume {step['run_id']} --max-budget-usd X" in step["next"]


WAITS = """
name: waits
description: Waits for a signal, and for long.
nodes:
  - {id: merged, wait: {event: merged}}
  - {id: say, depends_on: [merged], bash: "echo $merged.output.payload.n"}
"""


async def test_signals_only_where_it_was_allowed(project: Path) -> None:
    (project / ".ion" / "workflows" / "waits.yaml").write_text(WAITS)
    async with server(project) as call:
        assert "ion_signal" not in {tool.name for tool in (await call.client.list_tools()).tools}
    async with server(project, "--allow-signal") as call:
        step = await call("ion_start", workflow="waits")
        assert (step["status"], step["waiting"][0]["event"]) == ("paused", "merged")
        assert "waits for the signal 'merged'" in step["next"]
        run = step["run_id"]
        assert (await call.refused("ion_signal", run_id=run, event="merge"))["code"] == "usage"
        step = await call("ion_signal", run_id=run, event="merged", payload={"n": 7}, delivery="d")
        assert (step["status"], step["output"], step["recorded"]) == ("completed", "7", True)
