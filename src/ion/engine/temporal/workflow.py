"""The driver inside of Temporal: the same steps of the same core, each of its effects an activity.

Deterministic: time and chance come from Temporal, and nothing here depends on the order of a set. Whoever asks for
something writes it into the log and then has the workflow `notify`. When the history grows long, no new turn is begun
until those under way have ended; then the workflow continues as a new one, which reads the log.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

from ion.core import events as e
from ion.core.fold import apply
from ion.core.outcomes import Stopped
from ion.core.plan import Command, Plan, Stop, Wait
from ion.core.resume import resume_cause, resume_events
from ion.core.state import RunState
from ion.core.step import Ended, step
from ion.engine.temporal.cluster import UNKNOWN_AGENT, WORKFLOW_NAME, labelled, queue_for
from ion.engine.temporal.codec import ShapeError, agent_limits_from_json, check_order, outcome_from_json, unpack
from ion.language.workflow import Workflow

_BY = {"via": "temporal"}
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))


@workflow.defn(name=WORKFLOW_NAME, sandboxed=False)
class IonRun:
    """One run. The order: `lease`, `slots`, `agent_limits`, `heartbeat_ms`, `longest_history` (events), `resume`,
    `agent` (who
    answers from this resume on)."""

    def __init__(self) -> None:
        self._order: dict[str, Any] = {}
        self._asked = self._taken = self._done = 0
        self._ended: list[str] = []
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._stopping: dict[str, str] = {}
        self._never_begun: dict[str, str] = {}
        self._placing: asyncio.Task[Any] | None = None
        self._agent: str | None = None
        self._seq = 0
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
        await workflow.wait_condition(lambda: bool(self._order))
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
            check_order(order)
        except ShapeError as error:
            raise ApplicationError(error.message, type=error.error_code, non_retryable=True) from error
        self._order = order
        source = await self._near("ion-read-source", order["lease"]["run_id"])
        self._workflow = Workflow.from_json(unpack(source))
        await self._reload()
        if order.get("resume") and self._plan.state.status not in ("completed", "cancelled"):
            cause = resume_cause(self._plan.state, agent=order.get("agent"))
            if cause is not None:
                await self._append(self._beginning(cause, order.get("agent")))
        outcomes: list[Ended] = []
        while True:
            # Reading a long log alone makes a history long: each workflow begins some turn before it hands on.
            draining = self._begun and self._is_long()
            new, commands = step(self._plan, outcomes, self._clock(), workflow.random().random, starting=not draining)
            if not await self._record(new):
                await self._reload()
                continue
            outcomes = []
            self._done = self._taken
            state = self._plan.state
            if state.ended:
                await self._near("ion-release", order["lease"])
                return state.status
            self._carry_out(commands, begin=not draining)
            if draining and not self._tasks:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new({**self._order, "resume": False})
            if state.status == "paused":
                await self._wait_for_answer()
            else:
                outcomes = await self._wait(commands)

    # ------------------------------------------------------------------ the log

    async def _reload(self) -> None:
        state, seq, more = RunState(), 0, True
        while more:
            page = await self._near("ion-read-events", self._order["lease"]["run_id"], seq)
            events = unpack(page["events"])
            for event in events:
                apply(state, e.from_json(event))
            seq, more = seq + len(events), page["more"]
        self._seq = seq
        self._plan = Plan(self._workflow, state, self._order["slots"], agent_limits_from_json(self._order["lanes"]))

    async def _record(self, new: list[e.Event]) -> bool:
        """Whether they are in the log now; False: the log has changed meanwhile."""
        if not new:
            return True
        said = await self._near("ion-record", self._order["lease"], self._seq, [e.to_json(event) for event in new])
        if said.get("stale"):
            return False
        self._seq = said["seq"]
        return True

    async def _append(self, events: list[e.Event]) -> None:
        for event in events:
            self._plan.advance(event)
        if not await self._record(events):
            await self._reload()
            await self._append(events)

    async def _take_in(self) -> None:
        """Apply what others have asked for since."""
        self._taken = self._asked
        more = True
        while more:
            page = await self._near("ion-read-events", self._order["lease"]["run_id"], self._seq)
            events, more = unpack(page["events"]), page["more"]
            for event in events:
                self._plan.advance(e.from_json(event))
            self._seq += len(events)

    def _beginning(self, cause: str, agent: str | None) -> list[e.Event]:
        return resume_events(self._workflow, self._plan.state, cause=cause, at=self._clock(), by=_BY, agent=agent)

    @staticmethod
    async def _near(name: str, *arguments: Any) -> Any:
        """Short calls that leave one line in the history: on the worker that carries the workflow."""
        return await workflow.execute_local_activity(
            name, args=list(arguments), start_to_close_timeout=timedelta(seconds=60), retry_policy=_RETRY
        )

    # ------------------------------------------------------------------ turns

    def _carry_out(self, commands: list[Command], *, begin: bool) -> None:
        stops = {command.node: command.reason for command in commands if isinstance(command, Stop)}
        for name, reason in stops.items():
            if name not in self._tasks:
                self._never_begun[name] = reason
            elif name not in self._stopping:
                self._stopping[name] = reason
                self._tasks[name].cancel()
        if not begin:
            return
        if self._workflow.workspace == "pinned" and self._plan.state.worker is None:
            if self._placing is None and self._plan.live - stops.keys():
                self._placing = asyncio.create_task(self._place())
            return
        for node in self._workflow.nodes:
            if node.id in self._plan.live and node.id not in self._tasks and node.id not in stops:
                self._begun = True
                number = self._plan.state.nodes[node.id].starts
                task = self._tasks[node.id] = asyncio.create_task(self._turn(node.id, number))
                task.add_done_callback(partial(self._note, node.id))

    def _note(self, node: str, _task: asyncio.Task[Any]) -> None:
        self._ended.append(node)

    async def _place(self) -> Any:
        """Choose a worker, which then carries out all nodes; returns its name."""
        return await workflow.execute_activity(
            "ion-place",
            task_queue=labelled(workflow.info().task_queue, self._workflow.nodes[0].runs_on),
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=_RETRY,
        )

    async def _turn(self, node: str, number: int) -> Any:
        return await workflow.execute_activity(
            "ion-turn",
            args=[self._order["lease"], node, number],
            task_queue=queue_for(
                workflow.info().task_queue, self._workflow.by_id[node].runs_on, self._plan.state.worker
            ),
            start_to_close_timeout=timedelta(days=3650),
            heartbeat_timeout=timedelta(milliseconds=self._order["heartbeat_ms"]),
            retry_policy=_RETRY,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _outcomes(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        never_begun, self._never_begun = self._never_begun, {}
        starts = self._plan.state.nodes
        found = [Ended(node, starts[node].starts, Stopped(why)) for node, why in never_begun.items()]
        for node in ended:
            task = self._tasks.pop(node)
            reason = self._stopping.pop(node, None)
            number = self._plan.state.nodes[node].starts
            try:
                said = task.result()
            except (asyncio.CancelledError, ActivityError) as error:
                if not is_cancelled_exception(error):
                    raise
                if reason is not None:  # else nobody here has asked for its end, and it is begun again
                    found.append(Ended(node, number, Stopped(reason)))
                continue
            if said.get("node", node) == node and not said.get("gone"):
                found.append(Ended(node, said["number"], outcome_from_json(said["outcome"])))
        return found

    # ------------------------------------------------------------------ waiting

    async def _wait(self, commands: list[Command]) -> list[Ended]:
        """Wait until a turn has ended, something is asked for, or something is due."""
        due = [command.until for command in commands if isinstance(command, Wait)]
        left = timedelta(milliseconds=max(0, min(due) - self._clock())) if due else None
        try:
            await workflow.wait_condition(self._is_something_new, timeout=left)
        except TimeoutError:
            self._latest = max(self._latest, min(due))  # the timer has run out, whatever the clock says
            return []
        if self._placing is not None and self._placing.done():
            placed, self._placing = self._placing, None
            await self._append([e.WorkflowPlaced(self._clock(), placed.result())])
        if self._asked > self._taken:
            await self._take_in()
        outcomes = self._outcomes()
        if any(one.start != self._plan.state.nodes[one.node].starts for one in outcomes):
            await self._take_in()  # a turn was begun once more by another worker
        return outcomes

    def _is_something_new(self) -> bool:
        placed = self._placing is not None and self._placing.done()
        return placed or bool(self._ended or self._never_begun) or self._asked > self._taken

    async def _wait_for_answer(self) -> None:
        """Wait until something came with which the run can continue: it may be there, if the log was read again."""
        while True:
            agent, self._agent = self._agent, None
            cause = resume_cause(self._plan.state, agent=agent, resume=False)
            if cause is not None:
                await self._append(self._beginning(cause, agent))
                if agent is not None:
                    await self._reload()  # for the lanes of the new agent
                return
            self._done = self._taken
            await workflow.wait_condition(lambda: self._asked > self._taken)
            await self._take_in()

    def _is_long(self) -> bool:
        info = workflow.info()
        longest = self._order["longest_history"]
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > longest

    def _clock(self) -> int:
        """The time, which never goes back: otherwise a retry would wait for a server whose clock does."""
        self._latest = max(self._latest, self._now())
        return self._latest

    @staticmethod
    def _now() -> int:
        """Milliseconds since the epoch, as the history has them."""
        return round(workflow.now().timestamp() * 1000)
