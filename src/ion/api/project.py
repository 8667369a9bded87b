"""The handles for programs: a project, and a run of it. All that one can do with a run is a method of its handle.

Opening a project opens no store and loads no event loop; that happens where a method needs it. The short functions of
`ion` (`execute_workflow`, `approve`, …) open a project, call one of these methods, and close it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct
from msgspec.structs import replace

from ion.api import reading, requests
from ion.api.hidden import Hidden
from ion.api.result import RunResult
from ion.api.workspace import Workspace, open_workspace
from ion.core.events import Recorded
from ion.core.state import RunState
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
        return reading.list_runs(self.workspace, status=status, workflow=workflow, limit=limit)

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


class Run(Struct, frozen=True):
    """A run of a project, by its id. Nothing is kept here: each method reads what the store holds at that moment."""

    workspace: Workspace
    run_id: str

    @classmethod
    def find(cls, workspace: Workspace, run: str | None) -> Run:
        """As `Project.run`."""
        return cls(workspace, workspace.find_run(run).run_id)

    # ------------------------------------------------------------------ reading

    def live(self) -> bool:
        """Whether a living process, or a cluster, drives the run."""
        return reading.live(self.workspace, self.run_id)

    def result(self) -> RunResult:
        """The run as it is now, with the values as they are kept."""
        return reading.describe(self.workspace, self.run_id)

    def show(self) -> RunResult:
        """The run as it is now, as `ion show` prints it: the values of its secrets, as this process has them, are
        masked in `output`, `nodes`, `waiting` and `to_json()`; `state` is left as it is."""
        hidden = Hidden()
        hidden.run(self.workspace, self.run_id)
        result = self.result()
        output = None if result.output is None else hidden.text(result.output)
        return replace(result, output=output, data=hidden.json(result.data))

    def state(self) -> RunState:
        """The whole state, from the log."""
        return reading.read_state(self.workspace, self.run_id)

    def workflow(self) -> Workflow:
        """The workflow as the run froze it. Raises `RefusedError` (code `changed`) if the source differs from what
        was frozen."""
        return reading.read_frozen(self.workspace, self.run_id, self.state())

    def events(self, *, after: int = 0) -> list[Recorded]:
        """The log from the event after number `after` on."""
        return reading.read_events(self.workspace, self.run_id, after=after)

    def follow(self, *, after: int = 0) -> AsyncIterator[Recorded]:
        """The events after number `after`, each as soon as it is there, until nobody alive drives the run any more: it
        has ended, waits for people, or was cut off."""
        return reading.follow(self.workspace, self.run_id, after=after)

    def logs(self, node: str | None = None) -> list[Path]:
        """The files that the processes of the run (or of one node) wrote, oldest first: `.out` and `.err`."""
        return reading.log_files(self.workspace, self.run_id, node)

    def prompts(self) -> list[dict[str, Any]]:
        """The prompts that wait for the program to answer them, as `ion next --json` prints them."""
        return requests.next_prompts(self.workspace, self.run_id)

    # ------------------------------------------------------------------ asking

    def answer(self, decision: str, node: str | None = None, *, text: str = "", request: str | None = None) -> str:
        """Answer an open gate, or a permission that an agent asks for, and return its node. `decision` is `approve`,
        `reject`, or one of the gate's own decisions; `text` is said with it. `node` may be left out if only one is
        open; `request` names one of several permissions (`waiting` of the run).

        Raises `RefusedError` (it is not open, or was answered), `UsageError` (unknown decision, several are open). If
        no living process drives the run, `resume` continues it.
        """
        return requests.answer(self.workspace, self.run_id, decision, node, text=text, request=request)

    def submit(self, node: str, text: str, *, session: str | None = None, request: str | None = None) -> bool:
        """Answer a prompt that waits; False if this same answer was given before.

        Raises `OutputFormatError` (nothing is recorded), `RefusedError` (it is not open, or was answered differently).
        """
        return requests.submit(self.workspace, self.run_id, node, text, session=session, request=request)

    def cancel(self, *, reason: str = "") -> None:
        """Ask for the end of the run. A live owner ends it; if there is none, `resume` carries the end out."""
        requests.cancel(self.workspace, self.run_id, reason=reason)

    def raise_budget(self, max_budget_usd: float) -> None:
        """Let the run spend this much in all. A live owner continues it; if there is none, `resume` does."""
        requests.raise_budget(self.workspace, self.run_id, max_budget_usd)

    # ------------------------------------------------------------------ driving

    async def resume(
        self,
        *,
        agent: AgentLike = None,
        options: RunOptions | None = None,
        max_budget_usd: float | None = None,
    ) -> RunResult:
        """Continue a failed, interrupted or answered run until it ends or waits; a paused one without an answer is
        returned as it is. The parameters, and what is raised, are those of `resume_workflow`."""
        taken = self.acquire(agent=agent, options=options, max_budget_usd=max_budget_usd)
        return self.result() if taken is None else await taken.drive()

    def acquire(
        self,
        *,
        agent: AgentLike = None,
        options: RunOptions | None = None,
        resume: bool = True,
        max_budget_usd: float | None = None,
    ) -> StartedRun | ClusterRun | None:
        """What `resume` does before it drives: become the owner of the run, or have its cluster continue it. None: it
        waits for people, and nothing came. `resume` False only acts on answers, budgets and cancel requests."""
        from ion.api.runs import acquire_run

        return acquire_run(
            self.workspace, self.run_id, agent=agent, options=options, resume=resume, max_budget_usd=max_budget_usd
        )

    def acquire_answered(self, *, options: RunOptions | None = None) -> StartedRun | ClusterRun | None:
        """What comes after an answer: as `acquire` without `resume`, unless the run has ended meanwhile or a living
        process owns it, which then continues it by itself."""
        from ion.api.runs import acquire_answered

        return acquire_answered(self.workspace, self.run_id, options=options)

    def rerun(
        self,
        *,
        from_node: str | None = None,
        edited: bool = False,
        agent: AgentLike = None,
        run_id: str | None = None,
        options: RunOptions | None = None,
    ) -> StartedRun | ClusterRun:
        """Create a new run from this one, owned by this process or by the cluster that drove this one; `await
        started.drive()` drives it. The parameters, and what is raised, are those of `rerun_workflow`."""
        from ion.api.runs import start_rerun

        return start_rerun(
            self.workspace,
            self.run_id,
            from_node=from_node,
            edited=edited,
            agent=agent,
            new_id=run_id,
            options=options,
        )
