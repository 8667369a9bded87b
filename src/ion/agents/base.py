"""The contract of agents: one prompt in, one result or one typed error out.

Ion has no provider; an agent is whatever answers. A request carries everything that any agent could need, and the
node's options untouched: what an agent does not understand it leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ion.errors import IonError
from ion.records import dataclass, field

# language.md §9: only these may be tried again by default.
TRANSIENT = frozenset({"rate_limited", "timeout", "crashed"})
AGENT_ERROR_CODES = frozenset(
    {"not_logged_in", "not_found", "refused", "rate_limited", "timeout", "crashed", "bad_output", "cancelled"}
)


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """One prompt. `key` is the same on every retry and resume of it. `session` is a session of this same agent to go
    on with, or None for a new one. `env` is the whole environment for an agent's process (empty: Ion's own). Times are
    ms; None: no limit. `progress` takes short lines for whoever watches and may be called from any thread. `log` is a
    path stem for what the agent's process writes (`.out`, `.err` are added), `register` the file in which a program
    of the run is written down (`process.run`).
    """

    run_id: str
    node: str
    prompt: str
    key: str
    cwd: Path
    iteration: int = 0
    attempt: int = 1
    system: str | None = None
    session: str | None = None
    output_format: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    grace_ms: int = 5000
    progress: Callable[[str], None] | None = None
    log: Path | None = None
    fresh_prompt: str | None = None
    register: Path | None = None


@dataclass(frozen=True, slots=True)
class PromptResult:
    """The reply. `structured` is the agent's own JSON for `output_format`, if it gives one. `usage` holds numbers
    (`input_tokens`, `output_tokens`, `cost_usd`, …)."""

    text: str
    session: str | None = None
    structured: Any = None
    usage: dict[str, float] = field(default_factory=dict)


class AgentError(IonError):
    """An agent could not answer. `code` is one of `AGENT_ERROR_CODES`."""

    def __init__(self, code: str, message: str, *, hint: str = "", usage: dict[str, float] | None = None) -> None:
        if code not in AGENT_ERROR_CODES:
            raise ValueError(f"unknown agent error code {code!r}")
        super().__init__(message, hint=hint, code=code)
        self.usage = usage or {}

    @property
    def transient(self) -> bool:
        """Whether trying again may help."""
        return self.error_code in TRANSIENT


class Agent(Protocol):
    """Who answers prompts."""

    @property
    def name(self) -> str:
        """Sessions belong to the agent of this name."""

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer. Raises `AgentError`; a cancelled task ends everything that it started before it returns."""
