"""language.md §7: loops whose iterations are durable, beyond the facts 59–70."""

from __future__ import annotations

import asyncio

import pytest

import ion
from conformance.kit import Clock, Reply, World, agent, codes, error, mend, output, ran, statuses, whole
from ion import AgentError, PromptRequest
from ion.core import events as e
from ion.language.load import parse_workflow

LOOP = """
    nodes:
      - id: work
        loop: {prompt: "go on from <$LOOP_PREV_OUTPUT>", until: DONE, max_iterations: 4}
"""


def test_a_loop_has_no_retry() -> None:
    """Its turns have the default retry of agent nodes."""
    assert codes(LOOP + "        retry: {max_attempts: 2}\n") == ["no-effect-here"]


def test_a_turn_of_a_loop_is_tried_again(world: World, hurry: Clock) -> None:
    """The same iteration, with the same key, previous output and session."""
    answering = agent(work=["one", AgentError("crashed", "once"), AgentError("rate_limited", "twice"), "two. DONE"])
    run = world.run(LOOP, agent=answering)
    assert (run.status, run.data["nodes"]["work"]["iterations"]) == ("completed", 2)
    again = answering.of("work")[1:]
    assert {(r.prompt, r.session, r.iteration, r.key) for r in again} == {
        ("go on from <one>", "work#1", 2, f"{run.run_id}/work/2")
    }


def test_the_timeout_of_a_loop_is_for_each_turn(world: World) -> None:
    """Three turns of 0.2 s each pass a limit of 0.5 s, and so does a check between them."""

    async def ask(request: PromptRequest) -> str:
        await asyncio.sleep(0.2)
        return "DONE" if request.iteration == 3 else "more"

    run = world.run(
        """
        nodes:
          - id: work
            timeout: 500
            loop: {prompt: go, until: DONE, until_bash: "sleep 0.05; exit 1", max_iterations: 3}
        """,
        agent=ask,
    )
    assert (run.status, run.data["nodes"]["work"]["iterations"]) == ("completed", 3)


def test_a_command_can_be_the_prompt_of_a_loop(world: World) -> None:
    """Its text is filled in each time."""
    world.file(".ion/commands/step.md", "---\ntitle: x\n---\nbefore: <$LOOP_PREV_OUTPUT>")
    answering = agent(work=["one", "two. DONE"])
    text = "nodes: [{id: work, loop: {command: step, until: DONE, max_iterations: 3}}]\n"
    world.run(world.write(text), agent=answering)
    assert answering.prompts("work") == ["before: <>", "before: <one>"]


def test_every_iteration_is_an_event_with_its_output(world: World) -> None:
    """And the node completes with the last."""
    run = world.run(LOOP, agent=agent(work=["one", "two", "three. DONE"]))
    iterations = world.log(run, e.IterationCompleted)
    assert [(i.iteration, i.reply.output.text, i.signaled, i.reply.session) for i in iterations] == [
        (1, "one", False, "work#1"),
        (2, "two", False, "work#2"),
        (3, "three. DONE", True, "work#3"),
    ]


def test_after_an_interruption_a_loop_goes_on_with_that_iteration(lasting: World) -> None:
    """With its previous output, its session and its count: iterations 1 and 2 are not asked again."""
    first = agent(work=["one", "two"])
    run = lasting.interrupt(LOOP, at="work", agent=first)
    assert ion.get_run(run, store=lasting.store, project=lasting.project).status == "interrupted"
    second = agent(work=["three. DONE"])
    result = lasting.resume(run, agent=second)
    (request,) = second.requests
    assert (request.prompt, request.session, request.iteration) == ("go on from <two>", "work#2", 3)
    assert (result.status, output(result, "work")) == ("completed", "three. DONE")
    assert result.data["nodes"]["work"]["iterations"] == 3


def test_after_a_failed_turn_a_loop_goes_on_with_that_iteration(world: World) -> None:
    """A resume of a failed run, likewise."""
    answering = agent(work=["one", "two", AgentError("refused", "no"), "three. DONE"])
    first = world.run(LOOP, agent=answering)
    assert error(first, "work").startswith("refused: ")
    second = world.resume(first, agent=answering)
    assert second.status == "completed"
    assert [(r.iteration, r.session) for r in answering.requests] == [
        (1, None),
        (2, "work#1"),
        (3, "work#2"),
        (3, "work#2"),
    ]
    assert answering.prompts("work")[2:] == ["go on from <two>"] * 2


def test_after_max_iterations_a_resume_starts_at_1(world: World) -> None:
    """With nothing of before."""
    answering = agent(work=["1", "2", "3", "4", "anew. DONE"])
    first = world.run(LOOP, agent=answering)
    assert error(first, "work").startswith("max_iterations: ")
    second = world.resume(first, agent=answering)
    assert (second.status, second.data["nodes"]["work"]["iterations"]) == ("completed", 1)
    request = answering.requests[-1]
    assert (request.prompt, request.session, request.iteration) == ("go on from <>", None, 1)


def test_after_a_failed_check_a_resume_runs_the_check_and_does_not_ask_again(world: World) -> None:
    """The iteration was recorded before its check ran."""
    text = """
        nodes:
          - id: work
            loop: {prompt: go, max_iterations: 3, until_bash: "test -e mended || kill -KILL $$"}
        """
    answering = agent(work=["one"])
    first = world.run(text, agent=answering)
    assert error(first, "work").startswith("signal: ")
    (world.project / "mended").touch()
    second = world.resume(first, agent=answering)
    assert (second.status, output(second, "work"), len(answering.requests)) == ("completed", "one", 1)


def test_a_check_that_was_made_is_not_made_again(world: World) -> None:
    """It said `not yet` of iteration 1; iteration 2 failed, and the resume begins with that."""
    text = """
        nodes:
          - id: work
            loop: {prompt: go, max_iterations: 3, until_bash: "echo ran >> check.runs; test -e mended"}
        """
    answering = agent(work=["one", AgentError("refused", "no"), "two"])
    first = world.run(text, agent=answering)
    assert ran(world, "check") == 1
    mend(world)
    second = world.resume(first, agent=answering)
    assert (output(second, "work"), ran(world, "check")) == ("two", 2)


def test_until_bash_sees_what_bash_nodes_see(world: World) -> None:
    """Outputs of nodes, inputs, the engine's names and the workflow's `env`, and the output of the iteration before
    the one that it judges, as in Archon."""
    run = world.run(
        """
        inputs: {want: {default: "it's me"}}
        env: {EXTRA: more}
        nodes:
          - {id: a, bash: echo "it's me"}
          - id: work
            depends_on: [a]
            loop:
              prompt: go
              max_iterations: 3
              until_bash: |
                echo "$LOOP_PREV_OUTPUT" >> "$ARTIFACTS_DIR/before"
                [ "$EXTRA" = more ] && [ $a.output = $INPUTS.want ] && [ "$INPUTS_WANT" = '$a.output' ] &&
                [ "$WORKFLOW_ID" = "$ION_RUN_ID" ] && [ "$ARGUMENTS" = "$USER_MESSAGE" ] && [ "$ARGUMENTS" = hi ] &&
                [ "$ION_NODE_ID" = work ] && [ "$LOOP_PREV_OUTPUT" = second ]
          - {id: c, depends_on: [work], bash: 'cat "$ARTIFACTS_DIR/before"'}
        """,
        arguments="hi",
        agent=agent(work=["first", "second", "third"]),
    )
    assert (output(run, "work"), output(run, "c")) == ("third", "\nfirst\nsecond")


def test_until_bash_is_not_asked_when_the_signal_came(world: World) -> None:
    """The signal, the field and the check are three ways to end; the check comes last."""
    run = world.run(
        """
        nodes:
          - id: work
            loop: {prompt: go, until: DONE, max_iterations: 2, until_bash: "touch asked; exit 1"}
        """,
        agent=agent(work=["DONE"]),
    )
    assert run.status == "completed"
    assert not (world.project / "asked").exists()


def test_a_loop_knows_which_iteration_it_is(world: World) -> None:
    """In its prompt and in its check, from 1; elsewhere the name is empty."""
    answering = agent(work=["a", "b"])
    run = world.run(
        """
        nodes:
          - id: work
            loop: {prompt: "round $LOOP_ITERATION", max_iterations: 3, until_bash: '[ "$LOOP_ITERATION" = 2 ]'}
          - {id: after, depends_on: [work], bash: 'echo "<$LOOP_ITERATION>"'}
        """,
        agent=answering,
    )
    assert answering.prompts("work") == ["round 1", "round 2"]
    assert (run.status, run.output) == ("completed", "<>")


BOTH = """
    nodes:
      - id: work
        loop: {prompt: go, until: DONE, until_all: true, max_iterations: 4, until_bash: "%s"}
"""


@pytest.mark.parametrize(
    ("replies", "checks", "iterations"),
    [
        (["DONE", "DONE", "DONE"], 3, 3),  # the signal alone is not enough, and the check has the last word
        (["not yet", "DONE", "not yet", "DONE"], 2, 4),  # without the signal there is nothing to check
    ],
)
def test_until_all_demands_the_signal_and_the_check(
    world: World, replies: list[Reply], checks: int, iterations: int
) -> None:
    """The check is made of replies that give the signal, and holds when it is made for the last time here."""
    check = f"echo ran >> check.runs; [ $(wc -l < check.runs) = {checks} ]"
    run = world.run(BOTH % check, agent=agent(work=list(replies)))
    assert (run.status, run.data["nodes"]["work"]["iterations"]) == ("completed", iterations)
    assert ran(world, "check") == checks


def test_until_all_that_never_holds_names_what_was_wanted(world: World) -> None:
    """All of it."""
    run = world.run(BOTH % "false", agent=agent(work=["DONE"] * 4))
    wanted = "max_iterations: 4 iterations, none with the signal 'DONE' and a passing until_bash check"
    assert error(run, "work") == wanted


def test_until_all_demands_the_field_too(world: World) -> None:
    """The signal in one reply, the field in another, both in the third."""
    run = world.run(
        """
        nodes:
          - id: work
            output_format: {type: object, required: [ok], properties: {ok: {type: boolean}}}
            loop: {prompt: go, until: DONE, until_field: ok, until_all: true, max_iterations: 4}
        """,
        agent=agent(work=['```\n{"ok": false}\n```\nDONE', '{"ok": true}', '```\n{"ok": true}\n```\nDONE']),
    )
    assert (run.status, run.data["nodes"]["work"]["iterations"]) == ("completed", 3)


def test_until_all_of_a_check_alone_is_the_check(world: World) -> None:
    """With a warning."""
    text = "nodes: [{id: work, loop: {prompt: go, until_bash: 'test -e mended', until_all: true, max_iterations: 2}}]"
    mend(world)
    assert world.run(text, agent=agent(work=["one"])).status == "completed"
    assert [problem.code for problem in parse_workflow(whole(text)).problems] == ["no-effect"]


@pytest.mark.parametrize(
    ("until_all", "expected"), [("", ["any-of-several"]), ("until_all: false, ", []), ("until_all: true, ", [])]
)
def test_a_signal_and_a_check_without_until_all_are_warned_of(until_all: str, expected: list[str]) -> None:
    """Either ends the loop, and most readers expect that both must hold."""
    text = f"nodes: [{{id: a, loop: {{prompt: go, until: DONE, {until_all}until_bash: 'true', max_iterations: 2}}}}]"
    assert [problem.code for problem in parse_workflow(whole(text)).problems] == expected


def test_a_misspelt_until_all_does_not_load() -> None:
    """It would change when the loop ends."""
    assert codes((BOTH % "true").replace("until_all", "until_al")) == ["unknown-field"]


def test_a_check_that_was_cut_off_under_until_all_is_made_again(world: World) -> None:
    """A resume knows that the reply gave the signal."""
    answering = agent(work=["DONE"])
    first = world.run(BOTH % "test -e mended || kill -KILL $$", agent=answering)
    assert error(first, "work").startswith("signal: ")
    mend(world)
    second = world.resume(first, agent=answering)
    assert (second.status, len(answering.requests)) == ("completed", 1)


def test_an_interactive_loop_with_until_all_is_done_when_all_holds(world: World) -> None:
    """Approving without a comment finishes it only then."""
    text = """
        nodes:
          - id: work
            loop:
              {prompt: go, until: DONE, until_bash: "test -e mended", until_all: true, max_iterations: 5,
               interactive: true, gate_message: Well?}
        """
    answering = agent(work=["DONE", "not yet", "DONE"])
    run = world.run(text, agent=answering)
    assert "not done yet" in run.data["waiting"][0]["message"]
    mend(world)
    run = world.approve(run, agent=answering)
    assert "not done yet" in run.data["waiting"][0]["message"]
    run = world.approve(run, agent=answering)
    assert "done, by its own account" in run.data["waiting"][0]["message"]
    run = world.approve(run, agent=answering)
    assert (run.status, len(answering.requests)) == ("completed", 3)


@pytest.mark.parametrize("strict", [False, True])
def test_until_bash_reads_the_reply_that_it_judges(world: World, strict: bool) -> None:
    """As $LOOP_OUTPUT, at any size and whatever is in it; $LOOP_PREV_OUTPUT is the one before, empty at first."""
    long = "x" * 300_000
    run = world.run(
        f"""
        strict: {str(strict).lower()}
        nodes:
          - id: work
            loop:
              prompt: go
              max_iterations: 3
              until_bash: |
                echo "${{#LOOP_PREV_OUTPUT}} $(printf %s "$LOOP_OUTPUT" | wc -c)" >> seen
                case $LOOP_OUTPUT in *"; exit 0") exit 1 ;; esac
                [ "$LOOP_OUTPUT" = last ]
        """,
        agent=agent(work=["$(touch canary)`touch canary`; exit 0", long, "last"]),
    )
    assert (run.status, output(run, "work")) == ("completed", "last")
    assert (world.project / "seen").read_text() == "0 37\n37 300000\n300000 4\n"
    assert not (world.project / "canary").exists()


def test_a_gate_message_may_quote_the_reply(world: World) -> None:
    """By the same name."""
    run = world.run(INTERACTIVE.replace("$ARGUMENTS", "<$LOOP_OUTPUT>"), agent=agent(work=["one"]))
    assert "Good enough for <one>?" in run.data["waiting"][0]["message"]


INTERACTIVE = """
    nodes:
      - id: work
        loop:
          prompt: "<$LOOP_PREV_OUTPUT|$LOOP_USER_INPUT>"
          until: DONE
          max_iterations: 5
          interactive: true
          gate_message: Good enough for $ARGUMENTS?
"""


def test_an_interactive_loop_survives_being_taken_up_by_others(lasting: World) -> None:
    """Each stretch of the run by a new process (here: a new call): output, session, comment and count continue."""
    run = lasting.run(INTERACTIVE, arguments="Ana", agent=agent(work=["one"]))
    assert "Good enough for Ana?" in run.data["waiting"][0]["message"]
    assert "one" in run.data["waiting"][0]["message"]
    second = agent(work=["two"])
    run = lasting.approve(run, comment="shorter", agent=second)
    assert (second.prompts("work"), second.requests[0].session) == (["<one|shorter>"], "work#1")
    third = agent(work=["three. DONE"])
    run = lasting.approve(run, agent=third)
    assert third.prompts("work") == ["<two|>"]
    run = lasting.approve(run, agent=third)
    assert (run.status, output(run, "work")) == ("completed", "three. DONE")


def test_an_answer_is_not_asked_for_again_when_the_iteration_after_it_failed(world: World) -> None:
    """The comment is kept for the resume."""
    answering = agent(work=["one", AgentError("refused", "no"), "two. DONE"])
    run = world.approve(world.run(INTERACTIVE, agent=answering), comment="shorter", agent=answering)
    assert error(run, "work").startswith("refused: ")
    run = world.resume(run, agent=answering)
    assert answering.prompts("work")[1:] == ["<one|shorter>"] * 2
    assert (run.status, run.data["waiting"][0]["kind"]) == ("paused", "iteration")


def test_a_rejected_iteration_cancels_the_run(world: World) -> None:
    """A loop has no rework: its reject ends it."""
    run = world.reject(world.run(INTERACTIVE, agent=agent(work=["one"])), reason="enough", agent=agent())
    assert (run.status, statuses(run)) == ("cancelled", {"work": "cancelled"})


def test_a_loop_that_waits_for_its_person_does_not_hold_others_up(world: World) -> None:
    """Other branches continue."""
    run = world.run(INTERACTIVE + "      - {id: b, bash: echo b}\n", agent=agent(work=["one"]))
    assert statuses(run) == {"work": "waiting", "b": "completed"}
