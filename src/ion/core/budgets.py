"""What may be spent: by a node (`maxBudgetUsd`, over all its attempts, re-asks and iterations), and by the run.

Only what agents report counts, and only between turns: a running turn is not stopped, and a reply that was paid for is
kept. Prompts that wait for the caller cost nothing.
"""

from __future__ import annotations

from ion.core import events as e
from ion.core.state import NodeState, RunState
from ion.language.templates import Template, Templates
from ion.language.workflow import Node


def node_budget(node: Node) -> float | None:
    """The most that a node may cost in US dollars, or None."""
    value = node.options.get("maxBudgetUsd")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def node_spent(node: Node, now: NodeState, at: int) -> e.NodeFailed | None:
    """The failure of a node that needs another turn but has spent its budget."""
    budget = node_budget(node)
    if budget is None or now.progress.spent_usd < budget:
        return None
    last = f"; its last attempt failed: {now.error.message}" if now.retry_at is not None and now.error else ""
    message = f"it has cost {dollars(now.progress.spent_usd)} of at most {dollars(budget)} (maxBudgetUsd){last}"
    return e.NodeFailed(at, now.id, e.Failure("budget", message, "ion resume gives it the same amount again"))


def call_spent(template: Template, now: NodeState) -> e.Failure | None:
    """Why no further turn of an agent starts in a called workflow with a budget of its own, if that is spent."""
    budget = template.budget
    if budget is None or now.progress.spent_usd < budget:
        return None
    message = f"it has cost {dollars(now.progress.spent_usd)} of at most {dollars(budget)} (max_budget_usd)"
    return e.Failure("budget", message, "ion resume gives it the same amount again")


def spent_around(templates: Templates, state: RunState, now: NodeState) -> str:
    """The address of a call, around this instance, whose own budget is spent; '' if there is none."""
    owner = now.owner
    while owner:
        if call_spent(templates[owner], state.nodes[owner]) is not None:
            return owner
        owner = state.nodes[owner].owner
    return ""


def budget_message(state: RunState) -> str:
    """Why a run that is over its budget waits."""
    budget = state.max_budget_usd or 0
    return f"the run has spent {dollars(state.spent_usd)} of at most {dollars(budget)} (max_budget_usd)"


def dollars(amount: float) -> str:
    """`$0.25`; small amounts have as many digits as they need."""
    return f"${amount:.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.2g}"
