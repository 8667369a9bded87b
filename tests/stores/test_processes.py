"""Real processes on one store: races have one winner, and kill -9 at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from store_kit import SHARED_BETWEEN_PROCESSES, begin, dead, gate, living

from ion.core import events as e
from ion.stores import create_store
from ion.stores.base import WorkflowStore
from ion.stores.lease import effective_status, lease_clock
from processes import PATIENCE_S

ACTOR = str(Path(__file__).with_name("actor.py"))


class Arena:
    """A store that processes share."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    @contextmanager
    def store(self) -> Iterator[WorkflowStore]:
        store = create_store(self.url, project=self.folder)
        yield store
        store.close()

    def actor(self, mode: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, ACTOR, mode, self.url, str(self.folder), *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def race(self, *calls: tuple[str, ...]) -> list[list[str]]:
        """Run one actor for each call, all set off at once, and return the lines of each."""
        actors = [self.actor(*call) for call in calls]
        for actor in actors:
            assert said(actor) == "ready"
        for actor in actors:
            go(actor)
        lines: list[list[str]] = []
        for actor in actors:
            lines.append([])
            while (line := said(actor)) not in ("", "done"):
                lines[-1].append(line)
        for actor in actors:
            assert actor.communicate("\n", timeout=PATIENCE_S)[0] == ""
            assert actor.returncode == 0
        return lines


def said(actor: subprocess.Popen[str]) -> str:
    assert actor.stdout is not None
    return actor.stdout.readline().strip()


def go(actor: subprocess.Popen[str]) -> None:
    assert actor.stdin is not None
    actor.stdin.write("\n")
    actor.stdin.flush()


@pytest.fixture(params=SHARED_BETWEEN_PROCESSES)
def arena(request: pytest.FixtureRequest, tmp_path: Path) -> Arena:
    return Arena(SHARED_BETWEEN_PROCESSES[request.param](tmp_path), tmp_path)


def test_eight_first_starts_at_once_make_one_store_and_each_run_once(arena: Arena) -> None:
    runs = [f"r{i}" for i in range(10)]
    lines = arena.race(*[("create", *runs)] * 8)
    assert sorted(line for said_by in lines for line in said_by) == sorted(
        [f"{run} won" for run in runs] + [f"{run} run-exists" for run in runs] * 7
    )
    with arena.store() as store:
        assert {run.run_id for run in store.list_workflow_runs()} == set(runs)


def test_of_eight_processes_one_becomes_the_owner(arena: Arena) -> None:
    runs = [f"r{i}" for i in range(10)]
    ended = dead()
    with arena.store() as store:
        for run in runs:
            begin(store, run, owner=ended)
    lines = arena.race(*[("acquire", *runs)] * 8)
    assert sorted(line for said_by in lines for line in said_by) == sorted(
        [f"{run} won" for run in runs] + [f"{run} owned" for run in runs] * 7
    )
    with arena.store() as store:
        assert {store.get_workflow_run(run).epoch for run in runs} == {2}


def test_approve_and_reject_at_once_have_one_winner_each_time(arena: Arena) -> None:
    runs = [f"r{i}" for i in range(200)]
    with arena.store() as store:
        for run in runs:
            store.create_workflow_event(run, [gate()], lease=begin(store, run))
    lines = arena.race(("answer", "approved", *runs), ("answer", "rejected", *runs))
    with arena.store() as store:
        for index, run in enumerate(runs):
            outcomes = {lines[0][index]: "approved", lines[1][index]: "rejected"}
            assert set(outcomes) == {f"{run} won", f"{run} answered"}
            answers = [r.event for r in store.get_workflow_events(run) if isinstance(r.event, e.ApprovalResolved)]
            assert [answer.decision for answer in answers] == [outcomes[f"{run} won"]]


def test_kill_9_loses_nothing_that_was_acknowledged(arena: Arena) -> None:
    seed = random.randrange(10_000)
    moments = random.Random(seed)
    with arena.store() as store:
        begin(store, owner=dead())
    for kill in range(10):
        before = f"seed {seed}, kill {kill}"
        acknowledged = killed_after(arena.actor("append", "r1"), moments.uniform(0, 0.15))
        with arena.store() as store:
            run = store.get_workflow_run("r1")
            assert run.last_seq >= acknowledged, before
            assert run.last_seq % 2 == 1, f"{before}: the two events of one write go in together"
            assert effective_status(run, lease_clock(run.owner)) == "interrupted"
            records = store.get_workflow_events("r1")
            assert [record.seq for record in records] == list(range(1, run.last_seq + 1)), before
            for record in records:
                if isinstance(record.event, e.NodeCompleted):
                    assert_output_is_whole(store, record.event.reply.output)
    with arena.store() as store:
        lease = store.acquire_lease("r1", living(), lease_ms=1_000)
        store.update_workflow_run("r1", status="completed", at=9, lease=lease)


def killed_after(actor: subprocess.Popen[str], seconds: float) -> int:
    """Let the actor work, kill it, and return the number it last acknowledged."""
    with actor:
        assert said(actor) == "ready"
        go(actor)
        first = said(actor)
        time.sleep(seconds)
        actor.kill()
        assert actor.stdout is not None
        acknowledged = [first, *actor.stdout.read().split("\n")]
        whole = acknowledged[:-1]  # the kill may cut the last line off
    return max(int(line) for line in whole if line)


def assert_output_is_whole(store: WorkflowStore, output: e.Content) -> None:
    if output.text is None:
        with store.open_blob(output.sha256) as file:
            assert len(file.read()) == output.size
