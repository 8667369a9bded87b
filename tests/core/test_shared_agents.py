"""Agents that several runs share: what is left to a run changes while it waits."""

from __future__ import annotations

from simulate import completed, started, workflow

from ion.core import events as e
from ion.core.commands import AgentLimits
from ion.core.fold import fold
from ion.core.outcomes import GateOpened
from ion.core.plan import Plan
from ion.core.step import AgentFree, Ended, step
from ion.language.workflow import Approval, Bash, Node, Prompt, Shell

PROMPTS = [Node("a", Prompt("A")), Node("b", Prompt("B"))]


def plan_of(nodes: list[Node], left: dict[str, int]) -> Plan:
    flow = workflow(*nodes)
    agents = {node.id: "claude" for node in nodes if isinstance(node.body, Prompt)}
    return Plan(flow, fold([started(flow)]), 8, AgentLimits(agents, left))


def begun(events: list[e.Event]) -> list[str]:
    return [event.node for event in events if isinstance(event, e.NodeStarted)]


def test_a_run_waits_while_others_have_all_of_an_agent_and_starts_when_one_is_free() -> None:
    left = {"claude": 0}
    plan = plan_of(PROMPTS, left)
    assert step(plan, [], 1, lambda: 0.0) == ([], [])
    assert step(plan, [AgentFree()], 2, lambda: 0.0) == ([], [])
    left["claude"] = 1
    events, _commands = step(plan, [AgentFree()], 3, lambda: 0.0)
    assert (begun(events), plan.busy("claude")) == (["a"], 1)
    left["claude"] = 0  # another run was faster with what was free
    events, _commands = step(plan, [Ended("a", 1, completed("done"))], 4, lambda: 0.0)
    assert (begun(events), plan.busy("claude")) == ([], 0)


def test_a_gate_does_not_pause_a_run_whose_prompt_waits_for_another_run() -> None:
    plan = plan_of([PROMPTS[0], Node("ask", Approval("Go on?"))], {"claude": 0})
    events, _commands = step(plan, [], 1, lambda: 0.0)
    assert begun(events) == ["ask"]
    events, commands = step(plan, [Ended("ask", 1, GateOpened("Go on?"))], 2, lambda: 0.0)
    assert [event.type for event in events] == ["approval_requested"]
    assert (plan.state.status, commands) == ("running", [])


def test_a_step_without_an_agent_starts_at_once() -> None:
    plan = plan_of([PROMPTS[0], Node("step", Bash(Shell("true")))], {"claude": 0})
    assert begun(step(plan, [], 1, lambda: 0.0)[0]) == ["step"]
