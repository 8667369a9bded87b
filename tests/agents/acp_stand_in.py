"""A program that speaks ACP, well or badly, without any library: `acp_stand_in.py BEHAVIOUR [FILE]`.

It answers a prompt with what the prompt tells it to do, word by word where it matters to a test; FILE gets a line for
each thing that it was asked, so that a test can see what reached it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEHAVIOUR = sys.argv[1]
RECORD = sys.argv[2] if len(sys.argv) > 2 else None
_lock = threading.Lock()
_answers: dict[str, dict[str, Any]] = {}
_answered = threading.Condition()
_cancelled: set[str] = set()
_opened: list[str] = []


class Refused(Exception):
    """A JSON-RPC error: code, message, and perhaps data."""


def send(message: dict[str, Any]) -> None:
    raw((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())


def raw(data: bytes) -> None:
    with _lock:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]


def record(line: str) -> None:
    if RECORD is not None:
        with Path(RECORD).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def update(session: str, what: str, **values: Any) -> None:
    send({"method": "session/update", "params": {"sessionId": session, "update": {"sessionUpdate": what, **values}}})


def say(session: str, text: str, message: str | None = None) -> None:
    named = {} if message is None else {"messageId": message}
    update(session, "agent_message_chunk", content={"type": "text", "text": text}, **named)


def ask(session: str, tool: dict[str, Any], options: list[tuple[str, str, str]], number: str) -> dict[str, Any]:
    """Ask for a permission and wait for the answer."""
    offered = [{"optionId": i, "name": name, "kind": kind} for i, name, kind in options]
    params = {"sessionId": session, "toolCall": tool, "options": offered}
    send({"id": number, "method": "session/request_permission", "params": params})
    with _answered:
        _answered.wait_for(lambda: number in _answers)
        return _answers.pop(number)


# ---------------------------------------------------------------------- what a prompt does

OPTIONS = [("y!", "Yes", "allow_once"), ("Y", "Always", "allow_always"), ("n", "No", "reject_once")]


def echo(session: str, text: str) -> str:
    for piece in ("echo: ", *text):
        say(session, piece)
    return "end_turn"


def asks(session: str, text: str) -> str:
    """One permission for each line of the prompt, all at once: `kind title`."""
    said: dict[str, str] = {}

    def one(number: int, line: str) -> None:
        kind, _, title = line.partition(" ")
        call = f"call-{time.monotonic_ns()}-{number}"
        update(session, "tool_call", toolCallId=call, title=title, kind=kind, rawInput={"command": title})
        outcome = (
            ask(session, {"toolCallId": call}, OPTIONS, f"p{session}{number}").get("result", {}).get("outcome", {})
        )
        said[line] = outcome.get("optionId") or outcome.get("outcome", "nothing")

    lines = text.splitlines()
    threads = [threading.Thread(target=one, args=item) for item in enumerate(lines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if session in _cancelled:
        return "cancelled"
    say(session, " ".join(said[line] for line in lines))
    return "end_turn"


def asks_in_turn(session: str, text: str) -> str:
    """One permission for each line of the prompt, one after the other."""
    said = []
    for number, line in enumerate(text.splitlines()):
        kind, _, title = line.partition(" ")
        call = {"toolCallId": f"call-{number}", "title": title, "kind": kind}
        update(session, "tool_call", **call)
        said.append(ask(session, call, OPTIONS, f"p{session}{number}")["result"]["outcome"].get("optionId", "nothing"))
    say(session, " ".join(said))
    return "end_turn"


def gives_up(session: str, text: str) -> str:
    """Says something, asks for one permission, and ends whatever the answer is."""
    say(session, "I will do it.")
    call = {"toolCallId": "1", "title": text, "kind": "execute"}
    update(session, "tool_call", **call)
    ask(session, call, OPTIONS, f"p{session}")
    return "end_turn"


def waits(session: str, text: str) -> str:
    """Works until it is told to stop."""
    say(session, "working")
    while session not in _cancelled:
        time.sleep(0.01)
    return "cancelled"


def never(session: str, text: str) -> str:
    say(session, "working")
    time.sleep(3600)
    return "end_turn"


def quiet(session: str, text: str) -> str:
    time.sleep(3600)
    return "end_turn"


def dies(session: str, text: str) -> str:
    say(session, "half of it")
    os.write(2, b"the disk of the agent is full\n")
    os._exit(7)


def dies_once(session: str, text: str) -> str:
    """Ends as SIGKILL would end it, the first time that it is asked."""
    if RECORD is not None and Path(RECORD).read_text("utf-8").count("session/prompt") == 1:
        os.kill(os.getpid(), 9)
    return echo(session, text)


def chatters(session: str, text: str) -> str:
    for _ in range(5 * 16):
        os.write(2, b"x" * 65535 + b"\n")
    os.write(2, b"the last line\n")
    return echo(session, text)


def garbage(session: str, text: str) -> str:
    for line in (
        b"not json at all",
        b"\xff\xfe\x00",
        b"5",
        b"[1, 2]",
        b'{"jsonrpc": "2.0"}',
        b'{"id": {}, "result": 1}',
        b'{"id": 99, "error": "no object"}',
        b'{"id": [1], "error": null}',
        b'{"method": 5}',
        b'{"method": "session/update"}',
        b'{"method": "session/update", "params": [1]}',
        b'{"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "dance"}}}',
        b'{"method": "surprise/notification", "params": {}}',
        b'{"id": "x1", "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}}',
        b'{"id": "x2", "method": "terminal/create", "params": {"command": "sh"}}',
        b'{"id": "x3", "method": "session/request_permission", "params": {"sessionId": "nobody"}}',
        b"[" * 100_000,
        b"",
    ):
        raw(line + b"\n")
    with _answered:
        _answered.wait_for(lambda: {"x1", "x2", "x3"} <= _answers.keys())
    say(session, "".join(str(_answers[number].get("error", {}).get("code")) + " " for number in ("x1", "x2", "x3")))
    return "end_turn"


def many(session: str, text: str) -> str:
    """Five hundred pieces in one write."""
    pieces = [
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": f"{i} "}} for i in range(500)
    ]
    lines = [
        json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session, "update": piece}})
        for piece in pieces
    ]
    raw(("\n".join(lines) + "\n").encode())
    return "end_turn"


def huge(session: str, text: str) -> str:
    for letter in "abc":
        say(session, letter * 1024 * 1024)
    return "end_turn"


def endless_line(session: str, text: str) -> str:
    while True:
        raw(b"x" * 1024 * 1024)


def endless(session: str, text: str) -> str:
    while session not in _cancelled:
        say(session, "more and more " * 1000)
    return "cancelled"


def steps(session: str, text: str) -> str:
    update(session, "agent_thought_chunk", content={"type": "text", "text": "first I look\nthen"})
    update(session, "tool_call", toolCallId="1", title="Read src/auth.py\x1b[31m", kind="read", status="pending")
    update(session, "tool_call_update", toolCallId="1", status="in_progress")
    update(session, "tool_call_update", toolCallId="1", status="failed")
    plan = [{"content": "look", "status": "completed"}, {"content": "mend it", "status": "in_progress"}]
    update(session, "plan", entries=[{**entry, "priority": "medium"} for entry in plan])
    update(session, "usage_update", used=10, size=100, cost={"amount": 0.25 * len(_opened), "currency": "USD"})
    return echo(session, text)


def parent(session: str, text: str) -> str:
    """Leaves a process behind that holds all its pipes."""
    child = subprocess.Popen(["sleep", "3600"])
    say(session, str(child.pid))
    return "end_turn"


def grumbles(session: str, text: str) -> str:
    """Its stderr is about the prompt; `wait` waits until it is told to stop."""
    if text == "wait":
        return waits(session, text)
    os.write(2, f"about {text}\n".encode())
    if text == "fail":
        raise Refused(-32603, "Internal error")
    return echo(session, text)


def twice(session: str, text: str) -> str:
    """A text, a tool call, and another text, which belong together by nothing."""
    say(session, "I look first.")
    update(session, "tool_call", toolCallId="1", title="look", kind="read", status="pending", rawInput={})
    update(session, "tool_call_update", toolCallId="1", status="completed", title="look at it")
    return echo(session, text)


def environment(session: str, text: str) -> str:
    say(session, json.dumps(dict(os.environ)))
    return "end_turn"


def reason(session: str, text: str) -> str:
    """Ends for the reason that the prompt says."""
    say(session, "no more")
    return text


def messages(session: str, text: str) -> str:
    """A notice of the program, a message, a tool, the answer in two pieces, and another notice, as codex-acp does."""
    say(session, "Warning: I do not know this model.\n\n")
    say(session, "I will look first.", "m1")
    update(session, "tool_call", toolCallId="1", title="look", kind="read", status="completed")
    say(session, "The answer ", "m2")
    say(session, "is 42.", "m2")
    say(session, "**Warning:** billing changes soon.")
    return "end_turn"


def unanswered(session: str, text: str) -> str:
    """Its provider failed, in the way that the prompt names; it ends the turn as if nothing were."""
    if text == "cut":
        say(session, "half an ans", "m1")
    if text != "silent":
        say(session, "Error: HTTP 500")
    return "end_turn"


def uncounted(session: str, text: str) -> str:
    """A good answer of a provider that counts nothing."""
    say(session, "fine", "m1")
    return "end_turn"


PROMPTS: dict[str, Callable[[str, str], str]] = {
    name: thing
    for name, thing in globals().items()
    if callable(thing)
    and name not in ("send", "raw", "record", "update", "say", "ask", "Any", "Callable", "Refused", "Path")
}


# ---------------------------------------------------------------------- the protocol


def initialize(params: dict[str, Any]) -> Any:
    if BEHAVIOUR == "silent-at-start":
        time.sleep(3600)
    if BEHAVIOUR == "dies-at-start":
        os.write(2, b"cannot find my model\n")
        os._exit(3)
    capabilities: dict[str, Any] = {"loadSession": BEHAVIOUR == "replays"}
    if BEHAVIOUR in ("resumes", "capable"):
        capabilities["sessionCapabilities"] = {"resume": {}}
    if BEHAVIOUR == "capable":
        capabilities["mcpCapabilities"] = {"http": True}
        capabilities["sessionCapabilities"]["systemPrompt"] = {}
    return {
        "protocolVersion": 2 if BEHAVIOUR == "newer" else 1,
        "agentCapabilities": capabilities,
        "authMethods": [{"id": "key", "name": "An API key"}],
    }


def new_session(params: dict[str, Any]) -> Any:
    if BEHAVIOUR == "needs-login":
        raise Refused(-32000, "Authentication required")
    _opened.append("")
    models = [{"value": "big-1", "name": "Big"}, {"value": "small-1", "name": "Small"}]
    option = {"id": "m", "name": "Model", "category": "model", "type": "select", "currentValue": "big-1"}
    if BEHAVIOUR == "modeless":
        return {"sessionId": "s", "models": {"currentModelId": "big-1", "availableModels": [{"modelId": "small-1"}]}}
    if BEHAVIOUR == "stubborn":
        return {"sessionId": "s", "configOptions": [MODE]}
    return {
        "sessionId": f"{os.getpid()}-{len(_opened)}",
        "modes": {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "go", "name": "Go"}]},
        "configOptions": [{**option, "options": models}],
    }


MODE = {
    "id": "x",
    "name": "Mode",
    "category": "mode",
    "type": "select",
    "currentValue": "go",
    "options": [{"value": "ask", "name": "Ask"}, {"value": "go", "name": "Go"}],
}


def load_session(params: dict[str, Any]) -> Any:
    session = params["sessionId"]
    if "unknown" in session:
        raise Refused(-32002, "Resource not found")
    for text in ("an old question", "an old answer"):
        update(session, "user_message_chunk", content={"type": "text", "text": text})
        say(session, text)
    return {}


def resume_session(params: dict[str, Any]) -> Any:
    if "unknown" in params["sessionId"]:
        raise Refused(-32002, "Resource not found")
    return {}


def prompt(params: dict[str, Any]) -> Any:
    session, text = params["sessionId"], params["prompt"][0]["text"]
    _cancelled.discard(session)
    if BEHAVIOUR == "broken":
        raise Refused(-32603, "Internal error")
    if BEHAVIOUR == "root":
        raise Refused(-32603, "Internal error", {"startupFailureReason": "bypass_root"})
    if BEHAVIOUR == "busy":
        raise Refused(429, "Too many requests")
    reply = PROMPTS.get(BEHAVIOUR, echo)(session, text)
    if BEHAVIOUR in ("unanswered", "uncounted"):
        return {"stopReason": reply, "usage": None}
    return {"stopReason": reply, "usage": {"totalTokens": 5, "inputTokens": 3, "outputTokens": 2}}


METHODS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "initialize": initialize,
    "session/new": new_session,
    "session/load": load_session,
    "session/resume": resume_session,
    "session/prompt": prompt,
    "session/set_mode": lambda params: {},
    "session/set_model": lambda params: None,
    "session/set_config_option": lambda params: {"configOptions": [MODE] if BEHAVIOUR == "stubborn" else []},
}


def answer(message: dict[str, Any]) -> None:
    method = METHODS.get(message["method"])
    called, _, result = BEHAVIOUR.partition("=")
    if called == message["method"]:
        send({"id": message["id"], "result": json.loads(result)})
        return
    try:
        if method is None:
            raise Refused(-32601, "Method not found")
        result = method(message["params"])
    except Refused as error:
        fields = dict(zip(("code", "message", "data"), error.args, strict=False))
        send({"id": message["id"], "error": fields})
        return
    send({"id": message["id"], "result": result})


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "method" not in message:
            with _answered:
                _answers[message["id"]] = message
                _answered.notify_all()
            continue
        record(json.dumps([message["method"], message.get("params")]))
        if message["method"] == "session/cancel":
            if BEHAVIOUR != "never":
                _cancelled.add(message["params"]["sessionId"])
        else:
            threading.Thread(target=answer, args=(message,), daemon=True).start()


if __name__ == "__main__":
    main()
