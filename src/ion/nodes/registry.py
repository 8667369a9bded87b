"""Who carries out which turn. A new kind of turn is one module and one line here.

What keeps a turn from being carried out (a value that cannot be read, a program that is not there, a full disk) is an
outcome of that turn and ends up in the log; an error of the store, or a bug, is neither and passes through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import TypeAlias

from ion import process
from ion.core.events import Failure
from ion.core.outcomes import Failed, Outcome
from ion.errors import MissingRuntimeError, OutputFormatError, UnreadableReferenceError
from ion.masking import mask
from ion.nodes import bash, cancel, gate, prompt, script
from ion.nodes.base import Context, Turn
from ion.nodes.environments import DependencyError

Run: TypeAlias = Callable[[Turn, Context], Awaitable[Outcome]]
_FAILURES = (
    *(UnreadableReferenceError, MissingRuntimeError, DependencyError),
    *(OutputFormatError, process.SpawnError, process.OutputError),
)


def _failing(run: Run) -> Run:
    @wraps(run)
    async def carry_out(turn: Turn, context: Context) -> Outcome:
        try:
            outcome = await run(turn, context)
        except _FAILURES as error:
            outcome = Failed(Failure(error.error_code, error.message, error.hint))
        except OSError as error:
            outcome = Failed(Failure("io", f"a file of this turn cannot be written or read: {error}"))
        return _masked(outcome, context.secrets) if isinstance(outcome, Failed) else outcome

    return carry_out


def _masked(failed: Failed, secrets: tuple[str, ...]) -> Failed:
    """Messages are recorded, and are for people: no secret stands in them."""
    error = failed.error
    return replace(failed, error=replace(error, message=mask(error.message, secrets), hint=mask(error.hint, secrets)))


RUNNERS: dict[str, Run] = {
    "prompt": _failing(prompt.run),
    "rejection": _failing(prompt.run),
    "answer": _failing(prompt.run_answer),
    "bash": _failing(bash.run),
    "until_bash": _failing(bash.run_until),
    "script": _failing(script.run),
    "gate": _failing(gate.run),
    "cancel": _failing(cancel.run),
}
