"""Agents that speak ACP, as processes: honest ones, and those that are silent, die, chatter, lie and do not listen.

`acp_stand_in.py` is the program at the other end; what each test needs of it is the name of a behaviour. One agent is
made with the SDK itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ion.agents import acp
from ion.agents.acp import AcpAgent, running, turn
from ion.agents.base import AgentError, Permission, PromptRequest, PromptResult, UnpermittedError
from ion.agents.presets import Flags, Preset
from processes import alive, eventually

HERE = Path(__file__).parent
SDK_AGENT = HERE / "acp_sdk_agent.py"


class World:
    """Agents and requests of one test; at its end nothing of it may live or be open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "asked"
        self.said: list[str] = []
        self.agents: list[AcpAgent] = []

    def agent(self, behaviour: str, **values: Any) -> AcpAgent:
        argv = (sys.executable, "-S", str(HERE / "acp_stand_in.py"), behaviour, str(self.record))
        return self.program(*argv, **values)

    def program(self, *argv: str, **values: Any) -> AcpAgent:
        fields = {
            "options_of_preset": "options",
            **{
                name: name
                for name in ("allowing", "asking", "install", "named_messages", "narrow_modes", "refusal_ends", "usage")
            },
        }
        driven = {field: values.pop(name) for name, field in fields.items() if name in values}
        preset = Preset("claude", type="acp", command=argv, **driven)
        self.agents.append(AcpAgent(preset, "claude", **{"permission": "deny", **values}))
        return self.agents[-1]

    def request(self, prompt: str = "hello", **values: Any) -> PromptRequest:
        made = PromptRequest(
            run_id="run",
            node="node",
            prompt=prompt,
            key="run/node",
            cwd=self.folder,
            timeout_ms=60_000,
            grace_ms=1_000,
            progress=self.said.append,
            log=self.folder / "logs" / "node" / "1-prompt",
            register=self.folder / "programs",
        )
        return replace(made, **values)

    async def fails(self, behaviour: str, **values: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            await self.agent(behaviour).prompt(self.request(**values))
        return caught.value

    def asked(self, method: str | None = None) -> list[Any]:
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [params for name, params in lines if method in (None, name)]

    async def told(self, method: str) -> None:
        """Until the agent has been told of it, which it need not answer; and that once."""
        await eventually(lambda: self.asked(method))
        assert len(self.asked(method)) == 1

    @property
    def started(self) -> int:
        """How many processes there were."""
        return len(self.asked("initialize"))

    async def end(self) -> None:
        for agent in self.agents:
            await agent.end_run("run")
        for line in self.programs():
            assert not alive(line), "a process of an agent still lives"

    def programs(self) -> list[int]:
        register = self.folder / "programs"
        return [int(line.split()[0]) for line in register.read_text().splitlines()] if register.exists() else []


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    await asyncio.sleep(0)
    before = set(Path("/proc/self/fd").iterdir())
    made = World(tmp_path)
    yield made
    await made.end()
    assert set(Path("/proc/self/fd").iterdir()) <= before, "a descriptor is still open"


class TestHonest:
    async def test_a_reply_is_all_that_was_said_in_its_turn(self, world: World) -> None:
        result = await world.agent("echo").prompt(world.request("héllo\n✓"))
        assert result == PromptResult("echo: héllo\n✓", result.session, None, {"input_tokens": 3, "output_tokens": 2})
        assert (world.folder / "logs/node/1-prompt.out").read_text() == "echo: héllo\n✓"
        assert world.asked("initialize")[0]["protocolVersion"] == 1
        assert "fs" not in world.asked("initialize")[0].get("clientCapabilities", {})
        assert world.asked("session/new") == [{"cwd": str(world.folder), "mcpServers": []}]

    async def test_it_is_told_the_schema_in_its_prompt(self, world: World) -> None:
        result = await world.agent("echo").prompt(world.request("rate it", output_format={"type": "object"}))
        assert result.text.startswith("echo: rate it\n\n")
        assert result.text.endswith('that fits this JSON Schema:\n{"type": "object"}')

    async def test_an_agent_made_with_the_sdk(self, world: World) -> None:
        agent = world.program(sys.executable, str(SDK_AGENT), permission="allow")
        result = await agent.prompt(world.request("tidy up"))
        assert result.text == "tidy up: allowed as once"

    async def test_one_process_serves_many_prompts_at_once(self, world: World) -> None:
        agent = world.agent("echo")
        replies = await asyncio.gather(*(agent.prompt(world.request(f"p{i}", node=f"n{i}")) for i in range(20)))
        assert [reply.text for reply in replies] == [f"echo: p{i}" for i in range(20)]
        assert len({reply.session for reply in replies}) == 20
        assert world.started == 1

    async def test_a_process_for_each_working_directory_and_run(self, world: World) -> None:
        agent = world.agent("echo")
        (world.folder / "other").mkdir()
        await agent.prompt(world.request())
        await agent.prompt(world.request(cwd=world.folder / "other"))
        await agent.prompt(world.request(run_id="another"))
        assert world.started == 3
        await agent.end_run("another")
        await agent.prompt(world.request())
        assert world.started == 3

    async def test_a_session_is_gone_on_with(self, world: World) -> None:
        agent = world.agent("echo")
        first = await agent.prompt(world.request("one"))
        second = await agent.prompt(world.request("two", session=first.session, fresh_prompt="all of it"))
        assert second.session == first.session
        assert second.text == "echo: two"
        assert len(world.asked("session/new")) == 1

    async def test_after_a_restart_by_resume(self, world: World) -> None:
        result = await world.agent("resumes").prompt(world.request(session="old", fresh_prompt="all of it"))
        assert (result.session, result.text) == ("old", "echo: hello")
        assert len(world.asked("session/resume")) == 1

    async def test_after_a_restart_by_load_which_says_everything_again(self, world: World) -> None:
        result = await world.agent("replays").prompt(world.request(session="old"))
        assert (result.session, result.text) == ("old", "echo: hello")

    async def test_two_prompts_for_one_session_take_turns(self, world: World) -> None:
        agent = world.agent("replays")
        both = [agent.prompt(world.request(text, session="old")) for text in ("one", "two")]
        assert [reply.text for reply in await asyncio.gather(*both)] == ["echo: one", "echo: two"]
        assert len(world.asked("session/load")) == 1

    @pytest.mark.parametrize(
        ("behaviour", "session"), [("echo", "old"), ("resumes", "unknown"), ("replays", "unknown")]
    )
    async def test_a_session_that_is_gone_is_told_the_whole_prompt(
        self, world: World, behaviour: str, session: str
    ) -> None:
        result = await world.agent(behaviour).prompt(world.request("rest", session=session, fresh_prompt="all of it"))
        assert result.text == "echo: all of it"
        assert any("in a new one" in note for note in result.notes)

    async def test_its_environment_is_whole_but_for_what_belongs_to_one_prompt(self, world: World) -> None:
        env = {**os.environ, "SOME_API_KEY": "k", "LANG": "de_DE.UTF-8", "ION_RUN_ID": "run", "ION_NODE_ID": "n"}
        agent = world.agent("environment", env={"EXTRA": "1"})
        seen = json.loads((await agent.prompt(world.request(env={**env, "ION_IDEMPOTENCY_KEY": "k"}))).text)
        assert {**env, "EXTRA": "1", "NO_COLOR": "1"}.items() - {("ION_NODE_ID", "n")} <= seen.items()
        assert seen.keys().isdisjoint({"ION_NODE_ID", "ION_IDEMPOTENCY_KEY"})
        await agent.prompt(world.request(env={**env, "ION_NODE_ID": "other", "ITEM_INDEX": "1", "ITEM_COUNT": "2"}))
        assert world.started == 1
        await agent.prompt(world.request(env={**env, "MINE": "x"}))
        assert world.started == 2

    async def test_what_it_does_is_shown_in_short_lines(self, world: World) -> None:
        agent = world.agent("steps")
        result = await agent.prompt(world.request())
        assert [line.removeprefix("claude · ") for line in world.said] == [
            "thinks: first I look",
            "Read src/auth.py\x1b[31m",
            "failed: Read src/auth.py\x1b[31m",
            "plan 1/2: mend it",
            "echo: hello",
        ]
        assert result.usage == {"input_tokens": 3, "output_tokens": 2, "cost_usd": 0.25}

    async def test_a_sessions_cost_is_counted_once(self, world: World) -> None:
        agent = world.agent("steps")
        first = await agent.prompt(world.request())
        second = await agent.prompt(world.request(session=first.session))
        assert (first.usage["cost_usd"], second.usage["cost_usd"]) == (0.25, 0.0)
        assert second.session_total == {"session": first.session, "cost_usd": 0.25}


class TestOptions:
    async def test_what_a_session_lets_itself_be_told(self, world: World) -> None:
        agent = world.agent("echo", options={"mode": "go"})
        await agent.prompt(world.request(options={"model": "Small", "effort": None, "provider": "x"}))
        assert [call["value"] for call in world.asked("session/set_config_option")] == ["small-1"]
        assert [call["modeId"] for call in world.asked("session/set_mode")] == ["go"]
        assert world.said == ["claude · echo: hello"]

    async def test_what_it_does_not_offer_is_a_note(self, world: World) -> None:
        result = await world.agent("echo").prompt(world.request(options={"effort": "high", "allowed_tools": []}))
        assert result.notes == (
            "claude has no option for an empty allowed_tools: it is not passed on",
            "claude offers no effort in this session: it is not passed on",
        )

    async def test_a_session_asks_for_permissions_unless_the_settings_name_another_mode(self, world: World) -> None:
        await world.agent("echo", asking={"mode": "ask"}, options={"mode": "go"}).prompt(world.request())
        await world.agent("echo", asking={"mode": "ask"}).prompt(world.request())
        assert [call["modeId"] for call in world.asked("session/set_mode")] == ["go", "ask"]

    @pytest.mark.parametrize("permission", ["ask", "allow-reads", "deny"])
    async def test_a_node_names_no_mode_that_allows_more(self, world: World, permission: str) -> None:
        agent = world.agent("echo", asking={"mode": "ask"}, permission=permission)
        result = await agent.prompt(world.request(options={"mode": "go"}))
        assert [call["modeId"] for call in world.asked("session/set_mode")] in ([], ["ask"])
        (note,) = result.notes
        assert f"the mode 'go' of the workflow is not taken, since `permission: {permission}` holds" in note

    async def test_a_node_may_name_one_that_allows_less_or_any_if_all_is_allowed(self, world: World) -> None:
        for how in ({"narrow_modes": ("go",)}, {"permission": "allow"}):
            agent = world.agent("echo", asking={"mode": "ask"}, **how)
            assert (await agent.prompt(world.request(options={"mode": "go"}))).notes == ()
        assert [call["modeId"] for call in world.asked("session/set_mode")] == ["go", "go"]

    async def test_a_session_that_cannot_be_made_to_ask_is_refused(self, world: World) -> None:
        with pytest.raises(AgentError) as caught:
            await world.agent("echo", asking={"mode": "manual"}).prompt(world.request())
        assert (caught.value.error_code, caught.value.hint) == ("refused", "one of: ask, go")
        assert world.asked("session/prompt") == []

    async def test_one_that_is_allowed_everything_may_have_another_mode(self, world: World) -> None:
        agent = world.agent("echo", asking={"mode": "ask"}, allowing={"mode": "go"}, permission="allow")
        await agent.prompt(world.request())
        assert [call["modeId"] for call in world.asked("session/set_mode")] == ["go"]

    async def test_a_session_that_keeps_another_mode_is_refused(self, world: World) -> None:
        with pytest.raises(AgentError, match="was set to the mode 'ask', and it is 'go'") as caught:
            await world.agent("stubborn", asking={"mode": "ask"}).prompt(world.request())
        assert caught.value.error_code == "refused"
        assert world.asked("session/prompt") == []

    async def test_a_session_without_modes_cannot_be_made_to_ask(self, world: World) -> None:
        with pytest.raises(AgentError, match="offers no mode in which it asks before it acts"):
            await world.agent("modeless", asking={"mode": "ask"}).prompt(world.request())
        allowed = await world.agent("modeless", asking={"mode": "ask"}, permission="allow").prompt(world.request())
        assert (allowed.text, allowed.notes) == ("echo: hello", ())

    async def test_a_model_in_the_older_way(self, world: World) -> None:
        await world.agent("modeless").prompt(world.request(options={"model": "small-1"}))
        assert world.asked("session/set_model") == [{"sessionId": "s", "modelId": "small-1"}]

    async def test_the_servers_of_mcp(self, world: World) -> None:
        (world.folder / "mcp.json").write_text(
            '{"mcpServers": {"a": {"command": "sh", "args": ["-c", "x"], "env": {"K": "v"}},'
            ' "b": {"type": "http", "url": "http://b.test", "headers": {"H": "1"}}, "c": {"type": "sse", "url": "u"}}}'
        )
        result = await world.agent("capable").prompt(world.request(options={"mcp": "mcp.json"}))
        assert result.notes == ("claude connects to no sse MCP server: c",)
        (opened,) = world.asked("session/new")
        assert opened["mcpServers"] == [
            {"name": "a", "command": shutil.which("sh"), "args": ["-c", "x"], "env": [{"name": "K", "value": "v"}]},
            {"type": "http", "name": "b", "url": "http://b.test", "headers": [{"name": "H", "value": "1"}]},
        ]

    @pytest.mark.parametrize(
        "mcp", ["missing.json", "/dev/zero", ".", "{", [1], {"a": 1}, {"a": {}}, {"a": {"url": 5}}]
    )
    async def test_servers_that_cannot_be_read(self, world: World, mcp: Any) -> None:
        error = await world.fails("capable", options={"mcp": mcp})
        assert (error.error_code, "mcp" in error.message) == ("refused", True)

    async def test_a_system_prompt_has_a_place_or_is_told_once(self, world: World) -> None:
        first = await world.agent("capable").prompt(world.request(system="be kind"))
        assert (first.text, first.notes) == ("echo: hello", ())
        said = {"mode": "append", "content": [{"type": "text", "text": "be kind"}]}
        assert world.asked("session/new")[0]["systemPrompt"] == said
        agent = world.agent("echo")
        told = await agent.prompt(world.request(system="be kind"))
        again = await agent.prompt(world.request("more", system="be kind", session=told.session))
        other = await agent.prompt(world.request("last", system="be brief", session=told.session))
        assert "systemPrompt" not in world.asked("session/new")[1]
        assert [one.text for one in (told, again, other)] == [
            "echo: be kind\n\n---\n\nhello",
            "echo: more",
            "echo: be brief\n\n---\n\nlast",
        ]

    async def test_a_session_is_opened_again_for_what_it_did_not_begin_with(self, world: World) -> None:
        lists = {"allowed_tools": Flags(("tools",), ("tools",)), "denied_tools": Flags(("not",))}
        agent = world.agent("capable", options_of_preset=lists)
        first = await agent.prompt(world.request(options={"denied_tools": "Bash(rm *),Edit"}))
        same = await agent.prompt(world.request(options={"denied_tools": ["Bash", "Edit"]}, session=first.session))
        none = await agent.prompt(world.request(options={"allowed_tools": []}, session=first.session))
        assert {first.session, same.session, none.session} == {first.session}
        options = [call["_meta"]["claudeCode"]["options"] for call in world.asked("session/new")]
        again = [call["_meta"]["claudeCode"]["options"] for call in world.asked("session/resume")]
        assert (options, again) == ([{"not": ["Bash", "Edit"]}], [{"tools": []}])

    async def test_what_a_session_cannot_begin_anew_with_is_a_note(self, world: World) -> None:
        agent = world.agent("echo", options_of_preset={"allowed_tools": Flags(("tools",), ("tools",))})
        first = await agent.prompt(world.request())
        second = await agent.prompt(world.request(options={"allowed_tools": []}, session=first.session))
        assert second.notes == ("its session had begun with other mcp or tools, and keeps them",)

    async def test_a_value_that_it_does_not_have_is_an_error(self, world: World) -> None:
        error = await world.fails("echo", options={"model": "gigantic"})
        assert (error.error_code, error.hint) == ("refused", "one of: big-1, small-1")


class TestEnds:
    async def test_the_reply_is_the_last_message_and_no_notice(self, world: World) -> None:
        assert (await world.agent("messages").prompt(world.request())).text == "The answer is 42."

    @pytest.mark.parametrize("refusal_ends", [False, True])
    async def test_a_turn_that_ends_with_a_refused_call_is_refused(self, world: World, refusal_ends: bool) -> None:
        behaviour = "asks" if refusal_ends else "gives_up"
        with pytest.raises(AgentError) as caught:
            await world.agent(behaviour, refusal_ends=refusal_ends).prompt(world.request("execute rm"))
        assert caught.value.error_code == "refused"
        assert caught.value.hint == "not done, since its permissions refused it: execute"

    async def test_without_names_a_message_ends_at_a_tool_call(self, world: World) -> None:
        result = await world.agent("twice").prompt(world.request())
        assert result.text == "echo: hello"
        assert world.said == ["claude · I look first.", "claude · look at it", "claude · echo: hello"]
        transcript = (world.folder / "logs/node/1-prompt.txt").read_text()
        assert transcript == "I look first.\n> look at it\necho: hello\n"

    async def test_notices_alone_are_no_reply(self, world: World) -> None:
        assert (await world.agent("echo", named_messages=True).prompt(world.request())).text == ""

    async def test_a_message_quotes_no_other_prompts_stderr(self, world: World) -> None:
        agent = world.agent("grumbles")
        waiting = asyncio.create_task(agent.prompt(world.request("wait", timeout_ms=4000, log=None)))
        await eventually(lambda: world.record.exists() and world.asked("session/prompt"))
        with pytest.raises(AgentError) as failed:
            await agent.prompt(world.request("fail"))
        with pytest.raises(AgentError) as late:
            await waiting
        assert failed.value.message == "agent claude answered: Internal error"
        assert late.value.message == "agent claude timed out after 4000 ms"
        with pytest.raises(AgentError) as alone:
            await agent.prompt(world.request("fail"))
        assert alone.value.message == "agent claude answered: Internal error: about fail"

    async def test_totals_of_a_session_are_counted_once(self, world: World) -> None:
        agent = world.agent("resumes", usage="total")
        first = await agent.prompt(world.request())
        second = await agent.prompt(world.request(session=first.session))
        earlier = await agent.prompt(world.request(session="old"))
        assert (first.usage, second.usage) == (
            {"input_tokens": 3, "output_tokens": 2},
            {"input_tokens": 0, "output_tokens": 0},
        )
        assert earlier.usage == {}, "what another process had used is unknown"

    @pytest.mark.parametrize("how", ["error", "cut", "silent"])
    async def test_a_turn_that_no_model_answered_is_a_crash(self, world: World, how: str) -> None:
        with pytest.raises(AgentError) as caught:
            await world.agent("unanswered", usage="always").prompt(world.request(how))
        assert caught.value.error_code == "crashed"
        assert ("HTTP 500" in caught.value.message) is (how != "silent")

    async def test_an_answer_that_nobody_counted_is_an_answer(self, world: World) -> None:
        assert (await world.agent("uncounted", usage="always").prompt(world.request())).text == "fine"

    async def test_what_a_policy_refused_is_noted(self, world: World) -> None:
        result = await world.agent("asks", permission="allow-reads").prompt(
            world.request("execute rm\nread x\nedit y\nexecute ls")
        )
        assert sorted(result.notes[0].removeprefix("not done, since its permissions refused it: ").split(", ")) == [
            "edit",
            "execute (2 times)",
        ]

    @pytest.mark.parametrize(
        ("reason", "code"),
        [
            ("refusal", "refused"),
            ("cancelled", "cancelled"),
            ("max_tokens", "bad_output"),
            ("max_turn_requests", "bad_output"),
            ("bored", "bad_output"),
        ],
    )
    async def test_reasons_that_are_no_result(self, world: World, reason: str, code: str) -> None:
        error = await world.fails("reason", prompt=reason)
        assert error.error_code == code

    @pytest.mark.parametrize(
        ("behaviour", "code", "says"),
        [
            ("needs-login", "not_logged_in", "Authentication required"),
            ("broken", "crashed", "Internal error"),
            ("busy", "rate_limited", "Too many requests"),
            ("newer", "bad_output", "version 2 of ACP, and this Ion 1"),
            ("dies-at-start", "crashed", "[exit 3]: cannot find my model"),
            ("dies", "crashed", "[exit 7]: the disk of the agent is full"),
        ],
    )
    async def test_what_goes_wrong_has_its_type(self, world: World, behaviour: str, code: str, says: str) -> None:
        error = await world.fails(behaviour)
        assert (error.error_code, says in error.message) == (code, True), error.message

    async def test_one_that_does_not_start_as_root_says_what_to_do(self, world: World) -> None:
        error = await world.fails("root")
        assert (error.error_code, "IS_SANDBOX=1" in error.hint) == ("refused", True)

    @pytest.mark.parametrize(
        ("argv", "code", "says"),
        [
            (("cat",), "bad_output", "does not speak the Agent Client Protocol"),
            (("true",), "crashed", "exit 0"),
            (("yes",), "timeout", "timed out"),
            (("no-such-agent-program",), "not_found", "no such program"),
        ],
    )
    async def test_programs_that_are_no_agents(self, world: World, argv: tuple[str, ...], code: str, says: str) -> None:
        agent = world.program(*argv, install="npm install -g agent")
        with pytest.raises(AgentError) as caught:
            await agent.prompt(world.request(timeout_ms=1500 if argv[0] == "yes" else 30_000))
        assert (caught.value.error_code, says in caught.value.message) == (code, True), caught.value.message
        assert (caught.value.hint == "install it: npm install -g agent") == (code == "not_found")

    async def test_a_dead_one_is_replaced_and_told_the_whole_prompt(self, world: World) -> None:
        agent = world.agent("dies_once")
        with pytest.raises(AgentError, match="signal 9"):
            await agent.prompt(world.request("one"))
        again = await agent.prompt(world.request("rest", session="1-1", fresh_prompt="all of it"))
        assert again.text == "echo: all of it"
        assert world.started == 2


class TestHostile:
    async def test_silence_at_the_start_has_an_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(running, "BEGIN_SECONDS", 0.5)
        error = await world.fails("silent-at-start")
        assert (error.error_code, "did not answer initialize" in error.message) == ("timeout", True)

    async def test_the_time_of_the_prompt_is_for_the_start_too(self, world: World) -> None:
        error = await world.fails("silent-at-start", timeout_ms=700)
        assert (error.error_code, error.message) == ("timeout", "agent claude timed out after 700 ms")

    async def test_silence_in_a_prompt(self, world: World) -> None:
        error = await world.fails("quiet", idle_timeout_ms=500)
        assert (error.error_code, error.message) == ("timeout", "agent claude said nothing for 500 ms")

    async def test_one_that_goes_on_for_ever_is_told_to_stop_and_listens(self, world: World) -> None:
        agent = world.agent("waits")
        with pytest.raises(AgentError, match="timed out after 700 ms") as caught:
            await agent.prompt(world.request(timeout_ms=700))
        assert caught.value.usage == {"input_tokens": 3, "output_tokens": 2}
        assert alive(world.programs()[0])
        await world.told("session/cancel")

    async def test_one_that_does_not_listen_is_ended(self, world: World) -> None:
        agent = world.agent("never")
        with pytest.raises(AgentError, match="timed out"):
            await agent.prompt(world.request(timeout_ms=700))
        assert not alive(world.programs()[0])

    async def test_cancelling_the_task_ends_the_turn(self, world: World) -> None:
        agent = world.agent("waits")
        turn = asyncio.create_task(agent.prompt(world.request()))
        await eventually((world.folder / "logs/node/1-prompt.out").exists)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        await world.told("session/cancel")
        assert alive(world.programs()[0])

    async def test_five_megabytes_on_stderr(self, world: World) -> None:
        result = await world.agent("chatters").prompt(world.request())
        assert result.text == "echo: hello"
        kept = (world.folder / "logs/node/1-prompt.err").read_bytes()
        assert kept.endswith(b"the last line\n")
        assert len(kept) == 64 * 1024

    async def test_lines_that_mean_nothing_and_requests_for_what_ion_does_not_have(
        self, world: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        result = await world.agent("garbage").prompt(world.request())
        assert result.text == "-32601 -32601 -32602 "
        assert capfd.readouterr().err == ""
        assert caplog.records == []

    async def test_pieces_keep_their_order(self, world: World) -> None:
        result = await world.agent("many").prompt(world.request())
        assert result.text == "".join(f"{i} " for i in range(500))

    async def test_lines_of_a_megabyte(self, world: World) -> None:
        result = await world.agent("huge").prompt(world.request())
        assert result.text == "".join(letter * 1024 * 1024 for letter in "abc")

    async def test_a_line_without_an_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from ion.agents.acp import v1

        monkeypatch.setattr(v1, "LONGEST_LINE", 4 * 1024 * 1024)
        error = await world.fails("endless_line")
        assert (error.error_code, "a line of more than" in error.message) == ("crashed", True), error.message

    async def test_a_reply_without_an_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(turn, "MAX_REPLY_CHARACTERS", 1_000_000)
        error = await world.fails("endless")
        assert (error.error_code, "replied with more than" in error.message) == ("bad_output", True)
        await world.told("session/cancel")

    @pytest.mark.parametrize(
        "answer",
        [
            *("initialize=null", "initialize=5", "initialize={}", 'initialize={"protocolVersion": "1"}'),
            *("session/new=null", 'session/new={"sessionId": 5}', "session/new=[]"),
            *('session/new={"sessionId": "s", "models": {"availableModels": 5}}', 'session/prompt={"stopReason": 5}'),
            *("session/prompt=null", "session/prompt={}", 'session/prompt={"stopReason": ["end_turn"]}'),
        ],
    )
    async def test_answers_that_are_none(self, world: World, answer: str) -> None:
        try:
            await world.agent(answer).prompt(world.request())
        except AgentError as error:
            assert error.error_code == "bad_output"  # noqa: PT017
        else:
            # A number written as a text is let pass, and what is not a list of models is passed over.
            assert answer.partition("=")[0] in ("initialize", "session/new")

    async def test_two_sessions_with_one_name(self, world: World) -> None:
        """Their replies could not be told apart."""
        agent = world.agent('session/new={"sessionId": "s"}')
        await agent.prompt(world.request())
        with pytest.raises(AgentError, match="the same name"):
            await agent.prompt(world.request())

    async def test_what_it_leaves_behind_is_ended_with_it(self, world: World) -> None:
        agent = world.agent("parent")
        child = int((await agent.prompt(world.request())).text)
        assert alive(child)
        await agent.end_run("run")
        assert not alive(child)

    async def test_its_death_is_seen_though_a_child_holds_its_pipes(self, world: World) -> None:
        agent = world.agent("parent")
        child = int((await agent.prompt(world.request())).text)
        os.kill(world.programs()[0], 9)
        await eventually(lambda: not alive(child))
        assert (await agent.prompt(world.request())).text != str(child)
        assert world.started == 2

    async def test_killed_in_the_middle_all_its_prompts_have_crashed(self, world: World) -> None:
        agent = world.agent("waits")
        turns = [asyncio.create_task(agent.prompt(world.request(f"{i}"))) for i in range(5)]
        await eventually(lambda: world.record.exists() and len(world.asked("session/prompt")) == 5)
        os.kill(world.programs()[0], 9)
        results = await asyncio.gather(*turns, return_exceptions=True)
        assert {getattr(error, "error_code", error) for error in results} == {"crashed"}
        assert all("signal 9" in str(error) for error in results)


class TestPermissions:
    ASKS = "read src/a.py\nexecute rm -rf build"

    @pytest.mark.parametrize(("policy", "replies"), [("allow", "y! y!"), ("allow-reads", "y! n"), ("deny", "n n")])
    async def test_by_policy(self, world: World, policy: str, replies: str) -> None:
        assert (await world.agent("asks", permission=policy).prompt(world.request(self.ASKS))).text == replies

    async def test_without_a_way_to_ask_the_turn_ends(self, world: World) -> None:
        agent = world.agent("asks", permission="ask")
        with pytest.raises(UnpermittedError) as caught:
            await agent.prompt(world.request("execute rm -rf build"))
        (asked,) = caught.value.permissions
        assert asked.decisions == asked.kinds == ("allow_once", "allow_always", "reject_once")
        assert asked.message.splitlines() == [
            "claude asks for permission to execute: rm -rf build",
            '  input: {"command": "rm -rf build"}',
            "  allow_once: Yes",
            "  allow_always: Always",
            "  reject_once: No",
        ]
        await world.told("session/cancel")
        verdicts = {asked.key: "reject_once"}
        again = await agent.prompt(world.request("execute rm -rf build", verdicts=verdicts))
        assert again.text == "n"
        assert world.started == 1

    async def test_held_open_for_a_person(self, world: World) -> None:
        seen: list[Permission] = []

        async def ask(permission: Permission) -> str:
            seen.append(permission)
            await asyncio.sleep(0.7)
            return "allow_always" if "read" in permission.message else "rejected"

        agent = world.agent("asks", permission="ask")
        result = await agent.prompt(world.request(self.ASKS, ask=ask, idle_timeout_ms=500))
        assert result.text == "Y n"
        assert len({permission.key for permission in seen}) == 2

    async def test_what_was_decided_holds_for_that_call_while_the_turn_lasts(self, world: World) -> None:
        seen: list[Permission] = []

        async def ask(permission: Permission) -> str:
            seen.append(permission)
            return "allow_once"

        agent = world.agent("asks", permission="ask")
        first = await agent.prompt(world.request("execute ls", ask=ask))
        await agent.prompt(world.request("execute ls", ask=ask, session=first.session))
        await agent.prompt(world.request("execute ls -a", ask=ask, session=first.session))
        assert seen[0].key == seen[1].key != seen[2].key

    async def test_nobody_decides_in_time(self, world: World) -> None:
        async def ask(permission: Permission) -> str | None:
            if "read" in permission.message:
                await asyncio.sleep(30)
            return None

        agent = world.agent("asks", permission="ask")
        with pytest.raises(UnpermittedError) as caught:
            await agent.prompt(world.request(self.ASKS, ask=ask))
        assert "execute:" in " ".join(permission.key for permission in caught.value.permissions)
        assert world.started == 1

    async def test_more_questions_than_anybody_answers(self, world: World) -> None:
        async def ask(_: Permission) -> str:
            await asyncio.sleep(30)
            return "allow_once"

        many = "\n".join(f"execute {i}" for i in range(101))
        with pytest.raises(AgentError, match="asked for more than 100 permissions at once"):
            await world.agent("asks", permission="ask").prompt(world.request(many, ask=ask))

    async def test_the_agent_dies_while_it_is_asked(self, world: World) -> None:
        async def ask(_: Permission) -> str:
            os.kill(world.programs()[0], 9)
            await asyncio.sleep(30)
            return "allow_once"

        with pytest.raises(AgentError, match="signal 9"):
            await world.agent("asks", permission="ask").prompt(world.request("execute ls", ask=ask))


def test_everything_of_it_is_imported_late() -> None:
    """The SDK costs a second; nobody pays for it who does not speak ACP."""
    import subprocess

    code = "import sys, ion.agents.acp; sys.exit('acp' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert acp.DEFAULT_POLICY == "ask"
