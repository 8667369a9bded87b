"""An agent on the SDK's own agent side, as its users write them."""

from __future__ import annotations

import asyncio
from typing import Any

from acp import Agent, InitializeResponse, NewSessionResponse, PromptResponse, run_agent, update_agent_message_text
from acp.schema import PermissionOption, ToolCallUpdate


class Careful(Agent):
    """Asks before it does anything, and says what it was answered."""

    def on_connect(self, conn: Any) -> None:
        self._client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        return InitializeResponse(protocol_version=protocol_version)

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        return NewSessionResponse(session_id=f"session in {cwd}")

    async def prompt(self, prompt: list[Any], session_id: str, **_: Any) -> PromptResponse:
        text = prompt[0].text
        options = [
            PermissionOption(option_id="never", name="Never", kind="reject_always"),
            PermissionOption(option_id="once", name="Once", kind="allow_once"),
        ]
        call = ToolCallUpdate(tool_call_id="1", title=text, kind="edit")
        answer = await self._client.request_permission(session_id=session_id, tool_call=call, options=options)
        chosen = getattr(answer.outcome, "option_id", "nothing")
        for piece in (text, ": allowed as ", chosen):
            await self._client.session_update(session_id, update_agent_message_text(piece))
        return PromptResponse(stop_reason="end_turn")


if __name__ == "__main__":
    asyncio.run(run_agent(Careful()))
