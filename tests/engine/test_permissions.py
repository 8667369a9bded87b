"""Agents that ask for a permission in the middle of a turn, in every store: the turn is held open while somebody
decides, is ended when nobody does, and is begun again with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import ion
from ion import PromptRequest, RunOptions
from ion.agents.base import Permission, PromptResult, UnpermittedError
from ion.core.state import RunState
from ion.engine.run_reader import read_state
from ion.errors import NotFoundError, RefusedError
from ion.stores.base import WorkflowStore
from processes import PATIENCE_S

Write = Callable[..., Path]
KINDS = ("allow_once", "reject_once")
ONE = """
    nodes:
      - id: fix
        prompt: fix it
    """


def permission(what: str) -> Permission:
    return Permission(what, f"may I {what}?", KINDS, KINDS)


@dataclass
class Careful:
    """Asks before it acts, and ends its turn when nobody answers."""

    needs: tuple[str, ...] = ("push",)
    name: str = "careful"
    requests: list[PromptRequest] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def prompt(self, request: PromptRequest) -> PromptResult:
        self.requests.append(request)
        permissions = [permission(need) for need in self.needs]
        decided = await asyncio.gather(*(self._decided(request, one) for one in permissions))
        missing = [one for one, decision in zip(permissions, decided, strict=True) if decision is None]
        if missing:
            raise UnpermittedError(tuple(missing))
        return PromptResult(f"{request.node}: {', '.join(map(str, decided))}")

    async def _decided(self, request: PromptRequest, one: Permission) -> str | None:
        if one.key in request.verdicts:
            return request.verdicts[one.key]
        return await request.ask(one) if request.ask is not None else None

    async def end_run(self, run_id: str) -> None:
        self.ended.append(run_id)


async def asked(store: WorkflowStore, run_id: str, count: int = 1) -> RunState:
    """Until so many permissions are open."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                state = await asyncio.to_thread(read_state, store, run_id)
            except NotFoundError:
                state = RunState()
            if sum(len(node.permissions) for node in state.nodes.values()) == count:
                return state
            await asyncio.sleep(0.02)


async def test_held_until_somebody_answers(write: Write, store: WorkflowStore, project: Path) -> None:
    agent = Careful()
    run = asyncio.create_task(ion.execute_workflow(write(ONE), agent=agent, run_id="r", store=store, project=project))
    state = await asked(store, "r")
    assert state.nodes["fix"].status == "running"
    shown = await asyncio.to_thread(ion.get_run, "r", store=store, project=project)
    assert shown.to_json()["waiting"] == [
        {
            "node": "fix",
            "kind": "permission",
            "message": "may I push?",
            "decisions": ["allow_once", "reject_once"],
            "request": "fix.1",
        }
    ]
    await asyncio.to_thread(ion.approve, "r", "fix", store=store, project=project)
    result = await run
    assert (result.status, result.output) == ("completed", "fix: allow_once")
    assert len(agent.requests) == 1
    assert agent.ended == ["r"]
    with pytest.raises(RefusedError):
        ion.reject("r", "fix", store=store, project=project)


async def test_nobody_answers_in_time_then_somebody_does(write: Write, store: WorkflowStore, project: Path) -> None:
    agent = Careful()
    options = RunOptions(hold_ms=50)
    paused = await ion.execute_workflow(
        write(ONE), agent=agent, run_id="r", options=options, store=store, project=project
    )
    assert paused.status == "paused"
    types = [item.event.type for item in store.get_workflow_events("r")]
    assert types == ["workflow_started", "node_started", *["approval_requested"] * 2, "workflow_paused"]
    ion.respond("r", "fix", "reject_once", store=store, project=project)
    result = await ion.resume_workflow("r", agent=agent, store=store, project=project)
    assert (result.status, result.output) == ("completed", "fix: reject_once")
    assert dict(agent.requests[1].verdicts) == {"push": "reject_once"}
    assert agent.requests[0].key == agent.requests[1].key


async def test_many_nodes_ask_for_several_things_at_once(write: Write, store: WorkflowStore, project: Path) -> None:
    """Who waits for a person holds no slot: all six ask, though only two may run."""
    flow = "nodes:\n" + "".join(f"- {{id: n{i}, prompt: go}}\n" for i in range(6))
    options = RunOptions(max_concurrency=2)
    run = asyncio.create_task(
        ion.execute_workflow(
            write(flow),
            agent=Careful(("push", "remove")),
            run_id="r",
            options=options,
            store=store,
            project=project,
        )
    )
    state = await asked(store, "r", 12)
    for node in state.nodes.values():
        for one in list(node.permissions):
            await asyncio.to_thread(ion.approve, "r", node.id, request=one, store=store, project=project)
    result = await run
    assert result.status == "completed"
    outputs = {node.output.text for node in result.state.nodes.values() if node.output}
    assert outputs == {f"n{i}: allow_once, allow_once" for i in range(6)}


async def test_ion_ends_while_it_asks(write: Write, store: WorkflowStore, project: Path) -> None:
    """The node waits without being asked again; the answer brings the prompt back."""
    agent = Careful()
    run = asyncio.create_task(ion.execute_workflow(write(ONE), agent=agent, run_id="r", store=store, project=project))
    await asked(store, "r")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert agent.ended == ["r"]
    waiting = await ion.resume_workflow("r", agent=agent, store=store, project=project)
    assert (waiting.status, len(agent.requests)) == ("paused", 1)
    ion.approve("r", "fix", store=store, project=project)
    result = await ion.resume_workflow("r", agent=agent, store=store, project=project)
    assert (result.status, result.output) == ("completed", "fix: allow_once")


async def test_time_stands_still_while_a_person_decides(write: Write, store: WorkflowStore, project: Path) -> None:
    """The driver gives an agent up three seconds after this node's time; the answer comes later than that."""
    flow = """
        nodes:
          - id: fix
            timeout: 1000
            prompt: fix it
        """
    run = asyncio.create_task(
        ion.execute_workflow(
            write(flow),
            agent=Careful(),
            run_id="r",
            options=RunOptions(grace_ms=100),
            store=store,
            project=project,
        )
    )
    await asked(store, "r")
    await asyncio.sleep(3.5)
    await asyncio.to_thread(ion.approve, "r", store=store, project=project)
    assert (await run).status == "completed"


async def test_a_process_of_the_run_may_not_answer(
    write: Write, store: WorkflowStore, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(hold_ms=1)
    await ion.execute_workflow(write(ONE), agent=Careful(), run_id="r", options=options, store=store, project=project)
    monkeypatch.setenv("ION_RUN_ID", "r")
    with pytest.raises(RefusedError) as caught:
        ion.approve("r", "fix", store=store, project=project)
    assert caught.value.error_code == "own-gate"
