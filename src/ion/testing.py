"""Test doubles that ship with Ion: an agent with given replies, a store in memory, a world in which nothing is real.

agent = FakeAgent({"plan": "1. do it", "do": [AgentError("rate_limited", "slow down"), "done"]})
result = ion.execute_workflow_sync("fix", agent=agent, store=MemoryStore())
assert agent.prompts("plan") == ["Plan this: …"]

world = SimulatedWorld(workflow, {"plan": [failed("timeout"), "1. do it"]}, die_after=4).run()
world.die_after = None
assert world.resume().state.status == "completed"
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, TypeVar

from msgspec.structs import replace

from ion.agents.base import PromptRequest, PromptResult
from ion.core import events as e
from ion.core import requests
from ion.core.addresses import members_of
from ion.core.commands import NO_AGENT_LIMITS, AgentLimits
from ion.core.composites import COLLECT, EXPAND, output_of
from ion.core.expanding import items_of
from ion.core.fold import fold
from ion.core.outcomes import Completed, Expanded, Failed, GateOpened, Judged, Outcome, Stopped, WaitOpened
from ion.core.plan import Plan
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState, RunState
from ion.core.step import Ended, News, Placed
from ion.core.values import condition_values
from ion.engine.driver import drive
from ion.errors import InternalError, StaleStateError, StoreUnavailableError
from ion.kinds import TURNS
from ion.language.templates import Template, templates_of
from ion.language.workflow import Workflow
from ion.stores.memory import MemoryStore

__all__ = ["DiedError", "FakeAgent", "MemoryStore", "SimulatedWorld", "completed", "failed", "finished"]

Reply: TypeAlias = str | PromptResult | Exception
Replies: TypeAlias = Reply | Sequence[Reply] | Callable[[PromptRequest], Reply]


@dataclass
class FakeAgent:
    """An agent that answers by node id: one reply for every prompt, a list of them (the last one stays), or a function
    of the request. An exception is raised. A node without a reply gets its own prompt back. `requests` holds all that
    was asked, in order."""

    replies: Mapping[str, Replies] = field(default_factory=dict)
    name: str = "fake"
    requests: list[PromptRequest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer with the next reply of the request's node."""
        with self._lock:
            self.requests.append(request)
            asked = sum(earlier.node == request.node for earlier in self.requests)
        reply = self._reply(request, asked)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, PromptResult) else PromptResult(reply)

    def prompts(self, node: str) -> list[str]:
        """The prompts that this node asked, in order."""
        return [request.prompt for request in self.requests if request.node == node]

    def _reply(self, request: PromptRequest, asked: int) -> Reply:
        given = self.replies.get(request.node, request.prompt)
        if isinstance(given, str | PromptResult | Exception):
            return given
        if callable(given):
            return given(request)
        return given[min(asked, len(given)) - 1]


Given: TypeAlias = str | Outcome | Sequence[str | Outcome] | Callable[[NodeState, str], str | Outcome]
_Result = TypeVar("_Result")


def completed(text: str = "ok", *, signaled: bool = False, **values: Any) -> Completed:
    """A turn gave this output; `signaled` as in `Completed`, `values` as in `events.Reply`."""
    return Completed(e.Reply(e.Content(text), **values), signaled)


def failed(code: str = "exit-status", message: str = "exit 1", output: str | None = None) -> Failed:
    """A turn failed with this error; `output` is what it printed before, where its failure may be allowed."""
    return Failed(e.Failure(code, message), reply=None if output is None else e.Reply(e.Content(output)))


class DiedError(Exception):
    """The process that drives a simulated run has died."""


@dataclass
class SimulatedWorld:
    """A run in a world where nothing is real but the driver and the core: a clock that is turned by hand, a log in a
    list, turns with given outcomes. It runs thousands of histories in a second.

    `outcomes` gives what comes of the turns of a node: one outcome, a sequence (one for each attempt, the last one
    stays), or a function of the node's state and the kind of the turn; a text is the output of a turn that completed.
    Gates open and checks pass unless such a function says otherwise. Turns end one after the other, in file order.

    `clock` is the time in ms, `patience_ms` how long a wait may take without a pause of the run. `die_after`: the
    process dies when the log has so many events. `faults` says which appends to the log fail, by number, and
    whether that is before or after the events are written: the process ends by it. A world of your own can override
    any method of `ion.engine.driver.World`.
    """

    workflow: Workflow
    outcomes: Mapping[str, Given] = field(default_factory=dict)
    log: list[e.Event] = field(default_factory=list)
    slots: int = 100
    die_after: int | None = None
    faults: Mapping[int, Literal["before", "after"]] = field(default_factory=dict)
    clock: int = 1
    agent_limits: AgentLimits = NO_AGENT_LIMITS
    patience_ms: int | None = None
    carried_out: list[tuple[str, str]] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    stopping: dict[str, str] = field(default_factory=dict)
    placing: bool = False
    appends: int = 0

    @property
    def state(self) -> RunState:
        """The state of the run, from its log."""
        return fold(self.log)

    def statuses(self) -> dict[str, str]:
        """The status of each node."""
        return {node.id: node.status for node in self.state.nodes.values()}

    def run(self, begin: Iterable[e.Event] = ()) -> Self:
        """Start the run, or continue it with its log, until it ends, waits for people or dies."""
        if not self.log:
            self.log.append(self.started())
        self.turns, self.stopping, self.placing = {}, {}, False
        self.plan = self.make_plan(self.state)
        try:
            finished(drive(self.plan, self, begin))
        except (DiedError, StoreUnavailableError):
            self.turns = {}
        return self

    def resume(self, agent: str | None = None) -> Self:
        """Another process continues the run, a second later; `RefusedError` and an assertion say that it cannot."""
        cause = resume_cause(self.state, agent=agent)
        assert cause is not None, "it waits for people, and nothing came"
        self.clock += 1000
        return self.run(resume_events(self.workflow, self.state, cause=cause, at=self.clock, by={}, agent=agent))

    def request(self, event: e.Event) -> Self:
        """What somebody asks for while nobody drives the run."""
        self.log.append(event)
        return self

    def approve(self, node: str | None = None, comment: str = "") -> Self:
        """Somebody approves the gate of `node`, or the only open one."""
        return self.request(requests.answer(self.state, node, "approve", at=self.clock, text=comment, by={}))

    def reject(self, node: str | None = None, reason: str = "") -> Self:
        """Somebody rejects it."""
        return self.request(requests.answer(self.state, node, "reject", at=self.clock, text=reason, by={}))

    def started(self) -> e.WorkflowStarted:
        """The first event of the run."""
        flow = self.workflow
        return e.WorkflowStarted(0, flow.name, "digest", flow.node_kinds, max_budget_usd=flow.max_budget_usd)

    def make_plan(self, state: RunState) -> Plan:
        """The plan of a process that begins to drive the run."""
        return Plan(self.workflow, state, self.slots, self.agent_limits, self.patience_ms)

    # ------------------------------------------------------------------ the world

    def now(self) -> int:
        return self.clock

    def jitter(self) -> float:
        return 0.0

    def mask(self, event: e.Event) -> e.Event:
        return event

    def draining(self) -> bool:
        return False

    async def read(self, after: int) -> list[e.Recorded]:
        return [e.Recorded(seq, event) for seq, event in enumerate(self.log[after:], after + 1)]

    async def append(self, events: Sequence[e.Event], after: int) -> None:
        if after != len(self.log):
            raise StaleStateError("the log has changed")
        self.appends += 1
        fault = self.faults.get(self.appends)
        if fault == "before":
            raise StoreUnavailableError("nothing was written")
        room = None if self.die_after is None else max(0, self.die_after - after)
        self.log += events[:room]
        if fault == "after":
            raise StoreUnavailableError("nobody knows whether it was written")
        if room is not None and len(events) >= room:
            raise DiedError

    def observe(self, recorded: Sequence[e.Recorded], state: RunState) -> None:
        pass

    def place(self) -> None:
        self.placing = True

    def start(self, now: NodeState) -> None:
        self.turns[now.id] = now.starts

    def stop(self, node: str, reason: str) -> None:
        self.stopping[node] = reason

    async def wait(self, until: int | None) -> list[News]:
        """All that are to stop end, else the first turn does, else it is `until`."""
        self.clock += 1
        if self.placing:
            self.placing = False
            return [Placed("worker")]
        if self.stopping:
            stopped, self.stopping = self.stopping, {}
            return [Ended(node, self.turns.pop(node), Stopped(reason)) for node, reason in stopped.items()]
        if self.turns:
            node = self.plan.in_order(self.turns)[0]
            return [Ended(node, self.turns.pop(node), self._outcome(self.plan.state.nodes[node]))]
        if until is None:
            raise InternalError("nothing runs and nothing is due, but the driver waits; this is a bug")
        self.clock = max(self.clock, until)
        return []

    def _outcome(self, now: NodeState) -> Outcome:
        turn = now.turn or ""
        self.carried_out.append((now.id, turn))
        given = self.outcomes.get(now.id, "ok")
        if callable(given):
            given = given(now, turn)
        elif isinstance(given, Sequence) and not isinstance(given, str):
            given = given[min(now.attempts, len(given)) - 1]
        template = templates_of(self.workflow)[now.id]
        if turn == EXPAND:
            return given if isinstance(given, Outcome) else self._expanded(template)
        if TURNS[turn].brings == "wait":
            return given if isinstance(given, WaitOpened) else WaitOpened()
        outcome = completed(given) if isinstance(given, str) else given
        if not isinstance(outcome, Completed):
            return outcome
        if turn == COLLECT:
            return self._collected(template, now, outcome)
        if not TURNS[turn].is_work:
            return GateOpened("") if TURNS[turn].brings == "question" else Judged(done=True)
        values = condition_values(template, outcome.reply.output, lambda output: output.text or "")
        return replace(outcome, reply=replace(outcome.reply, values=values))

    def _collected(self, template: Template, now: NodeState, outcome: Completed) -> Completed:
        """The outputs of a fan-out as a list, or that of an iteration; an outcome that was given counts instead."""
        if now.id in self.outcomes:
            return outcome
        members = list(members_of(self.plan.state, now.id))
        if template.item is None:
            output = output_of(template, members).output
        else:
            texts = [one.output.text if one.output is not None else None for one in members]
            output = e.Content(json.dumps(texts))
        return replace(outcome, reply=e.Reply(output, condition_values(template, output, lambda one: one.text or "")))

    def _expanded(self, template: Template) -> Expanded:
        """The items of a fan-out as its file lists them, and no inputs of a called workflow."""
        fan_out = template.node.fan_out
        if fan_out is None:
            return Expanded(given=e.Content('{"inputs":{},"arguments":""}'))
        return items_of(list(fan_out.items or ()), template, e.Content)


def finished(drive: Coroutine[Any, Any, _Result]) -> _Result:
    """What a drive gives in a world that never waits: all of it in one go, without an event loop."""
    try:
        drive.send(None)
    except StopIteration as end:
        result: _Result = end.value
        return result
    raise InternalError("a simulated world waited for something real")
