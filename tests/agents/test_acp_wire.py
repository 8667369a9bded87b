"""What real agents say by ACP, as it was recorded (`acp_wire/PROGRAM-VERSION-CASE.jsonl`, against a provider that
answers, refuses or breaks off), and what Ion makes of it with the presets that ship."""

from __future__ import annotations

import datetime
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ion import clocks
from ion.agents.acp import AcpAgent
from ion.agents.base import AgentError, PromptRequest
from ion.api.settings import preset

HERE = Path(__file__).parent
# A recording of two prompts → the preset, and the usage of both as the provider counted it.
ANSWERS: dict[str, tuple[str, list[tuple[int, int, int]]]] = {
    "claude-agent-acp-0.101.0": ("claude-acp", [(2127, 227, 100), (1065, 115, 50)]),
    "codex-acp-2.6.0": ("codex-acp", [(2003, 203, 100), (1003, 103, 50)]),
    "copilot-1.0.102": ("copilot-acp", [(2021, 221, 100), (1012, 112, 50)]),
    "gemini-cli-0.61.0": ("gemini-acp", [(2009, 209, 0), (1006, 106, 0)]),
    "opencode-1.18.33": ("opencode-acp", [(1008, 108, 50), (1009, 109, 50)]),
    "qwen-code-0.24.4": ("qwen-acp", [(2533, 733, 100), (1269, 369, 50)]),
}
FAILURES = {
    "claude-agent-acp-0.101.0-401": "not_logged_in",
    "claude-agent-acp-0.101.0-429": "rate_limited",
    "claude-agent-acp-0.101.0-500": "crashed",
    "claude-agent-acp-0.49.0-429": "rate_limited",
    "codex-acp-2.6.0-401": "not_logged_in",
    "codex-acp-2.6.0-429": "rate_limited",
    "codex-acp-2.6.0-500": "crashed",
    "codex-acp-2.6.0-cut": "crashed",
    "codex-acp-2.6.0-quota": "quota_exhausted",
    "copilot-1.0.102-401": "crashed",
    "copilot-1.0.102-429": "crashed",
    "copilot-1.0.102-500": "crashed",
    "copilot-1.0.102-cut": "crashed",
    "gemini-cli-0.61.0-401": "not_logged_in",
    "gemini-cli-0.61.0-cut": "crashed",
    "opencode-1.18.33-401": "crashed",  # it says so in words alone
    "opencode-1.18.33-429": "crashed",
    "qwen-code-0.24.4-401": "crashed",
}
# They end their turn then; Copilot says that it was cancelled.
REFUSED = ("copilot-1.0.102-refused", "opencode-1.18.33-refused", "qwen-code-0.24.4-refused")
PRESETS = {
    "claude": "claude-acp",
    "codex": "codex-acp",
    "copilot": "copilot-acp",
    "gemini": "gemini-acp",
    "qwen": "qwen-acp",
}


@pytest.fixture
async def replayed(tmp_path: Path) -> AsyncIterator[Any]:
    agents: list[AcpAgent] = []

    def make(recording: str, name: str, permission: str = "allow") -> AcpAgent:
        driven = preset(name)
        assert driven is not None
        command = (sys.executable, "-S", str(HERE / "acp_replay.py"), str(HERE / "acp_wire" / f"{recording}.jsonl"))
        agents.append(AcpAgent(replace(driven, command=command), name, permission))
        return agents[-1]

    yield make
    for agent in agents:
        await agent.end_run("run")


def request(tmp_path: Path, **values: Any) -> PromptRequest:
    made = PromptRequest(run_id="run", node="n", prompt="p", key="k", cwd=tmp_path, log=tmp_path / "log" / "1-prompt")
    return replace(made, timeout_ms=60_000, **values)


@pytest.mark.parametrize("recording", ANSWERS)
async def test_an_answer_and_what_it_used(replayed: Any, tmp_path: Path, recording: str) -> None:
    name, used = ANSWERS[recording]
    agent = replayed(f"{recording}-answer", name)
    lines: list[str] = []
    first = await agent.prompt(request(tmp_path, progress=lines.append))
    second = await agent.prompt(request(tmp_path, session=first.session, log=tmp_path / "log" / "2-prompt"))
    assert (first.text, second.text) == ("The answer is 42.", "two")
    counted = [
        (one.usage["input_tokens"], one.usage["output_tokens"], one.usage.get("cached_input_tokens", 0))
        for one in (first, second)
    ]
    assert counted == used
    assert any("echo hi-there" in line or line.endswith("stand-in") for line in lines), "the tool call is seen"
    transcript = (tmp_path / "log" / "1-prompt.txt").read_text()
    assert transcript.splitlines()[-1] == "The answer is 42."
    assert "\n> " in f"\n{transcript}"


@pytest.mark.parametrize(
    ("recording", "name", "notice"),
    [
        ("codex-acp-2.6.0", "codex-acp", "! Warning: Model metadata for `gpt-5` not found."),
        ("claude-agent-acp-0.101.0", "claude-acp", "! **Warning:** We're changing auto mode"),
    ],
)
async def test_a_notice_is_in_the_log_and_in_no_reply(
    replayed: Any, tmp_path: Path, recording: str, name: str, notice: str
) -> None:
    result = await replayed(f"{recording}-answer", name).prompt(request(tmp_path))
    assert result.text == "The answer is 42."
    assert notice in (tmp_path / "log" / "1-prompt.txt").read_text()
    assert "Warning" not in (tmp_path / "log" / "1-prompt.out").read_text()


async def test_an_older_release(replayed: Any, tmp_path: Path) -> None:
    result = await replayed("claude-agent-acp-0.49.0-answer", "claude-acp").prompt(request(tmp_path))
    assert (result.text, result.usage["input_tokens"]) == ("The answer is 42.", 2249)


@pytest.mark.parametrize("recording", FAILURES)
async def test_a_provider_that_fails_fails_the_prompt(replayed: Any, tmp_path: Path, recording: str) -> None:
    name = PRESETS.get(recording.partition("-")[0], "opencode-acp")
    with pytest.raises(AgentError) as caught:
        await replayed(recording, name).prompt(request(tmp_path))
    assert caught.value.error_code == FAILURES[recording], caught.value.message


@pytest.mark.parametrize("recording", REFUSED)
async def test_a_turn_that_ends_because_a_call_was_refused(replayed: Any, tmp_path: Path, recording: str) -> None:
    name = PRESETS.get(recording.partition("-")[0], "opencode-acp")
    with pytest.raises(AgentError) as caught:
        await replayed(recording, name, "deny").prompt(request(tmp_path))
    assert caught.value.error_code == "refused", caught.value.message
    assert caught.value.hint == "not done, since its permissions refused it: execute"


@pytest.mark.parametrize("hour", [1, 2])
async def test_when_a_limit_ends(replayed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hour: int) -> None:
    """`… or try again at Dec 1st, 2026 1:01 AM.`, by the clock of this machine, until that minute is over: what has
    passed is not a time to wait for."""
    now = datetime.datetime(2026, 12, 1, hour).timestamp()  # noqa: DTZ001 (of this machine)
    monkeypatch.setattr(clocks, "now_ms", lambda: round(now * 1000))
    with pytest.raises(AgentError) as caught:
        await replayed("codex-acp-2.6.0-quota", "codex-acp").prompt(request(tmp_path))
    end = datetime.datetime(2026, 12, 1, 1, 2).timestamp() * 1000  # noqa: DTZ001
    assert caught.value.resets_at == (end if hour == 1 else None)


def test_every_recording_is_read() -> None:
    tested = {*FAILURES, *REFUSED, *(f"{name}-answer" for name in ANSWERS), "claude-agent-acp-0.49.0-answer"}
    assert {path.stem for path in (HERE / "acp_wire").iterdir()} == tested
