"""`ion events`: the log of a run, followed to its end or left by its reader."""

from __future__ import annotations

import json
import signal
import time

from processes import PATIENCE_S, until

from .kit import Project, fits
from .workflows import SLOW


def test_a_reader_of_events_that_goes_away_does_not_harm_the_run(project: Project) -> None:
    project.write(
        "many",
        "name: many\ndescription: d\nnodes:\n" + "".join(f"  - id: n{i}\n    bash: echo {i}\n" for i in range(12)),
    )
    process = project.start("run", "many", "--events", "--run-id", "mine", "--jobs", "1")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=PATIENCE_S)
    assert process.returncode == 0
    nodes = project.run("show", "mine", "--json").json("run")["nodes"]
    assert {node["status"] for node in nodes.values()} == {"completed"}


def test_following_ends_when_the_run_does(project: Project) -> None:
    project.write("slow", SLOW.replace("touch running", "touch running; echo out; echo err >&2"))
    run = project.start("run", "slow", "--run-id", "mine")
    until((project.folder / "running").exists)
    events = project.start("events", "mine", "--follow")
    logs = project.start("logs", "mine", "wait", "--follow")
    time.sleep(0.5)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=PATIENCE_S)
    lines = [json.loads(line) for line in events.communicate(timeout=PATIENCE_S)[0].splitlines()]
    for line in lines:
        fits(line, "event")
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    said = logs.communicate(timeout=PATIENCE_S)[0]
    assert "==> wait, bash, stdout <==\nout\n" in said
    assert "==> wait, bash, stderr <==\nerr\n" in said
