"""The marks of states: a symbol, the ASCII for it, and the role that gives it its colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ion.views.text import Part

# state → (symbol, ASCII stand-in, role)
_MARKS = {
    "completed": ("✓", "ok", "good"),
    "failed": ("✗", "FAIL", "bad"),
    "running": ("●", "run", "active"),
    "pending": ("○", "wait", "faint"),
    "waiting": ("⏸", "gate", "attention"),
    "paused": ("⏸", "gate", "attention"),
    "queued": ("○", "wait", "attention"),
    "retry": ("↻", "retry", "attention"),
    "skipped": ("–", "skip", "faint"),
    "cancelled": ("–", "stop", "faint"),
    "interrupted": ("✗", "cut", "attention"),
    "damaged": ("✗", "BAD", "bad"),
    "allowed": ("✗", "FAIL", "attention"),
    "partly": ("✓", "ok", "attention"),
    "unclean": ("✓!", "ok!", "attention"),
}


def mark(state: str, *, unicode: bool) -> Part:
    """The symbol of a state, as wide as every other one, but for that of a run that is not clean."""
    return (role_of(state), symbol(state) if unicode else f"{symbol(state, unicode=False):<5}")


def symbol(state: str, *, unicode: bool = True) -> str:
    """The symbol of a state alone."""
    return _MARKS[state][0 if unicode else 1]


def role_of(state: str) -> str:
    """The colour role of a state."""
    return _MARKS[state][2]
