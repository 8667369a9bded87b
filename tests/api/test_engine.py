"""`ion.Engine`: many runs in one process, started, waited for, answered and let go of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import ion

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
            started = await engine.start(ion.RunSpec(ion.parse_workflow(ASKS), agent=Fails()))
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
