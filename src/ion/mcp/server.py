"""The server: tools and prompts over stdio, in whichever version of the protocol the client speaks.

stdout belongs to the protocol; while it serves, stdout and stdin of the process lead elsewhere, so that nothing else
can write there. When the client disconnects, or a signal comes, every process of the runs is ended and the runs can be
resumed.

The SDK is loaded while the client is greeted (`greeting`); everything after that is its business, line by line
(`lines`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import to_builtins

from ion.errors import IonError, NotFoundError
from ion.foreign import dumps
from ion.mcp import prompts
from ion.mcp.greeting import INSTRUCTIONS, REPEATED, greet, listed
from ion.mcp.lines import Answers, MessageLines, take_stdin, take_stdout
from ion.mcp.tools import Tool, ToolContext, check, tools_of
from ion.version import VERSION

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp_types import CallToolResult, GetPromptResult, ListPromptsResult, ListToolsResult

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    tools = tools_of(host)
    stdin, stdout = take_stdin(), take_stdout()
    # Its import is under way while the client is greeted.
    loading = asyncio.create_task(asyncio.to_thread(_load_sdk))
    greeted = await asyncio.to_thread(greet, stdin, stdout, tools)
    await loading

    import mcp_types as types
    from mcp.server.stdio import stdio_server
    from mcp.shared.message import SessionMessage

    server, lines = _server(host, tools), MessageLines(stdin, greeted)
    # Nothing else of the streams is used than these have.
    async with stdio_server(cast("Any", lines), cast("Any", Answers(stdout, REPEATED))) as (reading, writing):

        async def refuse(answer: dict[str, Any]) -> None:
            await writing.send(SessionMessage(types.JSONRPCError.model_validate(answer)))

        lines.refuse = refuse
        await server.run(reading, writing, server.create_initialization_options())


def _load_sdk() -> None:
    import mcp.server.lowlevel
    import mcp.server.stdio  # noqa: F401


def _server(host: ToolContext, tools: Mapping[str, Tool]) -> Server[dict[str, Any]]:
    import mcp_types as types
    from mcp.server.lowlevel import Server

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(listed(tool)) for tool in tools.values()])

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
