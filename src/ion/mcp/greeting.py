"""The first answers of the server, given before the SDK is there.

The SDK takes a third of a second to load, and a client such as Codex begins its first turn with the tools that it
knows by then. What a client of the older era asks first can be answered from data: `initialize`, `ping` and
`tools/list`. With the first request of another kind the SDK takes over; it is told of the beginning once more, and
nobody of its answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from ion.foreign import loads
from ion.mcp.lines import LONGEST_LINE, write_all
from ion.version import VERSION

if TYPE_CHECKING:
    from ion.mcp.tools import Tool

INSTRUCTIONS = """\
Ion runs workflows of agent and shell steps and remembers every outcome. You are the agent of their prompts: ion_list \
shows the workflows, ion_start begins one and gives you the prompts that are ready, ion_submit hands in an answer and \
gives you what comes next. Follow the order that Ion holds: do one prompt at a time, only what it asks. Gates are for \
people."""
# The versions of the older era, oldest first. Clients of the newer one do not begin with `initialize`.
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
# The id under which the SDK is told of the beginning again.
REPEATED = "ion:repeated"


def greet(stdin: BinaryIO, stdout: BinaryIO, tools: Mapping[str, Tool]) -> list[bytes]:
    """Answer the client until it asks for something else, or is gone. Returns the lines that the SDK is to read."""
    read: list[bytes] = []
    while line := stdin.readline(LONGEST_LINE):
        message = _message(line)
        result = _answer(message, tools, begun=bool(read)) if message is not None else None
        if message is None or result is None:
            return [*read, line]
        if message["method"] == "initialize":
            read.append(json.dumps({**message, "id": REPEATED}).encode() + b"\n")
        if "id" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            write_all(stdout, json.dumps(answer).encode() + b"\n")
        else:
            read.append(line)
    return read


def _message(line: bytes) -> dict[str, Any] | None:
    """The request or notification in a line, if it is well-formed and its parameters are a mapping."""
    try:
        message = loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return None
    fits = isinstance(message.get("params", {}), dict) and type(message.get("id", "")) in (int, str)
    return message if fits else None


def _answer(message: dict[str, Any], tools: Mapping[str, Tool], *, begun: bool) -> dict[str, Any] | None:
    """What it is answered; {} for a notification that needs nothing; None: the SDK knows."""
    method, params, asks = message["method"], message.get("params", {}), "id" in message
    if method == "initialize" and asks and not begun:
        return _beginning(params)
    if method == "notifications/initialized" and begun and not asks:
        return {}
    if method == "ping" and begun and asks:
        return {}
    if method == "tools/list" and begun and asks and "cursor" not in params:
        return {"tools": [listed(tool) for tool in tools.values()]}
    return None


def _beginning(params: dict[str, Any]) -> dict[str, Any] | None:
    version, client = params.get("protocolVersion"), params.get("clientInfo")
    known = isinstance(client, dict) and isinstance(client.get("name"), str) and isinstance(client.get("version"), str)
    if not known or not isinstance(version, str) or not isinstance(params.get("capabilities"), dict):
        return None
    return {
        "protocolVersion": version if version in VERSIONS else VERSIONS[-1],
        "capabilities": {"prompts": {"listChanged": False}, "tools": {"listChanged": False}},
        "serverInfo": {"name": "ion", "version": VERSION},
        "instructions": INSTRUCTIONS,
    }


def listed(tool: Tool) -> dict[str, Any]:
    """A tool as `tools/list` has it."""
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.schema,
        "annotations": {"readOnlyHint": tool.reads, "openWorldHint": not tool.reads},
    }
