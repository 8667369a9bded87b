"""What a turn alone used, of an agent that may report what its session has used since it began."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ion.agents.reading import Reading

# The tokens of a session are never fewer than they were; sums of floating point may be a little.
_NEARLY = 0.999


def of_this_turn(reading: Reading, before: Mapping[str, Any] | None, usage: str) -> Reading:
    """The reading with the usage of its turn alone. `before` is the last total of the session that it continues (empty:
    unknown), None for a new session; `usage` is the preset's.

    What is unknown is not reported, rather than too much.
    """
    if before is None or not reading.total:
        return reading
    if usage == "total":
        spent = {name: max(0, used - before.get(name, 0)) for name, used in reading.total.items()} if before else {}
        return replace(reading, usage=spent)
    cost = _turn_cost(reading, before)
    others = {name: used for name, used in reading.usage.items() if name != "cost_usd"}
    return replace(reading, usage=others if cost is None else {**others, "cost_usd": cost})


def _turn_cost(reading: Reading, before: Mapping[str, Any]) -> float | None:
    """The cost of a turn of claude. From a version between 2.1.197 and 2.1.332 on it reports the session's: then the
    tokens that belong to the cost are those of the turn and of all before it."""
    cost, tokens = reading.total.get("cost_usd"), reading.total.get("tokens")
    if cost is None:
        return None
    own = reading.usage.get("input_tokens", 0) + reading.usage.get("output_tokens", 0)
    earlier = None if tokens is None else tokens - own
    if not before:
        return cost if not earlier or earlier <= 0 else None
    last = before.get("cost_usd", 0)
    if earlier is None:
        of_session = cost > last
    else:
        of_session = cost >= last * _NEARLY and earlier >= before.get("tokens", 0) * _NEARLY
    return max(0.0, cost - last) if of_session else cost
