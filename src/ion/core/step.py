"""One step of a driver, whichever it is: outcomes are applied, the plan is asked, and its decisions are recorded.

The driver writes the events, then carries out the commands. Pure, as all of the core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ion.core import events as e
from ion.core.apply_outcome import apply_outcome
from ion.core.decide import StartTurn
from ion.core.outcomes import Failed, Outcome
from ion.core.plan import Command, Plan, Record

# A node, and the number of its start whose turn has ended.
TurnId = tuple[str, int]


def step(
    plan: Plan,
    outcomes: Iterable[tuple[TurnId, Outcome]],
    at: int,
    jitter: Callable[[], float],
    further: Callable[[], Iterable[e.Event]] = tuple,
    *,
    starting: bool = True,
    recorded: Callable[[e.Event], e.Event] = lambda event: event,
) -> tuple[list[e.Event], list[Command]]:
    """Take `plan` on by these outcomes at `at` (ms since the epoch): the events to append, and the commands to carry
    out once they are. `further` gives events of the driver's own, once the outcomes are taken in; `starting` False: no
    turn is begun in this step. `recorded` makes an event what is in the log.
    """
    new: list[e.Event] = []

    def take(event: e.Event) -> None:
        event = recorded(event)
        plan.advance(event)
        new.append(event)

    for (node, number), outcome in outcomes:
        now = plan.state.nodes[node]
        if not now.live or now.starts != number:
            continue  # an append of unknown fate had gone in: this outcome is in the log
        for event in apply_outcome(
            plan.workflow, plan.state, node, outcome, at, jitter() if isinstance(outcome, Failed) else 0
        ):
            take(event)
    for event in further():
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
    return new, commands
