"""language.md §10: continuing a run, and the frozen sources that it continues."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

import ion
from conformance.kit import Clock, World, agent, error, mend, output, ran, statuses
from ion.core import events as e
from ion.errors import RefusedError

# ---------------------------------------------------------------------- continuing


def test_failed_skipped_and_interrupted_nodes_are_decided_anew(lasting: World) -> None:
    """Completed ones are not run."""
    text = """
        nodes:
          - {id: done, bash: echo ran >> done.runs}
          - {id: bad, bash: "echo ran >> bad.runs; test -e mended", depends_on: [done]}
          - {id: skipped, bash: echo ran >> skipped.runs, depends_on: [bad]}
          - {id: cut, prompt: hi, depends_on: [skipped], trigger_rule: all_done}
        """
    run = lasting.interrupt(text, at="cut", agent=agent(cut=[]))
    mend(lasting)
    result = lasting.resume(run, agent=agent(cut="went on"))
    assert (result.status, output(result, "cut")) == ("completed", "went on")
    assert [ran(lasting, node) for node in ("done", "bad", "skipped")] == [1, 2, 1]


def test_an_interrupted_run_says_so_and_has_no_end(lasting: World) -> None:
    """`interrupted` is not an event, but a running run without a live owner; exit status 130."""
    run = ion.get_run(
        lasting.interrupt("nodes: [{id: a, prompt: hi}]\n", at="a"), store=lasting.store, project=lasting.project
    )
    assert (run.status, run.exit_status) == ("interrupted", 130)
    assert [event.type for event in lasting.log(run)] == ["workflow_started", "node_started"]
    assert lasting.resume(run, agent=agent()).status == "completed"


def test_a_join_that_saw_a_failure_runs_again_when_that_node_completes(world: World) -> None:
    """A dependency has another value: the node that completed upon it is invalidated, and what completed upon that
    too; what saw nothing of it is kept."""
    text = """
        nodes:
          - {id: a, bash: "test -e mended && echo fine"}
          - {id: join, bash: "echo ran >> join.runs; ls mended 2>&1 || true", depends_on: [a], trigger_rule: all_done}
          - {id: next, bash: "echo ran >> next.runs; echo $join.output", depends_on: [join]}
          - {id: other, bash: "echo ran >> other.runs"}
        """
    first = world.run(text)
    assert first.status == "failed"
    mend(world)
    second = world.resume(first)
    assert (second.status, output(second, "next")) == ("completed", "mended")
    assert [ran(world, node) for node in ("join", "next", "other")] == [2, 2, 1]
    causes = {event.node: event.dependency for event in world.log(second, e.NodeInvalidated)}
    assert causes == {"join": "a", "next": "join"}


def test_what_refers_without_depending_is_invalidated_too(world: World) -> None:
    """An ordering edge is a dependency of values."""
    (world.project / "value").write_text("old")
    first = world.run("""
        nodes:
          - {id: a, always_run: true, bash: cat value}
          - {id: b, bash: "echo ran >> b.runs; echo $a.output"}
          - {id: c, depends_on: [b], bash: test -e mended}
        """)
    mend(world)
    (world.project / "value").write_text("new")
    second = world.resume(first)
    assert (output(second, "b"), ran(world, "b")) == ("new", 2)


def test_a_loop_that_is_invalidated_starts_at_1(world: World) -> None:
    """With nothing of before."""
    (world.project / "value").write_text("old")
    answering = agent(work=["one", "two. DONE", "anew. DONE"])
    first = world.run(
        """
        nodes:
          - {id: a, always_run: true, bash: cat value}
          - {id: work, depends_on: [a], loop: {prompt: "<$LOOP_PREV_OUTPUT>", until: DONE, max_iterations: 3}}
          - {id: c, depends_on: [work], bash: test -e mended}
        """,
        agent=answering,
    )
    mend(world)
    (world.project / "value").write_text("new")
    second = world.resume(first, agent=answering)
    assert (second.status, output(second, "work"), answering.prompts("work")[2]) == ("completed", "anew. DONE", "<>")


def test_an_approval_is_asked_again_when_what_it_was_about_has_changed(world: World) -> None:
    """The answer was to another question; with the same value it stands."""
    text = """
        nodes:
          - {id: a, always_run: true, bash: cat value}
          - {id: gate, approval: {message: "Deploy $a.output?"}, depends_on: [a]}
          - {id: c, depends_on: [gate], bash: test -e mended}
        """
    (world.project / "value").write_text("v1")
    run = world.approve(world.run(text))
    assert run.status == "failed"
    again = world.resume(run)
    assert again.status == "failed", "the same value: not asked"
    (world.project / "value").write_text("v2")
    again = world.resume(run)
    assert (again.status, again.data["waiting"][0]["message"]) == ("paused", "Deploy v2?")
    mend(world)
    assert world.approve(again).status == "completed"


def test_going_on_after_an_answer_is_no_resume(world: World) -> None:
    """No `always_run`, no invalidation."""
    (world.project / "value").write_text("old")
    run = world.run("""
        nodes:
          - {id: a, always_run: true, bash: echo ran >> a.runs; cat value}
          - {id: b, depends_on: [a], bash: echo ran >> b.runs}
          - {id: gate, approval: {message: Go}, depends_on: [b]}
          - {id: ask, prompt: hi, depends_on: [gate]}
        """)
    (world.project / "value").write_text("new")
    run = world.approve(run)
    run = world.submit(run, "ask", "done")
    assert run.status == "completed"
    assert [event.cause for event in world.log(run, e.WorkflowResumed)] == ["answer", "answer"]
    assert (ran(world, "a"), ran(world, "b")) == (1, 1)


def test_a_paused_run_without_an_answer_is_given_back_as_it_is(world: World) -> None:
    """It says what it waits for, and nothing is written."""
    run = world.run("nodes: [{id: gate, approval: {message: Go}}]\n")
    before = world.log(run)
    again = world.resume(run)
    assert (again.status, again.exit_status, again.data["waiting"]) == ("paused", 3, run.data["waiting"])
    assert world.log(run) == before


def test_a_resume_has_the_runs_own_inputs_arguments_and_directory(lasting: World) -> None:
    """Whatever the caller's are."""
    elsewhere = lasting.project / "elsewhere"
    elsewhere.mkdir()
    first = lasting.run(
        "inputs: {x: {}}\nnodes: [{id: a, bash: 'test -e mended && echo \"$ARGUMENTS $INPUTS.x $CONTEXT\" && pwd'}]\n",
        inputs={"x": "one"},
        arguments="go",
        context="ctx",
        cwd=elsewhere,
    )
    (elsewhere / "mended").touch()
    assert output(lasting.resume(first), "a") == f"go one ctx\n{elsewhere}"


def test_an_agent_of_the_program_must_be_given_again(world: World) -> None:
    """No other process could find the function; a resume without it is refused and changes nothing."""
    first = world.run("nodes: [{id: a, prompt: hi}]\n", agent=agent(a=ion.AgentError("refused", "no")))
    before = world.log(first)
    with pytest.raises(RefusedError, match="tester"):
        world.resume(first)
    assert world.log(first) == before
    assert world.resume(first, agent=agent()).status == "completed"


def test_a_gate_that_fail_fast_closed_is_asked_again_after_a_resume(world: World) -> None:
    """As a new question: the old one stays closed."""
    text = """
        fail_fast: true
        nodes:
          - {id: gate, approval: {message: Go}}
          - {id: bad, bash: "sleep 0.5; test -e mended"}
        """
    first = world.run(text)
    assert statuses(first) == {"gate": "cancelled", "bad": "failed"}
    mend(world)
    second = world.resume(first)
    assert (second.status, statuses(second)) == ("paused", {"gate": "waiting", "bad": "completed"})
    assert [event.request for event in world.log(second, e.ApprovalRequested)] == ["gate.1", "gate.2"]
    assert world.approve(second).status == "completed"


def test_an_answer_to_an_interrupted_run_is_kept_for_whoever_goes_on(lasting: World) -> None:
    """Answers come from anybody, at any time."""
    text = """
        nodes:
          - {id: gate, approval: {message: Go}}
          - {id: moment, bash: sleep 0.1}
          - {id: a, prompt: hi, depends_on: [moment]}
        """
    run = lasting.interrupt(text, at="a")
    ion.approve(run, "gate", store=lasting.store, project=lasting.project)
    assert lasting.resume(run, agent=agent()).status == "completed"


def test_a_conversation_goes_on_after_a_resume(lasting: World) -> None:
    """With the session of the node that completed before."""
    text = "nodes: [{id: a, prompt: hi}, {id: b, prompt: hi, depends_on: [a]}, {id: c, prompt: hi, depends_on: [b]}]\n"
    run = lasting.interrupt(text, at="b", agent=agent(a=["one"], b=[]))
    answering = agent()
    lasting.resume(run, agent=answering)
    assert [(r.node, r.session) for r in answering.requests] == [("b", "a#1"), ("c", "b#1")]


def test_rework_that_failed_is_done_again_by_a_resume(world: World) -> None:
    """The rejection counts once, and its reason is still known."""
    answering = agent(gate=[ion.AgentError("refused", "no"), "mended"])
    run = world.run(
        "nodes: [{id: gate, approval: {message: Go, on_reject: {prompt: 'Mend: $REJECTION_REASON'}}}]\n",
        agent=answering,
    )
    run = world.reject(run, reason="too long", agent=answering)
    assert error(run, "gate").startswith("refused: ")
    run = world.resume(run, agent=answering)
    assert (run.status, answering.prompts("gate")) == ("paused", ["Mend: too long"] * 2)
    assert world.approve(run, agent=answering).status == "completed"


def test_a_retry_that_was_waited_for_is_made_by_a_resume(lasting: World, hurry: Clock) -> None:
    """An interruption during the delay costs no attempt."""
    text = """
        nodes:
          - {id: a, prompt: hi, retry: {max_attempts: 1, delay_ms: 60000}}
          - {id: moment, bash: sleep 0.1}
          - {id: b, prompt: hi, depends_on: [moment]}
        """
    failing: list[Any] = [ion.AgentError("crashed", "once")]
    run = lasting.interrupt(text, at="b", agent=agent(a=failing, b=[]))
    assert len(lasting.log(run, e.NodeRetrying)) == 1
    answering = agent(a="fine")
    result = lasting.resume(run, agent=answering)
    assert (result.status, result.data["nodes"]["a"]["attempts"]) == ("completed", 2)


# ---------------------------------------------------------------------- frozen sources


def test_commands_and_scripts_are_frozen_when_the_run_starts(lasting: World) -> None:
    """Edited and deleted files change nothing for the run; a new run sees them."""
    lasting.file(".ion/commands/greet.md", "Hello")
    lasting.file(".ion/scripts/compute.py", "import helper\nprint(helper.VALUE)\n")
    lasting.file(".ion/scripts/helper.py", "VALUE = 42\n")
    file = lasting.write("""
        nodes:
          - {id: stop, bash: test -e mended}
          - {id: ask, command: greet, depends_on: [stop]}
          - {id: work, depends_on: [stop], loop: {command: greet, until: DONE, max_iterations: 1}}
          - {id: code, script: compute, runtime: python, depends_on: [stop]}
        """)
    first = lasting.run(file, agent=agent())
    mend(lasting)
    lasting.file(".ion/commands/greet.md", "Goodbye")
    lasting.file(".ion/scripts/compute.py", "print('edited')\n")
    lasting.file(".ion/scripts/helper.py", "VALUE = 43\n")
    newer = agent(work="DONE")
    fresh = lasting.run(file, agent=newer)
    assert (newer.prompts("ask"), output(fresh, "code")) == (["Goodbye"], "edited")
    for folder in ("commands", "scripts", "workflows"):
        shutil.rmtree(lasting.project / ".ion" / folder)
    older = agent(work="DONE")
    second = lasting.resume(first, agent=older)
    assert second.status == "completed"
    assert (older.prompts("ask"), older.prompts("work"), output(second, "code")) == (["Hello"], ["Hello"], "42")


def test_a_frozen_script_that_somebody_changed_is_refused(lasting: World) -> None:
    """It is held against its digest before a turn of the resume begins."""
    lasting.file(".ion/scripts/compute.py", "import os\nassert os.path.exists('mended')\nprint('original')\n")
    first = lasting.run(lasting.write("nodes: [{id: code, script: compute, runtime: python}]\n"))
    mend(lasting)
    (copy,) = (lasting.project / ".ion" / "runs").rglob("compute.py")
    copy.write_text("print('tampered')\n")
    with pytest.raises(RefusedError) as refused:
        lasting.resume(first)
    assert refused.value.error_code == "changed"
    copy.unlink()
    assert output(lasting.resume(first), "code") == "original"
