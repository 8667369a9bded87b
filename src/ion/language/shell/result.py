"""The result of placing the references of shell text, for code that only reads it."""

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
    """Shell text with its references placed. It cannot be run if one of its problems is an error."""

    shell: Shell
    problems: tuple[ShellProblem, ...] = ()
