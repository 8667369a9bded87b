"""Version 1 of the Agent Client Protocol, by its official SDK (the extra `acp`): the only file that knows either.

Ion declares neither files nor terminals: agents have their own. Shapes were observed with schema 1.19 (SDK 0.12).

Whatever the program writes, only what the SDK can handle reaches it. The SDK runs every notification as a task of its
own, logs tracebacks for what it does not know, and closes the connection for a line that is JSON but not an object. So
`Wire` takes updates out, in the order in which they come, refuses requests other than the known ones, and skips
meaningless lines.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from ion.agents.acp.protocol import (
    Abilities,
    AcpClient,
    AgentRefusedError,
    Ended,
    GoneError,
    OpenedSession,
    PermissionOption,
    SessionSetting,
    ToolCall,
    Update,
)
from ion.foreign import loads
from ion.masking import head
from ion.process.stdio import LineError, StdioProcess
from ion.version import VERSION

_Result = TypeVar("_Result")
_PERMISSION = "session/request_permission"
_LOGIN, _GONE, _UNKNOWN, _BROKEN = -32000, -32002, -32601, -32603
_TOO_MANY = 429
_REASONS = {"end_turn": "done", "refusal": "refused", "cancelled": "cancelled"}
_KINDS = {"model": "model", "thought_level": "effort", "mode": "mode"}
_MESSAGE_CHARACTERS = 2000
# No message of an agent is longer; it would have to be held in memory several times.
LONGEST_LINE = 64 * 1024 * 1024


class AcpConnectionV1:
    """An agent that speaks version 1. Every method raises `AgentRefusedError` and `GoneError`; none has a time limit of
    its own."""

    def __init__(self, stdio: StdioProcess, client: AcpClient) -> None:
        from acp import connect_to_agent

        self._client = client
        self._wire = Wire(stdio, self._notified)
        answering: Any = _Client(client)
        self._agent = connect_to_agent(answering, self._wire)

    @property
    def alive(self) -> bool:
        """Whether the other end may still be there."""
        return not self._wire.ended

    async def begin(self) -> Abilities:
        """Agree on the protocol. Raises `AgentRefusedError` (`wrong`) if both speak no common version."""
        from acp import PROTOCOL_VERSION
        from acp.schema import ClientCapabilities, Implementation

        said = await self._call(
            self._agent.initialize(
                protocol_version=PROTOCOL_VERSION,
                client_capabilities=ClientCapabilities(),
                client_info=Implementation(name="ion", title="Ion", version=VERSION),
            )
        )
        if said.protocol_version != PROTOCOL_VERSION:
            raise AgentRefusedError(
                "wrong", f"it speaks version {said.protocol_version} of ACP, and this Ion {PROTOCOL_VERSION}"
            )
        can = said.agent_capabilities
        sessions = can.session_capabilities if can is not None else None
        return Abilities(
            resume=sessions is not None and sessions.resume is not None,
            load=can is not None and bool(can.load_session),
        )

    async def open(self, cwd: str) -> OpenedSession:
        """A new session."""
        said = await self._call(self._agent.new_session(cwd=cwd, mcp_servers=[]))
        return OpenedSession(said.session_id, _settings(said))

    async def reopen(self, session: str, cwd: str, abilities: Abilities) -> OpenedSession:
        """A session of an earlier process, without replaying its history to the client."""
        call: Awaitable[Any]
        if abilities.resume:
            call = self._agent.resume_session(session_id=session, cwd=cwd, mcp_servers=[])
        else:  # it says the whole history again; nobody listens to a session that is not prompted
            call = self._agent.load_session(session_id=session, cwd=cwd, mcp_servers=[])
        return OpenedSession(session, _settings(await self._call(call)))

    async def change(self, session: str, setting: SessionSetting, value: str) -> None:
        """Set it to the value with this id."""
        if setting.id:
            await self._call(self._agent.set_config_option(config_id=setting.id, session_id=session, value=value))
        else:
            await self._call(self._agent.set_session_mode(session_id=session, mode_id=value))

    async def prompt(self, session: str, text: str, about: Mapping[str, str]) -> Ended:
        """One turn; everything that the agent sent in it has reached the client by then. `about` is passed along for
        agents that use it."""
        from acp import text_block

        call = self._agent.prompt(session_id=session, prompt=[text_block(text)], ion=dict(about))  # into `_meta`
        said = await self._call(call)
        return Ended(_REASONS.get(said.stop_reason, said.stop_reason), _usage(said.usage))

    async def cancel(self, session: str) -> None:
        """Ask for the end of the turn, which then ends as `cancelled`."""
        await self._call(self._agent.cancel(session_id=session))

    async def close(self) -> None:
        """Release the connection; the process is not touched."""
        await self._agent.close()

    async def _call(self, call: Awaitable[_Result]) -> _Result:
        from acp import RequestError

        try:
            return await call
        except RequestError as error:
            raise AgentRefusedError(_kind(error), _words(error)) from error
        except ConnectionError as error:
            raise GoneError(self._wire.problem) from error
        except ValueError as error:
            raise AgentRefusedError("wrong", f"its answer does not fit the protocol: {_unfit(error)}") from error

    def _notified(self, method: str, params: Any) -> None:
        """Pass an update to the client at once; one that this version does not define is only a sign of life."""
        from acp.schema import SessionNotification

        if method != "session/update":
            return
        try:
            said = SessionNotification.model_validate(params)
        except (ValueError, RecursionError):
            session = params.get("sessionId") if isinstance(params, dict) else None
            if isinstance(session, str):
                self._client.updated(session, Update())
            return
        self._client.updated(said.session_id, _update(said.update))


class _Client:
    """What the SDK calls: the one request that Ion answers."""

    def __init__(self, client: AcpClient) -> None:
        self._client = client

    async def request_permission(self, session_id: str, tool_call: Any, options: list[Any], **_: Any) -> Any:
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        choices = tuple(PermissionOption(option.kind, option.name) for option in options)
        chosen = await self._client.permitted(session_id, _tool_call(tool_call), choices)
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        option_id = options[chosen].option_id
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option_id))


def _unfit(error: Any) -> str:
    """The first fault that the SDK's models find. They are pydantic's, whose errors are `ValueError`s."""
    found = error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else ()
    return f"{'.'.join(map(str, found[0]['loc'])) or 'it'}: {found[0]['msg']}" if found else str(error)


def _kind(error: Any) -> str:
    if isinstance(error.data, dict) and _TOO_MANY in (error.data.get("status"), error.data.get("code")):
        return "busy"
    kinds = {_LOGIN: "login", _GONE: "gone", _UNKNOWN: "unknown", _BROKEN: "broken", _TOO_MANY: "busy"}
    return kinds.get(error.code, "wrong")


def _words(error: Any) -> str:
    """The agent's message, with its details."""
    data = error.data
    if isinstance(data, dict):
        data = data.get("details") or data.get("message") or json.dumps(data, ensure_ascii=False, default=str)
    return head(f"{error}: {data}" if data else str(error), _MESSAGE_CHARACTERS)


def _settings(said: Any) -> tuple[SessionSetting, ...]:
    """The settings of a session. Modes come in two ways; the newer one counts."""
    found: dict[str, SessionSetting] = {}
    if said.modes is not None:
        modes = {mode.id: mode.name for mode in said.modes.available_modes}
        found["mode"] = SessionSetting("mode", modes, said.modes.current_mode_id)
    for option in said.config_options or ():
        kind = _KINDS.get(option.category) if isinstance(option.category, str) else None
        if kind is not None and option.type == "select":
            found[kind] = SessionSetting(kind, _values(option.options), option.current_value, option.id)
    return tuple(found.values())


def _values(options: list[Any]) -> dict[str, str]:
    flat = [inner for option in options for inner in getattr(option, "options", None) or (option,)]
    return {option.value: option.name for option in flat}


def _usage(said: Any) -> dict[str, float]:
    if said is None:
        return {}
    usage = {
        "input_tokens": said.input_tokens,
        "output_tokens": said.output_tokens,
        "cached_input_tokens": said.cached_read_tokens,
        "reasoning_output_tokens": said.thought_tokens,
    }
    return {name: amount for name, amount in usage.items() if amount is not None}


def _update(said: Any) -> Update:
    match said.session_update:
        case "agent_message_chunk":
            return Update(text=getattr(said.content, "text", None) or "", message=said.message_id)
        case "agent_thought_chunk":
            return Update(thought=getattr(said.content, "text", None) or "")
        case "tool_call" | "tool_call_update":
            return Update(tool=_tool_call(said))
        case "plan":
            return Update(plan=tuple((entry.status, entry.content) for entry in said.entries))
        case "usage_update" if said.cost is not None and said.cost.currency == "USD":
            return Update(cost=said.cost.amount)
    return Update()


def _tool_call(said: Any) -> ToolCall:
    plain = said.model_dump(
        mode="json", by_alias=True, exclude_none=True, include={"content", "locations", "raw_input"}
    )
    return ToolCall(said.tool_call_id, said.kind, said.title, said.status, plain)


# ---------------------------------------------------------------------- between the program's lines and the SDK


class Wire:
    """A transport of the SDK over a program. `notify` gets each notification's method and parameters at once; of the
    agent's requests, those for permission are passed on."""

    def __init__(self, stdio: StdioProcess, notify: Callable[[str, Any], None]) -> None:
        self._stdio = stdio
        self._notify = notify
        self.problem = ""
        self.ended = False

    async def receive(self) -> dict[str, Any] | None:
        """The next message for the SDK; None at the end. Never raises, since the SDK would log that."""
        try:
            while (line := await self._stdio.read_line()) is not None:
                message = _message(line)
                if message is not None and await self._is_for_sdk(message):
                    return message
        except LineError as error:
            self.problem = error.message
        except OSError as error:
            self.problem = f"it cannot be read: {error}"
        self.ended = True
        return None

    async def _is_for_sdk(self, message: dict[str, Any]) -> bool:
        method = message.get("method")
        if method is None:
            return True
        if "id" not in message:
            self._notify(method, message.get("params"))
            return False
        if method == _PERMISSION:
            return True
        error = {"code": _UNKNOWN, "message": "Method not found", "data": {"method": method}}
        await self.send({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return False

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message. Raises `ConnectionError` for a request that cannot be delivered; an answer is silently
        lost."""
        # Halves of surrogate pairs and what is not JSON become something that is: the SDK would log a traceback.
        line = json.dumps(message, separators=(",", ":"), default=str) + "\n"
        try:
            await self._stdio.write(line.encode("utf-8", "replace"))
        except OSError as error:
            if "method" in message:
                raise ConnectionError("nobody reads any more") from error

    async def close(self) -> None:
        """Nothing to close: the end of the program closes everything."""


def _message(line: bytes) -> dict[str, Any] | None:
    """A JSON-RPC message; None for a line that is not one."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    method, number = message.get("method"), message.get("id")
    if not isinstance(method, str | None) or not isinstance(number, str | int | None):
        return None
    if method is None and not isinstance(message.get("error", {}), dict):
        message["error"] = {"code": 0, "message": head(str(message["error"]), 1000)}
    return message
