"""The local world: this process carries the turns out, and appends what came of them to the store.

`driver.drive` says what happens when; here are the clock, the lease that makes this process the run's owner, the store
called in a thread beside the event loop, and the tasks of the turns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ion import clocks
from ion.core import events as e
from ion.core.commands import NO_AGENT_LIMITS, AgentLimits
from ion.core.outcomes import Outcome
from ion.core.plan import Plan
from ion.core.state import NodeState, RunState
from ion.core.step import AgentFree, Asked, Ended, News
from ion.engine.agent_registry import AgentRegistry
from ion.engine.driver import TurnTasks, drive
from ion.engine.loading import no_collection
from ion.engine.observe import Observers
from ion.engine.options import HOLD_MS
from ion.engine.pending_permissions import PendingPermissions
from ion.engine.pool import POLL_SECONDS, RunPool
from ion.engine.shared_agents import Demand, SharedAgents
from ion.engine.store_thread import StoreThread
from ion.engine.turns import turn_of
from ion.errors import InternalError, OwnershipLostError, StaleStateError, StoreError, StoreUnavailableError
from ion.masking import mask_messages
from ion.nodes.base import Context, Turn
from ion.process.survivors import end_left_behind
from ion.stores.base import DEFAULT_LEASE_MS, Lease, WorkflowStore

Runner = Callable[[Turn, Context], Awaitable[Outcome]]
_log = logging.getLogger("ion")
_Result = TypeVar("_Result")


class Drive(Struct, dict=True):
    """One process driving one run that it owns: the `World` of it. The run is in `state` when the lease is taken."""

    store: WorkflowStore
    lease: Lease
    context: Context
    runners: dict[str, Runner]
    observers: Observers
    max_concurrency: int
    state: RunState
    lease_ms: int = DEFAULT_LEASE_MS
    clock: Callable[[], int] = clocks.now_ms
    engaged: AgentRegistry | None = None
    hold_ms: int = HOLD_MS
    agent_limits: AgentLimits = NO_AGENT_LIMITS
    patience_ms: int | None = None
    _stopped: bool = False
    _wake: asyncio.Future[None] | None = None
    _renewed: int = 0
    _agent_free: bool = False
    _shared: SharedAgents | None = None

    @property
    def run_id(self) -> str:
        return self.lease.run_id

    async def run(self, begin: Iterable[e.Event] = (), pool: RunPool | None = None) -> RunState:
        """Drive the run until it ends or waits for people; `begin` is appended first (what begins a resume). `pool` is
        what it shares with other runs of this event loop.

        Raises `OwnershipLostError` if another process took the run over, `StoreError` if the store fails; in both
        cases, and when it is cancelled, every process it started is ended and nothing more is written.
        """
        self._pool = pool
        self._store_thread = StoreThread("ion-store") if pool is None else pool.thread
        self._tasks = TurnTasks(self._wake_up)
        self._held = PendingPermissions(self._wake_up, self.hold_ms)
        self.context = replace(self.context, ask=self._held.ask)
        self._renewed = clocks.steady_ms()
        cut_off = False
        try:
            limits = self.agent_limits if pool is None else pool.limits(self.run_id, self.agent_limits)
            if self.agent_limits.shared:
                self._shared = SharedAgents(self.store, self.lease, self.agent_limits, limits.limits)
                limits = AgentLimits(limits.agents, self._shared)
            with no_collection():
                self._plan = Plan(self.context.workflow, self.state, self.max_concurrency, limits, self.patience_ms)
            if pool is not None:
                pool.join(self.run_id, self._plan, self._wake_up, self._agent_is_free)
            if self.state.seq == 1 and self.state.started is not None:
                self.observers.events(self.run_id, [e.Recorded(1, self.state.started)], self.state)
            state = await drive(self._plan, self, begin)
            cut_off = state.status == "cancelled" or (state.ended and self._stopped)
            return state
        except asyncio.CancelledError:
            cut_off = True
            await self._pause()
            raise
        finally:
            try:
                await self._tasks.end()
                if self.engaged is not None:
                    await self.engaged.end(self.run_id)
                if cut_off:
                    await _in_own_thread(self._end_what_left_its_group)
            finally:
                if pool is not None:
                    pool.leave(self.run_id)
                await self._release()
                if pool is None:
                    self._store_thread.close()

    def _end_what_left_its_group(self) -> None:
        """Programs that left their groups (a double fork with setsid) are found like those of a dead owner, unless
        the run has another owner by now: then so have they."""
        try:
            self._renew()
        except (StoreError, OwnershipLostError) as error:
            _log.warning("what left its group in the run %s is not ended: %s", self.run_id, error)
        else:
            folders = self.context.folders
            end_left_behind(folders.register, self.run_id, folders.artifacts, self.context.grace_ms)

    async def _pause(self) -> None:
        """Say when the run continues, if it only waits: a clock continues it then."""
        pause = self._plan.pause(self.now())
        if pause is not None:
            with suppress(StoreError, StaleStateError, OwnershipLostError):
                await self._with_store(self._write, [pause], self._plan.state.seq)

    async def _release(self) -> None:
        """Release the run. If the store cannot be reached any more, the lease ends by itself."""
        try:
            if self._shared is not None:
                await self._with_store(self._shared.leave)
            await self._with_store(self.store.release_lease, self.lease)
        except StoreError as error:
            _log.warning("the run %s could not be released; its lease ends by itself: %s", self.run_id, error)

    # ------------------------------------------------------------------ the world

    def now(self) -> int:
        return self.clock()

    def jitter(self) -> float:
        import random

        return random.random()  # noqa: S311

    def mask(self, event: e.Event) -> e.Event:
        return mask_messages(event, self.context.secrets)

    def draining(self) -> bool:
        return False

    async def read(self, after: int) -> list[e.Recorded]:
        return await self._with_store(lambda: self.store.get_workflow_events(self.run_id, after=after))

    async def append(self, events: Sequence[e.Event], after: int) -> None:
        await self._with_store(self._write, events, after)

    def _write(self, events: Sequence[e.Event], after: int) -> None:
        self.store.create_workflow_event(self.run_id, events, lease=self.lease, after=after)

    def observe(self, recorded: Sequence[e.Recorded], state: RunState) -> None:
        self.observers.events(self.run_id, recorded, state)
        if self._pool is not None:
            self._pool.changed(self.run_id)

    def place(self) -> None:
        raise InternalError("a process has no workers to choose from; this is a bug")

    def start(self, now: NodeState) -> None:
        if self.context.nodes is not self._plan.state.nodes:
            self.context = replace(self.context, nodes=self._plan.state.nodes)
        self._tasks.start(now, self._perform(turn_of(self.context.workflow, self._plan.state, now.id)))

    def stop(self, node: str, reason: str) -> None:
        self._stopped = True
        self._tasks.stop(node, reason)

    async def wait(self, until: int | None) -> list[News]:
        """No longer than it takes until somebody else's request is to be seen."""
        self._held.answer(self._plan.state)
        if self._shared is not None:
            await self._settle(self._shared.demands(self._plan, self.now()))
        if not (self._tasks.any_ended or self._held.unrecorded or self._agent_free):
            longest = POLL_SECONDS if self._pool is None else self._lease_left_ms() / 1000
            left = longest if until is None else (until - self.clock()) / 1000
            look = self._shared.next_look_ms if self._shared is not None else None
            await self._sleep(min(longest, max(0.0, left), longest if look is None else look / 1000))
        await self._keep_lease()
        free = [AgentFree()] if self._agent_free else []
        self._agent_free = False
        asked = [
            Asked(node, self._tasks.start_of(node), (question,)) for node, question in self._held.take_unrecorded()
        ]
        ended = self._tasks.take_ended()
        if self._shared is not None:
            await self._settle(self._shared.demands_after(self._plan, [one.node for one in ended]))
        return [*ended, *asked, *free]

    # ------------------------------------------------------------------ the details of it

    async def _perform(self, turn: Turn) -> Ended:
        """Carry out a turn. What a runner raises is not an outcome: it ends this process's drive, and the run can be
        resumed."""
        return Ended(turn.address, turn.start, await self.runners[turn.kind](turn, self.context))

    async def _settle(self, demands: list[Demand]) -> None:
        """Take and give back turns of the agents that all runs of the project share."""
        assert self._shared is not None
        if demands and await self._with_store(self._shared.settle, demands) > 0:
            self._agent_free = True
        for node, said in self._shared.news(self._plan, self.now()):
            self.observers.progress(self.run_id, node, said)

    def _agent_is_free(self) -> None:
        self._agent_free = True
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, seconds: float) -> None:
        """Sleep until a turn ends or asks, but no longer than this."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._wake_up)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _lease_left_ms(self) -> float:
        """How long until the lease is to be renewed."""
        return max(0.0, self._renewed + self.lease_ms / 3 - clocks.steady_ms())

    async def _keep_lease(self) -> None:
        if not self._lease_left_ms():
            await self._with_store(self._renew)
            self._renewed = clocks.steady_ms()

    def _renew(self) -> None:
        self.store.renew_lease(self.lease, lease_ms=self.lease_ms)

    async def _with_store(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call the store, in its thread. While it cannot be reached, try again, but no longer than the lease lasts: by
        then another process may own the run, and what runs here has to end."""
        pause = 0.05
        while True:
            try:
                return await self._store_thread.call(function, *arguments)
            except StoreUnavailableError:
                if clocks.steady_ms() + pause * 1000 - self._renewed > self.lease_ms:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)


async def _in_own_thread(function: Callable[[], None]) -> None:
    """What may take as long as the grace of a program: not where a store is called that other runs use too."""
    thread = StoreThread("ion-end")
    try:
        await thread.call(function)
    finally:
        thread.close()
