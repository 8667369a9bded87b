"""Prompt turns: what an agent is asked, what its answers mean, and prompts that wait for the caller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from turn_kit import World

from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.agents.callable import CallableAgent
from ion.core.events import Content, PromptAnswered
from ion.core.outcomes import Completed, Failed, PromptOpened
from processes import eventually

SCHEMA = "output_format: {type: object, properties: {ok: {type: boolean}, n: {type: integer}}, required: [ok]}"


class Asked:
    """An agent that answers with `answers` in turn (raising those that are errors) and remembers what it was asked."""

    name = "asked"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or ["fine"]
        self.requests: list[PromptRequest] = []

    async def prompt(self, request: PromptRequest) -> PromptResult:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return PromptResult(answer) if isinstance(answer, str) else answer

    @property
    def prompt_text(self) -> str:
        return self.requests[-1].prompt


def one(folder: Path, node: str, agent: Any = None, **options: Any) -> World:
    """A world with the node `x` after the node `a`."""
    return World(folder, f"nodes:\n  - {{id: a, bash: echo}}\n  - {{id: x, {node}}}\n", agent=agent, **options)


async def test_the_reply_is_the_output(tmp_path: Path) -> None:
    agent = Asked(PromptResult("  two lines\n\n", session="s1", usage={"input_tokens": 3, "cost_usd": 0.5}))
    outcome = await one(tmp_path, "prompt: Do it", agent).run("x")
    assert isinstance(outcome, Completed)
    assert outcome.reply.output == Content("  two lines\n\n")
    assert (outcome.reply.session, outcome.reply.agent, outcome.reply.usage) == (
        "s1",
        "asked",
        {"input_tokens": 3, "cost_usd": 0.5},
    )
    assert (outcome.signaled, outcome.reply.repaired) == (False, False)


async def test_the_request_carries_everything(tmp_path: Path) -> None:
    agent = Asked()
    world = one(
        tmp_path,
        """prompt: Do $a.output, model: m, allowed_tools: [], systemPrompt: Be $a.output, timeout: 5000,
           idle_timeout: 7000, env: {E: $a.output},
           agents: {help: {description: helps $a.output, prompt: hey $a.output, model: $a.output}}""",
        agent,
    ).completed("a", "it's \\1 $& $ARGUMENTS")
    await world.output("x", attempt=2)
    request = agent.requests[0]
    assert request.prompt == "Do it's \\1 $& $ARGUMENTS"
    assert request.system == request.options["systemPrompt"] == "Be it's \\1 $& $ARGUMENTS"
    assert request.options["agents"]["help"]["prompt"] == "hey it's \\1 $& $ARGUMENTS"
    assert request.options["agents"]["help"]["model"] == "$a.output"
    assert (request.options["model"], request.options["allowed_tools"]) == ("m", [])
    assert (request.run_id, request.node, request.attempt) == (world.context.run_id, "x", 2)
    assert request.key == f"{world.context.run_id}/x"
    assert (request.timeout_ms, request.idle_timeout_ms, request.cwd) == (5000, 7000, world.context.cwd)
    assert request.env["E"] == "it's \\1 $& $ARGUMENTS"
    assert request.env["ION_RUN_ID"] == world.context.run_id
    assert "PATH" in request.env
    assert request.progress is not None
    request.progress("thinking")
    assert world.said == [("x", "thinking")]


async def test_usage_that_is_not_a_number_is_noted_and_not_added_up(tmp_path: Path) -> None:
    usage = {"tokens": 7, "cost_usd": float("nan"), "model": "m"}

    class Odd(Asked):
        async def prompt(self, request: PromptRequest) -> PromptResult:
            return PromptResult("ok", usage=usage)  # type: ignore[arg-type]

    outcome = await one(tmp_path, "prompt: x", Odd()).run("x")
    assert isinstance(outcome, Completed)
    assert outcome.reply.usage == {"tokens": 7}
    assert outcome.reply.notes == ("the usage 'cost_usd' is not a number", "the usage 'model' is not a number")


async def test_options_of_the_workflow_stay_as_they_are(tmp_path: Path) -> None:
    """What was rendered for one turn must not be there in the next."""
    agent = Asked()
    world = one(tmp_path, "prompt: x, systemPrompt: Be $a.output", agent).completed("a", "first")
    await world.output("x")
    await world.completed("a", "second").output("x")
    assert [request.system for request in agent.requests] == ["Be first", "Be second"]


async def test_bytes_that_are_no_text_are_marked_in_prompts(tmp_path: Path) -> None:
    agent = Asked()
    await one(tmp_path, "prompt: <$a.output>", agent).completed("a", b"a\xff\xfe\0b").output("x")
    assert agent.prompt_text == "<a\ufffd\ufffd\ufffdb>"


async def test_a_large_output_reaches_the_prompt_whole(tmp_path: Path) -> None:
    agent = Asked()
    await one(tmp_path, "prompt: <$a.output>", agent).completed("a", "é" * 400_000).output("x")
    assert agent.prompt_text == f"<{'é' * 400_000}>"


@pytest.mark.parametrize("template", ["Look at $CONTEXT", "Look at $ISSUE_CONTEXT", "Look at $EXTERNAL_CONTEXT"])
async def test_context_stands_where_it_is_named(tmp_path: Path, template: str) -> None:
    agent = Asked()
    await one(tmp_path, f"prompt: {template}", agent, external_context="issue 7").output("x")
    assert agent.prompt_text == "Look at issue 7"


async def test_context_that_no_text_names_follows_the_prompt(tmp_path: Path) -> None:
    agent = Asked()
    await one(tmp_path, "prompt: Look", agent, external_context="issue 7").output("x")
    assert agent.prompt_text == "Look\n\n---\n\nissue 7"


async def test_a_value_that_cannot_be_read_asks_nobody(tmp_path: Path) -> None:
    agent = Asked()
    error = await one(tmp_path, "prompt: $a.output", agent).failed("a").error("x")
    assert (error.code, agent.requests) == ("reference", [])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentError("rate_limited", "slow down", hint="wait"), "rate_limited"),
        (AgentError("not_logged_in", "who are you"), "not_logged_in"),
        (RuntimeError("a bug"), "crashed"),
        (asyncio.CancelledError(), "cancelled"),
        (TimeoutError("inner"), "timeout"),
    ],
)
async def test_what_an_agent_raises_is_a_failure_with_its_code(tmp_path: Path, error: BaseException, code: str) -> None:
    assert (await one(tmp_path, "prompt: x", Asked(error)).error("x")).code == code


async def test_what_a_failed_attempt_cost_is_counted(tmp_path: Path) -> None:
    agent = Asked(AgentError("refused", "no", usage={"cost_usd": 0.25}))
    outcome = await one(tmp_path, "prompt: x", agent).run("x")
    assert isinstance(outcome, Failed)
    assert outcome.usage == {"cost_usd": 0.25}


async def test_cancelling_the_turn_cancels_the_agent(tmp_path: Path) -> None:
    seen: list[str] = []

    async def slow(request: PromptRequest) -> str:
        seen.append("started")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")
        return ""

    task = asyncio.ensure_future(one(tmp_path, "prompt: x", CallableAgent(slow)).run("x"))
    await eventually(lambda: seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["started", "ended"]


async def test_an_agent_that_keeps_no_limit_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        name = "endless"

        async def prompt(self, request: PromptRequest) -> PromptResult:
            await asyncio.sleep(60)
            raise AssertionError

    monkeypatch.setattr("ion.nodes.prompt._OVERDUE_MS", 0)
    error = await one(tmp_path, "prompt: x, timeout: 100", Endless(), grace_ms=50).error("x")
    assert (error.code, error.message) == ("timeout", "agent endless did not keep its time limit of 100 ms")


@pytest.mark.parametrize("reply", ["", " \n\t"])
async def test_an_empty_reply_fails(tmp_path: Path, reply: str) -> None:
    error = await one(tmp_path, "prompt: x", Asked(reply)).error("x")
    assert (error.code, error.message) == ("bad_output", "the reply is empty")


async def test_half_a_surrogate_pair_in_a_reply_does_no_harm(tmp_path: Path) -> None:
    assert await one(tmp_path, "prompt: x", Asked("a\ud83d\ude00b\ud800c\udcffd")).output("x") == "a😀b\ufffdc\ufffdd"


# ---------------------------------------------------------------------- sessions


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session": "s", "session_agent": "asked"}, "s"),
        ({"session": "s", "session_agent": "another"}, None),
        ({"session": "s", "session_agent": None}, None),
        ({}, None),
    ],
)
async def test_a_session_goes_on_with_its_own_agent_only(
    tmp_path: Path, fields: dict[str, Any], expected: str | None
) -> None:
    agent = Asked()
    await one(tmp_path, "prompt: x", agent).output("x", **fields)
    assert agent.requests[0].session == expected


# ---------------------------------------------------------------------- commands and bindings


async def test_a_command_is_the_text_of_its_file_with_its_bindings(tmp_path: Path) -> None:
    agent = Asked()
    world = World(
        tmp_path,
        """
        inputs: {who: {default: everybody}}
        nodes:
          - {id: a, bash: echo}
          - id: x
            command: greet
            with:
              name: $a.output.name
              all: {from: $a.output.missing, if_skipped: nobody}
              deep: [{who: $INPUTS.who, n: $a.output.n}]
        """,
        agent=agent,
    )
    frozen = world.workflow.commands
    frozen["greet"] = type("F", (), {"text": "Hi $INPUTS.name, $INPUTS.who and $INPUTS.all: $INPUTS.deep"})()
    await world.skipped("a").run("x")
    assert agent.requests == []  # $a.output.name has no default
    world.completed("a", '{"name": "Bo", "n": 4, "missing": "x"}')
    await world.output("x")
    assert agent.prompt_text == 'Hi Bo, everybody and x: [{"who":"everybody","n":4}]'
    assert agent.requests[0].env["INPUTS_DEEP"] == '[{"who":"everybody","n":4}]'


# ---------------------------------------------------------------------- output_format


@pytest.mark.parametrize(
    ("reply", "output", "repaired"),
    [
        ('{"ok": true, "n": 1}', '{"ok":true,"n":1}', False),
        ('Sure!\n```json\n{"ok": true}\n```\nDone.', '{"ok":true}', False),
        ("{'ok': True,}", '{"ok":true}', True),
    ],
)
async def test_json_is_taken_from_the_reply_and_made_compact(
    tmp_path: Path, reply: str, output: str, repaired: bool
) -> None:
    outcome = await one(tmp_path, f"prompt: x, {SCHEMA}", Asked(reply)).run("x")
    assert isinstance(outcome, Completed)
    assert (outcome.reply.output.text, outcome.reply.repaired) == (output, repaired)


async def test_a_limit_and_when_it_ends_are_in_the_failure(tmp_path: Path) -> None:
    agent = Asked(AgentError("quota_exhausted", "no more today", resets_at=1_796_080_129_000))
    outcome = await one(tmp_path, "prompt: x", agent).run("x")
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.resets_at) == ("quota_exhausted", 1_796_080_129_000)


@pytest.mark.parametrize("resets_at", [10**17, -5, 2.5, "soon", float("nan"), True])
async def test_what_is_not_a_time_is_not_when_a_limit_ends(tmp_path: Path, resets_at: Any) -> None:
    agent = Asked(AgentError("quota_exhausted", "no more today", resets_at=resets_at))
    outcome = await one(tmp_path, "prompt: x", agent).run("x")
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.resets_at) == ("quota_exhausted", None)


async def test_a_reply_that_does_not_fit_fails_with_what_is_wrong_and_is_kept(tmp_path: Path) -> None:
    agent = Asked(PromptResult('{"ok": "yes"}', usage={"cost_usd": 1.0}))
    outcome = await one(tmp_path, f"prompt: x, {SCHEMA}", agent).run("x")
    assert [path.read_text() for path in tmp_path.rglob("1-prompt.out")] == ['{"ok": "yes"}']
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "bad_output"
    assert outcome.reask == ("$.ok: 'yes' is not of type 'boolean'",)
    assert outcome.usage == {"cost_usd": 1.0}


async def test_asking_again_repeats_the_prompt_with_the_errors(tmp_path: Path) -> None:
    agent = Asked('{"ok": true}')
    await one(tmp_path, f"prompt: Is it ok?, {SCHEMA}", agent).output("x", reask=("$.ok: 'yes' is wrong", "and more"))
    assert agent.prompt_text.startswith("Is it ok?\n\n")
    assert "- $.ok: 'yes' is wrong\n- and more\n" in agent.prompt_text


async def test_the_json_of_the_agent_counts_but_is_not_trusted(tmp_path: Path) -> None:
    node = f"prompt: x, {SCHEMA}"
    assert await one(tmp_path, node, Asked(PromptResult("", structured={"ok": False}))).output("x") == '{"ok":false}'
    outcome = await one(tmp_path, node, Asked(PromptResult('{"ok": true}', structured={"ok": 1}))).run("x")
    assert isinstance(outcome, Failed)
    assert outcome.reask


# ---------------------------------------------------------------------- loops

LOOP = "loop: {prompt: 'go on from [$LOOP_PREV_OUTPUT]$LOOP_USER_INPUT', max_iterations: 3, until: DONE}"


async def test_a_loops_turn_says_whether_the_signal_came_and_strips_it(tmp_path: Path) -> None:
    agent = Asked("working", "finished <promise>done</promise>", "NOT DONE yet")
    world = one(tmp_path, LOOP, agent)
    seen = []
    for iteration in (1, 2, 3):
        outcome = await world.run("x", iteration=iteration)
        assert isinstance(outcome, Completed)
        seen.append((outcome.reply.output.text, outcome.signaled))
    assert seen == [("working", False), ("finished", True), ("NOT DONE yet", False)]
    assert [request.key for request in agent.requests] == [f"{world.context.run_id}/x/{n}" for n in (1, 2, 3)]


async def test_a_reply_that_is_only_the_signal_is_an_empty_output(tmp_path: Path) -> None:
    outcome = await one(tmp_path, LOOP, Asked("<promise>DONE</promise>")).run("x", iteration=1)
    assert isinstance(outcome, Completed)
    assert (outcome.reply.output.text, outcome.signaled) == ("", True)


async def test_a_loop_sees_its_last_output_and_what_the_person_said(tmp_path: Path) -> None:
    agent = Asked()
    await one(tmp_path, LOOP, agent).output("x", iteration=2, previous=Content("draft"), user_input=", shorter")
    assert agent.prompt_text == "go on from [draft], shorter"


async def test_a_field_ends_a_loop(tmp_path: Path) -> None:
    node = f"loop: {{prompt: go, max_iterations: 3, until_field: ok}}, {SCHEMA}"
    for reply, signaled in (('{"ok": true}', True), ('{"ok": false}', False)):
        outcome = await one(tmp_path, node, Asked(reply)).run("x", iteration=1)
        assert isinstance(outcome, Completed)
        assert outcome.signaled is signaled


async def test_a_rejection_asks_with_its_reason(tmp_path: Path) -> None:
    agent = Asked()
    world = one(tmp_path, "approval: {message: ok?, on_reject: {prompt: 'redo: $REJECTION_REASON'}}", agent)
    await world.output("x", "rejection", iteration=1, rejection_reason="too $ARGUMENTS")
    assert agent.prompt_text == "redo: too $ARGUMENTS"


# ---------------------------------------------------------------------- the host answers


async def test_without_an_agent_the_prompt_is_parked(tmp_path: Path) -> None:
    world = one(tmp_path, f"prompt: Do $a.output, model: m, systemPrompt: Be $a.output, {SCHEMA}").completed("a", "it")
    outcome = await world.run("x", session="s", session_agent=None)
    assert isinstance(outcome, PromptOpened)
    assert (outcome.prompt.text, outcome.system, outcome.session) == ("Do it", "Be it", "s")
    assert outcome.output_format == world.workflow.by_id["x"].output_format
    assert outcome.options["model"] == "m"
    assert outcome.key == f"{world.context.run_id}/x"


async def test_an_open_prompt_can_be_large(tmp_path: Path) -> None:
    world = one(tmp_path, "prompt: $a.output").completed("a", "x" * 500_000)
    outcome = await world.run("x")
    assert isinstance(outcome, PromptOpened)
    assert world.context.read(outcome.prompt) == "x" * 500_000


async def test_the_hosts_answer_is_read_like_any_reply(tmp_path: Path) -> None:
    world = one(tmp_path, f"prompt: x, {SCHEMA}")
    answer = PromptAnswered(0, "x", "x.1", Content('```\n{"ok": true}\n```'), "s9")
    outcome = await world.run("x", "answer", answer=answer)
    assert isinstance(outcome, Completed)
    assert (outcome.reply.output.text, outcome.reply.session, outcome.reply.agent) == ('{"ok":true}', "s9", None)


async def test_the_hosts_answer_can_end_a_loop(tmp_path: Path) -> None:
    answer = PromptAnswered(0, "x", "x.1", Content("all done\nDONE"))
    outcome = await one(tmp_path, LOOP).run("x", "answer", iteration=1, answer=answer)
    assert isinstance(outcome, Completed)
    assert outcome.signaled
