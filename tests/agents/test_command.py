"""Programs as agents, really run: the prompt in, the answer out, and all the ways in which they fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from pathlib import Path

import pytest
from msgspec.structs import replace

from ion import procfs
from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.agents.command import CommandAgent, command_agent
from ion.agents.presets import Preset
from ion.errors import UsageError
from processes import eventually

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def request_(tmp_path: Path) -> PromptRequest:
    env = {**os.environ, "ION_RUN_ID": f"ion-test-{uuid.uuid4().hex}"}
    return PromptRequest(
        run_id="r", node="n", prompt="hello", key="r/n", cwd=tmp_path, grace_ms=500, env=env, log=tmp_path / "log" / "x"
    )


def alive(request: PromptRequest) -> list[int]:
    wanted = f"ION_RUN_ID={request.env['ION_RUN_ID']}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return [pid for pid in found if procfs.identity(pid) is not None]


def shell(script: str) -> CommandAgent:
    return CommandAgent(Preset("sh", command=("bash", "-c", script)), "sh")


async def error(agent: CommandAgent, request: PromptRequest) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await agent.prompt(request)
    return caught.value


@pytest.mark.parametrize(
    "prompt", ["hello", "--- a dash", "", "é€😀\n\n", "$(touch canary) `x` '\"", "x" * 3_000_000], ids=lambda p: p[:12]
)
async def test_the_prompt_goes_in_and_stdout_comes_out(request_: PromptRequest, prompt: str) -> None:
    result = await command_agent("cat").prompt(replace(request_, prompt=prompt))
    assert result == PromptResult(prompt.removesuffix("\n"))


async def test_stderr_is_no_part_of_the_answer(request_: PromptRequest) -> None:
    assert (await shell("echo thinking >&2; echo answer").prompt(request_)).text == "answer"
    assert request_.log is not None
    assert request_.log.with_name("x.err").read_text() == "thinking\n"


async def test_it_runs_in_the_working_directory_with_the_environment_of_the_request(request_: PromptRequest) -> None:
    request = replace(request_, env={**request_.env, "TERM": "xterm", "MINE": "1"})
    result = await shell('echo "$PWD $TERM $NO_COLOR $MINE ${#PATH}"').prompt(request)
    folder, *rest, path = result.text.split(" ")
    assert (folder, rest) == (str(request.cwd), ["dumb", "1", "1"])
    assert int(path) > 0


async def test_without_an_environment_of_its_own_it_has_that_of_ion(
    request_: PromptRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "of ion")
    assert (await shell("echo $MINE").prompt(replace(request_, env={}))).text == "of ion"


async def test_without_a_log_nothing_is_left_behind(request_: PromptRequest, tmp_path: Path) -> None:
    assert (await command_agent("cat").prompt(replace(request_, log=None))).text == "hello"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("echo why >&2; exit 3", "crashed", "agent sh failed [exit 3]: why"),
        ("echo only here; exit 1", "crashed", "agent sh failed [exit 1]: only here"),
        ("exit 1", "crashed", "agent sh failed [exit 1]"),
        ("exit 126", "crashed", "agent sh failed [exit 126]"),
        ("nosuchagent", "not_found", "nosuchagent: command not found"),
        ("kill -9 $$", "crashed", "agent sh was ended by SIGKILL"),
        ("echo half; kill -TERM $$", "crashed", "agent sh was ended by SIGTERM: half"),
    ],
)
async def test_failures(request_: PromptRequest, script: str, code: str, message: str) -> None:
    caught = await error(shell(script), request_)
    assert caught.error_code == code
    assert message in caught.message


async def test_a_long_complaint_is_cut_to_its_end(request_: PromptRequest) -> None:
    caught = await error(shell("seq 100000 >&2; exit 1"), request_)
    assert caught.message.endswith("99999\n100000")
    assert len(caught.message) < 2100


async def test_a_program_that_is_not_there(request_: PromptRequest) -> None:
    caught = await error(command_agent("no-such-agent --now"), request_)
    assert caught.error_code == "not_found"
    assert "no-such-agent" in caught.message
    assert caught.hint


async def test_time_limit_and_silence_end_the_whole_group(request_: PromptRequest) -> None:
    late = await error(shell("sleep 3600 & echo said; sleep 3600"), replace(request_, timeout_ms=200))
    assert late.error_code == "timeout"
    assert late.message == "agent sh timed out after 200 ms: said"
    silent = await error(shell("echo said; sleep 3600 & sleep 3600"), replace(request_, idle_timeout_ms=200))
    assert (silent.error_code, silent.message) == ("timeout", "agent sh said nothing for 200 ms: said")
    assert not alive(request_)


async def test_talking_on_stderr_is_a_sign_of_life(request_: PromptRequest) -> None:
    agent = shell("for i in 1 2 3 4 5; do echo . >&2; sleep 0.1; done; echo done")
    assert (await agent.prompt(replace(request_, idle_timeout_ms=400))).text == "done"


async def test_cancelling_ends_everything(request_: PromptRequest) -> None:
    task = asyncio.ensure_future(shell("trap '' TERM; sleep 60 & touch up; sleep 60; sleep 60").prompt(request_))
    await eventually((request_.cwd / "up").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(request_)


async def test_an_answer_that_is_no_text_or_far_too_long(
    request_: PromptRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await shell("printf 'a\\xffb'").prompt(request_)).text == "a\ufffdb"
    monkeypatch.setattr("ion.agents.command.MAX_REPLY_BYTES", 1000)
    caught = await error(shell("seq 1000"), request_)
    assert caught.error_code == "bad_output"


async def test_a_system_prompt_that_cannot_be_passed_on_is_said(request_: PromptRequest) -> None:
    said: list[str] = []
    await command_agent("cat").prompt(replace(request_, system="be kind", progress=said.append))
    assert said == ["cat has no option for systemPrompt: it is not passed on"]


@pytest.mark.parametrize(
    ("line", "argv", "name"),
    [
        ("claude -p", ("claude", "-p"), "claude"),
        ("/opt/my\\ tools/agent --say 'a b'", ("/opt/my tools/agent", "--say", "a b"), "agent"),
        ('sh -c "cat; echo $x"', ("sh", "-c", "cat; echo $x"), "sh"),
    ],
)
def test_command_lines_are_split_as_a_shell_does(line: str, argv: tuple[str, ...], name: str) -> None:
    agent = command_agent(line)
    assert (agent.preset.command, agent.name) == (argv, name)


def test_the_path_of_a_file_is_one_word(tmp_path: Path) -> None:
    path = tmp_path / "my agent's file"
    path.write_text(f"#!{sys.executable}\n")
    assert command_agent(str(path)).preset.command == (str(path),)
    assert command_agent(str(path)).name == "my agent's file"


@pytest.mark.parametrize("line", ["", "  ", "claude 'unbalanced"])
def test_what_is_no_command_line(line: str) -> None:
    with pytest.raises(UsageError):
        command_agent(line)
