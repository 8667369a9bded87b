"""What the states of runs and nodes, and failures, are called wherever they are shown, and their symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ion.core.addresses import finals_in, members_of
from ion.core.budgets import dollars
from ion.core.foreseen import handled
from ion.core.spending import COST
from ion.core.tallies import total
from ion.views.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ion.core.events import Failure
    from ion.core.state import NodeState, RunState
    from ion.language.workflow import Workflow

# What schedules and concurrency groups may be in, as a role; and what some of that means.
SCHEDULE_ROLES = {
    "active": "good",
    "accepted": "good",
    "paused": "attention",
    "new": "attention",
    "changed": "attention",
}
SCHEDULE_MEANINGS = {
    "new": "is not accepted yet, and starts nothing",
    "changed": "has changed since it was accepted, or what it runs has, and starts nothing",
}
GROUP_MEANINGS = {
    "new": "is not accepted yet, and does not hold",
    "changed": "has changed since it was accepted, and does not hold",
}
_TOKENS = (("input_tokens", "tokens in"), ("output_tokens", "out"), ("cached_input_tokens", "cached"))
# Failures of these codes carry what the program said after the first ': ' (nodes/program.py).
_WITH_OUTPUT = frozenset({"exit-status", "timeout", "signal"})


def foreseen(state: RunState, node: NodeState) -> str:
    """`allowed`, `caught by` which node, or `in finally`, of a failure that fails nothing around it; '': it is none."""
    if node.status != "failed":
        return ""
    if node.id in state.caught and not node.allowed:
        return f"caught by {state.caught[node.id]}"
    if node.id in finals_in(state, node.owner) and not node.allowed:
        return "in finally"
    scope = state.scopes.get(node.owner)
    left_out = scope is not None and scope.items is not None and state.nodes[node.owner].status == "completed"
    return "allowed" if node.allowed or left_out else ""


def said_of(state: RunState, node: NodeState) -> str:
    """The state of a node in words: `failed, allowed`."""
    said = foreseen(state, node)
    return f"failed {said}" if said == "in finally" else ", ".join(filter(None, (node.status, said)))


def mark_of_node(state: RunState, node: NodeState, run_status: str) -> str:
    """The key of the node's symbol: its state, `retry` while it waits for its next attempt, `interrupted` if it ran
    when the run's process died, `allowed` for a failure that fails nothing."""
    if foreseen(state, node):
        return "allowed"
    if node.status == "running" and run_status == "interrupted":
        return "interrupted"
    return "retry" if node.status == "waiting" and (node.retry_at is not None or node.held_by) else node.status


def not_clean(state: RunState) -> str:
    """`2 allowed, 1 caught, 1 in finally`: how many failures did not fail the run; '' if it is clean."""
    found = handled(state)
    counts = {"allowed": len(found.allowed), "caught": len(found.caught), "in finally": len(found.in_finally)}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def counted(counts: dict[str, int], running: str = "running") -> str:
    """`97 of 100 · 2 failed · 1 running`: what is inside of a node, as `core.tallies` counts it. `running` is the word
    for what runs."""
    seen = ("failed", "running", "waiting", "skipped", "cancelled")
    parts = [f"{counts[one]} {running if one == 'running' else one}" for one in seen if counts[one]]
    return " · ".join([f"{counts['completed']} of {total(counts)}", *parts])


class FailureText(Struct, frozen=True):
    """A failure in one line, and the last lines that the program or agent had to say."""

    headline: str
    said: tuple[str, ...]


def failure_text(error: Failure, lines: int = 10) -> FailureText:
    """`exit 1` with the last of stderr, or the message with its further lines. A program that was ended for its time
    may have an exit status too."""
    first, _, rest = error.message.partition("\n")
    if error.code in _WITH_OUTPUT:
        first, _, rest = error.message.partition(": ")
    if error.exit_status is not None and error.code != "timeout":
        first = f"exit {error.exit_status}"
    said = [line.rstrip() for line in rest.splitlines() if line.strip()]
    return FailureText(one_line(first), tuple(said[-lines:]))


def needs_of(workflow: Workflow | None) -> list[str]:
    """What must be given to run a workflow: its required inputs, and `agent` if it asks one."""
    from ion.kinds import AGENT_KINDS
    from ion.language.templates import templates_of

    if workflow is None:
        return []
    needed = [one.name for one in workflow.inputs if one.required]
    asks = any(one.node.kind in AGENT_KINDS for one in templates_of(workflow))
    return [*needed, "agent"] if asks else needed


def cost_line(state: RunState) -> str:
    """`cost  $0.42 of at most $1.00 · 61k tokens in, 8k out, 12k cached`, as far as agents reported it; '' if none was
    asked."""
    from ion.api.described import total_usage

    total = total_usage(state)
    of = f" of at most {dollars(state.max_budget_usd)}" if state.max_budget_usd is not None else ""
    asked = any(node.agent is not None for node in state.nodes.values())
    if not (asked or of or total):
        return ""
    return f"cost  {spent(total if asked else {COST: 0, **total}, of)}"


def spent(usage: Mapping[str, float], of: str = "") -> str:
    """`$0.42 · 61k tokens in, 8k out, 12k cached`; what agents did not report is not taken for 0."""
    cost = dollars(usage[COST]) if COST in usage else "not reported"
    tokens = [f"{_short(usage[name])} {word}" for name, word in _TOKENS if name in usage]
    return " · ".join([f"{cost}{of}", *([", ".join(tokens)] if tokens else [])])


def in_short(state: RunState) -> tuple[str, str]:
    """A run in short: `4/9 · 1 failed`, of the nodes of its file; `$0.42`, '' if no agent reported a cost."""
    from ion.api.described import total_usage

    statuses = [node.status for node in members_of(state, "")]
    over = sum(status not in ("pending", "running", "waiting") for status in statuses)
    failed, spent = statuses.count("failed"), total_usage(state).get(COST)
    more = f" · {failed} failed" if failed else ""
    return f"{over}/{len(statuses)}{more}", "" if spent is None else dollars(spent)


def _short(number: float) -> str:
    return f"{number:.0f}" if number < 1000 else f"{number / 1000:.0f}k"
