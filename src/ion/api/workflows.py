"""Workflow files: finding, loading, checking."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from ion.api.workspace import Workspace
from ion.errors import InvalidWorkflowError, IonError, NotFoundError, Problem
from ion.language import discovery
from ion.language.discovery import Discovered, is_path
from ion.language.load import all_problems, load_workflow, parse_workflow
from ion.language.templates import templates_of
from ion.language.workflow import Workflow


class Validation(Struct, frozen=True):
    """All problems, in the order of the files, and how many files were checked."""

    problems: list[Problem]
    files: int


class OpenedWorkflow(Struct, frozen=True):
    """A workflow to run or show. `warned` says that its file has warnings, '' if it has none; `missing` are command
    and script files that do not exist."""

    workflow: Workflow
    warned: str = ""
    missing: tuple[Problem, ...] = ()


def load(workspace: Workspace, workflow: str | Path) -> Workflow:
    """The workflow of this name or path (relative to the working directory).

    Raises `NotFoundError`, and `InvalidWorkflowError` with all its problems.
    """
    found = find(workspace, workflow).loaded.workflow
    if found is None:
        raise InvalidWorkflowError(f"'{workflow}' does not load")
    return found


def find(workspace: Workspace, workflow: str | Path) -> Discovered:
    """The file of the workflow of this name or path. Raises as `load` does."""
    return discovery.find_workflow(_named(workflow), project=workspace.project, user_config=workspace.user_config)


def _named(workflow: str | Path) -> str:
    """What a workflow is looked for by: a path looks like one."""
    name = str(workflow)
    return f"./{name}" if isinstance(workflow, Path) and not is_path(name) else name


def open_workflow(
    workspace: Workspace, workflow: Workflow | str | Path, *, strict: bool = False, without_files: bool = False
) -> OpenedWorkflow:
    """The workflow of this name or path, with notes on its file.

    `strict`: warnings are errors. `without_files`: missing command and script files are not problems, for callers that
    read none of them. Raises as `load` does.
    """
    if isinstance(workflow, Workflow):
        return OpenedWorkflow(workflow)
    missing: tuple[Problem, ...] = ()
    try:
        loaded = find(workspace, workflow).loaded
        found, problems = loaded.workflow, loaded.problems
    except InvalidWorkflowError as error:
        problems, missing = error.problems, tuple(one for one in error.problems if one.code == "missing-file")
        if not without_files or not missing:
            raise
        found = _without_files(workspace, Path(error.file))
        if found is None:
            raise
    warned = _warned(str(workflow), problems)
    if found is None or (strict and warned):
        message = f"'{workflow}' has warnings, and they are errors here (--strict)"
        raise InvalidWorkflowError(message, problems, hint="follow the hints above, or leave out --strict")
    return OpenedWorkflow(found, warned, missing)


def _without_files(workspace: Workspace, file: Path) -> Workflow | None:
    """A workflow whose command and script files are not looked for; None if something else is wrong with it."""
    return load_workflow(file, project=workspace.project, user_config=workspace.user_config, files=False).workflow


def _is_error(problem: Problem) -> bool:
    return problem.severity == "error"


def _warned(name: str, problems: Sequence[Problem]) -> str:
    count = sum(problem.severity == "warning" for problem in problems)
    return f"{count} warning{'s' if count > 1 else ''}: ion validate {shlex.quote(name)}" if count else ""


def parse(text: str, *, file: str = "") -> Workflow:
    """A workflow from YAML text. Raises `InvalidWorkflowError` with all its problems."""
    loaded = parse_workflow(text, file=file)
    if loaded.workflow is None or loaded.errors:
        raise InvalidWorkflowError(f"{file or 'the workflow'} does not load", loaded.problems)
    return loaded.workflow


def discover(workspace: Workspace, sop_paths: Sequence[Path] = ()) -> list[Discovered]:
    """Every workflow file that can be found, shadowed and broken ones included.

    `sop_paths` are folders whose SOPs come before all others.
    """
    return discovery.discover(workspace.project, workspace.user_config, sop_paths=sop_paths)


def listed(one: Discovered) -> dict[str, Any]:
    """A workflow file in the shape of `ion list --json` (cli.md)."""
    workflow = one.loaded.workflow
    inputs = {item.name: _input(item) for item in workflow.inputs} if workflow else {}
    return {
        "name": one.name,
        "file": str(one.path),
        "description": workflow.description if workflow else "",
        "inputs": inputs,
        "kind": "sop" if one.is_sop else "workflow",
        "shadowed_by": str(one.shadowed_by) if one.shadowed_by else None,
        "problems": [problem.to_json() for problem in one.problems],
    }


def _input(item: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"required": item.required, "description": item.description, "type": item.type}
    if item.has_default:
        values["default"] = item.default
    if item.enum is not None:
        values["enum"] = list(item.enum)
    return values


def find_in_sop_paths(workspace: Workspace, name: str, sop_paths: Sequence[Path]) -> str:
    """The path of the SOP that this name means in one of these folders, or the name itself."""
    if is_path(name):
        return name
    for found in discover(workspace, sop_paths):
        if found.name == name and found.scope == "sop-path" and found.shadowed_by is None:
            return str(found.path)
    return name


def validate(workspace: Workspace, targets: Sequence[str | Path] = ()) -> Validation:
    """Check files, folders and names; without any, every workflow that can be found.

    Raises `NotFoundError` for an unknown target.
    """
    loaded = [found for target in targets for found in _targets(workspace, target)]
    if not targets:
        loaded = discover(workspace)
    problems = all_problems([found.loaded for found in loaded])
    return Validation(problems + [one for found in loaded for one in _not_passed_on(workspace, found)], len(loaded))


def _not_passed_on(workspace: Workspace, found: Discovered) -> list[Problem]:
    """The options for which the agents of its nodes, as far as they are known here, have no place."""
    workflow = found.loaded.workflow
    nodes = [one.node for one in templates_of(workflow) if one.node.options] if workflow is not None else []
    if not nodes:
        return []
    from ion.api.agents import Agents, left_out

    try:
        said = left_out(Agents(None, workspace.settings.agent, workspace.settings), nodes)
    except IonError:  # an agent that is not known: said when a run is to begin
        return []
    return [Problem("no-effect-here", line, "warning", file=str(found.path)) for line in said]


def _targets(workspace: Workspace, target: str | Path) -> list[Discovered]:
    path = Path(target)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if discovery.is_workflow_file(file) and file.is_file())
        return [found for file in files for found in _one(workspace, file)]
    return _one(workspace, target)


def _one(workspace: Workspace, target: str | Path) -> list[Discovered]:
    name = _named(target)
    try:
        return [find(workspace, target)]
    except InvalidWorkflowError:
        if is_path(name):
            from ion.language.load import load_workflow

            loaded = load_workflow(Path(name), project=workspace.project, user_config=workspace.user_config)
            return [Discovered(loaded.name or Path(name).stem, Path(name), "path", loaded)]
        broken = [found for found in discover(workspace) if found.name == name]
        if not broken:
            raise NotFoundError(f"unknown workflow '{name}'") from None
        return broken


def workflow_json_schema() -> dict[str, Any]:
    """The JSON Schema of workflow files, for editors."""
    from ion.language import schema

    return schema.workflow_json_schema()
