"""What happens next in a run: a function of the workflow and the events so far, with the time given from outside.

`Plan` keeps, beside the state, what makes that function cheap: for each node how many of those it waits for have not
settled, and which nodes may start. `advance` takes both one event further; `next_steps` says what to do, each command
with its reason. A plan built from a state and one that was advanced, event by event or by many at once, give the same
commands.

A node that completed in an earlier life of the run settles only when all that it waits for has settled again with the
values it saw; otherwise it is invalidated and runs again (language.md §10).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from ion.core import events as e
from ion.core.decide import Decision, StartTurn, decide
from ion.core.fold import apply
from ion.core.state import Finished, NodeState, RunState, Waiting, fingerprint
from ion.errors import InternalError
from ion.kinds import AGENT_TURNS, KINDS, SLOT_TURNS
from ion.language.workflow import Node, Workflow

_OUTLINE_LENGTH = 1024


class Record(Struct, frozen=True, gc=False):
    """Append this event: it is decided without carrying anything out."""

    event: e.Event
    reason: str = ""


class Stop(Struct, frozen=True, gc=False):
    """End the running turn of a node; its outcome is then `Stopped`."""

    node: str
    reason: str


class Wait(Struct, frozen=True, gc=False):
    """Nothing else to do before `until` (ms since the epoch), unless a turn ends or a request comes."""

    until: int
    reason: str


class Place(Struct, frozen=True, gc=False):
    """Choose the worker that carries out all turns of this run; until then none is carried out."""

    reason: str = "the run is pinned to one worker"


Command: TypeAlias = Record | StartTurn | Stop | Wait | Place


class AgentLimits(Struct, frozen=True, gc=False):
    """Which agent answers which node's prompts (none: the caller), and how many turns at once of those agents that are
    bounded. An agent's prompts wait in a queue of their own: one that is busy keeps nobody else waiting."""

    agents: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    def lane(self, node: str, turn: str | None) -> str:
        """The agent that a turn needs, or '' for none."""
        return self.agents.get(node, "") if turn in AGENT_TURNS else ""


NO_AGENT_LIMITS = AgentLimits()


class _Line:
    """Nodes by their place in the file, each once, the first of them first."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._here: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, index: int) -> None:
        if index not in self._here:
            self._here.add(index)
            heapq.heappush(self._heap, index)

    def pop(self) -> int:
        index = heapq.heappop(self._heap)
        self._here.remove(index)
        return index


def outline(event: e.Event) -> e.Event:
    """The event with a long output as a reference: a plan looks at no more of it than whether it is blank."""
    if not isinstance(event, e.NodeCompleted):
        return event
    output = event.reply.output
    if len(output.text or "") <= _OUTLINE_LENGTH or not _has_text(output):
        return event
    return replace(event, reply=replace(event.reply, output=e.Content(blob=output.sha256, length=output.size)))


def _has_text(output: e.Content) -> bool:
    return output.text is None or bool(output.text.strip())


def next_steps(
    workflow: Workflow, state: RunState, *, at: int, max_concurrency: int, agent_limits: AgentLimits = NO_AGENT_LIMITS
) -> list[Command]:
    """What to do now in this state. For a driver that keeps a `Plan` this is `plan.next_steps`."""
    return Plan(workflow, state, max_concurrency, agent_limits).next_steps(at)


class Plan:
    """The state of a run and the indexes over it. Deterministic: no clock, no disk, no randomness."""

    def __init__(
        self, workflow: Workflow, state: RunState, max_concurrency: int, agent_limits: AgentLimits = NO_AGENT_LIMITS
    ) -> None:
        self.workflow = workflow
        self.state = state
        self.max_concurrency = max_concurrency
        self.agent_limits = agent_limits
        self._index = {node.id: i for i, node in enumerate(workflow.nodes)}
        self._dependents: dict[str, list[str]] = {node.id: [] for node in workflow.nodes}
        for node in workflow.nodes:
            for other in node.waits_for:
                self._dependents[other].append(node.id)
        self._build()

    def _build(self) -> None:
        self._unsettled = {node.id: len(node.waits_for) for node in self.workflow.nodes}
        self._settled: set[str] = set()
        self._outdated = False
        self._arrived = _Line()
        self._ready: dict[str, _Line] = {}
        self._busy: dict[str, set[str]] = {lane: set() for lane in self.agent_limits.limits}
        self._free = _Line()
        self._timers: list[tuple[int, int]] = []
        self._starts: dict[str, StartTurn] = {}
        self.live: set[str] = set()
        self._slots: set[str] = set()
        self._failed: set[int] = set()
        self._halts: set[int] = set()
        for i, node in enumerate(self.workflow.nodes):
            now = self.state.nodes[node.id]
            self._count(node, now)
            self._track(now)
            if not node.waits_for:
                self._arrived.add(i)

    def _count(self, node: Node, now: NodeState) -> None:
        """Keep in mind who failed, and who ends the run: a cancel node that ran, or a gate that was rejected."""
        index, phase = self._index[node.id], now.phase
        halts = KINDS[node.kind].ends_run if phase.status == "completed" else phase.reason == "rejected"
        (self._failed.add if phase.status == "failed" else self._failed.discard)(index)
        (self._halts.add if halts else self._halts.discard)(index)

    # ------------------------------------------------------------------ forward

    def restart(self, state: RunState) -> None:
        """Continue from this state instead: the log was read again."""
        self.state = state
        self._build()

    def advance(self, event: e.Event) -> None:
        """Take the state and the indexes one event further."""
        apply(self.state, event)
        if isinstance(event, e.WorkflowResumed):
            self._build()
        elif isinstance(event, e.NodeEvent):
            self._outdated |= event.node in self._settled
            self._advance_node(event)

    def _advance_node(self, event: e.NodeEvent) -> None:
        node = self.workflow.by_id[event.node]
        now = self.state.nodes[event.node]
        self._starts.pop(event.node, None)
        self._track(now)
        self._count(node, now)
        if self._unsettled[event.node] == 0:
            self._arrived.add(self._index[event.node])

    def busy(self, agent: str) -> int:
        """How many turns of a bounded agent are under way in this run."""
        return len(self._busy.get(agent, ()))

    def in_order(self, nodes: Iterable[str]) -> list[str]:
        """These nodes in the order of the file."""
        return sorted(nodes, key=self._index.__getitem__)

    def _track(self, now: NodeState) -> None:
        turn, asks = now.phase.turn, now.phase.requests
        if turn is not None:
            self.live.add(now.id)
        else:
            self.live.discard(now.id)
        works = turn in SLOT_TURNS and not asks
        if works:
            self._slots.add(now.id)
        else:
            self._slots.discard(now.id)
        busy = self._busy.get(self.agent_limits.agents.get(now.id, ""))
        if busy is not None:
            if works and turn in AGENT_TURNS:
                busy.add(now.id)
            else:
                busy.discard(now.id)

    def _settle(self, node: str) -> None:
        self._settled.add(node)
        for dependent in self._dependents[node]:
            self._unsettled[dependent] -= 1
            if self._unsettled[dependent] == 0:
                self._arrived.add(self._index[dependent])

    # ------------------------------------------------------------------ what next

    def next_steps(self, at: int) -> list[Command]:
        """The commands of this moment.

        Records come alone: append them, `advance` by them, and ask again before anything is started. Raises
        `InternalError` if nothing can ever happen again in a run that has not ended.
        """
        if self._outdated:
            self._build()
        if self.state.ended:
            return []
        overdue = self._overdue(at)
        if overdue is not None:
            return [Record(overdue, "the run's timeout")]
        end = self._end_early(at)
        if end is not None:
            return self._winding_up(end, at)
        records = self._decide_arrived(at)
        if records:
            return list(records)
        return self._starting(at) or self._idle(at)

    def _decide_arrived(self, at: int) -> list[Record]:
        """Decide every node whose dependencies have settled; those that will run wait for a slot from then on."""
        undone: dict[int, Record] = {}
        while self._arrived:
            index = self._arrived.pop()
            node = self.workflow.nodes[index]
            decision = self._judge(node, at)
            if isinstance(decision, StartTurn):
                self._starts[node.id] = decision
                self._queue(node.id, decision)
            elif decision is not None:
                undone[index] = Record(decision, "decided without running")
        for index in undone:
            self._arrived.add(index)
        return [undone[index] for index in sorted(undone)]

    def _judge(self, node: Node, at: int) -> Decision:
        now = self.state.nodes[node.id]
        phase = now.phase
        if phase.turn is not None or (isinstance(phase, Waiting) and phase.until is None):
            return None
        if isinstance(phase, Finished):
            stale = self._stale(node, now)
            if stale is not None:
                return e.NodeInvalidated(at, node.id, "dependency", stale)
            self._settle(node.id)
            return None
        return decide(self.workflow, self.state, node, now, self._inputs(node), at)

    def _inputs(self, node: Node) -> dict[str, str]:
        return {other: fingerprint(self.state.nodes[other]) for other in node.waits_for}

    def _stale(self, node: Node, now: NodeState) -> str | None:
        """The dependency of a completed node whose value has changed since the node ran."""
        if now.status != "completed":
            return None
        nodes = self.state.nodes
        return next((other for other in node.waits_for if now.inputs.get(other) != fingerprint(nodes[other])), None)

    def _queue(self, node: str, start: StartTurn) -> None:
        index = self._index[node]
        if start.not_before is not None:
            heapq.heappush(self._timers, (start.not_before, index))
        else:
            self._line(start).add(index)

    def _line(self, start: StartTurn) -> _Line:
        """Where a start waits: nowhere for long, or in the line of the agent that it needs."""
        if start.turn not in SLOT_TURNS:
            return self._free
        return self._ready.setdefault(self.agent_limits.lane(start.node, start.turn), _Line())

    def _starting(self, at: int) -> list[Command]:
        while (due := self._next_due()) is not None and due[0] <= at:
            start = replace(self._starts[due[1]], not_before=None)
            self._starts[start.node] = start
            self._queue(start.node, start)
        room = self.max_concurrency - len(self._slots)
        first: list[StartTurn] = []
        for lane, line in list(self._ready.items()):
            first += self._first(line, min(room, self._room_of(lane, room)))
        if len(self._ready) > 1:
            first.sort(key=lambda start: self._index[start.node])
        return [*self._first(self._free, len(self.workflow.nodes)), *first[: max(0, room)]]

    def _next_due(self) -> tuple[int, str] | None:
        """The start that waits for its time, of all of them the first: when, and of which node. What was set for a
        node that has started or ended since is forgotten."""
        while self._timers:
            due, index = self._timers[0]
            start = self._starts.get(self.workflow.nodes[index].id)
            if start is not None and start.not_before == due:
                return due, start.node
            heapq.heappop(self._timers)
        return None

    def _room_of(self, lane: str, room: int) -> int:
        """How many more turns an agent may have now; none once the run's budget is spent."""
        if not lane:
            return room
        if self.state.is_spent:
            return 0
        limit = self.agent_limits.limits.get(lane)
        return room if limit is None else limit - len(self._busy[lane])

    def _is_full(self, agent: str) -> bool:
        """Whether an agent has as many turns as it may, those of other runs included."""
        return agent in self._busy and self.agent_limits.limits[agent] <= len(self._busy[agent])

    def _first(self, line: _Line, count: int) -> list[StartTurn]:
        """The first `count` nodes of a line that are still to start; they stay in it until they have started.

        A line also holds what was left in it: nodes that started since, or whose next turn is in another one.
        """
        found: list[StartTurn] = []
        kept: list[int] = []
        while line and len(found) < count:
            index = line.pop()
            start = self._starts.get(self.workflow.nodes[index].id)
            if start is not None and start.not_before is None and self._line(start) is line:
                found.append(start)
                kept.append(index)
        for index in kept:
            line.add(index)
        return found

    def _idle(self, at: int) -> list[Command]:
        """Nothing can start. Turns run, a retry or the run's timeout is due later, people are waited for, or the run
        is over."""
        if self.live or self._waits_for_other_runs():
            return self._timeouts()
        if len(self._settled) == len(self.workflow.nodes):
            return [Record(self._end(at), "every node has settled")]
        if self._next_due() is not None:
            return self._timeouts()
        held = self.state.is_spent and any(self.agent_limits.lane(one.node, one.turn) for one in self._starts.values())
        if held or any(now.status == "waiting" for now in self.state.nodes.values()):
            if self.state.status == "running":
                why = "the budget is spent" if held else "nothing can continue without an answer"
                return [Record(e.WorkflowPaused(at, held), why)]
            return []
        raise InternalError("stuck: nothing runs, nothing can start and nobody is waited for; this is a bug")

    def _waits_for_other_runs(self) -> bool:
        """Whether a turn waits for an agent whose turns all belong to other runs."""
        waiting = {self.agent_limits.lane(one.node, one.turn) for one in self._starts.values()}
        return not self.state.is_spent and any(self._is_full(agent) for agent in waiting)

    def _timeouts(self) -> list[Command]:
        waits: list[Command] = []
        due = self._next_due()
        if due is not None:
            waits.append(Wait(due[0], f"retry of {due[1]}"))
        deadline = self._deadline()
        if deadline is not None:
            waits.append(Wait(deadline, "the run's timeout"))
        return waits

    def _deadline(self) -> int | None:
        """When the run's time is used up, if a process keeps owning it."""
        if self.workflow.timeout_ms is None or self.state.owned_since is None or self.state.cancel is not None:
            return None
        left = self.workflow.timeout_ms - (self.state.owned_ms - self.state.timed_from)
        return self.state.owned_since + left

    def _overdue(self, at: int) -> e.CancelRequested | None:
        deadline = self._deadline()
        if deadline is None or at < deadline:
            return None
        return e.CancelRequested(at, f"the run took longer than {self.workflow.timeout_ms} ms", "timeout")

    # ------------------------------------------------------------------ the end

    def _end(self, at: int) -> e.Event:
        """The end of a run in which every node has settled (language.md §3.2)."""
        failed = [now.id for now in self.state.nodes.values() if now.status == "failed"]
        if failed:
            names = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
            message = f"{len(failed)} of {len(self.state.nodes)} nodes failed: {names}"
            return e.WorkflowFailed(at, e.Failure("node-failed", message))
        if not any(now.status == "completed" for now in self.state.nodes.values()):
            return e.WorkflowFailed(at, e.Failure("nothing-completed", "no node completed: every one was skipped"))
        return e.WorkflowCompleted(at, self._output_node())

    def _output_node(self) -> str | None:
        if self.workflow.returns is not None:
            return self.workflow.returns if self.state.nodes[self.workflow.returns].status == "completed" else None
        followed = {other for node in self.workflow.nodes for other in node.depends_on}
        for node in self.workflow.nodes:
            output = self.state.nodes[node.id].output
            if node.id not in followed and output is not None and _has_text(output):
                return node.id
        return None

    def _end_early(self, at: int) -> e.WorkflowFailed | e.WorkflowCancelled | None:
        """The end that the run heads for before all nodes have settled, if it does: asked for, out of time, by a
        cancel node, a rejection, or `fail_fast`."""
        request = self.state.cancel
        if request is not None:
            if request.cause == "timeout":
                hint = "ion resume gives it the same time again"
                return e.WorkflowFailed(at, e.Failure("timeout", request.reason, hint))
            return e.WorkflowCancelled(at, request.reason)
        if self._halts:
            return self._halted(at, self.workflow.nodes[min(self._halts)].id)
        if self.workflow.fail_fast and self._failed:
            failed = self.workflow.nodes[min(self._failed)].id
            return e.WorkflowFailed(at, e.Failure("node-failed", f"'{failed}' failed and fail_fast is set"))
        return None

    def _halted(self, at: int, node: str) -> e.WorkflowCancelled:
        now = self.state.nodes[node]
        if KINDS[now.kind].ends_run:
            return e.WorkflowCancelled(at, (now.output.text if now.output else None) or "", node)
        return e.WorkflowCancelled(at, now.progress.rejection_reason or "rejected", node)

    def _winding_up(self, end: e.WorkflowFailed | e.WorkflowCancelled, at: int) -> list[Command]:
        """Stop what runs, close what waits, skip what has not started; then end."""
        reason = "fail_fast" if isinstance(end, e.WorkflowFailed) and self.state.cancel is None else "cancelled"
        commands: list[Command] = []
        live = False
        for node in self.workflow.nodes:
            now = self.state.nodes[node.id]
            if now.terminal:
                continue
            if now.live:
                live = True
                commands.append(Stop(node.id, reason))
            elif now.begun:
                commands.append(Record(e.NodeCancelled(at, node.id, reason), reason))
            else:
                commands.append(Record(e.NodeSkipped(at, node.id, reason, self._because(end)), reason))
        if not live:
            commands.append(Record(end, reason))
        return commands

    @staticmethod
    def _because(end: e.WorkflowFailed | e.WorkflowCancelled) -> str:
        return end.error.message if isinstance(end, e.WorkflowFailed) else end.reason
