"""What an agent asked of its provider, in any of the four APIs: the last text of its user, what its tools brought
since, and the tools that it offers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# What agents put around the prompt, and is not the user's.
_AROUND = ("<system-reminder>", "<environment_context>", "<session_context>", "# AGENTS.md")
_TIME = re.compile(r"<current_datetime>.*?</current_datetime>\s*")


class Asked(NamedTuple):
    """One request: the last text of the user, and the results of the tools that were called since."""

    text: str
    results: list[str]
    tools: list[str]


def read(body: dict[str, Any]) -> Asked:
    turns = body.get("messages") or body.get("input") or body.get("contents") or []
    if isinstance(turns, str):
        return Asked(turns, [], [])
    text, results = "", list[str]()
    for turn in turns:
        if turn.get("type") in ("function_call_output", "custom_tool_call_output") or turn.get("role") == "tool":
            results.append(flat(turn.get("output") or turn.get("content")))
        elif turn.get("role") == "user":
            content = turn.get("content") or turn.get("parts")
            brought = list(_brought(content))
            said = list(_texts(content))
            if brought:
                results += brought
            elif said:
                text, results = said[-1], []
    return Asked(text, results, list(_tools(body)))


def _texts(content: Any) -> Iterator[str]:
    for part in [content] if isinstance(content, str) else content or []:
        text = part if isinstance(part, str) else part.get("text")
        if isinstance(text, str) and not text.startswith(_AROUND):
            yield _TIME.sub("", text)


def _brought(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, list) else []:
        if part.get("type") == "tool_result":
            yield flat(part.get("content"))
        elif "functionResponse" in part:
            yield flat(part["functionResponse"].get("response"))


def _tools(body: dict[str, Any]) -> Iterator[str]:
    for tool in body.get("tools") or []:
        inner = tool.get("functionDeclarations") or (tool.get("tools") if tool.get("type") == "namespace" else None)
        function = tool.get("function")
        for one in inner or [function if isinstance(function, dict) else tool]:
            yield str(one.get("name") or one.get("type"))


def flat(value: Any) -> str:
    """All texts in the result of a tool."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(flat, value))
    if isinstance(value, dict):
        return "\n".join(flat(one) for name, one in value.items() if name in ("text", "output", "content", "result"))
    return ""
