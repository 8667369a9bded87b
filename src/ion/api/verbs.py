"""The short verbs for programs: each opens the workspace, does one thing, and lets go of it.

`store` is an open store or a URL (None: the project's), `project` a folder (None: found from the working directory).
`run` is a run id, a unique prefix of one, or `last`. All are synchronous and load no event loop. Every function raises
`NotFoundError` for a run or node that is not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ion.api import following, reading, requests, workflows
from ion.api.result import RunResult
from ion.api.workspace import Workspace, open_workspace
from ion.core.events import Recorded
from ion.errors import Problem
from ion.language.workflow import Workflow
from ion.stores import create_store as _create_store
from ion.stores.base import WorkflowRun, WorkflowStore

StoreLike = WorkflowStore | str | None
ProjectLike = Path | str | None


@contextmanager
def _workspace(store: StoreLike, project: ProjectLike) -> Iterator[Workspace]:
    workspace = open_workspace(project, store)
    try:
        yield workspace
    finally:
        workspace.close()


def create_store(url: str, *, project: ProjectLike = None) -> WorkflowStore:
    """Open a store: `memory:`, `sqlite:PATH` (relative to the project). The caller closes it."""
    return _create_store(url, project=Path(project) if project is not None else Path.cwd())


def parse_workflow(text: str, *, file: str = "") -> Workflow:
    """A workflow from YAML text; command and script files are not looked for. Raises `InvalidWorkflowError`."""
    return workflows.parse(text, file=file)


def validate(*targets: str | Path, project: ProjectLike = None) -> list[Problem]:
    """All problems of these files or names (none: of every workflow of the project), in the order of the files."""
    with _workspace(None, project) as workspace:
        return workflows.validate(workspace, targets).problems


def discover_workflows(*, project: ProjectLike = None) -> list[Any]:
    """Every workflow file that can be found, shadowed and broken ones included (`language.discovery.Discovered`)."""
    with _workspace(None, project) as workspace:
        return workflows.discover(workspace)


def get_run(run: str | None = None, *, store: StoreLike = None, project: ProjectLike = None) -> RunResult:
    """A run as it is now."""
    with _workspace(store, project) as workspace:
        return reading.describe(workspace, workspace.find_run(run).run_id)


def list_runs(
    *,
    status: str | None = None,
    workflow: str | None = None,
    limit: int | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> list[tuple[WorkflowRun, str]]:
    """The project's runs with their statuses, newest first."""
    with _workspace(store, project) as workspace:
        return reading.list_runs(workspace, status=status, workflow=workflow, limit=limit)


def get_events(
    run: str | None = None, *, after: int = 0, store: StoreLike = None, project: ProjectLike = None
) -> list[Recorded]:
    """The run's log from the event after number `after` on."""
    with _workspace(store, project) as workspace:
        return reading.read_events(workspace, workspace.find_run(run).run_id, after=after)


async def follow(
    run: str | None = None, *, after: int = 0, store: StoreLike = None, project: ProjectLike = None
) -> AsyncIterator[Recorded]:
    """The run's events after number `after`, each as soon as it is there, until nobody alive drives the run any more:
    it has ended, waits for people, or was cut off."""
    with _workspace(store, project) as workspace:
        async for recorded in following.follow(workspace, workspace.find_run(run).run_id, after=after):
            yield recorded


def get_logs(run: str, node: str | None = None, *, store: StoreLike = None, project: ProjectLike = None) -> list[Path]:
    """The files that the processes of a run (or of one node) wrote, oldest first: `.out` and `.err`."""
    with _workspace(store, project) as workspace:
        return reading.log_files(workspace, workspace.find_run(run).run_id, node)


def approve(
    run: str,
    node: str | None = None,
    *,
    comment: str = "",
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> str:
    """Approve an open gate, or give an agent a permission, and give the node. `request` names one of several
    permissions (`waiting` of the run). `resume_workflow` goes on with the run, if nobody else does."""
    with _workspace(store, project) as workspace:
        return requests.approve(workspace, workspace.find_run(run).run_id, node, comment=comment, request=request)


def reject(
    run: str,
    node: str | None = None,
    *,
    reason: str = "",
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> str:
    """Reject an open gate, or refuse a permission, and give its node."""
    with _workspace(store, project) as workspace:
        return requests.reject(workspace, workspace.find_run(run).run_id, node, reason=reason, request=request)


def respond(
    run: str,
    node: str,
    decision: str,
    *,
    text: str = "",
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> str:
    """Answer a gate or a permission with one of its decisions."""
    with _workspace(store, project) as workspace:
        run_id = workspace.find_run(run).run_id
        return requests.respond(workspace, run_id, node, decision, text=text, request=request)


def next_prompts(run: str, *, store: StoreLike = None, project: ProjectLike = None) -> list[dict[str, Any]]:
    """The prompts that wait at the host, as `ion next --json` shows them."""
    with _workspace(store, project) as workspace:
        return requests.next_prompts(workspace, workspace.find_run(run).run_id)


def submit(
    run: str,
    node: str,
    text: str,
    *,
    session: str | None = None,
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> bool:
    """Answer a parked prompt; False if this same answer was given before.

    Raises `OutputFormatError`, `RefusedError`.
    """
    with _workspace(store, project) as workspace:
        run_id = workspace.find_run(run).run_id
        return requests.submit(workspace, run_id, node, text, session=session, request=request)


def raise_budget(run: str, max_budget_usd: float, *, store: StoreLike = None, project: ProjectLike = None) -> None:
    """Let a run spend this much in all. A live owner goes on; if there is none, `resume_workflow` does."""
    with _workspace(store, project) as workspace:
        requests.raise_budget(workspace, workspace.find_run(run).run_id, max_budget_usd)


def cancel(run: str, *, reason: str = "", store: StoreLike = None, project: ProjectLike = None) -> None:
    """Ask for the end of a run. A live owner ends it; if there is none, `resume_workflow` carries the end out."""
    with _workspace(store, project) as workspace:
        requests.cancel(workspace, workspace.find_run(run).run_id, reason=reason)
