"""Which module carries out which turn. `kinds.TURNS` names one for each kind of turn, loaded when it is needed.

What prevents a turn (a value that cannot be read, a missing program, a full disk) is an outcome of that turn and is
logged. An error of the store, or a bug, is neither and passes through. A turn waits if the system has no descriptors or
processes left.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeAlias

from ion import process
from ion.core.events import Failure
from ion.core.outcomes import Failed, Outcome
from ion.errors import DependencyError, MissingRuntimeError, OutputFormatError, UnreadableReferenceError
from ion.kinds import TURNS
from ion.nodes.base import Context, Turn
from ion.nodes.folder import FolderError, with_settings_of

Runner: TypeAlias = Callable[[Turn, Context], Awaitable[Outcome]]
_FAILURES = (
    *(UnreadableReferenceError, MissingRuntimeError, DependencyError),
    *(OutputFormatError, FolderError, process.SpawnError, process.ScarceError, process.OutputError),
)


def _runner(target: str) -> Runner:
    async def carry_out(turn: Turn, context: Context) -> Outcome:
        try:
            return await _once_there_is_room(_load(target), turn, with_settings_of(turn, context))
        except _FAILURES as error:
            return Failed(Failure(error.error_code, error.message, error.hint))
        except OSError as error:
            return Failed(Failure("io", f"a file of this turn cannot be written or read: {error}"))

    return carry_out


async def _once_there_is_room(run: Runner, turn: Turn, context: Context) -> Outcome:
    """Start the turn again, as often as needed, until the system has room. Only for a turn that started nothing."""
    turnstile, said = process.Turnstile(), False
    while True:
        try:
            return await run(turn, context)
        except process.ScarceError as error:
            if not said:
                context.progress(turn.address, f"waits: {error.reason}")
                said = True
            if not await turnstile.wait(process.how_many_live()):
                raise


@cache
def _load(target: str) -> Runner:
    module, _, name = target.partition(":")
    run: Runner = getattr(importlib.import_module(f"ion.nodes.{module}"), name)
    return run


# kind of turn → what carries it out
RUNNERS: dict[str, Runner] = {name: _runner(turn.runner) for name, turn in TURNS.items()}
