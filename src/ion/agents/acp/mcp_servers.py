"""The MCP servers of a node's option `mcp`, for an agent that is told them when a session is opened."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ion.agents.acp.protocol import McpServer
from ion.agents.base import AgentError
from ion.foreign import loads

_MOST_BYTES = 1024 * 1024


def mcp_servers(option: Any, cwd: Path, env: Mapping[str, str]) -> tuple[McpServer, ...]:
    """The servers that `mcp` names: a file in the form of `.mcp.json`, or what would be in it. Raises `AgentError`."""
    if option is None:
        return ()
    config = _read(cwd / option) if isinstance(option, str) and not option.lstrip().startswith("{") else option
    if isinstance(config, str):
        config = _json(config, "mcp")
    servers = config.get("mcpServers", config) if isinstance(config, dict) else None
    if not isinstance(servers, dict) or not all(isinstance(one, dict) for one in servers.values()):
        raise AgentError("refused", "mcp is not a mapping of servers", hint='as in .mcp.json: {"mcpServers": {…}}')
    return tuple(_server(name, one, env) for name, one in servers.items())


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise AgentError("refused", f"the file {path} of mcp is longer than {_MOST_BYTES >> 20} MiB")
        return _json(data, str(path))
    except OSError as error:
        raise AgentError("refused", f"the file {path} of mcp cannot be read: {error.strerror}") from error


def _json(data: str | bytes, where: str) -> Any:
    try:
        return loads(data)
    except ValueError as error:
        raise AgentError("refused", f"{where} is not JSON: {error}") from error


def _server(name: str, given: dict[str, Any], env: Mapping[str, str]) -> McpServer:
    url = given.get("url")
    if isinstance(url, str):
        kind = str(given.get("type", "http"))
        return McpServer(name, "sse" if kind == "sse" else "http", url=url, headers=_texts(given.get("headers")))
    command = given.get("command")
    if not isinstance(command, str):
        raise AgentError("refused", f"the MCP server {name} of mcp has neither a command nor a url")
    # The protocol wants the path; one that is not found is for the agent to report.
    path = shutil.which(command, path=env.get("PATH")) or command
    args = given.get("args")
    words = tuple(map(str, args)) if isinstance(args, list) else ()
    return McpServer(name, command=path, args=words, env=_texts(given.get("env")))


def _texts(given: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
