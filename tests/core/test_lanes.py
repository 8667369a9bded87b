"""Lanes of agents that are at their limit: nothing of such an agent begins, nothing fails, all else continues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from simulate import Simulation, bash, completed, fan, group, statuses, workflow

from ion.core import events as e
from ion.core.commands import AgentLimits
from ion.core.outcomes import Failed, Outcome
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState
from ion.core.waiting import waiting_in
from ion.language.templates import path_of, templates_of
from ion.language.workflow import Allowed, Approval, Loop, LoopGroup, Node, Prompt, Retry, Scope

MINUTE = 60_000


def limited(code: str = "quota_exhausted", resets_at: int | None = None) -> Failed:
    return Failed(e.Failure(code, "usage limit reached", resets_at=resets_at), usage={"cost_usd": 0.01})


def prompt(name: str, *depends_on: str, **fields: Any) -> Node:
    return Node(name, Prompt(name), depends_on=depends_on, **fields)


class Account:
    """An account that answers so many prompts, then none until a time. `calls` are the times of all."""

    def __init__(self, room: int, resets_at: int, *, says_when: bool = True) -> None:
        self.room, self.resets_at, self.says_when = room, resets_at, says_when
        self.calls: list[int] = []
        self.refused = 0
        self.world: Simulation | None = None

    def __call__(self, _now: NodeState, _turn: str) -> Outcome:
        assert self.world is not None
        clock = self.world.clock
        self.calls.append(clock)
        if clock < self.resets_at and self.room <= 0:
            self.refused += 1
            return limited(resets_at=self.resets_at if self.says_when else None)
        self.room -= 1
        return completed()


def run_of(nodes: Sequence[Node], account: Account, max_parallel: int = 4, **values: Any) -> Simulation:
    flow = workflow(*nodes)
    names = [node.id for node in nodes if isinstance(node.body, Prompt)]
    limits = AgentLimits(dict.fromkeys(names, "claude"), {"claude": max_parallel})
    run = Simulation(flow, dict.fromkeys(names, account), agent_limits=limits, **values)
    account.world = run
    return run


def test_forty_prompts_wait_for_the_reset_of_an_account_that_answers_ten() -> None:
    account = Account(room=10, resets_at=5 * 60 * MINUTE)
    run = run_of([prompt(f"p{i}") for i in range(40)], account, max_parallel=4).run()
    assert set(run.statuses().values()) == {"completed"}
    assert run.state.status == "completed"
    assert account.refused <= 4
    assert not [at for at in account.calls[10 + account.refused :] if at < account.resets_at]
    assert {node.attempts for node in run.state.nodes.values()} == {1}
    assert run.state.spent_usd == account.refused * 0.01
    assert "node_failed" not in run.types()
    assert run.types().count("lane_closed") == 1


def test_what_needs_no_agent_continues_and_the_run_is_paused_until_the_reset() -> None:
    account = Account(room=1, resets_at=100 * MINUTE)
    nodes = [prompt("a"), prompt("b"), prompt("c"), bash("d"), bash("e", "d"), bash("f", "b")]
    run = run_of(nodes, account, max_parallel=1, patience_ms=10 * MINUTE).run()
    assert statuses(run) == {
        "a": "completed", "b": "waiting", "c": "pending", "d": "completed", "e": "completed", "f": "pending"
    }  # fmt: skip
    state = run.state
    assert (state.status, state.due_at, state.held_by) == ("paused", account.resets_at, ("claude",))
    run.clock = account.resets_at
    assert run.resume().state.status == "completed"
    assert account.refused == 1


def test_without_a_time_the_back_off_grows_and_turns_of_one_closing_count_once() -> None:
    account = Account(room=0, resets_at=400 * MINUTE, says_when=False)
    run = run_of([prompt(f"p{i}") for i in range(6)], account, max_parallel=3).run()
    assert run.state.status == "completed"
    closed = [ev for ev in run.log if isinstance(ev, e.LaneClosed)]
    assert [(ev.until - ev.at) // MINUTE for ev in closed][:7] == [5, 10, 20, 40, 60, 60, 60]
    assert account.refused == 3 * len(closed)
    assert run.types().count("lane_opened") == 1


def test_a_timeout_stands_still_while_the_lane_is_closed_for_longer() -> None:
    account = Account(room=0, resets_at=100 * MINUTE)
    for values in ({"timeout_ms": 10 * MINUTE}, {}):
        inside = group("g", prompt("a"), timeout_ms=10 * MINUTE) if not values else prompt("a")
        flow = workflow(inside, **values)
        name = templates_of(flow)[inside.id if values else "g.a"].path
        limits = AgentLimits({name: "claude"}, {"claude": 4})
        run = Simulation(flow, {"a": account, "g.a": account}, agent_limits=limits)
        account.world = run
        assert run.run().state.status == "paused", "it does not wait here until its time is over"
        run.clock = account.resets_at
        assert run.resume().state.status == "completed"


def rates(*given: int | None) -> list[Outcome]:
    return [limited("rate_limited", at) for at in given]


def closings(run: Simulation) -> list[tuple[int, str]]:
    return [(ev.until - ev.at, ev.error.code) for ev in run.log if isinstance(ev, e.LaneClosed)]


def test_a_limit_of_the_rate_without_a_time_rests_the_lane_and_the_third_in_a_row_is_a_quota() -> None:
    nodes = [prompt("a", retry=Retry(1, 1000))]
    run = run_of(nodes, Account(0, 0))
    run.outcomes = {"a": _one_by_one([*rates(None, None, None, None), completed()])}
    assert run.run().state.status == "completed"
    assert closings(run) == [
        (5_000, "rate_limited"), (30_000, "rate_limited"), (120_000, "quota_exhausted"), (300_000, "quota_exhausted")
    ]  # fmt: skip
    assert run.state.nodes["a"].attempts == 1


def test_a_retry_after_is_waited_for_up_to_ten_minutes_in_all_and_counts_beyond() -> None:
    run = run_of([prompt("a", retry=Retry(1, 1000))], Account(0, 0))
    run.outcomes = {"a": lambda _now, _turn: limited("rate_limited", run.clock + 4 * MINUTE)}
    assert run.run().state.status == "failed"
    assert run.state.nodes["a"].error is not None
    assert run.state.nodes["a"].error.code == "rate_limited"
    # Two are waited for; the third would make twelve minutes, and is the first attempt that counts.
    assert (run.types().count("node_started"), run.state.nodes["a"].attempts) == (4, 2)
    assert {code for _, code in closings(run)} == {"rate_limited"}


def _one_by_one(given: Sequence[Outcome]) -> Any:
    left = list(given)
    return lambda _now, _turn: left.pop(0)


def test_a_reply_of_the_agent_ends_the_row() -> None:
    run = run_of([prompt("a"), prompt("b", "a")], Account(0, 0))
    outcomes = _one_by_one([*rates(None, None), completed(), *rates(None), completed()])
    run.outcomes = {"a": outcomes, "b": outcomes}
    assert run.run().state.status == "completed"
    assert [delay for delay, _ in closings(run)] == [5_000, 30_000, 5_000]


def test_a_reset_that_has_passed_by_this_clock_is_tried_again_soon_and_ever_later() -> None:
    run = run_of([prompt("a")], Account(0, 0))
    run.outcomes = {"a": _one_by_one([*(limited(resets_at=1) for _ in range(5)), completed()])}
    assert run.run().state.status == "completed"
    assert [delay for delay, _ in closings(run)] == [5_000, 5_000, 30_000, 120_000, 300_000]


def test_a_turn_from_before_the_closing_that_fails_after_it_does_not_close_the_lane_again() -> None:
    """It runs longer than the lane was closed."""
    run = run_of([prompt("a"), prompt("b")], Account(0, 0))

    def late(_now: NodeState, _turn: str) -> Outcome:
        run.outcomes = {"a": completed(), "b": completed()}
        run.clock += 10 * MINUTE
        return limited()

    run.outcomes = {"a": limited(), "b": late}
    assert run.run().state.status == "completed"
    assert [delay for delay, _ in closings(run)] == [5 * MINUTE]


@pytest.mark.parametrize("patience_ms", [None, 0])
def test_a_lane_that_is_closed_counts_against_the_time_of_finally(patience_ms: int | None) -> None:
    flow = workflow(bash("a"), finally_nodes=(prompt("last"),), finally_timeout_ms=5 * MINUTE)
    limits = AgentLimits({"last": "claude"}, {"claude": 1})
    outcomes = {"last": limited(resets_at=100 * MINUTE)}
    run = Simulation(flow, outcomes, agent_limits=limits, patience_ms=patience_ms).run()
    assert (run.state.status, run.state.finally_failed) == ("completed", ("last",))
    assert run.clock < 6 * MINUTE


LOOP = Node("loop", Loop(3, prompt="more", until="DONE"))
FANNED = fan(prompt("each"), [1, 2, 3], max_parallel=2, fail_fast=True)
AROUND = {
    "loop": [LOOP],
    "fan-out": [FANNED],
    "loop_group": [Node("cycle", LoopGroup(Scope((prompt("in"), bash("check", "in"))), 2, until_node="check"))],
    "retry": [prompt("a", retry=Retry(3, 1000, "all")), bash("b", "a")],
    "allowed": [prompt("a", allow_failure=Allowed()), bash("b", catches=("a",))],
    "fail_fast": [prompt("a"), prompt("b"), bash("c")],
}


@pytest.mark.parametrize("patience_ms", [None, 0])
@pytest.mark.parametrize("around", AROUND)
def test_it_ends_as_without_a_quota_from_every_prefix_of_its_events(around: str, patience_ms: int | None) -> None:
    flow = workflow(*AROUND[around], fail_fast=around == "fail_fast")
    prompts = (one for one in templates_of(flow) if isinstance(one.node.body, Prompt | Loop) and one.item is None)
    agents = {one.path: "claude" for one in prompts}
    limits = AgentLimits(agents, {"claude": 2})
    # Every prompt meets the limit once, in any of its turns; a loop is done in its second iteration.
    met: set[tuple[str, int]] = set()

    def answer(now: NodeState, _turn: str) -> Outcome:
        key = now.id, now.progress.iteration
        if key not in met:
            met.add(key)
            return limited(resets_at=world.clock + 20 * MINUTE if len(met) % 2 else None)
        return completed(signaled=now.progress.iteration == 2)

    def life(log: Sequence[e.Event]) -> Simulation:
        run = Simulation(flow, AnswersAll(agents, answer), list(log), agent_limits=limits, patience_ms=patience_ms)
        run.clock = max((ev.at for ev in log), default=0) + 1
        return run

    def through(run: Simulation) -> Simulation:
        for _ in range(30):
            if run.state.ended:
                return run
            run.clock = max(run.clock, run.state.due_at or 0)
            cause = resume_cause(run.state, agent=None, resume=False, at=run.clock)
            assert cause is not None
            run.run(resume_events(flow, run.state, cause=cause, at=run.clock, by={}, resume=False))
        raise AssertionError("it never ended")

    world = life([])
    whole = through(world.run())
    assert whole.state.status == "completed"
    assert whole.types().count("lane_closed") > 0
    assert "node_failed" not in whole.types()
    log = whole.log
    for died in range(1, len(log)):
        met.clear()
        world = life(log[:died])
        assert through(world).state.status == "completed", f"died after event {died}"
        assert {node.attempts for node in world.state.nodes.values()} <= {0, 1, 2, 3}


class AnswersAll(dict[str, Any]):
    """What a function answers for every prompt, at whatever address; all else has its default."""

    def __init__(self, agents: dict[str, str], answer: Any) -> None:
        super().__init__()
        self.agents, self.answer = agents, answer

    def get(self, address: str, default: Any = None) -> Any:
        return self.answer if path_of(address) in self.agents else default


def test_another_agent_does_what_waits_for_a_closed_lane() -> None:
    account = Account(room=0, resets_at=100 * MINUTE)
    run = run_of([prompt("a"), prompt("b")], account, max_parallel=1, patience_ms=0).run()
    assert (run.state.status, run.state.held_by) == ("paused", ("claude",))
    run.agent_limits = AgentLimits({"a": "other", "b": "other"}, {"other": 1})
    run.outcomes = {}
    assert run.resume("other").state.status == "completed"
    assert len(account.calls) == 1


def test_a_clock_that_is_behind_waits_no_longer_than_was_said() -> None:
    account = Account(room=0, resets_at=100 * MINUTE)
    run = run_of([prompt("a")], account, patience_ms=0, clock=90 * MINUTE).run()
    run.clock = 10 * MINUTE
    begin = resume_events(run.workflow, run.state, cause="answer", at=run.clock, by={}, resume=False)
    account.resets_at = 0
    run.patience_ms = None
    assert run.run(begin).state.status == "completed"
    assert run.clock < 21 * MINUTE


def test_a_gate_is_answered_while_the_lane_is_closed_and_the_reset_is_still_waited_for() -> None:
    account = Account(room=0, resets_at=100 * MINUTE)
    run = run_of([prompt("a"), Node("ask", Approval("?")), bash("b", "ask")], account, patience_ms=0).run()
    assert {one.kind for one in waiting_in(run.state)} == {"approval", "quota"}
    run.approve("ask")
    cause = resume_cause(run.state, agent=None, resume=False, at=run.clock)
    assert cause == "answer"
    run.run(resume_events(run.workflow, run.state, cause=cause, at=run.clock, by={}, resume=False))
    assert (run.state.status, run.state.nodes["b"].status) == ("paused", "completed")
    assert len(account.calls) == 1
    assert [one.kind for one in waiting_in(run.state)] == ["quota"]
