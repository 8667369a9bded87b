"""The handle of a project, for programs; that of a run is `run.Run`.

Opening a project opens no store and loads no event loop; that happens where a method needs it. The short functions of
`ion` (`execute_workflow`, `approve`, …) open a project, call one of these methods, and close it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from ion.api.listing import list_runs
from ion.api.run import Run
from ion.api.workspace import Workspace, open_workspace
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowRun, WorkflowStore

if TYPE_CHECKING:
    from ion.api.agents import AgentLike
    from ion.api.clusters import ClusterRun
    from ion.api.runs import StartedRun
    from ion.api.workflows import Validation
    from ion.language.discovery import Discovered

StoreLike = WorkflowStore | str | None
ProjectLike = Path | str | None


def open(folder: ProjectLike = None, store: StoreLike = None) -> Project:  # noqa: A001  (it is read as `ion.open`)
    """The project in `folder` (None: the nearest parent with `.ion`, `.archon` or `.git`, else the working directory).

    `store` is an open store, which its owner closes, or a URL (None: the environment's, the settings', or
    `sqlite:.ion/ion.db`). Raises `NotFoundError` if the folder does not exist.
    """
    return Project(open_workspace(folder, store))


class Project(Struct, frozen=True):
    """A project as one program sees it: its workflows, its runs, its store. `close`, or the end of a `with`, closes the
    store if it was opened here."""

    workspace: Workspace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, if it was opened here."""
        self.workspace.close()

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.workspace.project

    @property
    def store(self) -> WorkflowStore:
        """The store, opened when it is first asked for. Raises `StoreError`."""
        return self.workspace.store

    # ------------------------------------------------------------------ workflows

    def workflow(self, name: str | Path) -> Workflow:
        """The workflow of this name or path. Raises `NotFoundError`, `InvalidWorkflowError` with all its problems."""
        from ion.api.workflows import load

        return load(self.workspace, name)

    def workflows(self) -> list[Discovered]:
        """Every workflow file that can be found, shadowed and broken ones included."""
        from ion.api.workflows import discover

        return discover(self.workspace)

    def validate(self, targets: Sequence[str | Path] = ()) -> Validation:
        """All problems of these files, folders or names (none: of every workflow of the project)."""
        from ion.api.workflows import validate

        return validate(self.workspace, targets)

    # ------------------------------------------------------------------ runs

    def run(self, run: str | None = None) -> Run:
        """The run with this id or unique prefix of one; `last` or None is the newest.

        Raises `NotFoundError`, and `UsageError` if the prefix fits several.
        """
        return Run.find(self.workspace, run)

    def runs(
        self, *, status: str | None = None, workflow: str | None = None, limit: int | None = None
    ) -> list[tuple[WorkflowRun, str]]:
        """The project's runs with their statuses, newest first. `status` may be `interrupted`."""
        return list_runs(self.workspace, status=status, workflow=workflow, limit=limit)

    def start(
        self,
        workflow: Workflow | str | Path,
        *,
        arguments: str = "",
        inputs: dict[str, Any] | None = None,
        context: str = "",
        agent: AgentLike = None,
        cwd: Path | str | None = None,
        run_id: str | None = None,
        engine: str | None = None,
        max_budget_usd: float | None = None,
        options: RunOptions | None = None,
    ) -> StartedRun | ClusterRun:
        """Create a run that this process owns, or the cluster at the URL `engine`; `await started.drive()` drives it,
        or follows it. The other parameters, and what is raised, are those of `execute_workflow`."""
        from ion.api.preparing import RunSpec
        from ion.api.runs import start

        spec = RunSpec(
            workflow,
            arguments=arguments,
            inputs=inputs or {},
            context=context,
            agent=agent,
            cwd=cwd,
            run_id=run_id,
            engine=engine,
            max_budget_usd=max_budget_usd,
            options=options or DEFAULT_OPTIONS,
        )
        return start(self.workspace, spec)
