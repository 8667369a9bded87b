"""The driver: carries out what the core says about one run, wherever that run is.

Its loop is: take in what came, ask the plan, append all of that in one commit, start what is to start, wait. A node's
outcome is durable before anything that depends on it starts, and the end of one node shares a commit with the start of
the next. Run and resume are this same function; only the log they begin with differs.

What it needs of the place where the run is driven is a `World`: `local.Drive` is a process, `temporal.workflow.IonRun`
a cluster, `ion.testing.SimulatedWorld` a simulation. Nothing else carries out a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from ion.core import events as e
from ion.core.commands import ChooseWorker, Command, Stop, Wait
from ion.core.fold import fold
from ion.core.outcomes import Stopped
from ion.core.plan import Plan
from ion.core.state import NodeState, RunState
from ion.core.step import Ended, News, step
from ion.engine.loading import no_collection
from ion.errors import StaleStateError


class World(Protocol):
    """Where a run is driven: its clock, its log, and what carries its turns out."""

    def now(self) -> int:
        """The time in ms since the epoch."""

    def jitter(self) -> float:
        """A random number from [0, 1), for the delay of a retry."""

    def mask(self, event: e.Event) -> e.Event:
        """The event without the secrets that its messages hold."""

    def draining(self) -> bool:
        """Whether no further turn is to begin here: the drive ends once none is under way."""

    async def read(self, after: int) -> list[e.Recorded]:
        """The events of the log after number `after`."""

    async def append(self, events: Sequence[e.Event], after: int) -> None:
        """Append to the log, whose last event is number `after`. Raises `StaleStateError` if it is another one."""

    def observe(self, recorded: Sequence[e.Recorded], state: RunState) -> None:
        """These events are in the log now; `state` is the one after them."""

    def place(self) -> None:
        """Begin to choose the worker that carries out all turns of the run (a process is never asked)."""

    def start(self, now: NodeState) -> None:
        """Begin to carry out the present turn of this node."""

    def stop(self, node: str, reason: str) -> None:
        """End the turn of this node, whose outcome is then `Stopped(reason)` unless it ends by itself before."""

    async def wait(self, until: int | None) -> list[News]:
        """What came, as soon as something did. Nothing: it is `until` (ms since the epoch), or the log may hold
        requests of others."""


async def drive(plan: Plan, world: World, begin: Iterable[e.Event] = ()) -> RunState:
    """Drive the run of `plan` until it ends, waits for people, or the world is drained; its state then.

    `begin` is what a resume begins with: it is appended first.
    """
    first = list(begin)
    news: list[News] = []
    under_way = _UnderWay(world)
    while True:
        after, draining = plan.state.seq, world.draining()
        for event in first:
            plan.advance(event)
        new, commands = step(plan, news, world.now(), world.jitter, starting=not draining, mask=world.mask)
        if not await _record(plan, world, [*first, *new], after):
            continue
        first.clear()
        if plan.state.ended or plan.state.status == "paused":
            return plan.state
        news = under_way.carry_out(plan, commands, starting=not draining)
        if news:
            continue
        if draining and not under_way.turns:
            return plan.state
        news = await _next_news(plan, world, commands)
        under_way.forget(news)


class _UnderWay:
    """What the world carries out for one drive: the number of its start for each node whose turn is under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopping: set[str] = set()
        self._placing = False
        self.turns: dict[str, int] = {}

    def carry_out(self, plan: Plan, commands: Sequence[Command], *, starting: bool) -> list[News]:
        """Stop and start turns; what is to be stopped before it was carried out has ended by that."""
        never_begun: list[News] = []
        for command in commands:
            if isinstance(command, Stop):
                if command.node not in self.turns:
                    start = plan.state.nodes[command.node].starts
                    never_begun.append(Ended(command.node, start, Stopped(command.reason)))
                elif command.node not in self._stopping:
                    self._stopping.add(command.node)
                    self._world.stop(command.node, command.reason)
        if any(isinstance(command, ChooseWorker) for command in commands):
            if starting and not self._placing:
                self._placing = True
                self._world.place()
        elif starting and not never_begun:
            for node in plan.in_order(plan.live - self.turns.keys()):
                now = plan.state.nodes[node]
                self.turns[node] = now.starts
                self._world.start(now)
        return never_begun

    def forget(self, news: Iterable[News]) -> None:
        """Turns that have ended, some of them under a later number: another worker had begun them once more."""
        for one in news:
            if isinstance(one, Ended) and self.turns.get(one.node, one.start + 1) <= one.start:
                del self.turns[one.node]


async def _record(plan: Plan, world: World, new: Sequence[e.Event], after: int) -> bool:
    """Whether they are in the log now. If something else came first, the plan continues from the log as it is."""
    if not new:
        return True
    try:
        await world.append(new, after)
    except StaleStateError:
        recorded = await world.read(0)
        with no_collection():
            plan.restart(fold(item.event for item in recorded))
        world.observe([item for item in recorded if item.seq > after], plan.state)
        return False
    world.observe([e.Recorded(seq, event) for seq, event in enumerate(new, after + 1)], plan.state)
    return True


async def _next_news(plan: Plan, world: World, commands: Iterable[Command]) -> list[News]:
    """Wait for what comes next: news, a request in the log, or the time at which something is due."""
    until = min((command.until for command in commands if isinstance(command, Wait)), default=None)
    while True:
        news = await world.wait(until)
        begun_again = any(isinstance(one, Ended) and one.start > _starts(plan, one.node) for one in news)
        if (not news or begun_again) and await read_new(plan, world):
            return news
        if news or (until is not None and world.now() >= until):
            return news


def _starts(plan: Plan, node: str) -> int:
    now = plan.state.nodes.get(node)
    return 0 if now is None else now.starts


async def read_new(plan: Plan, world: World) -> bool:
    """Take in what others have appended to the log; whether they have."""
    recorded = await world.read(plan.state.seq)
    for item in recorded:
        plan.advance(item.event)
    if recorded:
        world.observe(recorded, plan.state)
    return bool(recorded)


class TurnTasks:
    """The turns that a world carries out as tasks of its event loop. `wake` is called when one has ended."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._tasks: dict[str, tuple[int, asyncio.Task[Ended]]] = {}
        self._ended: list[str] = []
        self.stopping: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def any_ended(self) -> bool:
        return bool(self._ended)

    def start(self, now: NodeState, work: Coroutine[Any, Any, Ended]) -> None:
        task = asyncio.create_task(work, name=f"{now.id}/{now.starts}")
        task.add_done_callback(partial(self._note, now.id))
        self._tasks[now.id] = now.starts, task

    def stop(self, node: str, reason: str) -> None:
        self.stopping[node] = reason
        self._tasks[node][1].cancel()

    def start_of(self, node: str) -> int:
        """The number of the start whose turn this is."""
        return self._tasks[node][0]

    def take_ended(self) -> list[Ended]:
        """Those that have ended since. What one raised is raised here."""
        ended, self._ended = self._ended, []
        return [self._take(node) for node in ended]

    def _take(self, node: str) -> Ended:
        start, task = self._tasks.pop(node)
        reason = self.stopping.pop(node, "cancelled")
        return Ended(node, start, Stopped(reason)) if task.cancelled() else task.result()

    def _note(self, node: str, _task: asyncio.Task[Ended]) -> None:
        self._ended.append(node)
        self._wake()

    async def end(self) -> None:
        """Cancel them all, and wait for that."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.clear()
