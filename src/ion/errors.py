"""Every error Ion raises, as data, and the exit status each one means.

An error has a stable `code`, a `message` for a person, a `hint` (what to type or change next) and, if it concerns a
file, `problems` with their places. Nothing here prints; the faces render. This module imports nothing of Ion.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

COMPLETED = 0
FAILED = 1
USAGE = 2
WAITING = 3
CANCELLED = 4
REFUSED = 5
INTERRUPTED = 130

_PROBLEMS_SHOWN = 5
# The codes of a UsageError: several gates are open, or one inside of the node that was named; it is to be named itself.
SEVERAL_GATES, GATE_INSIDE = "several-gates", "gate-inside"
# The one table from a run's state to an exit status (cli.md, "Exit status").
RUN_STATUS_EXIT: dict[str, int] = {
    "completed": COMPLETED,
    "failed": FAILED,
    "paused": WAITING,
    "queued": WAITING,
    "cancelled": CANCELLED,
    "running": INTERRUPTED,
    "pending": INTERRUPTED,
    "interrupted": INTERRUPTED,
    "damaged": FAILED,
}


class Problem(NamedTuple):
    """One thing that is wrong in a file.

    `line` and `column` count from 1 (0: unknown). `path` is the place in the document, as in
    `nodes[2].loop.max_iterations`. `severity` is `error`, `warning` or `hint`. `length` is how many characters the
    caret line underlines. `way` says how the file came in, if another one was asked for: a line for each that includes
    or calls it.
    """

    code: str
    message: str
    severity: str = "error"
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    hint: str = ""
    length: int = 1
    way: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return (f"{place}: " if place else "") + self.message + (f" ({self.hint})" if self.hint else "")

    def to_json(self) -> dict[str, Any]:
        """The shape that `ion validate --json` prints."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            **({"way": self.way.split("\n")} if self.way else {}),
        }


class IonError(Exception):
    """The base of every error that Ion raises on purpose. Any other exception that escapes is a bug."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = FAILED

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.error_code = code or self.code

    def to_json(self) -> dict[str, Any]:
        return {"code": self.error_code, "message": self.message, "hint": self.hint}


class UsageError(IonError):
    """The caller asked for something invalid: a wrong option, an input that is missing or unknown."""

    code = "usage"
    exit_status = USAGE


class NotFoundError(IonError):
    """A workflow, run, node, store or file that does not exist."""

    code = "not-found"
    exit_status = USAGE


class InvalidWorkflowError(IonError):
    """A workflow file that does not load. `problems` holds all of them, warnings included; `file` is its path, if it
    has one."""

    code = "invalid-workflow"
    exit_status = USAGE

    def __init__(self, message: str, problems: tuple[Problem, ...] = (), *, hint: str = "", file: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems
        self.file = file

    def __str__(self) -> str:
        """The message and the first problems, each with its place: all that a traceback shows."""
        errors = [problem for problem in self.problems if problem.severity == "error"] or list(self.problems)
        shown = [str(problem) for problem in errors[:_PROBLEMS_SHOWN]]
        if len(errors) > len(shown):
            shown.append(f"and {len(errors) - len(shown)} more")
        return "\n  ".join((self.message, *shown))

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "problems": [problem.to_json() for problem in self.problems]}


class MissingRuntimeError(IonError):
    """A program that the workflow needs is not installed. The run has not started."""

    code = "missing-runtime"
    exit_status = USAGE


class MissingAgentError(MissingRuntimeError):
    """All that is missing are these agents, each a package that Ion downloads if somebody says so."""

    agents: tuple[str, ...] = ()


class RefusedError(IonError):
    """The request cannot be met now: the run is owned by a live process, answered already, ended, or changed."""

    code = "refused"
    exit_status = REFUSED


class OwnershipLostError(RefusedError):
    """This process no longer owns the run; its last write was refused."""

    code = "ownership-lost"


class StaleStateError(IonError):
    """Another event was appended since the caller last read the log; read it, plan again, append again."""

    code = "stale-state"


class OutputFormatError(IonError):
    """An answer that does not fit the node's `output_format`. Nothing was recorded."""

    code = "output-format"
    exit_status = USAGE


class ConditionError(IonError):
    """A condition met a value that it cannot evaluate (a missing field, a text where a number is needed)."""

    code = "condition"


class UnreadableReferenceError(IonError):
    """A text refers to a value that cannot be read (a missing field, the output of a failed node, an unknown input)."""

    code = "reference"


class DependencyError(IonError):
    """Dependencies of a script that could not be installed; the message names them."""

    code = "dependencies"


class StoreError(IonError):
    """The store cannot be opened, read or written. What was written before stays."""

    code = "store"


class StoreUnavailableError(StoreError):
    """The store cannot be reached just now (a database that restarts, a lock held too long). Nothing was written;
    the same call may succeed later."""

    code = "store-unavailable"


class DamagedStoreError(StoreError):
    """What the store holds is not what Ion wrote. `file` and `offset` (in bytes) are the place, if it is known."""

    code = "damaged-store"

    def __init__(self, message: str, *, hint: str = "", file: str = "", offset: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.offset = offset


class InternalError(IonError):
    """Something impossible happened: a bug in Ion, reported by name instead of hanging."""

    code = "bug"
