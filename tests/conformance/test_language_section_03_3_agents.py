"""language.md §3.3: what agents are handed, whose session continues, and replies that must fit a schema."""

from __future__ import annotations

import asyncio
import json

import pytest

from conformance.kit import Clock, World, agent, codes, error, output, statuses
from ion import AgentError, PromptRequest, PromptResult
from ion.core import events as e
from ion.errors import MissingRuntimeError, UsageError


def test_options_are_handed_over_as_they_are_and_their_texts_filled_in(world: World) -> None:
    """`systemPrompt` and the `prompt` and `description` of `agents` are texts; everything else is data."""
    answering = agent()
    world.run(
        """
        nodes:
          - id: a
            prompt: hi
            systemPrompt: You serve $ARGUMENTS.
            agents:
              helper: {description: helps $ARGUMENTS, prompt: Help $ARGUMENTS, model: $ARGUMENTS, tools: [read]}
            hooks: {PreToolUse: [{matcher: $ARGUMENTS}]}
            mcp: $ARGUMENTS.json
            maxBudgetUsd: 1.5
            thinking: {type: enabled, budgetTokens: 4000}
            betas: []
        """,
        arguments="Ana",
        agent=answering,
    )
    (request,) = answering.requests
    assert request.system == "You serve Ana."
    assert request.options == {
        "systemPrompt": "You serve Ana.",
        "agents": {
            "helper": {"description": "helps Ana", "prompt": "Help Ana", "model": "$ARGUMENTS", "tools": ["read"]}
        },
        "hooks": {"PreToolUse": [{"matcher": "$ARGUMENTS"}]},
        "mcp": "$ARGUMENTS.json",
        "maxBudgetUsd": 1.5,
        "thinking": {"type": "enabled", "budgetTokens": 4000},
        "betas": [],
    }


def sessions(world: World, nodes: str, **answers: list[str | PromptResult | Exception]) -> dict[str, str | None]:
    """Which session each node's first prompt continued. Sessions are named `NODE#1`."""
    answering = agent(**answers)
    world.run(f"inputs: {{x: {{default: no}}}}\nnodes:\n{nodes}", agent=answering)
    return {request.node: request.session for request in reversed(answering.requests)}


def test_a_chain_of_prompts_is_one_conversation(world: World) -> None:
    """Each continues the session of the one before; nodes without an agent do not matter."""
    assert sessions(
        world,
        """
  - {id: a, prompt: hi}
  - {id: b, prompt: hi, depends_on: [a]}
  - {id: shell, bash: echo, depends_on: [b]}
  - {id: c, prompt: hi, depends_on: [shell]}
""",
    ) == {"a": None, "b": "a#1", "c": "b#1"}


def test_a_layer_of_several_nodes_resets_the_conversation(world: World) -> None:
    """Neither they nor the next one alone continue anything; `shared` does."""
    assert sessions(
        world,
        """
  - {id: a, prompt: hi}
  - {id: b, prompt: hi, depends_on: [a]}
  - {id: beside, bash: echo, depends_on: [a]}
  - {id: c, prompt: hi, depends_on: [b, beside]}
  - {id: d, prompt: hi, depends_on: [c]}
""",
    ) == {"a": None, "b": None, "c": None, "d": "c#1"}


def test_shared_goes_on_with_the_last_conversation_behind_such_a_layer_too(world: World) -> None:
    """With the session of the last agent node that was alone in its layer."""
    assert sessions(
        world,
        """
  - {id: a, prompt: hi}
  - {id: b, prompt: hi, depends_on: [a]}
  - {id: beside, prompt: hi, depends_on: [a]}
  - {id: c, prompt: hi, depends_on: [b, beside], context: shared}
""",
    ) == {"a": None, "b": None, "beside": None, "c": "a#1"}


def test_fresh_starts_a_new_conversation_that_the_next_node_goes_on_with(world: World) -> None:
    """The one before is left."""
    assert sessions(
        world,
        """
  - {id: a, prompt: hi}
  - {id: b, prompt: hi, depends_on: [a], context: fresh}
  - {id: c, prompt: hi, depends_on: [b]}
""",
    ) == {"a": None, "b": None, "c": "b#1"}


def test_resume_names_whose_conversation_goes_on(world: World) -> None:
    """Any agent node upstream."""
    assert sessions(
        world,
        """
  - {id: a, prompt: hi}
  - {id: b, prompt: hi, depends_on: [a], context: fresh}
  - {id: c, prompt: hi, depends_on: [b], context: {resume: a}}
  - {id: d, prompt: hi, depends_on: [b], context: {resume: b}}
""",
    ) == {"a": None, "b": None, "c": "a#1", "d": "b#1"}


@pytest.mark.parametrize(
    ("source", "code"), [("shell", "bad-resume"), ("later", "bad-resume"), ("nobody", "unknown-node")]
)
def test_only_the_conversation_of_an_agent_node_upstream_can_be_resumed(source: str, code: str) -> None:
    """Found when the file is loaded."""
    assert codes(f"""
        nodes:
          - {{id: shell, bash: echo}}
          - {{id: a, prompt: hi, depends_on: [shell], context: {{resume: {source}}}}}
          - {{id: later, prompt: hi, depends_on: [a]}}
        """) == [code]


@pytest.mark.parametrize(
    "middle",
    [
        "  - {id: b, prompt: hi, depends_on: [a], when: $INPUTS.x == 'yes'}\n",
        "  - {id: b, prompt: fail, depends_on: [a]}\n",
    ],
    ids=["skipped", "failed"],
)
def test_a_skipped_or_failed_node_hands_on_what_it_would_have_continued(world: World, middle: str) -> None:
    """c continues a."""
    seen = sessions(
        world,
        "  - {id: a, prompt: hi}\n" + middle + "  - {id: c, prompt: hi, depends_on: [b], trigger_rule: all_done}\n",
        b=[AgentError("refused", "no")],
    )
    assert (seen["a"], seen["c"]) == (None, "a#1")


def test_a_loop_starts_fresh_and_hands_on_its_last_session(world: World) -> None:
    """Whatever was before it."""
    answering = agent(work=["once", "twice. DONE"])
    world.run(
        """
        nodes:
          - {id: a, prompt: hi}
          - {id: work, depends_on: [a], loop: {prompt: go, until: DONE, max_iterations: 3}}
          - {id: c, prompt: hi, depends_on: [work]}
        """,
        agent=answering,
    )
    assert [request.session for request in answering.requests] == [None, None, "work#1", "work#2"]


@pytest.mark.parametrize("key", ["agent: tester", "provider: other"])
def test_another_agent_starts_fresh(world: World, key: str) -> None:
    """A session belongs to the agent that has it; the run's own may be named too."""
    seen = sessions(world, f"  - {{id: a, prompt: hi}}\n  - {{id: b, prompt: hi, depends_on: [a], {key}}}\n")
    assert seen == {"a": None, "b": None}


def test_who_answers_is_the_nodes_agent_else_a_configured_provider_else_the_runs(world: World) -> None:
    """A workflow's `agent:` is that of its nodes; a `provider:` that nobody configured says nothing, even if it is
    a preset."""
    agents = "{shout: {command: tr a-z A-Z}, dash: {command: tr a-z -}, loud: {command: tr a-z '!'}}"
    world.file(".ion/config.yaml", f"agent: shout\nagents: {agents}\n")
    nodes = """
    nodes:
      - {id: default, prompt: hi}
      - {id: named, prompt: hi, agent: dash, provider: loud}
      - {id: provided, prompt: hi, provider: loud}
      - {id: unknown, prompt: hi, provider: claude}
    """
    run = world.run(nodes)
    assert [output(run, node) for node in ("default", "named", "provided", "unknown")] == ["HI", "--", "!!", "HI"]
    run = world.run(nodes, agent="cat")
    assert [output(run, node) for node in ("default", "named", "provided", "unknown")] == ["hi", "--", "!!", "hi"]
    run = world.run("agent: dash\nnodes: [{id: a, prompt: hi, provider: loud}]\n")
    assert output(run, "a") == "--"


@pytest.mark.parametrize(
    ("name", "hint"), [("shuot", "did you mean 'shout'?"), ("cladue", "did you mean 'claude'?"), ("tr a-z A-Z", "")]
)
def test_an_agent_that_names_nothing_is_an_error_before_the_run_begins(world: World, name: str, hint: str) -> None:
    """A command line is none: it belongs into the settings, where the name is given to it."""
    world.file(".ion/config.yaml", "agents: {shout: {command: tr a-z A-Z}}\n")
    with pytest.raises(UsageError, match="neither configured nor a preset") as caught:
        world.run(f"nodes: [{{id: a, bash: touch ran}}, {{id: b, prompt: hi, agent: {name}}}]\n")
    assert (caught.value.error_code, caught.value.message.split("'")[1]) == ("unknown-agent", name)
    assert hint in caught.value.hint
    assert not (world.project / "ran").exists()
    assert not world.store.list_workflow_runs(project=str(world.project))


def test_an_agent_that_is_not_installed_is_an_error_before_the_run_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install, for all of them at once; nodes that nobody answers with it do not matter."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    nodes = "nodes: [{id: a, prompt: hi, agent: codex}, {id: b, prompt: hi}, {id: c, bash: echo}]\n"
    with pytest.raises(MissingRuntimeError, match="codex, the agent of the node a, is not installed") as caught:
        world.run(nodes, agent="gemini")
    assert "gemini, the agent of the node b" in caught.value.message
    assert (
        caught.value.hint == "install it: npm install -g @openai/codex; install it: npm install -g @google/gemini-cli"
    )
    assert world.run("nodes: [{id: c, bash: echo}]\n", agent="gemini").status == "completed"
    with pytest.raises(MissingRuntimeError, match=r"\./there, the agent of the node a, is not installed"):
        world.run("nodes: [{id: a, prompt: hi}]\n", agent="./there")
    there = world.file("there", "#!/bin/sh\ncat\n")
    there.chmod(0o755)
    assert output(world.run("nodes: [{id: a, prompt: hi}]\n", agent="./there"), "a") == "hi"


def test_a_node_names_an_agent_of_the_settings(world: World) -> None:
    """The others are answered by the run's; sessions do not go from one to the other."""
    world.file(".ion/config.yaml", "agents: {shouter: {command: tr a-z A-Z}}\n")
    answering = agent()
    run = world.run(
        """
        nodes:
          - {id: a, prompt: one}
          - {id: b, prompt: two, depends_on: [a], agent: shouter}
          - {id: c, prompt: three, depends_on: [b]}
        """,
        agent=answering,
    )
    assert output(run, "b") == "TWO"
    assert [(request.node, request.session) for request in answering.requests] == [("a", None), ("c", None)]


# ---------------------------------------------------------------------- output_format

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["bug", "idea"]}, "score": {"type": "number"}},
    "required": ["kind"],
}
STRUCTURED = f"""
    nodes:
      - id: ask
        prompt: Classify.
        output_format: {json.dumps(SCHEMA)}
"""


@pytest.mark.parametrize(
    ("reply", "seen", "repaired"),
    [
        ('{"kind": "bug"}', '{"kind":"bug"}', False),
        ('  {"kind": "bug", "score": 1.0}\n', '{"kind":"bug","score":1}', False),
        ('Here:\n```json\n{"kind": "bug"}\n```\nDone.', '{"kind":"bug"}', False),
        ('Here: ```{"kind": "bug"}``` Done.', '{"kind":"bug"}', False),
        ('```python\nx = {}\n```\n```\n{"kind": "idea"}\n```', '{"kind":"idea"}', False),
        ('{"kind": "bug"} {"kind": "idea"}', '{"kind":"bug"}', False),
        ("{'kind': 'bug',}", '{"kind":"bug"}', True),
        ('{"kind": "bug", "note": "é"}', '{"kind":"bug","note":"é"}', False),
    ],
)
def test_json_is_taken_out_of_the_reply(world: World, reply: str, seen: str, repaired: bool) -> None:
    """The reply itself, else the first value in it that fits, else what a strict repair makes of it, which the event
    notes; the output is that JSON, compact."""
    run = world.run(STRUCTURED, agent=agent(ask=[reply]))
    assert output(run, "ask") == seen
    assert [event.reply.repaired for event in world.log(run, e.NodeCompleted)] == [repaired]


@pytest.mark.parametrize("reply", ['{"kind": }', "kind: bug"])
def test_what_would_have_to_be_guessed_is_not_repaired(world: World, reply: str) -> None:
    """The repair is strict; the agent is asked again."""
    answering = agent(ask=[reply, '{"kind": "idea"}'])
    assert output(world.run(STRUCTURED, agent=answering), "ask") == '{"kind":"idea"}'
    assert len(answering.requests) == 2


def test_a_reply_that_does_not_fit_is_asked_for_again_in_a_session_of_its_own(world: World) -> None:
    """The same prompt, followed by the errors; what follows continues the session that gave the answer."""
    text = STRUCTURED + "      - {id: after, prompt: hi, depends_on: [ask]}\n"
    text = text.replace("prompt: Classify.", "prompt: Classify.\n        depends_on: [before]")
    text += "      - {id: before, prompt: hi}\n"
    answering = agent(ask=['{"kind": "wish"}', '{"kind": "idea"}'])
    run = world.run(text, agent=answering)
    assert run.status == "completed"
    first, second = answering.of("ask")
    assert (first.session, second.session) == ("before#1", None)
    assert second.prompt.startswith("Classify.\n")
    assert "'wish' is not one of ['bug', 'idea']" in second.prompt
    assert answering.of("after")[0].session == "ask#2"
    assert first.output_format == second.output_format == SCHEMA
    (retrying,) = world.log(run, e.NodeRetrying)
    assert "wish" in retrying.reask[0]


def test_a_reply_that_never_fits_fails_the_node_with_what_was_wrong(world: World) -> None:
    """After the third."""
    answering = agent(ask=["no", "[]", '{"kind": "wish"}'])
    run = world.run(STRUCTURED, agent=answering)
    assert error(run, "ask").startswith("bad_output: ")
    assert "'wish'" in error(run, "ask")


def test_an_empty_reply_fails_the_node(world: World) -> None:
    """As in Archon (§2.8); and it is not asked for again."""
    assert error(world.run("nodes: [{id: a, prompt: hi}]\n", agent=agent(a=["  \n"])), "a").startswith("bad_output: ")


def test_a_schema_that_is_none_is_an_error_of_the_file() -> None:
    """Found before anything runs."""
    assert codes("nodes: [{id: a, prompt: hi, output_format: {type: objekt}}]\n") == ["bad-output-format"]


def test_usage_is_counted_failed_attempts_included(world: World, hurry: Clock) -> None:
    """What agents report is added up."""
    answers = [AgentError("crashed", "no", usage={"cost_usd": 0.5}), PromptResult("yes", usage={"cost_usd": 0.25})]
    run = world.run("nodes: [{id: a, prompt: hi}]\n", agent=agent(a=list(answers)))
    assert run.state.nodes["a"].usage == {"cost_usd": 0.75}


# ---------------------------------------------------------------------- time


def test_an_agent_that_falls_silent_fails_the_node_even_if_it_had_said_something(world: World, hurry: Clock) -> None:
    """`idle_timeout` counts since it last said anything; it is a transient error, so there were three attempts."""
    spoken = 0

    async def ask(request: PromptRequest) -> str:
        nonlocal spoken
        assert request.progress is not None
        request.progress("so far so good")
        spoken += 1
        await asyncio.sleep(30)
        return "too late"

    run = world.run("nodes: [{id: a, prompt: hi, idle_timeout: 60}]\n", agent=ask)
    assert error(run, "a").startswith("timeout: ")
    assert (spoken, statuses(run)) == (3, {"a": "failed"})


def test_an_agent_that_keeps_talking_is_not_idle(world: World) -> None:
    """However long it takes."""

    async def ask(request: PromptRequest) -> str:
        assert request.progress is not None
        for _ in range(10):
            await asyncio.sleep(0.04)
            request.progress("still there")
        return "done"

    assert output(world.run("nodes: [{id: a, prompt: hi, idle_timeout: 250}]\n", agent=ask), "a") == "done"


def test_a_timeout_is_wall_clock_for_each_attempt(world: World, hurry: Clock) -> None:
    """Of an agent that talks all the time, too; the second attempt has the whole time again."""
    attempts: list[int] = []

    async def ask(request: PromptRequest) -> str:
        attempts.append(request.attempt)
        while len(attempts) < 2:
            assert request.progress is not None
            request.progress("busy")
            await asyncio.sleep(0.01)
        return "done"

    run = world.run("nodes: [{id: a, prompt: hi, timeout: 100}]\n", agent=ask)
    assert (output(run, "a"), attempts) == ("done", [1, 2])
