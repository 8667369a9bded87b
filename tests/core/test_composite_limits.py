"""The time and the money that a composite node may use, all inside of it together (language.md §13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace
from simulate import Simulation, bash, completed, failed, group, statuses, workflow

from ion.core import events as e
from ion.core.commands import AgentLimits
from ion.core.composites import COLLECT
from ion.core.fold import fold
from ion.core.outcomes import Expanded, Failed, GateOpened, Stopped
from ion.core.state import NodeState
from ion.core.step import Ended, News
from ion.language.conditions import parse_condition
from ion.language.workflow import (
    Approval,
    FanOut,
    LoopGroup,
    Node,
    Prompt,
    Retry,
    Scope,
    Workflow,
    WorkflowCall,
)

LATE = "it took longer than 1000 ms"


def prompt(name: str, *depends_on: str, **fields: Any) -> Node:
    return Node(name, Prompt("hi"), depends_on=depends_on, **fields)


@dataclass
class Slow(Simulation):
    """A world in which turns take time: `took` ms by address, once for each of them; without, one ms."""

    took: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def start(self, now: NodeState) -> None:
        super().start(now)
        self.ends[now.id] = self.clock + self.took.pop(now.id, 1)

    async def wait(self, until: int | None) -> list[News]:
        if self.stopping:
            stopped, self.stopping = self.stopping, {}
            return [Ended(node, self.turns.pop(node), Stopped(reason)) for node, reason in stopped.items()]
        first = min(self.turns, key=self.ends.__getitem__, default=None)
        if first is None or (until is not None and until < self.ends[first]):
            assert until is not None
            assert until > self.clock or self.turns, "it waits for what is over"
            self.clock = max(self.clock, until)
            return []
        self.clock = max(self.clock, self.ends[first])
        return [Ended(first, self.turns.pop(first), self._outcome(self.plan.state.nodes[first]))]


def error(run: Simulation, address: str) -> tuple[str, str]:
    found = run.state.nodes[address].error
    assert found is not None
    return found.code, found.message


FLOW = workflow(
    group("g", bash("first"), bash("slow", "first"), bash("last", "slow"), bash("beside"), timeout_ms=1000),
    bash("free"),
    bash("after", "g"),
)


class TestTimeout:
    def test_it_stops_all_inside_and_nothing_else(self) -> None:
        run = Slow(FLOW, took={"g.slow": 5000, "free": 1500}).run()
        assert statuses(run) == {
            "g": "failed",
            "g.first": "completed",
            "g.slow": "cancelled",
            "g.last": "skipped",
            "g.beside": "completed",
            "free": "completed",
            "after": "skipped",
        }
        assert error(run, "g") == ("timeout", LATE)
        assert run.state.nodes["g.last"].detail == "'g' took longer than 1000 ms"
        assert 1000 <= (run.state.nodes["g"].took_ms or 0) < 1100

    def test_in_time_it_has_no_effect(self) -> None:
        assert Slow(FLOW, took={"g.slow": 900}).run().state.status == "completed"

    def test_a_resume_gives_the_time_again_and_keeps_what_has_completed(self) -> None:
        run = Slow(FLOW, took={"g.slow": 5000}).run()
        run.took["g.slow"] = 900
        assert run.resume().state.status == "completed"
        assert run.state.nodes["g.first"].starts == 1

    def test_behind_every_death_it_comes_to_the_same_end(self) -> None:
        whole = Slow(FLOW, took={"g.slow": 5000}).run()
        for died in range(1, len(whole.log)):
            broken = Slow(FLOW, log=list(whole.log[:died]), took={"g.slow": 5000})
            broken.clock = whole.log[died - 1].at
            broken.resume()
            found = statuses(broken)
            assert found.pop("g.slow") in ("cancelled", "skipped")
            assert found.items() < statuses(whole).items(), f"died after event {died}: {whole.log[died - 1]}"
            assert error(broken, "g") == ("timeout", LATE)
            assert fold(broken.log) == broken.plan.state

    def test_the_time_of_a_dead_owner_counts_and_that_without_an_owner_does_not(self) -> None:
        run = Slow(FLOW, took={"g.slow": 5000}, die_after=9).run()
        assert run.state.nodes["g.slow"].turn == "bash", run.types()
        run.die_after = None
        run.clock += 60_000
        run.took["g.slow"] = 900
        assert run.resume().state.status == "completed"

    def test_retry_begins_again_at_what_was_stopped_with_all_of_the_time(self) -> None:
        flow = workflow(group("g", bash("a"), bash("b", "a"), timeout_ms=1000, retry=Retry(max_attempts=1)))
        run = Slow(flow, took={"g.b": 5000, "g.a": 800}).run()
        assert run.state.status == "completed"
        assert [run.state.nodes[one].starts for one in ("g.a", "g.b")] == [1, 2]
        assert "node_retrying" in run.types("g")

    def test_of_nested_ones_the_first_that_is_over_ends(self) -> None:
        inner = group("inner", bash("x"), timeout_ms=1000)
        flow = workflow(group("outer", inner, bash("all", timeout_ms=None), timeout_ms=3000))
        run = Slow(flow, took={"outer.inner.x": 9000, "outer.all": 2000}).run()
        assert statuses(run)["outer.all"] == "completed"
        assert error(run, "outer.inner") == ("timeout", LATE)
        assert error(run, "outer") == ("timeout", f"'outer.inner' failed: {LATE}")
        flow = workflow(group("outer", replace(inner, timeout_ms=5000), timeout_ms=1000))
        run = Slow(flow, took={"outer.inner.x": 9000}).run()
        assert statuses(run) == {"outer": "failed", "outer.inner": "cancelled", "outer.inner.x": "cancelled"}
        assert error(run, "outer") == ("timeout", LATE)

    def test_each_instance_of_a_fan_out_has_its_own(self) -> None:
        node = group("g", bash("x"), timeout_ms=1000)
        flow = workflow(replace(node, fan_out=FanOut(items=["a", "b", "c"], max_parallel=1, join="all_done")))
        run = Slow(flow, took={"g.0.x": 700, "g.1.x": 1200, "g.2.x": 700}).run()
        assert [run.state.nodes[f"g.{i}"].status for i in range(3)] == ["completed", "failed", "completed"]
        assert error(run, "g.1") == ("timeout", LATE)
        assert run.state.status == "completed"

    def test_that_of_a_loop_is_for_all_iterations_together(self) -> None:
        loop = Node("l", LoopGroup(Scope((bash("x"),)), 9, until="DONE"), timeout_ms=1000)
        run = Slow(workflow(loop), took={"l.1.x": 600, "l.2.x": 300, "l.3.x": 600}).run()
        assert error(run, "l") == ("timeout", LATE)
        assert run.state.nodes["l.3.x"].status == "cancelled"
        assert run.state.nodes["l"].progress.iterations == 2
        again = Slow(workflow(loop), {"l": completed("x", signaled=True)}, log=list(run.log), clock=run.clock)
        assert again.resume().state.status == "completed"
        assert "l.4.x" not in again.state.nodes, "it continued in the iteration that was stopped"

    @pytest.mark.parametrize("own", [None, 1000, 9000])
    def test_a_called_workflow_has_its_own_too(self, own: int | None) -> None:
        called = Workflow("sub", (bash("x"),), timeout_ms=9000 if own == 1000 else 1000)
        flow = workflow(Node("c", WorkflowCall("sub"), timeout_ms=own), workflows={"sub": called})
        run = Slow(flow, took={"c.x": 3000}).run()
        assert error(run, "c") == ("timeout", LATE)

    def test_a_gate_inside_lets_it_stand_still_only_while_the_run_is_paused(self) -> None:
        flow = workflow(group("g", Node("ask", Approval("ok?")), bash("x", "ask"), timeout_ms=1000), bash("free"))
        paused = Slow(flow, took={"free": 300}).run()
        assert paused.state.status == "paused"
        paused.clock += 60_000
        paused.approve()
        assert paused.resume().state.status == "completed"
        busy = Slow(flow, took={"free": 3000}).run()
        assert error(busy, "g") == ("timeout", LATE)
        assert statuses(busy)["g.ask"] == "cancelled"
        assert busy.state.status == "failed"

    def test_the_gate_of_a_loop_is_over_with_it(self) -> None:
        body = LoopGroup(Scope((bash("x"),)), 9, until="DONE", interactive=True, gate_message="more?")
        flow = workflow(Node("l", body, timeout_ms=1000), bash("free"))
        run = Slow(flow, {"l": lambda _, turn: GateOpened("more?") if turn == "gate" else completed()})
        run.took = {"free": 3000}
        assert error(run.run(), "l") == ("timeout", LATE)
        assert not run.state.nodes["l"].requests

    def test_a_retry_inside_waits_no_longer(self) -> None:
        flow = workflow(
            group("g", bash("x", retry=Retry(max_attempts=3, delay_ms=30_000, on_error="all")), timeout_ms=1000)
        )
        run = Slow(flow, {"g.x": failed()}).run()
        assert error(run, "g") == ("timeout", LATE)
        assert run.clock < 2000


def paid(usd: float = 0.5) -> Any:
    return completed("ok", usage={"cost_usd": usd})


SUB = Workflow("sub", (prompt("a"), prompt("b", "a"), bash("sh", "a"), prompt("c", "b")), max_budget_usd=1)
CALL = workflow(Node("c", WorkflowCall("sub")), prompt("free"), workflows={"sub": SUB})
AGENTS = AgentLimits({f"c.{one}": "x" for one in "abc"} | {"free": "x"}, {"x": 1})


class TestBudgetOfACall:
    def test_once_it_is_spent_no_further_turn_of_an_agent_starts_inside(self) -> None:
        run = Simulation(CALL, {"c.a": paid(), "c.b": paid(), "free": paid(9)}, agent_limits=AGENTS).run()
        assert statuses(run) == {
            "c": "failed",
            "c.a": "completed",
            "c.b": "completed",
            "c.sh": "completed",
            "c.c": "failed",
            "free": "completed",
        }
        assert error(run, "c") == ("budget", "it has cost $1.00 of at most $1.00 (max_budget_usd)")
        assert error(run, "c.c") == ("budget", "the budget of 'c' is spent")
        assert run.state.nodes["c.c"].starts == 0

    def test_what_is_enough_is_enough(self) -> None:
        run = Simulation(CALL, {"c.a": paid(0.4), "c.b": paid(0.5), "c.c": paid(0.7)}).run()
        assert run.state.status == "completed", "a reply that was paid for is kept"

    def test_a_resume_gives_the_same_amount_again(self) -> None:
        run = Simulation(CALL, {"c.a": paid(), "c.b": paid(), "c.c": paid()}).run()
        assert run.resume().state.status == "completed"
        assert run.state.nodes["c.b"].starts == 1

    def test_what_waits_for_its_agent_does_not_start_either(self) -> None:
        sub = Workflow("sub", tuple(prompt(f"p{i}") for i in range(4)), max_budget_usd=1)
        flow = workflow(Node("c", WorkflowCall("sub")), workflows={"sub": sub})
        limits = AgentLimits({f"c.p{i}": "x" for i in range(4)}, {"x": 1})
        run = Simulation(flow, {f"c.p{i}": paid(0.6) for i in range(4)}, agent_limits=limits).run()
        assert [run.state.nodes[f"c.p{i}"].starts for i in range(4)] == [1, 1, 0, 0]
        assert error(run, "c")[0] == "budget"

    def test_it_counts_what_is_inside_at_any_depth_and_each_call_by_itself(self) -> None:
        sub = Workflow("sub", (group("g", prompt("a"), prompt("b", "a")),), max_budget_usd=1)
        node = replace(Node("c", WorkflowCall("sub")), fan_out=FanOut(items=["1", "2"], name="item", join="all_done"))
        run = Simulation(workflow(node, workflows={"sub": sub}), {"c.0.g.a": paid(2), "c.1.g.a": paid(0.5)}).run()
        assert [run.state.nodes[f"c.{i}"].status for i in range(2)] == ["failed", "completed"]
        assert error(run, "c.0")[0] == "budget"
        outer = Workflow("outer", (Node("d", WorkflowCall("sub")), prompt("z", "d")), max_budget_usd=9)
        flow = workflow(Node("c", WorkflowCall("outer")), workflows={"sub": sub, "outer": outer})
        run = Simulation(flow, {"c.d.g.a": paid(2)}).run()
        assert error(run, "c.d")[0] == "budget"
        assert error(run, "c") == ("node-failed", "'c.d' failed: it has cost $2.00 of at most $1.00 (max_budget_usd)")

    def test_behind_every_death_it_comes_to_the_same_end(self) -> None:
        outcomes = {"c.a": paid(), "c.b": paid()}
        whole = Simulation(CALL, outcomes).run()
        ended = next(i for i, event in enumerate(whole.log) if isinstance(event, e.NodeFailed) and event.node == "c")
        for died in range(1, ended + 1):
            broken = Simulation(CALL, outcomes, list(whole.log[:died])).resume()
            assert statuses(broken) == statuses(whole), f"died after event {died}: {whole.log[died - 1]}"
            assert fold(broken.log) == broken.plan.state


def test_a_budget_of_a_node_inside_of_another_fails_that_one() -> None:
    node = prompt("a", options={"maxBudgetUsd": 0.4}, retry=Retry(max_attempts=2, delay_ms=1, on_error="all"))
    outcome = Failed(e.Failure("timeout", "too slow"), (), {"cost_usd": 0.5})
    run = Simulation(workflow(group("g", node)), {"g.a": outcome}).run()
    assert error(run, "g.a")[0] == "budget"


SUB_OF_BASH = Workflow("sub", (bash("x"),))
COMPOSITES = {
    "group": group("n", bash("x")),
    "loop_group": Node("n", LoopGroup(Scope((bash("x"),)), 3, until_node="x")),
    "workflow": Node("n", WorkflowCall("sub")),
    "fan_out": replace(group("n", bash("x")), fan_out=FanOut(items=["a"])),
}


@pytest.mark.parametrize("kind", COMPOSITES)
class TestEveryFieldOfANodeActsOnACompositeOne:
    def flow(self, kind: str, **fields: Any) -> Workflow:
        node = replace(COMPOSITES[kind], depends_on=("a",), **fields)
        return workflow(bash("a"), node, workflows={"sub": SUB_OF_BASH})

    def begun(self, run: Simulation) -> int:
        return sum(now.starts for now in run.state.nodes.values() if now.id.startswith("n."))

    def test_when(self, kind: str) -> None:
        run = Simulation(self.flow(kind, when=parse_condition("$a.output == 'no'"))).run()
        assert (run.state.nodes["n"].reason, self.begun(run)) == ("when", 0)

    @pytest.mark.parametrize(("rule", "status"), [("all_success", "skipped"), ("all_done", "completed")])
    def test_trigger_rule(self, kind: str, rule: str, status: str) -> None:
        run = Simulation(self.flow(kind, trigger_rule=rule), {"a": failed()}).run()
        assert run.state.nodes["n"].status == status
        assert self.begun(run) == (status == "completed")

    def test_retry(self, kind: str) -> None:
        inner = {"loop_group": "n.1.x", "fan_out": "n.0.x"}.get(kind, "n.x")
        flow = self.flow(kind, retry=Retry(max_attempts=1, delay_ms=10, on_error="all"))
        if kind == "loop_group":
            flow = workflow(bash("a"), replace(flow.by_id["n"], body=LoopGroup(Scope((bash("x"),)), 3, until="D")))
        outcomes: dict[str, Any] = {inner: [failed(), "ok"]}
        if kind == "loop_group":
            outcomes["n"] = lambda _, turn: completed(signaled=True) if turn == COLLECT else Expanded()
        run = Simulation(flow, outcomes).run()
        assert (run.state.nodes["n"].status, run.state.nodes[inner].starts) == ("completed", 2)

    def test_always_run(self, kind: str) -> None:
        for always in (False, True):
            flow = self.flow(kind, always_run=always)
            flow = replace(flow, nodes=(*flow.nodes, bash("z", "n")))
            run = Simulation(flow, {"z": [failed(), "ok"]}).run().resume()
            assert run.state.status == "completed"
            assert (
                sum(isinstance(event, e.NodeStarted) and event.node.startswith("n.") for event in run.log) == 1 + always
            )
