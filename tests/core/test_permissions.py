"""Permissions that agents ask for in the middle of a turn: who waits, what an answer does, what is remembered and for
how long, and what of it survives the death of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from simulate import Simulation, completed, failed, started, workflow

from ion import codec
from ion.core import events as e
from ion.core import requests
from ion.core.apply_outcome import apply_outcome, permissions_asked
from ion.core.commands import AgentLimits, Record
from ion.core.decide import StartTurn
from ion.core.fold import apply, fold
from ion.core.outcomes import Outcome, Question, Unpermitted
from ion.core.plan import Plan
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState, Running, RunState, Verdict, Waiting
from ion.errors import RefusedError, UsageError
from ion.language.workflow import Approval, Bash, Loop, Node, OnReject, Prompt, Shell

KINDS = ("allow_once", "allow_always", "reject_once")
RM = Question("rm -rf build", "may I run rm -rf build?", KINDS, KINDS)
PUSH = Question("git push", "may I push?", KINDS, KINDS)
BY: dict[str, Any] = {"user": "ana"}


def needs(*questions: Question) -> Callable[[NodeState, str], Outcome]:
    """An agent that continues only once each of these is answered."""

    def answer(now: NodeState, _turn: str) -> Outcome:
        missing = tuple(question for question in questions if question.key not in now.tries.verdicts)
        if missing:
            return Unpermitted(missing)
        return completed(", ".join(f"{key}: {verdict.decision}" for key, verdict in now.tries.verdicts.items()))

    return answer


def answer(run: Simulation, decision: str, *, node: str | None = None, request: str | None = None) -> None:
    if node is None:
        run.request(requests.answer(run.state, None, "approve", at=5, text="", by=BY, request=request))
    else:
        run.request(requests.answer(run.state, node, decision, at=5, text="", by=BY, request=request))


class TestAsked:
    flow = workflow(Node("fix", Prompt("fix it")), Node("test", Bash(Shell("true"))))

    def test_the_node_waits_others_go_on_and_the_run_pauses(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM)}).run()
        assert run.state.status == "paused"
        assert run.statuses() == {"fix": "waiting", "test": "completed"}
        node, gate = requests.open_questions(run.state)[0]
        assert (node.id, gate.kind, gate.request, gate.message) == ("fix", "permission", "fix.1", RM.message)
        assert resume_cause(run.state, agent=None) is None

    def test_the_answer_is_there_when_the_prompt_is_asked_again(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM)}).run()
        answer(run, "approve")
        assert resume_cause(run.state, agent=None) == "answer"
        run.resume()
        assert run.state.status == "completed"
        assert run.state.nodes["fix"].output == e.Content("rm -rf build: allow_once")
        assert run.carried_out.count(("fix", "prompt")) == 2

    def test_with_several_questions_all_are_waited_for(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM, PUSH)}).run()
        with pytest.raises(UsageError, match=r"asks for 2 permissions: fix\.1, fix\.2") as refused:
            answer(run, "approve", node="fix")
        assert refused.value.hint == "name one: --request"
        answer(run, "reject", node="fix", request="fix.2")
        assert resume_cause(run.state, agent=None) is None
        answer(run, "allow_always", node="fix")
        run.resume()
        assert run.state.nodes["fix"].output == e.Content("git push: reject_once, rm -rf build: allow_always")

    def test_several_nodes_ask_at_once(self) -> None:
        flow = workflow(Node("a", Prompt("x")), Node("b", Prompt("y")))
        run = Simulation(flow, {"a": needs(RM), "b": needs(PUSH)}).run()
        with pytest.raises(UsageError, match="2 gates are open: a, b"):
            requests.answer(run.state, None, "approve", at=5, text="", by=BY)
        answer(run, "approve", node="b")
        run.resume()
        assert run.statuses() == {"a": "waiting", "b": "completed"}
        assert run.state.status == "paused"

    def test_it_is_answered_once(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM)}).run()
        answer(run, "approve")
        with pytest.raises(RefusedError) as caught:
            answer(run, "approve", node="fix")
        assert caught.value.error_code == "answered"
        with pytest.raises(RefusedError):
            answer(run, "approve", request="fix.1")

    def test_an_answer_is_for_the_turn_that_asked(self) -> None:
        """The next iteration of a loop asks again."""
        flow = workflow(Node("loop", Loop(2, prompt="go", until="DONE")))
        asked: list[int] = []

        def turn(now: NodeState, _turn: str) -> Outcome:
            if RM.key not in now.tries.verdicts:
                asked.append(now.progress.iteration)
                return Unpermitted((RM,))
            return completed("ok", signaled=now.progress.iteration == 2)

        run = Simulation(flow, {"loop": turn}).run()
        answer(run, "approve")
        run.resume()
        assert run.state.status == "paused"
        answer(run, "approve")
        run.resume()
        assert (run.state.status, asked) == ("completed", [1, 2])

    def test_the_rework_after_a_rejection_may_ask_too(self) -> None:
        flow = workflow(Node("gate", Approval("ok?", on_reject=OnReject("mend", 3))))

        def turn(now: NodeState, turn: str) -> Outcome:
            from ion.core.outcomes import GateOpened

            return GateOpened("ok?") if turn == "gate" else needs(RM)(now, turn)

        run = Simulation(flow, {"gate": turn}).run()
        run.request(requests.answer(run.state, None, "reject", at=5, text="no", by=BY)).resume()
        assert [gate.kind for _, gate in requests.open_questions(run.state)] == ["permission"]
        answer(run, "approve")
        run.resume()
        assert [gate.kind for _, gate in requests.open_questions(run.state)] == ["approval"]

    def test_an_answer_does_not_use_up_retries(self) -> None:
        outcomes: list[Outcome] = [failed("crashed"), failed("crashed"), Unpermitted((RM,)), completed()]
        run = Simulation(self.flow, {"fix": outcomes}).run()
        assert run.state.nodes["fix"].tries.retries == 2
        answer(run, "approve")
        run.resume()
        assert run.state.status == "completed"

    def test_cancelling_closes_it(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM)}).run()
        run.request(requests.cancel(run.state, at=5, reason="enough", by=BY)).resume()
        assert run.state.status == "cancelled"
        assert requests.open_questions(run.state) == []

    def test_another_agent_begins_anew(self) -> None:
        run = Simulation(self.flow, {"fix": needs(RM)}).run()
        assert resume_cause(run.state, agent="other") == "answer"
        run.outcomes = {"fix": completed("done by the other")}
        run.resume(agent="other")
        assert run.state.status == "completed"

    def test_usage_of_the_ended_turn_counts(self) -> None:
        run = Simulation(self.flow, {"fix": Unpermitted((RM,), {"output_tokens": 7})}).run()
        assert run.state.nodes["fix"].usage == {"output_tokens": 7}


class TestHeld:
    """The turn continues while its question is open."""

    flow = workflow(Node("fix", Prompt("fix it")), Node("test", Prompt("test it")))

    def begun(self, slots: int = 2) -> tuple[Plan, list[e.Event]]:
        log: list[e.Event] = [started(self.flow), e.NodeStarted(1, "fix", "prompt")]
        plan = Plan(self.flow, fold(log), slots)
        for event in permissions_asked(plan.state.nodes["fix"], [RM], 2, held=True):
            plan.advance(event)
            log.append(event)
        return plan, log

    def test_the_node_runs_on_without_a_slot(self) -> None:
        plan, _ = self.begun(slots=1)
        assert plan.state.nodes["fix"].status == "running"
        assert [step.node for step in plan.next_steps(3)] == ["test"]  # type: ignore[union-attr]

    def test_the_answer_reaches_it(self) -> None:
        plan, _ = self.begun()
        plan.advance(requests.answer(plan.state, "fix", "approve", at=3, text="", by=BY))
        now = plan.state.nodes["fix"]
        assert now.tries.verdicts == {RM.key: Verdict("allow_once", "allow_once")}
        assert now.phase == Running("prompt", since=1)
        for event in apply_outcome(self.flow, plan.state, "fix", completed(), 4, 0.0):
            plan.advance(event)
        assert now.status == "completed"

    def test_asking_the_same_again_opens_nothing_new(self) -> None:
        plan, _ = self.begun()
        now = plan.state.nodes["fix"]
        assert permissions_asked(now, [RM, RM], 3, held=True) == []
        assert [event.request for event in permissions_asked(now, [RM, PUSH, PUSH], 3, held=True)] == ["fix.2"]

    def test_held_no_longer_it_keeps_its_name(self) -> None:
        plan, _ = self.begun()
        events = apply_outcome(self.flow, plan.state, "fix", Unpermitted((RM,)), 3, 0.0)
        assert [(event.type, event.request) for event in events] == [("approval_requested", "fix.1")]  # type: ignore[attr-defined]
        for event in events:
            plan.advance(event)
        assert plan.state.nodes["fix"].status == "waiting"
        assert plan.state.nodes["fix"].asked == 1

    def answered_while_it_ended(self) -> Plan:
        plan, _ = self.begun()
        plan = Plan(self.flow, plan.state, 8, AgentLimits({"fix": "claude", "test": "claude"}))
        plan.advance(requests.answer(plan.state, "fix", "reject", at=3, text="", by=BY))
        for event in apply_outcome(plan.workflow, plan.state, "fix", Unpermitted((RM,), {"cost_usd": 1}), 4, 0.0):
            plan.advance(event)
        return plan

    def test_answered_just_before_the_turn_was_ended_it_begins_again_at_once(self) -> None:
        plan = self.answered_while_it_ended()
        start = plan.next_steps(4)[0]
        assert isinstance(start, StartTurn)
        assert (start.node, start.turn, start.attempt) == ("fix", "prompt", 2)
        plan.advance(start.event(4))
        now = plan.state.nodes["fix"]
        assert now.tries.verdicts == {RM.key: Verdict("reject_once", "reject_once")}
        assert (now.tries.retries, now.progress.spent_usd) == (0, 1)

    def test_it_begins_again_only_if_there_is_money_left(self) -> None:
        plan = self.answered_while_it_ended()
        plan.advance(e.BudgetRaised(4, 1))
        assert plan.next_steps(4) == [Record(e.WorkflowPaused(4, over_budget=True), "the budget is spent")]

    def test_the_process_dies_the_node_waits_and_is_asked_again_with_the_answer(self) -> None:
        _, log = self.begun()
        run = Simulation(self.flow, {"fix": needs(RM)}, log).resume()
        assert run.state.status == "paused"
        assert run.carried_out == [("test", "prompt")]
        answer(run, "approve")
        run.resume()
        assert run.state.status == "completed"
        assert run.carried_out == [("test", "prompt"), ("fix", "prompt")]

    def test_answered_while_nobody_drives(self) -> None:
        _, log = self.begun()
        run = Simulation(self.flow, {"fix": needs(RM)}, log)
        answer(run, "approve")
        run.resume()
        assert run.state.status == "completed"
        assert run.carried_out.count(("fix", "prompt")) == 1

    def test_a_retry_waits_for_its_time_and_for_no_answer(self) -> None:
        plan, _ = self.begun()
        for event in apply_outcome(self.flow, plan.state, "fix", failed("crashed"), 3, 0.0):
            plan.advance(event)
        due = plan.state.nodes["fix"].retry_at
        assert due is not None
        assert [(c.node, c.attempt) for c in plan.next_steps(due) if isinstance(c, StartTurn)] == [
            ("fix", 2),
            ("test", 1),
        ]

    def test_a_retry_keeps_an_answer_and_drops_a_question(self) -> None:
        plan, _ = self.begun()
        for event in apply_outcome(self.flow, plan.state, "fix", failed("crashed"), 3, 0.0):
            plan.advance(event)
        now = plan.state.nodes["fix"]
        plan.advance(requests.answer(plan.state, "fix", "approve", at=4, text="", by=BY))
        assert (now.status, now.retry_at is None, list(now.tries.verdicts)) == ("waiting", False, [RM.key])
        plan.advance(e.NodeStarted(9, "fix", "prompt", 2))
        assert (list(now.tries.verdicts), now.permissions) == ([RM.key], {})


class TestDecisions:
    def asked(self, kinds: tuple[str, ...], decisions: tuple[str, ...] | None = None) -> RunState:
        flow = workflow(Node("fix", Prompt("x")))
        question = Question("k", "may I?", decisions or kinds, kinds)
        return Simulation(flow, {"fix": Unpermitted((question,))}).run().state

    @pytest.mark.parametrize(
        ("kinds", "approved", "rejected"),
        [
            (("allow_always", "allow_once", "reject_always", "reject_once"), "allow_once", "reject_once"),
            (("allow_always", "reject_always"), "allow_always", "reject_always"),
            (("allow_once",), "allow_once", "rejected"),
        ],
    )
    def test_approve_and_reject_take_the_narrowest(self, kinds: tuple[str, ...], approved: str, rejected: str) -> None:
        state = self.asked(kinds)
        assert requests.answer(state, "fix", "approve", at=5, text="", by=BY).decision == approved
        assert requests.answer(state, "fix", "reject", at=5, text="", by=BY).decision == rejected

    def test_what_is_not_offered_cannot_be_answered(self) -> None:
        state = self.asked(("reject_once",))
        with pytest.raises(UsageError, match="no decision 'approve'"):
            requests.answer(state, "fix", "approve", at=5, text="", by=BY)
        with pytest.raises(UsageError, match="no decision 'yes'"):
            requests.answer(state, "fix", "yes", at=5, text="", by=BY)

    def test_a_decision_whose_kind_the_agent_does_not_say_has_none(self) -> None:
        state = self.asked(("allow_once",), ("yes", "perhaps"))
        apply(state, requests.answer(state, "fix", "perhaps", at=5, text="", by=BY))
        assert state.nodes["fix"].tries.verdicts == {"k": Verdict("perhaps", "")}

    def test_a_name_cannot_turn_a_verb_around(self) -> None:
        """A decision that is called `reject` and allows is not what `reject` means."""
        state = self.asked(("allow_always", "reject_once"), ("reject", "approve"))
        assert requests.answer(state, "fix", "reject", at=5, text="", by=BY).decision == "approve"
        state = self.asked(("allow_always",), ("reject",))
        assert requests.answer(state, "fix", "reject", at=5, text="", by=BY).decision == "rejected"


@given(st.data())
def test_any_order_of_events_folds_and_never_leaves_a_node_between_two_states(data: st.DataObject) -> None:
    """Whatever is asked, answered, ended and cut off: a node that does not run and needs a permission waits, one whose
    permissions are all answered does not, and no request is open twice."""
    flow = workflow(Node("fix", Prompt("x")))
    state = fold([started(flow), e.NodeStarted(1, "fix", "prompt")])
    now = state.nodes["fix"]
    for at in range(2, data.draw(st.integers(3, 25))):
        questions = data.draw(st.lists(st.sampled_from([RM, PUSH]), min_size=1, max_size=3))
        step = data.draw(st.sampled_from(["hold", "end", "answer", "resume", "start", "fail"]))
        events: list[e.Event] = []
        if step == "hold" and now.live:
            events += permissions_asked(now, questions, at, held=True)
        elif step == "end" and now.live:
            events += apply_outcome(flow, state, "fix", Unpermitted(tuple(questions)), at, 0.0)
        elif step == "answer" and now.permissions:
            request = data.draw(st.sampled_from(list(now.permissions)))
            events.append(requests.answer(state, None, "approve", at=at, text="", by=BY, request=request))
        elif step == "resume":
            events += resume_events(flow, state, cause="answer", at=at, by={})
        elif step == "start" and not now.live and not (now.permissions and now.retry_at is None):
            events.append(e.NodeStarted(at, "fix", "prompt"))
        elif step == "fail" and now.live:
            events += apply_outcome(flow, state, "fix", failed("crashed"), at, 0.0)
        for event in events:
            apply(state, e.from_json(codec.to_json(event)))
        if now.terminal:
            assert not now.permissions
            return
        keys = [gate.key for gate in now.permissions.values()]
        assert len(keys) == len(set(keys))
        assert not now.tries.verdicts.keys() & set(keys)
        if now.permissions and not now.live and now.retry_at is None:
            assert now.phase == Waiting(now.requests)
        elif not now.live and now.retry_at is None:
            assert now.status == "pending"


def test_old_logs_know_nothing_of_permissions() -> None:
    event = e.from_json({"type": "approval_requested", "at": 1, "node": "a", "request": "a.1", "message": "ok?"})
    assert event == e.ApprovalRequested(1, "a", "a.1", "ok?")
    assert codec.to_json(event) == {
        "type": "approval_requested",
        "at": 1,
        "node": "a",
        "request": "a.1",
        "message": "ok?",
    }
    asked = replace(e.ApprovalRequested(1, "a", "a.1", "ok?", "permission"), kinds=KINDS, held=True, key="k")
    assert e.from_json(codec.to_json(asked)) == asked
