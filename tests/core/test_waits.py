"""Waits and the deadlines of gates in the core: each instant is recorded once, and what is due happens once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from simulate import Simulation, bash, failed, fan, group, workflow

from ion.core import events as e
from ion.core.resume import resume_cause
from ion.language.workflow import Approval, Decision, Loop, LoopGroup, Node, OnReject, Retry, Scope, Shell, Wait

HOUR = 3_600_000


def wait(name: str, *depends_on: str, **fields: Any) -> Node:
    return Node(name, Wait(**fields), depends_on=depends_on)


def signal(event: str, delivery: str, payload: Any = None, target: str | None = None) -> e.SignalReceived:
    return e.SignalReceived(1, event, delivery, None if payload is None else json.dumps(payload), target)


def output(run: Simulation, node: str) -> Any:
    content = run.state.nodes[node].output
    assert content is not None
    return json.loads(content.text or "")


def waits_of(run: Simulation, node: str) -> list[e.WaitStarted]:
    return [one for one in run.log if isinstance(one, e.WaitStarted) and one.node == node]


TIMER = workflow(bash("before"), wait("pause", "before", duration_ms=HOUR), bash("after", "pause"))


def test_a_timer_is_over_at_its_time() -> None:
    run = Simulation(TIMER).run()
    started = waits_of(run, "pause")[0]
    assert started.due_at == started.at + HOUR
    done = next(one for one in run.log if isinstance(one, e.NodeCompleted) and one.node == "pause")
    assert done.at >= started.due_at
    assert output(run, "pause") == {"status": "elapsed", "waited_ms": done.at - started.at}
    assert run.state.status == "completed"


def test_a_process_that_dies_at_any_moment_leaves_a_wait_that_is_over_once() -> None:
    whole = Simulation(TIMER).run()
    for events in range(1, len(whole.log)):
        run = Simulation(TIMER, die_after=events).run()
        run.die_after = None
        run.resume()
        assert run.state.status == "completed"
        assert len(waits_of(run, "pause")) == 1, f"the instant is recorded once, also after a death at {events}"
        assert run.types("pause").count("node_completed") == run.types("after").count("node_completed") == 1


def test_an_hour_in_which_nobody_drove_the_run_counts() -> None:
    run = Simulation(TIMER, die_after=5).run()
    assert run.state.nodes["pause"].status == "waiting"
    run.die_after, run.clock = None, run.clock + 5 * HOUR
    run.resume()
    assert output(run, "pause")["waited_ms"] > 5 * HOUR
    assert run.clock < 6 * HOUR, "it did not wait once more"


def test_a_clock_that_is_behind_ends_no_wait_early() -> None:
    run = Simulation(TIMER, die_after=5).run()
    due_at = waits_of(run, "pause")[0].due_at
    run.die_after, run.clock = None, -999
    run.resume()
    assert run.state.status == "completed"
    assert due_at is not None
    assert run.clock >= due_at


def test_a_run_that_would_wait_for_long_is_paused_until_then() -> None:
    run = Simulation(TIMER, patience_ms=HOUR // 2).run()
    state = run.state
    assert (state.status, state.due_at) == ("paused", waits_of(run, "pause")[0].due_at)
    assert state.due_at is not None
    assert resume_cause(state, agent=None, resume=False, at=state.due_at - 1) is None
    assert resume_cause(state, agent=None, resume=False, at=state.due_at) == "answer"
    run.clock = state.due_at
    assert run.resume().state.status == "completed"


def test_a_retry_is_waited_for_however_little_patience_there_is() -> None:

    flaky = bash("a", retry=Retry(max_attempts=1, delay_ms=60_000, on_error="all"))
    run = Simulation(workflow(flaky), {"a": [failed("exit-status"), "ok"]}, patience_ms=0).run()
    assert run.state.status == "completed"


SIGNALS = workflow(
    wait("first", event="go"),
    wait("second", "first", event="go"),
    wait("other", event="stop", deadline_ms=HOUR),
)


def test_a_signal_is_kept_until_a_wait_takes_it_and_is_taken_once() -> None:
    run = Simulation(SIGNALS, patience_ms=0)
    run.log = [run.started(), signal("go", "1", {"n": 1}), signal("go", "1", {"n": 9})]
    run.run()
    assert output(run, "first")["payload"] == {"n": 1}
    assert run.state.nodes["second"].status == "waiting", "the same delivery again changes nothing"
    run.request(signal("go", "2", {"n": 2})).resume()
    assert output(run, "second") == {
        "status": "received",
        "waited_ms": output(run, "second")["waited_ms"],
        "event": "go",
        "payload": {"n": 2},
    }
    assert run.state.signals == {}
    assert run.state.deliveries == {"1", "2"}


def test_the_oldest_signal_is_taken_first_and_each_wait_takes_one() -> None:
    items = fan(group("each", wait("get", event="go")), [0, 1, 2], max_parallel=None)
    run = Simulation(workflow(items), patience_ms=0)
    run.log = [run.started(), *(signal("go", str(n), n) for n in range(5))]
    run.run()
    assert [output(run, f"each.{n}.get")["payload"] for n in range(3)] == [0, 1, 2]
    assert list(run.state.signals) == ["3", "4"]


def test_a_signal_for_one_wait_is_left_by_all_others() -> None:
    run = Simulation(workflow(wait("a", event="go"), wait("b", event="go")), patience_ms=0).run()
    run.request(signal("go", "1", "for b", target="b")).resume()
    assert (run.state.nodes["a"].status, output(run, "b")["payload"]) == ("waiting", "for b")


def test_a_signal_that_nobody_waits_for_continues_nothing() -> None:
    run = Simulation(workflow(wait("a", event="go")), patience_ms=0).run()
    run.request(signal("stop", "1"))
    assert resume_cause(run.state, agent=None, resume=False, at=run.clock) is None


@pytest.mark.parametrize(("on_expired", "status"), [("continue", "completed"), ("fail", "failed"), ("skip", "skipped")])
@pytest.mark.parametrize("form", [{"event": "go"}, {"check": Shell("false"), "every_ms": 10_000_000}])
def test_what_a_deadline_does(form: dict[str, Any], on_expired: str, status: str) -> None:
    flow = workflow(wait("a", deadline_ms=HOUR, on_expired=on_expired, **form), bash("b"))
    run = Simulation(flow, {"a": failed("exit-status")}).run()
    now = run.state.nodes["a"]
    assert now.status == status
    if status == "completed":
        assert output(run, "a")["status"] == "expired"
    elif status == "failed":
        assert now.error is not None
        assert now.error.code == "timeout"
    else:
        assert now.reason == "expired"
    assert HOUR <= run.clock < HOUR + 60_000, "a check that would be due later does not put it off"


def test_a_check_is_tried_until_it_passes() -> None:
    flow = workflow(wait("a", check=Shell("true"), every_ms=60_000, deadline_ms=HOUR))
    run = Simulation(flow, {"a": [failed("exit-status"), failed("timeout"), "done"]}).run()
    assert run.state.status == "completed"
    assert run.carried_out == [("a", "wait"), ("a", "check"), ("a", "check"), ("a", "check")]
    assert len(waits_of(run, "a")) == 1
    assert 120_000 <= run.clock < 180_000


def test_a_check_that_cannot_be_tried_fails() -> None:
    run = Simulation(workflow(wait("a", check=Shell("true"))), {"a": failed("missing-runtime")}).run()
    assert run.state.status == "failed"


def test_a_wait_in_each_iteration_waits_anew() -> None:
    body = Scope((wait("pause", duration_ms=HOUR), bash("check", "pause")))
    loop = Node("loop", LoopGroup(body, until="DONE", max_iterations=2))
    run = Simulation(workflow(loop), {"loop": "x"}).run()
    assert [len(waits_of(run, f"loop.{n}.pause")) for n in (1, 2)] == [1, 1]
    assert run.clock > 2 * HOUR


def test_a_cancelled_run_ends_its_waits() -> None:
    run = Simulation(workflow(wait("a", event="go")), patience_ms=0).run()
    run.request(e.CancelRequested(run.clock)).resume()
    assert (run.state.status, run.state.nodes["a"].status) == ("cancelled", "cancelled")


# ------------------------------------------------------------------ gates


def gate(**fields: Any) -> Node:
    return Node("gate", Approval("ok?", **fields))


def at_the_deadline(run: Simulation) -> Simulation:
    assert run.state.due_at is not None
    run.clock = run.state.due_at
    assert resume_cause(run.state, agent=None, resume=False, at=run.clock) == "answer"
    return run.resume()


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, "failed", None),
        ({"on_timeout": "approve"}, "completed", ""),
        ({"on_timeout": "reject"}, "cancelled", None),
        (
            {"on_timeout": "later", "decisions": (Decision("now"), Decision("later"))},
            "completed",
            '{"decision":"later","text":""}',
        ),
    ],
)
def test_what_the_deadline_of_a_gate_does(fields: dict[str, Any], status: str, text: str | None) -> None:
    run = Simulation(workflow(gate(timeout_ms=HOUR, **fields))).run()
    assert run.state.status == "paused"
    at_the_deadline(run)
    now = run.state.nodes["gate"]
    assert now.status == status
    assert text is None or (now.output is not None and now.output.text == text)
    assert run.types("gate").count("gate_expired") == 1


def test_a_rejection_by_the_deadline_is_reworked_and_asked_again() -> None:
    run = Simulation(workflow(gate(timeout_ms=HOUR, on_timeout="reject", on_reject=OnReject("again")))).run()
    at_the_deadline(run)
    assert (run.state.status, run.state.nodes["gate"].asked) == ("paused", 2)
    run.approve().resume()
    assert run.state.status == "completed"


def test_of_an_answer_and_the_deadline_the_first_counts() -> None:
    run = Simulation(workflow(gate(timeout_ms=HOUR))).run().approve()
    run.clock += 2 * HOUR
    run.resume()
    assert run.state.status == "completed"
    assert "gate_expired" not in run.types()


def test_people_are_reminded_once_for_all_that_is_due() -> None:
    run = Simulation(workflow(gate(remind_ms=(HOUR, 2 * HOUR, 5 * HOUR)))).run()
    at_the_deadline(run)
    assert run.types("gate").count("gate_reminded") == 1
    run.clock += 10 * HOUR
    run.resume()
    assert [one.reminders for one in run.log if isinstance(one, e.GateReminded)] == [1, 3]
    assert (run.state.status, run.state.due_at) == ("paused", None)
    run.approve().resume()
    assert run.state.status == "completed"


def test_a_gate_does_not_keep_a_process_and_a_wait_beside_it_does() -> None:
    flow = workflow(gate(timeout_ms=HOUR), wait("pause", duration_ms=2 * HOUR))
    run = Simulation(flow).run()
    assert run.types("gate").count("gate_expired") == 1, "its owner is the clock"
    assert run.state.nodes["pause"].status == "completed"


def test_a_check_that_waits_for_a_slot_expires_all_the_same() -> None:
    """Its turn begins to wait, another one takes as long as the deadline, and then there is nothing to try any more."""
    flow = workflow(wait("a", check=Shell("true"), every_ms=10, deadline_ms=HOUR, on_expired="fail"), bash("long"))
    run = Simulation(flow, slots=1)

    def long(_now: Any, _turn: str) -> Any:
        run.clock += 2 * HOUR
        return "done"

    run.outcomes = {"long": long, "a": failed("exit-status")}
    run.run()
    error = run.state.nodes["a"].error
    assert error is not None
    assert error.message == f"the check did not pass within {HOUR} ms"
    assert run.state.nodes["long"].status == "completed"


@pytest.mark.parametrize("kind", [e.TIMER, e.SIGNAL, e.CHECK])
def test_a_forged_log_begins_a_wait_where_there_is_none(kind: Any) -> None:
    flow = workflow(bash("a"), wait("timer", duration_ms=HOUR))
    run = Simulation(flow)
    run.log = [run.started(), e.WaitStarted(1, "a", kind, 2, "go"), e.WaitStarted(1, "timer", kind, 2, "go")]
    run.run()
    assert run.state.ended


def test_a_forged_deadline_of_another_gate_ends_nothing() -> None:
    loop = Node("loop", Loop(3, prompt="go", until="DONE", interactive=True, gate_message="more?"))
    run = Simulation(workflow(loop), {"loop": "x"}).run()
    asked = run.log[-2]
    assert isinstance(asked, e.ApprovalRequested)
    run.log[-2] = replace(asked, due_at=1, remind_at=(1,))
    run.clock += HOUR
    assert resume_cause(run.state, agent=None, resume=False, at=run.clock) is None
    run.approve().resume()
    assert run.state.nodes["loop"].asked == 2
