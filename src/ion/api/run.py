"""The handle of a run: all that one can do with it.

Nothing here loads an event loop; what drives a run is loaded where a method needs it. Continuing a run after an answer
is the caller's next step (`acquire_answered`, `resume`), unless a live process owns it; that one continues by itself.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from ion import clocks, codec
from ion.agents.base import schema_in_words
from ion.api import reading
from ion.api.described import text_of
from ion.api.hidden import Hidden
from ion.api.result import RunResult
from ion.api.workspace import Workspace, require_outside, who
from ion.core import events as e
from ion.core import requests
from ion.core.fold import fold
from ion.core.state import RunState
from ion.engine.options import RunOptions
from ion.errors import IonError, OutputFormatError, RefusedError, UsageError
from ion.language.workflow import Workflow
from ion.names import as_address
from ion.stores.base import WorkflowStore

if TYPE_CHECKING:
    from ion.api.agents import AgentLike
    from ion.api.clusters import ClusterRun
    from ion.api.runs import StartedRun


LONGEST_PAYLOAD = 1 << 20


class AnsweredGates(Struct, frozen=True):
    """What an answer to every gate inside of a node came to: the addresses of those that it answered, and, for each of
    the others, why it did not."""

    answered: tuple[str, ...]
    refused: dict[str, str]


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
        shown = result.described.masked(hidden.json)
        return replace(result, output=output, data=hidden.json(result.data), described=shown)

    def state(self) -> RunState:
        """The whole state, from the log."""
        return reading.read_state(self.workspace, self.run_id)

    def workflow(self) -> Workflow:
        """The workflow as the run froze it. Raises `RefusedError` (code `changed`) if the source differs from what
        was frozen."""
        return reading.read_frozen(self.workspace, self.run_id, self.state())

    def events(self, *, after: int = 0) -> list[e.Recorded]:
        """The log from the event after number `after` on."""
        return reading.read_events(self.workspace, self.run_id, after=after)

    def follow(self, *, after: int = 0) -> AsyncIterator[e.Recorded]:
        """The events after number `after`, each as soon as it is there, until nobody alive drives the run any more: it
        has ended, waits for people, or was cut off."""
        return reading.follow(self.workspace, self.run_id, after=after)

    def logs(self, node: str | None = None) -> list[Path]:
        """The files that the processes of the run (or of one node) wrote, oldest first: `.out`, `.err`, and the
        transcripts of agents, `.txt`."""
        return reading.log_files(self.workspace, self.run_id, node)

    def prompts(self) -> list[dict[str, Any]]:
        """The prompts that wait for the program to answer them, in the shape of `ion next --json` (cli.md)."""
        return [self._prompt(node.prompt) for node in requests.open_prompts(self.state()) if node.prompt]

    def _prompt(self, pending: e.PromptRequested) -> dict[str, Any]:
        return {
            "request": pending.request,
            "node": pending.node,
            "iteration": pending.iteration,
            "attempt": pending.attempt,
            "prompt": text_of(self.workspace.store, pending.prompt),
            "system": pending.system,
            "session": pending.session,
            "output_format": pending.output_format,
            "options": pending.options,
            "key": pending.key,
        }

    # ------------------------------------------------------------------ asking
    #
    # Each request is one event, guarded by what it answers: of two answers one wins and the other is refused.

    def answer(self, decision: str, node: str | None = None, *, text: str = "", request: str | None = None) -> str:
        """Answer an open gate, or a permission that an agent asks for, and return its node. `decision` is `approve`,
        `reject`, or one of the gate's own decisions; `text` is said with it. `node` may be left out if only one is
        open; `request` names one of several permissions (`waiting` of the run).

        Raises `RefusedError` (it is not open, or was answered), `UsageError` (unknown decision, several are open). If
        no living process drives the run, `resume` continues it.
        """
        state, by = self.state(), who(self.workspace.via)
        event = requests.answer(state, node, decision, at=clocks.now_ms(), text=text, by=by, request=request)
        _check_comment(text)
        self._record(state, event)
        return event.node

    def answer_each(self, decision: str, node: str, *, text: str = "") -> AnsweredGates:
        """Give the same answer to every open gate of a node and inside of it, at any depth; one that was answered
        meanwhile, or to which `decision` is not an answer, is left as it is. `Run.answer` says more.

        Raises what that one raises if none is answered.
        """
        state, by = self.state(), who(self.workspace.via)
        events, refused = requests.answer_each(state, node, decision, at=clocks.now_ms(), text=text, by=by)
        _check_comment(text)
        require_outside(self.run_id)
        answered = self._append_each(events, refused)
        if not answered:
            raise next(iter(refused.values()))
        self._notify(state)
        return AnsweredGates(tuple(answered), {one: error.message for one, error in refused.items()})

    def _append_each(self, events: list[e.ApprovalResolved], refused: dict[str, IonError]) -> list[str]:
        """Append all answers at once or, if one of them comes too late, each by itself; gives the nodes of those that
        count."""
        store = self.workspace.store
        with suppress(RefusedError):
            if events:
                store.create_workflow_event(self.run_id, events, lease=None)
            return [event.node for event in events]
        answered = []
        for event in events:
            try:
                store.create_workflow_event(self.run_id, [event], lease=None)
                answered.append(event.node)
            except RefusedError as error:
                refused[event.node] = error
        return answered

    def submit(self, node: str, text: str, *, session: str | None = None, request: str | None = None) -> bool:
        """Answer a prompt that waits; False if this same answer was given before.

        Raises `OutputFormatError` (nothing is recorded), `RefusedError` (it is not open, or was answered differently).
        """
        node = as_address(node)
        events = [recorded.event for recorded in self.events()]
        state = fold(events)
        answers = [event for event in events if isinstance(event, e.PromptAnswered) and event.node == node]
        found = state.nodes.get(node)
        if found is not None and found.prompt is not None:
            _check_format(node, found.prompt.output_format, text)
        event = requests.submit(
            state,
            node,
            _content(self.workspace.store, text),
            at=clocks.now_ms(),
            by=who(self.workspace.via),
            session=session,
            request=request,
            last=next((one for one in reversed(answers) if request in (None, one.request)), None),
        )
        if event is None:
            return False
        self._record(state, event)
        return True

    def signal(
        self, event: str, payload: Any = None, *, delivery: str | None = None, target: str | None = None
    ) -> bool:
        """Send a signal: the next wait for `event` takes it, also one that has not begun, or only the wait at the
        address `target`. `payload` is JSON, at most 1 MiB; `delivery` names this sending of it, so that it counts
        once (None: it is a new one). False: it has come before.

        Raises `RefusedError` (the run has ended), `UsageError` (nothing in the workflow waits for it, or the payload is
        too long). If no living process drives the run, `resume` continues it.
        """
        state, text = self.state(), None if payload is None else codec.encode(payload)
        if text is not None and len(text.encode("utf-8", "surrogatepass")) > LONGEST_PAYLOAD:
            raise UsageError("the payload is longer than 1 MiB", hint="put it into a file, and send its path")
        sent = requests.signal(
            self.workflow(),
            state,
            event,
            at=clocks.now_ms(),
            by=who(self.workspace.via),
            payload=text,
            delivery=delivery if delivery is not None else os.urandom(8).hex(),
            target=target,
        )
        if sent is None:
            return False
        self._record(state, sent)
        return True

    def cancel(self, *, reason: str = "") -> None:
        """Ask for the end of the run. A live owner ends it; if there is none, `resume` carries the end out."""
        state = self.state()
        self._record(state, requests.cancel(state, at=clocks.now_ms(), reason=reason, by=who(self.workspace.via)))

    def raise_budget(self, max_budget_usd: float) -> None:
        """Let the run spend this much in all. A live owner continues it; if there is none, `resume` does. Raises
        `UsageError` if it has spent that already."""
        state = self.state()
        event = requests.raise_budget(state, max_budget_usd, at=clocks.now_ms(), by=who(self.workspace.via))
        self._record(state, event)

    def _record(self, state: RunState, event: e.Event) -> None:
        """Append a request, and notify a cluster that drives the run. Raises `EngineError` if the cluster cannot be
        notified: the request is in the log all the same; and what `require_outside` raises."""
        if not isinstance(event, e.CancelRequested):
            require_outside(self.run_id)
        self.workspace.store.create_workflow_event(self.run_id, [event], lease=None)
        self._notify(state)

    def _notify(self, state: RunState) -> None:
        if state.engine is not None:
            from ion.api.clusters import notify

            notify(self.workspace, self.run_id, state.engine)

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


def _check_comment(text: str) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > e.INLINE_LIMIT_BYTES:
        raise UsageError("the comment is longer than 256 KiB", hint="put it into a file and name that")


def whole_prompt(prompt: dict[str, Any]) -> str:
    """The text of one of `Run.prompts` with what its answer must fit."""
    told = prompt["output_format"]
    return str(prompt["prompt"]) if told is None else f"{prompt['prompt']}\n\n{schema_in_words(told)}"


def _check_format(node: str, output_format: dict[str, Any] | None, text: str) -> None:
    if output_format is None:
        return
    from ion.nodes.checking import check_reply_now
    from ion.nodes.replies import CheckedReply

    reply = check_reply_now(output_format, text)
    if not isinstance(reply, CheckedReply):
        raise OutputFormatError(
            f"the answer does not fit the output_format of '{node}': {'; '.join(reply)}",
            hint="nothing was recorded; answer again",
        )


def _content(store: WorkflowStore, text: str) -> e.Content:
    content = e.Content(text)
    return content if content.size <= e.INLINE_LIMIT_BYTES else store.put_blob(text.encode("utf-8", "surrogatepass"))
