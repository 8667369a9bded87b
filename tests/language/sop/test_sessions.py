"""One session threads through the steps: a short prompt only where the session really continues, else everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS, Recorder

import ion
from ion.agents.callable import CallableAgent

DOCUMENT = "Never pay twice"


def run(project: Path, agent: Recorder, **more: object) -> ion.RunResult:
    inputs = more.pop("inputs", {"bill": "b.pdf"})
    result = ion.execute_workflow_sync("pay", agent=agent, project=project, inputs=inputs, store="memory:", **more)
    assert result.status == "completed", result.to_json()
    return result


def test_an_agent_with_sessions_is_told_the_procedure_once(project: Path, write: Callable[..., Path]) -> None:
    write()
    agent = Recorder(["s", "s", "s"])
    assert run(project, agent).output == "did pay"
    assert [request.session for request in agent.asked] == [None, "s", "s"]
    assert [DOCUMENT in prompt for prompt in agent.prompts] == [True, False, False]
    assert "did read-the-bill" not in agent.prompts[1]
    assert "### 2. Check it\n\nIs it under 100?" in agent.prompts[1]


def test_a_short_prompt_brings_the_whole_one_along(project: Path, write: Callable[..., Path]) -> None:
    """For an agent that finds that it cannot continue the session after all."""
    write()
    agent = Recorder(["s", "s", "s"])
    run(project, agent)
    assert [request.fresh_prompt is None for request in agent.asked] == [True, False, False]
    whole = agent.asked[2].fresh_prompt or ""
    assert DOCUMENT in whole
    assert "did read-the-bill" in whole
    assert "did check-it" in whole


def test_an_agent_without_sessions_is_told_everything_each_time(project: Path, write: Callable[..., Path]) -> None:
    """The document, and what the earlier steps gave."""
    write()
    agent = Recorder()
    run(project, agent)
    assert [request.session for request in agent.asked] == [None, None, None]
    assert all(DOCUMENT in prompt for prompt in agent.prompts)
    assert ["did read-the-bill" in prompt for prompt in agent.prompts] == [False, True, True]
    assert ["did check-it" in prompt for prompt in agent.prompts] == [False, False, True]
    assert all(request.fresh_prompt is None for request in agent.asked)


def test_a_session_that_is_lost_on_the_way(project: Path, write: Callable[..., Path]) -> None:
    """The step after it knows nothing, and is told everything."""
    write()
    agent = Recorder(["s", None, None])
    run(project, agent)
    assert [request.session for request in agent.asked] == [None, "s", None]
    assert [DOCUMENT in prompt for prompt in agent.prompts] == [True, False, True]
    assert "did check-it" in agent.prompts[2]


def test_fresh_sends_everything_each_time(project: Path, write: Callable[..., Path]) -> None:
    write(f"---\ncontext: fresh\n---\n{THREE_STEPS.lstrip()}")
    agent = Recorder(["s", "s", "s"])
    run(project, agent)
    assert [request.session for request in agent.asked] == [None, None, None]
    assert all(DOCUMENT in prompt for prompt in agent.prompts)


def test_every_prompt_lists_all_parameters(project: Path, write: Callable[..., Path]) -> None:
    write()
    agent = Recorder(["s", "s", "s"])
    run(project, agent)
    for request in agent.asked:
        for name, value in [("bill", "b.pdf"), ("account", "main"), ("urgent", "false"), ("folder", "{folder}")]:
            assert f"=== {request.run_id}: parameter {name} ===\n{value}\n" in request.prompt


@pytest.mark.parametrize("sessions", [True, False])
def test_the_host_as_agent(project: Path, write: Callable[..., Path], sessions: bool) -> None:
    """Pending prompts: short ones if the host says that it continues in its session."""
    write()
    store = ion.create_store("sqlite:s.db", project=project)
    run_id = ion.execute_workflow_sync("pay", project=project, inputs={"bill": "b"}, store=store).run_id
    found = []
    for _ in range(3):
        (pending,) = ion.next_prompts(run_id, project=project, store=store)
        found.append(DOCUMENT in pending["prompt"])
        ion.submit(run_id, pending["node"], "done", session="mine" if sessions else None, project=project, store=store)
        ion.resume_workflow_sync(run_id, project=project, store=store)
    assert ion.get_run(run_id, project=project, store=store).status == "completed"
    assert found == ([True, False, False] if sessions else [True, True, True])
    store.close()


def test_another_agent_on_resume_is_told_everything(project: Path, write: Callable[..., Path]) -> None:
    """A session belongs to the agent that began it."""
    write()

    def fails(request: ion.PromptRequest) -> ion.PromptResult:
        if request.node == "check-it":
            raise ion.AgentError("refused", "no")
        return ion.PromptResult("read", session="s")

    store = ion.create_store("sqlite:s.db", project=project)
    one = CallableAgent(fails, "one")
    result = ion.execute_workflow_sync("pay", agent=one, project=project, inputs={"bill": "b"}, store=store)
    assert result.status == "failed"
    agent = Recorder(["t", "t"])
    ion.resume_workflow_sync(result.run_id, agent=CallableAgent(agent, "two"), project=project, store=store)
    assert [request.node for request in agent.asked] == ["check-it", "pay"]
    assert [request.session for request in agent.asked] == [None, "t"]
    assert [DOCUMENT in prompt for prompt in agent.prompts] == [True, False]
    store.close()
