"""The command and script files that the nodes of a file name."""

from __future__ import annotations

import re
from pathlib import Path

from ion.language.document import DocumentPath
from ion.language.resources import SCRIPT_SUFFIXES, Resources
from ion.language.shape import Draft
from ion.language.source import trim
from ion.language.surroundings import Checker
from ion.language.texts import is_code


def find_files(checker: Checker, draft: Draft, resources: Resources) -> None:
    command = draft.raw.get("command") if draft.kind == "command" else None
    path: DocumentPath = (*draft.path, "command")
    if draft.kind == "loop" and isinstance(draft.raw["loop"], dict):
        command, path = draft.raw["loop"].get("command"), (*draft.path, "loop", "command")
    if isinstance(command, str) and _is_name(command):
        _find_command(checker, command, path, resources)
    script, runtime = draft.raw.get("script"), draft.raw.get("runtime")
    if draft.kind != "script" or not isinstance(script, str) or runtime not in SCRIPT_SUFFIXES:
        return
    if not is_code(trim(script)) and _is_name(trim(script)):
        _find_script(checker, trim(script), runtime, (*draft.path, "script"), resources)


def _is_name(name: str) -> bool:
    return bool(name) and not re.search(r"[/\\\0]|\.\.|^\.", name)


def _find_command(checker: Checker, name: str, path: DocumentPath, resources: Resources) -> None:
    if name in checker.findings.commands:
        return
    found = resources.command(name)
    if found is None:
        hint = "\n".join([*_shipped_elsewhere(name), *_looked_in(resources, "command", name)])
        checker.report.error("missing-file", f"unknown command file '{name}.md'", path, hint=hint)
        return
    checker.findings.commands[name] = found
    for problem in found.problems:
        checker.report.add(problem)


def _shipped_elsewhere(name: str) -> list[str]:
    """The origin of a command that workflows of Archon use without having it in their project."""
    if not name.startswith("archon-"):
        return []
    folder = ".archon/commands/defaults"
    return [f"it ships with Archon: copy {folder} of Archon's repository to {folder} of your project"]


def _looked_in(resources: Resources, kind: str, name: str) -> list[str]:
    links = [
        f"{path} leads {'out of the project' if Path(path).exists() else 'nowhere'}: it is skipped"
        for path in resources.passed_over(kind, name)
    ]
    return [*links, "looked in", *resources.places(kind)]


def _find_script(checker: Checker, name: str, runtime: str, path: DocumentPath, resources: Resources) -> None:
    found = resources.script(name, runtime)
    if found is None:
        others = [other for other in SCRIPT_SUFFIXES if SCRIPT_SUFFIXES[other] != SCRIPT_SUFFIXES[runtime]]
        there = next((script for other in others if (script := resources.script(name, other))), None)
        wanted = " or ".join(f"'{name}{suffix}'" for suffix in SCRIPT_SUFFIXES[runtime])
        hint = "\n".join(_looked_in(resources, "script", name))
        if there is not None:
            hint = f"{there.path} is there, but {runtime} does not run it: change 'runtime'"
        checker.report.error("missing-file", f"unknown script {wanted}", path, hint=hint)
        return
    if name in checker.findings.scripts and checker.findings.scripts[name].path != found.path:
        message = f"'{name}' names two scripts: {checker.findings.scripts[name].entry} and {found.entry}"
        checker.report.error("bad-name", message, path, hint="rename one of them")
        return
    if name not in checker.findings.scripts:
        checker.findings.scripts[name] = found
        for problem in found.problems:
            checker.report.add(problem)
