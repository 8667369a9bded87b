"""An Agent SOP as data: what a `.sop.md` file says, before it becomes a workflow.

The spec of SOPs has no grammar, so the parts are few and all text is kept: `Sop.outline` is the whole document without
the bodies of the steps, and each step has its body, byte for byte. Together they are the source. Lines count from 1.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ion.errors import Problem
from ion.language.problems import MAX_ERRORS, MAX_WARNINGS, sort_problems


class Parameter(Struct, frozen=True, gc=False):
    """One parameter. `default` counts only if `has_default`; `prose`: the default is a description such as `current
    directory`, not a value. `refers_to` are the parameters whose `{name}` is in the default. `note` is what else its
    parentheses say."""

    name: str
    line: int
    column: int = 1
    required: bool = False
    has_default: bool = False
    default: Any = None
    prose: bool = False
    refers_to: tuple[str, ...] = ()
    description: str = ""
    note: str = ""

    @property
    def type(self) -> str | None:
        """The JSON type that a value must have, as far as the default shows it: `boolean`, `integer`, `number`."""
        if isinstance(self.default, bool):
            return "boolean"
        if isinstance(self.default, int):
            return "integer"
        return "number" if isinstance(self.default, float) else None


class Constraint(Struct, frozen=True, gc=False):
    """A bullet below `**Constraints:**` with everything nested in it. `level` is `must`, `must_not`, `should`,
    `should_not`, `may`, or '' if it has no keyword."""

    level: str
    text: str
    line: int
    column: int = 1


class Substep(Struct, frozen=True, gc=False):
    """A heading one level below its step's, or a part of the step at its own level, with the text up to the next one.
    `number` is as written, or ''."""

    name: str
    line: int
    text: str
    number: str = ""


class Step(Struct, frozen=True, gc=False):
    """One step. `text` is its source, byte for byte, from its heading (or list marker) to the next step; `lead` the
    part of it before the first sub-step. `prose` are the lines of `text` without code, for checks of its words."""

    name: str
    line: int
    text: str
    id: str
    number: str = ""
    lead: str = ""
    constraints: tuple[Constraint, ...] = ()
    substeps: tuple[Substep, ...] = ()
    prose: tuple[str, ...] = ()


class Section(Struct, frozen=True, gc=False):
    """A section outside of Steps, heading included, byte for byte."""

    title: str
    line: int
    text: str


class Sop(Struct, frozen=True, gc=False):
    """A whole SOP. `name` addresses it (the file's, or the front matter's), `title` is for people.

    `overview` and `description` are '' if they are missing; the description is one line. `sections` are those outside
    of Steps, in order. `context` `fresh` gives each step a session of its own, `split` makes a node of each numbered
    sub-step. `source` is the whole text, of which the first `front` lines are front matter.
    """

    name: str
    title: str
    outline: str
    steps: tuple[Step, ...]
    overview: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    sections: tuple[Section, ...] = ()
    context: str = "shared"
    split: bool = False
    source: str = ""
    front: int = 0
    file: str = ""

    @property
    def body(self) -> str:
        """The source without its front matter."""
        return "\n".join(self.source.split("\n")[self.front :]).strip("\n")

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraints of all steps."""
        return tuple(constraint for step in self.steps for constraint in step.constraints)


class SopProblems:
    """Collects the problems of one SOP. Past a limit, more of a kind are only counted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.errors = 0
        self.warnings = 0

    def error(self, code: str, message: str, line: int, column: int = 1, *, length: int = 1, hint: str = "") -> None:
        """Add a problem that makes a run impossible."""
        self.add(Problem(code, message, "error", self.file, line, column, hint=hint, length=length))

    def warning(self, code: str, message: str, line: int, column: int = 1, *, length: int = 1, hint: str = "") -> None:
        """Add a problem that is worth a look."""
        self.add(Problem(code, message, "warning", self.file, line, column, hint=hint, length=length))

    def add(self, problem: Problem) -> None:
        """Add a problem that has its place."""
        if problem.severity == "error":
            self.errors += 1
            limit, count = MAX_ERRORS, self.errors
        else:
            self.warnings += 1
            limit, count = MAX_WARNINGS, self.warnings
        if count <= limit:
            self.problems.append(problem)
        elif count == limit + 1:
            message = f"there are more than {limit} {problem.severity}s; the rest is not shown"
            self.problems.append(Problem("too-many-problems", message, problem.severity, self.file, 1, 1))

    def result(self) -> tuple[Problem, ...]:
        """All problems in the order of the file, each once."""
        return tuple(sort_problems(dict.fromkeys(self.problems)))
