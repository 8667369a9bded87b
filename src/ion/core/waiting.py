"""What a run waits for: every question to a person, every prompt for the caller, a budget that is spent.

The one place that searches a state for it; whoever shows, counts or answers what waits starts here.
"""

from __future__ import annotations

from msgspec import Struct

from ion.core.budgets import budget_message
from ion.core.events import CHECK, SIGNAL, TIMER, ApprovalRequested, Content, PromptRequested, Request
from ion.core.lanes import Lane
from ion.core.state import NodeState, RunState


class Waiting(Struct, frozen=True, gc=False):
    """One thing that waits. `kind` is `approval`, `iteration`, `permission`, `prompt`, `timer`, `signal`, `check`, or
    `budget`, `queue` or `quota` (their `node` is ''); `message` is what is asked, or waited for. A question has its
    `gate`, a prompt its text (`prompt`), a signal the name of its `event`. A quota is that of an `agent`, which said
    when it `resets_at`, or not. `tries` were made of a check. `due_at` (ms since the epoch) is when it is over, if it
    ever is by itself."""

    kind: str
    node: str
    request: str
    message: str
    gate: ApprovalRequested | None = None
    prompt: Content | None = None
    event: str = ""
    due_at: int | None = None
    agent: str = ""
    resets_at: int | None = None
    tries: int | None = None


def waiting_in(state: RunState) -> tuple[Waiting, ...]:
    """Everything that the run waits for, nodes in file order, last the agents whose lanes are closed, a budget that is
    spent, or a place in a queue."""
    found = [one for node in state.nodes.values() for one in waiting_at(node)]
    found += [_closed(agent, state.lanes[agent]) for agent in held_by(state)]
    if state.over_budget:
        found.append(Waiting(kind="budget", node="", request="", message=budget_message(state)))
    if state.status == "queued" and state.queued is not None:
        place = f"a place in the concurrency group '{state.queued.group}'"
        found.append(Waiting(kind="queue", node="", request="", message=place))
    return tuple(found)


def held_by(state: RunState) -> list[str]:
    """The agents whose closed lanes hold turns back."""
    held = state.held_by or dict.fromkeys(one for node in state.nodes.values() if (one := node.held_by))
    return [agent for agent in held if agent in state.lanes]


def _closed(agent: str, lane: Lane) -> Waiting:
    said = f"{agent} is at its limit"
    return Waiting(
        kind="quota",
        node="",
        request="",
        message=said,
        due_at=lane.until,
        agent=agent,
        resets_at=lane.error.resets_at,
    )


def waiting_at(node: NodeState) -> list[Waiting]:
    """What one node waits for: its gate, the permissions that its agent asks for, oldest first, its prompt, or what a
    `wait` is for."""
    found = [_waiting(one) for one in node.requests.values()]
    wait = node.wait
    if wait is not None:
        said = {TIMER: "a time", SIGNAL: f"the signal '{wait.event}'", CHECK: "its check to pass"}[wait.kind]
        tries = node.attempts if wait.kind == CHECK else None
        message = f"waits for {said}"
        found.append(Waiting(wait.kind, node.id, "", message, event=wait.event, due_at=wait.due_at, tries=tries))
    return found


def _waiting(one: Request) -> Waiting:
    if isinstance(one, PromptRequested):
        said = "a prompt waits for an agent"
        return Waiting(kind="prompt", node=one.node, request=one.request, message=said, prompt=one.prompt)
    return Waiting(kind=one.kind, node=one.node, request=one.request, message=one.message, gate=one, due_at=one.due_at)
