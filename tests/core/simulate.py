"""A driver without processes: runs a workflow on the pure core with given outcomes, and can die after any event.

It is the core's own judge: everything that the local engine does with clocks and disks is a value here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ion.core import events as e
from ion.core.apply_outcome import apply_outcome
from ion.core.decide import StartTurn
from ion.core.fold import fold
from ion.core.outcomes import Completed, Failed, Outcome, Stopped
from ion.core.plan import NO_AGENT_LIMITS, AgentLimits, Plan, Record, Stop, Wait, next_steps
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState, RunState
from ion.core.values import condition_values
from ion.language.workflow import Node, Workflow

Answers = Callable[[NodeState, str], Outcome]


def started(workflow: Workflow, **values: object) -> e.WorkflowStarted:
    """The first event of a run of this workflow."""
    nodes = tuple((node.id, node.kind) for node in workflow.nodes)
    values.setdefault("max_budget_usd", workflow.max_budget_usd)
    return e.WorkflowStarted(0, workflow.name, "digest", nodes, **values)  # type: ignore[arg-type]


def completed(text: str = "ok", **values: object) -> Completed:
    return Completed(e.Content.inline(text), **values)  # type: ignore[arg-type]


def failed(code: str = "exit-status", message: str = "exit 1") -> Failed:
    return Failed(e.Failure(code, message))


@dataclass
class Simulation:
    """One run. `outcomes` gives each turn's outcome: a value, a list (one for each attempt, the last one stays), or a
    function of the node's state and turn. `died_after` stops it once the log has that many events."""

    workflow: Workflow
    outcomes: Mapping[str, Outcome | list[Outcome] | Answers] = field(default_factory=dict)
    log: list[e.Event] = field(default_factory=list)
    slots: int = 100
    die_after: int | None = None
    clock: int = 1
    most_running: int = 0
    carried_out: list[tuple[str, str]] = field(default_factory=list)
    check_plan: bool = True
    agent_limits: AgentLimits = NO_AGENT_LIMITS
    most_of_lane: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> RunState:
        return fold(self.log)

    def types(self, node: str | None = None) -> list[str]:
        return [ev.type for ev in self.log if node is None or getattr(ev, "node", None) == node]

    def statuses(self) -> dict[str, str]:
        return {node.id: node.status for node in self.state.nodes.values()}

    def request(self, event: e.Event) -> Simulation:
        """Somebody's answer or cancel, appended while nobody drives."""
        self.log.append(event)
        return self

    def go(self, begin: Iterable[e.Event] = ()) -> Simulation:
        """Start the run, or go on with its log, until it ends, pauses or dies."""
        if not self.log:
            self.log.append(started(self.workflow))
        self.plan = Plan(self.workflow, self.state, self.slots, self.agent_limits)
        for event in begin:
            self._take(event)
        while not self._dead() and self._step():
            pass
        return self

    def resume(self, agent: str | None = None) -> Simulation:
        cause = resume_cause(self.state, agent=agent)
        assert cause is not None
        self.clock += 1000
        events = resume_events(self.workflow, self.state, cause=cause, at=self.clock, by={}, agent=agent)
        return self.go(events)

    def _dead(self) -> bool:
        return self.die_after is not None and len(self.log) >= self.die_after

    def _take(self, event: e.Event) -> None:
        if self._dead():
            return
        self.plan.advance(event)
        self.log.append(event)

    def _step(self) -> bool:
        self.clock += 1
        commands = self.plan.next_steps(self.clock)
        if self.check_plan:
            fresh = next_steps(
                self.workflow, fold(self.log), at=self.clock, max_concurrency=self.slots, agent_limits=self.agent_limits
            )
            assert [c for c in commands if not isinstance(c, Wait)] == [c for c in fresh if not isinstance(c, Wait)]
        if not commands and not self.plan.live:
            return False
        for command in commands:
            if isinstance(command, Record):
                self._take(command.event)
            elif isinstance(command, StartTurn):
                self._take(command.event(self.clock))
            elif isinstance(command, Stop):
                self._settle(command.node, Stopped(command.reason))
        if any(isinstance(command, Record) for command in commands):
            return True
        self.most_running = max(self.most_running, len(self.plan.live))
        working = Counter(self.agent_limits.lane(node, self.plan.state.nodes[node].turn) for node in self.plan.live)
        self.most_of_lane = {lane: max(n, self.most_of_lane.get(lane, 0)) for lane, n in working.items()} | {
            lane: n for lane, n in self.most_of_lane.items() if lane not in working
        }
        return self._finish_one(commands)

    def _finish_one(self, commands: list[object]) -> bool:
        """The first live turn ends; with none, time goes on to what is due."""
        live = sorted(self.plan.live, key=list(self.plan.state.nodes).index)
        if live:
            now = self.plan.state.nodes[live[0]]
            self.carried_out.append((now.id, now.turn or ""))
            self._settle(now.id, self._outcome(now))
            return True
        due = [command.until for command in commands if isinstance(command, Wait)]
        if not due:
            return False
        self.clock = max(self.clock, min(due))
        return True

    def _settle(self, node: str, outcome: Outcome) -> None:
        if isinstance(outcome, Completed):
            values = condition_values(self.workflow, node, outcome.output, lambda output: output.text or "")
            outcome = replace(outcome, values=values)
        for event in apply_outcome(self.workflow, self.plan.state, node, outcome, self.clock, 0.0):
            self._take(event)

    def _outcome(self, now: NodeState) -> Outcome:
        given = self.outcomes.get(now.id, completed())
        if isinstance(given, list):
            return given[min(now.attempts, len(given)) - 1]
        return given if not callable(given) else given(now, now.turn or "")


def workflow(*nodes: Node, **values: object) -> Workflow:
    return Workflow("test", tuple(nodes), **values)  # type: ignore[arg-type]
