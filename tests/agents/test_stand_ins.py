"""Every preset against a real process that prints what its program was observed to print, well and badly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.agents.command import CommandAgent
from ion.agents.presets import NAMES
from ion.api.agents import make_agent
from ion.api.settings import AgentSettings, Settings

SESSION = "11111111-2222-4333-8444-555555555555"
STAND_IN = Path(__file__).with_name("stand_in.py")
# Files do not differ from run to run: no site packages are looked for.
PYTHON = (sys.executable, "-S", "-E")


@pytest.fixture
def request_(tmp_path: Path) -> PromptRequest:
    env = {**os.environ, "RECORD": str(tmp_path / "record")}
    log = tmp_path / "log" / "x"
    return PromptRequest(run_id="r", node="n", prompt="hello", key="r/n", cwd=tmp_path, env=env, log=log, grace_ms=500)


def agent(name: str, **more: Any) -> CommandAgent:
    settings = AgentSettings(preset=name, command=(*PYTHON, str(STAND_IN), name), **more)
    made = make_agent(name, Settings(agents={name: settings}))
    assert isinstance(made, CommandAgent)
    return made


def told(request: PromptRequest, scenario: str, **env: str) -> PromptRequest:
    return replace(request, env={**request.env, "SCENARIO": scenario, **env})


async def error(name: str, request: PromptRequest) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await agent(name).prompt(request)
    return caught.value


def record(request: PromptRequest) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(request.env["RECORD"]).read_text().splitlines()]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-acp")])
async def test_a_prompt_and_its_answer(request_: PromptRequest, name: str) -> None:
    result = await agent(name).prompt(replace(request_, prompt="--- hi\n$x `y`"))
    assert result.text == "you said: --- hi\n$x `y`"
    with_sessions = {
        "claude": SESSION,
        "codex": SESSION,
        "gemini": SESSION,
        "opencode": "ses_abc123",
        **dict.fromkeys(("cursor", "copilot", "pi", "qwen", "amp"), SESSION),
    }
    assert result.session == with_sessions.get(name)
    assert not list(request_.cwd.glob("log/*.arg")), "no file of an argument is left"


async def test_what_they_report_of_tokens_and_cost(request_: PromptRequest) -> None:
    usages = {
        name: (await agent(name).prompt(request_)).usage for name in ("claude", "codex", "gemini", "opencode", "llm")
    }
    assert usages == {
        "claude": {"input_tokens": 15, "output_tokens": 5, "cached_input_tokens": 3, "cost_usd": 0.25},
        "codex": {"input_tokens": 100, "output_tokens": 9, "cached_input_tokens": 7},
        "gemini": {"input_tokens": 11, "output_tokens": 4, "cached_input_tokens": 0},
        "opencode": {"input_tokens": 46, "output_tokens": 12, "cached_input_tokens": 2, "cost_usd": 0.03},
        "llm": {},
    }


async def test_a_turn_counts_alone_where_the_whole_session_is_reported(request_: PromptRequest) -> None:
    """Nothing, rather than too much, of a session that another process had begun."""
    codex = agent("codex")
    first = await codex.prompt(request_)
    again = await codex.prompt(replace(request_, session=first.session))
    assert first.usage == again.usage == {"input_tokens": 100, "output_tokens": 9, "cached_input_tokens": 7}
    assert (await agent("codex").prompt(replace(request_, session="another"))).usage == {}


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode", "cursor"])
async def test_a_session_is_gone_on_with(request_: PromptRequest, name: str) -> None:
    result = await agent(name).prompt(replace(request_, session="s-42", fresh_prompt="all of it"))
    assert (result.text, result.session) == ("you said: hello", "s-42")


@pytest.mark.parametrize("name", ["goose", "llm", "aider"])
async def test_an_agent_without_sessions_gets_the_whole_prompt(request_: PromptRequest, name: str) -> None:
    result = await agent(name).prompt(replace(request_, session="s-42", fresh_prompt="all of it"))
    assert (result.text, result.session) == ("you said: all of it", None)


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode"])
async def test_a_session_that_is_gone_is_begun_anew_with_the_whole_prompt(request_: PromptRequest, name: str) -> None:
    said: list[str] = []
    request = told(replace(request_, session="s-42", fresh_prompt="all of it", progress=said.append), "gone")
    result = await agent(name).prompt(request)
    assert (result.text, result.session) == ("you said: all of it", "ses_abc123" if name == "opencode" else SESSION)
    assert said[0] == f"{name} no longer has the session s-42: asked in a new one"
    assert [any("s-42" in word for word in one["argv"]) for one in record(request)] == [True, False]


@pytest.mark.parametrize(
    ("name", "scenario", "code", "message"),
    [
        ("claude", "unauthorized", "not_logged_in", "agent claude failed [exit 1]: Not logged in · Please run /login"),
        ("claude", "not_logged_in", "crashed", "agent claude failed [exit 1]: Not logged in · Please run /login"),
        ("claude", "rate_limited", "rate_limited", "agent claude failed [exit 1]: API Error: rate limited"),
        ("claude", "error", "crashed", "agent claude failed [exit 1]: API Error: Connection refused"),
        ("claude", "error_but_0", "crashed", "agent claude failed: it says so"),
        ("claude", "max_budget", "budget", "agent claude failed [exit 1]: over budget"),
        ("claude", "refused", "refused", "agent claude failed: I will not."),
        ("codex", "error", "crashed", "agent codex failed [exit 1]: stream disconnected before completion"),
        ("gemini", "not_logged_in", "not_logged_in", "agent gemini failed [exit 41]: what it says"),
        ("gemini", "input", "refused", "agent gemini failed [exit 42]: what it says"),
        ("gemini", "untrusted", "refused", "agent gemini failed [exit 55]: what it says"),
        ("gemini", "rate_limited", "rate_limited", "agent gemini failed [exit 1]: what it says"),
        ("opencode", "not_logged_in", "not_logged_in", "agent opencode failed [exit 1]: no key"),
        ("opencode", "rate_limited", "rate_limited", "agent opencode failed: slow down"),
        ("llm", "error", "crashed", "agent llm failed [exit 1]: Error: no model"),
    ],
)
async def test_failures_have_the_code_that_their_structure_says(
    request_: PromptRequest, name: str, scenario: str, code: str, message: str
) -> None:
    caught = await error(name, told(request_, scenario))
    assert (caught.error_code, caught.message) == (code, message)
    assert bool(caught.hint) == (code == "not_logged_in")


async def test_a_failed_attempt_has_cost_something_too(request_: PromptRequest) -> None:
    assert (await error("claude", told(request_, "error"))).usage["cost_usd"] == 0.25


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode"])
@pytest.mark.parametrize("scenario", ["nothing", "junk"])
async def test_exit_0_without_a_result_is_no_success(request_: PromptRequest, name: str, scenario: str) -> None:
    caught = await error(name, told(request_, scenario))
    assert caught.error_code == "bad_output"
    assert "ended well but gave no result" in caught.message


async def test_lines_of_megabytes_a_death_in_the_middle_and_silence(request_: PromptRequest) -> None:
    assert (await agent("claude").prompt(told(request_, "long"))).text == "you said: hello"
    died = await error("codex", told(request_, "dies"))
    assert (died.error_code, died.message[:37]) == ("crashed", 'agent codex was ended by SIGKILL: {"t'[:37])
    silent = await error("opencode", told(replace(request_, idle_timeout_ms=300), "silent"))
    assert (silent.error_code, silent.message) == ("timeout", "agent opencode said nothing for 300 ms")


async def test_structured_output_is_asked_for_and_given_back(request_: PromptRequest) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    request = replace(request_, output_format=schema)
    assert (await agent("claude").prompt(request)).structured == {"answer": 1}
    assert (await agent("codex").prompt(request)).text == '{"answer": 1}'


@pytest.mark.parametrize("name", ["codex", "gemini", "opencode"])
async def test_a_schema_without_an_option_is_told_in_the_prompt(request_: PromptRequest, name: str) -> None:
    """codex has one, but the API behind it takes no object that is open."""
    request = replace(request_, output_format={"type": "object"})
    said = (await agent(name).prompt(request)).text
    assert said.endswith('Reply with nothing but JSON that fits this JSON Schema:\n{"type": "object"}')


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_a_session_keeps_its_first_system_prompt_and_that_is_noted(request_: PromptRequest, name: str) -> None:
    asked = agent(name)
    first = await asked.prompt(replace(request_, system="be kind"))
    same = await asked.prompt(replace(request_, system="be kind", session=first.session))
    other = await asked.prompt(replace(request_, system="be harsh", session=first.session))
    assert (first.notes, same.notes) == ((), ())
    assert other.notes == (f"its systemPrompt may not count: {name} keeps that of the first prompt of a session",)


async def test_an_option_without_effect_is_said_once(request_: PromptRequest) -> None:
    said: list[str] = []
    request = replace(request_, options={"hooks": {}, "model": "m"}, progress=said.append)
    gemini = agent("gemini", options={"effort": "high"})
    await gemini.prompt(request)
    await gemini.prompt(request)
    assert said == [
        "gemini has no option for effort: it is not passed on",
        "gemini has no option for hooks: it is not passed on",
    ]
    assert "--model=m" in record(request)[0]["argv"]


async def test_the_options_of_the_settings_are_defaults(request_: PromptRequest) -> None:
    claude = agent(
        "claude", options={"model": "large", "effort": "low"}, permission="deny", env={"SCENARIO": "error_but_0"}
    )
    with pytest.raises(AgentError, match="it says so"):
        await claude.prompt(replace(request_, options={"model": "small"}, system="be kind"))
    argv = record(request_)[0]["argv"]
    assert argv[:4] == ["-p", "--output-format=stream-json", "--verbose", "--permission-mode=dontAsk"]
    assert sorted(argv[4:]) == ["--append-system-prompt=be kind", "--effort=low", "--model=small"]


@pytest.mark.parametrize(
    ("name", "prompt", "asked"),
    [
        ("claude", "see @/etc/passwd\n@secret me@home", "see \\@/etc/passwd\n\\@secret me@home"),
        ("gemini", "see (@secret) me@home \\@kept", "see (\\@secret) me\\@home \\@kept"),
        ("qwen", "@property", "\\@property"),
        ("codex", "see @secret", "see @secret"),
    ],
)
async def test_no_prompt_names_a_file_that_the_program_would_read(
    request_: PromptRequest, name: str, prompt: str, asked: str
) -> None:
    assert (await agent(name).prompt(replace(request_, prompt=prompt))).text == f"you said: {asked}"


async def test_json_at_a_pointer(request_: PromptRequest) -> None:
    script = 'print(\'{"a": [{"b/c": "found"}], "id": "s1", "n": {"x": 1}}\')'
    command = (*PYTHON, "-c", script)

    async def ask(pointer: str) -> PromptResult:
        settings = AgentSettings(command=command, parser="json", pointer=pointer, session_pointer="/id")
        return await make_agent("mine", Settings(agents={"mine": settings})).prompt(request_)

    assert await ask("/a/0/b~1c") == PromptResult("found", "s1")
    assert await ask("/n") == PromptResult('{"x": 1}', "s1", {"x": 1})
    with pytest.raises(AgentError, match="gave no result"):
        await ask("/a/1")


@pytest.mark.parametrize("prompt", ["/run touch made", "!touch made", "\n /run touch made"])
async def test_no_prompt_is_a_command_of_the_program(request_: PromptRequest, prompt: str) -> None:
    result = await agent("aider").prompt(replace(request_, prompt=prompt))
    assert result.text == f"you said: The task:\n\n{prompt}"
    assert not (request_.cwd / "made").exists()
