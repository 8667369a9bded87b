"""Version 1 of the Agent Client Protocol, by its official SDK (the extra `acp`): the only file that knows either.

Ion declares neither files nor terminals: agents have their own. Shapes were observed with schema 1.19 (SDK 0.12).

Whatever the program writes, only what the SDK can handle reaches it. The SDK runs every notification as a task of its
own, logs tracebacks for what it does not know, and closes the connection for a line that is JSON but not an object. So
`Wire` takes updates out, in the order in which they come, refuses requests other than the known ones, and skips
meaningless lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from ion.agents import limits
from ion.agents.acp.protocol import (
    Abilities,
    AcpClient,
    AgentRefusedError,
    Ended,
    GoneError,
    McpServer,
    OpenedSession,
    PermissionOption,
    SessionSetting,
    SessionSetup,
    ToolCall,
    Update,
)
from ion.foreign import loads
from ion.masking import head
from ion.process.stdio import LineError, StdioProcess
from ion.version import VERSION

_PERMISSION = "session/request_permission"
_UNKNOWN = -32601
_CODEX_LIMIT = "usageLimitExceeded"
# The kinds of `AgentRefusedError`: by the code of JSON-RPC, by an HTTP status in its place, and by what
# claude-agent-acp (`errorKind`, `startupFailureReason`) and codex-acp (`codexErrorInfo`) call it.
_CODE_KINDS = {-32000: "login", -32002: "gone", _UNKNOWN: "unknown", -32603: "broken"}
_STATUS_KINDS = {401: "login", 403: "login", 408: "broken", 429: "busy", 529: "busy"}
_NAMED_KINDS = {
    "authentication_failed": "login",
    "oauth_org_not_allowed": "login",
    "billing_error": "quota",
    "account_on_hold": "refused",
    "verification_required": "refused",
    "invalid_request": "refused",
    "model_not_found": "refused",
    "rate_limit": "busy",
    "overloaded": "busy",
    _CODEX_LIMIT: "quota",
    "bypass_root": "root",
}
_REASONS = {"end_turn": "done", "refusal": "refused", "cancelled": "cancelled"}
_KINDS = {"model": "model", "thought_level": "effort", "mode": "mode", "permissions": "permissions"}
_MESSAGE_CHARACTERS = 2000
# No message of an agent is longer; it would have to be held in memory several times.
LONGEST_LINE = 64 * 1024 * 1024


class AcpConnectionV1:
    """An agent that speaks version 1. Every method raises `AgentRefusedError` and `GoneError`; none has a time limit of
    its own."""

    def __init__(self, stdio: StdioProcess, client: AcpClient) -> None:
        from acp.core import Connection

        self._client = client
        self._wire = Wire(stdio, self._notified)
        self._agent = Connection(self._asked, self._wire)

    @property
    def alive(self) -> bool:
        """Whether the other end may still be there."""
        return not self._wire.ended

    async def begin(self) -> Abilities:
        """Agree on the protocol. Raises `AgentRefusedError` (`wrong`) if both speak no common version."""
        from acp import PROTOCOL_VERSION
        from acp.schema import InitializeResponse

        about = {"name": "ion", "title": "Ion", "version": VERSION}
        params = {"protocolVersion": PROTOCOL_VERSION, "clientCapabilities": {}, "clientInfo": about}
        said, raw = await self._call("initialize", params, InitializeResponse)
        if said.protocol_version != PROTOCOL_VERSION:
            raise AgentRefusedError(
                "wrong", f"it speaks version {said.protocol_version} of ACP, and this Ion {PROTOCOL_VERSION}"
            )
        return _abilities(said.agent_capabilities, raw)

    async def open(self, cwd: str, setup: SessionSetup, system: str | None) -> OpenedSession:
        """A new session. `system` is added to the agent's own system prompt, if it has the ability."""
        from acp.schema import NewSessionResponse

        params = _setup(cwd, setup)
        if system is not None:
            params["systemPrompt"] = {"mode": "append", "content": [{"type": "text", "text": system}]}
        said, raw = await self._call("session/new", params, NewSessionResponse)
        return OpenedSession(said.session_id, _settings(said, raw))

    async def reopen(self, session: str, cwd: str, setup: SessionSetup, abilities: Abilities) -> OpenedSession:
        """A session of an earlier process, or one that is to have another setup, without replaying its history to the
        client."""
        from acp.schema import LoadSessionResponse

        # One that loads says the whole history again; nobody listens to a session that is not prompted.
        method = "session/resume" if abilities.resume else "session/load"
        params = {"sessionId": session, **_setup(cwd, setup)}
        said = await self._call(method, params, LoadSessionResponse, may_be_null=True)
        return OpenedSession(session, _settings(*said))

    async def change(self, session: str, setting: SessionSetting, value: str) -> tuple[SessionSetting, ...]:
        """Set it to the value with this id. Gives what is set then: where the agent lists its settings, as it says
        (another model may bring others), else the value."""
        from acp.schema import SetSessionConfigOptionResponse, SetSessionModeResponse

        if not setting.id:
            params = {"sessionId": session, f"{setting.kind}Id": value}
            await self._call(f"session/set_{setting.kind}", params, SetSessionModeResponse, may_be_null=True)
            return (replace(setting, current=value),)
        params = {"sessionId": session, "configId": setting.id, "value": value}
        said = await self._call("session/set_config_option", params, SetSessionConfigOptionResponse)
        return (replace(setting, current=value), *_settings(*said))

    async def prompt(self, session: str, text: str, about: Mapping[str, str]) -> Ended:
        """One turn; everything that the agent sent in it has reached the client by then. `about` is passed along for
        agents that use it."""
        from acp.schema import PromptResponse

        blocks = [{"type": "text", "text": text}]
        params = {"sessionId": session, "prompt": blocks, "_meta": {"ion": dict(about)}}
        said, _ = await self._call("session/prompt", params, PromptResponse)
        return Ended(_REASONS.get(said.stop_reason, said.stop_reason), _usage(said.usage, said.field_meta))

    async def cancel(self, session: str) -> None:
        """Ask for the end of the turn, which then ends as `cancelled`."""
        try:
            await self._agent.send_notification("session/cancel", {"sessionId": session})
        except ConnectionError as error:
            raise GoneError(self._wire.problem) from error

    async def close(self) -> None:
        """Release the connection; the process is not touched."""
        await self._agent.close()

    async def _call(
        self, method: str, params: dict[str, Any], kind: Any, *, may_be_null: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """The agent's answer, as a model of the SDK and, for what the SDK does not know, as it is."""
        from acp import RequestError

        try:
            raw = await self._agent.send_request(method, params)
            raw = {} if raw is None and may_be_null else raw
            return kind.model_validate(raw), raw
        except RequestError as error:
            raise AgentRefusedError(_kind(error), _words(error), _resets_at(error)) from error
        except ConnectionError as error:
            raise GoneError(self._wire.problem) from error
        except ValueError as error:
            raise AgentRefusedError("wrong", f"its answer does not fit the protocol: {_unfit(error)}") from error

    async def _asked(self, _method: str, params: Any, _notification: bool) -> dict[str, Any]:
        """Answer the one request that `Wire` passes on, that for a permission."""
        from acp.schema import RequestPermissionRequest

        asked = RequestPermissionRequest.model_validate(params)
        choices = tuple(PermissionOption(option.kind, option.name) for option in asked.options)
        chosen = await self._client.permitted(asked.session_id, _tool_call(asked.tool_call), choices)
        if chosen is None:
            return {"outcome": {"outcome": "cancelled"}}
        return {"outcome": {"outcome": "selected", "optionId": asked.options[chosen].option_id}}

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


def _setup(cwd: str, setup: SessionSetup) -> dict[str, Any]:
    """The parameters that open a session."""
    params: dict[str, Any] = {"cwd": cwd, "mcpServers": [_server(one) for one in setup.servers]}
    if setup.tools:
        params["_meta"] = {"claudeCode": {"options": {name: list(tools) for name, tools in setup.tools.items()}}}
    return params


def _server(server: McpServer) -> dict[str, Any]:
    if server.kind == "stdio":
        return {"name": server.name, "command": server.command, "args": list(server.args), "env": _pairs(server.env)}
    return {"type": server.kind, "name": server.name, "url": server.url, "headers": _pairs(server.headers)}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


# ---------------------------------------------------------------------- what is answered


def _abilities(can: Any, raw: dict[str, Any]) -> Abilities:
    if can is None:
        return Abilities()
    sessions, servers = can.session_capabilities, can.mcp_capabilities
    listed = (raw.get("agentCapabilities") or {}).get("sessionCapabilities")
    return Abilities(
        resume=sessions is not None and sessions.resume is not None,
        load=bool(can.load_session),
        system=isinstance(listed, dict) and listed.get("systemPrompt") is not None,  # the SDK passes over it
        servers=frozenset(["stdio", *(kind for kind in ("http", "sse") if getattr(servers, kind, False))]),
    )


def _unfit(error: Any) -> str:
    """The first fault that the SDK's models find. They are pydantic's, whose errors are `ValueError`s."""
    found = error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else ()
    return f"{'.'.join(map(str, found[0]['loc'])) or 'it'}: {found[0]['msg']}" if found else str(error)


def _kind(error: Any) -> str:
    """What kind of failure it is: by the name that it has in the error's data, by an HTTP status, or by its code."""
    data = error.data if isinstance(error.data, dict) else {}
    name = data.get("errorKind", data.get("codexErrorInfo", data.get("startupFailureReason")))
    if isinstance(name, str) and name in _NAMED_KINDS:
        return _NAMED_KINDS[name]
    for status in (error.code, data.get("status"), data.get("statusCode"), data.get("code")):
        if isinstance(status, int) and 400 <= status <= 599:
            return _STATUS_KINDS.get(status, "broken" if status >= 500 else "refused")
    return _CODE_KINDS.get(error.code, "wrong")


def _resets_at(error: Any) -> int | None:
    """When a limit ends, if the error says it: codex-acp 2.6 does in the words of Codex."""
    data = error.data if isinstance(error.data, dict) else {}
    message = data.get("message")
    if data.get("codexErrorInfo") != _CODEX_LIMIT or not isinstance(message, str):
        return None
    limit = limits.codex(message)
    return None if limit is None else limit.resets_at


def _words(error: Any) -> str:
    """The agent's message, with its details."""
    data = error.data
    if isinstance(data, dict):
        data = data.get("details") or data.get("message") or json.dumps(data, ensure_ascii=False, default=str)
    return head(f"{error}: {data}" if data else str(error), _MESSAGE_CHARACTERS)


def _settings(said: Any, raw: dict[str, Any]) -> tuple[SessionSetting, ...]:
    """The settings of a session. Modes and models come in two ways; the newer one counts."""
    found: dict[str, SessionSetting] = {}
    if getattr(said, "modes", None) is not None:
        modes = {mode.id: mode.name for mode in said.modes.available_modes}
        found["mode"] = SessionSetting("mode", modes, said.modes.current_mode_id)
    models = raw.get("models")
    if isinstance(models, dict) and isinstance(models.get("availableModels"), list):
        listed = [one for one in models["availableModels"] if isinstance(one, dict)]
        values = {str(one.get("modelId")): str(one.get("name")) for one in listed}
        found["model"] = SessionSetting("model", values, str(models.get("currentModelId")))
    for option in said.config_options or ():
        kind = _KINDS.get(option.category) if isinstance(option.category, str) else None
        if kind is not None and option.type == "select":
            found[kind] = SessionSetting(kind, _values(option.options), option.current_value, option.id)
    return tuple(found.values())


def _values(options: list[Any]) -> dict[str, str]:
    flat = [inner for option in options for inner in getattr(option, "options", None) or (option,)]
    return {option.value: option.name for option in flat}


def _usage(said: Any, meta: Any) -> dict[str, float]:
    """What a turn used. Some agents count what was cached, or thought, apart from the input and the output: the total
    tells."""
    if said is None:
        return _counted_in_meta(meta)
    cached = (said.cached_read_tokens or 0) + (said.cached_write_tokens or 0)
    thought = said.thought_tokens or 0
    ways = ((0, 0), (cached, 0), (cached, thought), (0, thought))
    used = said.input_tokens + said.output_tokens
    more_in, more_out = next((way for way in ways if used + sum(way) == said.total_tokens), (0, 0))
    usage = {
        "input_tokens": said.input_tokens + more_in,
        "output_tokens": said.output_tokens + more_out,
        "cached_input_tokens": said.cached_read_tokens,
        "reasoning_output_tokens": said.thought_tokens,
    }
    return {name: amount for name, amount in usage.items() if amount is not None}


def _counted_in_meta(meta: Any) -> dict[str, float]:
    """`_meta.quota.token_count` of Gemini CLI, which reports no `usage`."""
    quota = meta.get("quota") if isinstance(meta, dict) else None
    counted = quota.get("token_count") if isinstance(quota, dict) else None
    if not isinstance(counted, dict):
        return {}
    names = ("input_tokens", "output_tokens")
    return {name: counted[name] for name in names if type(counted.get(name)) in (int, float)}


def _counted_in_chunk(meta: Any) -> dict[str, float]:
    """`_meta.usage` of Qwen Code, with an empty piece after each answer of its model."""
    from acp.schema import Usage

    if not isinstance(meta, dict) or not isinstance(meta.get("usage"), dict):
        return {}
    try:
        return _usage(Usage.model_validate(meta["usage"]), None)
    except ValueError:
        return {}


def _update(said: Any) -> Update:
    match said.session_update:
        case "agent_message_chunk":
            text = getattr(said.content, "text", None) or ""
            if _is_notice(said):
                return Update(notice=text)
            return Update(text=text, message=said.message_id, usage=_counted_in_chunk(said.field_meta))
        case "agent_thought_chunk":
            return Update(thought=getattr(said.content, "text", None) or "")
        case "tool_call" | "tool_call_update":
            return Update(tool=_tool_call(said), begins=said.session_update == "tool_call")
        case "plan":
            return Update(plan=tuple((entry.status, entry.content) for entry in said.entries))
        case "usage_update" if said.cost is not None and said.cost.currency == "USD":
            return Update(cost=said.cost.amount)
    return Update()


def _is_notice(said: Any) -> bool:
    """Whether claude-agent-acp says it, and not its model."""
    about = (said.field_meta or {}).get("claudeCode")
    return isinstance(about, dict) and about.get("kind") == "informational"


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
