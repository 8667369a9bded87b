"""The environment of every process of a run: bash, scripts, and agents that are programs.

From weak to strong: Ion's own environment, the workflow's `env`, the node's `env`, inputs and `with:`, the engine's
names. A value that an environment cannot carry (over 128 KiB, or with a NUL) is passed as a file; the largest values
become files first when the whole would exceed 1 MiB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from ion.language.references import engine_names
from ion.nodes import program
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values

# Linux: MAX_ARG_STRLEN, for `NAME=value` and the NUL behind it.
VALUE_LIMIT_BYTES = 131_072
TOTAL_LIMIT_BYTES = 1024 * 1024
# What is not worth a file, however full the environment is.
_SMALL_BYTES = 1024
_BASE_BRANCH = re.compile(r"\bBASE_BRANCH\b")


class Environment(Struct, frozen=True, gc=False):
    """`variables` are complete. `files` maps the names that became `NAME_FILE` to their files."""

    variables: dict[str, str]
    files: dict[str, Path] = field(default_factory=dict)


def environment(
    turn: Turn,
    context: Context,
    values: Values,
    *,
    text: str = "",
    code: str = "",
    without: Callable[[str], bool] | None = None,
) -> Environment:
    """The environment of this turn's process. `text` is the prompt or shell text that it is for, `code` the code of a
    script: `BASE_BRANCH` is looked up only if they name it. `without` lists names to leave out.

    Raises `UnreadableReferenceError` if an `env` value cannot be filled in, or `text` needs a `$BASE_BRANCH` that is
    not found.
    """
    ours = {name: values.render(value) for name, value in (turn.template.workflow.env | turn.node.env).items()}
    ours |= values.variables()
    if "BASE_BRANCH" in engine_names(text):
        ours["BASE_BRANCH"] = values.render("$BASE_BRANCH")
    elif _BASE_BRANCH.search(code) and (branch := context.base_branch()) is not None:
        ours["BASE_BRANCH"] = branch
    variables = _inherited(context, ours) | ours
    files: dict[str, Path] = {}
    if not _is_small(variables):
        files = _files(variables, ours, context.folders.scratch / f"{turn.log_name}.env")
        variables = {name: value for name, value in variables.items() if name not in files}
        variables |= {f"{name}_FILE": str(path) for name, path in files.items()}
    if without is not None:
        variables = {name: value for name, value in variables.items() if not without(name)}
    return Environment(variables, files)


def _inherited(context: Context, ours: dict[str, str]) -> dict[str, str]:
    """Ion's own environment, without a NAME_FILE of a run around this one, which would hide a value of this run."""
    variables = dict(context.environ)
    for name in ours:
        variables.pop(f"{name}_FILE", None)
    return variables


def _is_small(variables: dict[str, str]) -> bool:
    """Whether an environment can certainly carry all this, judged by the lengths."""
    longest = max(map(len, variables.keys()), default=0) + max(map(len, variables.values()), default=0) + 2
    return (
        _bound(variables) <= TOTAL_LIMIT_BYTES
        and 4 * longest <= VALUE_LIMIT_BYTES
        and "\0" not in "".join(variables.values())
    )


def _bound(variables: dict[str, str]) -> int:
    """An upper bound of their bytes: no character takes more than four."""
    return 4 * (sum(map(len, variables.keys())) + sum(map(len, variables.values())) + 2 * len(variables))


def _files(variables: dict[str, str], ours: dict[str, str], folder: Path) -> dict[str, Path]:
    """Write the values that the environment cannot carry. The names come from identifiers, so they are file names."""
    total = sum(_size(name, value) for name, value in variables.items())
    files: dict[str, Path] = {}
    for name, value in sorted(ours.items(), key=lambda item: _size(*item), reverse=True):
        size = _size(name, value)
        if size > VALUE_LIMIT_BYTES or "\0" in value or (total > TOTAL_LIMIT_BYTES and size > _SMALL_BYTES):
            total -= size
            files[name] = folder / name
    for name, path in files.items():
        with program.create(path) as stream:
            stream.write(os.fsencode(ours[name]))
    return files


def _size(name: str, value: str) -> int:
    return len(os.fsencode(name)) + len(os.fsencode(value)) + 2
