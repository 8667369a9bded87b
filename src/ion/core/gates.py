"""Gates: the open questions of a run to people. Among them are the permissions that agents ask for in the middle of
a turn, which a verdict answers."""

from __future__ import annotations

from ion.core import events as e
from ion.records import dataclass

# The gate of a permission.
PERMISSION = "permission"


@dataclass(slots=True)
class Gate:
    """An open question to a person: an approval, the gate of an interactive loop, or a permission that an agent asks
    for. The last three fields are of permissions only (see `events.ApprovalRequested`)."""

    request: str
    message: str
    kind: str
    iteration: int
    signaled: bool
    decisions: tuple[str, ...]
    opened_at: int
    key: str = ""
    kinds: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a permission: one of the decisions that the agent offered, and its kind."""

    decision: str
    kind: str


def gate_of(event: e.ApprovalRequested) -> Gate:
    """The gate that this event opens."""
    return Gate(
        event.request,
        event.message,
        event.kind,
        event.iteration,
        event.signaled,
        event.decisions,
        event.at,
        event.key,
        event.kinds,
        event.held,
    )


def verdict_on(gate: Gate, decision: str) -> Verdict:
    """What this decision on a permission means."""
    kinds = dict(zip(gate.decisions, gate.kinds, strict=False))
    return Verdict(decision, kinds.get(decision, ""))
