"""One step of a run: what came is applied, the plan is asked, and its decisions are recorded.

`engine/driver.py` writes the events, then carries out the commands. Pure, as all of the core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct

from ion.core import events as e
from ion.core.apply_outcome import apply_outcome, permissions_asked
from ion.core.commands import ChooseWorker, Command, Record, Stop
from ion.core.decide import StartTurn
from ion.core.foreseen import with_consequences
from ion.core.outcomes import Failed, Outcome, Question
from ion.core.plan import Plan
from ion.core.state import NodeState


class Ended(Struct, frozen=True, gc=False):
    """The turn that began with the node's start of this number has ended. Without an outcome it is another's by now,
    and begun again here if nobody carries it out."""

    node: str
    start: int
    outcome: Outcome | None


class Asked(Struct, frozen=True, gc=False):
    """The agent of a turn asks for permissions, and waits for them while its turn is held open."""

    node: str
    start: int
    questions: tuple[Question, ...]


class AgentFree(Struct, frozen=True, gc=False):
    """An agent that this run shares with others has room again. Nothing is recorded; the plan is asked once more."""


class Placed(Struct, frozen=True, gc=False):
    """This worker carries out all turns of the run from here on."""

    worker: str


News: TypeAlias = Ended | Asked | AgentFree | Placed


def step(
    plan: Plan,
    news: Iterable[News],
    at: int,
    jitter: Callable[[], float],
    *,
    starting: bool = True,
    mask: Callable[[e.Event], e.Event] = lambda event: event,
) -> tuple[list[e.Event], list[Command]]:
    """Take `plan` on by this news at `at` (ms since the epoch): the events to append, and the commands to carry out
    once they are. `starting` False: no turn is begun in this step. `mask` makes an event what the log may hold.
    """
    new: list[e.Event] = []

    def take(event: e.Event) -> None:
        if plan.has_foreseen:
            event = with_consequences(plan.templates, plan.state, event)
        event = mask(event)
        plan.advance(event)
        new.append(event)

    for one in news:
        for event in _events(plan, one, at, jitter):
            take(event)
    if plan.state.status == "paused":
        return new, []  # the log was read again, and what it waited for came: it is resumed first
    commands = plan.next_steps(at)
    while any(isinstance(command, Record) for command in commands):
        for command in commands:
            if isinstance(command, Record):
                take(command.event)
        commands = plan.next_steps(at)
    starts = [command for command in commands if isinstance(command, StartTurn)] if starting else []
    for start in starts:
        take(start.event(at))
    if starts:
        commands = plan.next_steps(at)
    if _is_to_place(plan) and not any(isinstance(command, Stop) for command in commands):
        commands = [*commands, ChooseWorker()]
    return new, commands


def _is_to_place(plan: Plan) -> bool:
    """Whether turns wait for the worker that is to carry out all of them. Only a cluster has several."""
    state = plan.state
    return bool(plan.live) and plan.workflow.workspace == "pinned" and state.engine is not None and state.worker is None


def _events(plan: Plan, news: News, at: int, jitter: Callable[[], float]) -> list[e.Event]:
    if isinstance(news, AgentFree):
        return []
    if isinstance(news, Placed):
        return [e.WorkflowPlaced(at, news.worker)]
    now = plan.state.nodes.get(news.node)
    if now is None or not now.live or now.starts != news.start:
        return []  # an append of unknown fate had gone in: this is in the log
    if isinstance(news, Asked):
        return [*permissions_asked(now, news.questions, at, held=True)]
    if news.outcome is None:
        return []
    chance = jitter() if isinstance(news.outcome, Failed) else 0.0
    agent = plan.agent_limits.lane(plan.templates[news.node].path, now.turn)
    return apply_outcome(plan.workflow, plan.state, news.node, news.outcome, at, chance, agent)


def begin_again(now: NodeState, at: int) -> e.NodeStarted:
    """The present turn of this node was lost with the worker that carried it out, and is begun once more."""
    return e.NodeStarted(
        at, now.id, now.turn or "", now.tries.attempt, now.progress.iteration, now.inputs, now.progress.signaled
    )
