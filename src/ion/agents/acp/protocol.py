"""What the router and the adapter of the protocol exchange, in Ion's own types: no shape of any version of the
protocol leaves the adapter, so a new version is a new adapter and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from ion.errors import IonError

# Kinds of tool calls that change nothing and reach nobody, by the agent's own account.
READING = frozenset({"read", "search", "think"})


class Abilities(Struct, frozen=True, gc=False):
    """What an agent can do beyond the minimum. `system`: it takes a system prompt when a session is opened; `servers`
    are the kinds of MCP servers that it connects to."""

    resume: bool = False
    load: bool = False
    system: bool = False
    servers: frozenset[str] = frozenset({"stdio"})


class McpServer(Struct, frozen=True, gc=False):
    """An MCP server that the agent is to connect to: a program (`stdio`), or an address (`http`, `sse`)."""

    name: str
    kind: str = "stdio"
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class SessionSetup(Struct, frozen=True, gc=False):
    """What a session is opened with, and can be opened again with: MCP servers, and lists of tools under the names that
    the agent has for them."""

    servers: tuple[McpServer, ...] = ()
    tools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class SessionSetting(Struct, frozen=True, gc=False):
    """A setting of a session. `kind` is `model`, `effort`, `mode` or `permissions`; `values` maps ids to names,
    `current` is the current id."""

    kind: str
    values: Mapping[str, str]
    current: str
    id: str = ""


class OpenedSession(Struct, frozen=True, gc=False):
    """A session that can be prompted."""

    session: str
    settings: tuple[SessionSetting, ...] = ()


class ToolCall(Struct, frozen=True, gc=False):
    """What an agent does or wants to do with a tool, as far as it says. `details` is everything else that belongs to
    the call and decides what it does: input, places, changes."""

    id: str
    kind: str | None = None
    title: str | None = None
    status: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class PermissionOption(Struct, frozen=True, gc=False):
    """One answer that the agent offers. `kind` is `allow_once`, `allow_always`, `reject_once` or `reject_always`."""

    kind: str
    name: str


class Update(Struct, frozen=True, gc=False):
    """Something that an agent sent in a session: `text` of its reply (`message` names the message that it is part
    of, if the agent does), or of a thought; a `notice` of the program; a `tool` call (`begins`: a new one); a `plan`
    of (status, text); `cost`, the session's cost so far in dollars; `usage` of one answer of its model, where the end
    of the turn says none."""

    text: str = ""
    message: str | None = None
    notice: str = ""
    thought: str = ""
    tool: ToolCall | None = None
    begins: bool = False
    plan: tuple[tuple[str, str], ...] = ()
    cost: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)


class Ended(Struct, frozen=True, gc=False):
    """A turn is over: `reason` is `done`, `refused`, `cancelled`, or the agent's name for the limit that it reached."""

    reason: str
    usage: Mapping[str, float] = field(default_factory=dict)


class AgentRefusedError(IonError):
    """The agent answered a call with an error. `kind` is `login`, `unknown` (it does not know the call), `gone`
    (what was named does not exist), `busy` (it is asked too much), `quota` (its account's limit is reached, until
    `resets_at`, if it says so), `refused` (it will not answer this at another time either), `wrong` (an invalid call,
    as it says), `root` (it does not start as root), or `broken`."""

    code = "acp-refused"

    def __init__(self, kind: str, message: str, resets_at: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.resets_at = resets_at


class GoneError(IonError):
    """The agent has left the other end, or what it sends cannot be read."""

    code = "acp-gone"


class AcpClient(Protocol):
    """Receives what the agent sends, and answers what it asks."""

    def updated(self, session: str, update: Update) -> None:
        """Called in the order in which the agent sent it, before anything else happens."""

    async def permitted(self, session: str, call: ToolCall, choices: tuple[PermissionOption, ...]) -> int | None:
        """The number of the choice; None: no choice, since the turn is being ended."""
