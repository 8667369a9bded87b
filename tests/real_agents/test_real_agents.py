"""The agents that npm and PyPI carry, as they are, with the presets that ship: a prompt, a session that continues, a
failure, a model, a form of the output. CONTRIBUTING.md says how to run these."""

from __future__ import annotations

from typing import Any

import pytest

from real_agents.places import Place
from real_agents.provider import EXACTLY, USED_IN, USED_OUT

pytestmark = [pytest.mark.real_agents, pytest.mark.timeout(400)]

# An agent → the model of the option, and what the provider is then asked for ('' where the path has it).
MODELS = {
    "claude": ("claude-sonnet-4-5", "claude-sonnet-4-5"),
    "codex": ("gpt-5-mini", "gpt-5-mini"),
    "gemini": ("gemini-2.5-flash", ""),
    "opencode": ("standin/two", "two"),
    "llm": ("standin", "one"),
}
WITH_SESSIONS = ["claude", "codex", "gemini", "opencode"]
# What 401 of the provider is. Codex and llm say it in words alone, and words give no code.
REFUSED = {
    "claude": "not_logged_in",
    "codex": "crashed",
    "gemini": "not_logged_in",
    "opencode": "not_logged_in",
    "llm": "crashed",
}
ACP = ["claude-acp", "codex-acp", "gemini-acp", "opencode-acp"]


def node(agent: str, prompt: str, name: str = "one", more: str = "") -> str:
    model = f"  model: {MODELS[agent][0]}\n" if agent in MODELS else ""
    return f"- id: {name}\n  prompt: '{prompt}'\n{model}{more}"


def usage(here: Place) -> list[dict[str, Any]]:
    return [event["usage"] for event in here.events() if event.get("usage")]


@pytest.mark.parametrize("agent", MODELS)
def test_a_prompt_a_model_and_what_it_used(here: Place, agent: str) -> None:
    status, run = here.run(agent, node(agent, "hello there"))
    assert (status, run["status"]) == (0, "completed"), run
    assert run["nodes"]["one"]["output"].strip() == "you said: hello there"
    chosen, asked_for = MODELS[agent]
    if asked_for:
        assert asked_for in {body["model"] for body in here.provider.asked("hello there")}
    else:
        assert all(chosen in path for path, _ in here.provider.requests)
    if agent != "llm":
        (used,) = usage(here)
        assert (used["input_tokens"], used["output_tokens"]) == (USED_IN, USED_OUT)


@pytest.mark.parametrize("agent", WITH_SESSIONS)
def test_a_session_goes_on(here: Place, agent: str) -> None:
    first = node(agent, "the word is heron")
    second = node(agent, "and the next", "two", "  depends_on: [one]\n  context: {resume: one}\n")
    status, run = here.run(agent, first + second)
    assert status == 0, run
    assert run["nodes"]["two"]["output"].strip() == "you said: and the next"
    asked = str(here.provider.asked("and the next")[-1])
    assert "the word is heron" in asked
    assert "you said: the word is heron" in asked
    # Codex prints the total of the whole session: each turn counts alone all the same.
    assert [(used["input_tokens"], used["output_tokens"]) for used in usage(here)] == [(USED_IN, USED_OUT)] * 2


@pytest.mark.parametrize("agent", MODELS)
def test_a_provider_that_refuses_the_key(here: Place, agent: str) -> None:
    here.provider.failure = 401
    status, run = here.run(agent, node(agent, "hello"))
    assert (status, run["status"]) == (1, "failed")
    assert here.provider.requests
    error = run["nodes"]["one"]["error"]
    assert error["code"].rpartition("/")[2] == REFUSED[agent], error
    assert "401" in error["message"]


def test_a_provider_that_is_asked_too_often(here: Place) -> None:
    here.provider.failure = 429
    status, run = here.run("claude", node("claude", "hello", more="  retry: {max_attempts: 1, delay_ms: 1000}\n"))
    assert status == 1
    assert run["nodes"]["one"]["error"]["code"].rpartition("/")[2] == "rate_limited"


def test_a_provider_that_never_answers(here: Place) -> None:
    here.provider.failure = "hang"
    status, run = here.run("claude", node("claude", "hello", more="  timeout: 8000\n"))
    assert status == 1
    assert here.provider.requests
    assert "timeout" in run["nodes"]["one"]["error"]["code"]


@pytest.mark.parametrize("agent", MODELS)
def test_a_form_of_the_output(here: Place, agent: str) -> None:
    form = (
        "  output_format:\n    type: object\n    properties: {name: {type: string}}\n"
        "    required: [name]\n    additionalProperties: false\n"
    )
    text = EXACTLY + '{"name": "heron"}'
    after = "- id: two\n  depends_on: [one]\n  bash: echo $one.output.name\n"
    status, run = here.run(agent, node(agent, text, more=form) + after)
    assert status == 0, run
    assert run["nodes"]["two"]["output"].strip() == "heron"


@pytest.mark.parametrize("agent", ACP)
def test_a_prompt_and_a_session_by_acp(here: Place, agent: str) -> None:
    second = node(agent, "and the next", "two", "  depends_on: [one]\n  context: {resume: one}\n")
    status, run = here.run(agent, node(agent, "the word is heron") + second)
    assert status == 0, run
    assert run["nodes"]["one"]["output"].strip().endswith("you said: the word is heron")
    assert run["nodes"]["two"]["output"].strip().endswith("you said: and the next")
    assert "you said: the word is heron" in str(here.provider.asked("and the next")[-1])


@pytest.mark.parametrize("agent", ACP)
def test_a_provider_that_refuses_the_key_by_acp(here: Place, agent: str) -> None:
    here.provider.failure = 401
    status, run = here.run(agent, node(agent, "hello"))
    assert (status, run["status"]) == (1, "failed"), run
    assert here.provider.requests
    assert run["nodes"]["one"]["error"]["message"]
