"""What placing the references of shell text gives, for those that only look at it."""

from __future__ import annotations

from ion.language.workflow import Shell
from ion.records import dataclass


@dataclass(frozen=True, slots=True)
class ShellProblem:
    """A problem of shell text; `offset` counts characters from its start. `severity` is `error` or `warning`."""

    code: str
    message: str
    hint: str
    offset: int
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class ShellResult:
    """Shell text with its references placed. With a problem that is an error it cannot be run."""

    shell: Shell
    problems: tuple[ShellProblem, ...] = ()
