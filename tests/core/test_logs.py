"""Whole logs: which events some runs bring, in which order and with all that is in them. What a decision says, and
not only that it was taken, shows here; why it is so is in the tests of its subject."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from msgspec.structs import replace
from simulate import Simulation, completed, failed, started, workflow

from ion import codec
from ion.core import events as e
from ion.core import requests
from ion.core.apply_outcome import apply_outcome, retry_class
from ion.core.commands import Record, Stop, Wait
from ion.core.decide import StartTurn
from ion.core.fold import fold
from ion.core.iterations import loop_completed
from ion.core.outcomes import Completed, Failed, GateOpened, Judged, Outcome, PromptOpened
from ion.core.plan import Plan
from ion.core.rerun import definition, kept_events
from ion.core.resume import answered, resume_cause
from ion.core.state import NodeState
from ion.core.step import Ended, step
from ion.core.values import condition_values
from ion.errors import InternalError, IonError
from ion.language.conditions import parse_condition
from ion.language.templates import templates_of
from ion.language.workflow import (
    Approval,
    Bash,
    Cancel,
    Command,
    CommandFile,
    Decision,
    Loop,
    Node,
    OnReject,
    Prompt,
    Retry,
    Script,
    ScriptFile,
    Shell,
    Workflow,
)

BASH = Bash(Shell("true"))
BY = {"user": "ana"}


def told(log: list[e.Event]) -> str:
    """A log without the first event and the times, one event a line."""
    lines: list[str] = []
    for event in log[1:]:
        data = [item for item in codec.to_json(event).items() if item[0] not in ("type", "at", "by", "inputs")]
        data = [one for name, value in data for one in (value.items() if name == "reply" else [(name, value)])]
        said = " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in data)
        lines += textwrap.wrap(f"{event.type} {said}", 110, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def replies(*given: Outcome) -> Callable[[NodeState, str], Outcome]:
    """One for each turn of the node, in their order."""
    left = list(given)
    return lambda _now, _turn: left.pop(0)


def asked(question: str) -> GateOpened:
    return GateOpened(question)


def approve(run: Simulation, comment: str = "") -> None:
    run.request(requests.answer(run.state, None, "approve", at=run.clock, text=comment, by=BY)).resume()


def reject(run: Simulation) -> None:
    run.request(requests.answer(run.state, None, "reject", at=run.clock, text="no", by=BY)).resume()


class TestLoops:
    def run(self, outcomes: Callable[[NodeState, str], Outcome], **values: Any) -> Simulation:
        loop = Loop(2, prompt="go", until="DONE", until_bash=Shell("check"), **values)
        return Simulation(workflow(Node("a", loop)), {"a": outcomes}).run()

    def test_a_check_says_no_twice(self) -> None:
        run = self.run(replies(completed("1"), Judged(False), completed("2"), Judged(False)))
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"}
node_started node=a turn=until_bash iteration=1
iteration_judged node=a iteration=1
node_started node=a turn=prompt iteration=2
iteration_completed node=a iteration=2 output={"text": "2"}
node_started node=a turn=until_bash iteration=2
node_failed node=a error={"code": "max_iterations", "message": "2 iterations without the signal 'DONE' or a
    passing until_bash check", "hint": "a resume starts again at iteration 1"}
workflow_failed error={"code": "node-failed", "message": "1 of 1 nodes failed: a"}\
""")

    def test_a_check_ends_it_with_all_that_the_reply_brought(self) -> None:
        last = Completed(e.Reply(e.Content("2"), {"output": e.Value(text="2")}, "s", "claude", {}, True, ("n",)))
        run = self.run(replies(completed("1"), Judged(False), last, Judged(True)))
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"}
node_started node=a turn=until_bash iteration=1
iteration_judged node=a iteration=1
node_started node=a turn=prompt iteration=2
iteration_completed node=a iteration=2 output={"text": "2"} session=s agent=claude repaired=true notes=["n"]
node_started node=a turn=until_bash iteration=2
node_completed node=a output={"text": "2"} session=s agent=claude repaired=true notes=["n"]
workflow_completed output_node=a\
""")

    def test_a_person_is_asked_after_each_check(self) -> None:
        turns = (completed("1"), Judged(False), asked("1?"), completed("2"), Judged(True), asked("2?"))
        run = self.run(replies(*turns), interactive=True)
        approve(run, "again")
        approve(run)
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"}
node_started node=a turn=until_bash iteration=1
node_started node=a turn=gate iteration=1
approval_requested node=a request=a.1 message=1? kind=iteration iteration=1
workflow_paused
approval_resolved node=a request=a.1 decision=approved comment=again
workflow_resumed cause=answer
node_started node=a turn=prompt iteration=2
iteration_completed node=a iteration=2 output={"text": "2"}
node_started node=a turn=until_bash iteration=2
node_started node=a turn=gate iteration=2 signaled=true
approval_requested node=a request=a.2 message=2? kind=iteration iteration=2 signaled=true last=true
workflow_paused
approval_resolved node=a request=a.2 decision=approved
workflow_resumed cause=answer
node_completed node=a output={"text": "2"}
workflow_completed output_node=a\
""")

    def test_a_check_that_says_yes_needs_nobody_where_signals_complete(self) -> None:
        turns = (completed("1"), Judged(False), asked("1?"), completed("2"), Judged(True))
        run = self.run(replies(*turns), interactive=True, signal_completes=True)
        approve(run)
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"}
node_started node=a turn=until_bash iteration=1
node_started node=a turn=gate iteration=1
approval_requested node=a request=a.1 message=1? kind=iteration iteration=1
workflow_paused
approval_resolved node=a request=a.1 decision=approved
workflow_resumed cause=answer
node_started node=a turn=prompt iteration=2
iteration_completed node=a iteration=2 output={"text": "2"}
node_started node=a turn=until_bash iteration=2
node_completed node=a output={"text": "2"}
workflow_completed output_node=a\
""")

    def test_all_ends_together(self) -> None:
        turns = (completed("1"), completed("2", signaled=True), Judged(True))
        run = self.run(replies(*turns), until_all=True)
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"}
node_started node=a turn=prompt iteration=2
iteration_completed node=a iteration=2 output={"text": "2"} signaled=true
node_started node=a turn=until_bash iteration=2 signaled=true
node_completed node=a output={"text": "2"}
workflow_completed output_node=a\
""")

    def test_none_of_all_ends_together(self) -> None:
        run = self.run(replies(completed("1"), completed("2")), until_all=True)
        error = run.state.nodes["a"].error
        assert error is not None
        assert error.message == "2 iterations, none with the signal 'DONE' and a passing until_bash check"

    def test_a_gate_that_follows_at_once_has_seen_what_its_turn_saw(self) -> None:
        loop = Loop(2, prompt="go", until_bash=Shell("check"), interactive=True)
        flow = workflow(Node("a", loop), Node("g", Approval("?", on_reject=OnReject("redo"))))
        for node, turn, outcome in (("a", "until_bash", Judged(True)), ("g", "rejection", completed())):
            state = fold([started(flow), e.NodeStarted(1, node, turn, inputs={"x": "completed:1"})])
            (gate,) = apply_outcome(flow, state, node, outcome, 2, 0.0)
            assert isinstance(gate, e.NodeStarted)
            assert (gate.turn, gate.inputs, gate.signaled) == ("gate", {"x": "completed:1"}, node == "a")

    def test_a_loop_does_not_end_before_it_began(self) -> None:
        with pytest.raises(ValueError, match="without an iteration"):
            loop_completed(NodeState("a", "loop"), 1)

    def test_a_rejection_ends_it(self) -> None:
        run = self.run(replies(completed("1", signaled=True), asked("?")), interactive=True)
        reject(run)
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt iteration=1
iteration_completed node=a iteration=1 output={"text": "1"} signaled=true
node_started node=a turn=gate iteration=1 signaled=true
approval_requested node=a request=a.1 message=? kind=iteration iteration=1 signaled=true
workflow_paused
approval_resolved node=a request=a.1 decision=rejected comment=no
workflow_resumed cause=answer
node_cancelled node=a reason=rejected
workflow_cancelled reason=no node=a\
""")


class TestGates:
    def test_rework_until_the_last_rejection(self) -> None:
        gate = Approval("?", on_reject=OnReject("redo", 2))
        turns = (asked("1?"), completed("better", usage={"cost_usd": 1}), asked("2?"))
        run = Simulation(workflow(Node("g", gate), Node("b", BASH, depends_on=("g",))), {"g": replies(*turns)}).run()
        reject(run)
        reject(run)
        assert told(run.log) == snapshot("""\
node_started node=g turn=gate
approval_requested node=g request=g.1 message=1?
workflow_paused
approval_resolved node=g request=g.1 decision=rejected comment=no
workflow_resumed cause=answer
node_started node=g turn=rejection iteration=1
node_started node=g turn=gate output={"text": "better"} usage={"cost_usd": 1}
approval_requested node=g request=g.2 message=2?
workflow_paused
approval_resolved node=g request=g.2 decision=rejected comment=no
workflow_resumed cause=answer
node_cancelled node=g reason=rejected
node_skipped node=b reason=cancelled detail=no
workflow_cancelled reason=no node=g\
""")

    def test_decisions(self) -> None:
        gate = Approval("?", decisions=(Decision("approve"), Decision("later")))
        flow = workflow(
            Node("g", gate), Node("b", BASH, when=parse_condition("$g.output.decision == 'x'"), order=("g",))
        )
        run = Simulation(flow, {"g": asked("?")}).run()
        run.request(requests.answer(run.state, "g", "later", at=3, text='ü "x"', by=BY)).resume()
        assert told(run.log) == snapshot("""\
node_started node=g turn=gate
approval_requested node=g request=g.1 message=? decisions=["approve", "later"]
workflow_paused
approval_resolved node=g request=g.1 decision=later comment=ü "x"
workflow_resumed cause=answer
node_completed node=g output={"text": "{\\"decision\\":\\"later\\",\\"text\\":\\"\\u00fc \\\\\\"x\\\\\\"\\"}"}
    values={"output.decision": {"text": "later"}}
node_skipped node=b reason=when detail=$g.output.decision == 'x' (was 'later')
workflow_completed output_node=g\
""")

    def test_a_prompt_of_the_host_has_all_that_it_needs(self) -> None:
        pending = PromptOpened(e.Content("hi"), "sys", "s1", {"type": "object"}, {"model": "x"}, "key")
        run = Simulation(workflow(Node("a", Prompt("hi"))), {"a": replies(pending, completed("yes"))}).run()
        answer = requests.submit(run.state, "a", e.Content("yes"), at=3, by=BY, session="s2")
        assert answer is not None
        run.request(answer).resume()
        assert told(run.log) == snapshot("""\
node_started node=a turn=prompt
prompt_requested node=a request=a.1 prompt={"text": "hi"} system=sys session=s1 output_format={"type":
    "object"} options={"model": "x"} key=key
workflow_paused
prompt_answered node=a request=a.1 output={"text": "yes"} session=s2
workflow_resumed cause=answer
node_started node=a turn=answer
node_completed node=a output={"text": "yes"}
workflow_completed output_node=a\
""")


class TestPrograms:
    def test_tried_again_with_growing_delays(self) -> None:
        flow = workflow(Node("a", BASH, retry=Retry(2, 1000, "all"), timeout_ms=5, on_timeout="skip"), Node("b", BASH))
        slow = failed("timeout", "slow")
        run = Simulation(flow, {"a": replies(failed(), slow, slow)}, slots=1).run()
        assert told(run.log) == snapshot("""\
node_started node=a turn=bash
node_retrying node=a error={"code": "exit-status", "message": "exit 1"} due_at=1002
node_started node=b turn=bash
node_completed node=b output={"text": "ok"}
node_started node=a turn=bash attempt=2
node_retrying node=a error={"code": "timeout", "message": "slow"} due_at=3003
node_started node=a turn=bash attempt=3
node_skipped node=a reason=timeout detail=slow
workflow_completed output_node=b\
""")
        assert [event.due_at - event.at for event in run.log if isinstance(event, e.NodeRetrying)] == [1000, 2000]

    @pytest.mark.parametrize(("jitter", "delay"), [(0.0, 4000), (0.5, 4500), (0.99, 4990)])
    def test_a_part_of_a_delay_is_chance(self, jitter: float, delay: int) -> None:
        flow = workflow(Node("a", BASH, retry=Retry(2, 4000, "all")))
        state = fold([started(flow), e.NodeStarted(1, "a", "bash")])
        (event,) = apply_outcome(flow, state, "a", Failed(e.Failure("exit-status", "1"), usage={"t": 1}), 7, jitter)
        assert event == e.NodeRetrying(7, "a", e.Failure("exit-status", "1"), 7 + delay, usage={"t": 1})

    @pytest.mark.parametrize(
        ("code", "kind"),
        [("timeout", "transient"), ("crashed", "transient"), ("rate_limited", "transient"), ("refused", "fatal")]
        + [(code, "fatal") for code in ("not_logged_in", "not_found", "cancelled", "reference", "condition", "budget")]
        + [
            ("missing-runtime", "fatal"),
            ("max_iterations", "fatal"),
            ("exit-status", "other"),
            ("bad_output", "other"),
        ],
    )
    def test_which_failures_are_worth_another_try(self, code: str, kind: str) -> None:
        assert retry_class(code) == kind

    def test_only_a_timeout_skips(self) -> None:
        run = Simulation(workflow(Node("a", BASH, on_timeout="skip")), {"a": failed()}).run()
        assert run.statuses() == {"a": "failed"}

    def test_what_a_failure_skips_says_why(self) -> None:
        broken = [Node(f"n{i}", BASH) for i in range(6)]
        when = parse_condition("$n0.output == 'x' || $n0.output == 'y'")
        flow = workflow(
            *broken,
            Node("all", BASH, depends_on=tuple(node.id for node in broken)),
            Node("one", BASH, depends_on=("n0", "n1"), when=when),
        )
        run = Simulation(flow, {"n1": failed(), "n2": failed()}).run()
        assert told([run.log[0], *(event for event in run.log if isinstance(event, e.NodeSkipped))]) == snapshot("""\
node_skipped node=one reason=upstream_failed detail=all_success: n1 failed
node_skipped node=all reason=upstream_failed detail=all_success: n1 failed, n2 failed\
""")
        five = Simulation(flow, {node.id: failed() for node in broken}).run()
        (skipped,) = [ev for ev in five.log if isinstance(ev, e.NodeSkipped) and ev.node == "all"]
        assert skipped.detail == "all_success: n0 failed, n1 failed, n2 failed, n3 failed, n4 failed, …"
        assert five.state.error == e.Failure("node-failed", "6 of 8 nodes failed: n0, n1, n2, n3, n4, …")

    def test_a_condition_says_what_it_saw(self) -> None:
        when = parse_condition("$a.output == 'x' || $a.output == 'y'")
        run = Simulation(workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",), when=when))).run()
        (skipped,) = [event for event in run.log if isinstance(event, e.NodeSkipped)]
        assert skipped.detail == "$a.output == 'x' || $a.output == 'y' (was 'ok'; 'ok')"

    def test_a_condition_says_only_what_spoke_against_it(self) -> None:
        when = parse_condition("$a.output == 'ok' && $b.output == 'x'")
        nodes = (Node("a", BASH), Node("b", BASH), Node("c", BASH, depends_on=("a", "b"), when=when))
        run = Simulation(workflow(*nodes), {"b": completed("no")}).run()
        assert run.state.nodes["c"].detail == "$a.output == 'ok' && $b.output == 'x' (was 'no')"


class TestEnds:
    flow = workflow(
        Node("a", BASH),
        Node("g", Approval("?")),
        Node("c", BASH, retry=Retry(1, 9000, "all")),
        Node("d", BASH, depends_on=("a",)),
    )

    def plan(self, *further: e.Event, **values: Any) -> Plan:
        log = [e.NodeStarted(1, "a", "bash"), e.NodeStarted(1, "g", "gate"), e.ApprovalRequested(1, "g", "g.1", "?")]
        log += [e.NodeStarted(1, "c", "bash"), e.NodeRetrying(2, "c", e.Failure("timeout", ""), 9000)]
        flow = workflow(*self.flow.nodes, **values)
        return Plan(flow, fold([started(flow), *log, *further]), 8)

    def test_what_runs_is_stopped_what_began_is_cancelled_the_rest_is_skipped(self) -> None:
        plan = self.plan(e.CancelRequested(3, "enough"))
        assert plan.next_steps(4) == [
            Stop("a", "cancelled"),
            Record(e.NodeCancelled(4, "g", "cancelled"), "cancelled"),
            Record(e.NodeCancelled(4, "c", "cancelled"), "cancelled"),
            Record(e.NodeSkipped(4, "d", "cancelled", "enough"), "cancelled"),
        ]
        plan.advance(e.NodeCancelled(5, "a", "cancelled"))
        assert plan.next_steps(5)[-1] == Record(e.WorkflowCancelled(5, "enough"), "cancelled")

    def test_fail_fast(self) -> None:
        plan = self.plan(e.NodeFailed(3, "a", e.Failure("exit-status", "1")), fail_fast=True)
        why = "'a' failed and fail_fast is set"
        assert plan.next_steps(4) == [
            Record(e.NodeCancelled(4, "g", "fail_fast"), "fail_fast"),
            Record(e.NodeCancelled(4, "c", "fail_fast"), "fail_fast"),
            Record(e.NodeSkipped(4, "d", "fail_fast", why), "fail_fast"),
            Record(e.WorkflowFailed(4, e.Failure("node-failed", why)), "fail_fast"),
        ]

    def test_the_runs_timeout(self) -> None:
        plan = self.plan(timeout_ms=50)
        assert plan.next_steps(49) == [Wait(9000, "c is due"), Wait(50, "the run's timeout")]
        (record,) = plan.next_steps(50)
        assert record == Record(e.CancelRequested(50, "the run took longer than 50 ms", "timeout"), "the run's timeout")
        plan.advance(record.event)
        assert plan.next_steps(51)[0] == Stop("a", "cancelled")
        plan.advance(e.NodeCancelled(52, "a", "cancelled"))
        error = e.Failure("timeout", "the run took longer than 50 ms", "ion resume gives it the same time again")
        assert plan.next_steps(52)[-1] == Record(e.WorkflowFailed(52, error), "cancelled")

    def test_a_cancel_node_and_a_rejection_name_themselves(self) -> None:
        flow = workflow(Node("a", BASH), Node("stop", Cancel("x"), depends_on=("a",)))
        run = Simulation(flow, {"stop": completed("not needed")}).run()
        assert run.log[-1] == e.WorkflowCancelled(run.log[-1].at, "not needed", "stop")
        rejected = Simulation(workflow(Node("g", Approval("?"))), {"g": asked("?")}).run()
        rejected.request(requests.answer(rejected.state, "g", "reject", at=2, text="", by=BY)).resume()
        assert rejected.log[-1] == e.WorkflowCancelled(rejected.log[-1].at, "rejected", "g")

    def test_nodes_that_wait_for_each_other_are_a_bug_and_said_so(self) -> None:
        flow = workflow(Node("a", BASH, depends_on=("b",)), Node("b", BASH, depends_on=("a",)))
        with pytest.raises(InternalError, match="stuck: nothing runs, nothing can start"):
            Plan(flow, fold([started(flow)]), 8).next_steps(1)

    def test_the_output_is_what_returns_names_even_if_it_did_not_complete(self) -> None:
        flow = workflow(
            Node("a", BASH, when=parse_condition("$b.output == 'x'"), order=("b",)), Node("b", BASH), returns="a"
        )
        run = Simulation(flow).run()
        assert (run.state.status, run.state.output_node) == ("completed", None)


def definition_in(flow: Workflow) -> tuple[Any, ...]:
    """Of its only node."""
    return definition(templates_of(flow)[flow.nodes[0].id])


class TestRerun:
    flow = workflow(
        Node("a", Prompt("1")),
        Node("b", Command("c"), depends_on=("a",)),
        Node("c", BASH, order=("b",)),
        Node("d", Loop(2, prompt="x", until="y")),
        Node("e", BASH, always_run=True),
        Node("f", Script("python", code="1")),
        Node("g", Approval("?")),
        Node("h", BASH),
    )

    def test_all_but_the_node_and_what_waits_for_it_is_kept(self) -> None:
        whole = completed("x", session="s", agent="claude", signaled=True, repaired=True, notes=("n",))
        outcomes: dict[str, Any] = dict.fromkeys("abcdef", whole)
        run = Simulation(self.flow, outcomes | {"g": asked("?"), "h": failed()}).run()
        approve(run)
        assert told([run.log[0], *kept_events(self.flow, run.state, "b", 9)]) == snapshot("""\
node_started node=a turn=prompt
node_completed node=a output={"text": "x"} session=s agent=claude repaired=true notes=["n"]
node_started node=d turn=prompt
node_completed node=d output={"text": "x"} session=s agent=claude repaired=true notes=["n"]
node_started node=f turn=script
node_completed node=f output={"text": "x"} session=s agent=claude repaired=true notes=["n"]
node_started node=g turn=gate
node_completed node=g output={"text": ""}\
""")
        assert {event.at for event in kept_events(self.flow, run.state, "b", 9)} == {9}
        seen = {ev.node: ev.inputs for ev in kept_events(self.flow, run.state, "h", 9) if isinstance(ev, e.NodeStarted)}
        assert seen == {name: run.state.nodes[name].inputs for name in "abcdfg"}
        assert seen["b"].keys() == {"a"}
        turns = {ev.node: ev.turn for ev in kept_events(self.flow, run.state, "h", 9) if isinstance(ev, e.NodeStarted)}
        assert turns == {"a": "prompt", "b": "prompt", "c": "bash", "d": "prompt", "f": "script", "g": "gate"}
        assert kept_events(self.flow, run.state, "a", 9) == kept_events(self.flow, run.state, "b", 9)[2:]

    @pytest.mark.parametrize(
        ("change", "kept"),
        [
            ({}, True),
            ({"description": "x", "retry": Retry(1), "timeout_ms": 9, "idle_timeout_ms": 9}, True),
            ({"on_timeout": "skip", "runs_on": "gpu", "trigger_rule": "all_done", "order": ("z",)}, True),
            ({"continues": "z"}, True),
            ({"body": Prompt("2")}, False),
            ({"env": {"A": "b"}}, False),
            ({"options": {"model": "x"}}, False),
            ({"output_format": {}}, False),
        ],
    )
    def test_of_another_file_only_what_is_defined_as_it_was(self, change: dict[str, Any], kept: bool) -> None:
        nodes = (Node("z", BASH), Node("a", Prompt("1")), Node("b", BASH))
        run = Simulation(workflow(*nodes), {"b": failed()}).run()
        when = parse_condition("$a.output == 'ok'")
        edited = workflow(
            nodes[0], replace(nodes[1], **change), replace(nodes[2], when=when, order=("a",)), Node("n", BASH)
        )
        events = kept_events(
            edited, run.state, "b", 9, before=workflow(*nodes), read=lambda content: content.text or ""
        )
        assert [event.node for event in events if isinstance(event, e.NodeCompleted)] == ["z", *("a" if kept else "")]
        if kept:
            assert isinstance(events[-1], e.NodeCompleted)
            assert events[-1].reply.values == {"output": e.Value(text="ok")}

    def test_of_another_file_the_texts_and_files_count(self) -> None:
        command, script, loop = (
            Node("a", Command("c")),
            Node("a", Script("python", name="s")),
            Node("a", Loop(2, command="c")),
        )
        files: dict[str, Any] = {
            "commands": {"c": CommandFile("c.md", "1")},
            "scripts": {"s": ScriptFile("s", "s.py", {})},
        }
        for node in (command, script, loop):
            one = definition_in(workflow(node, **files))
            changed = {
                "commands": {"c": CommandFile("c.md", "2")},
                "scripts": {"s": ScriptFile("s", "s.py", {"s.py": "2"})},
            }
            assert definition_in(workflow(node, **changed)) != one
            moved = files | {"commands": {"c": CommandFile("elsewhere.md", "1")}}
            assert definition_in(workflow(node, **moved)) == one
            assert definition_in(workflow(node, **files, env={"A": "b"})) != one
        plain = Node("a", Loop(2, prompt="c"))
        assert definition_in(workflow(plain, **files)) == definition(templates_of(workflow(plain))[plain.id])
        gate = Node("g", Approval("?"))
        assert definition_in(workflow(gate, env={"A": "b"})) == definition(templates_of(workflow(gate))[gate.id])

    def test_what_waits_through_others_runs_again_too(self) -> None:
        edges = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",), "e": ("d",), "f": ()}
        flow = workflow(*(Node(name, BASH, depends_on=before) for name, before in edges.items()))
        run = Simulation(flow).run()
        assert {event.node for event in kept_events(flow, run.state, "a", 9) if isinstance(event, e.NodeEvent)} == {"f"}

    def test_a_node_that_is_not_there(self) -> None:
        with pytest.raises(IonError, match="the run has no node 'x'") as refused:
            kept_events(self.flow, fold([started(self.flow)]), "x", 9)
        assert refused.value.hint == "its nodes: a, b, c, d, e, f, g, h"


class TestGoingOn:
    """Who may continue a run, and as what."""

    flow = workflow(Node("a", Prompt("x")), Node("g", Approval("?")))
    begun = (started(flow), e.NodeStarted(1, "a", "prompt"))
    pending = (*begun, e.PromptRequested(2, "a", "a.1", e.Content("x")), e.WorkflowPaused(2))
    unpermitted = (
        started(flow, agent="claude"),
        e.NodeStarted(1, "a", "prompt"),
        e.ApprovalRequested(2, "a", "a.1", "may I?", "permission", decisions=("yes",), key="k", kinds=("allow_once",)),
        e.WorkflowPaused(2),
    )

    @pytest.mark.parametrize(
        ("log", "agent", "as_resume", "as_answer"),
        [
            (begun, None, "resume", "answer"),
            ((*begun, e.CancelRequested(2, "x")), None, "answer", "answer"),
            ((*begun, e.WorkflowFailed(2, e.Failure("x", ""))), None, "resume", None),
            (pending, None, None, None),
            (pending, "claude", "answer", "answer"),
            ((*pending, e.PromptAnswered(3, "a", "a.1", e.Content("y"))), None, "answer", "answer"),
            ((*pending, e.CancelRequested(3, "x")), None, "answer", "answer"),
            ((*begun, e.WorkflowPaused(2, over_budget=True), e.BudgetRaised(3, 5)), None, "answer", "answer"),
            (unpermitted, "claude", None, None),
            (unpermitted, "other", "answer", "answer"),
            (unpermitted, None, None, None),
            ((begun[0], e.WorkflowPaused(2)), "other", None, None),
            ((*begun, e.WorkflowPaused(2), e.BudgetRaised(3, 5)), None, None, None),
        ],
    )
    def test_as_what(self, log: tuple[e.Event, ...], agent: str | None, as_resume: str, as_answer: str) -> None:
        state = fold(log)
        assert resume_cause(state, agent=agent) == as_resume
        assert resume_cause(state, agent=agent, resume=False) == as_answer

    def test_a_budget_that_is_spent_all_the_same_is_no_answer(self) -> None:
        log = [started(self.flow, max_budget_usd=1), e.NodeStarted(1, "a", "prompt")]
        log += [e.NodeFailed(2, "a", e.Failure("x", ""), {"cost_usd": 3}), e.WorkflowPaused(2, over_budget=True)]
        assert not answered(fold([*log, e.BudgetRaised(3, 2)]))
        assert answered(fold([*log, e.BudgetRaised(3, 4)]))


class TestSteps:
    def test_an_outcome_that_came_before_is_passed_over_and_the_next_one_taken(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH))
        log = [started(flow), e.NodeStarted(1, "a", "bash"), e.NodeCompleted(2, "a", e.Reply(e.Content("x")))]
        plan = Plan(flow, fold([*log, e.NodeStarted(2, "b", "bash")]), 8)
        late, good = completed("late"), completed("good")
        new, commands = step(plan, [Ended("a", 1, late), Ended("b", 2, late), Ended("b", 1, good)], 3, lambda: 0.0)
        assert told([log[0], *new]) == 'node_completed node=b output={"text": "good"}\nworkflow_completed output_node=a'
        assert commands == []

    def test_chance_has_a_say_in_delays_only(self) -> None:
        flow = workflow(Node("a", BASH, retry=Retry(1, 4000, "all")))
        plan = Plan(flow, fold([started(flow), e.NodeStarted(1, "a", "bash")]), 8)
        ((retrying,), _) = step(plan, [Ended("a", 1, failed())], 3, lambda: 0.5)
        assert retrying == e.NodeRetrying(3, "a", e.Failure("exit-status", "exit 1"), 4503)
        calm = Plan(flow, fold([started(flow), e.NodeStarted(1, "a", "bash")]), 8)
        step(calm, [Ended("a", 1, completed())], 3, lambda: pytest.fail("nothing to draw for"))


class TestRefusals:
    """What somebody is told whose request fits nothing: code, message and what to do."""

    flow = workflow(
        Node("a", Prompt("x")),
        Node("g", Approval("?")),
        Node("h", Approval("?", decisions=(Decision("approve"), Decision("later")))),
        Node("b", BASH),
    )
    log = (
        started(flow),
        e.NodeStarted(1, "a", "prompt"),
        e.PromptRequested(1, "a", "a.1", e.Content("x")),
        e.NodeStarted(1, "g", "gate"),
    )
    gate = (*log, e.ApprovalRequested(2, "g", "g.1", "?"))
    both = (
        *gate,
        e.NodeStarted(2, "h", "gate"),
        e.ApprovalRequested(2, "h", "h.1", "?", decisions=("approve", "later")),
    )
    done = (
        *gate,
        e.ApprovalResolved(3, "g", "g.1", "approved"),
        e.NodeCompleted(4, "g", e.Reply(e.Content(""))),
    )
    ended = (*gate, e.WorkflowCancelled(5, "x"))
    answer = e.PromptAnswered(3, "a", "a.1", e.Content("y"))

    def refused(self, log: tuple[e.Event, ...], verb: str, *words: Any, **values: Any) -> str:
        call: Any = getattr(requests, verb)
        with pytest.raises(IonError) as error:
            call(fold(log), *words, at=9, **values)
        return f"{error.value.error_code}: {error.value.message}\n    {error.value.hint}".rstrip()

    def test_gates(self) -> None:
        by: dict[str, Any] = {"by": BY, "text": ""}
        said = [
            self.refused(self.log, "answer", None, "approve", **by),
            self.refused(self.log, "answer", "g", "approve", **by),
            self.refused(self.log, "answer", "x", "approve", **by),
            self.refused(self.log, "answer", "b", "approve", **by),
            self.refused(self.both, "answer", None, "approve", **by),
            self.refused(self.both, "answer", None, "approve", request="g.9", **by),
            self.refused(self.both, "answer", "h", "reject", by=BY, text=""),
            self.refused(self.both, "answer", "g", "later", by=BY, text=""),
            self.refused(self.done, "answer", "g", "approve", **by),
            self.refused(self.ended, "answer", None, "approve", **by),
            self.refused(self.ended, "answer", "g", "approve", **by),
            self.refused(self.ended, "answer", None, "approve", request="g.1", **by),
            self.refused(self.ended, "answer", "g", "approve", request="g.1", **by),
        ]
        assert "\n".join(said) == snapshot("""\
answered: no gate of this run is open
    ion show says what it waits for
not-open: the gate 'g' is not open yet
    ion show says what it waits for
not-found: the run has no node 'x'
    its nodes: a, g, h, b
no-gate: 'b' is a bash node and has no gate
several-gates: 2 gates are open: g, h
    name one; --each (each: true) answers all inside of a node
answered: the request g.9 is not open
    ion show says what it waits for
usage: the gate 'h' has no decision 'reject'
    one of: approve, later
usage: the gate 'g' has no decisions, so 'later' is none
    approve or reject it
answered: the gate 'g' has been answered already
ended: the run has ended (cancelled)
ended: the run has ended (cancelled)
ended: the run has ended (cancelled)
ended: the run has ended (cancelled)\
""")

    def test_prompts_budgets_and_cancel(self) -> None:
        other = e.Content("z")
        said = [
            self.refused(self.log, "submit", "x", other, by=BY),
            self.refused(self.log, "submit", "g", other, by=BY),
            self.refused(self.log, "submit", "a", other, by=BY, request="a.7"),
            self.refused((*self.log, self.answer), "submit", "a", other, by=BY, last=self.answer),
            self.refused((*self.log, self.answer), "submit", "a", other, by=BY),
            self.refused(self.ended, "submit", "a", other, by=BY),
            self.refused(self.ended, "cancel", reason="", by=BY),
            self.refused(self.ended, "raise_budget", 5, by=BY),
            self.refused(self.log, "raise_budget", 0, by=BY),
            self.refused(self.log, "raise_budget", float("inf"), by=BY),
            self.refused(self.log, "raise_budget", float("nan"), by=BY),
        ]
        assert "\n".join(said) == snapshot("""\
not-found: the run has no node 'x'
    its nodes: a, g, h, b
not-open: no prompt of 'g' waits for an answer
    ion next lists those that do
not-open: the prompt a.7 of 'a' is not open; a.1 is
answered: the prompt of 'a' has been answered already, and differently
not-open: no prompt of 'a' waits for an answer
    ion next lists those that do
ended: the run has ended (cancelled)
ended: the run has ended (cancelled)
ended: the run has ended (cancelled)
usage: $0.00 is not a valid budget: the run has spent $0.00 already
    the budget is for the run from its beginning; give more than what is spent
usage: $inf is not a valid budget: the run has spent $0.00 already
    the budget is for the run from its beginning; give more than what is spent
usage: $nan is not a valid budget: the run has spent $0.00 already
    the budget is for the run from its beginning; give more than what is spent\
""")

    def test_what_fits_is_recorded_as_it_was_said(self) -> None:
        made = [
            requests.answer(fold(self.gate), None, "approve", at=9, text="c", by=BY),
            requests.answer(fold(self.gate), "g", "reject", at=9, text="r", by=BY, request="g.1"),
            requests.answer(fold(self.both), "h", "later", at=9, text="t", by=BY),
            requests.answer(fold(self.both), "g", "reject", at=9, text="t", by=BY),
            requests.submit(fold(self.log), "a", e.Content("y"), at=9, by=BY, session="s", request="a.1"),
            requests.cancel(fold(self.log), at=9, reason="r", by=BY),
            requests.raise_budget(fold(self.log), 5, at=9, by=BY),
            requests.submit(fold((*self.log, self.answer)), "a", self.answer.output, at=9, by=BY, last=self.answer),
        ]
        assert all(event is None or (event.at, event.by) == (9, BY) for event in made)  # type: ignore[attr-defined]
        assert told([self.log[0], *(event for event in made if event is not None)]) == snapshot("""\
approval_resolved node=g request=g.1 decision=approved comment=c
approval_resolved node=g request=g.1 decision=rejected comment=r
approval_resolved node=h request=h.1 decision=later comment=t
approval_resolved node=g request=g.1 decision=rejected comment=t
prompt_answered node=a request=a.1 output={"text": "y"} session=s
cancel_requested reason=r
budget_raised max_budget_usd=5\
""")
        assert made[-1] is None

    def test_an_answer_in_the_log_speaks_for_its_own_request_only(self) -> None:
        log = (*self.log, self.answer)
        same = self.answer.output
        assert requests.submit(fold(log), "a", same, at=9, by=BY, request="a.1", last=self.answer) is None
        said = self.refused(log, "submit", "a", same, by=BY, request="a.2", last=self.answer)
        assert said.startswith("not-open: no prompt of 'a' waits")
        spoken = replace(self.answer, session="s")
        assert requests.submit(fold(log), "a", same, at=9, by=BY, session="s", last=spoken) is None
        assert requests.submit(fold(log), "a", same, at=9, by=BY, last=spoken) is None

    def test_the_gate_of_a_loop_that_is_not_open_yet(self) -> None:
        said = self.refused(
            (started(workflow(Node("l", Loop(2, prompt="x", interactive=True)))),),
            "answer",
            "l",
            "approve",
            by=BY,
            text="",
        )
        assert said.startswith("not-open: the gate 'l' is not open yet")

    def test_the_same_answer_of_another_session_is_another_answer(self) -> None:
        said = self.refused(
            (*self.log, self.answer), "submit", "a", self.answer.output, by=BY, session="s", last=self.answer
        )
        assert said.startswith("answered: ")


class TestValues:
    def test_what_conditions_look_at_is_recorded_up_to_4_kib(self) -> None:
        when = parse_condition("$a.output == 'x' || $a.output.f == 'y' || $a.output.g == 'z'")
        flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",), when=when))

        def values(text: str) -> dict[str, e.Value]:
            return condition_values(templates_of(flow)["a"], e.Content(text), lambda content: content.text or "")

        assert values('{"f": [1, "ü"]}') == {
            "output": e.Value(text='{"f": [1, "ü"]}'),
            "output.f": e.Value(text='[1,"ü"]'),
            "output.g": e.Value(error="unknown field 'g'; the fields are 'f'"),
        }
        edge = values('{"f": "' + "x" * 4096 + '"}')
        assert edge["output.f"] == e.Value(text="x" * 4096)
        assert edge["output"].sha256 is not None
        assert values('{"f": "' + "ü" * 2049 + '"}')["output.f"].sha256 is not None
        assert values("x" * 4096)["output"] == e.Value(text="x" * 4096)
        assert values("x" * 4097)["output"] == e.Value(sha256=e.Content("x" * 4097).sha256, length=4097)
        assert condition_values(templates_of(flow)["b"], e.Content("x"), lambda content: "") == {}

    @pytest.mark.parametrize(
        ("when", "event", "error"),  # the hint names the condition, if there is nothing better to say
        [
            ("$a.output.f == 'x'", e.NodeSkipped(2, "a", "when"), "'a' was skipped, so it has no field 'f'"),
            ("$a.output == 'x'", e.NodeFailed(2, "a", e.Failure("x", "")), "'a' failed, so its output cannot be read"),
            (
                "$a.output == 'x'",
                e.NodeCompleted(2, "a", e.Reply(e.Content("x"), {"output": e.Value(error="it is broken")})),
                "it is broken",
            ),
            (
                "$a.output == 'x'",
                e.NodeCompleted(2, "a", e.Reply(e.Content("x"))),
                "the value of $a.output was not recorded",
            ),
            ("$a.output.f.g == 'x'", e.NodeSkipped(2, "a", "when"), "'a' was skipped, so it has no field 'f.g'"),
            ("$INPUTS.i == 'x'", e.NodeSkipped(2, "a", "when"), "the run has no input 'i'"),
        ],
    )
    def test_what_cannot_be_read_fails_the_node_that_asks(self, when: str, event: e.Event, error: str) -> None:
        condition = parse_condition(when)
        flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",), trigger_rule="all_done", when=condition))
        (record,) = Plan(flow, fold([started(flow), event]), 8).next_steps(3)
        assert isinstance(record, Record)
        assert isinstance(record.event, e.NodeFailed)
        assert (record.event.error.code, record.event.error.message) == ("condition", error)
        assert record.event.error.hint == ("declare it under inputs:" if "INPUTS" in when else f"when: {when}")

    def test_a_long_value_is_compared_by_its_hash(self) -> None:
        text = "x" * 5000
        hashed = {"output": e.Value(sha256=e.Content(text).sha256, length=5000)}
        for wanted, kind in ((text, StartTurn), ("x", Record)):
            flow = workflow(
                Node("a", BASH), Node("b", BASH, order=("a",), when=parse_condition(f"$a.output == '{wanted}'"))
            )
            log = [started(flow), e.NodeCompleted(2, "a", e.Reply(e.Content(text), hashed))]
            assert isinstance(Plan(flow, fold(log), 8).next_steps(3)[0], kind)

    def test_a_skipped_node_is_empty_whole(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH, order=("a",), when=parse_condition("$a.output == ''")))
        (start,) = Plan(flow, fold([started(flow), e.NodeSkipped(2, "a", "when")]), 8).next_steps(3)
        assert isinstance(start, StartTurn)
