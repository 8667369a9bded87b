"""The environment of every process of a run: bash, scripts, and agents that are programs.

From weak to strong: Ion's own environment, the workflow's `env`, the node's `env`, inputs and `with:`, the engine's
names. A value that no environment can carry (over 128 KiB, or with a NUL) is handed over as a file; the largest go
that way first when the whole would pass 1 MiB.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ion.language.references import engine_names
from ion.nodes import program
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values
from ion.records import dataclass, field

# Linux: MAX_ARG_STRLEN, for `NAME=value` and the NUL behind it.
VALUE_LIMIT_BYTES = 131_072
TOTAL_LIMIT_BYTES = 1024 * 1024
# What is not worth a file, however full the environment is.
_SMALL_BYTES = 1024
_BASE_BRANCH = re.compile(r"\bBASE_BRANCH\b")


@dataclass(frozen=True, slots=True)
class Environment:
    """`variables` are complete. `files` are the names that became `NAME_FILE`, each with that file."""

    variables: dict[str, str]
    files: dict[str, Path] = field(default_factory=dict)


def environment(turn: Turn, context: Context, values: Values, *, text: str = "", code: str = "") -> Environment:
    """The environment of this turn's process. `text` is the prompt or shell text that it is for, `code` that of a
    script: `BASE_BRANCH` is looked up only where they name it.

    Raises `UnreadableReferenceError`: an `env` value cannot be filled in, or `text` needs a `$BASE_BRANCH` that is not
    to be found.
    """
    ours = {name: values.render(value) for name, value in (context.workflow.env | turn.node.env).items()}
    ours |= values.variables()
    if "BASE_BRANCH" in engine_names(text):
        ours["BASE_BRANCH"] = values.render("$BASE_BRANCH")
    elif _BASE_BRANCH.search(code) and (branch := context.base_branch()) is not None:
        ours["BASE_BRANCH"] = branch
    variables = dict(context.environ)
    for name in ours:  # an inherited NAME_FILE would speak for a value of ours (from a run around this one)
        variables.pop(f"{name}_FILE", None)
    variables |= ours
    if _is_small(variables):
        return Environment(variables)
    files = _files(variables, ours, context.folders.scratch / f"{turn.log_name}.env")
    kept = {name: value for name, value in variables.items() if name not in files}
    return Environment(kept | {f"{name}_FILE": str(path) for name, path in files.items()}, files)


def _is_small(variables: dict[str, str]) -> bool:
    """Whether an environment can carry all this for certain, by a look at the lengths: no character takes more than
    four bytes."""
    names, values = variables.keys(), variables.values()
    total = sum(map(len, names)) + sum(map(len, values)) + 2 * len(variables)
    longest = max(map(len, names), default=0) + max(map(len, values), default=0) + 2
    return 4 * total <= TOTAL_LIMIT_BYTES and 4 * longest <= VALUE_LIMIT_BYTES and "\0" not in "".join(values)


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
