"""What the runs of one process share: the thread that calls their store, one poll for what others asked of them, and
how many turns at once each bounded agent has.

A run that is driven alone has a thread and a poll of its own; a hundred of them would be a hundred of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ion.core.commands import AgentLimits
from ion.core.plan import Plan
from ion.engine.store_thread import StoreThread
from ion.errors import StoreError

if TYPE_CHECKING:
    from ion.stores.base import WorkflowStore

# How often the logs are read for requests of others (cli.md promises a second).
POLL_SECONDS = 0.25


class _Joined(Struct, dict=True):
    """A drive: its plan, what wakes it where its log may hold something new, and what tells it that an agent that it
    shares is free. `busy` is what its turns were when it was last looked at."""

    plan: Plan
    wake: Callable[[], None]
    agent_is_free: Callable[[], None]
    busy: dict[str, int] = field(default_factory=dict)


class RunPool:
    """The drives of one event loop, whose runs are all in this store."""

    def __init__(self, store: WorkflowStore) -> None:
        self.thread = StoreThread("ion-store")
        self._store = store
        self._joined: dict[str, _Joined] = {}
        self._polling: asyncio.Task[None] | None = None

    def limits(self, run_id: str, own: AgentLimits) -> AgentLimits:
        """The limits of this run, less what the other runs of the pool use at each moment."""
        return AgentLimits(own.agents, _Room(self, run_id, own.limits))

    def join(self, run_id: str, plan: Plan, wake: Callable[[], None], agent_is_free: Callable[[], None]) -> None:
        """A drive begins: `wake` is called when its log may hold something new, `agent_is_free` when an agent has room
        again that had none."""
        self._joined[run_id] = _Joined(plan, wake, agent_is_free)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(), name="ion-poll")

    def leave(self, run_id: str) -> None:
        """A drive is over, and its turns with it."""
        left = self._joined.pop(run_id, None)
        if not self._joined and self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if left is not None:
            self._tell(run_id, set(left.plan.agent_limits.limits))

    def changed(self, run_id: str) -> None:
        """Something was recorded in this run: the others are told of an agent that it uses less than before."""
        joined = self._joined[run_id]
        now = {agent: joined.plan.busy(agent) for agent in joined.plan.agent_limits.limits}
        freed = {agent for agent, before in joined.busy.items() if now[agent] < before}
        joined.busy = now
        self._tell(run_id, freed)

    def used_by_others(self, run_id: str, agent: str) -> int:
        """How many turns of this agent the other runs have under way."""
        return sum(one.plan.busy(agent) for other, one in self._joined.items() if other != run_id)

    def close(self) -> None:
        """Wait for the calls of the store that are under way, and end the thread."""
        self.thread.close()

    def _tell(self, run_id: str, freed: set[str]) -> None:
        if freed:
            for other, one in self._joined.items():
                if other != run_id and not freed.isdisjoint(one.plan.agent_limits.limits):
                    one.agent_is_free()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            known = [(run_id, one.plan.state.seq) for run_id, one in self._joined.items()]
            try:
                news = await self.thread.call(self._with_news, known)
            except StoreError:  # each drive finds that out for itself, and tries again as long as it may
                news = [run_id for run_id, _ in known]
            for run_id in news:
                if run_id in self._joined:
                    self._joined[run_id].wake()

    def _with_news(self, known: list[tuple[str, int]]) -> list[str]:
        return [run_id for run_id, seq in known if self._store.get_workflow_events(run_id, after=seq, limit=1)]


class _Room(Mapping[str, int]):
    """For each bounded agent, how many turns at once are left to one run."""

    def __init__(self, pool: RunPool, run_id: str, own: Mapping[str, int]) -> None:
        self._pool = pool
        self._run_id = run_id
        self._own = own

    def __getitem__(self, agent: str) -> int:
        return self._own[agent] - self._pool.used_by_others(self._run_id, agent)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)
