"""What workers do for a workflow: read and write the log, and carry out a turn.

A turn reads what it needs from the log, in which its start stands; so little passes through Temporal. One that another
worker had begun and lost is begun once more, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from temporalio import activity

from ion.core import events as e
from ion.engine.engaged import Engaged
from ion.engine.observe import Observers
from ion.engine.runs import Look, Setting, context_of, look
from ion.engine.temporal.codec import INLINE_LIMIT_BYTES, outcome_to_json, stripped
from ion.engine.turns import turn_of
from ion.errors import StaleStateError
from ion.nodes.base import Context, Turn
from ion.records import dataclass
from ion.stores.base import Lease, Owner

# How much of a log is handed over at once; a payload may hold 2 MB.
PAGE_BYTES = 1024 * 1024
_REMEMBERED_RUNS = 32
SettingFor = Callable[[str | None], Setting]


def owner_of(run_id: str, engine: str) -> Owner:
    """Who owns a run that a cluster drives: no process, so that none is ever found dead."""
    return Owner(engine, "temporal", 0, "", run_id)


@dataclass
class _Known:
    """A run that this worker has worked for: its log as far as it was read, and its context."""

    look: Look
    context: Context
    engaged: Engaged


class Hands:
    """The activities of one worker. `setting_for` gives the surroundings of a run with this agent."""

    def __init__(self, setting_for: SettingFor) -> None:
        self._setting_for = setting_for
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    @property
    def all(self) -> list[Callable[..., Any]]:
        """For the worker to offer."""
        return [self.read_source, self.read_events, self.record, self.release, self.turn]

    @activity.defn(name="ion-read-source")
    async def read_source(self, run_id: str) -> str:
        """The run's frozen workflow."""
        store = self._setting_for(None).store
        return await asyncio.to_thread(store.get_source, run_id)

    @activity.defn(name="ion-read-events")
    async def read_events(self, run_id: str, after: int) -> dict[str, Any]:
        """A page of the log from the event after number `after` on: `events` as JSON, and whether there are `more`."""
        store = self._setting_for(None).store
        recorded = await asyncio.to_thread(store.get_workflow_events, run_id, after=after, limit=4000)
        events: list[dict[str, Any]] = []
        size = 0
        for item in recorded:
            event = stripped(e.to_json(item.event))
            size += len(str(event))
            if events and size > PAGE_BYTES:
                break
            events.append(event)
        return {"events": events, "more": len(events) < len(recorded) or len(recorded) == 4000}

    @activity.defn(name="ion-record")
    async def record(self, lease: dict[str, Any], after: int, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Append events: `seq` is the number of the last. `stale`: somebody else's event came first, read the log.

        What was appended by an earlier try of this very call is found, and not appended again.
        """
        store = self._setting_for(None).store
        held = _lease(lease)
        new = [e.from_json(event) for event in events]
        try:
            seq = await asyncio.to_thread(store.create_workflow_event, held.run_id, new, lease=held, after=after)
        except StaleStateError:
            there = await asyncio.to_thread(store.get_workflow_events, held.run_id, after=after, limit=len(new))
            if [e.to_json(item.event) for item in there] == events:
                return {"seq": after + len(new)}
            return {"stale": True}
        return {"seq": seq}

    @activity.defn(name="ion-release")
    async def release(self, lease: dict[str, Any]) -> None:
        """The drive is over: the run belongs to nobody."""
        held = _lease(lease)
        known = self._known.pop(held.run_id, None)
        if known is not None:
            await known.engaged.end(held.run_id)
        await asyncio.to_thread(self._setting_for(None).store.release_lease, held)

    @activity.defn(name="ion-turn")
    async def turn(self, lease: dict[str, Any], node: str, number: int) -> dict[str, Any]:
        """Carry out the present turn of a node, its start of this number; gives its outcome, and the number under which
        it is in the log now."""
        begun = await asyncio.to_thread(self._begin, _lease(lease), node, number, again=activity.info().attempt > 1)
        if begun is None:
            return {"number": number, "gone": True}
        turn, context, agent = begun
        runners = self._setting_for(agent).runners
        beating = asyncio.create_task(_beat())
        try:
            outcome = await runners[turn.turn](turn, context)
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
        return {"number": turn.start, "outcome": outcome_to_json(outcome)}

    def _begin(self, lease: Lease, node: str, number: int, *, again: bool) -> tuple[Turn, Context, str | None] | None:
        """The turn and what is around it; None if the log has it no more. `again`: another worker had it and is gone,
        which is to stand in the log. One at a time: the run's state here is read by all of its turns."""
        with self._lock:
            known = self._run(lease.run_id)
            now = known.look.state.nodes[node]
            if not now.live or (now.starts != number and not again):
                return None
            if again:
                at = time.time_ns() // 1_000_000
                event = e.NodeStarted(at, node, now.turn or "", now.attempt, now.iteration, now.inputs, now.signaled)
                self._setting_for(None).store.create_workflow_event(lease.run_id, [event], lease=lease)
                known.look.go_on()
            state = known.look.state
            context = replace(known.context, nodes=state.nodes)
            return turn_of(context.workflow, state, node), context, state.agent

    def _run(self, run_id: str) -> _Known:
        """What is known of a run, read up to now."""
        known = self._known.get(run_id)
        if known is None:
            found = look(self._setting_for(None).store, run_id)
            assert found.state.started is not None
            setting = self._setting_for(found.state.agent)
            engaged = Engaged(setting.agent_for)
            context = context_of(
                setting, run_id, found.workflow, found.state.started, engaged, Observers(()), INLINE_LIMIT_BYTES
            )
            known = self._known[run_id] = _Known(found, context, engaged)
            while len(self._known) > _REMEMBERED_RUNS:
                self._known.pop(next(iter(self._known)))
        else:
            known.look.go_on()
        return known


async def _beat() -> None:
    """Say that this worker lives, three times in the time after which it would be given up."""
    timeout = activity.info().heartbeat_timeout
    pause = timeout.total_seconds() / 3 if timeout is not None else 1.0
    while True:
        activity.heartbeat()
        await asyncio.sleep(pause)


def _lease(data: dict[str, Any]) -> Lease:
    return Lease(data["run_id"], data["epoch"], owner_of(data["run_id"], data["engine"]))
