"""What workers do for a workflow: read and write the log, and carry out a turn.

A turn reads what it needs from the log, which holds its start; so little passes through Temporal. A turn that another
worker had started and lost is started once more, and the log says so.

The server may give a turn to a worker that hangs, and again to another when it hears nothing of the first. A worker
that comes too late therefore asks the server whether its attempt still counts, and writes only if nothing was written
since it read the log: of all attempts, the last to write counts.

Whoever reaches the cluster can ask for an activity. So each one checks who asks: only the workflow that drives the run
may; reading and writing the log is allowed only from within this worker (as a local activity), and only events of a
drive are written. `security` says who may be such a workflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace
from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from ion import clocks, codec
from ion.core import events as e
from ion.core.events import Failure
from ion.core.outcomes import Expanded, Failed, Outcome
from ion.core.outline import outline
from ion.core.state import NodeState
from ion.core.step import begin_again
from ion.engine.run_reader import read_run
from ion.engine.temporal.cluster import WORKFLOW_NAME, owner_of, workflow_id
from ion.engine.temporal.codec import (
    ShapeError,
    agent_limits_to_json,
    check_lease,
    pack,
)
from ion.engine.temporal.known_runs import KnownRun, KnownRuns
from ion.engine.turns import turn_of
from ion.errors import (
    DamagedStoreError,
    IonError,
    NotFoundError,
    OwnershipLostError,
    StaleStateError,
    StoreError,
    UsageError,
)
from ion.masking import mask_messages
from ion.nodes.base import Turn
from ion.nodes.program import in_thread
from ion.process.survivors import end_of_node, end_recorded_by_the_dead
from ion.stores.base import Lease

_log = logging.getLogger("ion")

# How much of a log is handed over at once, before it is packed; a payload may hold 2 MB.
PAGE_BYTES = 1024 * 1024
_PAYLOAD_BYTES = 1900 * 1024
# What others than the drive write into a log: its start, and requests.
_OF_OTHERS = (e.WorkflowStarted, e.ApprovalResolved, e.PromptAnswered, e.BudgetRaised)


class Activities:
    """The activities of one worker.

    `runs` are those that it has worked for, `queue` is the task queue of its runs, `name` the worker's, `slots` how
    many turns run here at once.
    """

    def __init__(self, runs: KnownRuns, queue: str, name: str, slots: int) -> None:
        self._runs = runs
        self._queue = queue
        self._name = name
        self._slots = asyncio.Semaphore(slots)

    @property
    def all(self) -> list[Callable[..., Any]]:
        """The activities that the worker offers."""
        log = (self.read_source, self.read_events, self.record, self.release)
        return [*log, self.take_agent, self.place, self.turn]

    @activity.defn(name="ion-read-source")
    async def read_source(self, run_id: str) -> str:
        """The run's frozen workflow, as `codec.pack` makes it."""
        self._require_drive(run_id, near=True)
        with _refusals():
            return pack(json.loads(await asyncio.to_thread(self._runs.store.get_source, run_id)))

    @activity.defn(name="ion-read-events")
    async def read_events(self, run_id: str, after: int) -> dict[str, Any]:
        """A page of the log from the event after number `after` on, as `codec.pack` makes it, and whether there are
        `more`."""
        self._require_drive(run_id, near=True)
        recorded = await asyncio.to_thread(self._runs.store.get_workflow_events, run_id, after=after, limit=4000)
        events: list[dict[str, Any]] = []
        size = 0
        for item in recorded:
            event = codec.to_json(outline(item.event))
            size += len(str(event))
            if events and size > PAGE_BYTES:
                break
            events.append(event)
        return {"events": pack(events), "more": len(events) < len(recorded) or len(recorded) == 4000}

    @activity.defn(name="ion-record")
    async def record(self, lease: dict[str, Any], after: int, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Append events: `seq` is the number of the last. `stale`: another event came first, read the log.

        Events that an earlier try of this very call appended are found, and not appended again.
        """
        store = self._runs.store
        held = self._drive(lease, near=True)
        written = self._written_by_a_drive(events)
        secrets = await asyncio.to_thread(self._runs.secrets_of, held.run_id)
        new = [mask_messages(event, secrets) for event in written]
        try:
            with _refusals():
                seq = await asyncio.to_thread(store.create_workflow_event, held.run_id, new, lease=held, after=after)
        except StaleStateError:
            there = await asyncio.to_thread(store.get_workflow_events, held.run_id, after=after, limit=len(new))
            if [item.event for item in there] == new:
                return {"seq": after + len(new)}
            return {"stale": True}
        return {"seq": seq}

    @activity.defn(name="ion-take-agent")
    async def take_agent(self, run_id: str, agent: str) -> dict[str, Any]:
        """The agent limits of a run that this agent is to continue, as configured here."""
        self._require_drive(run_id, near=True)
        with _refusals():
            workflow = (await in_thread(read_run, self._runs.store, run_id)).workflow
            return agent_limits_to_json(self._runs.engine_config_for(agent).agent_limits(workflow))

    @activity.defn(name="ion-release")
    async def release(self, lease: dict[str, Any]) -> None:
        """The drive is over: the run has no owner."""
        held = self._drive(lease, near=True)
        await self._runs.release(held.run_id)
        with _refusals():
            await asyncio.to_thread(self._runs.store.release_lease, held)
        await asyncio.to_thread(self._runs.remove_checkouts)

    @activity.defn(name="ion-place")
    async def place(self) -> str:
        """The name of this worker, which carries out all nodes of the run that asks."""
        if activity.info().workflow_type != WORKFLOW_NAME:
            raise _not_the_drive()
        return self._name

    @activity.defn(name="ion-turn")
    async def turn(self, lease: dict[str, Any], node: str, number: int) -> dict[str, Any]:
        """Carry out the present turn of a node, its start of this number; returns its outcome, and the number under
        which it is in the log now. `gone`: the turn belongs to another worker by now."""
        held = self._drive(lease)
        beating = asyncio.create_task(_beat())
        try:
            async with self._slots:
                begun = await self._begin(held, node, number)
                if begun is None:
                    return {"node": node, "number": number, "gone": True}
                known, turn = begun
                number = turn.start
                try:
                    outcome = await self._carry_out(known, turn)
                except asyncio.CancelledError:
                    details = activity.cancellation_details()
                    if details is not None and details.cancel_requested:
                        artifacts = known.context.folders.artifacts
                        await in_thread(end_of_node, held.run_id, artifacts, node)
                    raise
                finally:
                    known.turns -= 1
                return {"node": node, "number": number, "outcome": codec.to_json(outcome)}
        except StoreError:
            raise  # to be tried again
        except OwnershipLostError as error:
            raise _final(error) from error
        except IonError as error:  # what the turn needs around it is not there, or was changed
            failure = Failure(error.error_code, error.message, error.hint)
            return {"node": node, "number": number, "outcome": codec.to_json(Failed(failure))}
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating

    async def _carry_out(self, known: KnownRun, turn: Turn) -> Outcome:
        state = known.reader.state
        context = replace(known.context, nodes=state.nodes)
        try:
            outcome = await self._runs.engine_config_for(state.agent).runners[turn.kind](turn, context)
            return _fitting(mask_messages(outcome, context.secrets))
        except (IonError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  (a bug: to try it again and again, as after a loss, is of no use)
            _log.exception("the turn %s of the run %s", turn.log_name, context.run_id)
            return Failed(Failure("bug", f"{type(error).__name__}: {error}"))

    async def _begin(self, lease: Lease, node: str, number: int) -> tuple[KnownRun, Turn] | None:
        """The turn, counted as running here; None if this attempt no longer counts.

        The start of an attempt after the first is in the log, under a new number. The order makes sure that the last
        one counts: read the log, ask the server, write if nothing was written since.
        """
        again = activity.info().attempt > 1
        async with self._runs.lock_of(lease.run_id):
            while True:
                known = await self._runs.up_to_now(lease.run_id)
                now = known.reader.state.nodes.get(node)
                if now is None or not now.live or (now.starts != number and not again):
                    return None
                if again and not await _counts():
                    return None
                try:
                    if again:
                        await in_thread(self._begin_again, known, lease, now)
                except StaleStateError:
                    continue
                turn = turn_of(known.context.workflow, known.reader.state, node)
                known.turns += 1
                return known, turn

    def _drive(self, data: dict[str, Any], *, near: bool = False) -> Lease:
        """The lease of the drive that asks; see `_require_drive`."""
        with _refusals():
            check_lease(data)
        self._require_drive(data["run_id"], near=near)
        return Lease(data["run_id"], data["epoch"], owner_of(data["run_id"], data["engine"]))

    def _require_drive(self, run_id: str, *, near: bool) -> None:
        """Refuse any caller but the workflow that drives this run; `near`: in this very worker."""
        info = activity.info()
        asks = info.workflow_type, info.workflow_id
        if asks != (WORKFLOW_NAME, workflow_id(self._queue, run_id)) or (near and not info.is_local):
            raise _not_the_drive()

    def _written_by_a_drive(self, events: list[dict[str, Any]]) -> list[e.Event]:
        """The events, if the drive of a run writes such events."""
        with _refusals():
            found = [e.from_json(event) for event in events]
            for event in found:
                if isinstance(event, _OF_OTHERS) or (isinstance(event, e.CancelRequested) and event.cause == "person"):
                    raise ShapeError(f"a drive does not write {event.type}")
                if isinstance(event, e.WorkflowResumed) and event.agent is not None:
                    self._runs.engine_config_for(event.agent)
        return found

    def _begin_again(self, known: KnownRun, lease: Lease, now: NodeState) -> None:
        """Raises `StaleStateError` if something was written since the log was read.

        Once the start is in the log no earlier attempt counts, so what its programs left here is ended: also that of a
        worker that was killed between the start of a program and its line in the journal.
        """
        folders = known.context.folders
        end_recorded_by_the_dead(folders.register.parent)
        again = begin_again(now, clocks.now_ms())
        self._runs.store.create_workflow_event(lease.run_id, [again], lease=lease, after=known.reader.seq)
        known.reader.read_new()
        end_of_node(lease.run_id, folders.artifacts, now.id)


async def _counts() -> bool:
    """Whether the server still waits for this attempt of the turn, and not for a later one."""
    handle = activity.client().get_async_activity_handle(task_token=activity.info().task_token)
    try:
        await handle.heartbeat()
    except AsyncActivityCancelledError:
        return True  # it does, and its cancellation is under way
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


def _fitting(outcome: Outcome) -> Outcome:
    """What a payload can hold: the values of very many items that conditions read may be more."""
    if not isinstance(outcome, Expanded) or len(codec.encode(outcome)) <= _PAYLOAD_BYTES:
        return outcome
    message = f"what conditions read of the {len(outcome.keys)} items is more than a cluster carries at once"
    return Failed(Failure("bad_items", message, "fewer items, or conditions that read less of each"))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What will be refused however often it is tried ends the workflow."""
    try:
        yield
    except (OwnershipLostError, NotFoundError, ShapeError, UsageError, DamagedStoreError) as error:
        raise _final(error) from error


def _not_the_drive() -> ApplicationError:
    message = f"{activity.info().activity_type} is for the workflow that drives the run, and for nobody else"
    return ApplicationError(message, type="not-the-drive", non_retryable=True)


def _final(error: IonError) -> ApplicationError:
    return ApplicationError(error.message, type=error.error_code, non_retryable=True)


async def _beat() -> None:
    """Report that this worker lives, three times within the time after which it would be given up."""
    timeout = activity.info().heartbeat_timeout
    pause = timeout.total_seconds() / 3 if timeout is not None else 1.0
    while True:
        activity.heartbeat()
        await asyncio.sleep(pause)
