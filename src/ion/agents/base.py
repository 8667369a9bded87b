"""The contract of agents: one prompt in, one result or one typed error out.

Ion has no provider; an agent is whatever answers. A request carries everything that any agent could need, and the
node's options unchanged: an agent ignores what it does not understand.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import replace

from ion.errors import IonError

# Of the file beside the logs of a turn that has the prompt as it was sent.
PROMPT_SUFFIX = ".prompt"
AGENT_ERROR_CODES = frozenset(
    (
        *("not_logged_in", "not_found", "refused", "budget", "bad_output", "cancelled"),
        *("rate_limited", "quota_exhausted", "timeout", "crashed"),
    )
)


class Permission(Struct, frozen=True, gc=False):
    """What an agent asks for in the middle of its work. `key` is the same whenever it asks for the same; `decisions`
    are the possible answers, `kinds` what each means: `allow_once`, `allow_always`, `reject_once`, `reject_always`."""

    key: str
    message: str
    decisions: tuple[str, ...]
    kinds: tuple[str, ...]


class PromptRequest(Struct, frozen=True):
    """One prompt.

    `key` is the idempotency key, the same on every retry and resume. `session` is a session of this same agent to
    continue, or None for a new one; `session_total` is what this agent has said that it has used. `env` is the whole
    environment for an agent's process (empty: Ion's own). Times are in ms; None: no limit. `progress` takes short lines
    for whoever watches and may be called from any thread. `log` is a path stem for what the agent's process writes
    (`.out` and `.err` are added), `register` the file that lists the programs of the run (`process.run`). `verdicts`
    are the decisions on permissions that this prompt needed when it was asked before, by key (`rejected` if the agent
    offered no way to refuse). `ask` lets a person decide while the turn is held open; it returns None if nobody did in
    time. Without `ask`, turns cannot be held.
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
    session_total: Mapping[str, Any] = field(default_factory=dict)
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
    verdicts: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[Permission], Awaitable[str | None]] | None = None


def with_schema(request: PromptRequest) -> PromptRequest:
    """The request of an agent without an option for `output_format`: its prompt says what the reply must fit."""
    if request.output_format is None:
        return request
    told = schema_in_words(request.output_format)
    fresh = None if request.fresh_prompt is None else f"{request.fresh_prompt}\n\n{told}"
    return replace(request, prompt=f"{request.prompt}\n\n{told}", fresh_prompt=fresh)


def schema_in_words(output_format: dict[str, Any]) -> str:
    """What a reply must fit, for whoever answers."""
    return f"Reply with nothing but JSON that fits this JSON Schema:\n{json.dumps(output_format, ensure_ascii=False)}"


class PromptResult(Struct, frozen=True, gc=False):
    """The reply. `structured` is the agent's own JSON for `output_format`, if it returns any. `usage` holds numbers
    (`input_tokens`, `output_tokens`, `cost_usd`, …) of this turn alone, and is empty if nothing is known; an agent that
    reports what its session has used in all returns that as `session_total`. `notes` are sentences about the turn that
    a person should read beside its reply, such as that a tool call was refused."""

    text: str
    session: str | None = None
    structured: Any = None
    usage: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    session_total: Mapping[str, Any] = field(default_factory=dict)


class AgentError(IonError):
    """An agent could not answer. `code` is one of `AGENT_ERROR_CODES`; `usage` and `session_total` as in
    `PromptResult`, with the session's id. `quota_exhausted` is the limit of an account, or one of more than ten
    minutes; `resets_at` (ms since the epoch) is when that or a shorter one (`rate_limited`) ends, if the agent says
    so."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        usage: dict[str, float] | None = None,
        session_total: Mapping[str, Any] | None = None,
        resets_at: int | None = None,
    ) -> None:
        if code not in AGENT_ERROR_CODES:
            raise ValueError(f"unknown agent error code {code!r}")
        super().__init__(message, hint=hint, code=code)
        self.usage = usage or {}
        self.session_total = session_total or {}
        self.resets_at = resets_at


class UnpermittedError(IonError):
    """The agent needs permissions that nobody has decided on yet; its turn was ended. Ask it again with the
    `verdicts`."""

    code = "unpermitted"

    def __init__(self, permissions: tuple[Permission, ...], *, usage: dict[str, float] | None = None) -> None:
        super().__init__(permissions[0].message)
        self.permissions = permissions
        self.usage = usage or {}


class Agent(Protocol):
    """What answers prompts."""

    @property
    def name(self) -> str:
        """The agent's name; sessions belong to the agent of this name."""

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer. Raises `AgentError` and `UnpermittedError`. If the task is cancelled, ends everything that it
        started before it returns."""


@runtime_checkable
class LastingAgent(Agent, Protocol):
    """An agent that keeps something open between the prompts of a run, such as a process."""

    async def end_run(self, run_id: str) -> None:
        """This process releases the run: end what is open for it. Prompts may follow, if the run is acquired again."""
