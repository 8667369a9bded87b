"""Which agent answers a node's prompts: the caller's, a configured one, a command line, or nobody (the host)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from ion.agents.base import Agent
from ion.api.settings import Settings
from ion.language.workflow import Node

# What a caller may give: an agent, a sync or async function, a configured name or a command line, or nothing.
AgentLike: TypeAlias = Agent | Callable[..., Any] | str | None
# How the name of an agent begins that lives in the program around Ion, and that no other process can find again.
IN_PROCESS = "python:"


def agent_name(agent: AgentLike, settings: Settings) -> str | None:
    """What the run's first event holds, so that a resume finds the same agent; None: the host answers."""
    if agent is None:
        return settings.agent
    if isinstance(agent, str):
        return agent
    return IN_PROCESS + str(getattr(agent, "name", None) or getattr(agent, "__name__", type(agent).__name__))


def chooser(agent: AgentLike, recorded: str | None, settings: Settings) -> Callable[[Node], Agent | None]:
    """Who answers each node: its own `agent:` if one of that name is configured, else the run's.

    `recorded` is the name in the log, which counts when the caller gives no agent.
    """
    default = agent if agent is not None else recorded

    @functools.cache
    def named(name: str) -> Agent:
        return _command(name, settings)

    @functools.cache
    def in_process() -> Agent:
        return _in_process(default)

    def choose(node: Node) -> Agent | None:
        if node.agent is not None and node.agent in settings.agents:
            return named(node.agent)
        if default is None:
            return None
        return named(default) if isinstance(default, str) else in_process()

    return choose


def _in_process(given: Any) -> Agent:
    from ion.agents.callable import CallableAgent

    agent: Agent = given if hasattr(given, "prompt") else CallableAgent(given)
    return agent


def _command(name: str, settings: Settings) -> Agent:
    from ion.agents.command import command_agent

    configured = settings.agents.get(name)
    if configured is None:
        return command_agent(name)
    return replace(command_agent(str(configured.get("command", name))), name=name)
