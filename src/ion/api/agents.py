"""Which agent answers a node's prompts: its own, the caller's, a configured one, a preset, a command line, or nobody.

The order (language.md §3.3): `agent:` of the node or its workflow; else `provider:` if an agent of that name is
configured (a workflow of another engine says `provider: claude` for every node, and must not start programs that nobody
here asked for); else the run's (`--agent`, else the settings' `agent`); else the prompt waits for the caller.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from ion.agents.base import Agent
from ion.api.settings import DEFAULT_MAX_PARALLEL, AgentSettings, Settings, preset, presets
from ion.core.commands import AgentLimits
from ion.errors import MissingAgentError, MissingRuntimeError, UsageError
from ion.kinds import AGENT_KINDS
from ion.language.templates import templates_of
from ion.language.workflow import Approval, Node, Workflow

if TYPE_CHECKING:
    from ion.agents.acp import AcpAgent
    from ion.agents.command import CommandAgent
    from ion.agents.presets import Preset
    from ion.api.agent_packages import AgentPackage

# What a caller may give: an agent, a sync or async function, a configured name or a command line, or nothing.
AgentLike: TypeAlias = Agent | Callable[..., Any] | str | None
# How the name of an agent begins that lives in the program around Ion, and that no other process can find again.
IN_PROCESS = "python:"


def agent_name(agent: AgentLike, settings: Settings) -> str | None:
    """The agent's name for the run's first event, so that a resume finds the same agent; None: the caller answers."""
    if agent is None:
        return settings.agent
    if isinstance(agent, str):
        return agent
    return IN_PROCESS + str(getattr(agent, "name", None) or getattr(agent, "__name__", type(agent).__name__))


def asks(node: Node) -> bool:
    """Whether this node has prompts."""
    return node.kind in AGENT_KINDS or (isinstance(node.body, Approval) and node.body.on_reject is not None)


class Agents(Struct, frozen=True, dict=True):
    """The agents of a run's nodes. `given` is the caller's; `recorded`, the name in the log, counts if the caller
    gave none. `only_configured`: a command line is not accepted."""

    given: AgentLike
    recorded: str | None
    settings: Settings
    only_configured: bool = False
    _made: dict[str, Agent] = field(default_factory=dict)

    def __call__(self, node: Node) -> Agent | None:
        """The agent that answers this node's prompts; None: the caller answers them."""
        name = self.name_for(node)
        if name is None:
            return None
        if name not in self._made:
            if self.only_configured:
                require_configured(name, self.settings)
            self._made[name] = make_agent(name, self.settings) if self._is_named(name) else _in_process(self.given)
        return self._made[name]

    def name_for(self, node: Node) -> str | None:
        """The name, or the command line, of the agent that answers this node's prompts."""
        if node.agent is not None and node.agent != self._own_name:
            return node.agent
        provider = node.options.get("provider")
        if node.agent is None and isinstance(provider, str) and provider in self.settings.agents:
            return provider
        return self._default_name

    def agent_limits(self, workflow: Workflow) -> AgentLimits:
        """Which agent answers which node, and how many of its prompts run at once. A caller's agent is bounded if it
        says so (`max_parallel`)."""
        asking = [one for one in templates_of(workflow) if asks(one.node)]
        names = {one.path: name for one in asking if (name := self.name_for(one.node)) is not None}
        limits = {name: limit for name in set(names.values()) if (limit := self._limit(name)) is not None}
        return AgentLimits(names, limits)

    def _limit(self, name: str) -> int | None:
        configured = self.settings.agents.get(name)
        if configured is not None:
            return configured.max_parallel or DEFAULT_MAX_PARALLEL
        return DEFAULT_MAX_PARALLEL if self._is_named(name) else getattr(self.given, "max_parallel", None)

    @cached_property
    def _default_name(self) -> str | None:
        return self.recorded if self.given is None else agent_name(self.given, self.settings)

    @cached_property
    def _own_name(self) -> str | None:
        """The name of the caller's agent: a workflow may ask for it too."""
        return None if isinstance(self.given, str) else getattr(self.given, "name", None)

    def _is_named(self, name: str) -> bool:
        """Whether a name is one for `make_agent`, and not that of an agent that the caller gave."""
        return self.given is None or isinstance(self.given, str) or name != self._default_name


def _in_process(given: Any) -> Agent:
    if given is None:
        raise UsageError("the run's agent is a function of the program that started it", code="agent")
    from ion.agents.callable import CallableAgent

    agent: Agent = given if hasattr(given, "prompt") else CallableAgent(given)
    return agent


def make_agent(name: str, settings: Settings) -> CommandAgent | AcpAgent:
    """The agent of this name: a configured one, else a preset, else a command line.

    Raises `UsageError` for any other name.
    """
    from ion.agents.command import CommandAgent, command_agent

    chosen = settings_of(name, settings)
    if chosen is None:
        return command_agent(name)
    driven = driven_by(name, chosen)
    if driven.type == "acp":
        return _acp_agent(name, chosen, driven)
    return CommandAgent(driven, name, chosen.pointer, chosen.session_pointer, chosen.env, chosen.options)


def _acp_agent(name: str, chosen: AgentSettings, driven: Preset) -> AcpAgent:
    """Raises `MissingRuntimeError` if the SDK is not installed."""
    import importlib.util

    from ion.agents.acp import DEFAULT_POLICY, AcpAgent

    if importlib.util.find_spec("acp") is None:
        raise MissingRuntimeError(
            f"the agent '{name}' speaks ACP, and the SDK for that is not installed",
            hint="pip install 'ion-workflows[acp]'",
        )
    return AcpAgent(driven, name, chosen.permission or DEFAULT_POLICY, chosen.options, chosen.env)


def settings_of(name: str, settings: Settings) -> AgentSettings | None:
    """The settings of a configured agent, or of a preset that nobody configured; None: the name is neither."""
    from ion.agents.presets import NAMES

    configured = settings.agents.get(name)
    if configured is not None:
        return configured
    return AgentSettings(preset=name) if name in NAMES else None


def driven_by(name: str, chosen: AgentSettings) -> Preset:
    """How this agent is driven: its preset, overridden by the settings."""
    from ion.agents.presets import Preset, flags

    base = (preset(chosen.preset) if chosen.preset is not None else None) or Preset(name)
    restricting = base.restricting if chosen.permission in ("allow-reads", "deny") else {}
    permitted = base.permission.get(chosen.permission, ()) if chosen.permission is not None else ()
    return replace(
        base,
        type=chosen.type or base.type,
        command=chosen.command or _installed(base),
        package="" if chosen.command else base.package,
        arguments=(*base.arguments, *chosen.arguments, *permitted),
        parser=chosen.parser or base.parser,
        resume=chosen.resume or base.resume,
        options={**base.options, **restricting, **{key: flags(value) for key, value in chosen.flags.items()}},
    )


def is_bare(name: str, chosen: AgentSettings) -> str:
    """What is to be said of an agent of the settings that starts a program of a preset without being that preset; ''
    for any other."""
    if chosen.preset is not None or not chosen.command or chosen.parser is not None or chosen.type is not None:
        return ""
    program = Path(chosen.command[0]).name
    known = next((one for one in presets().values() if program in (one.name, one.command[0]) or name == one.name), None)
    if known is None:
        return ""
    return (
        f"the agent '{name}' is only a command: what it prints is its answer, without options, sessions and costs."
        f" `preset: {known.name}` beside the command gives it those of {known.name}; with `parser: text` it is meant"
    )


def _installed(base: Preset) -> tuple[str, ...]:
    """The command of a preset; of a package that was downloaded, by its path."""
    if not base.package:
        return base.command
    from ion.api.agent_packages import AgentPackage

    path = AgentPackage(base.name, base.package, base.command[0]).path
    return (str(path), *base.command[1:]) if path.exists() else base.command


def package_of(name: str, settings: Settings) -> AgentPackage:
    """The package that an agent is. Raises `UsageError` if it is none."""
    from ion.api.agent_packages import AgentPackage

    chosen = settings_of(name, settings)
    base = preset(chosen.preset) if chosen is not None and chosen.preset is not None else None
    if base is None or not base.package or (chosen is not None and chosen.command):
        hint = f"install it: {base.install}" if base is not None and base.install else "ion agents lists the agents"
        raise UsageError(f"the agent '{name}' is not a package that Ion can download", hint=hint)
    return AgentPackage(name, base.package, base.command[0])


# ---------------------------------------------------------------------- before a run begins


def left_out(agents: Agents, nodes: Iterable[Node]) -> tuple[str, ...]:
    """The options that an agent cannot be given, one sentence for each agent and option."""
    asking = [(node, agents(node)) for node in nodes if asks(node)]
    if not asking:
        return ()
    from ion.agents.acp import AcpAgent
    from ion.agents.command import CommandAgent
    from ion.agents.presets import without_effect

    found: dict[tuple[str, str], list[str]] = {}
    widening: dict[str, list[str]] = {}
    for node, agent in asking:
        if isinstance(agent, AcpAgent) and agent.widens(node.options):
            widening.setdefault(f"agent {agent.name}: {agent.not_taken(node.options)}", []).append(node.id)
        if isinstance(agent, CommandAgent | AcpAgent):
            for option in without_effect(agent.preset, {**agent.options, **node.options}):
                found.setdefault((agent.name, option), []).append(node.id)
    return tuple(
        f"agent {name} has no option for {option}: it is not passed on ({_listed(whose)})"
        for (name, option), whose in found.items()
    ) + tuple(f"{said} ({_listed(whose)})" for said, whose in widening.items())


def require_agents(agents: Agents, nodes: Iterable[Node], env: Mapping[str, str], cwd: Path) -> None:
    """Check the agents of these nodes before a run starts.

    Raises `UsageError` (code `unknown-agent`) for an unknown `agent:`, `MissingRuntimeError` for programs that are not
    installed: `MissingAgentError` if Ion can download them all.
    """
    asking: dict[str, list[Node]] = {}
    for node in nodes:
        name = agents.name_for(node) if asks(node) else None
        if name is not None:
            asking.setdefault(name, []).append(node)
    missing = {}
    for name, whose in asking.items():
        if name.startswith(IN_PROCESS):
            continue
        if any(node.agent == name for node in whose):
            _require_known(name, [node.id for node in whose if node.agent == name], agents.settings)
        if not any("PATH" in node.env for node in whose):
            missing[name] = _missing(name, [node.id for node in whose], agents.settings, env, cwd)
    found = {name: one for name, one in missing.items() if one is not None}
    if found:
        message = "; ".join(message for message, _ in found.values())
        hint = "; ".join(dict.fromkeys(hint for _, hint in found.values()))
        if all(make_agent(name, agents.settings).preset.package for name in found):
            error = MissingAgentError(message, hint=hint)
            error.agents = tuple(found)
            raise error
        raise MissingRuntimeError(message, hint=hint)


def require_configured(name: str, settings: Settings) -> None:
    """Raise `UsageError` (code `unknown-agent`) for an agent that a worker does not know by its name: a command line
    comes from whoever reaches the cluster, the settings from the worker's own machine."""
    if name != settings.agent and settings_of(name, settings) is None:
        raise UsageError(
            f"workers take agents by their name, and {name!r} is neither configured nor a preset",
            hint="name it under `agents` in .ion/config.yaml, also where the workers are; ion agents lists them",
            code="unknown-agent",
        )


def _require_known(name: str, nodes: list[str], settings: Settings) -> None:
    if settings_of(name, settings) is None:
        raise UsageError(
            f"the agent '{name}' of {_listed(nodes)} is neither configured nor a preset",
            hint=f"{_near(name, settings)}name it under `agents` in .ion/config.yaml; ion agents lists what there is",
            code="unknown-agent",
        )


def _missing(
    name: str, nodes: list[str], settings: Settings, env: Mapping[str, str], cwd: Path
) -> tuple[str, str] | None:
    """What is not installed, and what to do; None if everything is there."""
    agent = make_agent(name, settings)
    program, install, package = agent.preset.command[0], agent.preset.install, agent.preset.package
    if find_program(program, {**env, **agent.preset.env, **agent.env}, cwd) is not None:
        return None
    hint = f"install it: {install}" if install else f"{_near(name, settings)}is it installed and on PATH?"
    of_npm = f" (of npm's {package})" if package else ""
    return f"{program}{of_npm}, the agent of {_listed(nodes)}, is not installed", hint


def find_program(program: str, env: Mapping[str, str], cwd: Path) -> str | None:
    """Where a program is, searched as the system does; a path is relative to `cwd`."""
    if os.sep in program:
        return shutil.which(str(cwd / program))
    return shutil.which(program, path=env.get("PATH"))


def _near(name: str, settings: Settings) -> str:
    from ion.agents.presets import NAMES
    from ion.language.problems import did_you_mean

    near = did_you_mean(name, (*settings.agents, *NAMES))
    return f"did you mean '{near}'? else " if near else ""


def _listed(nodes: list[str]) -> str:
    shown = ", ".join(nodes[:5]) + (", …" if len(nodes) > 5 else "")
    return f"the node {shown}" if len(nodes) == 1 else f"the nodes {shown}"
