"""The shipped simulation, with more checks on the way: the plan that is kept gives the commands of a new one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import in_tree_order
from ion.core.commands import Command, Wait
from ion.core.plan import Plan
from ion.core.state import NodeState, RunState
from ion.language.workflow import Bash, FanOut, Group, Node, Scope, Shell, Workflow
from ion.testing import SimulatedWorld, completed, failed

__all__ = [
    "CheckedPlan",
    "Simulation",
    "bash",
    "completed",
    "failed",
    "fan",
    "group",
    "started",
    "statuses",
    "workflow",
]


def started(workflow: Workflow, **values: object) -> e.WorkflowStarted:
    """The first event of a run of this workflow."""
    values.setdefault("max_budget_usd", workflow.max_budget_usd)
    return e.WorkflowStarted(0, workflow.name, "digest", workflow.node_kinds, **values)  # type: ignore[arg-type]


class CheckedPlan(Plan):
    """A plan that is compared with a new one of the same state whenever it is asked."""

    def next_steps(self, at: int) -> list[Command]:
        commands = super().next_steps(at)
        fresh = Plan(self.workflow, self.state, self.max_concurrency, self.agent_limits, self.patience_ms)
        expected = fresh.next_steps(at)
        assert [c for c in commands if not isinstance(c, Wait)] == [c for c in expected if not isinstance(c, Wait)]
        return commands


@dataclass
class Simulation(SimulatedWorld):
    """One run, and the most turns that were under way at once: in all, and of each lane."""

    most_running: int = 0
    check_plan: bool = True
    most_of_lane: dict[str, int] = field(default_factory=dict)

    def make_plan(self, state: RunState) -> Plan:
        kind = CheckedPlan if self.check_plan else Plan
        return kind(self.workflow, state, self.slots, self.agent_limits, self.patience_ms)

    def types(self, node: str | None = None) -> list[str]:
        return [ev.type for ev in self.log if node is None or getattr(ev, "node", None) == node]

    def start(self, now: NodeState) -> None:
        super().start(now)
        self.most_running = max(self.most_running, len(self.turns))
        nodes = self.plan.state.nodes
        lanes = Counter(self.agent_limits.lane(node, nodes[node].turn) for node in self.turns)
        self.most_of_lane = {lane: max(count, self.most_of_lane.get(lane, 0)) for lane, count in lanes.items()} | {
            lane: count for lane, count in self.most_of_lane.items() if lane not in lanes
        }


def workflow(*nodes: Node, **values: object) -> Workflow:
    return Workflow("test", tuple(nodes), **values)  # type: ignore[arg-type]


def bash(name: str, *depends_on: str, **fields: Any) -> Node:
    """A bash node; in a simulation it prints nothing."""
    return Node(name, Bash(Shell("true")), depends_on=depends_on, **fields)


def group(name: str, *nodes: Node, returns: str | None = None, **fields: Any) -> Node:
    """A group of these nodes."""
    return Node(name, Group(Scope(nodes, returns)), **fields)


def fan(node: Node, items: Any, **fields: Any) -> Node:
    """The node for each of these items."""
    return replace(node, fan_out=FanOut(items=items, **fields))


def statuses(run: Simulation) -> dict[str, str]:
    """The state of every instance by its address, as a person reads them."""
    return {node.id: node.status for node in in_tree_order(run.state)}
