"""The `agents` of the settings: their checks, each problem with its place.

An agent is a preset, possibly with another program, or a command that is configured in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from ion.language.problems import Report

TYPES = ("command", "acp")
PERMISSIONS = ("allow", "allow-reads", "deny", "ask")
DEFAULT_MAX_PARALLEL = 4
_PLACE = re.compile(r"\{(?:value|list|names|json|file|session)\}")


class AgentSettings(Struct, frozen=True, gc=False):
    """One agent of the settings. `command` are words, the program in place of the preset's if there is a `preset`;
    `arguments` follow it. `options` are defaults for the options of nodes, `flags` what further options become on the
    command line, `resume` the flags that continue a session. `pointer` and `session_pointer` are JSON pointers for
    the parser `json`. `type` None: the preset's, a command."""

    preset: str | None = None
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    type: str | None = None
    parser: str | None = None
    pointer: str = ""
    session_pointer: str = ""
    resume: tuple[str, ...] = ()
    flags: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    max_parallel: int = DEFAULT_MAX_PARALLEL
    permission: str | None = None


def agent_settings(name: str, values: dict[str, Any]) -> AgentSettings:
    """One agent, from values that `check_agents` has found nothing wrong with."""
    from ion.agents.command import command_words

    made = {**values, "preset": _preset_of(name, values)}
    if isinstance(made.get("command"), str):
        made["command"] = command_words(made["command"])
    for name in ("command", "arguments", "resume"):
        made[name] = tuple(made.get(name, ()))
    return AgentSettings(**made)


def _preset_of(name: str, values: dict[str, Any]) -> Any:
    """The preset of an agent; the one of its own name, if it names no other."""
    from ion.agents.presets import NAMES

    if "preset" not in values and "command" not in values and name in NAMES:
        return name
    return values.get("preset")


def check_agents(values: Any, report: Report) -> None:
    """Report what is wrong with the value of `agents`."""
    if not isinstance(values, dict):
        report.error("bad-value", "'agents' must be a mapping from a name to its settings", ("agents",))
        return
    for name, agent in values.items():
        _check_agent(str(name), agent, report)


def _check_agent(name: str, values: Any, report: Report) -> None:
    path = ("agents", name)
    if not name.strip() or name.startswith("python:"):
        report.error("bad-value", f"{name!r} is not a valid name for an agent", path, key=True)
    if not isinstance(values, dict):
        report.error("bad-value", f"the agent '{name}' must be a mapping", path, hint="such as {preset: claude}")
        return
    before = report.errors
    for key, value in values.items():
        wanted = _SHAPES.get(key)
        if wanted is None:
            hint = report.suggest(key, _SHAPES) or f"one of: {', '.join(_SHAPES)}"
            report.error("unknown-field", f"unknown agent setting '{key}'", (*path, key), hint=hint, key=True)
        elif not wanted[0](value):
            report.error("bad-value", f"'{key}' must be {wanted[1]}", (*path, key))
    if report.errors == before:
        _check_together(name, values, report)


def _check_together(name: str, values: dict[str, Any], report: Report) -> None:
    """Rules between several keys."""
    from ion.agents.presets import NAMES
    from ion.api.presets import preset

    path = ("agents", name)
    known = _preset_of(name, values)
    if known is not None and known not in NAMES:
        hint = report.suggest(known, NAMES) or f"one of: {', '.join(NAMES)}"
        report.error("unknown-preset", f"unknown preset '{known}'", (*path, "preset"), hint=hint)
        return
    if known is None and "command" not in values:
        message = f"the agent '{name}' has neither a preset nor a command"
        report.error("missing-field", message, path, hint="{preset: claude}, or {command: my-agent --json}", key=True)
    if isinstance(values.get("command"), str):
        _check_line(values["command"], (*path, "command"), report)
    found = preset(known) if known is not None else None
    parser = values.get("parser") or (found.parser if found is not None else "text")
    for key in ("pointer", "session_pointer"):
        if key in values and parser != "json":
            report.error(
                "bad-value", f"'{key}' is for the parser json", (*path, key), hint="add parser: json", key=True
            )
    preset_type = found.type if found is not None else "command"
    permission, type_ = values.get("permission"), values.get("type") or preset_type
    if found is not None and type_ != preset_type:
        other = known.removesuffix("-acp") if preset_type == "acp" else f"{known}-acp"
        hint = f"preset: {other}" if other in NAMES else "it is the preset that says so"
        report.error("bad-value", f"the preset '{known}' is of type {preset_type}", (*path, "type"), hint=hint)
        return
    if type_ == "acp":
        for key in ("parser", "pointer", "session_pointer", "resume", "flags"):
            if key in values:
                report.error("bad-value", f"'{key}' means nothing to an agent of type acp", (*path, key), key=True)
    if type_ == "command" and permission is not None:
        allowed = tuple(found.permission) if found is not None else ()
        if permission not in allowed:
            which = f"one of: {', '.join(allowed)}" if allowed else "give its own options in `arguments`"
            message = f"the agent '{name}' has no option for 'permission: {permission}' on its command line"
            report.error("bad-value", message, (*path, "permission"), hint=which)


def _check_line(line: str, path: tuple[str, ...], report: Report) -> None:
    from ion.agents.command import command_words
    from ion.errors import UsageError

    try:
        command_words(line)
    except UsageError as error:
        report.error("bad-value", error.message, path, hint=error.hint)


def is_text(value: Any) -> bool:
    """Whether a setting is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_positive(value: Any) -> bool:
    """Whether a setting is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_texts(value: Any) -> bool:
    """Whether a setting is a mapping of texts."""
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_templates(value: Any) -> bool:
    """Words with at most one placeholder each."""
    return _is_words(value) and all(len(_PLACE.findall(word)) <= 1 for word in value)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value)


def _is_command(value: Any) -> bool:
    return is_text(value) or (_is_words(value) and bool(value) and is_text(value[0]))


def _is_flags(value: Any) -> bool:
    def fits(one: Any) -> bool:
        return _is_templates(one) or (
            isinstance(one, dict)
            and "some" in one
            and one.keys() <= {"some", "none"}
            and all(map(_is_templates, one.values()))
        )

    return isinstance(value, dict) and all(fits(one) for one in value.values())


def _is_options(value: Any) -> bool:
    from ion.agents.launch import OWN_OPTIONS

    return isinstance(value, dict) and OWN_OPTIONS.isdisjoint(value)


def _is_pointer(value: Any) -> bool:
    return isinstance(value, str) and (value == "" or value.startswith("/"))


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in names, f"one of: {', '.join(names)}")


_WORDS = (_is_words, "a list of words")
_POINTER = (_is_pointer, "a JSON pointer, such as /result/text")
_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "preset": (is_text, "the name of a preset"),
    "command": (_is_command, "a command line, or its words as a list"),
    "arguments": _WORDS,
    "type": _one_of(*TYPES),
    "parser": _one_of("text", "claude-json", "codex-jsonl", "gemini-json", "opencode-jsonl", "aider", "json"),
    "pointer": _POINTER,
    "session_pointer": _POINTER,
    "resume": (_is_templates, 'a list of words, such as ["--session={session}"]'),
    "flags": (
        _is_flags,
        "a mapping from an option to a list of words, or to {some: […], none: […]}, one {…} in a word",
    ),
    "options": (
        _is_options,
        "a mapping from an option to its value (but agent, provider and maxBudgetUsd are the nodes')",
    ),
    "env": (is_texts, "a mapping of texts"),
    "max_parallel": (is_positive, "a number above 0"),
    "permission": _one_of(*PERMISSIONS),
}
