"""`ion.Engine`: many runs in one process, started, waited for, answered and released."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import ion
from ion.core.commands import AgentLimits
from ion.core.fold import fold
from ion.core.plan import Plan
from ion.core.step import step
from ion.engine.pool import RunPool
from processes import PATIENCE_S, eventually

# The threads in which a program of any size reads the store: as many as `asyncio.to_thread` has.
DEFAULT_WORKERS = min(32, (os.cpu_count() or 1) + 4)
ASKS = """
name: asks
description: A prompt, a gate, a step
nodes:
  - {id: draft, prompt: Draft it}
  - {id: gate, depends_on: [draft], approval: {message: 'publish?'}}
  - {id: say, depends_on: [gate], bash: 'echo said'}
"""
SLEEPS = """
name: sleeps
description: A step that takes long
nodes:
  - {id: sleep, bash: 'sleep 60'}
"""


async def test_a_run_is_started_and_waited_for_until_it_needs_somebody(tmp_path: Path) -> None:
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            started = await engine.start(ion.RunSpec(ion.parse_workflow(ASKS), run_id="one"))
            run = project.run(started.run_id)
            assert [item.kind for item in (await engine.wait(run)).waiting] == ["prompt"]
            run.submit("draft", "a draft")
            told: list[str] = []

            async def report(recorded: ion.Recorded, state: ion.RunState) -> None:
                told.append(recorded.event.type)

            assert [item.kind for item in (await engine.wait(run, report=report)).waiting] == ["approval"]
            assert told
            run.answer("approve")
            done = await engine.wait(run)
            assert (done.status, done.output, engine.drives(run)) == ("completed", "said", False)


async def test_a_wait_ends_when_its_time_is_over_and_the_run_continues(tmp_path: Path) -> None:
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            started = await engine.start(ion.RunSpec(ion.parse_workflow(SLEEPS)))
            run = project.run(started.run_id)
            assert (await engine.wait(run, seconds=0)).status == "running"
            assert engine.drives(run)
            run.cancel(reason="enough")
            assert (await engine.wait(run)).status == "cancelled"


async def test_at_the_end_nothing_runs_and_all_can_be_resumed(tmp_path: Path) -> None:
    with ion.open(tmp_path) as project:
        async with ion.Engine(project) as engine:
            runs = [await engine.start(ion.RunSpec(ion.parse_workflow(SLEEPS))) for _ in range(3)]
            assert {status for _, status in project.runs()} == {"running"}
        assert {status for _, status in project.runs()} == {"interrupted"}
        async with ion.Engine(project) as engine:
            run = project.run(runs[0].run_id)
            await engine.proceed(run)
            assert engine.drives(run)
            assert run.result().status == "running"


async def test_what_stops_a_drive_is_raised_once_where_the_run_is_waited_for(tmp_path: Path) -> None:
    class Fails:
        name = "fails"

        async def prompt(self, request: ion.PromptRequest) -> ion.PromptResult:
            await asyncio.sleep(0)
            raise RuntimeError("a bug of the agent's")

    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            once = ASKS.replace("Draft it}", "Draft it, retry: {max_attempts: 1, delay_ms: 1000}}")
            started = await engine.start(ion.RunSpec(ion.parse_workflow(once), agent=Fails()))
            run = project.run(started.run_id)
            result = await engine.wait(run)
            failed = result.nodes["draft"].error
            assert failed is not None
            assert "a bug of the agent's" in failed.message


async def test_a_run_that_another_owns_is_left_to_it(tmp_path: Path) -> None:
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as one, ion.Engine(project) as other:
            started = await one.start(ion.RunSpec(ion.parse_workflow(SLEEPS)))
            run = project.run(started.run_id)
            await other.proceed(run)
            assert (one.drives(run), other.drives(run)) == (True, False)


async def test_a_run_that_cannot_begin_is_not_there(tmp_path: Path) -> None:
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            with pytest.raises(ion.errors.UsageError, match="unknown input"):
                await engine.start(ion.RunSpec(ion.parse_workflow(ASKS), inputs={"no": 1}))
            assert project.runs() == []


class Waits:
    """An agent that answers once it is told to, and counts how many ask it at once."""

    name = "waits"
    max_parallel: int | None = None

    def __init__(self, max_parallel: int | None = None) -> None:
        self.max_parallel = max_parallel
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.go = asyncio.Event()

    async def prompt(self, request: ion.PromptRequest) -> ion.PromptResult:
        self.asked.append(request.prompt)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.go.wait()
        await asyncio.sleep(0)
        self.at_once -= 1
        return ion.PromptResult("answered")


THREE_PROMPTS = """
name: three
description: Three prompts, and a step that needs no agent
nodes:
  - {id: a, prompt: A}
  - {id: b, prompt: B}
  - {id: c, prompt: C}
  - {id: d, bash: 'echo d'}
"""


@pytest.mark.parametrize("url", ["sqlite:x.db", "memory:"])
async def test_a_hundred_runs_at_once_share_a_thread_and_one_poll(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ION_LEASE_MS", "86400000")  # a lease that is renewed looks at the log too, and none is here
    agent, before = Waits(), threading.active_count()
    with ion.open(tmp_path, url) as project:
        async with ion.Engine(project) as engine:
            spec = ion.RunSpec(ion.parse_workflow(ASKS), agent=agent)
            runs = [project.run((await engine.start(spec)).run_id) for _ in range(100)]
            await eventually(lambda: len(agent.asked) == 100)
            assert agent.at_once == 100
            names = Counter(thread.name.rpartition("_")[0] or thread.name for thread in threading.enumerate())
            assert names["ion-store"] == 1
            assert threading.active_count() - before <= 1 + DEFAULT_WORKERS
            assert [task.get_name() for task in asyncio.all_tasks()].count("ion-poll") == 1
            # What somebody else asks of a run is seen by the one poll.
            runs[7].cancel(reason="not this one")
            assert (await engine.wait(runs[7], seconds=PATIENCE_S)).status == "cancelled"
            agent.go.set()
            waiting = [(await engine.wait(run)).waiting for run in runs if run != runs[7]]
            assert {item.kind for items in waiting for item in items} == {"approval"}
    assert "ion-store" not in {thread.name for thread in threading.enumerate()}


async def test_an_agent_that_takes_one_prompt_at_a_time_does_so_over_all_runs(tmp_path: Path) -> None:
    agent = Waits(max_parallel=1)
    agent.go.set()
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            spec = ion.RunSpec(ion.parse_workflow(THREE_PROMPTS), agent=agent)
            runs = [project.run((await engine.start(spec)).run_id) for _ in range(3)]
            results = [await engine.wait(run) for run in runs]
    assert [result.status for result in results] == ["completed"] * 3
    assert (len(agent.asked), agent.most_at_once) == (9, 1)


async def test_what_needs_no_agent_does_not_wait_for_one_that_another_run_has(tmp_path: Path) -> None:
    agent = Waits(max_parallel=1)
    with ion.open(tmp_path, "memory:") as project:
        async with ion.Engine(project) as engine:
            spec = ion.RunSpec(ion.parse_workflow(THREE_PROMPTS), agent=agent)
            first, second = [project.run((await engine.start(spec)).run_id) for _ in range(2)]
            await eventually(lambda: second.state().nodes["d"].status == "completed")
            assert len(agent.asked) == 1
            waits = second if first.state().nodes["a"].status == "running" else first
            assert [node.status for node in waits.state().nodes.values()][:3] == ["pending"] * 3
            assert waits.result().status == "running"
            # The other run is cancelled: its agent is free for this one.
            (second if waits == first else first).cancel()
            agent.go.set()
            assert (await engine.wait(waits)).status == "completed"


async def test_a_drive_that_is_cut_off_gives_its_agents_back() -> None:
    flow = ion.parse_workflow("name: w\ndescription: d\nnodes: [{id: a, prompt: A}]\n")
    started = ion.events.WorkflowStarted(0, "w", "digest", nodes=(("a", "prompt"),))
    free: list[str] = []
    with ion.create_store("memory:") as store:
        pool = RunPool(store)
        plans = {}
        for run_id in ("one", "two"):
            limits = pool.limits(run_id, AgentLimits({"a": "claude"}, {"claude": 1}))
            plans[run_id] = Plan(flow, fold([started]), 8, limits)
            pool.join(run_id, plans[run_id], lambda: None, partial(free.append, run_id))
        step(plans["one"], [], 1, lambda: 0.0)
        assert plans["two"].next_steps(1) == []
        pool.leave("one")
        assert free == ["two"]
        assert [type(command).__name__ for command in plans["two"].next_steps(2)] == ["StartTurn"]
        pool.leave("two")
        pool.close()
