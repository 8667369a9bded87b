"""How a run is driven, as opposed to what it is."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ion.engine.observe import Observer

# How long a turn is held open for a permission. After that it is ended, and begun again once there is an answer.
HOLD_MS = 600_000


class RunOptions(Struct, frozen=True):
    """How to run, apart from what: who watches, how much at once, and how long a process may take to end (ms).

    `hold_ms` is how long an agent's turn is held open while a person decides on a permission that it asks for.
    `patience_ms` is how long a wait of a node may take while the process stays; if nothing but longer ones is left, the
    run is paused (None: it stays as long as it takes). `strict`: warnings of the workflow's file are errors.
    """

    observers: Iterable[Observer] = ()
    max_concurrency: int | None = None
    grace_ms: int = 5000
    hold_ms: int = HOLD_MS
    patience_ms: int | None = None
    strict: bool = False


DEFAULT_OPTIONS = RunOptions()
