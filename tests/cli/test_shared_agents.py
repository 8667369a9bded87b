"""`max_parallel` of an agent in the settings holds for all runs of a project together, whichever process has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ion.api.workspace import open_workspace
from processes import until

from .kit import Project

# Says how many work at once, itself among them; one whose prompt says so works until the file `go` is there, or until
# the run `second` was asked something.
AGENT = """
import os, pathlib, sys, time, uuid
prompt, work = sys.stdin.read(), pathlib.Path("at-work")
mine = work / f"{os.environ['ION_RUN_ID']}-{uuid.uuid4()}"
mine.touch()
with open("counts", "a") as counts:
    print(len(list(work.iterdir())), file=counts)
with open("asked", "a") as asked:
    print(os.environ["ION_RUN_ID"], file=asked)
while "hold" in prompt and not pathlib.Path("go").exists():
    time.sleep(0.02)
while "second" in prompt and "second" not in pathlib.Path("asked").read_text():
    time.sleep(0.02)
time.sleep(0.1)
mine.unlink()
print("done")
"""
TWO = """
name: two
description: Asks twice.
inputs: {how: {default: quick}}
nodes:
  - {id: one, agent: worker, prompt: $INPUTS.how}
  - {id: two, agent: worker, prompt: more}
  - {id: free, bash: touch "free-$ION_RUN_ID"}
"""


@pytest.fixture(params=["", "file:.ion/files"])
def two(project: Project, request: pytest.FixtureRequest) -> Project:
    """A project whose agent answers two prompts at once, in a store of each kind."""
    (project.folder / "at-work").mkdir()
    (project.folder / "agent.py").write_text(AGENT)
    project.write("two", TWO)
    configure(project, "max_parallel: 2", request.param)
    return project


def configure(project: Project, more: str, store: str = "") -> None:
    where = f"store: {store}\n" if store else ""
    command = f'command: ["{sys.executable}", agent.py]'
    (project.folder / ".ion" / "config.yaml").write_text(f"{where}agents:\n  worker: {{{command}, {more}}}\n")


def runs(project: Project, count: int, how: str = "quick") -> list[subprocess.Popen[str]]:
    names = [f"{how}-{number}" for number in range(count)]
    return [project.start("run", "two", "--run-id", name, "--input", f"how={how}", "--plain") for name in names]


def at_work(project: Project) -> list[str]:
    return [one.name for one in (project.folder / "at-work").iterdir()]


def counts(project: Project) -> list[int]:
    return [int(line) for line in (project.folder / "counts").read_text().split()]


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def test_ten_processes_share_the_turns_of_an_agent(two: Project) -> None:
    ended = [ends(one) for one in runs(two, 10)]
    assert [status for status, _ in ended] == [0] * 10, ended
    assert len(counts(two)) == 20
    assert max(counts(two)) == 2
    waited = [said for _, said in ended if "waits for worker: all runs of the project have 2 at once" in said]
    assert waited


def test_who_was_killed_keeps_no_turn(two: Project) -> None:
    holding = runs(two, 1, "hold")[0]
    until(lambda: len(at_work(two)) == 2)
    (waiting,) = runs(two, 1)
    until((two.folder / "free-quick-0").exists)  # nothing else waits for the agent
    os.kill(holding.pid, signal.SIGKILL)
    holding.communicate()
    assert ends(waiting)[0] == 0
    assert len(counts(two)) == 4


def test_a_run_with_many_prompts_lets_others_have_their_turn(two: Project) -> None:
    """Two of its turns end once another run waits; what it asks after that ends only if that one has had a turn."""
    prompts = ["hold", "hold", *["second"] * 4]
    many = "\n".join(f"  - {{id: n{number}, agent: worker, prompt: {how}}}" for number, how in enumerate(prompts))
    two.write("many", f"name: many\ndescription: Asks often.\nnodes:\n{many}\n")
    first = two.start("run", "many", "--run-id", "first", "--plain")
    until(lambda: len(at_work(two)) == 2)
    second = two.start("run", "two", "--run-id", "second", "--plain")
    until((two.folder / "free-second").exists)
    until(lambda: "second" in (record(two) or ""))
    (two.folder / "go").touch()
    assert [ends(one)[0] for one in (second, first)] == [0, 0]
    asked = (two.folder / "asked").read_text().split()
    assert len(asked) == 8
    assert asked.index("second") <= 3, asked
    assert max(counts(two)) == 2


def record(project: Project) -> str | None:
    workspace = open_workspace(project.folder)
    return workspace.store.get_record(f'["agent","{project.folder}","worker"]')


# At its account's limit for an hour in the run `limited`, and in no other.
LIMITED = """
import json, os, sys, time
sys.stdin.read()
said = {"type": "result", "subtype": "success", "session_id": "s"}
if os.environ["ION_RUN_ID"] == "limited":
    print(json.dumps({**said, "is_error": True, "result": f"usage limit reached|{int(time.time()) + 3600}"}))
    sys.exit(1)
print(json.dumps({**said, "is_error": False, "result": "ok"}))
"""


def test_a_run_that_waits_for_its_agents_limit_holds_no_turn(two: Project) -> None:
    (two.folder / "agent.py").write_text(LIMITED)
    configure(two, "max_parallel: 1, preset: claude")
    waits = two.start("run", "two", "--run-id", "limited", "--patience", "2h", "--plain")
    until(lambda: "lane_closed" in two.run("events", "limited", "--json").out)
    status, said = ends(two.start("run", "two", "--run-id", "other", "--plain"))
    assert (status, waits.poll()) == (0, None), said
    waits.send_signal(signal.SIGINT)
    ends(waits)


def test_a_limit_that_nobody_set_costs_nothing(two: Project) -> None:
    configure(two, "options: {}")
    assert [ends(one)[0] for one in runs(two, 1)] == [0]
    assert record(two) is None
