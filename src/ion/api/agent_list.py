"""Which agents exist, what of them is installed, and whether one answers."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from typing import Any

from msgspec import Struct, field, structs, to_builtins

from ion.agents.base import Agent, AgentError, LastingAgent, PromptRequest, UnpermittedError
from ion.agents.presets import flags_of
from ion.api.agents import driven_by, find_program, is_bare, make_agent, settings_of
from ion.api.settings import DEFAULT_MAX_PARALLEL
from ion.api.workspace import Workspace
from ion.errors import UsageError

CHECK_PROMPT = "Reply with the single word: ok"
# An agent may have to start, log in and load its tools; one that is still silent then is not going to answer.
CHECK_TIMEOUT_MS = 180_000
HELP_TIMEOUT_S = 30


class KnownAgent(Struct, frozen=True):
    """An agent with a name. `source` is `settings`, `preset`, or `command line` (the settings' default, if it is not
    a name); `path` is where its program is, None if it is not installed."""

    name: str
    source: str
    type: str
    preset: str | None
    program: str
    path: str | None
    max_parallel: int
    is_default: bool = field(name="default")
    install: str

    def to_json(self) -> dict[str, Any]:
        """One entry of what `ion agents --json` prints."""
        made: dict[str, Any] = to_builtins(self)
        return made


class Checked(Struct, frozen=True):
    """The result of a test question to an agent. `error` is None if it answered. `unknown_flags` are those of its
    preset that the installed program does not list in its help, `note` is a remark on its settings."""

    name: str
    reply: str
    duration_ms: int
    usage: dict[str, float] = field(default_factory=dict)
    error: dict[str, str] | None = None
    unknown_flags: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object that `ion agents --check --json` prints."""
        return {"name": self.name, "ok": self.error is None, **structs.asdict(self)}


def known_agents(workspace: Workspace) -> list[KnownAgent]:
    """Those of the settings, then the presets that the settings do not name, then a default that is a command line."""
    from ion.agents.presets import NAMES

    settings = workspace.settings
    names = list(dict.fromkeys((*settings.agents, *NAMES)))
    if settings.agent is not None and settings.agent not in names:
        names.append(settings.agent)
    return [_known(workspace, name) for name in names]


def _known(workspace: Workspace, name: str) -> KnownAgent:
    from ion.agents.command import command_words

    settings = workspace.settings
    chosen = settings_of(name, settings)
    source = "settings" if name in settings.agents else "preset" if chosen is not None else "command line"
    driven = driven_by(name, chosen) if chosen is not None else None
    program = driven.command[0] if driven is not None else command_words(name)[0]
    env = {**os.environ, **settings.env, **(chosen.env if chosen is not None else {})}
    return KnownAgent(
        name=name,
        source=source,
        type=driven.type if driven is not None else "command",
        preset=chosen.preset if chosen is not None else None,
        program=program,
        path=find_program(program, env, workspace.project),
        max_parallel=(chosen and chosen.max_parallel) or DEFAULT_MAX_PARALLEL,
        is_default=name == settings.agent,
        install=driven.install if driven is not None else "",
    )


def check_agent(workspace: Workspace, name: str | None = None) -> Checked:
    """Ask an agent (None: the default one) for one word. Raises `UsageError` if no agent is configured."""
    settings = workspace.settings
    wanted = name or settings.agent
    if wanted is None:
        raise UsageError(
            "no agent is the default here", hint="ion agents --check NAME, or `agent: NAME` in .ion/config.yaml"
        )
    agent = make_agent(wanted, settings)
    request = PromptRequest(
        run_id="check",
        node="check",
        prompt=CHECK_PROMPT,
        key="check/check",
        cwd=workspace.project,
        env={**os.environ, **settings.env},
        timeout_ms=CHECK_TIMEOUT_MS,
    )
    checked = asyncio.run(_check(agent, request))
    chosen = settings.agents.get(wanted)
    note = is_bare(wanted, chosen) if chosen is not None else ""
    return structs.replace(checked, unknown_flags=_unknown_flags(agent, request), note=note)


def _unknown_flags(agent: Agent, request: PromptRequest) -> tuple[str, ...]:
    """The flags of its preset that the help of the installed program does not have. A program without a help that lists
    any of them says nothing about the others."""
    from ion.agents.command import CommandAgent

    if not isinstance(agent, CommandAgent):
        return ()
    try:
        done = subprocess.run(
            [*agent.preset.command, *agent.preset.help],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=HELP_TIMEOUT_S,
            cwd=request.cwd,
            env={**request.env, **agent.preset.env, **agent.env},
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    listed = set(re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", (done.stdout + done.stderr).decode("utf-8", "replace")))
    wanted = flags_of(agent.preset)
    return tuple(flag for flag in wanted if flag not in listed) if listed.intersection(wanted) else ()


async def _check(agent: Agent, request: PromptRequest) -> Checked:
    began = time.monotonic()

    def took() -> int:
        return round((time.monotonic() - began) * 1000)

    try:
        result = await agent.prompt(request)
    except AgentError as error:
        return Checked(agent.name, "", took(), dict(error.usage), error.to_json())
    except UnpermittedError as error:
        return Checked(agent.name, "", took(), dict(error.usage), error.to_json())
    finally:
        if isinstance(agent, LastingAgent):
            await agent.end_run(request.run_id)
    if not result.text.strip():
        empty = AgentError("bad_output", f"agent {agent.name} ended well and said nothing")
        return Checked(agent.name, "", took(), dict(result.usage), empty.to_json())
    return Checked(agent.name, result.text, took(), dict(result.usage))
