"""A store that fails under the engine: nothing is recorded twice, and an outage longer than the lease stops the run."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import ion
from ion import PromptRequest, events
from ion.api import runs
from ion.api.preparing import RunSpec
from ion.api.workspace import open_workspace
from ion.core.resume import MAX_DEATHS
from ion.errors import StoreError, StoreUnavailableError
from ion.stores.memory import MemoryStore

Write = Callable[..., Path]


class Flaky(MemoryStore):
    """Fails some appends, before or after they went in; `chance` of 1 is an outage."""

    def __init__(self, seed: int, chance: float) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.chance = chance
        self.failed = 0

    def create_workflow_event(self, run_id: str, events: Any, *, lease: Any, after: int | None = None) -> int:
        before, fails = self.chance == 1 or self.random.random() < 0.5, self.random.random() < self.chance
        self.failed += fails
        if fails and before:
            raise StoreUnavailableError("connection lost before the commit")
        last = super().create_workflow_event(run_id, events, lease=lease, after=after)
        if fails:
            raise StoreUnavailableError("connection lost after the commit")
        return last


WORKFLOW = """
nodes:
  - {id: a, prompt: go}
  - {id: b, prompt: go, depends_on: [a]}
  - {id: c, prompt: go, depends_on: [a]}
  - {id: l, loop: {prompt: "again", until: DONE, max_iterations: 5}, depends_on: [b]}
  - {id: d, prompt: go, depends_on: [b, c, l], trigger_rule: all_done}
"""


@pytest.mark.parametrize("seed", range(25))
def test_an_append_of_unknown_fate_is_neither_lost_nor_doubled(seed: int, write: Write, project: Path) -> None:
    store = Flaky(seed, 0.4)
    asked: Counter[str] = Counter()

    async def agent(request: PromptRequest) -> str:
        asked[request.key] += 1
        return "DONE" if request.iteration == 3 else "not yet"

    result = ion.execute_workflow_sync(write(WORKFLOW), store=store, project=project, agent=agent, run_id="r")
    assert result.status == "completed"
    log = [recorded.event for recorded in store.get_workflow_events("r")]
    assert set(Counter(event.node for event in log if isinstance(event, events.NodeCompleted)).values()) == {1}
    assert [event.iteration for event in log if isinstance(event, events.IterationCompleted)] == [1, 2, 3]
    assert set(asked.values()) == {1}, "a recorded prompt was asked again"


def test_an_outage_longer_than_the_lease_stops_the_processes_and_leaves_the_run_resumable(
    write: Write, project: Path
) -> None:
    store = Flaky(0, 0.0)
    workflow = write("nodes:\n  - {id: a, bash: echo hi}\n  - {id: b, depends_on: [a], bash: 'true'}\n")
    workspace = open_workspace(project, store)
    started = runs.start(workspace, RunSpec(workflow, run_id="r"))
    started._drive.lease_ms = 600
    store.chance = 1.0
    with pytest.raises(StoreError, match="connection lost"):
        asyncio.run(started.drive())
    store.chance = 0.0
    assert ion.resume_workflow_sync("r", store=store, project=project).status == "completed"


def test_a_run_whose_owners_die_one_after_the_other_is_ended_as_poisoned(write: Write, project: Path) -> None:
    """Each owner dies (it never lets go) before anything settles; a resume by a person tries again."""
    store = MemoryStore()
    workflow = write("nodes:\n  - {id: a, bash: 'true'}\n")
    workspace = open_workspace(project, store)
    runs.start(workspace, RunSpec(workflow, run_id="r"))
    for _death in range(MAX_DEATHS):
        run = store._runs["r"]
        owner = run.run.owner
        assert owner is not None
        run.run = structs.replace(run.run, owner=structs.replace(owner, process_started="another"))
        taken = runs.acquire_run(workspace, "r")
        assert taken is not None
        store.create_workflow_event("r", taken._begin, lease=taken._drive.lease)
    state = ion.get_run("r", store=store, project=project).state
    assert state.error is not None
    assert state.error.code == "poisoned"
    store.release_lease(taken._drive.lease)
    assert ion.resume_workflow_sync("r", store=store, project=project).status == "completed"
