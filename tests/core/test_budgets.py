"""How much agents do at once and what they may spend: lanes of agents, the budget of a node, the budget of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulate import Simulation, completed, started, workflow

from ion.core import events as e
from ion.core import requests
from ion.core.budgets import budget_message, dollars, node_budget
from ion.core.commands import AgentLimits
from ion.core.decide import StartTurn
from ion.core.fold import fold
from ion.core.outcomes import Failed, GateOpened, Judged, Outcome, PromptOpened
from ion.core.plan import Plan
from ion.core.resume import resume_cause
from ion.core.state import NodeState
from ion.errors import RefusedError, UsageError
from ion.language.workflow import Approval, Bash, Loop, Node, OnReject, Prompt, Retry, Shell, Workflow


def paid(text: str = "ok", usd: float = 0.25, **values: object) -> Outcome:
    return completed(text, usage={"cost_usd": usd}, **values)


def failing(code: str = "timeout", usd: float = 0.25, reask: tuple[str, ...] = ()) -> Failed:
    return Failed(e.Failure(code, "too slow"), reask, {"cost_usd": usd})


def prompts(
    count: int, agent: str = "a", *, prefix: str = "p", limit: int | None = None
) -> tuple[list[Node], AgentLimits]:
    nodes = [Node(f"{prefix}{i}", Prompt("hi")) for i in range(count)]
    return nodes, AgentLimits({node.id: agent for node in nodes}, {} if limit is None else {agent: limit})


class TestLanes:
    def test_a_bounded_agent_holds_back_its_own_prompts_and_no_others(self) -> None:
        mine, agent_limits = prompts(5, limit=2)
        others = [Node("host", Prompt("hi")), Node("sh", Bash(Shell("true"))), Node("free", Prompt("hi"))]
        flow = workflow(*mine, *others)
        agent_limits = AgentLimits({**agent_limits.agents, "free": "b"}, agent_limits.limits)
        plan = Plan(flow, fold([started(flow)]), 100, agent_limits)
        assert [c.node for c in plan.next_steps(1)] == ["p0", "p1", "host", "sh", "free"]
        run = Simulation(flow, agent_limits=agent_limits).run()
        assert run.state.status == "completed"
        assert run.most_of_lane["a"] == 2
        assert [node for node, _ in run.carried_out][:2] == ["p0", "p1"]

    def test_what_a_saturated_agent_holds_back_takes_no_slot(self) -> None:
        mine, agent_limits = prompts(3, limit=1)
        flow = workflow(*mine, Node("sh", Bash(Shell("true"))))
        plan = Plan(flow, fold([started(flow)]), 2, agent_limits)
        assert [c.node for c in plan.next_steps(1)] == ["p0", "sh"]

    def test_a_check_of_a_loop_and_a_question_that_is_held_keep_no_agent_busy(self) -> None:
        nodes, agent_limits = prompts(2, limit=1)
        loop = Node("loop", Loop(2, prompt="x", until_bash=Shell("check")))
        flow = Workflow("w", (loop, *nodes))
        agent_limits = AgentLimits({**agent_limits.agents, "loop": "a"}, agent_limits.limits)
        for turn, free in (("until_bash", ["p0"]), ("prompt", [])):
            plan = Plan(flow, fold([started(flow), e.NodeStarted(1, "loop", turn, iteration=1)]), 8, agent_limits)
            assert [command.node for command in plan.next_steps(2) if isinstance(command, StartTurn)] == free
        plan.advance(e.ApprovalRequested(2, "loop", "loop.1", "may I?", "permission", key="k", held=True))
        assert [command.node for command in plan.next_steps(2) if isinstance(command, StartTurn)] == ["p0"]

    def test_among_agents_file_order_decides_within_the_slots(self) -> None:
        nodes = [Node(f"n{i}", Prompt("hi")) for i in range(6)]
        agent_limits = AgentLimits({f"n{i}": "ab"[i % 2] for i in range(6)}, {"a": 1, "b": 4})
        plan = Plan(workflow(*nodes), fold([started(workflow(*nodes))]), 3, agent_limits)
        assert [c.node for c in plan.next_steps(1)] == ["n0", "n1", "n3"]

    def test_a_loop_that_is_checked_waits_for_its_agent_as_all_others(self) -> None:
        """The turn after the check does not continue anything that could pass the limit by."""
        loop = Loop(3, prompt="go", until_bash=Shell("true"))
        flow = workflow(Node("l", loop), Node("m", loop))
        agent_limits = AgentLimits({"l": "a", "m": "a"}, {"a": 1})

        def check(now: NodeState, turn: str) -> Outcome:
            return Judged(now.progress.iterations >= 2) if turn == "until_bash" else completed()

        run = Simulation(flow, {"l": check, "m": check}, agent_limits=agent_limits).run()
        assert run.state.status == "completed"
        assert run.most_of_lane["a"] == 1
        assert run.types("l").count("iteration_judged") == 1

    @given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.lists(st.sampled_from("abc-"), max_size=12))
    def test_no_agent_ever_does_more_than_it_may_and_every_prompt_is_asked(
        self, a: int, b: int, slots: int, agents: list[str]
    ) -> None:
        nodes = [Node(f"n{i}", Prompt("hi")) for i in range(len(agents))]
        agent_limits = AgentLimits({f"n{i}": name for i, name in enumerate(agents) if name != "-"}, {"a": a, "b": b})
        run = Simulation(
            workflow(Node("sh", Bash(Shell("true"))), *nodes), slots=slots, agent_limits=agent_limits
        ).run()
        assert run.state.status == "completed"
        assert run.most_running <= slots
        assert all(run.most_of_lane.get(lane, 0) <= limit for lane, limit in agent_limits.limits.items())


class TestNode:
    def node(self, body: Prompt | Loop | Approval | None = None, usd: float = 0.5, **values: object) -> Node:
        return Node("a", body or Prompt("hi"), options={"maxBudgetUsd": usd}, **values)  # type: ignore[arg-type]

    def test_attempts_count_together(self) -> None:
        flow = workflow(self.node(retry=Retry(5)))
        run = Simulation(flow, {"a": failing()}).run()
        assert run.types("a").count("node_started") == 2
        error = run.state.nodes["a"].error
        assert error is not None
        assert (error.code, error.message) == (
            "budget",
            "it has cost $0.50 of at most $0.50 (maxBudgetUsd); its last attempt failed: too slow",
        )

    def test_a_failure_that_a_reply_came_after_is_not_what_ended_it(self) -> None:
        flow = workflow(self.node(Loop(9, prompt="go", until="DONE")))
        run = Simulation(flow, {"a": [failing(), paid("more")]}).run()
        error = run.state.nodes["a"].error
        assert error is not None
        assert error.message == "it has cost $0.50 of at most $0.50 (maxBudgetUsd)"

    def test_what_a_failed_node_has_spent_counts_after_a_resume_too(self) -> None:
        run = Simulation(workflow(self.node()), {"a": failing("refused")}).run().resume()
        assert run.state.nodes["a"].progress.spent_usd == 0.5

    def test_asking_again_counts_too(self) -> None:
        run = Simulation(workflow(self.node(usd=0.25)), {"a": failing("bad_output", reask=("wrong",))}).run()
        assert run.types("a").count("node_started") == 1
        assert run.state.nodes["a"].error.code == "budget"  # type: ignore[union-attr]

    def test_iterations_count_together_and_a_resume_gives_the_same_amount_again(self) -> None:
        flow = workflow(self.node(Loop(9, prompt="go", until="DONE")))
        run = Simulation(flow, {"a": paid("more")}).run()
        assert run.state.nodes["a"].progress.iterations == 2
        assert run.state.nodes["a"].error.code == "budget"  # type: ignore[union-attr]
        run.outcomes = {"a": lambda now, _turn: paid("x", signaled=now.progress.iteration == 4)}
        run.resume()
        assert run.state.status == "completed"
        assert run.state.nodes["a"].progress.iterations == 4
        assert run.state.nodes["a"].usage["cost_usd"] == 1.0

    def test_a_reply_that_was_paid_for_is_kept(self) -> None:
        run = Simulation(workflow(self.node(usd=0.1)), {"a": paid(usd=5)}).run()
        assert run.state.status == "completed"

    def test_the_rework_of_a_rejection_counts(self) -> None:
        flow = workflow(self.node(Approval("?", on_reject=OnReject("mend", 9)), usd=0.25))
        outcome = {"a": lambda _now, turn: GateOpened("?") if turn == "gate" else paid()}
        run = Simulation(flow, outcome).run()
        for _ in range(2):
            run.request(requests.answer(run.state, "a", "reject", at=1, text="no", by={})).resume()
        assert [turn for _, turn in run.carried_out] == ["gate", "rejection", "gate"]
        assert run.state.nodes["a"].error.code == "budget"  # type: ignore[union-attr]


def chain(budget: float | None = 0.5, count: int = 4) -> Workflow:
    nodes = [Node(f"p{i}", Prompt("hi"), depends_on=(f"p{i - 1}",) if i else ()) for i in range(count)]
    return workflow(*nodes, max_budget_usd=budget)


ALL_A = AgentLimits({f"p{i}": "a" for i in range(9)})
PAID = {f"p{i}": paid() for i in range(9)}


class TestWords:
    def test_why_a_run_waits(self) -> None:
        state = fold([e.WorkflowStarted(1, "w", "d", (), max_budget_usd=2)])
        state.spent_usd = 2.5
        assert budget_message(state) == "the run has spent $2.50 of at most $2.00 (max_budget_usd)"

    @pytest.mark.parametrize(
        ("amount", "shown"), [(0, "$0.00"), (0.01, "$0.01"), (0.0099, "$0.0099"), (0.00012, "$0.00012"), (12, "$12.00")]
    )
    def test_amounts(self, amount: float, shown: str) -> None:
        assert dollars(amount) == shown

    @pytest.mark.parametrize(("given", "budget"), [(2, 2), (0.5, 0.5), (True, None), ("2", None), (None, None)])
    def test_only_a_number_is_a_nodes_budget(self, given: object, budget: float | None) -> None:
        assert node_budget(Node("a", Prompt("x"), options={"maxBudgetUsd": given})) == budget


class TestUsage:
    """What agents report is theirs: only its numbers are added up, and only a number is a cost."""

    @pytest.mark.parametrize(("cost", "spent"), [(2, 4), (0.5, 1), (True, 0), ("3", 0), (None, 0)])
    def test_only_numbers_count(self, cost: object, spent: float) -> None:
        turn = completed(usage={"cost_usd": cost, "tokens": 5, "model": "x", "cached": True})
        flow = Workflow("w", (Node("a", Prompt("1")), Node("b", Prompt("2"))))
        run = Simulation(flow, {"a": turn, "b": turn}).run()
        assert run.state.spent_usd == spent
        assert run.state.nodes["a"].usage == {"tokens": 5} | ({"cost_usd": cost} if spent else {})

    def test_the_numbers_of_all_attempts_are_added_up(self) -> None:
        outcomes: list[Outcome] = [
            Failed(e.Failure("timeout", ""), usage={"tokens": 5}),
            completed(usage={"tokens": 6}),
        ]
        run = Simulation(Workflow("w", (Node("a", Prompt("1")),)), {"a": outcomes}).run()
        assert (run.state.nodes["a"].usage, run.state.spent_usd) == ({"tokens": 11}, 0)


class TestRun:
    def test_it_pauses_once_the_budget_is_spent_and_goes_on_when_it_is_raised(self) -> None:
        run = Simulation(chain(), PAID, agent_limits=ALL_A).run()
        assert run.state.status == "paused"
        assert run.log[-1] == e.WorkflowPaused(run.log[-1].at, over_budget=True)
        assert run.statuses() == {"p0": "completed", "p1": "completed", "p2": "pending", "p3": "pending"}
        assert resume_cause(run.state, agent=None) is None
        run.request(requests.raise_budget(run.state, 0.75, at=9, by={})).resume()
        assert run.state.status == "paused"
        assert run.state.spent_usd == 0.75
        run.request(requests.raise_budget(run.state, 5, at=9, by={})).resume()
        assert run.state.status == "completed"

    def test_what_needs_no_agent_goes_on(self) -> None:
        nodes = [Node("p0", Prompt("hi")), Node("p1", Prompt("hi"), depends_on=("p0",))]
        more = [Node("sh", Bash(Shell("true")), depends_on=("p0",)), Node("host", Prompt("hi"), depends_on=("p0",))]
        gate = Node("gate", Approval("?"), depends_on=("p0",))
        flow = workflow(*nodes, *more, gate, max_budget_usd=0.1)
        outcomes = {**PAID, "host": PromptOpened(e.Content("hi")), "gate": GateOpened("?")}
        run = Simulation(flow, outcomes, agent_limits=ALL_A).run()
        assert run.state.status == "paused"
        assert run.statuses() == {
            "p0": "completed",
            "p1": "pending",
            "sh": "completed",
            "host": "waiting",
            "gate": "waiting",
        }
        assert run.state.over_budget
        run.request(requests.answer(run.state, "gate", "approve", at=9, text="", by={})).resume()
        assert run.statuses()["gate"] == "completed"
        assert run.state.over_budget

    def test_a_run_whose_agents_have_nothing_left_to_do_just_ends(self) -> None:
        assert Simulation(chain(0.5, 2), PAID, agent_limits=ALL_A).run().state.status == "completed"

    def test_prompts_at_the_host_cost_nothing(self) -> None:
        flow = workflow(Node("p0", Prompt("hi")), Node("host", Prompt("hi"), depends_on=("p0",)), max_budget_usd=0.1)
        run = Simulation(flow, {**PAID, "host": PromptOpened(e.Content("hi"))}, agent_limits=ALL_A).run()
        assert (run.statuses()["host"], run.state.over_budget) == ("waiting", False)

    def test_failed_attempts_count(self) -> None:
        flow = workflow(Node("p0", Prompt("hi"), retry=Retry(5)), max_budget_usd=0.5)
        run = Simulation(flow, {"p0": failing()}, agent_limits=ALL_A).run()
        assert (run.state.status, run.state.spent_usd, run.state.nodes["p0"].attempts) == ("paused", 0.5, 2)
        run.request(requests.raise_budget(run.state, 0.6, at=9, by={})).resume()
        assert run.state.nodes["p0"].attempts == 3

    def test_a_raise_that_comes_while_it_runs_counts_at_once(self) -> None:
        flow = chain()
        log: list[e.Event] = [started(flow)]
        plan = Plan(flow, fold(log), 10, ALL_A)
        plan.advance(requests.raise_budget(plan.state, 9, at=1, by={}))
        assert (plan.state.max_budget_usd, plan.state.status) == (9, "running")

    @pytest.mark.parametrize("amount", [0.5, 0.1, -1, float("nan"), float("inf")])
    def test_a_budget_that_is_spent_already_or_is_none_is_refused(self, amount: float) -> None:
        run = Simulation(chain(), PAID, agent_limits=ALL_A).run()
        with pytest.raises(UsageError, match="is not a valid budget"):
            requests.raise_budget(run.state, amount, at=9, by={})

    def test_a_run_that_has_ended_is_not_raised(self) -> None:
        run = Simulation(chain(None), PAID, agent_limits=ALL_A).run()
        with pytest.raises(RefusedError, match="has ended"):
            requests.raise_budget(run.state, 9, at=9, by={})

    def test_a_run_that_has_failed_may_be_raised_before_it_is_resumed(self) -> None:
        run = Simulation(chain(count=1), {"p0": failing("refused")}).run()
        assert run.state.status == "failed"
        assert requests.raise_budget(run.state, 9, at=9, by={}).max_budget_usd == 9

    def test_it_holds_from_every_prefix_of_the_log(self) -> None:
        whole = Simulation(chain(), PAID, agent_limits=ALL_A).run()
        for died in range(1, len(whole.log)):
            run = Simulation(chain(), PAID, list(whole.log[:died]), agent_limits=ALL_A, check_plan=False)
            run.resume()
            while run.state.over_budget:
                assert run.state.spent_usd >= (run.state.max_budget_usd or 0)
                run.request(requests.raise_budget(run.state, run.state.spent_usd + 0.25, at=9, by={})).resume()
            assert run.state.status == "completed"
            assert fold(run.log) == run.plan.state
