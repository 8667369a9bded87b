"""What every conformance test needs: a world to run workflows in, and short looks at what came of it.

A world is a project folder with a store. Workflows are in the tests as YAML blocks without their first two lines,
`name` and `description`, which are the same everywhere.
"""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ion
from ion import PromptRequest, PromptResult, RunResult
from ion.core import events as e
from ion.errors import InvalidWorkflowError, Problem
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowStore
from processes import PATIENCE_S

AnyEvent = TypeVar("AnyEvent", bound=e.Event)
HURRY = 100
Reply = str | PromptResult | Exception | Callable[[PromptRequest], str]


def whole(text: str) -> str:
    """A workflow file: the block of a test, with a name and a description where it has none."""
    text = textwrap.dedent(text).lstrip("\n")
    return text if text.startswith("name:") else f"name: t\ndescription: a test\n{text}"


@dataclass
class World:
    """A project and a store."""

    project: Path
    store: WorkflowStore

    def load(self, text: str) -> Workflow:
        return ion.parse_workflow(whole(text))

    def write(self, text: str, name: str = "t") -> Path:
        """The workflow as a file of the project."""
        return self.file(f".ion/workflows/{name}.yaml", whole(text))

    def file(self, path: str, text: str) -> Path:
        place = self.project / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(textwrap.dedent(text))
        return place

    def run(self, workflow: str | Path, **values: Any) -> RunResult:
        loaded = workflow if isinstance(workflow, Path) else self.load(workflow)
        return ion.execute_workflow_sync(loaded, store=self.store, project=self.project, **values)

    def resume(self, run: RunResult | str, **values: Any) -> RunResult:
        return ion.resume_workflow_sync(_id(run), store=self.store, project=self.project, **values)

    def approve(self, run: RunResult, node: str | None = None, comment: str = "", **values: Any) -> RunResult:
        """Approve and continue."""
        ion.approve(run.run_id, node, comment=comment, store=self.store, project=self.project)
        return self.resume(run, **values)

    def reject(self, run: RunResult, node: str | None = None, reason: str = "", **values: Any) -> RunResult:
        """Reject and continue."""
        ion.reject(run.run_id, node, reason=reason, store=self.store, project=self.project)
        return self.resume(run, **values)

    def respond(self, run: RunResult, node: str, decision: str, text: str = "") -> RunResult:
        """Answer a gate with one of its decisions and continue."""
        ion.respond(run.run_id, node, decision, text=text, store=self.store, project=self.project)
        return self.resume(run)

    def submit(self, run: RunResult, node: str, text: str, **values: Any) -> RunResult:
        """Answer an open prompt and continue."""
        ion.submit(run.run_id, node, text, store=self.store, project=self.project, **values)
        return self.resume(run)

    def signal(self, run: RunResult, event: str, payload: Any = None, **values: Any) -> bool:
        """Send a signal, and do not continue."""
        return ion.signal(run.run_id, event, payload, store=self.store, project=self.project, **values)

    def prompts(self, run: RunResult) -> list[dict[str, Any]]:
        return ion.next_prompts(run.run_id, store=self.store, project=self.project)

    def log(self, run: RunResult | str, kind: type[AnyEvent] = e.Event, node: str | None = None) -> list[AnyEvent]:
        """The events of a run, all or those of one type, of one node."""
        events = [recorded.event for recorded in self.store.get_workflow_events(_id(run))]
        return [
            event
            for event in events
            if isinstance(event, kind) and (node is None or (isinstance(event, e.NodeEvent) and event.node == node))
        ]

    def interrupt(self, text: str | Path, *, at: str, agent: Agent | None = None, **values: Any) -> str:
        """Run until the prompt of the node `at` is asked and no answer is prepared for it, then interrupt the driver as
        Ctrl-C does. Gives the run's id."""
        loaded = text if isinstance(text, Path) else self.load(text)
        answering = agent or Agent()

        async def scenario() -> None:
            asked = asyncio.Event()

            async def ask(request: PromptRequest) -> str | PromptResult:
                if request.node == at and not answering.prepared.get(at):
                    asked.set()
                    await asyncio.Event().wait()
                return answering(request)

            running = ion.execute_workflow(
                loaded, store=self.store, project=self.project, run_id="cut", agent=ask, **values
            )
            task = asyncio.create_task(running)
            waiting = asyncio.create_task(asked.wait())
            await asyncio.wait({task, waiting}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            assert asked.is_set(), f"'{at}' was never asked"
            task.cancel()
            await asyncio.wait({task})

        asyncio.run(scenario())
        return "cut"


class Clock:
    """Milliseconds since the epoch, a hundred times too fast; `skip` puts it forward."""

    def __init__(self) -> None:
        self._began = time.time_ns() // 1_000_000
        self._skipped = 0

    def __call__(self) -> int:
        return self.at(time.time_ns() // 1_000_000)

    def at(self, moment: int) -> int:
        """What it shows at a moment of the real clock."""
        return self._began + (moment - self._began) * HURRY + self._skipped

    def skip(self, milliseconds: int) -> None:
        self._skipped += milliseconds


@dataclass
class Agent:
    """An agent that gives prepared answers, the next one of a node each time it is asked, and remembers what it was
    asked. Without prepared ones it answers `reply of NODE`. An answer may be an error, which is raised. Sessions are
    named after the node and the number of the prompt: `draft#1`."""

    prepared: dict[str, list[Reply]] = field(default_factory=dict)
    requests: list[PromptRequest] = field(default_factory=list)
    name: str = "tester"

    def __call__(self, request: PromptRequest) -> PromptResult:
        self.requests.append(request)
        answers = self.prepared.get(request.node)
        if request.node in self.prepared and not answers:
            raise AssertionError(f"'{request.node}' was asked once more than expected: {request.prompt}")
        answer: Reply = answers.pop(0) if answers else f"reply of {request.node}"
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, PromptResult):
            return answer
        return PromptResult(answer, session=f"{request.node}#{len(self.of(request.node))}")

    def of(self, node: str) -> list[PromptRequest]:
        """What was asked for one node, in order."""
        return [request for request in self.requests if request.node == node]

    def prompts(self, node: str) -> list[str]:
        """The texts of the prompts of one node."""
        return [request.prompt for request in self.of(node)]


def agent(**answers: list[Reply] | Reply) -> Agent:
    """An agent with these answers for these nodes."""
    return Agent({node: [*given] if isinstance(given, list) else [given] for node, given in answers.items()})


def _id(run: RunResult | str) -> str:
    return run if isinstance(run, str) else run.run_id


def statuses(run: RunResult) -> dict[str, str]:
    """The status of each node."""
    return {node: data["status"] for node, data in run.data["nodes"].items()}


def output(run: RunResult, node: str) -> str:
    """A node's output, of any size. Fails the test if the node has none."""
    data = run.data["nodes"][node]
    if data.get("output_file"):
        return Path(data["output_file"]).read_text()
    assert isinstance(data["output"], str), data
    return data["output"]


def error(run: RunResult, node: str) -> str:
    """Why a node failed: `code: message`. Fails the test if it did not."""
    data = run.data["nodes"][node]
    assert data["status"] == "failed", data
    return f"{data['error']['code']}: {data['error']['message']}"


def problems(text: str) -> list[Problem]:
    """All problems of a workflow file that does not load."""
    try:
        ion.parse_workflow(whole(text))
    except InvalidWorkflowError as invalid:
        return list(invalid.problems)
    raise AssertionError("the file loads")


def codes(text: str) -> list[str]:
    """The codes of the errors of a workflow file that does not load."""
    return [problem.code for problem in problems(text) if problem.severity == "error"]


def ran(world: World, node: str) -> int:
    """How often a bash node that writes a line into `NODE.runs` ran."""
    file = world.project / f"{node}.runs"
    return file.read_text().count("ran") if file.exists() else 0


def mend(world: World, name: str = "mended") -> None:
    """Make the nodes succeed that look for this file."""
    (world.project / name).touch()
