"""Finding workflows: by name in the folders of language.md §1, or by path.

The first folder that has a name wins and shadows the later ones. Two files with one name in one folder are an error of
that name only. Files are read and checked, never run, and one that does not load is listed with its problems. To find
one workflow, only files that can have its name are parsed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ion.errors import InvalidWorkflowError, NotFoundError, Problem
from ion.language.library import Loaded
from ion.language.load import LoadContext, load_from, load_workflow
from ion.language.named import SOP_SUFFIX, is_workflow_file, may_be_named, stem
from ion.language.problems import did_you_mean, sort_problems
from ion.language.resources import find_project, user_config_folder, walk_files, workflow_folders
from ion.language.source import read_file

__all__ = [
    "Discovered",
    "discover",
    "find_project",
    "find_workflow",
    "is_path",
    "is_workflow_file",
    "user_config_folder",
]


class Discovered(Struct, frozen=True, gc=False):
    """A workflow file that was found. `scope` is `sop-path`, `project`, `archon`, `user`, or `path` for one that was
    named by its path; `shadowed_by` is the file whose workflow of the same name is used instead."""

    name: str
    path: Path
    scope: str
    loaded: Loaded
    shadowed_by: Path | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.loaded.problems

    @property
    def errors(self) -> tuple[Problem, ...]:
        return self.loaded.errors

    @property
    def passed_over(self) -> bool:
        """Whether it is a link that leads out of the project, or nowhere: it was not read, and its name is the
        link's."""
        return any(problem.code == "link-passed-over" for problem in self.loaded.problems)

    @property
    def is_sop(self) -> bool:
        return self.path.name.endswith(SOP_SUFFIX)


def is_path(name: str) -> bool:
    """Whether a workflow is addressed by its path, not by its name."""
    return "/" in name or name.endswith((".yaml", ".yml", ".md"))


def discover(project: Path, user_config: Path | None = None, *, sop_paths: Sequence[Path] = ()) -> list[Discovered]:
    """All workflow files of a project and of the user, those of the project first, by name.

    `sop_paths` are folders whose SOPs, those directly in them, come before all others.
    """
    return _discover(project, user_config, "", sop_paths)


def find_workflow(
    name: str,
    *,
    project: Path | None = None,
    user_config: Path | None = None,
    cwd: Path | None = None,
    sop_paths: Sequence[Path] = (),
) -> Discovered:
    """The workflow that `name` addresses. A path is relative to `cwd`; `sop_paths` as in `discover`.

    Raises `NotFoundError`, with a suggestion or the places searched, and `InvalidWorkflowError` with the problems of a
    file that does not load.
    """
    cwd = (cwd or Path.cwd()).absolute()
    if is_path(name):
        return _valid(_named_by_path(cwd / name, project, user_config))
    project = project or find_project(cwd)
    for found in _discover(project, user_config, name, sop_paths):
        if found.name == name and found.shadowed_by is None and not found.passed_over:
            return _valid(found)
    others = _discover(project, user_config, "", sop_paths)
    near = did_you_mean(name, [found.name for found in others if found.name and not found.passed_over])
    folders = [folder.path for _, folder in workflow_folders(project, user_config or user_config_folder())]
    places = ", ".join(map(str, [*sop_paths, *folders]))
    hint = f"did you mean '{near}'?\n" if near else ""
    for suffix in (".yaml", SOP_SUFFIX):
        if (cwd / f"{name}{suffix}").is_file():
            hint += f"to run the file, write ./{name}{suffix}\n"
    links = [f"\n{found.problems[0].message}" for found in others if found.passed_over]
    raise NotFoundError(f"unknown workflow '{name}'", hint=f"{hint}looked in {places}{''.join(links[:5])}")


def _valid(found: Discovered) -> Discovered:
    if found.errors:
        count = f"{len(found.errors)} errors" if len(found.errors) > 1 else "1 error"
        raise InvalidWorkflowError(f"'{found.name}' does not load: {count}", found.problems, file=str(found.path))
    return found


def _named_by_path(path: Path, project: Path | None, user_config: Path | None) -> Discovered:
    if path.is_dir():
        raise NotFoundError(f"{path} is a folder", hint="name a workflow file in it")
    if not path.is_file():
        siblings = [other.name for other in path.parent.glob("*") if is_workflow_file(other)]
        near = did_you_mean(path.name, siblings)
        hint = f"did you mean '{path.parent / near}'?" if near else "ion list shows the workflows of this project"
        raise NotFoundError(f"the file {path} does not exist", hint=hint)
    loaded = load_workflow(path, project=project, user_config=user_config)
    return Discovered(loaded.name or stem(path), path, "path", loaded)


def _files(
    project: Path, user_config: Path | None, sop_paths: Sequence[Path]
) -> Iterator[tuple[str, Iterable[Path], list[Path]]]:
    """The files of each folder that is searched, in order of precedence, and the links that are skipped, once all files
    have been visited."""
    for path in sop_paths:
        yield "sop-path", sorted(file for file in path.absolute().glob(f"*{SOP_SUFFIX}") if file.is_file()), []
    for scope, folder in workflow_folders(project, user_config or user_config_folder()):
        links: list[Path] = []
        yield scope, walk_files(folder, links), links


def _passed_over(link: Path, scope: str, project: Path) -> Discovered:
    shown = os.path.relpath(link, project)
    message = f"{shown} is a link that leads out of the project: it is skipped"
    hint = f"copy it into the project, or link it from {user_config_folder() / 'ion' / 'workflows'}"
    if not link.exists():
        message, hint = f"{shown} is a link that leads nowhere: it is skipped", "remove it, or correct where it leads"
    problem = Problem("link-passed-over", message, "warning", file=str(link), hint=hint)
    return Discovered(stem(link), link, scope, Loaded(None, (problem,)))


def _discover(project: Path, user_config: Path | None, wanted: str, sop_paths: Sequence[Path]) -> list[Discovered]:
    """The files of all scopes; with `wanted`, only those that can have that name."""
    project = project.absolute()
    place = LoadContext.of(project, user_config)
    result: list[Discovered] = []
    taken: dict[str, Path] = {}
    for scope, paths, links in _files(project, user_config, sop_paths):
        found = []
        for path in paths:
            if not is_workflow_file(path) or (wanted and not _may_be_named(path, wanted)):
                continue
            try:
                loaded = load_from(Path(os.path.normpath(path)), place)
            except NotFoundError:  # it was there a moment ago
                continue
            if not any(problem.code == "not-a-workflow" for problem in loaded.problems):
                found.append(Discovered(loaded.name or stem(path), path, scope, loaded))
        found = _mark_duplicates(found)
        result += [replace(one, shadowed_by=taken.get(one.name)) for one in found]
        for one in found:
            taken.setdefault(one.name, one.path)
        result += [_passed_over(link, scope, project) for link in links if is_workflow_file(link) or link.is_dir()]
    return sorted(result, key=lambda one: (one.name, one.shadowed_by is not None))


def _may_be_named(path: Path, wanted: str) -> bool:
    """Whether a file can hold the workflow `wanted`; one that cannot be read may."""
    data, problem = read_file(path)
    return problem is not None or may_be_named(data, path, wanted)


def _mark_duplicates(found: list[Discovered]) -> list[Discovered]:
    """Two files of one folder with one name: that name is an error naming both, with the place of each `name`."""
    paths: dict[str, list[Path]] = {}
    for one in found:
        paths.setdefault(one.name, []).append(one.path)
    return [_with_duplicates(one, paths[one.name]) if len(paths[one.name]) > 1 else one for one in found]


def _with_duplicates(one: Discovered, paths: list[Path]) -> Discovered:
    others = ", ".join(str(path) for path in paths if path != one.path)
    line = _line_of_name(one.path)
    problem = Problem(
        "duplicate-name",
        f"'{one.name}' is also the name of {others}",
        file=str(one.path),
        line=line,
        column=1,
        path="name",
        hint="rename one of the two",
    )
    loaded = Loaded(None, tuple(sort_problems([*one.loaded.problems, problem])), one.loaded.name)
    return replace(one, loaded=loaded)


def _line_of_name(path: Path) -> int:
    data, _ = read_file(path)
    found = re.search(rb"""^['"]?name['"]?\s*:""", data, re.MULTILINE)
    return data.count(b"\n", 0, found.start()) + 1 if found else 1
