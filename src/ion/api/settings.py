"""The settings files: `.ion/config.yaml` of the project over `ion/config.yaml` of the user.

Without a file nothing is loaded. Every problem of a file is reported at once, with its place. An agent of the settings
is a preset, possibly with another program, or a command that is configured in full; the presets are read from their own
file when a name first needs them.
"""

from __future__ import annotations

import contextlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import replace

from ion import codec
from ion.api.deployment import (
    GROUP_SHAPES,
    HOOK_SHAPES,
    NAME,
    NAME_RULE,
    REQUIRED,
    SCHEDULE_SHAPES,
    SIGNAL_SHAPES,
    START_SHAPES,
    VERIFIERS,
    Group,
    Hook,
    Schedule,
    require_timezone,
)
from ion.digests import sha256_of
from ion.errors import InternalError, InvalidWorkflowError, UsageError

if TYPE_CHECKING:
    from ion.agents.presets import Preset
    from ion.language.problems import Report

PERMISSIONS = ("allow", "allow-reads", "deny", "ask")
DEFAULT_MAX_PARALLEL = 4


class AgentSettings(Struct, frozen=True, gc=False):
    """One agent of the settings. `command` are words, the program in place of the preset's if there is a `preset`;
    `arguments` follow it. `options` are defaults for the options of nodes, `flags` what further options become on the
    command line, `resume` the flags that continue a session. `pointer` and `session_pointer` are JSON pointers for
    the parser `json`. `type` None: the preset's, a command. `max_parallel` holds for all runs of the project together;
    None: `DEFAULT_MAX_PARALLEL` for the runs of one process."""

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
    max_parallel: int | None = None
    permission: str | None = None


class Settings(Struct, frozen=True):
    """The content of the files. `log`, `notify` and `otel` configure observers (docs/observing.md); `project` is the
    project's name, `schedules`, `hooks` and `concurrency` its deployment (docs/schedules.md, docs/serve.md)."""

    agent: str | None = None
    agents: dict[str, AgentSettings] = field(default_factory=dict)
    store: str | None = None
    max_concurrency: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    log: bool | str = False
    notify: str | None = None
    otel: bool = False
    project: str | None = None
    schedules: dict[str, Schedule] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    concurrency: dict[str, Group] = field(default_factory=dict)


def read_settings(project_file: Path, user_file: Path) -> Settings:
    """The settings, the project's over the user's. Raises `InvalidWorkflowError` (code `invalid-settings`)."""
    user, project = _read(user_file, of_project=False), _read(project_file, of_project=True)
    if not user and not project:
        return Settings()
    merged = {**user, **project}
    for name in ("agents", "env"):
        if name in user and name in project:
            merged[name] = {**user[name], **project[name]}
    merged["secrets"] = list(dict.fromkeys((*user.get("secrets", ()), *project.get("secrets", ()))))
    merged["agents"] = {name: _agent(name, values) for name, values in merged.get("agents", {}).items()}
    return convert(merged, Settings)


def effect_of(settings: Settings) -> str:
    """A digest of what the settings do to the runs of a clock: their agents, environment, secrets, store and log. What
    starts is not in it, nor what only concerns the user."""
    effective = replace(settings, schedules={}, hooks={}, concurrency={}, notify=None, max_concurrency=None)
    return sha256_of(codec.encode(effective).encode())


def _agent(name: str, values: dict[str, Any]) -> dict[str, Any]:
    from ion.agents.command import command_words

    made = {**values, "preset": _preset_of(name, values)}
    if isinstance(made.get("command"), str):
        made["command"] = command_words(made["command"])
    return made


def _read(file: Path, *, of_project: bool) -> dict[str, Any]:
    if not file.is_file():
        return {}
    data = file.read_bytes()
    if all(line.lstrip()[:1] in (b"", b"#") for line in data.splitlines()):
        return {}  # nothing but comments, as `ion init` writes it: no reader of YAML is loaded for that
    from ion.language.problems import Report, TooManyProblemsError
    from ion.language.source import decode
    from ion.language.yaml import read_yaml

    text, undecodable = decode(data, str(file))
    report = Report(read_yaml(text, str(file)), str(file))
    if undecodable is not None:
        report.add(undecodable)
    values = report.document.value
    with contextlib.suppress(TooManyProblemsError):
        if not report.errors and values is not None:
            _check(values, report, of_project=of_project)
    if report.errors:
        raise InvalidWorkflowError(f"the settings in {file} cannot be used", report.result())
    return dict(values or {})


# ---------------------------------------------------------------------- what may stand there

_PLACE = r"\{(?:value|list|names|json|file|session)\}"
_Text: TypeAlias = Annotated[str, Meta(pattern=r"\S")]
_Texts: TypeAlias = dict[str, str]
_Positive: TypeAlias = Annotated[int, Meta(gt=0)]
_Words: TypeAlias = list[Annotated[str, Meta(pattern=r"\A[^\0]*\Z")]]
# Words with at most one placeholder each.
_Templates: TypeAlias = list[Annotated[str, Meta(pattern=rf"(?s)\A(?!.*{_PLACE}.*{_PLACE})[^\0]*\Z")]]
_Pointer: TypeAlias = Annotated[str, Meta(pattern=r"\A(?:/|\Z)")]


class _SomeOrNone(Struct, forbid_unknown_fields=True):
    some: _Templates
    none: _Templates = []


def _one_of(*names: str) -> tuple[Any, str]:
    return Annotated[str, Meta(pattern=rf"\A(?:{'|'.join(names)})\Z")], f"one of: {', '.join(names)}"


# What a setting may be, as a type and in words.
_SHAPES: dict[str, tuple[Any, str]] = {
    "agents": (dict[str, Any], "a mapping from a name to its settings"),
    "agent": (_Text, "a name or a command line"),
    "store": (_Text, "a store URL, such as sqlite:.ion/ion.db"),
    "max_concurrency": (_Positive, "a number above 0"),
    "env": (_Texts, "a mapping of texts"),
    "secrets": (list[_Text], "a list of names"),
    "log": (bool | _Text, "true, or the path of a file"),
    "notify": (_Text, "a command line"),
    "otel": (bool, "true or false"),
    "project": (_Text, "the name of the project"),
    "schedules": (dict[str, Any], "a mapping from a name to a schedule"),
    "hooks": (dict[str, Any], "a mapping from a name to a hook"),
    "concurrency": (dict[str, Any], "a mapping from a name to a concurrency group"),
}
# What is only in the settings of a project, and what is only in those of a user: a program that a repository names
# would run without anybody's asking.
_OF_PROJECTS = ("project", "schedules", "hooks", "concurrency")
_OF_USERS = ("notify",)
_AGENT_SHAPES: dict[str, tuple[Any, str]] = {
    "preset": (_Text, "the name of a preset"),
    "command": (_Text | Annotated[_Words, Meta(min_length=1)], "a command line, or its words as a list"),
    "arguments": (_Words, "a list of words"),
    "type": _one_of("command", "acp"),
    "parser": _one_of("text", "claude-json", "codex-jsonl", "gemini-json", "opencode-jsonl", "aider", "json"),
    "pointer": (_Pointer, "a JSON pointer, such as /result/text"),
    "session_pointer": (_Pointer, "a JSON pointer, such as /result/text"),
    "resume": (_Templates, 'a list of words, such as ["--session={session}"]'),
    "flags": (
        dict[str, _Templates | _SomeOrNone],
        "a mapping from an option to a list of words, or to {some: […], none: […]}, one {…} in a word",
    ),
    "options": (
        dict[Annotated[str, Meta(pattern=r"\A(?!(?:agent|provider|maxBudgetUsd)\Z)")], Any],
        "a mapping from an option to its value (but agent, provider and maxBudgetUsd are the nodes')",
    ),
    "env": (_Texts, "a mapping of texts"),
    "max_parallel": (_Positive, "a number above 0"),
    "permission": _one_of(*PERMISSIONS),
}


def _check(values: Any, report: Report, *, of_project: bool) -> None:
    if not isinstance(values, dict):
        report.error("bad-value", "the settings must be a mapping", hint=f"of {', '.join(_SHAPES)}")
        return
    _check_shapes(values, _SHAPES, "setting", (), report)
    if isinstance(values.get("agents"), dict):
        for name, agent in values["agents"].items():
            _check_agent(name, agent, report)
    for key in _OF_PROJECTS:
        if key in values and not of_project:
            hint = "move it to .ion/config.yaml of the project"
            report.error("bad-value", f"'{key}' is a setting of a project, not of a user", (key,), hint=hint, key=True)
    for key in _OF_USERS:
        if key in values and of_project:
            hint = "move it to ion/config.yaml in your own configuration folder (~/.config)"
            report.error("bad-value", f"'{key}' is a setting of a user, not of a project", (key,), hint=hint, key=True)
    _check_deployment(values, "schedules", "schedule", SCHEDULE_SHAPES, report)
    _check_deployment(values, "concurrency", "concurrency group", GROUP_SHAPES, report)
    before = report.errors
    _check_deployment(values, "hooks", "hook", HOOK_SHAPES, report)
    if report.errors == before:
        for name, hook in values.get("hooks", {}).items():
            _check_hook(hook, values.get("concurrency") or {}, ("hooks", name), report)


def _check_deployment(
    values: dict[str, Any], key: str, what: str, shapes: dict[str, tuple[Any, str]], report: Report
) -> None:
    named = values.get(key)
    for name, one in named.items() if isinstance(named, dict) else ():
        path = (key, name)
        if not re.match(NAME, name):
            report.error("bad-value", f"{name!r} is not a valid name for a {what}", path, hint=NAME_RULE, key=True)
        if not isinstance(one, dict):
            report.error("bad-value", f"the {what} '{name}' must be a mapping", path)
            continue
        _check_mapping(one, shapes, REQUIRED[key], (what, f" '{name}'"), path, report)
        if isinstance(one.get("timezone"), str):
            try:
                require_timezone(one["timezone"])
            except UsageError as error:
                report.error("bad-value", error.message, (*path, "timezone"), hint=error.hint)


def _check_mapping(
    values: dict[str, Any],
    shapes: dict[str, tuple[Any, str]],
    required: tuple[str, ...],
    what: tuple[str, str],
    path: tuple[str, ...],
    report: Report,
) -> None:
    for key in required:
        if key not in values:
            report.error("missing-field", f"the {what[0]}{what[1]} has no '{key}'", path, key=True)
    _check_shapes(values, shapes, f"{what[0]} setting", path, report)


def _check_hook(hook: dict[str, Any], groups: dict[str, Any], path: tuple[str, ...], report: Report) -> None:
    verify = hook["verify"] if isinstance(hook["verify"], dict) else {hook["verify"]: {}}
    name, options = next(iter(verify.items()), ("", {}))
    if len(verify) != 1 or name not in VERIFIERS:
        report.error("bad-value", f"'verify' must be one of: {', '.join(VERIFIERS)}", (*path, "verify"))
        return
    _check_mapping(options, VERIFIERS[name], REQUIRED.get(name, ()), (name, ""), (*path, "verify"), report)
    for key in ("tolerance", "signed"):
        if key in options and "timestamp_header" not in options:
            report.error("bad-value", f"'{key}' needs a 'timestamp_header'", (*path, "verify"))
    if "events" in hook and "event_header" not in hook and name != "github-sha256":
        report.error("missing-field", "'events' needs an 'event_header'", (*path, "events"), key=True)
    if ("start" in hook) == ("signal" in hook):
        report.error("missing-field", f"the hook '{path[-1]}' needs either 'start' or 'signal'", path, key=True)
    for key, shapes in (("start", START_SHAPES), ("signal", SIGNAL_SHAPES)):
        if key in hook:
            _check_mapping(hook[key], shapes, REQUIRED[key], (key, ""), (*path, key), report)
    if "signal" in hook and ("run" in hook["signal"]) == ("inputs" in hook["signal"]):
        report.error("missing-field", "a signal needs either 'run' or 'inputs'", (*path, "signal"), key=True)
    if "concurrency" in hook and hook["concurrency"] not in groups:
        hint = f"its groups: {', '.join(groups)}" if groups else "the settings have no concurrency group"
        place = (*path, "concurrency")
        report.error("bad-value", f"unknown concurrency group '{hook['concurrency']}'", place, hint=hint)


def _check_shapes(
    values: dict[str, Any], shapes: dict[str, tuple[Any, str]], what: str, path: tuple[str, ...], report: Report
) -> None:
    for key, value in values.items():
        if key not in shapes:
            hint = report.suggest(key, shapes) or f"one of: {', '.join(shapes)}"
            report.error("unknown-field", f"unknown {what} '{key}'", (*path, key), hint=hint, key=True)
            continue
        shape, words = shapes[key]
        try:
            convert(value, shape)
        except ValidationError:
            report.error("bad-value", f"'{key}' must be {words}", (*path, key))


def _check_agent(name: str, values: Any, report: Report) -> None:
    path = ("agents", name)
    if not name.strip() or name.startswith("python:"):
        report.error("bad-value", f"{name!r} is not a valid name for an agent", path, key=True)
    if not isinstance(values, dict):
        report.error("bad-value", f"the agent '{name}' must be a mapping", path, hint="such as {preset: claude}")
        return
    before = report.errors
    _check_shapes(values, _AGENT_SHAPES, "agent setting", path, report)
    if report.errors == before:
        _check_together(name, values, report)


def _check_together(name: str, values: dict[str, Any], report: Report) -> None:
    """Rules between several keys."""
    from ion.agents.presets import NAMES

    path = ("agents", name)
    known = _preset_of(name, values)
    if known is not None and known not in NAMES:
        hint = report.suggest(known, NAMES) or f"one of: {', '.join(NAMES)}"
        report.error("unknown-preset", f"unknown preset '{known}'", (*path, "preset"), hint=hint)
        return
    if known is None and "command" not in values:
        message = f"the agent '{name}' has neither a preset nor a command"
        report.error("missing-field", message, path, hint="{preset: claude}, or {command: my-agent --json}", key=True)
    _check_command(values.get("command"), (*path, "command"), report)
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
        other = found.name.removesuffix("-acp") if preset_type == "acp" else f"{known}-acp"
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


def _check_command(command: Any, path: tuple[str, ...], report: Report) -> None:
    from ion.agents.command import command_words

    if isinstance(command, list) and not command[0].strip():
        report.error("bad-value", f"'command' must be {_AGENT_SHAPES['command'][1]}", path)
    if isinstance(command, str):
        try:
            command_words(command)
        except UsageError as error:
            report.error("bad-value", error.message, path, hint=error.hint)


# ---------------------------------------------------------------------- the presets


def _preset_of(name: str, values: dict[str, Any]) -> str | None:
    """The preset of an agent; the one of its own name, if it names no other."""
    from ion.agents.presets import NAMES

    if "preset" not in values and "command" not in values and name in NAMES:
        return name
    return values.get("preset")


def preset(name: str) -> Preset | None:
    """The preset of this name, or None."""
    from ion.agents.presets import NAMES

    return presets()[name] if name in NAMES else None


@cache
def presets() -> dict[str, Preset]:
    """All of them, in the order of the file."""
    from ion.agents.presets import FILE, Preset, flags
    from ion.language.yaml import read_yaml

    document = read_yaml(FILE.read_text(encoding="utf-8"), str(FILE))
    if document.problems:
        raise InternalError(f"presets.yaml cannot be read: {document.problems[0].message}")
    made = {}
    for name, values in document.value.items():
        both = {
            key: {option: flags(value) for option, value in values.get(key, {}).items()}
            for key in ("options", "restricting")
        }
        made[name] = convert({**values, "name": name, **both}, Preset)
    return made
