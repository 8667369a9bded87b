"""A stand-in of the HTTP APIs that agents talk to: Anthropic Messages, OpenAI Responses and Chat Completions, Gemini.

It answers `you said: ` and the last text of the user (after `reply exactly: `, just what follows), with usage;
`failure` makes it refuse with a status or hang; `requests` is what was asked.
By hand: `python tests/real_agents/provider.py PORT [STATUS|hang]`, which prints each request as a JSON line.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

USED_IN, USED_OUT = 11, 7
EXACTLY = "reply exactly: "
STRUCTURED = "StructuredOutput"


@dataclass
class Provider:
    """The server, and what it is told to do. Use as a context manager; it listens on loopback alone."""

    port: int = 0
    failure: int | str | None = None
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
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
        """The requests whose last text of the user holds `text`."""
        return [body for path, body in self.requests if text in last_text(path, body)]


class _Handler(BaseHTTPRequestHandler):
    told: Provider
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
        if self.told.failure == "hang":
            self.told.released.wait(600)
            self.close_connection = True
            return None
        if isinstance(self.told.failure, int):
            return self._fail(path, self.told.failure)
        return self._answer(path, body)

    def _fail(self, path: str, status: int) -> None:
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status, "api_error")
        error: dict[str, Any] = {"message": f"stand-in says {status}", "type": kind}
        if ":" in path:
            error = {"code": status, "message": error["message"], "status": kind.upper()}
        self._json(status, {"type": "error", "error": error})

    def _answer(self, path: str, body: dict[str, Any]) -> None:
        if path.endswith("/count_tokens"):
            return self._json(200, {"input_tokens": USED_IN})
        if path.endswith("/messages"):
            whole = anthropic(body)
            return self._events(anthropic_events(whole)) if body.get("stream") else self._json(200, whole)
        if path.endswith("/responses"):
            whole = responses(body)
            return self._events(responses_events(whole)) if body.get("stream") else self._json(200, whole)
        if path.endswith("/chat/completions"):
            chunks = chat(body)
            return self._events(chunks, "[DONE]") if body.get("stream") else self._json(200, chat_whole(body))
        if path.endswith(":countTokens"):
            return self._json(200, {"totalTokens": USED_IN})
        if path.endswith(":streamGenerateContent"):
            return self._events([("", gemini(body))])
        if path.endswith(":generateContent"):
            return self._json(200, gemini(body))
        return self._json(200, {})

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _events(self, events: Any, end: str = "") -> None:
        text = "".join(
            (f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n" for name, value in events
        )
        self._send(200, (text + (f"data: {end}\n\n" if end else "")).encode(), "text/event-stream")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


# ---------------------------------------------------------------------- what was said, and what is answered


def last_text(path: str, body: dict[str, Any]) -> str:
    """The last text of the user in a request of any of the APIs."""
    turns = body.get("messages") or body.get("input") or body.get("contents") or []
    if isinstance(turns, str):
        return turns
    for turn in reversed(turns):
        if turn.get("role") == "user":
            texts = list(_texts(turn.get("content") or turn.get("parts")))
            if texts:
                return texts[-1]
    return ""


def _texts(content: Any) -> Iterator[str]:
    for part in [content] if isinstance(content, str) else content or []:
        text = part if isinstance(part, str) else part.get("text")
        if isinstance(text, str) and not text.startswith("<system-reminder>"):
            yield text


def reply(body: dict[str, Any]) -> str:
    said = last_text("", body)
    _, found, exact = said.partition(EXACTLY)
    return exact.strip() if found else f"you said: {said}"


def anthropic(body: dict[str, Any]) -> dict[str, Any]:
    """A message; the tool by which Claude Code takes structured output is called once when it is offered."""
    last = (body.get("messages") or [{}])[-1].get("content")
    answered = isinstance(last, list) and any(part.get("type") == "tool_result" for part in last)
    offered = any(tool.get("name") == STRUCTURED for tool in body.get("tools") or [])
    text = reply(body)
    content: dict[str, Any] = {"type": "text", "text": text}
    if offered and not answered and text.startswith("{"):
        content = {"type": "tool_use", "id": "toolu_1", "name": STRUCTURED, "input": json.loads(text)}
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


def responses(body: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": reply(body), "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
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
    text = item["content"][0]["text"]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    opened = {**item, "status": "in_progress", "content": []}
    for number, event in enumerate(
        (
            {"type": "response.created", "response": started},
            {"type": "response.output_item.added", "output_index": 0, "item": opened},
            {"type": "response.output_text.delta", **at, "delta": text},
            {"type": "response.output_text.done", **at, "text": text},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        )
    ):
        yield str(event["type"]), {**event, "sequence_number": number}


_CHAT_USAGE = {"prompt_tokens": USED_IN, "completion_tokens": USED_OUT, "total_tokens": USED_IN + USED_OUT}


def chat_whole(body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": reply(body)}, "finish_reason": "stop"}
    whole = {"id": "chat_1", "object": "chat.completion", "created": 1, "model": body.get("model")}
    return {**whole, "choices": [choice], "usage": _CHAT_USAGE}


def chat(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
    said = {"index": 0, "delta": {"role": "assistant", "content": reply(body)}, "finish_reason": None}
    yield "", {**chunk, "choices": [said]}
    yield "", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield "", {**chunk, "choices": [], "usage": _CHAT_USAGE}


def gemini(body: dict[str, Any]) -> dict[str, Any]:
    """With a schema (Gemini CLI asks a small model which model to take), a value of that form."""
    schema = (body.get("generationConfig") or {}).get("responseJsonSchema")
    text = json.dumps(fitting(schema)) if schema else reply(body)
    content = {"role": "model", "parts": [{"text": text}]}
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
