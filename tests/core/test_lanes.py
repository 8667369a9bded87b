"""Lanes of agents that are at their limit: nothing of such an agent begins, nothing fails, all else continues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulate import Simulation, bash, completed, statuses, workflow

from ion.core import events as e
from ion.core.commands import AgentLimits
from ion.core.outcomes import Failed, Outcome
from ion.core.state import NodeState
from ion.language.workflow import Node, Prompt

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
