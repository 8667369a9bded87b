"""The local driver: carries out what the core decides, in this process, and appends the resulting events.

Its loop is: apply what has ended, ask the plan, append all of that in one commit, start what is to start, wait. A
node's outcome is durable before anything that depends on it starts, and the end of one node shares a commit with the
start of the next. Run and resume are this same function; only the log they begin with differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from ion import clocks
from ion.core import events as e
from ion.core.fold import fold
from ion.core.outcomes import Completed, Outcome, Stopped
from ion.core.plan import NO_AGENT_LIMITS, AgentLimits, Plan, Stop, Wait
from ion.core.state import RunState
from ion.core.step import TurnId, step
from ion.core.values import condition_values
from ion.engine.agent_registry import AgentRegistry
from ion.engine.loading import no_collection
from ion.engine.observe import Observers
from ion.engine.options import HOLD_MS
from ion.engine.pending_permissions import PendingPermissions
from ion.engine.store_thread import StoreThread
from ion.engine.turns import turn_of
from ion.errors import OwnershipLostError, StaleStateError, StoreError, StoreUnavailableError
from ion.masking import mask_messages
from ion.nodes.base import Context, Turn
from ion.process.survivors import end_left_behind
from ion.records import dataclass, field
from ion.stores.base import DEFAULT_LEASE_MS, Lease, WorkflowStore

Runner = Callable[[Turn, Context], Awaitable[Outcome]]
ValuesOf = Callable[[str, e.Content], dict[str, dict[str, Any]]]
_log = logging.getLogger("ion")
_Result = TypeVar("_Result")
# How often an idle owner looks for requests of others (cli.md promises a second).
POLL_SECONDS = 0.25


def _jitter() -> float:
    """A number from [0, 1), for the delay of a retry."""
    import random

    return random.random()  # noqa: S311


@dataclass
class Drive:
    """One process driving one run that it owns. `known` is its state and the number of its last event, if they were
    read or written since the lease was taken. `alone`: nothing else uses the event loop."""

    store: WorkflowStore
    lease: Lease
    context: Context
    runners: dict[str, Runner]
    observers: Observers
    max_concurrency: int
    lease_ms: int = DEFAULT_LEASE_MS
    clock: Callable[[], int] = clocks.now_ms
    values_of: ValuesOf | None = None
    known: tuple[RunState, int] | None = None
    alone: bool = False
    engaged: AgentRegistry | None = None
    hold_ms: int = HOLD_MS
    agent_limits: AgentLimits = NO_AGENT_LIMITS
    _seq: int = 0
    _tasks: dict[str, asyncio.Task[Outcome]] = field(default_factory=dict)
    _started: dict[str, int] = field(default_factory=dict)
    _stopping: dict[str, str] = field(default_factory=dict)
    _stopped: bool = False
    _ended: list[str] = field(default_factory=list)
    _wake: asyncio.Future[None] | None = None
    _renewed: int = 0

    @property
    def run_id(self) -> str:
        return self.lease.run_id

    async def run(self, begin: Iterable[e.Event] = ()) -> RunState:
        """Drive the run until it ends or waits for people; `begin` is appended first (what begins a resume).

        Raises `OwnershipLostError` if another process took the run over, `StoreError` if the store fails; in both
        cases, and when it is cancelled, every process it started is ended and nothing more is written.
        """
        self._aside = StoreThread("ion-store")
        self._held = PendingPermissions(self._wake_up, self.hold_ms)
        self.context = replace(self.context, ask=self._held.ask)
        self._renewed = clocks.steady_ms()
        cut_off = False
        try:
            if self.known is None:
                await self._reload()
            else:
                self._take_in(*self.known)
            await self._append(list(begin))
            state = await self._loop()
            cut_off = state.status == "cancelled" or (state.ended and self._stopped)
            return state
        except asyncio.CancelledError:
            cut_off = True
            raise
        finally:
            try:
                await self._end_tasks()
                if self.engaged is not None:
                    await self.engaged.end(self.run_id)
                if cut_off:
                    await self._aside.call(self._end_what_left_its_group)
            finally:
                await self._release()
                self._aside.close()

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

    async def _release(self) -> None:
        """Release the run. If the store cannot be reached any more, the lease ends by itself."""
        try:
            await self._with_store(self.store.release_lease, self.lease)
        except StoreError as error:
            _log.warning("the run %s could not be released; its lease ends by itself: %s", self.run_id, error)

    async def _loop(self) -> RunState:
        outcomes: dict[TurnId, Outcome] = {}
        while True:
            try:
                wait_until = await self._advance(outcomes)
            except StaleStateError:
                await self._reload()
                continue
            outcomes = {}
            state = self._plan.state
            self._held.answer(state)
            if state.ended or state.status == "paused":
                return state
            outcomes = await self._wait(wait_until)

    # ------------------------------------------------------------------ one turn of the loop

    async def _advance(self, outcomes: dict[TurnId, Outcome]) -> int | None:
        """Apply, plan, append, start. Returns the time (ms) at which something is due, if anything is."""
        at = self.clock()
        new, commands = step(
            self._plan,
            outcomes.items(),
            at,
            _jitter,
            lambda: self._held.events(self._plan.state, at),
            recorded=partial(mask_messages, secrets=self.context.secrets),
        )
        await self._commit(new)
        self._carry_out(commands)
        due = [command.until for command in commands if isinstance(command, Wait)]
        return min(due) if due else None

    def _carry_out(self, commands: Iterable[object]) -> None:
        for command in commands:
            if isinstance(command, Stop) and command.node not in self._stopping:
                self._stopping[command.node] = command.reason
                self._stopped = True
                self._tasks[command.node].cancel()
        for node in self._plan.live - self._tasks.keys():
            number = self._plan.state.nodes[node].starts
            task = self._tasks[node] = asyncio.create_task(self._perform(node), name=f"{node}/{number}")
            task.add_done_callback(partial(self._note, node))
            self._started[node] = number

    def _note(self, node: str, _task: asyncio.Task[Outcome]) -> None:
        """The turn of a node has ended: wake the loop, which handles all that ended by then."""
        self._ended.append(node)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _commit(self, new: list[e.Event]) -> None:
        if not new:
            return
        after = self._seq
        self._seq = await self._with_store(self._write, new, after)
        recorded = (e.Recorded(number, event) for number, event in enumerate(new, after + 1))
        self.observers.events(self.run_id, recorded, self._plan.state)

    def _write(self, new: list[e.Event], after: int) -> int:
        return self.store.create_workflow_event(self.run_id, new, lease=self.lease, after=after)

    async def _append(self, events: list[e.Event]) -> None:
        for event in events:
            self._plan.advance(event)
        try:
            await self._commit(events)
        except StaleStateError:
            await self._reload()
            await self._append(events)

    async def _reload(self) -> None:
        """Read the whole log again and build the plan from it."""
        recorded = await self._with_store(self.store.get_workflow_events, self.run_id)
        with no_collection():
            state = fold(item.event for item in recorded)
        if self._seq:
            self.observers.events(self.run_id, [item for item in recorded if item.seq > self._seq], state)
        self._take_in(state, recorded[-1].seq if recorded else 0)

    def _take_in(self, state: RunState, seq: int) -> None:
        """Continue from this state, which is that of the log up to event `seq`."""
        if not self._seq and seq == 1 and state.started is not None:
            self.observers.events(self.run_id, [e.Recorded(1, state.started)], state)
        self._seq = seq
        with no_collection():
            self._plan = Plan(self.context.workflow, state, self.max_concurrency, self.agent_limits)
        self.context = replace(self.context, nodes=state.nodes)

    # ------------------------------------------------------------------ waiting

    async def _wait(self, until: int | None) -> dict[TurnId, Outcome]:
        """Wait for a turn to end, a due time, or a request of somebody else; returns the outcomes of ended turns."""
        while True:
            timeout = POLL_SECONDS
            if until is not None:
                timeout = min(timeout, max(0.0, (until - self.clock()) / 1000))
            if not self._ended and not self._held.fresh:
                await self._sleep(timeout)
            await self._keep_lease()
            if self._ended:
                ended, self._ended = self._ended, []
                return {(node, self._started[node]): self._outcome(node) for node in ended}
            if await self._read_requests() or self._held.fresh or (until is not None and self.clock() >= until):
                return {}

    async def _sleep(self, seconds: float) -> None:
        """Sleep until a turn ends, but no longer than this."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._wake_up)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _outcome(self, node: str) -> Outcome:
        task = self._tasks.pop(node)
        reason = self._stopping.pop(node, None)
        if task.cancelled():
            return Stopped(reason or "cancelled")
        outcome = task.result()
        if isinstance(outcome, Completed) and self.values_of is not None:
            return replace(outcome, values=self.values_of(node, outcome.output))
        return outcome

    async def _read_requests(self) -> bool:
        found = await self._with_store(self._requests)
        for item in found:
            self._plan.advance(item.event)
            self._seq = item.seq
        self.observers.events(self.run_id, found, self._plan.state)
        return bool(found)

    def _requests(self) -> list[e.Recorded]:
        return self.store.get_workflow_events(self.run_id, after=self._seq)

    async def _keep_lease(self) -> None:
        if clocks.steady_ms() - self._renewed > self.lease_ms / 3:
            await self._with_store(self._renew)
            self._renewed = clocks.steady_ms()

    def _renew(self) -> None:
        self.store.renew_lease(self.lease, lease_ms=self.lease_ms)

    # ------------------------------------------------------------------ one turn of a node

    async def _perform(self, node_id: str) -> Outcome:
        """Carry out the present turn of a node. An exception of a runner is not an outcome: it ends this process's
        drive, and the run can be resumed."""
        turn = turn_of(self.context.workflow, self._plan.state, node_id)
        return await self.runners[turn.kind](turn, self.context)

    async def _end_tasks(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._tasks.clear()

    async def _with_store(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call the store, in its thread unless nothing at all would continue meanwhile. While it cannot be reached,
        try again, but no longer than the lease lasts: by then another process may own the run, and what runs here
        has to end."""
        pause = 0.05
        while True:
            try:
                if self.alone and not self._tasks:
                    return function(*arguments)
                return await self._aside.call(function, *arguments)
            except StoreUnavailableError:
                if clocks.steady_ms() + pause * 1000 - self._renewed > self.lease_ms:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)


def values_reader(context: Context) -> ValuesOf:
    """What conditions will need of an output, read through the run's own store."""
    return lambda node, output: condition_values(context.workflow, node, output, context.read)
