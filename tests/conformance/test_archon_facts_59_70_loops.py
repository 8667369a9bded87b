"""Archon's facts 59–70: loops. What Ion changes is tested as Ion has it (language.md §7)."""

from __future__ import annotations

import json

import pytest

from conformance.kit import World, agent, codes, error, output, statuses
from ion import PromptResult, RunResult
from ion.errors import MissingRuntimeError


def one_turn(world: World, until: str, reply: str) -> RunResult:
    """A loop that may take one turn: it completes if the reply ends it."""
    return world.run(
        f"""
        nodes:
          - id: work
            loop: {{prompt: go, until: {json.dumps(until)}, max_iterations: 1}}
        """,
        agent=agent(work=reply),
    )


SIGNALS = [
    pytest.param("COMPLETE", "Work done. COMPLETE", True, id="59-at-the-end"),
    pytest.param("COMPLETE", "The status is not COMPLETE yet.", False, id="59-in-a-sentence"),
    pytest.param("COMPLETE", "First\n  COMPLETE  \nthen more", True, id="59-alone-on-a-line"),
    pytest.param("COMPLETE", "Work done. COMPLETE!!\n", True, id="59-before-punctuation"),
    pytest.param("COMPLETE", "<promise>complete</promise> and more", True, id="60-in-tags-in-any-case"),
    pytest.param("COMPLETE", "Work is complete", False, id="60-bare-in-another-case"),
    pytest.param("ALL_CLEAN", "<COMPLETE>ALL_CLEAN</done> and more", False, id="61-tags-that-do-not-match"),
    pytest.param("ALL_CLEAN", '<done attr="1"> ALL_CLEAN </done> tail', True, id="61-tag-with-an-attribute"),
    pytest.param("COMPLETE", "INCOMPLETE", False, id="62-part-of-a-word"),
    pytest.param("COMPLETE", "The work is INCOMPLETE.", False, id="62-part-of-the-last-word"),
    pytest.param("COMPLETE", "All done.\n**COMPLETE**", True, id="62-bold"),
    pytest.param("COMPLETE", "All done: `COMPLETE`", True, id="62-code"),
]


@pytest.mark.parametrize(("until", "reply", "done"), SIGNALS)
def test_what_ends_a_loop(world: World, until: str, reply: str, done: bool) -> None:
    """59–62, 62 as Ion has it: a whole word, and emphasis does not hide it. Each id begins with its fact."""
    run = one_turn(world, until, reply)
    assert statuses(run) == {"work": "completed" if done else "failed"}


@pytest.mark.parametrize(
    ("reply", "cleaned"),
    [
        ("Done. <promise>X</promise>", "Done."),
        ("<done>X</done>\nThe report\n", "The report"),
        ("Some <b>bold</b> text <promise>more to come</promise>\nX", "Some <b>bold</b> text \nX"),
    ],
)
def test_fact_63_signal_tags_are_taken_out_of_the_output(world: World, reply: str, cleaned: str) -> None:
    """63: the tags that signal, and every promise, go; the rest is trimmed."""
    assert output(one_turn(world, "X", reply), "work") == cleaned


def test_fact_64_a_loop_that_is_never_done_fails_after_its_last_iteration(world: World) -> None:
    """64: three prompts, and the message names the number and every way in which the loop could have ended."""
    answering = agent(work=["one", "two", "three"])
    run = world.run(
        """
        nodes:
          - id: work
            loop: {prompt: go, until: DONE, until_bash: "exit 1", max_iterations: 3}
        """,
        agent=answering,
    )
    assert len(answering.requests) == 3
    assert error(run, "work") == "max_iterations: 3 iterations without the signal 'DONE' or a passing until_bash check"
    assert run.data["nodes"]["work"]["iterations"] == 3


@pytest.mark.parametrize(
    ("script", "iterations"), [("exit 0", 1), ("exit 1", 2), ("no-such-command-anywhere", 2), ("exit 77", 2)]
)
def test_fact_65_until_bash_ends_a_loop_with_status_0(world: World, script: str, iterations: int) -> None:
    """65: any other status means another iteration, that of an unknown command too."""
    run = world.run(
        f"""
        nodes:
          - id: work
            loop:
              prompt: go
              max_iterations: 2
              until_bash: |
                test -e second && exit 0
                touch second
                {script}
        """,
        agent=agent(work=["first", "second"]),
    )
    assert (run.status, run.data["nodes"]["work"]["iterations"]) == ("completed", iterations)


def test_fact_65_a_check_that_takes_too_long_fails_the_node(world: World) -> None:
    """65 [Ion]: the limit is the node's own `timeout`, per turn, not a fixed 120 s."""
    run = world.run(
        """
        nodes:
          - id: work
            timeout: 200
            loop: {prompt: go, max_iterations: 2, until_bash: sleep 20}
        """,
        agent=agent(work="first"),
    )
    assert error(run, "work").startswith("timeout: until_bash timed out after 200 ms")


def test_fact_65_without_bash_no_run_begins(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """65 [Ion]: a missing bash is told before the run starts, which could not end."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(MissingRuntimeError, match=r"bash is not installed.*work"):
        world.run("nodes:\n  - {id: work, loop: {prompt: go, max_iterations: 2, until_bash: 'true'}}\n", agent=agent())


def test_fact_66_the_previous_output_is_empty_first_and_then_the_cleaned_one(world: World) -> None:
    """66: `$LOOP_PREV_OUTPUT` in iterations 1 and 2."""
    answering = agent(work=["one <promise>more</promise>", "two <promise>DONE</promise>"])
    world.run(
        """
        nodes:
          - id: work
            loop: {prompt: "before: <$LOOP_PREV_OUTPUT>", until: DONE, max_iterations: 3}
        """,
        agent=answering,
    )
    assert answering.prompts("work") == ["before: <>", "before: <one>"]


def test_fact_67_a_loops_output_is_its_last_iterations(world: World) -> None:
    """67: the outputs before are in their events, not in the node's output."""
    run = world.run(
        """
        nodes:
          - id: work
            loop: {prompt: go, until: DONE, max_iterations: 3}
        """,
        agent=agent(work=["first", "second", "third <promise>DONE</promise>"]),
    )
    assert output(run, "work") == run.output == "third"


@pytest.mark.parametrize(("fresh", "sessions"), [("false", [None, "work#1", "work#2"]), ("true", [None, None, None])])
def test_fact_68_an_iteration_goes_on_with_the_session_of_the_one_before(
    world: World, fresh: str, sessions: list[str | None]
) -> None:
    """68: unless `fresh_context` says that each starts afresh."""
    answering = agent(work=["first", "second", "DONE"])
    world.run(
        f"""
        nodes:
          - id: work
            loop: {{prompt: go, until: DONE, max_iterations: 3, fresh_context: {fresh}}}
        """,
        agent=answering,
    )
    assert [request.session for request in answering.of("work")] == sessions


INTERACTIVE = """
    nodes:
      - id: work
        loop:
          prompt: "go; the person said <$LOOP_USER_INPUT>"
          until: DONE
          max_iterations: 3
          interactive: true
          gate_message: Good enough?
"""


def test_fact_69_an_interactive_loop_pauses_even_when_it_is_done(world: World) -> None:
    """69: a signal in iteration 1 still asks; a bare approval finishes without another prompt."""
    answering = agent(work=["draft. DONE"])
    run = world.run(INTERACTIVE, agent=answering)
    assert (run.status, run.exit_status) == ("paused", 3)
    (waiting,) = run.data["waiting"]
    assert (waiting["node"], waiting["kind"]) == ("work", "iteration")
    assert "Good enough?" in waiting["message"]
    run = world.approve(run, agent=answering)
    assert (run.status, output(run, "work"), len(answering.requests)) == ("completed", "draft. DONE", 1)


def test_fact_69_an_approval_with_a_comment_is_another_iteration(world: World) -> None:
    """69: the comment reaches iteration 2 as `$LOOP_USER_INPUT`."""
    answering = agent(work=["draft. DONE", "changed. DONE"])
    run = world.approve(world.run(INTERACTIVE, agent=answering), comment="change x", agent=answering)
    assert run.status == "paused"
    assert answering.prompts("work") == ["go; the person said <>", "go; the person said <change x>"]
    run = world.approve(run, agent=answering)
    assert (run.status, output(run, "work")) == ("completed", "changed. DONE")


def test_fact_69_without_a_signal_a_bare_approval_goes_on(world: World) -> None:
    """69: only a signalled iteration is finished by an approval without words."""
    answering = agent(work=["draft", "better. DONE"])
    run = world.approve(world.run(INTERACTIVE, agent=answering), agent=answering)
    assert (run.status, len(answering.requests)) == ("paused", 2)


def test_fact_69_signal_completes_needs_no_approval(world: World) -> None:
    """69: with `signal_completes` the signal ends the loop; an iteration without it still asks."""
    text = INTERACTIVE + "          signal_completes: true\n"
    answering = agent(work=["draft", "better. DONE"])
    run = world.run(text, agent=answering)
    assert run.status == "paused"
    run = world.approve(run, agent=answering)
    assert (run.status, output(run, "work")) == ("completed", "better. DONE")


def test_fact_69_approving_after_the_last_iteration_without_a_signal_fails(world: World) -> None:
    """69: no iteration is left for what the person asks for."""
    answering = agent(work=["draft"])
    run = world.run(INTERACTIVE.replace("max_iterations: 3", "max_iterations: 1"), agent=answering)
    run = world.approve(run, agent=answering)
    assert error(run, "work").startswith("max_iterations: ")


@pytest.mark.parametrize(
    ("loop", "code"),
    [
        ("{prompt: go, max_iterations: 3}", "loop-without-end"),
        ("{prompt: go, until: DONE, max_iterations: 0}", "bad-value"),
        ("{prompt: go, until: DONE}", "missing-field"),
        ("{prompt: go, command: greet, until: DONE, max_iterations: 3}", "loop-prompt"),
        ("{until: DONE, max_iterations: 3}", "loop-prompt"),
        ("{prompt: go, until: DONE, max_iterations: 3, interactive: true}", "gate-message-missing"),
        ("{prompt: go, until_field: done, max_iterations: 3}", "bad-until-field"),
    ],
)
def test_fact_70_a_loop_that_cannot_work_is_an_error_of_the_file(loop: str, code: str) -> None:
    """70: nothing that ends it, no iterations, two prompts or none, a gate without a message, a field of no schema."""
    assert codes(f"nodes:\n  - {{id: work, loop: {loop}}}\n") == [code]


def test_a_loops_field_ends_it(world: World) -> None:
    """language.md §7: `until_field` names a required boolean of `output_format`; true ends the loop."""
    run = world.run(
        """
        nodes:
          - id: work
            loop: {prompt: go, until_field: done, max_iterations: 3}
            output_format:
              type: object
              properties: {done: {type: boolean}, note: {type: string}}
              required: [done]
        """,
        agent=agent(work=['{"done": false, "note": "DONE"}', PromptResult("ignored", structured={"done": True})]),
    )
    assert (run.data["nodes"]["work"]["iterations"], output(run, "work")) == (2, '{"done":true}')
