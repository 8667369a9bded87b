"""A stand-in of the HTTP APIs that agents talk to: Anthropic Messages, OpenAI Responses and Chat Completions, Gemini.

It answers `you said: ` and the last text of the user (after `reply exactly: `, just what follows), with usage.
What stands in the prompt between `<<` and `>>` is an order:

  say TEXT               answers just that
  sh COMMAND             has the agent's shell run it before
  until N WORD           answers WORD the Nth time that it is asked this, and else that it is not there yet
  mcp WORKFLOW           has the agent run this workflow by the tools of `ion mcp`, to its end
  status N [retry-after=S]   refuses with this status
  cut, hang              breaks off in the middle of the answer; does not answer
  … times=N              at the end of one of the last three: only so often

`failure` makes it refuse or hang whatever it is asked; `requests` is what was asked.
By hand: `python tests/real_agents/provider.py PORT [STATUS|hang]`, which prints each request as a JSON line.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from real_agents.requests import Asked, read

USED_IN, USED_OUT = 11, 7
EXACTLY = "reply exactly: "
STRUCTURED = "StructuredOutput"
_ORDER = re.compile(r"<<(say|sh|until|mcp|status|cut|hang) ?(.*?)(?:\s*times=([0-9]+))?>>", re.DOTALL)
# The tool that runs commands, and what it is called with.
_SHELLS = {
    "Bash": lambda line: {"command": line, "description": "a test"},
    "exec_command": lambda line: {"cmd": line},
    "shell_command": lambda line: {"command": line},
    "run_shell_command": lambda line: {"command": line, "description": "a test"},
    "bash": lambda line: {"command": line, "description": "a test"},
}
_ANSWER = {"name": "heron"}


@dataclass
class Provider:
    """The server, and what it is told to do. Use as a context manager; it listens on loopback alone."""

    port: int = 0
    failure: int | str | None = None
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    times: Counter[str] = field(default_factory=Counter)
    loud: bool = False

    def __enter__(self) -> Self:
        provider = self
        self.released = threading.Event()

        class Handler(_Handler):
            told = provider

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, text: str) -> list[dict[str, Any]]:
        """The requests whose last text of the user holds `text`; of an agent with tools, those that offer some: it
        asks for titles and the like beside them."""
        found = [(read(body), body) for _, body in self.requests if text in read(body).text]
        with_tools = [body for asked, body in found if asked.tools]
        return with_tools or [body for _, body in found]


class _Handler(BaseHTTPRequestHandler):
    told: Provider
    cut = False
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr for each request."""

    def do_HEAD(self) -> None:
        self._send(200, b"", "text/plain")

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return self._json(400, {"error": {"message": "no JSON"}})
        path = self.path.partition("?")[0]
        self.told.requests.append((path, body))
        if self.told.loud:
            sys.stdout.write(json.dumps([path, body]) + "\n")
            sys.stdout.flush()
        order, more = self._fault(body)
        if self.told.failure == "hang" or order == "hang":
            self.told.released.wait(600)
            self.close_connection = True
            return None
        if isinstance(self.told.failure, int):
            return self._fail(path, self.told.failure, "")
        if order == "status":
            status, _, after = more.partition(" retry-after=")
            return self._fail(path, int(status), after)
        self.cut = order == "cut"
        return self._answer(path, body)

    def _fault(self, body: dict[str, Any]) -> tuple[str, str]:
        """The fault that the prompt orders, if this is not a request on the side."""
        asked = read(body)
        for order, more, times in _ORDER.findall(asked.text) if asked.tools else ():
            if order in ("status", "cut", "hang"):
                self.told.times[order] += 1
                if not times or self.told.times[order] <= int(times):
                    return order, more
        return "", ""

    def _fail(self, path: str, status: int, after: str) -> None:
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status, "api_error")
        error: dict[str, Any] = {"message": f"stand-in says {status}", "type": kind}
        if ":" in path:
            error = {"code": status, "message": error["message"], "status": kind.upper()}
        self._json(status, {"type": "error", "error": error}, {"retry-after": after} if after else {})

    def _answer(self, path: str, body: dict[str, Any]) -> None:
        if path.endswith("/count_tokens"):
            return self._json(200, {"input_tokens": USED_IN})
        if path.endswith("/messages"):
            whole = anthropic(body, self.told)
            return self._events(anthropic_events(whole)) if body.get("stream") else self._json(200, whole)
        if path.endswith("/responses"):
            whole = responses(body, self.told)
            return self._events(responses_events(whole)) if body.get("stream") else self._json(200, whole)
        if path.endswith("/chat/completions"):
            chunks = chat(body, self.told)
            return (
                self._events(chunks, "[DONE]") if body.get("stream") else self._json(200, chat_whole(body, self.told))
            )
        if path.endswith(":countTokens"):
            return self._json(200, {"totalTokens": USED_IN})
        if path.endswith(":streamGenerateContent"):
            return self._events([("", gemini(body, self.told))])
        if path.endswith(":generateContent"):
            return self._json(200, gemini(body, self.told))
        return self._json(200, {})

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", headers)

    def _events(self, events: Any, end: str = "") -> None:
        text = "".join(
            (f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n" for name, value in events
        )
        self._send(200, (text + (f"data: {end}\n\n" if end else "")).encode(), "text/event-stream")

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if self.cut else data)
        self.close_connection |= self.cut


# ---------------------------------------------------------------------- what was said, and what is answered


def reply(body: dict[str, Any], told: Provider) -> tuple[str, tuple[str, dict[str, Any]] | None]:
    """The text to answer, and the tool to call before that."""
    asked = read(body)
    _, found, exact = asked.text.partition(EXACTLY)
    text, call = exact.strip() if found else f"you said: {asked.text}", None
    shells = list[str]()
    for order, more, _ in _ORDER.findall(asked.text):
        if order == "say":
            text = more
        elif order == "sh":
            shells.append(more)
        elif order == "until" and asked.tools:
            number, _, word = more.partition(" ")
            told.times[order] += 1
            text = word if told.times[order] >= int(number) else "It is not there yet."
        elif order == "mcp" and asked.tools:
            call, text = _workflow(more, asked)
    shell = next((name for name in _SHELLS if name in asked.tools), None)
    if shell is not None and len(asked.results) < len(shells):
        call = shell, _SHELLS[shell](shells[len(asked.results)])
    return text, call


def _workflow(name: str, asked: Asked) -> tuple[tuple[str, dict[str, Any]] | None, str]:
    """The next call of the tools of `ion mcp`, or the end in words."""

    def tool(short: str) -> str:
        # Claude Code does not list those that it has not loaded yet.
        return next((one for one in asked.tools if one.endswith(short)), f"mcp__ion__{short}")

    if not asked.results:
        return (tool("ion_start"), {"workflow": name}), ""
    last = asked.results[-1]
    try:
        step, _ = json.JSONDecoder().raw_decode(last[last.find("{") :])
    except ValueError:
        return None, f"no answer of Ion: {last}"
    run = {"run_id": step.get("run_id")}
    if step.get("prompts") and len(asked.results) < 20:
        prompt = step["prompts"][0]
        output = json.dumps(_ANSWER) if prompt["output_format"] else "an answer"
        return (tool("ion_submit"), {**run, "node": prompt["node"], "request": prompt["request"], "output": output}), ""
    if step.get("status") == "running" and len(asked.results) < 20:
        return (tool("ion_next"), run), ""
    return None, f"the run is {step.get('status')}: {step.get('output')}"


def anthropic(body: dict[str, Any], told: Provider) -> dict[str, Any]:
    """A message; the tool by which Claude Code takes structured output is called once when it is offered."""
    asked = read(body)
    text, call = reply(body, told)
    if STRUCTURED in asked.tools and not asked.results and text.startswith("{"):
        call = STRUCTURED, json.loads(text)
    content: dict[str, Any] = {"type": "text", "text": text}
    if call is not None:
        number = f"toolu_{len(told.requests)}"
        content = {"type": "tool_use", "id": number, "name": call[0], "input": call[1]}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [content],
        "stop_reason": "tool_use" if content["type"] == "tool_use" else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": USED_IN, "output_tokens": USED_OUT},
    }


def anthropic_events(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    block = whole["content"][0]
    if block["type"] == "text":
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": whole["usage"]},
        {"type": "message_stop"},
    ):
        yield str(event["type"]), event


def responses(body: dict[str, Any], told: Provider) -> dict[str, Any]:
    text, call = reply(body, told)
    part = {"type": "output_text", "text": text, "annotations": []}
    item: dict[str, Any] = {"id": f"msg_{len(told.requests)}", "status": "completed"}
    if call is None:
        item |= {"type": "message", "role": "assistant", "content": [part]}
    else:
        number = f"call_{len(told.requests)}"
        item |= {"type": "function_call", "call_id": number, "name": call[0], "arguments": json.dumps(call[1])}
        spaces = [one for one in body.get("tools") or [] if one.get("type") == "namespace"]
        for space in spaces:
            if call[0] in (tool["name"] for tool in space["tools"]):
                item["namespace"] = space["name"]
    usage = {
        "input_tokens": USED_IN,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": USED_OUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": USED_IN + USED_OUT,
    }
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body.get("model")}
    return {**whole, "output": [item], "usage": usage}


def responses_events(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    item = whole["output"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    opened = {**item, "status": "in_progress", **({"content": []} if "content" in item else {})}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
    ]
    for part in item.get("content", ()):
        events.append({"type": "response.output_text.delta", **at, "delta": part["text"]})
        events.append({"type": "response.output_text.done", **at, "text": part["text"]})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield str(event["type"]), {**event, "sequence_number": number}


_CHAT_USAGE = {"prompt_tokens": USED_IN, "completion_tokens": USED_OUT, "total_tokens": USED_IN + USED_OUT}


def _chat_message(body: dict[str, Any], told: Provider) -> tuple[dict[str, Any], str]:
    text, call = reply(body, told)
    if call is None:
        return {"role": "assistant", "content": text}, "stop"
    function = {"name": call[0], "arguments": json.dumps(call[1])}
    calls = [{"index": 0, "id": f"call_{len(told.requests)}", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"


def chat_whole(body: dict[str, Any], told: Provider) -> dict[str, Any]:
    message, finish = _chat_message(body, told)
    whole = {"id": "chat_1", "object": "chat.completion", "created": 1, "model": body.get("model")}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {**whole, "choices": [choice], "usage": _CHAT_USAGE}


def chat(body: dict[str, Any], told: Provider) -> Iterator[tuple[str, dict[str, Any]]]:
    message, finish = _chat_message(body, told)
    chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
    yield "", {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    yield "", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    yield "", {**chunk, "choices": [], "usage": _CHAT_USAGE}


def gemini(body: dict[str, Any], told: Provider) -> dict[str, Any]:
    """With a schema (Gemini CLI asks a small model which model to take), a value of that form."""
    schema = (body.get("generationConfig") or {}).get("responseJsonSchema")
    text, call = (json.dumps(fitting(schema)), None) if schema else reply(body, told)
    part: dict[str, Any] = {"text": text} if call is None else {"functionCall": {"name": call[0], "args": call[1]}}
    content = {"role": "model", "parts": [part]}
    usage = {
        "promptTokenCount": USED_IN,
        "candidatesTokenCount": USED_OUT,
        "totalTokenCount": USED_IN + USED_OUT,
    }
    return {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}


def fitting(schema: dict[str, Any]) -> Any:
    """The plainest value of a schema."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type", "string")).lower()
    if kind == "object":
        return {name: fitting(inner) for name, inner in (schema.get("properties") or {}).items()}
    return {"array": [], "integer": 1, "number": 1, "boolean": True}.get(kind, "x")


if __name__ == "__main__":
    failing = sys.argv[2] if len(sys.argv) > 2 else None
    told: int | str | None = int(failing) if failing and failing.isdigit() else failing
    with Provider(port=int(sys.argv[1]), failure=told, loud=True):
        threading.Event().wait()
