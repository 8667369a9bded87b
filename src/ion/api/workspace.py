"""Where a command or a program works: the project, its settings, its store, its agents.

Settings come from `<project>/.ion/config.yaml` and the user's `ion/config.yaml`; the caller overrides the environment,
which overrides the project, which overrides the user (cli.md).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from ion.api.settings import Settings, read_settings
from ion.errors import NotFoundError, RefusedError, UsageError
from ion.language.resources import find_project, user_config_folder
from ion.names import RUN_ID_RULE, is_run_id
from ion.stores import create_store
from ion.stores.disk import storage_errors, write_file

if TYPE_CHECKING:
    from ion.stores.base import WorkflowRun, WorkflowStore

DEFAULT_STORE = "sqlite:.ion/ion.db"
_GITIGNORE = """\
# Run data stays out of git (and so does this file), workflows stay in.
*
!config.yaml
!workflow.schema.json
!workflows/
!workflows/**
!commands/
!commands/**
!scripts/
!scripts/**
"""
_TEMPORARY: weakref.WeakKeyDictionary[WorkflowStore, Path] = weakref.WeakKeyDictionary()


class Workspace(Struct, dict=True):
    """A project as seen by one caller. `store_url` None: the environment's, the settings', or the default. `found` is
    told the id of every run that is looked up; `via` (`library`, `cli`, `mcp`, `serve`) is recorded with what is asked
    for."""

    project: Path
    store_url: str | None = None
    given_store: WorkflowStore | None = None
    user_config: Path = field(default_factory=user_config_folder)
    found: Callable[[Workspace, str], None] | None = None
    via: str = "library"

    @cached_property
    def settings(self) -> Settings:
        """The settings of the project over those of the user. Raises `InvalidWorkflowError` with their problems."""
        return read_settings(self.project / ".ion" / "config.yaml", self.user_config / "ion" / "config.yaml")

    @property
    def url(self) -> str:
        """The URL of the store, as it was given; reading it opens nothing."""
        if self.given_store is not None:
            return self.given_store.url
        return self.store_url or os.environ.get("ION_STORE") or self.settings.store or DEFAULT_STORE

    @cached_property
    def store(self) -> WorkflowStore:
        """The store, opened on first use."""
        if self.given_store is not None:
            return self.given_store
        url = self.url
        if url.startswith(("sqlite:.ion/", "file:.ion/")) and self.is_new:
            self.make_data_folder()
        return create_store(url, project=self.project)

    @property
    def is_new(self) -> bool:
        """Whether no run was ever kept here, so that reading need not create a store."""
        scheme, _, place = self.url.partition(":")
        if self.given_store is not None or scheme not in ("sqlite", "file"):
            return False
        return not (self.project / Path(place).expanduser()).exists()

    @cached_property
    def data(self) -> Path:
        """The folder for files of runs: `.ion` in the project, or a temporary one for a store in memory. Creates
        nothing."""
        return _temporary_folder(self.store) if self._is_in_memory else self.project / ".ion"

    def make_data(self) -> Path:
        """As `data`, and creates it. Raises `StoreError`."""
        return self.data if self._is_in_memory else self.make_data_folder()

    @property
    def _is_in_memory(self) -> bool:
        return self.store.url.startswith("memory:")

    def make_data_folder(self) -> Path:
        """`.ion` in the project, with a `.gitignore` that keeps run data out of git and the workflows in. A missing
        `.gitignore`, or one that a full disk or a killed process left unfinished, is written again. Raises
        `StoreError`."""
        folder = self.project / ".ion"
        ignore = folder / ".gitignore"
        with storage_errors(f"cannot make {ignore}"):
            folder.mkdir(parents=True, exist_ok=True)
            if _is_unfinished(ignore):
                temporary = ignore.with_name(f".gitignore.{os.urandom(8).hex()}.tmp")
                try:
                    write_file(temporary, _GITIGNORE.encode(), mode=0o666)
                    temporary.replace(ignore)
                finally:
                    temporary.unlink(missing_ok=True)
        return folder

    def unfinished_ignore(self) -> Path | None:
        """The `.gitignore` of a project with files of runs, if it does not keep them out of git."""
        ignore = self.project / ".ion" / ".gitignore"
        return ignore if (ignore.parent / "runs").is_dir() and _is_unfinished(ignore) else None

    def find_run(self, name: str | None) -> WorkflowRun:
        """The run with this id or unique prefix of one; `last` or None is the project's newest.

        Raises `NotFoundError`, and `UsageError` if the prefix fits several.
        """
        run = self._find_run(name)
        if self.found is not None:
            self.found(self, run.run_id)
        return run

    def _find_run(self, name: str | None) -> WorkflowRun:
        if self.is_new:
            raise NotFoundError("this project has no runs", hint="ion run WORKFLOW starts one")
        if name is None or name == "last":
            newest = self.store.list_workflow_runs(project=str(self.project), limit=1)
            if not newest:
                raise NotFoundError("this project has no runs", hint="ion run WORKFLOW starts one")
            return newest[0]
        found = self.store.list_workflow_runs(prefix=name, limit=20) if is_run_id(name) else []
        exact = [run for run in found if run.run_id == name]
        if exact or len(found) == 1:
            return (exact or found)[0]
        if not found:
            raise NotFoundError(f"no run has the id {name!r}", hint="ion runs lists them")
        raise UsageError(f"{len(found)} runs begin with {name!r}: {', '.join(run.run_id for run in found[:5])}")

    def close(self) -> None:
        """Release the store, if it was opened here."""
        if self.given_store is None and "store" in self.__dict__:
            self.store.close()


def _is_unfinished(ignore: Path) -> bool:
    """Whether the `.gitignore` is missing, empty, or the beginning of one that Ion wrote."""
    try:
        text = ignore.read_text("utf-8", "replace")
    except FileNotFoundError:
        return True
    older = "# Run data stays out of git, workflows stay in.\n*\n!.gitignore\n"
    return text in (_GITIGNORE[: len(text)], older[: len(text)]) and text != _GITIGNORE


def _temporary_folder(store: WorkflowStore) -> Path:
    """The folder of a store in memory: every call with this store finds the files of its runs there."""
    if store not in _TEMPORARY:
        import tempfile

        folder = tempfile.TemporaryDirectory(prefix="ion-")
        weakref.finalize(store, folder.cleanup)
        _TEMPORARY[store] = Path(folder.name)
    return _TEMPORARY[store]


def open_workspace(
    project: Path | str | None = None, store: WorkflowStore | str | None = None, **values: Any
) -> Workspace:
    """The workspace of `project` (None: the nearest parent with `.ion`, `.archon` or `.git`, else the working
    directory). `store` is an open store or a URL."""
    root = Path(project).absolute() if project is not None else find_project(Path.cwd())
    if not root.is_dir():
        raise NotFoundError(f"the project {root} is not a directory")
    if store is None or isinstance(store, str):
        return Workspace(root, store, **values)
    return Workspace(root, given_store=store, **values)


def project_name(workspace: Workspace) -> str:
    """What names the project on every machine: the settings, else its git remote, else its path."""
    from ion.engine import git

    return workspace.settings.project or git.remote(workspace.project) or str(workspace.project)


def check_run_id(run_id: str) -> str:
    """The id itself. Raises `UsageError` if it is invalid: it names a folder, so its characters are restricted."""
    if not is_run_id(run_id):
        raise UsageError(f"{run_id!r} cannot be a run's id", hint=RUN_ID_RULE)
    return run_id


def new_run_id() -> str:
    """Ten characters of lower Crockford base32: 50 random bits, short to type by a prefix."""
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[byte & 31] for byte in os.urandom(10))


def who(via: str) -> dict[str, Any]:
    """Who asks, and from where, for the events of starts, answers and requests: user, host, pid of this process, and
    `via` as in `Workspace`."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {"user": user, "host": os.uname().nodename, "pid": os.getpid(), "via": via}


def require_outside(run_id: str) -> None:
    """Raise `RefusedError` (code `own-gate`) if this process is one of the run's, or of a run within it: the run may
    end itself, but may not answer for people or agents."""
    if "ION_RUN_ID" not in os.environ:  # every process of a run has it
        return
    from ion.process.survivors import runs_of

    if run_id in runs_of(os.environ):
        raise RefusedError(
            "a process of the run may not answer the run's own gates or prompts, nor raise its budget",
            hint="somebody outside of the run may",
            code="own-gate",
        )
