"""The settings files: `.ion/config.yaml` of the project over `ion/config.yaml` of the user.

Without a file nothing is loaded. Every problem of a file is reported at once, with its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from ion.api.agent_settings import AgentSettings, agent_settings, check_agents, is_positive, is_text, is_texts
from ion.errors import InvalidWorkflowError

if TYPE_CHECKING:
    from ion.language.problems import Report


class Settings(Struct, frozen=True):
    """The content of the files. `log`, `notify` and `otel` configure observers (docs/observing.md)."""

    agent: str | None = None
    agents: dict[str, AgentSettings] = field(default_factory=dict)
    store: str | None = None
    max_concurrency: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    log: bool | str = False
    notify: str | None = None
    otel: bool = False


def read_settings(project_file: Path, user_file: Path) -> Settings:
    """The settings, the project's over the user's. Raises `InvalidWorkflowError` (code `invalid-settings`)."""
    user, project = _read(user_file), _read(project_file)
    merged = {**user, **project}
    for name in ("agents", "env"):
        if name in user and name in project:
            merged[name] = {**user[name], **project[name]}
    if "secrets" in merged:
        merged["secrets"] = tuple(dict.fromkeys((*user.get("secrets", ()), *project.get("secrets", ()))))
    merged["agents"] = {name: agent_settings(name, values) for name, values in merged.get("agents", {}).items()}
    return Settings(**merged)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    data = file.read_bytes()
    if all(line.lstrip()[:1] in (b"", b"#") for line in data.splitlines()):
        return {}  # nothing but comments, as `ion init` writes it: no reader of YAML is loaded for that
    from ion.language.problems import Report
    from ion.language.source import decode
    from ion.language.yaml import read_yaml

    text, undecodable = decode(data, str(file))
    report = Report(read_yaml(text, str(file)), str(file))
    if undecodable is not None:
        report.add(undecodable)
    values = report.document.value
    if not report.errors and values is not None:
        _check(values, report)
    if report.errors:
        raise InvalidWorkflowError(f"the settings in {file} cannot be used", report.result())
    return dict(values or {})


def _check(values: Any, report: Report) -> None:
    if not isinstance(values, dict):
        report.error("bad-value", "the settings must be a mapping", hint=f"of {', '.join(_NAMES)}")
        return
    for key, value in values.items():
        if key == "agents":
            check_agents(value, report)
            continue
        wanted = _SHAPES.get(key)
        if wanted is None:
            hint = report.suggest(key, _NAMES) or f"one of: {', '.join(_NAMES)}"
            report.error("unknown-field", f"unknown setting '{key}'", (key,), hint=hint, key=True)
        elif not wanted[0](value):
            report.error("bad-value", f"'{key}' must be {wanted[1]}", (key,))


_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "agent": (is_text, "a name or a command line"),
    "store": (is_text, "a store URL, such as sqlite:.ion/ion.db"),
    "max_concurrency": (is_positive, "a number above 0"),
    "env": (is_texts, "a mapping of texts"),
    "secrets": (lambda v: isinstance(v, list) and all(is_text(x) for x in v), "a list of names"),
    "log": (lambda v: isinstance(v, bool) or is_text(v), "true, or the path of a file"),
    "notify": (is_text, "a command line"),
    "otel": (lambda v: isinstance(v, bool), "true or false"),
}
_NAMES = ("agents", *_SHAPES)
