"""Exporting a run from its store to one file, and importing it into another store.

The file holds the run's log, its frozen source and its outputs, but not the artifacts and logs in `.ion/runs`. The
values of its secrets, as this process has them, are masked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ion.api.hidden import secret_names
from ion.api.workspace import Workspace
from ion.engine.folders import claim, folders_of
from ion.engine.freeze import require_frozen
from ion.errors import UsageError
from ion.masking import secret_values
from ion.stores.disk import storage_errors, sync_folder
from ion.stores.transfer import export_run, import_run


def export_to_stream(workspace: Workspace, run_id: str, stream: BinaryIO) -> None:
    """Write the run to an open stream. Raises `DamagedStoreError` if a part of it is missing or damaged."""
    secrets = secret_values(secret_names(workspace, run_id), os.environ)
    export_run(workspace.store, run_id, stream, secrets=secrets)


def export_to_file(workspace: Workspace, run_id: str, file: Path) -> None:
    """Write the run to `file`, which appears complete (or replaces an older one), readable by its owner only.

    Raises `DamagedStoreError` as above, `StoreError` if the file cannot be written.
    """
    import tempfile

    with storage_errors(f"cannot write {file}"):
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.absolute().parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                export_to_stream(workspace, run_id, stream)
                os.fsync(stream.fileno())
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(file.absolute().parent)


def import_from_stream(workspace: Workspace, stream: BinaryIO, name: str = "this") -> str:
    """Create the exported run in this store, as a run of this project, and return its id. `name` is the stream's, for
    messages.

    Raises `UsageError` if the stream does not hold an exported run, `DamagedStoreError` if it holds a damaged or
    impossible one, `RefusedError` (code `run-exists`) if the id is taken.
    """
    project = workspace.project
    run_id = import_run(workspace.store, stream, check=require_frozen, project=str(project), name=name)
    folder = folders_of(workspace.data, run_id, project).run
    if folder.is_dir():  # another store of this project has the run, and may forget it
        claim(folder, workspace.store.url, project)
    return run_id


def import_from_file(workspace: Workspace, file: Path) -> str:
    """As `import_from_stream`, from a file."""
    try:
        with file.open("rb") as stream:
            return import_from_stream(workspace, stream, str(file))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename is None or Path(error.filename) != file:
            raise
        raise UsageError(f"the file {file} cannot be read: {error.strerror}") from None
