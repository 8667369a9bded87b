"""language.md §10: who owns a run, and what others may ask of it: cancel, answers to open prompts."""

from __future__ import annotations

from typing import Any

import pytest

import ion
from conformance.kit import Agent, Clock, World, agent, error, mend, output, ran, statuses
from ion import PromptRequest
from ion.core import events as e
from ion.errors import OutputFormatError, RefusedError

# ---------------------------------------------------------------------- who owns a run


def test_a_run_belongs_to_one_process_at_a_time(lasting: World) -> None:
    """While it is driven nobody else can continue it."""
    refused: list[str] = []

    def ask(request: PromptRequest) -> str:
        try:
            lasting.resume(request.run_id, agent=agent())
        except RefusedError as error:
            refused.append(error.error_code)
        return "done"

    assert lasting.run("nodes: [{id: a, prompt: hi}]\n", agent=ask).status == "completed"
    assert refused == ["owned"]


@pytest.mark.parametrize("kind", ["prompt: hi", "loop: {prompt: hi, until: DONE, max_iterations: 2}"])
def test_the_idempotency_key_is_the_same_on_every_retry_and_resume(lasting: World, hurry: Clock, kind: str) -> None:
    """run/node, in loops run/node/iteration; processes find it in `ION_IDEMPOTENCY_KEY`."""
    answers: list[Any] = [ion.AgentError("crashed", "once"), ion.AgentError("refused", "no"), "DONE"]
    answering = agent(a=answers)
    first = lasting.run(f"nodes: [{{id: a, {kind}}}]\n", agent=answering)
    assert lasting.resume(first, agent=answering).status == "completed"
    key = f"{first.run_id}/a" + ("/1" if kind.startswith("loop") else "")
    assert [request.key for request in answering.requests] == [key] * 3
    assert {request.env["ION_IDEMPOTENCY_KEY"] for request in answering.requests} == {key}


def test_a_process_finds_the_same_key_on_every_retry_and_resume(lasting: World, hurry: Clock) -> None:
    """In its environment, with the run and the node."""
    first = lasting.run("""
        nodes:
          - id: a
            bash: echo "$ION_IDEMPOTENCY_KEY $ION_RUN_ID $ION_NODE_ID" >> keys; test -e mended
            retry: {max_attempts: 1, delay_ms: 1000, on_error: all}
        """)
    mend(lasting)
    lasting.resume(first)
    run = first.run_id
    assert (lasting.project / "keys").read_text().splitlines() == [f"{run}/a {run} a"] * 3


# ---------------------------------------------------------------------- cancel


def test_a_cancel_ends_a_run_that_waits(world: World) -> None:
    """Carried out by whoever continues it; gates close, what had not begun is skipped, and it is final."""
    run = world.run("nodes: [{id: gate, approval: {message: Go}}, {id: after, bash: echo, depends_on: [gate]}]\n")
    ion.cancel(run.run_id, reason="no need", store=world.store, project=world.project)
    run = world.resume(run)
    assert (run.status, run.exit_status, run.data["error"]["message"]) == ("cancelled", 4, "no need")
    assert statuses(run) == {"gate": "cancelled", "after": "skipped"}
    for ask in (ion.cancel, ion.approve):
        with pytest.raises(RefusedError) as refused:
            ask(run.run_id, store=world.store, project=world.project)
        assert refused.value.error_code == "ended"


def test_a_cancel_of_an_interrupted_run_runs_nothing_again(lasting: World) -> None:
    """Carrying it out is not a resume: `always_run` does not run."""
    text = """
        nodes:
          - {id: a, always_run: true, bash: echo ran >> a.runs}
          - {id: cut, prompt: hi, depends_on: [a]}
        """
    run = lasting.interrupt(text, at="cut")
    ion.cancel(run, reason="enough", store=lasting.store, project=lasting.project)
    done = lasting.resume(run, agent=agent())
    assert (done.status, statuses(done)["a"], ran(lasting, "a")) == ("cancelled", "completed", 1)
    assert lasting.log(done, e.NodeInvalidated) == []


# ---------------------------------------------------------------------- open prompts


STRUCTURED = """
    nodes:
      - id: ask
        prompt: Give x for $ARGUMENTS.
        model: small
        output_format: {type: object, properties: {x: {type: number}}, required: [x]}
      - {id: use, depends_on: [ask], bash: echo $ask.output.x}
"""


def test_an_open_prompt_is_answered_once_and_must_fit(world: World) -> None:
    """An answer that does not fit is refused with the errors, and nothing is recorded; the same one again changes
    nothing; another one is refused."""
    run = world.run(STRUCTURED, arguments="Ana")
    (prompt,) = world.prompts(run)
    assert (prompt["prompt"], prompt["request"], prompt["options"]) == ("Give x for Ana.", "ask.1", {"model": "small"})
    before = world.log(run)
    with pytest.raises(OutputFormatError, match="'x' is a required property") as wrong:
        world.submit(run, "ask", '{"y": 1}')
    assert wrong.value.exit_status == 2
    assert world.log(run) == before
    done = world.submit(run, "ask", 'It is ```json\n{"x": 1}\n```')
    assert (done.status, output(done, "use")) == ("completed", "1")
    again = {"store": world.store, "project": world.project}
    assert ion.submit(run.run_id, "ask", 'It is ```json\n{"x": 1}\n```', **again) is False
    with pytest.raises(RefusedError):
        ion.submit(run.run_id, "ask", '{"x": 2}', **again)


def test_sessions_of_a_host_go_on_like_those_of_an_agent(world: World) -> None:
    """The session that came with an answer is offered with the next prompt; each iteration of a loop waits again."""
    run = world.run("""
        nodes:
          - {id: a, prompt: hi}
          - {id: b, prompt: hi, depends_on: [a]}
          - {id: work, depends_on: [b], loop: {prompt: "<$LOOP_PREV_OUTPUT>", until: DONE, max_iterations: 3}}
        """)
    run = world.submit(run, "a", "one", session="s1")
    (prompt,) = world.prompts(run)
    assert (prompt["node"], prompt["session"]) == ("b", "s1")
    run = world.submit(run, "b", "two", session="s2")
    (prompt,) = world.prompts(run)
    assert (prompt["session"], prompt["iteration"], prompt["prompt"]) == (None, 1, "<>")
    run = world.submit(run, "work", "first", session="s3")
    (prompt,) = world.prompts(run)
    assert (prompt["session"], prompt["iteration"], prompt["prompt"]) == ("s3", 2, "<first>")
    assert prompt["key"] == f"{run.run_id}/work/2"
    assert world.submit(run, "work", "second. DONE").status == "completed"


def test_an_agent_takes_pending_prompts_over(world: World) -> None:
    """Continuing an agent answers them; the prompt is asked anew and the old request is closed."""
    run = world.run("nodes: [{id: a, prompt: hi}]\n")
    taken: Agent = agent(a="mine")
    done = world.resume(run, agent=taken)
    assert (done.status, output(done, "a")) == ("completed", "mine")
    with pytest.raises(RefusedError):
        ion.submit(run.run_id, "a", "late", store=world.store, project=world.project)


def test_an_empty_answer_fails_the_node_as_an_agents_would(world: World) -> None:
    """And the run can be resumed: the prompt is pending again."""
    run = world.submit(world.run("nodes: [{id: a, prompt: hi}]\n"), "a", "  ")
    assert error(run, "a").startswith("bad_output: ")
    run = world.resume(run)
    assert (run.status, [item["kind"] for item in run.data["waiting"]]) == ("paused", ["prompt"])
