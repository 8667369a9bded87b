"""What a node says of its own processes: the folder that they run in (`cwd`) and the time to end in (`grace`)."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from ion.errors import IonError
from ion.language.references import find_references
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values


class FolderError(IonError):
    """The folder that a node names cannot be its working directory."""

    code = "cwd"


def with_settings_of(turn: Turn, context: Context) -> Context:
    """The context as the processes of this node have it.

    Raises `FolderError`, and `UnreadableReferenceError` for a folder whose name cannot be filled in.
    """
    node = turn.node
    if node.cwd is None and node.grace_ms is None:
        return context
    grace_ms = context.grace_ms if node.grace_ms is None else node.grace_ms
    if node.cwd is None:
        return replace(context, grace_ms=grace_ms)
    name = Values(turn, context).render(node.cwd)
    is_literal = not find_references(node.cwd)
    return replace(context, grace_ms=grace_ms, cwd=_folder(name, context.cwd, anywhere=is_literal))


def _folder(name: str, around: Path, *, anywhere: bool) -> Path:
    """The folder of this name, links resolved. It has to lie in `around`, but for an absolute path that the
    file has."""
    if not name:
        raise FolderError("cwd is empty", hint="name a folder, or leave it out to run in the run's")
    try:
        found = (around / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise FolderError(f"the folder {name} of cwd cannot be found: {error}") from error
    if not found.is_dir():
        raise FolderError(f"the cwd {name} is not a folder")
    if not (anywhere and Path(name).is_absolute()) and not found.is_relative_to(around.resolve()):
        raise FolderError(
            f"the cwd {name} leads out of the run's folder {around}",
            hint="write a folder elsewhere into the file, as an absolute path",
        )
    return found
