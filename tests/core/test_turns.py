"""Loops, gates, retries, sessions and resume on the pure core: what follows what, and what is in the log."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from simulate import Simulation, completed, failed, started, workflow

from ion.core import events as e
from ion.core import requests
from ion.core.commands import Record
from ion.core.decide import StartTurn
from ion.core.fold import fold
from ion.core.outcomes import Completed, Failed, GateOpened, Judged, Outcome, PromptOpened
from ion.core.plan import Plan
from ion.core.resume import resume_events
from ion.core.sessions import FRESH, session_for
from ion.core.state import NodeState
from ion.core.surroundings import TOP
from ion.errors import RefusedError, UsageError
from ion.language.conditions import parse_condition
from ion.language.templates import templates_of
from ion.language.workflow import (
    TRIGGER_RULES,
    Approval,
    Bash,
    Cancel,
    Command,
    Decision,
    Loop,
    Node,
    OnReject,
    Prompt,
    Retry,
    Shell,
)

BASH = Bash(Shell("true"))
BY = {"user": "ana"}


def gate(now: NodeState, turn: str) -> Outcome:
    """A gate node's turns: the message is rendered, a rework is done."""
    return GateOpened("Go on?") if turn == "gate" else completed("reworked")


def approved(simulation: Simulation, node: str | None = None, comment: str = "") -> Simulation:
    simulation.clock += 1
    answer = requests.answer(simulation.state, node, "approve", at=simulation.clock, text=comment, by=BY)
    return simulation.request(answer).resume()


def rejected(simulation: Simulation, node: str | None = None, reason: str = "") -> Simulation:
    simulation.clock += 1
    answer = requests.answer(simulation.state, node, "reject", at=simulation.clock, text=reason, by=BY)
    return simulation.request(answer).resume()


def starts(simulation: Simulation, node: str) -> list[tuple[str, int, int]]:
    """Each start of a node: (turn, iteration, attempt)."""
    return [
        (event.turn, event.iteration, event.attempt)
        for event in simulation.log
        if isinstance(event, e.NodeStarted) and event.node == node
    ]


class TestApproval:
    def test_pauses_when_nothing_else_can_go_on_and_completes_with_the_comment(self) -> None:
        flow = workflow(
            Node("ask", Approval("Go?", capture_response=True)),
            Node("other", BASH),
            Node("after", BASH, depends_on=("ask",)),
        )
        run = Simulation(flow, {"ask": gate}).run()
        assert run.state.status == "paused"
        assert run.statuses() == {"ask": "waiting", "other": "completed", "after": "pending"}
        approved(run, comment="ship it")
        assert run.state.status == "completed"
        assert run.state.nodes["ask"].output == e.Content("ship it")

    @pytest.mark.parametrize(
        ("capture", "comment", "output"), [(False, "go", ""), (True, "go", "go"), (True, "", "Approved")]
    )
    def test_output_of_an_approved_gate(self, capture: bool, comment: str, output: str) -> None:
        run = Simulation(workflow(Node("ask", Approval("Go?", capture_response=capture))), {"ask": gate}).run()
        approved(run, comment=comment)
        assert run.state.nodes["ask"].output == e.Content(output)

    def test_rejection_without_rework_cancels_the_run(self) -> None:
        flow = workflow(Node("ask", Approval("Go?")), Node("after", BASH, depends_on=("ask",)))
        run = rejected(Simulation(flow, {"ask": gate}).run(), reason="not today")
        assert run.state.status == "cancelled"
        assert run.state.reason == "not today"
        assert run.statuses() == {"ask": "cancelled", "after": "skipped"}

    def test_the_last_allowed_rejection_cancels_and_those_before_are_reworked(self) -> None:
        flow = workflow(Node("ask", Approval("Go?", on_reject=OnReject("Mend it: $REJECTION_REASON", 3))))
        run = Simulation(flow, {"ask": gate}).run()
        for count in (1, 2):
            rejected(run, reason=f"bad {count}")
            assert run.state.status == "paused"
            assert run.state.nodes["ask"].progress.rejection_reason == f"bad {count}"
        assert [turn for turn, _, _ in starts(run, "ask")] == ["gate", "rejection", "gate", "rejection", "gate"]
        rejected(run)
        assert run.state.status == "cancelled"

    def test_the_output_of_a_gate_that_was_reworked_is_the_last_reply(self) -> None:
        flow = workflow(Node("ask", Approval("Go?", on_reject=OnReject("Fix it"))))
        run = approved(rejected(Simulation(flow, {"ask": gate}).run()), comment="fine now")
        assert run.state.nodes["ask"].output == e.Content("reworked")

    def test_a_death_during_rework_does_the_rework_again_and_not_after_it(self) -> None:
        flow = workflow(Node("ask", Approval("Go?", on_reject=OnReject("Mend it"))))
        whole = rejected(Simulation(flow, {"ask": gate}).run())
        rework = next(i for i, ev in enumerate(whole.log) if isinstance(ev, e.NodeStarted) and ev.turn == "rejection")
        died = Simulation(flow, {"ask": gate}, list(whole.log[: rework + 1])).resume()
        assert [turn for turn, _, _ in starts(died, "ask")] == ["gate", "rejection", "rejection", "gate"]
        later = Simulation(flow, {"ask": gate}, list(whole.log[: rework + 2])).resume()
        assert [turn for turn, _, _ in starts(later, "ask")] == ["gate", "rejection", "gate", "gate"]

    def test_decisions_give_json_and_the_graph_routes(self) -> None:
        flow = workflow(
            Node("ask", Approval("Which?", decisions=(Decision("approve"), Decision("defer")))),
            Node("later", BASH, depends_on=("ask",), when=parse_condition("$ask.output.decision == 'defer'")),
            Node("now", BASH, depends_on=("ask",), when=parse_condition("$ask.output.decision == 'approve'")),
        )
        run = Simulation(flow, {"ask": gate}).run()
        answer = requests.answer(run.state, "ask", "defer", at=5, text='say "x"', by=BY)
        run.request(answer).resume()
        output = run.state.nodes["ask"].output
        assert output is not None
        assert json.loads(output.text or "") == {"decision": "defer", "text": 'say "x"'}
        assert run.statuses() == {"ask": "completed", "later": "completed", "now": "skipped"}

    def test_two_gates_are_open_at_once_and_one_must_be_named(self) -> None:
        flow = workflow(Node("a", Approval("A?")), Node("b", Approval("B?")))
        run = Simulation(flow, {"a": gate, "b": gate}).run()
        with pytest.raises(UsageError, match="2 gates are open: a, b"):
            requests.answer(run.state, None, "approve", at=1, text="", by=BY)
        approved(run, "b")
        assert run.statuses() == {"a": "waiting", "b": "completed"}
        assert run.state.status == "paused"
        approved(run)
        assert run.state.status == "completed"

    def test_a_gate_is_answered_once(self) -> None:
        run = Simulation(workflow(Node("a", Approval("A?")), Node("b", Approval("B?"))), {"a": gate, "b": gate}).run()
        run.request(requests.answer(run.state, "a", "approve", at=1, text="", by=BY))
        with pytest.raises(RefusedError, match="answered already"):
            requests.answer(run.state, "a", "reject", at=2, text="", by=BY)

    def test_rejections_are_counted_per_gate(self) -> None:
        flow = workflow(
            Node("a", Approval("A?", on_reject=OnReject("mend", 2))),
            Node("b", Approval("B?", on_reject=OnReject("mend", 2))),
        )
        run = Simulation(flow, {"a": gate, "b": gate}).run()
        rejected(run, "a")
        rejected(run, "b")
        assert run.statuses() == {"a": "waiting", "b": "waiting"}


class TestLoop:
    def loop(self, **values: object) -> Node:
        return Node("loop", Loop(**{"max_iterations": 3, "prompt": "go", "until": "DONE", **values}))  # type: ignore[arg-type]

    def test_goes_on_until_the_signal_and_keeps_the_last_output(self) -> None:
        replies: list[Outcome] = [completed("one"), completed("two", signaled=True)]
        run = Simulation(workflow(self.loop()), {"loop": replies}).run()
        assert starts(run, "loop") == [("prompt", 1, 1), ("prompt", 2, 1)]
        node = run.state.nodes["loop"]
        assert (node.status, node.progress.iterations, node.output) == ("completed", 2, e.Content("two"))

    def test_max_iterations_fail_and_a_resume_starts_at_one(self) -> None:
        run = Simulation(workflow(self.loop())).run()
        error = run.state.nodes["loop"].error
        assert error is not None
        assert (error.code, error.message) == ("max_iterations", "3 iterations without the signal 'DONE'")
        run.resume()
        assert [iteration for _, iteration, _ in starts(run, "loop")] == [1, 2, 3, 1, 2, 3]

    def test_a_failed_turn_goes_on_with_that_iteration_and_the_previous_output(self) -> None:
        replies: list[Outcome] = [completed("one"), failed("refused"), completed("two", signaled=True)]
        run = Simulation(workflow(self.loop()), {"loop": replies}).run()
        assert run.state.status == "failed"
        assert run.state.nodes["loop"].last_output == e.Content("one")
        run.resume()
        assert [iteration for _, iteration, _ in starts(run, "loop")] == [1, 2, 2]
        assert run.state.status == "completed"

    def test_every_prefix_of_a_loop_goes_on_where_it_was(self) -> None:
        replies = [completed("1"), completed("2"), completed("3", signaled=True)]

        def answer(now: NodeState, turn: str) -> Outcome:
            return replies[now.progress.iteration - 1]

        whole = Simulation(workflow(self.loop()), {"loop": answer}).run()
        for died in range(1, len(whole.log)):
            run = Simulation(workflow(self.loop()), {"loop": answer}, list(whole.log[:died])).resume()
            finished = [ev.iteration for ev in run.log if isinstance(ev, e.IterationCompleted)]
            assert finished == [1, 2, 3]
            assert run.state.nodes["loop"].output == e.Content("3")

    def test_until_bash_is_asked_only_without_a_signal_and_its_verdict_counts(self) -> None:
        node = self.loop(until=None, until_bash=Shell("test -f done"))

        def answer(now: NodeState, turn: str) -> Outcome:
            return (
                Judged(now.progress.iteration == 2)
                if turn == "until_bash"
                else completed(f"reply {now.progress.iteration}")
            )

        run = Simulation(workflow(node), {"loop": answer}).run()
        assert [turn for turn, _, _ in starts(run, "loop")] == ["prompt", "until_bash", "prompt", "until_bash"]
        assert run.state.nodes["loop"].output == e.Content("reply 2")

    @pytest.mark.parametrize(
        ("ways", "signaled", "then"),
        [
            ({}, False, "until_bash"),
            ({"until": "X"}, False, "until_bash"),
            ({"until": "X"}, True, "node_completed"),
            ({"until_field": "f"}, False, "until_bash"),
            ({"until_field": "f"}, True, "node_completed"),
            ({"until_all": True}, False, "until_bash"),
            ({"until_all": True, "until": "X"}, False, "prompt"),
            ({"until_all": True, "until": "X"}, True, "until_bash"),
            ({"until_all": True, "until_field": "f"}, False, "prompt"),
            ({"until_all": True, "until_field": "f"}, True, "until_bash"),
        ],
    )
    def test_until_bash_is_asked_where_its_verdict_decides(
        self, ways: dict[str, object], signaled: bool, then: str
    ) -> None:
        """With `until_all` where nothing else speaks against the end, otherwise where nothing else brings it."""
        flow = workflow(self.loop(**{"until": None, "until_bash": Shell("check"), **ways}))
        reply = e.IterationCompleted(2, "loop", 1, e.Reply(e.Content("x")), signaled)
        log = [started(flow), e.NodeStarted(1, "loop", "prompt", iteration=1), reply]
        (next_one,) = Plan(flow, fold(log), 8).next_steps(3)
        assert (next_one.event.type if isinstance(next_one, Record) else next_one.turn) == then  # type: ignore[union-attr]

    def test_until_bash_cut_off_is_asked_again_without_asking_the_agent_again(self) -> None:
        node = self.loop(until=None, until_bash=Shell("test -f done"))

        def answer(now: NodeState, turn: str) -> Outcome:
            return Judged(done=True) if turn == "until_bash" else completed()

        whole = Simulation(workflow(node), {"loop": answer}).run()
        check = next(i for i, ev in enumerate(whole.log) if isinstance(ev, e.NodeStarted) and ev.turn == "until_bash")
        run = Simulation(workflow(node), {"loop": answer}, list(whole.log[: check + 1])).resume()
        assert [turn for turn, _, _ in starts(run, "loop")] == ["prompt", "until_bash", "until_bash"]

    def test_until_bash_that_times_out_fails_the_node_and_keeps_the_iteration(self) -> None:
        node = self.loop(until=None, until_bash=Shell("sleep 9"))

        def answer(now: NodeState, turn: str) -> Outcome:
            return Failed(e.Failure("timeout", "until_bash timed out")) if turn == "until_bash" else completed()

        run = Simulation(workflow(node), {"loop": answer}).run()
        assert run.state.nodes["loop"].status == "failed"
        assert run.state.nodes["loop"].progress.iterations == 1

    def interactive(self, signals: set[int], **values: object) -> Simulation:
        node = self.loop(interactive=True, gate_message="More?", **values)

        def answer(now: NodeState, turn: str) -> Outcome:
            return (
                GateOpened("More?")
                if turn == "gate"
                else completed(f"r{now.progress.iteration}", signaled=now.progress.iteration in signals)
            )

        return Simulation(workflow(node), {"loop": answer}).run()

    def test_interactive_waits_after_each_iteration_and_a_bare_approval_after_a_signal_finishes(self) -> None:
        run = self.interactive({1})
        assert run.state.status == "paused"
        assert run.state.nodes["loop"].gate is not None
        assert run.state.nodes["loop"].gate.signaled
        approved(run)
        assert run.state.status == "completed"
        assert [turn for turn, _, _ in starts(run, "loop")] == ["prompt", "gate"]

    def test_interactive_approval_with_a_comment_runs_another_iteration(self) -> None:
        run = approved(self.interactive({1, 2}), comment="change x")
        assert run.state.nodes["loop"].progress.user_input == "change x"
        assert [(t, i) for t, i, _ in starts(run, "loop")] == [("prompt", 1), ("gate", 1), ("prompt", 2), ("gate", 2)]
        approved(run)
        assert run.state.nodes["loop"].output == e.Content("r2")

    def test_interactive_without_a_signal_goes_on_after_a_bare_approval(self) -> None:
        run = approved(self.interactive({2}))
        assert run.state.status == "paused"
        assert run.state.nodes["loop"].progress.iterations == 2

    def test_signal_completes_skips_the_gate(self) -> None:
        assert self.interactive({1}, signal_completes=True).state.status == "completed"

    def test_interactive_rejection_cancels_the_run(self) -> None:
        assert rejected(self.interactive(set())).state.status == "cancelled"

    def test_interactive_last_iteration_without_a_signal_exhausts_the_loop(self) -> None:
        run = approved(self.interactive(set(), max_iterations=1))
        assert run.state.nodes["loop"].error is not None
        assert run.state.nodes["loop"].error.code == "max_iterations"


class TestRetry:
    def test_an_agent_is_asked_twice_more_on_a_transient_error_with_doubling_delays(self) -> None:
        flow = workflow(Node("ask", Prompt("hi")))
        run = Simulation(flow, {"ask": [failed("rate_limited"), failed("timeout"), completed("yes")]}).run()
        waits = [ev.due_at - ev.at for ev in run.log if isinstance(ev, e.NodeRetrying)]
        assert waits == [3000, 6000]
        assert run.state.nodes["ask"].output == e.Content("yes")
        assert run.state.nodes["ask"].attempts == 3

    def test_an_agent_that_fails_a_third_time_has_failed(self) -> None:
        run = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": failed("timeout")}).run()
        assert (run.state.nodes["ask"].status, run.state.nodes["ask"].attempts) == ("failed", 3)

    @pytest.mark.parametrize("code", ["not_logged_in", "not_found", "refused", "cancelled"])
    def test_fatal_errors_are_never_tried_again(self, code: str) -> None:
        flow = workflow(Node("ask", Prompt("hi"), retry=Retry(3, on_error="all")))
        run = Simulation(flow, {"ask": failed(code)}).run()
        assert run.state.nodes["ask"].attempts == 1

    def test_an_exit_status_is_tried_again_only_with_all(self) -> None:
        for on_error, attempts in (("all", 3), ("transient", 1)):
            flow = workflow(Node("b", BASH, retry=Retry(2, 1000, on_error)))
            run = Simulation(flow, {"b": failed("exit-status", "permission denied, 401, processed 403 rows")}).run()
            assert run.state.nodes["b"].attempts == attempts

    def test_bash_without_retry_is_tried_once(self) -> None:
        run = Simulation(workflow(Node("b", BASH)), {"b": failed("timeout")}).run()
        assert run.state.nodes["b"].attempts == 1

    def test_a_waiting_retry_holds_no_slot_and_other_nodes_go_on(self) -> None:
        flow = workflow(
            Node("a", BASH, retry=Retry(1, 60_000, "all")), Node("b", BASH), Node("c", BASH, depends_on=("b",))
        )
        run = Simulation(flow, {"a": [failed(), completed()]}, slots=1).run()
        assert [node for node, _ in run.carried_out] == ["a", "b", "c", "a"]

    def test_a_resume_in_the_delay_keeps_what_is_left_of_it(self) -> None:
        flow = workflow(Node("a", BASH, retry=Retry(1, 50_000, "all")))
        whole = Simulation(flow, {"a": [failed(), completed()]}).run()
        at = next(i for i, ev in enumerate(whole.log) if isinstance(ev, e.NodeRetrying))
        run = Simulation(flow, {"a": [failed(), completed()]}, list(whole.log[: at + 1])).resume()
        retrying = whole.log[at]
        assert isinstance(retrying, e.NodeRetrying)
        assert [ev.at for ev in run.log if isinstance(ev, e.NodeStarted)][-1] in (retrying.due_at, retrying.due_at + 1)

    def test_a_reply_that_does_not_fit_is_asked_again_twice_at_once_and_then_fails(self) -> None:
        bad = Failed(e.Failure("bad_output", "no"), reask=("x is missing",))
        run = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": bad}).run()
        retries = [ev for ev in run.log if isinstance(ev, e.NodeRetrying)]
        assert [ev.reask for ev in retries] == [("x is missing",)] * 2
        assert all(ev.due_at == ev.at for ev in retries)
        assert run.state.nodes["ask"].status == "failed"
        good = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": [bad, bad, completed("{}")]}).run()
        assert good.state.status == "completed"

    def test_a_reply_that_never_fits_is_no_failure_to_try_again(self) -> None:
        """Also where all failures are: it was asked again already."""
        bad = Failed(e.Failure("bad_output", "no"), reask=("x is missing",))
        flow = workflow(Node("ask", Prompt("hi"), retry=Retry(5, on_error="all")))
        run = Simulation(flow, {"ask": bad}).run()
        assert starts(run, "ask") == [("prompt", 0, attempt) for attempt in (1, 2, 3)]
        assert run.state.nodes["ask"].error == bad.error

    def test_a_reply_that_is_empty_is_tried_again_where_all_failures_are(self) -> None:
        """It has nothing to correct."""
        flow = workflow(Node("ask", Prompt("hi"), retry=Retry(1, on_error="all")))
        run = Simulation(flow, {"ask": failed("bad_output")}).run()
        assert len(starts(run, "ask")) == 2


class TestPendingPrompts:
    pending = PromptOpened(e.Content("hi"), key="run/ask")

    def outcome(self, now: NodeState, turn: str) -> Outcome:
        return completed(now.answer.output.text or "") if now.answer else self.pending

    def test_waits_for_the_host_and_completes_with_the_answer(self) -> None:
        run = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": self.outcome}).run()
        assert run.state.status == "paused"
        answer = requests.submit(run.state, "ask", e.Content("42"), at=9, by=BY)
        assert answer is not None
        run.request(answer).resume()
        assert run.state.nodes["ask"].output == e.Content("42")
        assert run.state.nodes["ask"].attempts == 1

    def test_the_same_answer_again_changes_nothing_and_another_is_refused(self) -> None:
        run = Simulation(
            workflow(Node("ask", Prompt("hi")), Node("b", Approval("?"))), {"ask": self.outcome, "b": gate}
        ).run()
        answer = requests.submit(run.state, "ask", e.Content("42"), at=9, by=BY)
        assert answer is not None
        run.request(answer).resume()
        assert requests.submit(run.state, "ask", e.Content("42"), at=9, by=BY, last=answer) is None
        with pytest.raises(RefusedError, match="differently"):
            requests.submit(run.state, "ask", e.Content("43"), at=9, by=BY, last=answer)

    def test_a_resume_with_an_agent_takes_the_prompt_over(self) -> None:
        def answer(now: NodeState, turn: str) -> Outcome:
            return completed("from the agent") if now.attempts > 1 else self.pending

        run = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": answer}).run()
        request = run.state.nodes["ask"].prompt
        assert request is not None
        run.resume(agent="claude")
        assert run.state.status == "completed"
        with pytest.raises(RefusedError):
            requests.submit(run.state, "ask", e.Content("late"), at=9, by=BY, request=request.request)

    def test_an_answer_belongs_to_the_attempt_that_asked(self) -> None:
        """A first reply does not fit; the host is asked again, and its second reply is read as the second attempt."""
        replies = {"no": Failed(e.Failure("bad_output", "no"), reask=("x is missing",))}

        def outcome(now: NodeState, turn: str) -> Outcome:
            return replies.get(now.answer.output.text or "", completed()) if now.answer else self.pending

        run = Simulation(workflow(Node("ask", Prompt("hi"))), {"ask": outcome}).run()
        for text, attempt in (("no", 1), ("yes", 2)):
            pending = run.state.nodes["ask"].prompt
            assert pending is not None
            assert pending.attempt == attempt
            answer = requests.submit(run.state, "ask", e.Content(text), at=9, by=BY)
            assert answer is not None
            run.request(answer).resume()
        assert starts(run, "ask") == [("prompt", 0, 1), ("answer", 0, 1), ("prompt", 0, 2), ("answer", 0, 2)]
        assert (run.state.status, run.state.nodes["ask"].attempts) == ("completed", 2)

    def rework(self, now: NodeState, turn: str) -> Outcome:
        return gate(now, turn) if turn == "gate" else self.outcome(now, turn)

    def test_a_rework_that_the_host_wrote_leaves_nothing_that_keeps_the_gate_from_its_answer(self) -> None:
        flow = workflow(Node("ask", Approval("Go?", on_reject=OnReject("Mend it"))))
        run = rejected(Simulation(flow, {"ask": self.rework}).run())
        answer = requests.submit(run.state, "ask", e.Content("better"), at=9, by=BY)
        assert answer is not None
        run.request(answer).resume()
        assert [turn for turn, _, _ in starts(run, "ask")] == ["gate", "rejection", "answer", "gate"]
        assert run.state.nodes["ask"].answer is None
        assert approved(run).state.status == "completed"

    def test_a_host_whose_answer_was_cut_off_is_not_asked_again(self) -> None:
        """The answer is read again: it is kept until a turn has acted on it."""
        flow = workflow(Node("ask", Approval("Go?", on_reject=OnReject("Mend it"))))
        run = rejected(Simulation(flow, {"ask": self.rework}).run())
        answer = requests.submit(run.state, "ask", e.Content("better"), at=9, by=BY)
        assert answer is not None
        run.request(answer)
        run.die_after = len(run.log) + 2
        run.resume()
        assert run.log[-1] == e.NodeStarted(run.log[-1].at, "ask", "answer", 1, 1)
        run.die_after = None
        run.resume()
        assert [turn for turn, _, _ in starts(run, "ask")] == ["gate", "rejection", "answer", "answer", "gate"]


class TestEnds:
    def test_cancel_stops_what_runs_skips_the_rest_and_closes_gates(self) -> None:
        flow = workflow(
            Node("gate", Approval("?")), Node("run", BASH), Node("later", BASH, depends_on=("run",)), Node("done", BASH)
        )
        run = Simulation(flow, {"gate": gate}, die_after=6).run()
        run.die_after = None
        run.request(requests.cancel(run.state, at=5, reason="enough", by=BY)).resume()
        assert run.state.status == "cancelled"
        assert set(run.statuses().values()) <= {"completed", "cancelled", "skipped"}
        assert run.state.nodes["later"].reason == "cancelled"
        assert run.log[-1].type == "workflow_cancelled"

    def test_cancelling_an_interrupted_run_keeps_what_failed_as_failed(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH), Node("c", BASH))
        run = Simulation(flow, {"a": failed()}, slots=1, die_after=4).run()
        run.die_after = None
        run.request(requests.cancel(run.state, at=5, reason="enough", by=BY)).resume()
        assert run.statuses() == {"a": "failed", "b": "skipped", "c": "skipped"}
        assert run.state.status == "cancelled"

    def test_a_cancel_node_ends_the_run_as_cancelled(self) -> None:
        flow = workflow(Node("stop", Cancel("not needed")), Node("later", BASH, depends_on=("stop",)))
        run = Simulation(flow, {"stop": completed("not needed")}).run()
        assert (run.state.status, run.state.reason) == ("cancelled", "not needed")
        assert run.statuses() == {"stop": "completed", "later": "skipped"}

    def test_fail_fast_stops_the_others_and_the_rest_is_skipped_with_that_reason(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH), Node("c", BASH, depends_on=("b",)), fail_fast=True)
        run = Simulation(flow, {"a": failed()}).run()
        assert run.state.status == "failed"
        assert run.statuses() == {"a": "failed", "b": "cancelled", "c": "skipped"}
        assert run.state.nodes["c"].reason == "fail_fast"

    def test_without_fail_fast_independent_nodes_go_on(self) -> None:
        run = Simulation(workflow(Node("a", BASH), Node("b", BASH)), {"a": failed()}).run()
        assert run.statuses() == {"a": "failed", "b": "completed"}
        assert run.state.status == "failed"

    def test_the_runs_timeout_stops_it_and_a_resume_has_the_whole_time_again(self) -> None:
        flow = workflow(Node("a", BASH, retry=Retry(1, 60_000, "all")), timeout_ms=10_000)
        run = Simulation(flow, {"a": [failed(), completed()]}).run()
        assert run.state.error is not None
        assert run.state.error.code == "timeout"
        assert run.state.nodes["a"].status == "cancelled"
        run.resume()
        assert run.state.status == "completed"

    def test_the_runs_timeout_stands_still_while_it_is_paused(self) -> None:
        flow = workflow(Node("ask", Approval("?")), Node("b", BASH, depends_on=("ask",)), timeout_ms=10_000)
        run = Simulation(flow, {"ask": gate}).run()
        run.clock += 3_600_000
        approved(run)
        assert run.state.status == "completed"

    def test_a_handled_failure_still_fails_the_run(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",), trigger_rule="all_done"))
        run = Simulation(flow, {"a": failed()}).run()
        assert run.state.nodes["b"].status == "completed"
        assert run.state.status == "failed"

    def test_everything_skipped_is_a_failure(self) -> None:
        never = parse_condition("$INPUTS.x == 'y'")
        run = Simulation(workflow(Node("a", BASH, when=never)))
        run.log.append(e.WorkflowStarted(0, "test", "d", (("a", "bash"),), inputs={"x": "n"}))
        run.run()
        assert run.statuses() == {"a": "skipped"}
        assert run.state.error is not None
        assert run.state.error.code == "nothing-completed"

    def test_the_output_is_the_first_terminal_node_with_text_unless_returns_names_one(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",)), Node("c", BASH))
        outcomes = {"a": completed("A"), "b": completed("  \n"), "c": completed("C")}
        assert Simulation(flow, outcomes).run().state.output_node == "c"
        assert Simulation(replace(flow, returns="a"), outcomes).run().state.output_node == "a"

    def test_the_end_closes_open_gates_and_a_resume_asks_anew(self) -> None:
        flow = workflow(Node("g", Approval("?")), Node("a", BASH))
        run = Simulation(flow, {"g": gate}, die_after=4).run()
        run.die_after = None
        run.request(e.WorkflowFailed(9, e.Failure("poisoned", "five deaths")))
        assert requests.open_gates(run.state) == []
        run.resume()
        assert [node.gate.request for node in requests.open_gates(run.state) if node.gate] == ["g.2"]


class TestScheduling:
    def test_no_more_than_max_concurrency_run_and_file_order_decides(self) -> None:
        flow = workflow(*(Node(f"n{i}", BASH) for i in range(9)))
        run = Simulation(flow, slots=2).run()
        assert run.most_running == 2
        assert [node for node, _ in run.carried_out] == [f"n{i}" for i in range(9)]

    def test_gates_hold_no_slot(self) -> None:
        flow = workflow(Node("g", Approval("?")), Node("a", BASH))
        run = Simulation(flow, {"g": gate}, slots=1).run()
        assert run.statuses() == {"g": "waiting", "a": "completed"}

    def test_an_ordering_edge_waits_but_takes_no_part_in_the_rule(self) -> None:
        flow = workflow(Node("a", BASH), Node("b", BASH, order=("a",)))
        run = Simulation(flow, {"a": failed()}).run()
        assert [node for node, _ in run.carried_out] == ["a", "b"]
        assert run.statuses() == {"a": "failed", "b": "completed"}

    def test_a_condition_on_a_failed_producer_fails_the_node_loudly(self) -> None:
        when = parse_condition("$a.output == 'x'")
        flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",), trigger_rule="all_done", when=when))
        run = Simulation(flow, {"a": failed()}).run()
        error = run.state.nodes["b"].error
        assert error is not None
        assert error.code == "condition"
        assert "'a' failed" in error.message


def test_a_start_says_what_it_saw_of_those_before_it() -> None:
    """Logs are compared by it: it must stay the same from version to version."""
    flow = workflow(Node("a", BASH), Node("b", BASH), Node("c", BASH, depends_on=("b",)))
    rest = Node("d", BASH, depends_on=("a", "b", "c"), trigger_rule="all_done")
    run = Simulation(workflow(*flow.nodes, rest), {"b": failed()}).run()
    digest = e.Content("ok").sha256[:16]
    assert run.state.nodes["d"].inputs == {"a": f"completed:{digest}", "b": "failed", "c": "upstream_failed"}


class TestResume:
    def test_a_completed_node_whose_dependency_gives_the_same_value_is_kept(self) -> None:
        run = self.with_always_run([completed("same"), completed("same")])
        assert starts(run, "b") == [("bash", 0, 1)]
        assert run.state.status == "completed"

    def test_a_completed_node_whose_dependency_gives_another_value_runs_again_and_says_why(self) -> None:
        run = self.with_always_run([completed("old"), completed("new")])
        assert len(starts(run, "b")) == 2
        reasons = [(ev.node, ev.reason, ev.dependency) for ev in run.log if isinstance(ev, e.NodeInvalidated)]
        assert reasons == [("a", "always_run", None), ("b", "dependency", "a")]

    def with_always_run(self, values: list[Completed]) -> Simulation:
        flow = workflow(
            Node("a", BASH, always_run=True), Node("b", BASH, depends_on=("a",)), Node("c", BASH, depends_on=("b",))
        )
        run = Simulation(flow, {"a": list(values), "c": [failed(), completed()]}).run()
        assert run.state.status == "failed"
        return run.resume()

    def test_an_always_run_node_that_did_not_complete_is_not_invalidated(self) -> None:
        run = Simulation(workflow(Node("a", BASH, always_run=True)), {"a": [failed(), completed()]}).run().resume()
        assert run.types("a") == ["node_started", "node_failed", "node_started", "node_completed"]

    def test_a_gate_is_not_decided_while_what_it_waits_for_runs_again(self) -> None:
        flow = workflow(Node("a", BASH, always_run=True), Node("g", Approval("?"), depends_on=("a",)), Node("b", BASH))
        run = Simulation(flow, {"g": gate}, die_after=6).run()
        assert run.statuses() == {"a": "completed", "g": "waiting", "b": "running"}
        plan = Plan(flow, run.state, 8)
        for event in resume_events(flow, run.state, cause="resume", at=9, by={}):
            plan.advance(event)
        assert [command.node for command in plan.next_steps(9) if isinstance(command, StartTurn)] == ["a", "b"]
        plan.advance(e.NodeStarted(9, "a", "bash"))
        plan.advance(requests.answer(plan.state, "g", "approve", at=9, text="", by=BY))
        assert [command for command in plan.next_steps(9) if isinstance(command, Record)] == []

    def test_an_answer_is_no_resume_and_runs_no_always_run_node_again(self) -> None:
        flow = workflow(Node("a", BASH, always_run=True), Node("g", Approval("?"), depends_on=("a",)))
        run = approved(Simulation(flow, {"g": gate}).run())
        assert len(starts(run, "a")) == 1

    def test_a_skipped_node_is_judged_again(self) -> None:
        when = parse_condition("$a.output == 'go'")
        flow = workflow(
            Node("a", BASH, always_run=True),
            Node("b", BASH, depends_on=("a",), when=when),
            Node("c", BASH, depends_on=("a",)),
        )
        run = Simulation(flow, {"a": [completed("no"), completed("go")], "c": [failed(), completed()]}).run()
        assert run.state.nodes["b"].status == "skipped"
        run.resume()
        assert run.state.nodes["b"].status == "completed"

    def test_a_node_that_ran_after_a_skip_is_decided_again_once_a_failure_is_its_cause(self) -> None:
        rule = "none_failed_min_one_success"
        flow = workflow(
            Node("a", BASH, always_run=True),
            Node("b", BASH, depends_on=("a",), when=parse_condition("$a.output == 'go'")),
            Node("ok", BASH),
            Node("c", BASH, depends_on=("b", "ok"), trigger_rule=rule),
            Node("d", BASH, depends_on=("c",), trigger_rule=rule),
            Node("broken", BASH),
        )
        run = Simulation(flow, {"a": [completed("no"), failed()], "broken": failed()}).run()
        assert (run.state.nodes["b"].reason, run.statuses()["d"]) == ("when", "completed")
        run.resume()
        assert [run.state.nodes[node].reason for node in "bcd"] == ["upstream_failed"] * 3

    @pytest.mark.parametrize("ended", ["completed", "cancelled"])
    def test_an_ended_run_is_refused(self, ended: str) -> None:
        node = Node("a", BASH) if ended == "completed" else Node("a", Cancel("x"))
        run = Simulation(workflow(node)).run()
        with pytest.raises(RefusedError, match=ended) as refused:
            run.resume()
        assert (refused.value.error_code, refused.value.hint) == ("ended", "ion rerun runs it again, as a new run")

    @pytest.mark.parametrize("rule", TRIGGER_RULES)
    def test_a_node_that_depends_on_nothing_runs_by_every_rule(self, rule: str) -> None:
        run = Simulation(workflow(Node("a", Command("c"), trigger_rule=rule))).run()
        assert starts(run, "a") == [("prompt", 0, 1)]

    def test_a_run_in_which_nothing_completed_can_be_resumed(self) -> None:
        run = Simulation(workflow(Node("a", BASH)), {"a": [failed(), completed()]}).run()
        assert run.resume().state.status == "completed"


def test_a_run_knows_the_cluster_that_drives_it() -> None:
    flow = workflow(Node("a", BASH))
    assert Simulation(flow, log=[started(flow, engine="temporal://x")]).state.engine == "temporal://x"
    assert (Simulation(flow, log=[started(flow)]).state.engine, Simulation(flow).state.engine) == (None, None)


class TestDeaths:
    """Owners that died one after the other: only in a row, with nothing settling in between, they end the run."""

    flow = workflow(Node("a", BASH), Node("b", BASH, depends_on=("a",)))

    def killed(self, log: list[e.Event], times: int) -> Simulation:
        """The run after so many owners more that died."""
        run = Simulation(self.flow, log=list(log))
        for _ in range(times):
            run.log += resume_events(self.flow, run.state, cause="resume", at=10, by={}, owner_died=True)
        return run

    def test_the_fifth_in_a_row_ends_it_and_says_what_ran(self) -> None:
        run = self.killed([started(self.flow)], 4)
        assert run.state.status == "running"
        run = self.killed([*run.log, e.NodeStarted(11, "a", "bash")], 1)
        error = run.state.error
        assert error is not None
        assert (error.code, error.hint) == ("poisoned", "ion resume tries once more")
        assert error.message == "5 processes died one after the other while they drove this run (a was running)"
        idle = self.killed([started(self.flow)], 5).state.error
        assert idle is not None
        assert idle.message.endswith("(nothing was running)")
        assert run.resume().state.status == "completed"

    @pytest.mark.parametrize(
        "then",
        [
            e.NodeCompleted(5, "a", e.Reply(e.Content(""))),
            e.NodeFailed(5, "a", e.Failure("exit-status", "")),
            e.NodeSkipped(5, "a", "timeout"),
            e.NodeRetrying(5, "a", e.Failure("timeout", ""), 6),
            e.IterationCompleted(5, "a", 1, e.Reply(e.Content(""))),
            e.ApprovalRequested(5, "a", "a.1", "?"),
            e.PromptRequested(5, "a", "a.1", e.Content("")),
        ],
        ids=lambda event: event.type,
    )
    def test_what_settles_in_between_begins_the_row_anew(self, then: e.Event) -> None:
        log = [*self.killed([started(self.flow)], 4).log, e.NodeStarted(11, "a", "bash")]
        assert self.killed(log, 1).state.status == "failed"
        assert self.killed([*log, then], 4).state.status == "running"

    def test_a_skip_that_is_decided_anew_each_time_is_no_progress(self) -> None:
        log = self.killed([started(self.flow)], 4).log
        assert self.killed([*log, e.NodeSkipped(5, "b", "when")], 1).state.status == "failed"

    def test_an_owner_that_let_go_begins_the_row_anew(self) -> None:
        run = self.killed([started(self.flow)], 4)
        run.log += resume_events(self.flow, run.state, cause="resume", at=11, by={})
        assert run.state.status == "running"
        assert self.killed(run.log, 4).state.status == "running"


class TestSessions:
    flow = workflow(
        Node("a", Prompt("1")),
        Node("b", Prompt("2"), depends_on=("a",), continues="a"),
        Node("c", Prompt("3"), depends_on=("b",), continues="b"),
    )

    def session(self, run: Simulation, node: str) -> tuple[str | None, str | None]:
        return session_for(templates_of(self.flow)[node], run.state, run.state.nodes[node], TOP)

    def test_a_node_goes_on_with_the_session_before(self) -> None:
        run = Simulation(self.flow, {"a": completed(session="s1", agent="claude")}).run()
        assert self.session(run, "b") == ("s1", "claude")

    def test_the_first_and_what_no_completed_node_comes_before_are_fresh(self) -> None:
        run = Simulation(self.flow, {"a": failed("refused")}).run()
        assert (self.session(run, "a"), self.session(run, "b"), self.session(run, "c")) == (FRESH, FRESH, FRESH)

    def test_a_skipped_node_hands_on_what_it_would_have_continued(self) -> None:
        never = parse_condition("$a.output == 'never'")
        self.flow = workflow(self.flow.nodes[0], replace(self.flow.nodes[1], when=never), self.flow.nodes[2])
        run = Simulation(self.flow, {"a": completed(session="s1", agent="claude")}).run()
        assert run.state.nodes["b"].status == "skipped"
        assert self.session(run, "c") == ("s1", "claude")

    def test_a_reply_that_is_asked_for_again_has_a_session_of_its_own(self) -> None:
        """A retry after a failure does not."""
        bad = Failed(e.Failure("bad_output", "no"), reask=("x is missing",))
        for outcome, expected in ((bad, FRESH), (failed("timeout"), ("s1", "claude"))):
            run = Simulation(self.flow, {"a": completed(session="s1", agent="claude"), "b": outcome}, die_after=6).run()
            assert run.types("b") == ["node_started", "node_retrying", "node_started"]
            assert self.session(run, "b") == expected

    def test_a_loop_continues_its_own_session_unless_fresh(self) -> None:
        for fresh, expected in ((False, ("s1", "claude")), (True, FRESH)):
            loop = Node("loop", Loop(2, prompt="go", until="X", fresh_context=fresh))
            flow = workflow(loop)
            run = Simulation(flow, {"loop": completed(session="s1", agent="claude")}, die_after=4).run()
            assert session_for(templates_of(flow)["loop"], run.state, run.state.nodes["loop"], TOP) == expected
