"""The world of a run that a cluster drives: a Temporal workflow, each of its effects an activity.

Deterministic: time and chance come from Temporal, and nothing here depends on the order of a set. Whoever asks for
something writes it into the log and then has the workflow `notify`. When the history grows long, no new turn is begun
until those under way have ended; then the workflow continues as a new one, which reads the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

from ion import codec
from ion.core import events as e
from ion.core.fold import fold
from ion.core.outcomes import Stopped
from ion.core.plan import Plan
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState, RunState
from ion.core.step import Ended, News, Placed
from ion.engine.driver import TurnTasks, drive, read_new
from ion.engine.temporal.cluster import UNKNOWN_AGENT, WORKFLOW_NAME, labelled, queue_for
from ion.engine.temporal.codec import (
    DriveOrder,
    ShapeError,
    agent_limits_from_json,
    checked_order,
    outcome_from_json,
    unpack,
)
from ion.errors import StaleStateError
from ion.language.workflow import Workflow

_BY = {"via": "temporal"}
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))


@workflow.defn(name=WORKFLOW_NAME, sandboxed=False)
class IonRun:
    """One run, and the `World` in which `driver.drive` drives it. It is started with a `DriveOrder`."""

    _order: DriveOrder

    def __init__(self) -> None:
        self._ordered = False
        self._asked = self._taken = self._done = 0
        self._tasks = TurnTasks()
        self._placing: asyncio.Task[str] | None = None
        self._agent: str | None = None
        self._latest = 0
        self._begun = False

    @workflow.update(name="notify")
    async def notify(self) -> None:
        """Something was asked of the run: returns when it is taken in, and what follows from it is in the log."""
        await self._looked()

    async def _looked(self) -> None:
        self._asked += 1
        number = self._asked
        await workflow.wait_condition(lambda: self._done >= number)

    @workflow.update(name="take-agent")
    async def take_agent(self, agent: str) -> None:
        """Prompts go to another agent from here on, those that wait too: the run continues if it was paused for them.
        Refused if the workers do not know an agent of this name."""
        await workflow.wait_condition(lambda: self._ordered)
        try:
            agent_limits = await self._near("ion-take-agent", self._order["lease"]["run_id"], agent)
        except ActivityError as error:
            cause = error.cause or error
            raise ApplicationError(str(cause), type=UNKNOWN_AGENT, non_retryable=True) from error
        self._agent, self._order["lanes"] = agent, agent_limits
        await self._looked()

    @take_agent.validator
    def _check_agent(self, agent: str) -> None:
        if not isinstance(agent, str):
            raise ApplicationError("an agent is given by its name", type=UNKNOWN_AGENT)

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """Drive the run to its end; returns its status."""
        try:
            self._order = checked_order(order)
        except ShapeError as error:
            raise ApplicationError(error.message, type=error.error_code, non_retryable=True) from error
        self._ordered = True
        self._plan = await self._read_plan()
        begin = self._beginning(self._order.get("agent"), resume=True) if self._order.get("resume") else []
        while True:
            state = await drive(self._plan, self, begin)
            self._done = self._taken
            if state.ended:
                await self._near("ion-release", self._order["lease"])
                return state.status
            begin = await self._hand_on() if self.draining() else await self._answer()

    async def _read_plan(self) -> Plan:
        source = await self._near("ion-read-source", self._order["lease"]["run_id"])
        state = fold(item.event for item in await self.read(0))
        limits = agent_limits_from_json(self._order["lanes"])
        patience_ms = self._order.get("patience_ms")
        return Plan(Workflow.from_json(unpack(source)), state, self._order["slots"], limits, patience_ms)

    def _beginning(self, agent: str | None, *, resume: bool) -> list[e.Event]:
        """What the next stretch of the run begins with; nothing if there is nothing to continue with."""
        state = self._plan.state
        if state.status in ("completed", "cancelled"):
            return []
        cause = resume_cause(state, agent=agent, resume=resume, at=self.now())
        if cause is None:
            return []
        return resume_events(self._plan.workflow, state, cause=cause, at=self.now(), by=_BY, agent=agent, resume=resume)

    async def _answer(self) -> list[e.Event]:
        """Wait until something came with which the run can continue: it may be there, if the log was read again."""
        while True:
            agent, self._agent = self._agent, None
            begin = self._beginning(agent, resume=False)
            if begin:
                self._plan.agent_limits = agent_limits_from_json(self._order["lanes"])
                self._plan.restart(self._plan.state)
                return begin
            self._done = self._taken
            await self._until(self._plan.state.due_at, lambda: self._asked > self._taken)
            await read_new(self._plan, self)

    async def _hand_on(self) -> list[e.Event]:
        """Continue as a new workflow, unless something is asked of this one before that."""
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._asked > self._taken)
        if self._asked == self._taken:
            workflow.continue_as_new({**self._order, "resume": False})
        await read_new(self._plan, self)
        return []

    @staticmethod
    async def _near(name: str, *arguments: Any) -> Any:
        """Short calls that leave one line in the history: on the worker that carries the workflow."""
        return await workflow.execute_local_activity(
            name, args=list(arguments), start_to_close_timeout=timedelta(seconds=60), retry_policy=_RETRY
        )

    # ------------------------------------------------------------------ the world

    def now(self) -> int:
        """The time, which never goes back: otherwise a retry would wait for a server whose clock does."""
        self._latest = max(self._latest, self._now())
        return self._latest

    @staticmethod
    def _now() -> int:
        """Milliseconds since the epoch, as the history has them."""
        return round(workflow.now().timestamp() * 1000)

    def jitter(self) -> float:
        return workflow.random().random()

    def mask(self, event: e.Event) -> e.Event:
        return event  # the workers know the secrets, and mask what they record

    def draining(self) -> bool:
        """Reading a long log alone makes a history long: each workflow begins some turn before it hands on."""
        info = workflow.info()
        is_long = info.get_current_history_length() > self._order["longest_history"]
        return self._begun and (is_long or info.is_continue_as_new_suggested())

    async def read(self, after: int) -> list[e.Recorded]:
        self._taken = self._asked
        found: list[e.Recorded] = []
        more = True
        while more:
            page = await self._near("ion-read-events", self._order["lease"]["run_id"], after + len(found))
            first, more = after + len(found) + 1, page["more"]
            found += (e.Recorded(seq, e.from_json(event)) for seq, event in enumerate(unpack(page["events"]), first))
        return found

    async def append(self, events: Sequence[e.Event], after: int) -> None:
        said = await self._near("ion-record", self._order["lease"], after, [codec.to_json(event) for event in events])
        if said.get("stale"):
            raise StaleStateError("the log has changed")

    def observe(self, recorded: Sequence[e.Recorded], state: RunState) -> None:
        pass

    def place(self) -> None:
        self._placing = asyncio.create_task(self._place())

    async def _place(self) -> str:
        labels = (one.node.runs_on for one in self._plan.templates)  # all that have one have the same
        name: str = await workflow.execute_activity(
            "ion-place",
            task_queue=labelled(workflow.info().task_queue, next(filter(None, labels), None)),
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=_RETRY,
        )
        return name

    def start(self, now: NodeState) -> None:
        self._begun = True
        self._tasks.start(now, self._turn(now.id, now.starts))

    async def _turn(self, node: str, start: int) -> Ended:
        queue = workflow.info().task_queue
        try:
            said = await workflow.execute_activity(
                "ion-turn",
                args=[self._order["lease"], node, start],
                task_queue=queue_for(queue, self._plan.templates[node].node.runs_on, self._plan.state.worker),
                start_to_close_timeout=timedelta(days=3650),
                heartbeat_timeout=timedelta(milliseconds=self._order["heartbeat_ms"]),
                retry_policy=_RETRY,
                cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            reason = self._tasks.stopping.get(node)  # None: nobody here has asked for its end, and it is begun again
            return Ended(node, start, None if reason is None else Stopped(reason))
        if said.get("node", node) != node or said.get("gone"):
            return Ended(node, start, None)
        return Ended(node, said["number"], outcome_from_json(said["outcome"]))

    def stop(self, node: str, reason: str) -> None:
        self._tasks.stop(node, reason)

    async def wait(self, until: int | None) -> list[News]:
        self._done = self._taken
        if not await self._until(until, self._is_something_new):
            return []
        if self._asked > self._taken:
            return []
        placed: list[News] = []
        if self._placing is not None and self._placing.done():
            placed, self._placing = [Placed(self._placing.result())], None
        return [*placed, *self._tasks.take_ended()]

    async def _until(self, until: int | None, condition: Callable[[], bool]) -> bool:
        """Wait until this holds, or until that time (ms since the epoch); whether it holds."""
        left = None if until is None else timedelta(milliseconds=max(0, until - self.now()))
        try:
            await workflow.wait_condition(condition, timeout=left)
        except TimeoutError:
            self._latest = max(self._latest, until or 0)  # the timer has run out, whatever the clock says
            return False
        return True

    def _is_something_new(self) -> bool:
        placed = self._placing is not None and self._placing.done()
        return placed or self._tasks.any_ended or self._asked > self._taken
