"""Events, outcomes and agent limits as JSON, as they pass between a Temporal workflow and its workers."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, NotRequired, TypedDict, cast

from msgspec import ValidationError, convert

from ion.core.commands import AgentLimits
from ion.core.outcomes import Outcome
from ion.errors import IonError

# A payload may hold 2 MB (durable.md); what is longer than this is kept beside the log and named by its hash.
INLINE_LIMIT_BYTES = 64 * 1024


class ShapeError(IonError):
    """What came through the cluster is not what Ion sends."""

    code = "shape"


class LeaseData(TypedDict):
    """Which run is driven, under which epoch, by the cluster at which URL."""

    run_id: str
    epoch: int
    engine: str


class DriveOrder(TypedDict):
    """What a workflow of the cluster is started with. `lanes` are the agent limits, `longest_history` is a number of
    events, `patience_ms` as in `core.plan.Plan`; `resume` and `agent` (who answers from here on) are those of a run
    that is continued."""

    lease: LeaseData
    slots: int
    lanes: dict[str, Any]
    heartbeat_ms: int
    longest_history: int
    patience_ms: NotRequired[int | None]
    resume: NotRequired[bool]
    agent: NotRequired[str | None]


def check_lease(data: Any) -> None:
    """Raise `ShapeError` unless this is a `LeaseData`."""
    _check("lease", data, {"run_id": str, "epoch": int, "engine": str})


def checked_order(data: Any) -> DriveOrder:
    """The order itself. Raises `ShapeError` if it is not one."""
    _check("order", data, {"lease": dict, "slots": int, "lanes": dict, "heartbeat_ms": int, "longest_history": int})
    check_lease(data["lease"])
    _check_agent_limits(data["lanes"])
    if min(data["slots"], data["heartbeat_ms"], data["longest_history"]) < 1:
        raise ShapeError("a number of the order is below 1")
    if not isinstance(data.get("resume", False), bool) or not isinstance(data.get("agent"), str | None):
        raise ShapeError("the order has an invalid cause of continuing")
    patience_ms = data.get("patience_ms")
    if patience_ms is not None and not (_is_number(patience_ms) and patience_ms >= 0):
        raise ShapeError("the order has an invalid patience")
    return cast("DriveOrder", data)


def _check_agent_limits(data: Any) -> None:
    _check("lanes", data, {"agents": dict, "limits": dict})
    names = [*data["agents"], *data["agents"].values(), *data["limits"]]
    if not all(isinstance(name, str) for name in names) or not all(map(_is_number, data["limits"].values())):
        raise ShapeError("the agent limits are malformed")


def _check(what: str, data: Any, fields: dict[str, type]) -> None:
    if not isinstance(data, dict):
        raise ShapeError(f"the {what} is not an object")
    for name, kind in fields.items():
        fits = _is_number(data.get(name)) if kind is int else isinstance(data.get(name), kind)
        if not fits:
            raise ShapeError(f"the {what} has no valid {name}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def outcome_from_json(data: Any) -> Outcome:
    """What a worker returned for a turn. Raises `ShapeError` for anything else."""
    try:
        outcome: Outcome = convert(data, Outcome)
    except ValidationError as error:
        raise ShapeError(f"the outcome of a turn cannot be read: {error}") from error
    return outcome


def pack(value: Any) -> str:
    """JSON, compressed: what is passed stays in the workflow's history."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode("ascii")


def unpack(packed: str) -> Any:
    """The inverse."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def agent_limits_to_json(agent_limits: AgentLimits) -> dict[str, Any]:
    return {"agents": dict(agent_limits.agents), "limits": dict(agent_limits.limits)}


def agent_limits_from_json(data: dict[str, Any]) -> AgentLimits:
    return AgentLimits(dict(data["agents"]), dict(data["limits"]))
