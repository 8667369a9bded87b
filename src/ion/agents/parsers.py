"""How the output of each program is read: its text, session, usage, or the error that it names.

A parser takes bytes and never fails: whatever they contain, it returns a `Reading`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ion.agents import limits
from ion.agents.reading import (
    Parser,
    Printed,
    Reading,
    added,
    amounts,
    at_pointer,
    http_code,
    json_objects,
    json_value,
    json_values,
    mapping,
    message_of,
    refused_calls,
    session_id,
    total_of,
)


def text(printed: Printed) -> Reading:
    """All of stdout without one final newline."""
    return Reading(printed.stdout.decode("utf-8", "replace").removesuffix("\n"))


def pointed(pointer: str = "", session_pointer: str = "") -> Parser:
    """A parser of JSON in which a JSON pointer (RFC 6901) leads to the reply: its text, or JSON that is the reply."""

    def parse(printed: Printed) -> Reading:
        values = [one for one in json_values(printed.stdout) if at_pointer(one, pointer) is not None]
        value = values[-1] if values else None
        found = at_pointer(value, pointer)
        session = session_id(at_pointer(value, session_pointer)) if session_pointer else None
        if value is None or found is None:
            return Reading(session=session)
        if isinstance(found, str):
            return Reading(found, session)
        return Reading(json.dumps(found, ensure_ascii=False), session, found)

    return parse


# The output was a stream of events, and it ended before the turn did.
_CUT = ("", "its output ended before its turn did")


def claude_json(printed: Printed) -> Reading:
    """`claude -p`, and the similar output of `cursor-agent` and `qwen`: an object of type `result`, alone or at the end
    of a stream. `is_error` is reliable; `subtype` stays "success" in most failures. Tool calls that its permissions
    refused are listed in `permission_denials`; the turn counts as a success all the same."""
    events = list(json_objects(printed.stdout))
    results = [event for event in events if event.get("type") == "result"]
    if not results:
        return _claude_cut(events)
    last = results[-1]
    session = session_id(last.get("session_id"))
    usage, total = _claude_usage(last), _claude_total(last)
    said = last.get("result")
    if last.get("is_error") or str(last.get("subtype", "")).startswith("error"):
        errors = last.get("errors")
        listed = "; ".join(str(one) for one in errors) if isinstance(errors, list) else message_of(last.get("error"))
        message = said if isinstance(said, str) and said else listed or str(last.get("subtype", ""))
        limit = limits.claude(last, events)
        code, resets_at = (limit.code, limit.resets_at) if limit is not None else (_claude_code(last, message), None)
        return Reading(None, session, usage=usage, total=total, error=(code, message), resets_at=resets_at)
    if last.get("stop_reason") == "refusal":
        refusal = said if isinstance(said, str) else "it refused"
        return Reading(None, session, usage=usage, total=total, error=("refused", refusal))
    reply = said if isinstance(said, str) else None
    structured = last.get("structured_output")
    return Reading(reply, session, structured, usage, total=total, notes=_refused_calls(last))


def _claude_cut(events: list[dict[str, Any]]) -> Reading:
    """A stream without a result. What its answers used is counted: each says so once for each of its blocks."""
    usages: dict[Any, Any] = {}
    for event in events:
        message = mapping(event.get("message"))
        if event.get("type") == "assistant" and isinstance(message.get("id"), str):
            usages[message["id"]] = message
    if not any(event.get("type") in ("system", "assistant") for event in events):
        return Reading()
    usage: dict[str, float] = {}
    for message in usages.values():
        usage = added(usage, _claude_usage(message))
    session = next((session_id(event.get("session_id")) for event in events if "session_id" in event), None)
    return Reading(None, session, usage=usage, error=_CUT)


def _refused_calls(result: dict[str, Any]) -> tuple[str, ...]:
    denials = result.get("permission_denials")
    names = [mapping(one).get("tool_name") for one in denials] if isinstance(denials, list) else []
    return refused_calls(str(name) for name in names)


def _claude_code(result: dict[str, Any], message: str) -> str:
    if result.get("subtype") == "error_max_budget_usd":
        return "budget"
    if result.get("subtype") == "error_max_turns":
        return "refused"
    if result.get("subtype") == "error_max_structured_output_retries":
        return "bad_output"
    qwen = _QWEN_STATUS.match(message)
    return http_code(int(qwen[1]) if qwen is not None else result.get("api_error_status"))


def _claude_usage(result: dict[str, Any]) -> dict[str, float]:
    """What the turn used, if `total_cost_usd` is of the turn alone. If it ended for its budget only the list by models
    has its tokens."""
    usage = mapping(result.get("usage"))
    # With a total it is qwen's, whose input has in it what was cached.
    cached = () if "total_tokens" in usage else ("cache_creation_input_tokens", "cache_read_input_tokens")
    found = amounts(
        {
            "input_tokens": total_of(usage.get("input_tokens"), *(usage.get(name) for name in cached)),
            "output_tokens": usage.get("output_tokens"),
            "cached_input_tokens": usage.get("cache_read_input_tokens"),
            "cost_usd": result.get("total_cost_usd"),
        }
    )
    models = _by_models(result.get(_SINCE))
    return {**found, **(models if models and not found.get("input_tokens") else {}), **_only_cost(models)}


# In 2.1.332, not in 2.1.197: what this turn used, by models.
_SINCE = "model_usage_since_last_result"


def _only_cost(models: dict[str, float]) -> dict[str, float]:
    return {"cost_usd": models["cost_usd"]} if models else {}


def _claude_total(result: dict[str, Any]) -> dict[str, float]:
    """`total_cost_usd` with the tokens that belong to it: of the session in newer versions, of the turn in older. None
    is needed where the turn has a list of its own."""
    if result.get(_SINCE):
        return {}
    models = _by_models(result.get("modelUsage"))
    tokens = {"tokens": models["input_tokens"] + models["output_tokens"]} if models else {}
    return amounts({"cost_usd": result.get("total_cost_usd")}) | tokens


def _by_models(told: Any) -> dict[str, float]:
    """Claude's list of models, added up."""
    names: dict[str, tuple[str, ...]] = {
        "input_tokens": ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"),
        "output_tokens": ("outputTokens",),
        "cached_input_tokens": ("cacheReadInputTokens",),
        "cost_usd": ("costUSD",),
    }
    models = [mapping(one) for one in mapping(told).values()]
    return {
        name: total_of(*(one.get(key) for one in models for key in keys)) or 0 for name, keys in names.items() if models
    }


def codex_jsonl(printed: Printed) -> Reading:
    """`codex exec --json`: events by line. The last `agent_message` is the reply; an item of type `error` is only a
    warning; `turn.failed` is the failure."""
    reply: str | None = None
    session: str | None = None
    usage: dict[str, float] = {}
    error: tuple[str, str] | None = None
    limit: limits.Limit | None = None
    for event in json_objects(printed.stdout):
        kind, item = event.get("type"), mapping(event.get("item"))
        if kind == "thread.started":
            session = session_id(event.get("thread_id"))
            error = _CUT
        elif kind == "item.completed" and item.get("type") == "agent_message" and isinstance(item.get("text"), str):
            reply = item["text"]
        elif kind == "turn.completed":
            told = mapping(event.get("usage"))
            names = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens")
            usage = added(usage, amounts({name: told.get(name) for name in names}))
            error = None
        elif kind == "turn.failed":
            message = message_of(event.get("error"))
            limit = limits.codex(message)
            error = (limit.code if limit is not None else codex_code(message), message)
    resets_at = limit.resets_at if limit is not None and error is not None else None
    return Reading(reply, session, usage=usage, error=error, total=usage, resets_at=resets_at)


# codex 0.171 has no field for the status that its provider answered with; these are its own words before any other.
_CODEX_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:) ([1-5][0-9]{2})\b")


def codex_code(message: str) -> str:
    """The error code of what codex says when its provider has failed, '' if it says nothing."""
    found = _CODEX_STATUS.match(message)
    return http_code(int(found[1])) if found is not None else ""


def gemini_json(printed: Printed) -> Reading:
    """`gemini -o stream-json`: events by line, the last of type `result`; or one object with `response`. A failure
    before a turn is an object with `error` on stderr."""
    events = [*json_objects(printed.stdout)]
    last: dict[str, Any] = next((one for one in reversed(events) if one.keys() & {"response", "error", "stats"}), {})
    failed = [one for one in json_objects(printed.stderr) if "error" in one]
    failure = last if "error" in last else failed[-1] if failed else {}
    session = session_id(next((one["session_id"] for one in (*events, failure) if "session_id" in one), None))
    usage = _gemini_usage(last or failure)
    if isinstance(failure.get("error"), dict):
        error = _gemini_error(failure["error"], printed)
        if error[0] != "rate_limited":
            return Reading(None, session, usage=usage, error=error)
        limit = limits.gemini(printed.stderr)
        return Reading(None, session, usage=usage, error=(limit.code, error[1]), resets_at=limit.resets_at)
    if not last and any(event.get("type") in ("init", "message") for event in events):
        return Reading(None, session, usage=usage, error=_CUT)
    said = last.get("response") if "response" in last else _gemini_reply(events)
    return Reading(said if isinstance(said, str) else None, session, usage=usage)


def _gemini_reply(events: list[dict[str, Any]]) -> str | None:
    """What it said last, in one piece or many."""
    pieces: list[str] = []
    for event in events:
        if event.get("type") == "tool_use":
            pieces = []
        elif event.get("type") == "message" and event.get("role") == "assistant":
            pieces.append(str(event.get("content")))
    return "".join(pieces) if pieces else None


# What gemini 0.61 puts around the answer of its provider, and how it prints that error on stderr.
_GEMINI_API_ERROR = re.compile(r"\[API Error: (\{.*\})\]", re.DOTALL)
_GEMINI_STATUS = re.compile(rb"\n  (?:status|code): ([1-5][0-9]{2})\n\}\s*$")


def _gemini_error(error: dict[str, Any], printed: Printed) -> tuple[str, str]:
    message = message_of(error)
    within = _GEMINI_API_ERROR.fullmatch(message)
    answer = mapping(mapping(json_value(within[1].encode())).get("error")) if within is not None else {}
    at_end = _GEMINI_STATUS.search(printed.stderr)
    # Its exit status is one of its own, or that of HTTP less what a byte does not hold.
    ended = {145: 401, 147: 403, 148: 404, 173: 429}.get(printed.status or 0, printed.status)
    statuses = (error.get("code"), answer.get("code"), int(at_end[1]) if at_end is not None else None, ended)
    number = next((one for one in statuses if isinstance(one, int)), None)
    return _GEMINI_CODES.get(number or 0) or http_code(number), message


# Its exit statuses, which are in `error.code` too: authentication, input, the limit of turns, an untrusted folder.
_GEMINI_CODES = {41: "not_logged_in", 42: "refused", 53: "refused", 55: "refused"}


def _gemini_usage(value: dict[str, Any]) -> dict[str, float]:
    """Its thoughts are output too, and counted only in its total."""
    stats = mapping(value.get("stats"))
    if "total_tokens" in stats:
        within = total_of(stats.get("input_tokens"))
        return amounts(
            {
                "input_tokens": within,
                "output_tokens": (total_of(stats.get("total_tokens")) or 0) - (within or 0),
                "cached_input_tokens": stats.get("cached"),
            }
        )
    total: dict[str, float] = {}
    for model in mapping(stats.get("models")).values():
        tokens = mapping(mapping(model).get("tokens"))
        counts = {
            "input_tokens": tokens.get("prompt"),
            "output_tokens": total_of(tokens.get("candidates"), tokens.get("thoughts")),
            "cached_input_tokens": tokens.get("cached"),
        }
        total = added(total, amounts(counts))
    return total


def opencode_jsonl(printed: Printed) -> Reading:
    """`opencode run --format json`: events by line; the reply is all text parts of the last step that has any."""
    texts: list[str] = []
    session: str | None = None
    usage: dict[str, float] = {}
    error: tuple[str, str] | None = None
    refused: list[str] = []
    resets_at: int | None = None
    fresh = False
    for event in json_objects(printed.stdout):
        kind, part = event.get("type"), mapping(event.get("part"))
        session = session_id(event.get("sessionID")) or session
        if kind == "step_start":
            fresh, error = True, _CUT
        elif kind == "text" and isinstance(part.get("text"), str):
            texts = [part["text"]] if fresh else [*texts, part["text"]]
            fresh = False
        elif kind == "tool_use" and mapping(part.get("state")).get("error") == _OPENCODE_REFUSED:
            refused.append(str(part.get("tool")))
        elif kind == "step_finish":
            usage = added(usage, _opencode_usage(part))
            error = None
        elif kind == "error":
            error, resets_at = _opencode_error(mapping(event.get("error")))
    reply, notes = "".join(texts) if texts else None, refused_calls(refused)
    return Reading(reply, session, usage=usage, error=error, notes=notes, resets_at=resets_at)


# The whole error of a tool call that nobody allowed, in opencode 1.18.
_OPENCODE_REFUSED = "The user rejected permission to use this specific tool call."


def _opencode_usage(part: dict[str, Any]) -> dict[str, float]:
    tokens = mapping(part.get("tokens"))
    cache = mapping(tokens.get("cache"))
    return amounts(
        {
            "input_tokens": total_of(tokens.get("input"), cache.get("read"), cache.get("write")),
            "output_tokens": total_of(tokens.get("output"), tokens.get("reasoning")),
            "cached_input_tokens": cache.get("read"),
            "cost_usd": part.get("cost"),
        }
    )


def _opencode_error(error: dict[str, Any]) -> tuple[tuple[str, str], int | None]:
    """Its class and message, and when its limit ends."""
    data = mapping(error.get("data"))
    if error.get("name") == "ProviderAuthError":
        return ("not_logged_in", message_of(data)), None
    message, code = message_of(data) or str(error.get("name", "")), http_code(data.get("statusCode"))
    if code != "rate_limited":
        return (code, message), None
    limit = limits.http(data.get("responseHeaders"))
    return (limit.code, message), limit.resets_at


def copilot_jsonl(printed: Printed) -> Reading:
    """`copilot --output-format json`: events by line, the last of type `result`. It reports no tokens. Calls that were
    refused have an error with the code `denied`."""
    reply: str | None = None
    session: str | None = None
    error: tuple[str, str] | None = None
    tools: dict[Any, str] = {}
    refused: list[str] = []
    for event in json_objects(printed.stdout):
        kind, data = event.get("type"), mapping(event.get("data"))
        if kind in ("user.message", "assistant.turn_start"):
            error = _CUT
        elif kind == "assistant.message" and isinstance(data.get("content"), str):
            reply = data["content"] or reply
        elif kind == "tool.execution_start":
            tools[str(data.get("toolCallId"))] = str(data.get("toolName"))
        elif kind == "tool.execution_complete" and mapping(data.get("error")).get("code") == "denied":
            refused.append(tools.get(str(data.get("toolCallId")), "a tool"))
        elif kind == "session.error":
            error = (http_code(data.get("statusCode")), message_of(data))
        elif kind == "result":
            session, error = session_id(event.get("sessionId")), None if error == _CUT else error
    return Reading(reply, session, error=error, notes=refused_calls(refused))


def pi_jsonl(printed: Printed) -> Reading:
    """`pi -p --mode json`: events by line; each answer of its model ends with a `message_end`. It ends with 0 also
    where no model answered."""
    reply: str | None = None
    session: str | None = None
    usage: dict[str, float] = {}
    error: tuple[str, str] | None = None
    for event in json_objects(printed.stdout):
        kind, message = event.get("type"), mapping(event.get("message"))
        if kind == "session":
            session, error = session_id(event.get("id")), _CUT
        elif kind == "agent_end" and error == _CUT:
            error = None
        elif kind == "message_end" and message.get("role") == "assistant":
            usage = added(usage, _pi_usage(mapping(message.get("usage"))))
            said = message.get("errorMessage")
            failed = message.get("stopReason") in ("error", "aborted")
            error = (_pi_code(said), said) if failed and isinstance(said, str) else _CUT
            parts = message.get("content")
            texts = [str(mapping(part).get("text", "")) for part in parts] if isinstance(parts, list) else []
            reply = "".join(texts) or reply
    return Reading(reply, session, usage=usage, error=error)


def _pi_usage(usage: dict[str, Any]) -> dict[str, float]:
    """Of a model whose price pi does not know the cost is 0: that is not a report."""
    cost = mapping(usage.get("cost")).get("total")
    return amounts(
        {
            "input_tokens": total_of(usage.get("input"), usage.get("cacheRead"), usage.get("cacheWrite")),
            "output_tokens": usage.get("output"),
            "cached_input_tokens": usage.get("cacheRead"),
            "cost_usd": cost or None,
        }
    )


# pi 0.73 puts the status of HTTP before what its provider said; qwen 0.24 does in its frame.
_PI_STATUS = re.compile(r"([45][0-9]{2}) ")
_QWEN_STATUS = re.compile(r"\[API Error: ([45][0-9]{2}) ")


def _pi_code(message: str) -> str:
    found = _PI_STATUS.match(message)
    return http_code(int(found[1])) if found is not None else ""


# What aider prints after each answer of its model, and only then: it ends with 0 also where no model answered.
_AIDER_ANSWERED = re.compile(r"^Tokens: .* sent, .* received\.(?:.* \$([0-9.]+) session\.)?$", re.MULTILINE)
_AIDER_BANNER = re.compile(r"^Aider v.*\n(?:.+\n)*\n?", re.MULTILINE)


def aider(printed: Printed) -> Reading:
    """`aider --no-pretty`: a banner, the reply, a line of tokens and cost, and what became of its edits. Without
    that line no model has answered, and the output says why."""
    said = printed.stdout.decode("utf-8", "replace")
    banner = _AIDER_BANNER.search(said)
    body = said[banner.end() if banner is not None else 0 :]
    answers = list(_AIDER_ANSWERED.finditer(body))
    if not answers:
        return Reading(error=("", body))
    cost = float(answers[-1][1]) if _is_decimal(answers[-1][1]) else None
    reply = _AIDER_ANSWERED.sub("", body[: answers[-1].start()]).strip("\n")
    return Reading(reply, usage=amounts({"cost_usd": cost}))


def _is_decimal(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", text) is not None


PARSERS: dict[str, Parser] = {
    "text": text,
    "claude-json": claude_json,
    "codex-jsonl": codex_jsonl,
    "gemini-json": gemini_json,
    "opencode-jsonl": opencode_jsonl,
    "copilot-jsonl": copilot_jsonl,
    "pi-jsonl": pi_jsonl,
    "aider": aider,
}
# `json` is the one that needs to be told where to look.
PARSER_NAMES = (*PARSERS, "json")


def parser(name: str, pointer: str = "", session_pointer: str = "") -> Parser:
    """The parser of this name."""
    return pointed(pointer, session_pointer) if name == "json" else PARSERS[name]
