"""A workflow file and those that it names, each read once, however often it is included or called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.errors import Problem
from ion.language.resources import Resources
from ion.language.source import decode
from ion.language.workflow import Workflow

if TYPE_CHECKING:
    from ion.language.include import Block


class Loaded(Struct, frozen=True, gc=False):
    """A workflow, or None if any problem is an error. `name` is the name in the file, if it has one."""

    workflow: Workflow | None
    problems: tuple[Problem, ...] = ()
    name: str = ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "workflow": self.workflow.to_json() if self.workflow else None,
            "problems": [problem._asdict() for problem in self.problems],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Loaded:
        workflow = Workflow.from_json(data["workflow"]) if data["workflow"] is not None else None
        return cls(workflow, tuple(Problem(**problem) for problem in data["problems"]), data["name"])


class Opened(Struct):
    """A workflow file that was read, and what it becomes where another file includes it. `block` is None if it has
    errors; `includes` and `calls` are how deep its includes and its calls of workflows go."""

    loaded: Loaded
    block: Block | None = None
    includes: int = 0
    calls: int = 0


class Library:
    """What one file names. `read` makes a workflow of a text; `within` are the files around this one, the outermost
    first; `includes` and `calls` count as those of `Opened`. Without `resources` no file is looked for."""

    def __init__(
        self,
        read: Callable[[str, str, Library], Opened],
        resources: Resources | None,
        within: tuple[str, ...] = (),
        opened: dict[Path, Opened] | None = None,
    ) -> None:
        self.resources = resources
        self.includes = self.calls = 0
        self._read = read
        self._within = within
        self._opened: dict[Path, Opened] = {} if opened is None else opened

    def read(self, text: str, file: str) -> Opened:
        """The text of this file, which is from then on around those that it names."""
        self._within = (*self._within, file)
        return self._read(text, file, self)

    def circle(self, path: Path) -> tuple[str, ...]:
        """The files from this one to the one that names it, if it is around itself."""
        return self._within[self._within.index(str(path)) :] if str(path) in self._within else ()

    def open(self, path: Path, data: bytes, resources: Resources) -> Opened:
        """The file at `path`, which is not around itself; `resources` are those of the file that names it."""
        if path not in self._opened:
            text, problem = decode(data, str(path))
            inner = Library(self._read, resources.of(path), self._within, self._opened)
            self._opened[path] = Opened(Loaded(None, (problem,))) if problem else inner.read(text, str(path))
        return self._opened[path]
