"""A stand-in for the command lines of agents: prints what they were observed to print, and misbehaves when told to.

`stand_in.py CLI ARGUMENTS…` answers `you said: PROMPT`. SCENARIO in the environment says what goes wrong; RECORD
names a file to which the arguments and stdin are appended as a JSON line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

SESSION = "11111111-2222-4333-8444-555555555555"
CLAUDE_USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 3,
    "output_tokens": 5,
    "service_tier": "standard",
}


def option(name: str) -> str | None:
    return next((word.partition("=")[2] for word in sys.argv[2:] if word.startswith(f"{name}=")), None)


def out(*values: Any) -> None:
    for value in values:
        sys.stdout.write(f"{value if isinstance(value, str) else json.dumps(value)}\n")
        sys.stdout.flush()


def err(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def claude(prompt: str, scenario: str) -> int:
    resumed = option("--resume")
    if scenario == "gone" and resumed:
        err(f"No conversation found with session ID: {resumed}")
        return 1
    result = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "duration_ms": 1200,
        "num_turns": 1,
        "result": f"you said: {prompt}",
        "stop_reason": "end_turn",
        "session_id": resumed or SESSION,
        "total_cost_usd": 0.25,
        "usage": CLAUDE_USAGE,
        "permission_denials": [],
    }
    if option("--json-schema"):
        result["structured_output"] = json.loads(os.environ.get("STRUCTURED", '{"answer": 1}'))
    if scenario in ("not_logged_in", "unauthorized"):
        status = 401 if scenario == "unauthorized" else None  # without a login it does not come as far as the API
        told = {"is_error": True, "result": "Not logged in · Please run /login", "api_error_status": status}
        out({**result, **told, "total_cost_usd": 0})
        return 1
    if scenario == "rate_limited":
        out({**result, "is_error": True, "api_error_status": 429, "result": "API Error: rate limited"})
        return 1
    if scenario == "error":
        out({**result, "is_error": True, "result": "API Error: Connection refused"})
        return 1
    if scenario == "error_but_0":
        out({**result, "is_error": True, "result": "it says so"})
        return 0
    if scenario == "max_budget":
        out({**result, "subtype": "error_max_budget_usd", "is_error": True, "result": None, "errors": ["over budget"]})
        return 1
    if scenario == "refused":
        out({**result, "stop_reason": "refusal", "result": "I will not."})
        return 0
    out(result)
    return 0


def codex(prompt: str, scenario: str) -> int:
    resumed = sys.argv[sys.argv.index("resume") + 1] if "resume" in sys.argv else None
    if scenario == "gone" and resumed:
        err(f"Error: thread/resume: thread/resume failed: no rollout found for thread id {resumed} (code -32600)")
        return 1
    out({"type": "thread.started", "thread_id": resumed or SESSION}, {"type": "turn.started"})
    out({"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "a warning, no more"}})
    if scenario == "error":
        out({"type": "error", "message": "Reconnecting... 1/5"})
        out({"type": "turn.failed", "error": {"message": "stream disconnected before completion"}})
        return 1
    out({"type": "item.completed", "item": {"id": "item_1", "type": "reasoning", "text": "thinking"}})
    out({"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "first"}})
    reply = f"you said: {prompt}"
    schema = option("--output-schema")
    if schema is not None:
        assert json.loads(Path(schema).read_text())
        reply = os.environ.get("STRUCTURED", '{"answer": 1}')
    out({"type": "item.completed", "item": {"id": "item_3", "type": "agent_message", "text": reply}})
    turns = 1 if resumed is None else 2  # what it reports is the total of the thread
    usage = {"input_tokens": 100 * turns, "cached_input_tokens": 7 * turns, "output_tokens": 9 * turns}
    out({"type": "turn.completed", "usage": usage})
    return 0


def gemini(prompt: str, scenario: str) -> int:
    session = option("--resume") or SESSION
    if scenario == "gone" and option("--resume"):
        err("Error resuming session: No previous sessions found for this project.")
        return 42
    statuses = {"not_logged_in": 41, "input": 42, "untrusted": 55, "rate_limited": 1}
    if scenario in statuses:
        status = statuses[scenario]
        error = {"type": "Error", "message": "what it says", "code": 429 if scenario == "rate_limited" else status}
        err("Loaded cached credentials.")
        err(json.dumps({"session_id": session, "error": error}, indent=2))
        return status
    models = {"gemini-x": {"api": {}, "tokens": {"prompt": 11, "candidates": 4, "total": 15, "cached": 0}}}
    err("Loaded cached credentials.")
    out(json.dumps({"session_id": session, "response": f"you said: {prompt}", "stats": {"models": models}}, indent=2))
    return 0


def opencode(prompt: str, scenario: str) -> int:
    session = option("--session") or "ses_abc123"
    if scenario == "gone" and option("--session"):
        err("\x1b[91m\x1b[1mError: \x1b[0mSession not found")
        return 1

    def event(kind: str, **part: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": 1, "sessionID": session, "part": {"type": kind, **part}}

    if scenario == "not_logged_in":
        error = {"name": "ProviderAuthError", "data": {"providerID": "x", "message": "no key"}}
        out({"type": "error", "timestamp": 1, "sessionID": session, "error": error})
        return 1
    if scenario == "rate_limited":
        error = {"name": "APIError", "data": {"message": "slow down", "statusCode": 429}}
        out({"type": "error", "timestamp": 1, "sessionID": session, "error": error})
        return 0
    tokens = {"input": 20, "output": 6, "reasoning": 0, "cache": {"read": 1, "write": 2}}
    out(event("step_start"), event("text", text="looking"), event("step_finish", cost=0.01, tokens=tokens))
    out(event("step_start"), event("text", text="you said: "), event("text", text=prompt))
    out(event("step_finish", cost=0.02, tokens=tokens))
    return 0


def pi(prompt: str, scenario: str) -> int:
    """It ends with 0 whatever comes of it."""
    out({"type": "session", "version": 3, "id": SESSION}, {"type": "agent_start"})
    usage = {"input": 10, "output": 5, "cacheRead": 3, "cacheWrite": 2, "cost": {"total": 0.25}}
    message = {"role": "assistant", "content": [{"type": "text", "text": f"you said: {prompt}"}], "usage": usage}
    if scenario == "error":
        message |= {"content": [], "stopReason": "error", "errorMessage": "no model"}
    out({"type": "message_end", "message": message}, {"type": "agent_end", "messages": [message]})
    return 0


def copilot(prompt: str, scenario: str) -> int:
    out({"type": "assistant.turn_start", "data": {"turnId": "0"}})
    if scenario == "error":
        out({"type": "session.error", "data": {"errorType": "other", "message": "no model"}})
    else:
        out({"type": "assistant.message", "data": {"content": f"you said: {prompt}", "toolRequests": []}})
    out({"type": "result", "sessionId": SESSION, "exitCode": 0})
    return 0


def plain(prompt: str, scenario: str) -> int:
    if scenario == "error":
        err("Error: no model")
        return 1
    out(f"you said: {prompt}")
    return 0


def aider(prompt: str, scenario: str) -> int:
    """It ends with 0 whatever comes of it, and takes a message that begins with `/` or `!` as a command."""
    banner = "Aider v0.86.2\nMain model: m with diff edit format\nGit repo: .git with 0 files\n"
    if prompt[:1] in "/!":
        os.system(prompt.removeprefix("/run")[1:])
        return 0
    if scenario == "error":
        out(banner, "litellm.AuthenticationError: no model")
        return 0
    out(banner, f"you said: {prompt}\n", "Tokens: 3 sent, 2 received. Cost: $0.01 message, $0.25 session.")
    return 0


def hostile(scenario: str) -> None:
    """What any program can do."""
    if scenario == "nothing":
        sys.exit(0)
    if scenario == "junk":
        sys.stdout.buffer.write(b'\xff\xfe{"type": "result"\n[[[[\n{}\nnull\n' + b"[" * 100_000)
        sys.exit(0)
    if scenario == "long":
        sys.stderr.write("x" * 3_000_000)
        err(json.dumps({"type": "noise", "x": "y" * 1_500_000}))
    if scenario == "dies":
        sys.stdout.write('{"type": "thread.started", "thread_id": "abc"}\n{"type": "res')
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if scenario == "silent":
        time.sleep(600)


def main() -> int:
    given = ("--prompt=", "--message-file=", "--instruction-file=")
    prompt = "" if any(word.startswith(given) for word in sys.argv) else sys.stdin.read()
    scenario = os.environ.get("SCENARIO", "")
    if os.environ.get("RECORD"):
        with Path(os.environ["RECORD"]).open("a") as record:
            record.write(json.dumps({"argv": sys.argv[2:], "stdin": prompt}) + "\n")
    hostile(scenario)
    file = option("--message-file") or option("--instruction-file")
    prompt = prompt or option("--prompt") or (Path(file).read_text() if file else "")
    answering = {"claude": claude, "cursor": claude, "codex": codex, "gemini": gemini, "opencode": opencode}
    answering |= {"aider": aider, "qwen": claude, "amp": claude, "pi": pi, "copilot": copilot}
    return answering.get(sys.argv[1], plain)(prompt, scenario)


if __name__ == "__main__":
    sys.exit(main())
