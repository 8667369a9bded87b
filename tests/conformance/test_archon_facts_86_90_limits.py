"""Archon's facts 86–90: time limits, structured replies, and the kinds that this version does not run yet."""

from __future__ import annotations

from conformance.kit import Clock, World, agent, error, output
from ion import PromptResult
from ion.core import events as e


def test_fact_86_a_script_that_takes_too_long_fails(world: World) -> None:
    """86: the limit is in the message; without `retry` there is one attempt, and nobody waits for the sleep."""
    run = world.run("nodes:\n  - {id: a, timeout: 100, bash: sleep 3600}\n")
    assert error(run, "a").startswith("timeout: bash timed out after 100 ms")


def test_fact_86_a_time_limit_is_a_transient_error(world: World, hurry: Clock) -> None:
    """86 [Ion]: with `retry` the timeout is tried again, by the default `on_error: transient`."""
    run = world.run("""
        nodes:
          - id: a
            timeout: 200
            retry: {max_attempts: 1, delay_ms: 1000}
            bash: test -e tried || { touch tried; sleep 5; }; echo in time
        """)
    assert (run.status, output(run, "a")) == ("completed", "in time")
    assert [event.error.code for event in world.log(run, e.NodeRetrying)] == ["timeout"]


STRUCTURED = """
    nodes:
      - id: ask
        prompt: Give x.
        output_format: {type: object, properties: {x: {type: number}}, required: [x]}
"""


def test_fact_87_a_reply_that_does_not_fit_is_asked_for_again(world: World) -> None:
    """87: invalid twice, then valid: completed at the third asking, each time told what was wrong, without a delay."""
    answering = agent(ask=["no JSON at all", '{"y": 1}', '```json\n{"x": 1.50}\n```'])
    run = world.run(STRUCTURED, agent=answering)
    assert (run.status, output(run, "ask")) == ("completed", '{"x":1.5}')
    first, second, third = answering.prompts("ask")
    assert first == "Give x."
    assert second.startswith("Give x.\n")
    assert "is not JSON" in second
    assert "'x' is a required property" in third
    assert [event.due_at - event.at for event in world.log(run, e.NodeRetrying)] == [0, 0]


def test_fact_87_the_third_reply_that_does_not_fit_fails_the_node(world: World) -> None:
    """87: asked twice more and no oftener."""
    run = world.run(STRUCTURED, agent=agent(ask=["no", "no", "no"]))
    assert error(run, "ask").startswith("bad_output: ")


def test_fact_87_an_agents_own_json_is_checked_too(world: World) -> None:
    """87 [Ion]: Ion has no provider, so none is believed: structured output that does not fit is asked for again."""
    answers = [PromptResult("text", structured={"y": 1}), PromptResult("text", structured={"x": 2})]
    run = world.run(STRUCTURED, agent=agent(ask=list(answers)))
    assert (run.status, output(run, "ask")) == ("completed", '{"x":2}')


def test_facts_88_to_90_nodes_inside_of_nodes(world: World) -> None:
    """88-90: a graph is repeated until it signals the end, and a node runs for each item. [Ion]: any kind of node."""
    run = world.run("""
        nodes:
          - id: again
            loop_group:
              until: DONE
              max_iterations: 2
              nodes: [{id: x, bash: 'echo no; test $LOOP_ITERATION = 1 || echo DONE'}]
          - {id: many, bash: 'echo "$INPUTS.item!"', fan_out: {items: [1, b]}, depends_on: [again]}
        """)
    assert (run.status, output(run, "again"), output(run, "many")) == ("completed", "no\nDONE", '["1!","b!"]')
