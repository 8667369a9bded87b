"""What a run waits for: every question to a person, every prompt for the caller, a budget that is spent.

The one place that searches a state for it; whoever shows, counts or answers what waits starts here.
"""

from __future__ import annotations

from msgspec import Struct

from ion.core.budgets import budget_message
from ion.core.events import ApprovalRequested, Content, PromptRequested, Request
from ion.core.state import NodeState, RunState


class Waiting(Struct, frozen=True, gc=False):
    """One thing that waits. `kind` is `approval`, `iteration`, `permission`, `prompt`, or `budget` or `queue` (their
    `node` and `request` are ''); `message` is what is asked. A question has its `gate`, a prompt its text
    (`prompt`)."""

    kind: str
    node: str
    request: str
    message: str
    gate: ApprovalRequested | None = None
    prompt: Content | None = None


def waiting_in(state: RunState) -> tuple[Waiting, ...]:
    """Everything that the run waits for, nodes in file order, last a budget that is spent, or a place in a queue."""
    found = [one for node in state.nodes.values() for one in waiting_at(node)]
    if state.over_budget:
        found.append(Waiting(kind="budget", node="", request="", message=budget_message(state)))
    if state.status == "queued" and state.queued is not None:
        place = f"a place in the concurrency group '{state.queued.group}'"
        found.append(Waiting(kind="queue", node="", request="", message=place))
    return tuple(found)


def waiting_at(node: NodeState) -> list[Waiting]:
    """What one node waits for: its gate, the permissions that its agent asks for, oldest first, or its prompt."""
    return [_waiting(one) for one in node.requests.values()]


def _waiting(one: Request) -> Waiting:
    if isinstance(one, PromptRequested):
        said = "a prompt waits for an agent"
        return Waiting(kind="prompt", node=one.node, request=one.request, message=said, prompt=one.prompt)
    return Waiting(kind=one.kind, node=one.node, request=one.request, message=one.message, gate=one)
