"""Short ways for tests of this room to load a workflow and to say what they expect of its problems."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from ion.errors import Problem
from ion.language.library import Loaded
from ion.language.load import load_workflow, parse_workflow
from ion.language.resources import resources_for
from ion.language.workflow import Node, Workflow

HEAD = "name: demo\ndescription: A demonstration\n"


def load(nodes: str, *, root: str = "", project: Path | None = None) -> Loaded:
    """A workflow with these root fields and these nodes (both dedented), as a file of that project."""
    fields = dedent(root).strip("\n")
    path = None if project is None else project / ".ion/workflows/demo.yaml"
    resources = None if path is None or project is None else resources_for(path, project, project / "no-user-config")
    text = f"{HEAD}{fields}\nnodes:\n" + dedent(nodes).lstrip("\n")
    return parse_workflow(text, file=str(path or ""), resources=resources)


def good(nodes: str, *, root: str = "", project: Path | None = None) -> Workflow:
    """The workflow; it must load without any error."""
    loaded = load(nodes, root=root, project=project)
    assert loaded.workflow is not None, shown(loaded)
    return loaded.workflow


def node(text: str, *, root: str = "") -> Node:
    """The last of the nodes."""
    return good(text, root=root).nodes[-1]


def codes(loaded: Loaded, severity: str = "") -> list[str]:
    """The codes of the problems, in the order of the file."""
    return [problem.code for problem in loaded.problems if severity in ("", problem.severity)]


def only(loaded: Loaded, severity: str = "error") -> Problem:
    """The one problem of that severity."""
    found = [problem for problem in loaded.problems if problem.severity == severity]
    assert len(found) == 1, shown(loaded)
    return found[0]


def marked(text: str, problem: Problem) -> str:
    """The part of the source that the problem underlines."""
    line = text.split("\n")[problem.line - 1]
    return line[problem.column - 1 : problem.column - 1 + problem.length]


def shown(loaded: Loaded) -> str:
    return "\n".join(
        f"{p.line}:{p.column} {p.path} {p.severity}[{p.code}] {p.message} | {p.hint}" for p in loaded.problems
    )


def write(folder: Path, files: dict[str, str]) -> None:
    """Writes files given by their relative paths."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


def block_text(nodes: str, root: str = "", name: str = "block") -> str:
    """The text of a workflow that others include or call, with these nodes and root fields."""
    return f"name: {name}\ndescription: A block\n{root}\nnodes:\n{indent(dedent(nodes).strip(), '  ')}\n"


def block(nodes: str, root: str = "", name: str = "block") -> dict[str, str]:
    """The same as a file of the project, for `write`."""
    return {f".ion/workflows/{name}.yaml": block_text(nodes, root, name)}


def load_file(path: Path, project: Path) -> Loaded:
    """Loads a file as a run does, with no user folder."""
    return load_workflow(path, project=project, user_config=project / "no-user-config")
