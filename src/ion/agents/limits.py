"""The limits of providers and accounts, from what programs print of them: fields, and lines of a fixed shape that they
were recorded to print. Never from prose, which any model can write.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from msgspec import Struct

from ion import clocks

# A limit that ends sooner is one of the rate; a longer one, and that of an account, is a quota.
SHORT_MS = 600_000
_MOST_SECONDS = 400 * 86_400


class Limit(Struct, frozen=True, gc=False):
    """A limit that was met: `quota_exhausted` or `rate_limited`, and when it ends (ms since the epoch), if known."""

    code: str
    resets_at: int | None = None


def limited_for(seconds: Any) -> Limit:
    """The limit of a provider that says how long to wait (`retry-after`), or does not."""
    try:
        wait_ms = round(float(seconds) * 1000)
    except (TypeError, ValueError, OverflowError):
        return Limit("rate_limited")
    if not 0 <= wait_ms <= _MOST_SECONDS * 1000:
        return Limit("rate_limited")
    return Limit("rate_limited" if wait_ms <= SHORT_MS else "quota_exhausted", clocks.now_ms() + wait_ms)


def quota(resets_at: Any = None) -> Limit:
    """The limit of an account; `resets_at` in seconds since the epoch."""
    if isinstance(resets_at, int | float) and not isinstance(resets_at, bool) and 0 < resets_at < 10**11:
        return Limit("quota_exhausted", round(resets_at * 1000))
    return Limit("quota_exhausted")


# ---------------------------------------------------------------------- what each program prints

# Of older versions of claude, as others have recorded it.
_CLAUDE_LINE = re.compile(r"(?:Claude AI )?usage limit reached\|([0-9]{9,11})")


def claude(result: dict[str, Any], events: list[dict[str, Any]]) -> Limit | None:
    """2.1.197 and 2.1.332 print a `rate_limit_event` with `resetsAt` before they fail; the newer one says
    `usage_limit_reached` too. With a key and not an account there is only the status 429."""
    line = _CLAUDE_LINE.fullmatch(str(result.get("result")).strip())
    if line is not None:
        return quota(int(line[1]))
    if result.get("api_error_status") not in (429, 529):
        return None
    told = [event["rate_limit_info"] for event in events if isinstance(event.get("rate_limit_info"), dict)]
    if told and told[-1].get("status") in ("rejected", "denied"):
        return quota(told[-1].get("resetsAt"))
    return quota() if result.get("api_error") == "usage_limit_reached" else Limit("rate_limited")


# codex 0.171 prints no field; the time is one of this machine, with a date if it is not today.
_CODEX_LINE = re.compile(r"You[\u2019']ve hit your usage limit\b.*", re.DOTALL)
_CODEX_TIME = re.compile(
    r"try again at (?:([A-Z][a-z]{2}) ([0-9]{1,2})(?:st|nd|rd|th), ([0-9]{4}) )?([0-9]{1,2}:[0-9]{2} [AP]M)\.$"
)


def codex(message: str, now: datetime.datetime | None = None) -> Limit | None:
    """`You've hit your usage limit. … try again at 11:08 PM.`"""
    if _CODEX_LINE.fullmatch(message) is None:
        return None
    found = _CODEX_TIME.search(message)
    if found is None:
        return quota()
    here = now or datetime.datetime.fromtimestamp(clocks.now_ms() / 1000)  # noqa: DTZ006  (as codex prints it)
    month, day, year, clock = found.groups()
    date = f"{month} {day} {year}" if month else here.strftime("%b %d %Y")
    try:
        then = datetime.datetime.strptime(f"{date} {clock}", "%b %d %Y %I:%M %p")  # noqa: DTZ007  (local, as printed)
    except ValueError:
        return quota()
    # It names minutes: the limit ends within this one.
    return quota(then.timestamp() + 60) if then + datetime.timedelta(minutes=1) >= here else quota()


_GEMINI_QUOTA = re.compile(rb"\bTerminalQuotaError: ")
_GEMINI_DELAY = re.compile(rb"\n  retryDelayMs: ([0-9]{1,12})(?:\.[0-9]+)?,\n")


def gemini(stderr: bytes) -> Limit:
    """gemini 0.61 prints its error on stderr: `TerminalQuotaError` for an account's limit, and how long to wait."""
    delay = _GEMINI_DELAY.search(stderr)
    limit = limited_for(int(delay[1]) / 1000 if delay is not None else None)
    return Limit("quota_exhausted", limit.resets_at) if _GEMINI_QUOTA.search(stderr) else limit


def http(headers: Any) -> Limit:
    """The status 429 or 529 with the headers of the answer."""
    found = headers if isinstance(headers, dict) else {}
    named = {str(name).lower(): value for name, value in found.items()}
    if "retry-after-ms" in named:
        try:
            return limited_for(float(named["retry-after-ms"]) / 1000)
        except (TypeError, ValueError):
            pass
    return limited_for(named.get("retry-after"))
