"""Section 14 of the language: waits, signals, and gates whose time is over. A clock runs a hundred times too fast."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.kit import World, error, output, statuses
from ion.core import events as e
from ion.errors import RefusedError

hurried = pytest.mark.usefixtures("hurry")


def said(run: Any, node: str) -> Any:
    """The output of a wait."""
    return json.loads(output(run, node))


@hurried
def test_a_time_passes_and_the_run_goes_on(world: World) -> None:
    """The instant is recorded once, when the wait begins; it is over at or after it."""
    run = world.run("""
    nodes:
      - {id: short, wait: 30s}
      - {id: later, wait: {until: "2026-01-01T08:00:00+01:00"}}
      - {id: after, depends_on: [short, later], bash: "echo $short.output.status $later.output.status"}
    """)
    assert (run.status, output(run, "after")) == ("completed", "elapsed elapsed")
    (began,) = world.log(run, e.WaitStarted, "short")
    (ended,) = world.log(run, e.NodeCompleted, "short")
    assert began.due_at == began.at + 30_000 <= ended.at
    assert said(run, "short")["waited_ms"] == ended.at - began.at


@hurried
def test_a_check_is_tried_until_it_passes(world: World) -> None:
    run = world.run("""
    nodes:
      - id: poll
        wait: {check: "echo try >> tries; [ $(wc -l < tries) = 3 ] && echo there", every: 10s, deadline: 1h}
      - {id: after, depends_on: [poll], bash: "echo $poll.output.status $poll.output.output"}
    """, cwd=world.project)  # fmt: skip
    assert (run.status, output(run, "after")) == ("completed", "satisfied there")
    assert len(world.log(run, e.NodeRetrying, "poll")) == 2
    assert run.data["nodes"]["poll"]["attempts"] == 3


@hurried
@pytest.mark.parametrize("form", ["event: go", "check: 'false', every: 10m"])
@pytest.mark.parametrize("on_expired", ["continue", "fail", "skip"])
def test_a_deadline_that_passes(world: World, form: str, on_expired: str) -> None:
    run = world.run(f"""
    nodes:
      - {{id: late, wait: {{{form}, deadline: 30s, on_expired: {on_expired}}}}}
      - {{id: after, depends_on: [late], trigger_rule: all_done, bash: "echo ran"}}
    """)
    assert output(run, "after") == "ran"
    if on_expired == "continue":
        assert said(run, "late")["status"] == "expired"
    elif on_expired == "fail":
        assert error(run, "late").startswith("timeout: ")
    else:
        assert (run.data["nodes"]["late"]["status"], run.data["nodes"]["late"]["reason"]) == ("skipped", "expired")


@hurried
def test_a_signal_is_taken_once_oldest_first_also_if_it_came_before(world: World) -> None:
    run = world.run("""
    nodes:
      - {id: gate, approval: {message: "Begin?"}}
      - {id: one, depends_on: [gate], wait: {event: go}}
      - {id: two, depends_on: [one], wait: {event: go}}
      - {id: three, depends_on: [two], wait: {event: go}}
    """)
    assert world.signal(run, "go", 1, delivery="first")
    assert not world.signal(run, "go", 7, delivery="first"), "the same delivery again changes nothing"
    assert world.signal(run, "go", {"n": [2]}, delivery="second")
    run = world.approve(run)
    assert (run.status, [one.event for one in run.waiting]) == ("paused", ["go"])
    assert [said(run, node)["payload"] for node in ("one", "two")] == [1, {"n": [2]}]
    assert world.signal(run, "go", delivery="third")
    run = world.resume(run)
    assert run.status == "completed"
    assert "payload" not in said(run, "three")
    with pytest.raises(RefusedError):
        world.signal(run, "go")


@hurried
def test_a_signal_for_one_address_is_left_to_it(world: World) -> None:
    run = world.run("""
    nodes:
      - id: each
        fan_out: {items: [a, b]}
        group: {nodes: [{id: merged, wait: {event: merged}}]}
    """)
    assert world.signal(run, "merged", "for b", delivery="b", target="each.1.merged")
    run = world.resume(run)
    assert [one.node for one in run.waiting] == ["each.0.merged"]
    assert world.signal(run, "merged", "for a", delivery="a")
    assert world.resume(run).status == "completed"


@hurried
@pytest.mark.parametrize(
    ("on_timeout", "decision", "status"),
    [("fail", "failed", "failed"), ("approve", "approved", "completed"), ("reject", "rejected", "cancelled")],
)
def test_a_gate_whose_time_is_over(world: World, on_timeout: str, decision: str, status: str) -> None:
    """With something that runs for longer, so that somebody is there when it is over."""
    run = world.run(f"""
    nodes:
      - {{id: ask, approval: {{message: "Go?", timeout: 150s, on_timeout: {on_timeout}, remind: [10s]}}}}
      - {{id: busy, wait: 400s}}
    """)
    assert run.status == status
    assert len(world.log(run, e.GateReminded, "ask")) == 1
    assert [expired.decision for expired in world.log(run, e.GateExpired)] == [decision]
    assert statuses(run)["busy"] in ("completed", "cancelled")
