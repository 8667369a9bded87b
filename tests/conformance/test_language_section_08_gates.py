"""language.md §8 and §9: gates, and what is tried again, beyond the facts 71–78."""

from __future__ import annotations

import sys
import threading
import time

import pytest

import ion
from conformance.kit import Clock, World, agent, codes, error, output, statuses
from ion import AgentError, PromptRequest
from ion.core import events as e
from ion.errors import NotFoundError, RefusedError, UsageError
from processes import PATIENCE_S, until

TWO_GATES = """
    nodes:
      - {id: one, approval: {message: "One?", on_reject: {prompt: "Mend one: $REJECTION_REASON", max_attempts: 2}}}
      - {id: two, approval: {message: "Two?", on_reject: {prompt: "Mend two: $REJECTION_REASON", max_attempts: 2}}}
      - {id: after_one, depends_on: [one], bash: echo one}
      - {id: after_two, depends_on: [two], bash: echo two}
"""


def test_several_gates_are_open_at_once_and_each_is_answered_by_name(world: World) -> None:
    """What follows one of them continues while the other waits."""
    run = world.run(TWO_GATES, agent=agent())
    assert [item["node"] for item in run.data["waiting"]] == ["one", "two"]
    with pytest.raises(UsageError, match="2 gates are open: one, two"):
        ion.approve(run.run_id, store=world.store, project=world.project)
    run = world.approve(run, "two", agent=agent())
    assert (run.status, statuses(run)) == (
        "paused",
        {"one": "waiting", "two": "completed", "after_one": "pending", "after_two": "completed"},
    )
    assert world.approve(run, agent=agent()).status == "completed"


def test_rejections_are_counted_for_each_gate(world: World) -> None:
    """One rejection of each of two gates that allow one is none too many."""
    answering = agent()
    run = world.run(TWO_GATES, agent=answering)
    run = world.reject(run, "one", "a", agent=answering)
    run = world.reject(run, "two", "b", agent=answering)
    assert run.status == "paused"
    assert [request.prompt for request in answering.requests] == ["Mend one: a", "Mend two: b"]
    run = world.reject(run, "one", "c", agent=answering)
    assert (run.status, statuses(run)["two"]) == ("cancelled", "cancelled")


def test_rework_waits_at_the_host_when_there_is_no_agent(world: World) -> None:
    """The prompt is pending; its answer opens the gate again."""
    run = world.reject(world.run(TWO_GATES), "one", "too long")
    (prompt,) = world.prompts(run)
    assert (prompt["node"], prompt["prompt"]) == ("one", "Mend one: too long")
    run = world.submit(run, "one", "mended")
    assert [(item["node"], item["kind"]) for item in run.data["waiting"]] == [("one", "approval"), ("two", "approval")]


REWORKED = """
    nodes:
      - id: draft
        bash: echo first
      - id: gate
        depends_on: [draft]
        approval:
          message: "Publish [$draft.output]? Reworked: [$REWORK]"
          on_reject: {prompt: "Was [$REWORK]. $REJECTION_REASON"}
      - {id: publish, depends_on: [gate], when: $gate.output == 'third', bash: 'echo "$gate.output"'}
"""


def _message(run: ion.RunResult) -> str:
    (item,) = run.data["waiting"]
    assert isinstance(item["message"], str)
    return item["message"]


def test_the_rework_is_in_the_message_and_is_what_was_approved(world: World) -> None:
    """`$REWORK` is empty at first, then the last reply to `on_reject`, there and in the next rework's prompt; it is the
    output of the gate, for conditions too."""
    answering = agent(gate=["second", "third"])
    run = world.run(REWORKED, agent=answering)
    assert _message(run) == "Publish [first]? Reworked: []"
    run = world.reject(run, reason="too short", agent=answering)
    assert _message(run) == "Publish [first]? Reworked: [second]"
    run = world.reject(run, reason="too long", agent=answering)
    assert _message(run) == "Publish [first]? Reworked: [third]"
    assert answering.prompts("gate") == ["Was []. too short", "Was [second]. too long"]
    run = world.approve(run, comment="not kept", agent=answering)
    assert (run.status, output(run, "gate"), output(run, "publish")) == ("completed", "third", "third")


def test_a_rework_of_the_host_is_kept_as_one_of_an_agent(world: World) -> None:
    """Whoever answers, and whatever its size."""
    long = "x" * 300_000 + "$draft.output"
    run = world.submit(world.reject(world.run(REWORKED)), "gate", long)
    assert _message(run) == f"Publish [first]? Reworked: [{long}]"
    run = world.approve(run)
    assert (run.status, output(run, "gate"), statuses(run)["publish"]) == ("completed", long, "skipped")


@pytest.mark.parametrize(("capture", "seen"), [("true", "my words"), ("false", "redone")])
def test_a_captured_response_is_the_output_all_the_same(world: World, capture: str, seen: str) -> None:
    """`capture_response` says that the person's words are."""
    text = REWORKED.replace("message:", f"capture_response: {capture}\n          message:")
    answering = agent(gate=["redone"])
    run = world.reject(world.run(text, agent=answering), agent=answering)
    assert output(world.approve(run, comment="my words", agent=answering), "gate") == seen


@pytest.mark.parametrize(("attempts", "code"), [(0, "bad-value"), (11, "bad-value"), (1, None), (10, None)])
def test_on_reject_allows_1_to_10_attempts(world: World, attempts: int, code: str | None) -> None:
    """One allowed rejection cancels at the first."""
    text = f"nodes: [{{id: a, approval: {{message: Go, on_reject: {{prompt: x, max_attempts: {attempts}}}}}}}]\n"
    if code:
        assert codes(text) == [code]
    else:
        run = world.reject(world.run(text, agent=agent()), agent=agent())
        assert run.status == ("cancelled" if attempts == 1 else "paused")


DECISIONS = "nodes: [{id: gate, approval: {message: Go, decisions: [{id: approve}, {id: not-now, label: Later}]}}]\n"


def test_decisions_answer_by_their_ids_only(world: World) -> None:
    """`approve` is one of them; what is none is told what there are."""
    run = world.run(DECISIONS)
    with pytest.raises(UsageError) as refused:
        world.respond(run, "gate", "later")
    assert "approve, not-now" in refused.value.hint
    with pytest.raises(UsageError):
        world.reject(run)
    run = world.approve(run, comment="fine")
    assert output(run, "gate") == '{"decision":"approve","text":"fine"}'


def test_a_decision_called_reject_is_an_answer_like_any_other(world: World) -> None:
    """It routes; it does not cancel."""
    text = DECISIONS.replace("not-now, label: Later", "reject")
    run = world.reject(world.run(text), reason="no")
    assert (run.status, output(run, "gate")) == ("completed", '{"decision":"reject","text":"no"}')


@pytest.mark.parametrize(
    ("approval", "code"),
    [
        ("{message: Go, decisions: [{id: defer}]}", "bad-decisions"),
        ("{message: Go, decisions: [{id: approve}, {id: approve}]}", "bad-decisions"),
        ("{message: Go, decisions: [{id: approve}], on_reject: {prompt: x}}", "bad-decisions"),
        ("{message: Go, decisions: [{id: approve}, {id: Not Now}]}", "bad-id"),
        ("{message: ' '}", "bad-value"),
        ("{}", "missing-field"),
    ],
)
def test_gates_that_cannot_be_answered_do_not_load(approval: str, code: str) -> None:
    """Decisions are unique, kebab-case, hold `approve`, and exclude `on_reject`; a gate has a message."""
    assert codes(f"nodes: [{{id: a, approval: {approval}}}]\n") == [code]


def test_an_approval_cannot_be_always_run() -> None:
    """Its answer is given once."""
    assert codes("nodes: [{id: a, always_run: true, approval: {message: Go}}]\n") == ["always-run-on-approval"]


def test_who_answered_when_and_from_where_is_in_the_event(world: World) -> None:
    """User, host, process and face."""
    run = world.approve(world.run("nodes: [{id: a, approval: {message: Go}}]\n"), comment="yes")
    (resolved,) = world.log(run, e.ApprovalResolved)
    assert (resolved.decision, resolved.comment, resolved.request) == ("approved", "yes", "a.1")
    assert {"user", "host", "pid", "via"} <= resolved.by.keys()
    assert resolved.by["via"] == "library"
    assert abs(resolved.at - time.time() * 1000) < 60_000


def test_an_answer_to_what_is_no_gate_is_refused(world: World) -> None:
    """An unknown node, one without a gate, one whose gate is not open yet, a run that has ended."""
    run = world.run("""
        nodes:
          - {id: a, approval: {message: Go}}
          - {id: b, approval: {message: Go}, depends_on: [a]}
          - {id: c, bash: echo}
        """)
    with pytest.raises(NotFoundError):
        ion.approve(run.run_id, "nobody", store=world.store, project=world.project)
    for node, code in (("c", "no-gate"), ("b", "not-open")):
        with pytest.raises(RefusedError) as refused:
            ion.approve(run.run_id, node, store=world.store, project=world.project)
        assert refused.value.error_code == code
    world.reject(run, "a")
    with pytest.raises(RefusedError) as refused:
        ion.approve(run.run_id, "a", store=world.store, project=world.project)
    assert refused.value.error_code == "ended"


def test_of_many_answers_at_once_exactly_one_wins(world: World) -> None:
    """And the others are told."""
    answer_at_once(world)


def test_of_many_answers_at_once_to_a_store_that_lasts_exactly_one_wins(lasting: World) -> None:
    """As in memory."""
    answer_at_once(lasting)


def answer_at_once(world: World) -> None:
    run = world.run("nodes: [{id: gate, approval: {message: Go, capture_response: true}}]\n")
    start = threading.Barrier(8)
    said: list[str] = []

    def answer(number: int) -> None:
        start.wait(10)
        try:
            ion.approve(run.run_id, comment=str(number), store=world.store, project=world.project)
            said.append(str(number))
        except RefusedError as error:
            said.append(error.error_code)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    (winner,) = [text for text in said if text != "answered"]
    assert len(said) == 8
    assert output(world.resume(run), "gate") == winner


def test_a_process_of_the_run_may_not_answer_its_gates(lasting: World) -> None:
    """`ION_RUN_ID` in its environment tells that it is one; another run's gates it may answer."""
    other = lasting.run("nodes: [{id: gate, approval: {message: Go}}]\n")
    lasting.file(
        "answer.py",
        f"""
        import os, ion
        from ion.errors import RefusedError
        ion.approve({other.run_id!r}, "gate")
        try:
            ion.approve(os.environ["ION_RUN_ID"], "gate")
        except RefusedError as error:
            print(error.error_code)
        """,
    )
    run = lasting.run(f"""
        nodes:
          - {{id: gate, approval: {{message: Go}}}}
          - {{id: sly, bash: "{sys.executable} answer.py"}}
        """)
    assert (statuses(run)["gate"], output(run, "sly")) == ("waiting", "own-gate")
    assert lasting.resume(other).status == "completed"


def test_an_answer_reaches_a_run_that_is_being_driven(world: World) -> None:
    """Whoever owns it continues by itself: what follows the gate runs while the prompt is still being answered."""
    followed = threading.Event()
    run_id = "live"

    def ask(request: PromptRequest) -> str:
        if request.node == "follow":
            followed.set()
            return "followed"
        until(lambda: any(isinstance(event, e.ApprovalRequested) for event in world.log(run_id)))
        ion.approve(run_id, "gate", store=world.store, project=world.project)
        assert followed.wait(PATIENCE_S)
        return "slow"

    run = world.run(
        """
        max_concurrency: 4
        nodes:
          - {id: slow, prompt: slowly}
          - {id: gate, approval: {message: Go}}
          - {id: follow, prompt: hi, depends_on: [gate]}
        """,
        run_id=run_id,
        agent=ask,
    )
    assert run.status == "completed"


# ---------------------------------------------------------------------- retry


def test_delays_double_and_have_jitter(world: World, hurry: Clock) -> None:
    """From `delay_ms` on, each up to a quarter longer; every attempt is an event."""
    failures: list[Exception | str] = [AgentError("crashed", f"no {i}") for i in range(4)]
    run = world.run(
        "nodes: [{id: a, prompt: hi, retry: {max_attempts: 4, delay_ms: 1000}}]\n",
        agent=agent(a=[*failures, "at last"]),  # type: ignore[list-item]
    )
    retrying = world.log(run, e.NodeRetrying)
    delays = [event.due_at - event.at for event in retrying]
    assert all(base <= delay <= base * 1.25 for base, delay in zip((1000, 2000, 4000, 8000), delays, strict=True))
    assert delays != [1000, 2000, 4000, 8000]
    assert [event.error.message for event in retrying] == ["no 0", "no 1", "no 2", "no 3"]
    assert [event.attempt for event in world.log(run, e.NodeStarted)] == [1, 2, 3, 4, 5]
    assert (output(run, "a"), run.data["nodes"]["a"]["attempts"]) == ("at last", 5)


@pytest.mark.parametrize(
    "retry",
    [
        "{max_attempts: 0}",
        "{max_attempts: 6}",
        "{}",
        "{max_attempts: 1, delay_ms: 999}",
        "{max_attempts: 1, delay_ms: 60001}",
        "{max_attempts: 1, on_error: some}",
    ],
)
def test_a_retry_out_of_bounds_is_an_error(retry: str) -> None:
    """1–5 retries, 1–60 s, transient or all."""
    assert len(codes(f"nodes: [{{id: a, bash: echo, retry: {retry}}}]\n")) == 1


@pytest.mark.parametrize(
    ("code", "on_error", "asked"),
    [
        ("bad_output", "transient", 1),
        ("bad_output", "all", 2),
        ("crashed", "transient", 2),
        ("not_logged_in", "all", 1),
        ("not_found", "all", 1),
        ("refused", "all", 1),
        ("cancelled", "all", 1),
    ],
)
def test_what_is_tried_again(world: World, hurry: Clock, code: str, on_error: str, asked: int) -> None:
    """Transient errors; `bad_output` and exit statuses only with `all`; fatal ones never."""
    answering = agent(a=[AgentError(code, "no") for _ in range(asked)])
    run = world.run(
        f"nodes: [{{id: a, prompt: hi, retry: {{max_attempts: 1, delay_ms: 1000, on_error: {on_error}}}}}]\n",
        agent=answering,
    )
    assert error(run, "a").startswith(code)
    assert len(answering.requests) == asked


def test_a_reference_that_cannot_be_read_is_not_tried_again(world: World) -> None:
    """It would fail in the same way."""
    run = world.run("""
        nodes:
          - {id: a, bash: echo plain}
          - {id: b, depends_on: [a], bash: echo $a.output.f, retry: {max_attempts: 3, delay_ms: 1000, on_error: all}}
        """)
    assert error(run, "b").startswith("reference: ")
    assert run.data["nodes"]["b"]["attempts"] == 1
