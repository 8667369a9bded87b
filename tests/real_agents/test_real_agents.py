"""The agents that npm and PyPI carry, as they are, with the presets that ship, against a stand-in of their providers.
CONTRIBUTING.md says how to run these."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from processes import until, with_environment
from real_agents.places import Place
from real_agents.provider import EXACTLY, USED_IN, USED_OUT

pytestmark = [pytest.mark.real_agents, pytest.mark.timeout(400)]

# An agent → the model of the option, and what the provider is then asked for ('' where the path has it).
MODELS = {
    "claude": ("claude-sonnet-4-5", "claude-sonnet-4-5"),
    "claude@old": ("claude-sonnet-4-5", "claude-sonnet-4-5"),
    "codex": ("gpt-5-mini", "gpt-5-mini"),
    "gemini": ("gemini-2.5-flash", ""),
    "opencode": ("standin/two", "two"),
    "llm": ("standin", "one"),
}
WITH_SESSIONS = ["claude", "claude@old", "codex", "gemini", "opencode"]
ACP = ["claude-acp", "claude-acp@old", "codex-acp", "gemini-acp", "opencode-acp", "copilot-acp"]
# What a failure of the provider is to the node. Where it is missing the agent tries again for minutes, or says which it
# was in words alone (gemini-acp's 404 has the code 500).
FAILURES = {
    "claude": {"401": "not_logged_in", "404": "refused", "500": "crashed"},
    "claude@old": {"401": "not_logged_in", "404": "refused", "500": "crashed"},
    "codex": {"401": "not_logged_in", "404": "refused", "500": "crashed", "cut": "crashed"},
    "gemini": {"401": "not_logged_in", "404": "refused"},
    "opencode": {"401": "not_logged_in", "404": "refused", "cut": "crashed"},
    "llm": {"401": "crashed"},
    "claude-acp": {"401": "not_logged_in", "404": "refused", "500": "crashed"},
    "claude-acp@old": {"401": "not_logged_in", "404": "refused", "500": "crashed"},
    "codex-acp": {"401": "not_logged_in", "404": "refused", "500": "crashed", "cut": "crashed"},
    "gemini-acp": {"401": "not_logged_in", "cut": "crashed"},
    "opencode-acp": {"401": "crashed", "429": "crashed"},
    "copilot-acp": {"401": "crashed", "429": "crashed", "500": "crashed", "cut": "crashed"},
}
LIMITED = ["claude", "claude@old", "codex", "claude-acp", "claude-acp@old", "codex-acp"]

FORM = """\
  output_format:
    {type: object, properties: {name: {type: string}}, required: [name], additionalProperties: false}
"""


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


@pytest.mark.parametrize(("agent", "fault"), [(agent, fault) for agent, faults in FAILURES.items() for fault in faults])
def test_a_provider_that_fails(here: Place, agent: str, fault: str) -> None:
    order = fault if fault == "cut" else f"status {fault}"
    if agent == "llm":  # it offers no tools, and says no more than it is told
        here.provider.failure = int(fault)
    retry = "  retry: {max_attempts: 1, delay_ms: 1000}\n"
    status, run = here.run(agent, node(agent, f"hello <<{order}>>", more=retry))
    assert (status, run["status"]) == (1, "failed"), run
    assert here.provider.requests
    error = run["nodes"]["one"]["error"]
    assert error["code"].rpartition("/")[2] == FAILURES[agent][fault], error
    assert run["nodes"]["one"]["output"] is None


@pytest.mark.parametrize("fault", ["429", "429 retry-after=1"])
@pytest.mark.parametrize("agent", LIMITED)
def test_a_limit_of_the_provider_is_waited_out(here: Place, agent: str, fault: str) -> None:
    status, run = here.run(agent, node(agent, f"hello <<status {fault} times=1>> <<say here I am>>"))
    assert (status, run["nodes"]["one"]["output"]) == (0, "here I am"), run
    assert run["nodes"]["one"]["attempts"] == 1
    (closed,) = [event for event in here.events() if event["type"] == "lane_closed"]
    assert closed["error"]["code"] == "rate_limited"


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "opencode"])
def test_an_agent_that_says_nothing_any_more(here: Place, agent: str) -> None:
    once = "  idle_timeout: 20000\n  retry: {max_attempts: 1, delay_ms: 1000}\n"
    status, run = here.run(agent, node(agent, "hello <<hang>>", more=once))
    assert (status, run["nodes"]["one"]["error"]["code"].rpartition("/")[2]) == (1, "timeout"), run
    assert with_environment(f"HOME={here.env['HOME']}") == []


@pytest.mark.parametrize("agent", ["claude", "codex", "claude-acp", "codex-acp"])
def test_a_failure_that_passes(here: Place, agent: str) -> None:
    retry = "  retry: {max_attempts: 3, delay_ms: 1000}\n"
    status, run = here.run(agent, node(agent, "hello <<status 500 times=2>> <<say here I am>>", more=retry))
    assert (status, run["nodes"]["one"]["output"]) == (0, "here I am"), run


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "opencode", *ACP])
def test_a_run_is_cancelled_while_a_tool_works(here: Place, agent: str) -> None:
    """Nothing is left of the agent, nor of what its tool had left behind."""
    nodes = node(agent, "hello <<sh nohup sleep 7777 & touch begun; sleep 8888>>")
    with here.begin(agent, nodes, "allow") as process:
        until(lambda: (here.project / "begun").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        assert with_environment(f"HOME={here.env['HOME']}")
        status, _, err = here.ion("cancel", "r")
        assert status == 0, err
        process.communicate(timeout=60)
    assert with_environment(f"HOME={here.env['HOME']}") == []


@pytest.mark.parametrize("agent", ["claude", "codex", "claude-acp", "opencode-acp"])
def test_a_provider_that_never_answers(here: Place, agent: str) -> None:
    with here.begin(agent, node(agent, "hello <<hang>>")) as process:
        until(lambda: here.provider.asked("hello") or process.poll() is not None)
        status, _, err = here.ion("cancel", "r")
        assert status == 0, err
        process.communicate(timeout=60)
    assert here.shown()["status"] == "cancelled"
    assert with_environment(f"HOME={here.env['HOME']}") == []


@pytest.mark.parametrize("agent", ["claude", "claude@old", "codex", "opencode", "claude-acp", "codex-acp"])
def test_ion_is_killed_in_the_middle_and_goes_on(here: Place, agent: str) -> None:
    second = node(agent, "and the next <<hang times=1>> <<say done>>", "two", "  depends_on: [one]\n")
    with here.begin(agent, node(agent, "the word is heron") + second) as process:
        until(lambda: here.provider.asked("and the next") or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    here.provider.released.set()
    with here.start("resume", "r", "--json", old="@" in agent) as process:
        out, err = process.communicate(timeout=300)
    run = json.loads(out)
    assert (process.returncode, run["nodes"]["two"]["output"]) == (0, "done"), err
    asked = here.provider.asked("and the next")
    assert len(asked) >= 2
    assert "the word is heron" in str(asked[-1])
    assert run["nodes"]["one"]["attempts"] == 1


@pytest.mark.parametrize("permission", ["ask", "deny"])
@pytest.mark.parametrize("agent", ["claude-acp", "claude-acp@old", "gemini-acp", "opencode-acp", "copilot-acp"])
def test_a_permission(here: Place, agent: str, permission: str) -> None:
    """Nobody is asked and nothing done where the settings say no; a person allows it from another terminal."""
    nodes = "- id: one\n  prompt: 'hello <<sh touch made>> <<sh touch too>> <<say done>>'\n"
    with here.begin(agent, nodes, permission) as process:
        if permission == "ask":
            until(lambda: bool((here.project / ".ion" / "ion.db").exists() and _waiting(here)))
            status, _, err = here.ion("approve", "r", "one", "--request", "one.1")
            assert status == 3, err
            assert "ion approve r one --request one.2" in err
            status, _, err = here.ion("approve", "r", "one", "--request", "one.2")
            assert status == 0, err
        out, err = process.communicate(timeout=120)
    run = json.loads(out)
    made = sorted(path.name for path in here.project.iterdir() if path.name in ("made", "too"))
    if permission == "ask":
        assert (run["status"], made) == ("completed", ["made", "too"]), run
    else:
        assert made == []
        said = f"{run['nodes']['one']['notes']} {run['nodes']['one']['error']}"
        assert "refused" in said, run


def _waiting(here: Place) -> list[dict[str, Any]]:
    status, out, _ = here.ion("show", "r", "--json")
    found: list[dict[str, Any]] = json.loads(out)["waiting"] if status == 0 else []
    return found


@pytest.mark.parametrize("agent", [*WITH_SESSIONS, *ACP])
def test_six_nodes(here: Place, agent: str) -> None:
    """A session over three prompts, in which a file is written, beside a prompt, a form and a loop."""
    nodes = "".join(
        (
            node(agent, "the word is heron", "a1"),
            node(agent, "the second", "a2", "  depends_on: [a1]\n  context: {resume: a1}\n"),
            node(
                agent,
                "the third <<sh touch made>> <<say three>>",
                "a3",
                "  depends_on: [a2]\n  context: {resume: a2}\n",
            ),
            node(agent, "beside that", "b"),
            node(agent, EXACTLY + '{"name": "heron"}', "form", FORM),
            "- id: loop\n  loop: {prompt: 'again <<until 2 DONE>>', until: DONE, max_iterations: 3}\n",
        )
    )
    status, run = here.run(agent, nodes, "allow")
    assert status == 0, run
    outputs = {name: entry["output"].strip() for name, entry in run["nodes"].items()}
    assert (outputs["a3"], json.loads(outputs["form"])) == ("three", {"name": "heron"})
    assert "beside that" in outputs["b"]
    assert run["nodes"]["loop"]["iterations"] == 2
    assert (here.project / "made").exists()
    assert "the word is heron" in str(here.provider.asked("the third")[-1])


@pytest.mark.parametrize("agent", ["claude", "claude@old"])
def test_a_budget_that_the_agent_keeps_itself(here: Place, agent: str) -> None:
    more = "  maxBudgetUsd: 0.000001\n"
    status, run = here.run(agent, node(agent, "hello <<sh true>> <<say done>>", more=more), "allow")
    assert (status, run["nodes"]["one"]["error"]["code"].rpartition("/")[2]) == (1, "budget"), run


@pytest.mark.parametrize("agent", ["codex-acp", "copilot-acp", "claude-acp"])
def test_the_check_of_an_agent_that_reaches_nobody(here: Place, agent: str) -> None:
    here.project.mkdir()
    here.provider.failure = 401
    status, out, _ = here.ion("agents", "--check", agent, "--json")
    assert (status != 0, json.loads(out)["ok"]) == (True, False), out


@pytest.mark.parametrize("agent", MODELS)
def test_a_form_of_the_output(here: Place, agent: str) -> None:
    text = EXACTLY + '{"name": "heron"}'
    after = "- id: two\n  depends_on: [one]\n  bash: echo $one.output.name\n"
    status, run = here.run(agent, node(agent, text, more=FORM) + after)
    assert status == 0, run
    assert run["nodes"]["two"]["output"].strip() == "heron"


@pytest.mark.parametrize("agent", ACP)
def test_a_prompt_and_a_session_by_acp(here: Place, agent: str) -> None:
    second = node(agent, "and the next", "two", "  depends_on: [one]\n  context: {resume: one}\n")
    status, run = here.run(agent, node(agent, "the word is heron") + second)
    assert status == 0, run
    if agent != "opencode-acp":  # it counts only the last request of a turn
        assert [(used["input_tokens"], used["output_tokens"]) for used in usage(here)] == [(USED_IN, USED_OUT)] * 2
    outputs = [run["nodes"][name]["output"].strip() for name in ("one", "two")]
    assert outputs == ["you said: the word is heron", "you said: and the next"]
    assert "you said: the word is heron" in str(here.provider.asked("and the next")[-1])
