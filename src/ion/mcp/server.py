"""The server: tools and prompts over stdio, in whichever version of the protocol the client speaks.

stdout belongs to the protocol; while it serves, the SDK points stdout and stdin elsewhere, so that nothing else can
write there. When the client disconnects, or a signal comes, every process of the runs is ended and the runs can be
resumed.

Every request gets an answer: the SDK drops a line that it cannot read, and the client waits forever. So each line is
read here first, by the one rule for text from outside (`ion.foreign`), and passed on in a form that the SDK takes. One
that cannot be passed on is answered with a JSON-RPC error, with the id of the call if it can be found.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec import to_builtins

from ion.errors import IonError, NotFoundError
from ion.foreign import dumps, loads
from ion.mcp import prompts
from ion.mcp.tools import ToolContext, check, tools_of
from ion.version import VERSION

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp_types import CallToolResult, GetPromptResult, ListPromptsResult, ListToolsResult

INSTRUCTIONS = """\
Ion runs workflows of agent and shell steps and remembers every outcome. You are the agent of their prompts: ion_list \
shows the workflows, ion_start begins one and gives you the prompts that are ready, ion_submit hands in an answer and \
gives you what comes next. Follow the order that Ion holds: do one prompt at a time, only what it asks. Gates are for \
people."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The longest message; of a longer one no more is kept in memory.
LONGEST_LINE = 64 * 1024 * 1024
# A JSON text, or a part of one: strings (the last may be cut off), what opens and closes, and all between. Nothing is
# looked at twice.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]|[^"{}\[\]]++', re.DOTALL)
_NUMBER = re.compile(r"\s*:\s*(-?[0-9]{1,18})\s*,?\s*")


def serve(host: ToolContext) -> None:
    """Serve until the client closes its end. A signal ends the process as usual, after everything was released."""
    asyncio.run(_serve(host))
    host.engine.project.close()


async def _serve(host: ToolContext) -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    serving = asyncio.create_task(_protocol(host), name="protocol")
    signalled = asyncio.create_task(signals.get(), name="signal")
    await asyncio.wait((serving, signalled), return_when=asyncio.FIRST_COMPLETED)
    await host.engine.close()
    if signalled.done():
        # The thread that reads stdin cannot be told to stop: the process ends under it.
        host.engine.project.close()
        signal.signal(signalled.result(), signal.SIG_DFL)
        os.kill(os.getpid(), signalled.result())
    signalled.cancel()
    await serving


async def _protocol(host: ToolContext) -> None:
    import mcp_types as types
    from mcp.server.stdio import stdio_server
    from mcp.shared.message import SessionMessage

    server, lines = _server(host), MessageLines(take_stdin())
    # Nothing else of the stream is used than its lines.
    async with stdio_server(cast("Any", lines)) as (reading, writing):

        async def refuse(answer: dict[str, Any]) -> None:
            await writing.send(SessionMessage(types.JSONRPCError.model_validate(answer)))

        lines.refuse = refuse
        await server.run(reading, writing, server.create_initialization_options())


def _server(host: ToolContext) -> Server[dict[str, Any]]:
    import mcp_types as types
    from mcp.server.lowlevel import Server

    tools = tools_of(host)

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.schema,
                    annotations=types.ToolAnnotations(read_only_hint=tool.reads, open_world_hint=not tool.reads),
                )
                for tool in tools.values()
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> CallToolResult:
        steps = 0

        async def report(line: str) -> None:
            nonlocal steps
            steps += 1
            await context.session.report_progress(steps, message=host.hidden.text(line))

        arguments = dict(params.arguments or {})
        try:
            tool = tools.get(params.name)
            if tool is None:
                raise NotFoundError(f"unknown tool {params.name!r}", hint=f"one of: {', '.join(tools)}")
            check(tool, arguments)
            data, failed = await tool.function(host, arguments, report), False
        except IonError as error:
            data, failed = {"error": error.to_json()}, True
        except Exception as error:  # noqa: BLE001 a bug of ours, or a broken disk: said, and the server continues
            message = f"{type(error).__name__}: {error}"
            sys.stderr.write(host.hidden.text(f"ion mcp: {params.name} failed: {message!r}\n"))
            data, failed = {"error": {"code": "bug", "message": message, "hint": "please report it"}}, True
        # What is not Unicode (a path, a log) would end the SDK's writing.
        text = dumps(host.hidden.json(data))
        shown = json.loads(text)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=shown, is_error=failed
        )

    async def list_prompts(_context: Any, _params: Any) -> ListPromptsResult:
        found = await asyncio.to_thread(prompts.all_prompts, host.workspace, host.sop_paths)
        listed = [types.Prompt.model_validate(to_builtins(shown)) for shown, _ in found.values()]
        return types.ListPromptsResult(prompts=listed)

    async def get_prompt(_context: Any, params: types.GetPromptRequestParams) -> GetPromptResult:
        from mcp import MCPError

        given: Mapping[str, str] = params.arguments or {}
        try:
            description, text = await asyncio.to_thread(
                prompts.render, host.workspace, host.sop_paths, params.name, given
            )
        except IonError as error:
            said = f"{error.message} ({error.hint})" if error.hint else error.message
            raise MCPError(types.INVALID_PARAMS, host.hidden.text(said)) from error
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=host.hidden.text(text)))
        return types.GetPromptResult(description=description, messages=[message])

    return Server(
        "ion",
        version=VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


# ------------------------------------------------------------------ between the client's lines and the SDK


def take_stdin() -> BinaryIO:
    """Take over the client's end of stdin; descriptor 0, which programs could inherit, is empty from here on."""
    ours = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Not closed at the end: a thread may still wait for a line from it.
    return os.fdopen(ours, "rb", closefd=False)


class MessageLines:
    """The client's messages, one JSON text each, for the SDK. `refuse` receives what must be answered at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.refuse: Callable[[dict[str, Any]], Any] | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        from anyio.to_thread import run_sync

        while line := await run_sync(self._stream.readline, LONGEST_LINE):
            message, refused = read_message(line)
            if _is_cut(line):
                await run_sync(self._pass_over)
            if message is not None:
                yield message
            elif refused is not None and self.refuse is not None:
                await self.refuse(refused)

    def _pass_over(self) -> None:
        """Skip the rest of this line."""
        while _is_cut(self._stream.readline(LONGEST_LINE)):
            pass


def _is_cut(line: bytes) -> bool:
    return len(line) == LONGEST_LINE and not line.endswith(b"\n")


def read_message(line: bytes) -> tuple[str | None, dict[str, Any] | None]:
    """The message for the SDK, or the answer to an invalid one; neither if it needs no answer."""
    import mcp_types as types

    if not line.strip():
        return None, None
    try:
        if _is_cut(line):
            raise ValueError(f"it is longer than {LONGEST_LINE >> 20} MiB")
        value = loads(line)
    except ValueError as error:
        number = _number_in(line.decode("utf-8", "replace"))
        return None, _refusal(number, types.PARSE_ERROR, f"the message is not JSON that Ion reads: {error}")
    if not isinstance(value, dict):
        return None, _refusal(None, types.INVALID_REQUEST, "the message is not a JSON object")
    message = json.dumps(value)
    if "id" in value and not (isinstance(value["id"], str | int) and not isinstance(value["id"], bool)):
        return None, _refusal(None, types.INVALID_REQUEST, "the id of the message is not a text or a whole number")
    try:
        types.jsonrpc_message_adapter.validate_json(message, by_name=False)
    except ValueError:
        if "method" not in value and ("result" in value or "error" in value):
            return None, None  # an answer, to nothing that was asked
        if "method" in value and "id" not in value:
            return None, None  # a notification
        return None, _refusal(value.get("id"), types.INVALID_REQUEST, "the message is not a request of JSON-RPC 2.0")
    return message, None


def _refusal(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _number_in(text: str) -> str | int | None:
    """The `id` of the outermost object of a text that cannot be read as JSON."""
    depth, before = 0, ""
    for match in _TOKENS.finditer(text):
        piece = match[0]
        depth += (piece in "{[") - (piece in "}]")
        if depth == 1 and before == '"id"' and (number := _NUMBER.match(piece)):
            return int(number[1])
        if depth == 1 and before == '"id":' and piece.startswith('"'):
            return _text_of(piece)
        before = '"id":' if before == '"id"' and piece.strip() == ":" else piece
    return None


def _text_of(piece: str) -> str | None:
    try:
        return str(loads(piece))
    except ValueError:  # cut off, or what is wrong with the whole
        return None
