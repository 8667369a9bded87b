"""Limits of accounts and providers: which it is, and when it ends, from fields and from lines of a known shape."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from ion import clocks
from ion.agents import limits
from ion.agents.base import AgentError
from ion.agents.limits import Limit
from ion.agents.parsers import parser
from ion.agents.reading import Printed, conclude

from .test_recorded import reading

RESETS = 1_796_080_129_000  # what the provider said to all of them


def failure(case: str, status: int = 1) -> AgentError:
    with pytest.raises(AgentError) as caught:
        conclude(reading(case, status), status, "", "it")
    return caught.value


@pytest.mark.parametrize("version", ["2.1.332", "2.1.197"])
def test_claude_says_when_the_limit_of_the_account_ends(version: str) -> None:
    error = failure(f"claude-{version}/quota")
    assert (error.error_code, error.resets_at) == ("quota_exhausted", RESETS)


def test_claude_with_a_key_is_limited_without_an_end() -> None:
    error = failure("claude-2.1.332/429")
    assert (error.error_code, error.resets_at) == ("rate_limited", None)


def test_codex_says_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.datetime(2026, 11, 30, 22, 39)  # noqa: DTZ001  (local, as it prints it)
    monkeypatch.setattr(clocks, "now_ms", lambda: round(at.timestamp() * 1000))
    error = failure("codex-0.171.0/quota")
    then = datetime.datetime(2026, 11, 30, 23, 9)  # noqa: DTZ001
    assert (error.error_code, error.resets_at) == ("quota_exhausted", round(then.timestamp() * 1000))


@pytest.mark.parametrize(
    ("words", "then"),
    [
        ("try again at Dec 2nd, 2026 1:05 AM.", datetime.datetime(2026, 12, 2, 1, 6)),  # noqa: DTZ001
        ("try again at 10:00 PM.", None),  # over
        ("try again at Foo 2nd, 2026 1:05 AM.", None),
        ("try again in a while", None),
    ],
)
def test_codex_times(words: str, then: datetime.datetime | None) -> None:
    now = datetime.datetime(2026, 11, 30, 22, 39)  # noqa: DTZ001
    found = limits.codex(f"You've hit your usage limit. Or {words}", now)
    assert found == Limit("quota_exhausted", None if then is None else round(then.timestamp() * 1000))
    assert limits.codex(f"The model says: You've hit your usage limit. {words}", now) is None


def test_gemini_tells_a_quota_from_a_rate() -> None:
    error = failure("gemini-0.61.0/quota", 173)
    assert (error.error_code, error.resets_at) == ("quota_exhausted", None)
    assert limits.gemini(b"TerminalQuotaError: x {\n  retryDelayMs: 1800000,\n  status: 429\n}").resets_at is not None
    assert limits.gemini(b"RetryableQuotaError: x {\n  retryDelayMs: 5000,\n}").code == "rate_limited"


@pytest.mark.parametrize(
    ("headers", "code", "known"),
    [
        ({"retry-after": "30"}, "rate_limited", True),
        ({"Retry-After": "1800"}, "quota_exhausted", True),
        ({"retry-after-ms": "1500"}, "rate_limited", True),
        ({"retry-after": "600"}, "rate_limited", True),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "rate_limited", False),
        ({"retry-after": "-5"}, "rate_limited", False),
        ({"retry-after": "1e400"}, "rate_limited", False),
        ({}, "rate_limited", False),
        (None, "rate_limited", False),
    ],
)
def test_a_provider_that_says_how_long_to_wait(headers: Any, code: str, known: bool) -> None:
    before = clocks.now_ms()
    event = {
        "type": "error",
        "sessionID": "ses_1",
        "error": {"name": "APIError", "data": {"statusCode": 429, "message": "no", "responseHeaders": headers}},
    }
    found = parser("opencode-jsonl")(Printed(json.dumps(event).encode()))
    assert found.error is not None
    assert (found.error[0], found.resets_at is not None) == (code, known)
    assert found.resets_at is None or found.resets_at > before


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"api_error_status": 429, "result": "usage limit reached|1796080129"}, Limit("quota_exhausted", RESETS)),
        ({"result": "Claude AI usage limit reached|1796080129"}, Limit("quota_exhausted", RESETS)),
        ({"api_error_status": 429, "api_error": "usage_limit_reached"}, Limit("quota_exhausted")),
        ({"api_error_status": 529, "result": "overloaded"}, Limit("rate_limited")),
        ({"api_error_status": 500, "result": "usage limit reached"}, None),
        ({"result": "I read: usage limit reached|1796080129"}, None),
    ],
)
def test_claude_by_its_result(result: dict[str, Any], expected: Limit | None) -> None:
    assert limits.claude(result, []) == expected


def test_a_warning_is_not_a_limit() -> None:
    """It comes with each turn of an account; and a reply that quotes a limit is a reply."""
    events = [
        {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed_warning", "resetsAt": 1796080129}},
        {"type": "result", "result": "usage limit reached|1796080129", "is_error": False, "session_id": "s"},
    ]
    found = parser("claude-json")(Printed("\n".join(map(json.dumps, events)).encode()))
    assert conclude(found, 0, "", "it").text == "usage limit reached|1796080129"
