"""The short functions for programs: each opens the project, does one thing by its handle, and closes it.

`store` is an open store or a URL (None: the project's), `project` a folder (None: found from the working directory).
`run` is a run id, a unique prefix of one, or `last`. Every function raises `NotFoundError` for a run or node that is
not there. The async functions drive runs, and the `_sync` ones run them on a loop of their own: cancelling the task of
one (as Ctrl-C does for the command) ends every process of the run and leaves it resumable. No other loads an event
loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ion.api import project as projects
from ion.api import workflows
from ion.api.project import ProjectLike, StoreLike
from ion.api.result import RunResult
from ion.api.run import AnsweredGates
from ion.core.events import Recorded
from ion.engine.options import RunOptions
from ion.errors import Problem
from ion.language.workflow import Workflow
from ion.stores import create_store as _create_store
from ion.stores.base import WorkflowRun, WorkflowStore

if TYPE_CHECKING:
    from ion.api.agents import AgentLike


async def execute_workflow(
    workflow: Workflow | str | Path,
    *,
    arguments: str = "",
    inputs: dict[str, Any] | None = None,
    context: str = "",
    agent: AgentLike = None,
    store: StoreLike = None,
    project: ProjectLike = None,
    cwd: Path | str | None = None,
    run_id: str | None = None,
    max_budget_usd: float | None = None,
    options: RunOptions | None = None,
) -> RunResult:
    """Run a workflow until it ends or waits for people.

    `workflow` is a loaded one, a name, or a path. `agent` is an `Agent`, a sync or async function that takes a
    `PromptRequest` and returns a `PromptResult` or a text, a configured name, a command line, or None: the settings'
    agent, and without one prompts wait for the caller. `store` is a store or its URL.
    `max_budget_usd` is what the run may spend in all (None: the workflow's own budget).

    Raises `InvalidWorkflowError`, `UsageError` (inputs, budget), `MissingRuntimeError`, `RefusedError` (the id is
    taken), `StoreError`. A node that fails raises nothing: the failure is in the result.
    """
    with projects.open(project, store) as opened:
        started = opened.start(
            workflow,
            arguments=arguments,
            inputs=inputs,
            context=context,
            agent=agent,
            cwd=cwd,
            run_id=run_id,
            max_budget_usd=max_budget_usd,
            options=options,
        )
        return await started.drive()


def execute_workflow_sync(workflow: Workflow | str | Path, **values: Any) -> RunResult:
    """`execute_workflow` for a program without an event loop; the parameters are the same."""
    import asyncio

    return asyncio.run(execute_workflow(workflow, **values))


async def resume_workflow(
    run: str | None = None,
    *,
    agent: AgentLike = None,
    store: StoreLike = None,
    project: ProjectLike = None,
    options: RunOptions | None = None,
    max_budget_usd: float | None = None,
) -> RunResult:
    """Continue a failed, interrupted or answered run; a paused one without an answer is returned as it is.

    `agent` overrides the run's own and answers open prompts, `max_budget_usd` is what the run may spend in all from
    here on. Raises `RefusedError`: the run has completed or was cancelled, a live process owns it, or its frozen files
    were changed.
    """
    with projects.open(project, store) as opened:
        return await opened.run(run).resume(agent=agent, options=options, max_budget_usd=max_budget_usd)


def resume_workflow_sync(run: str | None = None, **values: Any) -> RunResult:
    """`resume_workflow` for a program without an event loop; the parameters are the same."""
    import asyncio

    return asyncio.run(resume_workflow(run, **values))


async def rerun_workflow(
    run: str | None = None,
    *,
    from_node: str | None = None,
    edited: bool = False,
    agent: AgentLike = None,
    store: StoreLike = None,
    project: ProjectLike = None,
    run_id: str | None = None,
    options: RunOptions | None = None,
) -> RunResult:
    """Run the workflow of an earlier run again, as it was frozen, with its inputs, agent and working directory.

    With `from_node` that node runs again and everything that waits for it; the other completed nodes are kept, with
    their outputs and artifacts. With `edited` the file is taken as it is now, and of the other completed nodes only
    those are kept whose body, texts and files are unchanged. `run_id` is the new run's. Raises `RefusedError`: the run
    is still running, or its frozen files were changed; with `edited` also what loading a workflow raises.
    """
    with projects.open(project, store) as opened:
        started = opened.run(run).rerun(from_node=from_node, edited=edited, agent=agent, run_id=run_id, options=options)
        return await started.drive()


def rerun_workflow_sync(run: str | None = None, **values: Any) -> RunResult:
    """`rerun_workflow` for a program without an event loop; the parameters are the same."""
    import asyncio

    return asyncio.run(rerun_workflow(run, **values))


def create_store(url: str, *, project: ProjectLike = None) -> WorkflowStore:
    """Open a store: `memory:`, `sqlite:PATH` (relative to the project). The caller closes it."""
    return _create_store(url, project=Path(project) if project is not None else Path.cwd())


def parse_workflow(text: str, *, file: str = "") -> Workflow:
    """A workflow from YAML text; command and script files are not looked up. Raises `InvalidWorkflowError`."""
    return workflows.parse(text, file=file)


def validate(*targets: str | Path, project: ProjectLike = None) -> list[Problem]:
    """All problems of these files or names (none: of every workflow of the project), in the order of the files."""
    with projects.open(project) as opened:
        return opened.validate(targets).problems


def discover_workflows(*, project: ProjectLike = None) -> list[Any]:
    """Every workflow file that can be found, shadowed and broken ones included (`language.discovery.Discovered`)."""
    with projects.open(project) as opened:
        return opened.workflows()


def get_run(run: str | None = None, *, store: StoreLike = None, project: ProjectLike = None) -> RunResult:
    """A run as it is now."""
    with projects.open(project, store) as opened:
        return opened.run(run).result()


def list_runs(
    *,
    status: str | None = None,
    workflow: str | None = None,
    limit: int | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> list[tuple[WorkflowRun, str]]:
    """The project's runs with their statuses, newest first."""
    with projects.open(project, store) as opened:
        return opened.runs(status=status, workflow=workflow, limit=limit)


def get_events(
    run: str | None = None, *, after: int = 0, store: StoreLike = None, project: ProjectLike = None
) -> list[Recorded]:
    """The run's log from the event after number `after` on."""
    with projects.open(project, store) as opened:
        return opened.run(run).events(after=after)


async def follow(
    run: str | None = None, *, after: int = 0, store: StoreLike = None, project: ProjectLike = None
) -> AsyncIterator[Recorded]:
    """The run's events after number `after`, each as soon as it is there, until nobody alive drives the run any more:
    it has ended, waits for people, or was cut off."""
    with projects.open(project, store) as opened:
        async for recorded in opened.run(run).follow(after=after):
            yield recorded


def get_logs(run: str, node: str | None = None, *, store: StoreLike = None, project: ProjectLike = None) -> list[Path]:
    """The files that the processes of a run (or of one node) wrote, oldest first: `.out` and `.err`."""
    with projects.open(project, store) as opened:
        return opened.run(run).logs(node)


def approve(
    run: str,
    node: str | None = None,
    *,
    comment: str = "",
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> str:
    """Approve an open gate, or give an agent a permission, and return the node. `request` names one of several
    permissions (`waiting` of the run). `resume_workflow` continues the run, if nobody else does."""
    with projects.open(project, store) as opened:
        return opened.run(run).answer("approve", node, text=comment, request=request)


def reject(
    run: str,
    node: str | None = None,
    *,
    reason: str = "",
    request: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> str:
    """Reject an open gate, or refuse a permission, and return its node."""
    with projects.open(project, store) as opened:
        return opened.run(run).answer("reject", node, text=reason, request=request)


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
    with projects.open(project, store) as opened:
        return opened.run(run).answer(decision, node, text=text, request=request)


def answer_each(
    run: str, node: str, decision: str, *, text: str = "", store: StoreLike = None, project: ProjectLike = None
) -> AnsweredGates:
    """Give one answer (`approve`, `reject`, or a decision) to every open gate of a node and inside of it: of the items
    of a fan-out, and of the nodes in them."""
    with projects.open(project, store) as opened:
        return opened.run(run).answer_each(decision, node, text=text)


def next_prompts(run: str, *, store: StoreLike = None, project: ProjectLike = None) -> list[dict[str, Any]]:
    """The prompts that wait for the caller, as `ion next --json` shows them."""
    with projects.open(project, store) as opened:
        return opened.run(run).prompts()


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
    """Answer an open prompt; False if this same answer was given before.

    Raises `OutputFormatError`, `RefusedError`.
    """
    with projects.open(project, store) as opened:
        return opened.run(run).submit(node, text, session=session, request=request)


def raise_budget(run: str, max_budget_usd: float, *, store: StoreLike = None, project: ProjectLike = None) -> None:
    """Let a run spend this much in all. A live owner continues; if there is none, `resume_workflow` does."""
    with projects.open(project, store) as opened:
        opened.run(run).raise_budget(max_budget_usd)


def signal(
    run: str,
    event: str,
    payload: Any = None,
    *,
    delivery: str | None = None,
    target: str | None = None,
    store: StoreLike = None,
    project: ProjectLike = None,
) -> bool:
    """Send a signal to a run, with JSON; False if this `delivery` has come before. `Run.signal` says more."""
    with projects.open(project, store) as opened:
        return opened.run(run).signal(event, payload, delivery=delivery, target=target)


def cancel(run: str, *, reason: str = "", store: StoreLike = None, project: ProjectLike = None) -> None:
    """Ask for the end of a run. A live owner ends it; if there is none, `resume_workflow` carries the end out."""
    with projects.open(project, store) as opened:
        opened.run(run).cancel(reason=reason)
