"""Collecting the problems of an SOP: places are line and column, both from 1."""

from __future__ import annotations

from ion.errors import Problem
from ion.language.problems import MAX_ERRORS, MAX_WARNINGS, sort_problems


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
