"""Clocks that jump, and what counts against a run's timeout (language.md §2, §14). Time is put forward by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import ion
from ion import PromptRequest, clocks, events
from ion.agents.base import AgentError
from ion.errors import RefusedError
from ion.stores import lease
from ion.stores.base import WorkflowStore

Write = Callable[..., Path]
MINUTE = 60_000
HOUR = 60 * MINUTE


class Time:
    """The clocks of this machine as a test sets them. `wall` and `passed` are ms ahead of the real ones; time that
    passes moves both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.passed = 0
        now_ms, steady_ms = clocks.now_ms, clocks.steady_ms
        monkeypatch.setattr(clocks, "now_ms", lambda: now_ms() + self.wall + self.passed)
        monkeypatch.setattr(clocks, "steady_ms", lambda: steady_ms() + self.passed)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def run(workflow: Path, store: WorkflowStore, project: Path, **values: object) -> ion.RunResult:
    return ion.execute_workflow_sync(workflow, store=store, project=project, run_id="r", **values)


def resume(store: WorkflowStore, project: Path, **values: object) -> ion.RunResult:
    return ion.resume_workflow_sync("r", store=store, project=project, **values)


def interrupted(workflow: Path, store: WorkflowStore, project: Path, *, after: Callable[[], None]) -> None:
    """A run that is ended as Ctrl-C does it, in the midst of its first prompt and once `after` was called."""

    async def scenario() -> None:
        asked = asyncio.Event()

        async def ask(_request: PromptRequest) -> str:
            after()
            asked.set()
            await asyncio.Event().wait()
            return "never"

        run = asyncio.create_task(ion.execute_workflow(workflow, store=store, project=project, run_id="r", agent=ask))
        await asked.wait()
        run.cancel()
        await asyncio.wait({run})

    asyncio.run(scenario())


def test_a_wall_clock_that_goes_back_stalls_no_retry(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    def ask(request: PromptRequest) -> str:
        if request.attempt == 1:
            time.wall -= HOUR
            raise AgentError("crashed", "gone")
        return "fine"

    flow = write("nodes:\n  - {id: a, prompt: hi, retry: {max_attempts: 1, delay_ms: 1000}}\n")
    assert run(flow, store, project, agent=ask).output == "fine"


def test_a_retry_that_another_process_had_planned_by_another_clock_is_not_stalled(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    """The machine was an hour ahead when the first process planned it."""
    time.wall = HOUR
    flow = write(
        "nodes:\n  - {id: a, bash: 'test -e mended', retry: {max_attempts: 1, delay_ms: 1000, on_error: all}}\n"
        "  - {id: b, prompt: hi}\n"
    )
    interrupted(flow, store, project, after=lambda: None)
    time.wall = 0
    (project / "mended").touch()
    assert resume(store, project, agent=lambda _request: "hi").status == "completed"


def test_a_wall_clock_that_goes_forward_ends_no_run(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    def ask(_request: PromptRequest) -> str:
        time.wall += 2 * HOUR
        return "fine"

    flow = write("timeout: 1h\nnodes:\n  - {id: a, prompt: hi}\n  - {id: b, bash: echo, depends_on: [a]}\n")
    result = run(flow, store, project, agent=ask)
    assert result.status == "completed"
    assert result.data["duration_ms"] < HOUR
    assert result.data["nodes"]["a"]["duration_ms"] < HOUR


def test_time_that_passes_ends_a_run(write: Write, store: WorkflowStore, project: Path, time: Time) -> None:
    def ask(_request: PromptRequest) -> str:
        time.passed += 2 * HOUR
        return "fine"

    flow = write("timeout: 1h\nnodes:\n  - {id: a, prompt: hi}\n  - {id: b, bash: echo, depends_on: [a]}\n")
    result = run(flow, store, project, agent=ask)
    assert (result.status, result.data["error"]["code"]) == ("failed", "timeout")


def test_the_time_of_an_interrupted_turn_counts_and_the_time_afterwards_does_not(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    def passes(milliseconds: int) -> None:
        time.passed += milliseconds

    flow = write("timeout: 10m\nnodes:\n  - {id: a, prompt: hi}\n")
    interrupted(flow, store, project, after=lambda: passes(6 * MINUTE))
    passes(HOUR)
    (at,) = [run.lease_expires_at for run in store.list_workflow_runs()]
    assert at is not None, "when its owner let go of it"

    async def ask(_request: PromptRequest) -> str:
        passes(6 * MINUTE)
        await asyncio.Event().wait()
        return "never"

    result = resume(store, project, agent=ask)
    assert (result.status, result.data["error"]["code"]) == ("failed", "timeout")
    assert 12 * MINUTE <= result.data["nodes"]["a"]["duration_ms"] < 20 * MINUTE
    assert resume(store, project, agent=lambda _: "fine").status == "completed", "it has the whole time again"


def test_the_time_of_a_dead_owner_counts_up_to_the_last_renewal_of_its_lease(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    interrupted(write("timeout: 10m\nnodes:\n  - {id: a, prompt: hi}\n"), store, project, after=lambda: None)
    owner = replace(lease.this_process(), pid=2**22 + 1)  # above every number that a process can have
    dead = store.acquire_lease("r", owner, lease_ms=30_000)
    at = store.lease_clock(owner)
    store.create_workflow_event("r", [events.WorkflowResumed(at), events.NodeStarted(at, "a", "prompt")], lease=dead)
    time.passed += 6 * MINUTE
    store.renew_lease(dead, lease_ms=30_000)
    time.passed += HOUR

    def ask(_request: PromptRequest) -> str:
        time.passed += MINUTE
        return "fine"

    result = resume(store, project, agent=ask)
    assert result.status == "completed"
    assert 7 * MINUTE <= result.data["nodes"]["a"]["duration_ms"] < 8 * MINUTE
    (again,) = [event for event in log(store) if isinstance(event, events.WorkflowResumed) and event.owner_died]
    assert again.owned_until is not None
    assert abs(again.owned_until - at - 6 * MINUTE) < MINUTE


def test_a_request_does_not_count_as_time_of_the_owner(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    """A budget is raised an hour after the run was interrupted: nobody owned it until then."""
    interrupted(write("timeout: 10m\nnodes:\n  - {id: a, prompt: hi}\n"), store, project, after=lambda: None)
    store.create_workflow_event("r", [events.BudgetRaised(clocks.now_ms() + HOUR, 5)], lease=None)
    time.passed += HOUR
    assert resume(store, project, agent=lambda _: "fine").status == "completed"


def test_a_failure_that_is_no_timeout_gives_no_new_time(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    def ask(_request: PromptRequest) -> str:
        time.passed += 6 * MINUTE
        raise AgentError("refused", "no")

    flow = write("timeout: 10m\nnodes:\n  - {id: a, prompt: hi}\n")
    assert run(flow, store, project, agent=ask).status == "failed"
    time.passed += HOUR
    result = resume(store, project, agent=ask)
    assert result.data["error"]["code"] == "timeout"


def test_a_gate_that_waits_for_days_has_not_run_for_days(
    write: Write, store: WorkflowStore, project: Path, time: Time
) -> None:
    run(write("nodes:\n  - {id: g, approval: {message: 'Go?'}}\n"), store, project)
    time.passed += 50 * HOUR
    ion.approve("r", store=store, project=project)
    result = resume(store, project)
    assert result.status == "completed"
    assert result.data["nodes"]["g"]["duration_ms"] < MINUTE


@pytest.mark.parametrize("ahead", [MINUTE, -MINUTE, 48 * HOUR])
def test_a_wall_clock_that_is_ahead_takes_no_run_from_a_healthy_owner(
    write: Write, store: WorkflowStore, project: Path, time: Time, ahead: int
) -> None:
    """Seen by another process of this boot whose wall clock is not that of the owner."""
    refused: list[str] = []

    def ask(_request: PromptRequest) -> str:
        time.wall += ahead
        assert ion.get_run("r", store=store, project=project).status == "running"
        with pytest.raises(RefusedError) as refusal:
            resume(store, project, agent=ask)
        refused.append(refusal.value.error_code)
        time.wall -= ahead
        return "fine"

    assert run(write("nodes:\n  - {id: a, prompt: hi}\n"), store, project, agent=ask).status == "completed"
    assert refused == ["owned"]


def log(store: WorkflowStore) -> list[events.Event]:
    return [recorded.event for recorded in store.get_workflow_events("r")]
