"""What agents report of their turns, summed up; failed attempts count like others."""

from __future__ import annotations

from typing import Any

# What a turn cost in US dollars, among the numbers of its usage.
COST = "cost_usd"
# Among them, not summed: what the session of the turn has used in all, and its id. The next turn in it, which may be
# one of another process, is counted from there.
SESSION_TOTAL = "session_total"


def added(usage: dict[str, float], more: dict[str, Any]) -> dict[str, float]:
    """`usage` with the numbers of one more turn."""
    total = dict(usage)
    for name, amount in more.items():
        if _is_number(amount):
            total[name] = total.get(name, 0) + amount
    return total


def cost_of(usage: dict[str, Any]) -> float:
    """What one turn cost; 0 if the agent reported nothing."""
    amount = usage.get(COST, 0)
    return amount if _is_number(amount) else 0


def _is_number(amount: Any) -> bool:
    return isinstance(amount, int | float) and not isinstance(amount, bool)
