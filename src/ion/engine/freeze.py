"""What a run freezes at its start, and how it is thawed: the workflow with its commands, and the scripts' files.

The frozen source is one JSON text in the store; its sha256 is in the first event. Script files are blobs. They are laid
out in the run's own folder when a process starts to drive the run, and refused if they differ from what was frozen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ion import codec
from ion.core import events as e
from ion.core.expanding import impossible_scope
from ion.digests import sha256_of
from ion.errors import DamagedStoreError, InvalidWorkflowError, RefusedError
from ion.language.frozen import read_frozen
from ion.language.templates import templates_of
from ion.language.workflow import Workflow
from ion.nodes.base import scripts_folder
from ion.stores.base import WorkflowStore


def digest_of(source: str) -> str:
    """The sha256 (hex) of a frozen source."""
    return sha256_of(source.encode("utf-8", "surrogatepass"))


def source_of(workflow: Workflow) -> str:
    """The source that a run of this workflow freezes."""
    return codec.encode(workflow)


def freeze(workflow: Workflow, store: WorkflowStore) -> str:
    """Return the frozen source of a workflow, and put its script files into the store as blobs.

    Raises `InvalidWorkflowError` if a script changed since the workflow was loaded.
    """
    for name, script in (one for flow in workflow.with_called for one in flow.scripts.items()):
        folder = Path(script.path).parents[len(Path(script.entry).parts) - 1]
        for relative, sha256 in script.files.items():
            if store.put_blob(folder / relative).sha256 != sha256:
                raise InvalidWorkflowError(
                    f"the script '{name}' ({relative}) changed while the run was starting", hint="start it again"
                )
    return source_of(workflow)


def thaw(source: str, digest: str) -> Workflow:
    """The workflow as it was frozen. Raises `RefusedError` (code `changed`) if the source differs from what was
    frozen, `DamagedStoreError` if it is not a valid frozen workflow."""
    if digest_of(source) != digest:
        raise RefusedError("the run's frozen workflow was changed", code="changed", hint="ion run starts a new run")
    try:
        return read_frozen(source)
    except ValueError as error:
        raise DamagedStoreError(
            f"the run's frozen workflow cannot be read: {error}", hint="ion run starts a new run"
        ) from error


def require_frozen(source: str, events: Sequence[e.Event], store: WorkflowStore) -> None:
    """Raise `DamagedStoreError` unless a run with these events froze this source. What they name is in the store."""
    started = events[0]
    if not isinstance(started, e.WorkflowStarted):
        raise DamagedStoreError("its first event is not its start")
    try:
        workflow = thaw(source, started.digest)
    except RefusedError as error:
        raise DamagedStoreError("its frozen workflow is not the one that it began with", hint=error.hint) from error
    if started.workflow != workflow.name:
        raise DamagedStoreError("its name is not that of its frozen workflow")
    if started.nodes != workflow.node_kinds:
        raise DamagedStoreError("its nodes are not those of its frozen workflow")

    def read(content: e.Content) -> str:
        if content.text is not None:
            return content.text
        with store.open_blob(content.sha256) as stream:
            return stream.read().decode("utf-8", "surrogatepass")

    problem = impossible_scope(templates_of(workflow), events, read)
    if problem:
        raise DamagedStoreError(problem)


def lay_out(workflow: Workflow, store: WorkflowStore, folder: Path) -> None:
    """Write the frozen script files under `folder`, as `<script>/<relative path>`.

    Raises `RefusedError` (code `changed`) if an existing file differs from what was frozen.
    """
    for flow in workflow.with_called:
        for name, script in flow.scripts.items():
            for relative, sha256 in script.files.items():
                _lay_out(store, sha256, scripts_folder(folder, flow, workflow) / name / relative)


def _lay_out(store: WorkflowStore, sha256: str, place: Path) -> None:
    if place.exists():
        if sha256_of(place.read_bytes()) != sha256:
            raise RefusedError(
                f"the run's frozen script {place} was changed",
                code="changed",
                hint="remove the file to have it laid out again, or start a new run",
            )
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with store.open_blob(sha256) as stream:
        data = stream.read()
    temporary = place.with_name(f"{place.name}.{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(place)
