"""Stand-ins that ship with Ion, for tests of programs that embed it: an agent with given replies, a store in memory.

agent = FakeAgent({"plan": "1. do it", "do": [AgentError("rate_limited", "slow down"), "done"]})
result = ion.execute_workflow_sync("fix", agent=agent, store=MemoryStore())
assert agent.prompts("plan") == ["Plan this: …"]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ion.agents.base import PromptRequest, PromptResult
from ion.records import dataclass, field
from ion.stores.memory import MemoryStore

__all__ = ["FakeAgent", "MemoryStore"]

Reply: TypeAlias = str | PromptResult | Exception
Replies: TypeAlias = Reply | Sequence[Reply] | Callable[[PromptRequest], Reply]


@dataclass
class FakeAgent:
    """An agent that answers by node id: one reply for every prompt, a list of them (the last one stays), or a function
    of the request. An exception is raised. A node without a reply gets its own prompt back. `requests` holds all that
    was asked, in order."""

    replies: Mapping[str, Replies] = field(default_factory=dict)
    name: str = "fake"
    requests: list[PromptRequest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer with the next reply of the request's node."""
        with self._lock:
            self.requests.append(request)
            asked = sum(earlier.node == request.node for earlier in self.requests)
        reply = self._reply(request, asked)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, PromptResult) else PromptResult(reply)

    def prompts(self, node: str) -> list[str]:
        """The prompts that this node asked, in order."""
        return [request.prompt for request in self.requests if request.node == node]

    def _reply(self, request: PromptRequest, asked: int) -> Reply:
        given = self.replies.get(request.node, request.prompt)
        if isinstance(given, str | PromptResult | Exception):
            return given
        if callable(given):
            return given(request)
        return given[min(asked, len(given)) - 1]
