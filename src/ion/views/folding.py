"""What is inside of a node, for whoever reads it at once: counted, and a part of it listed in short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ion.masking import head

if TYPE_CHECKING:
    from ion.api.result import RunResult

# Of an item or an output among many, in characters.
LONGEST_IN_SHORT = 300


def folded_entry(result: RunResult, address: str, most: int) -> dict[str, Any]:
    """An instance, whole; of what is inside of it a part."""
    return folded(result, address, result.described.of(result.state.nodes[address], most), most)


def folded(result: RunResult, address: str, entry: dict[str, Any], most: int) -> dict[str, Any]:
    """An entry with at most so many of what is inside of it, in short: what failed, waits or runs, at any depth; else
    the first."""
    if "instances" not in entry:
        return entry
    urgent = [one for one, left in result.described.tally.unfolded(address, most) if not left]
    listed = urgent or [one["address"] for one in entry["instances"][:most]]
    inside = sum(result.state.nodes[one].owner == address for one in listed)
    instances = [_in_short(result.described.of(result.state.nodes[one], 0)) for one in listed]
    whole = {name: value for name, value in entry.items() if name != "instances_left"}
    left = {"instances_left": entry["counts"]["total"] - inside} if entry["counts"]["total"] > inside else {}
    return {**whole, "instances": instances, **left}


def _in_short(entry: dict[str, Any]) -> dict[str, Any]:
    short = {name: entry[name] for name in ("address", "item", "status", "output", "error", "allowed", "caught_by")}
    item = json.dumps(entry["item"], ensure_ascii=False)
    if len(item) > LONGEST_IN_SHORT:
        short["item"] = head(item, LONGEST_IN_SHORT)
    if entry["output"] is not None:
        short["output"] = head(entry["output"], LONGEST_IN_SHORT)
    return short | ({"counts": entry["counts"]} if "counts" in entry else {})
