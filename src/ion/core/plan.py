"""What happens next in a run: a function of the workflow and the events so far, with the time given from outside.

`Plan` keeps, beside the state, what makes that function cheap: for each instance how many of those it waits for have
not settled, and which may start. `advance` takes both one event further; `next_steps` says what to do, each command
with its reason. A plan built from a state and one that was advanced, event by event or by many at once, give the same
commands.

A node that completed in an earlier life of the run settles only when all that it waits for has settled again with the
values it saw; otherwise it is invalidated and runs again (language.md §10). What is inside of a node is looked at only
once that holds for the node itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from ion.core import events as e
from ion.core.addresses import is_halting
from ion.core.apply_outcome import failed_or_tried_again
from ion.core.budgets import spent_around
from ion.core.commands import NO_AGENT_LIMITS, AgentLimits, Command, Record, Wait
from ion.core.composites import halting_in, opened
from ion.core.decide import Decision, StartTurn, decide
from ion.core.ending import (
    End,
    WindingUp,
    cancelled_by,
    end_requested,
    finished,
    finishing,
    questions_closed,
    run_end,
    told,
)
from ion.core.fold import apply
from ion.core.foreseen import has_foreseen, nothing_to_catch, rescuers_of
from ion.core.instances import (
    Instance,
    Line,
    OpenScope,
    Position,
    is_read_inside,
    place_among_items,
    why_it_ends,
)
from ion.core.lanes import NOT_HELD, Held, closed_lanes
from ion.core.starts import Starts
from ion.core.state import Finished, NodeState, RunState, changed_input, fingerprint
from ion.core.surroundings import surroundings
from ion.core.time_limits import finally_deadline, limit_of, reached_at, run_deadline, run_overdue, timed_out
from ion.core.timers import Timers
from ion.errors import InternalError
from ion.language.templates import Template, templates_of
from ion.language.workflow import Workflow


def next_steps(
    workflow: Workflow, state: RunState, *, at: int, max_concurrency: int, agent_limits: AgentLimits = NO_AGENT_LIMITS
) -> list[Command]:
    """What to do now in this state. For a driver that keeps a `Plan` this is `plan.next_steps`."""
    return Plan(workflow, state, max_concurrency, agent_limits).next_steps(at)


class Plan:
    """The state of a run and the indexes over it. Deterministic: no clock, no disk, no randomness. `patience_ms` is how
    long a wait may still take for the run not to be paused meanwhile (None: as long as it takes)."""

    def __init__(
        self,
        workflow: Workflow,
        state: RunState,
        max_concurrency: int,
        agent_limits: AgentLimits = NO_AGENT_LIMITS,
        patience_ms: int | None = None,
    ) -> None:
        self.workflow = workflow
        self.templates = templates_of(workflow)
        self.state = state
        self.max_concurrency = max_concurrency
        self.agent_limits = agent_limits
        self.has_foreseen = has_foreseen(self.templates)
        self.patience_ms = patience_ms
        self._build()

    def _build(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._outdated = False
        self._arrived = Line()
        self._starts = Starts(self._instances, self.max_concurrency, self.agent_limits)
        self._timers = Timers(self._due)
        self._gates = Timers(self._due)
        self._limits = Timers(self._limit_of)
        self._listening: set[str] = set()
        self._ending: list[OpenScope] = []
        body = self.templates.root
        self._root = OpenScope(None, body, self.workflow.fail_fast)
        self._root.finishing = self.state.finishing is not None
        self._fill(self._root, [(one.path, one) for one in body.members])
        self._begin(self._root)

    # ------------------------------------------------------------------ scopes

    def _fill(self, scope: OpenScope, members: Iterable[tuple[str, Template]]) -> None:
        prefix = () if scope.owner is None else scope.owner.place
        body, agents, nodes = scope.body, self.agent_limits.agents, self.state.nodes
        for i, (address, template) in enumerate(members):
            instance = Instance(address, template, scope, (*prefix, i), agents.get(template.path, ""))
            self._instances[address] = instance
            scope.members.append(instance)
            now = nodes[address]
            self._count(instance, now)
            self._watch(instance, now)
            if body is not None:
                instance.unsettled = len(body.waits[i])
            if template.is_composite and opened(self.state, now) is not None:
                self._open(instance)
            elif now.terminal and body is not None:
                self._find_halts(instance)
        scope.finals = 0 if body is None else len(body.finals)
        scope.left = len(scope.members) - scope.finals

    def _begin(self, scope: OpenScope) -> None:
        """Let those instances begin that wait for no other."""
        scope.has_begun = True
        if scope.owner is not None:
            self._limit(scope.owner)
        if scope.body is None and scope.owner is not None:
            scope.inputs = self._read_by_items(scope.owner)
            self._admit(scope, scope.room or scope.left)
        else:
            for instance in scope.members:
                if not instance.unsettled and instance.template.is_final == scope.finishing:
                    self._arrived.add(instance)

    def _open(self, owner: Instance) -> None:
        """Take in the instances inside of this one, which the state has already."""
        template, found = owner.template, self.state.scopes[owner.address]
        fan_out = template.node.fan_out
        if template.item is not None and fan_out is not None:
            scope = OpenScope(owner, None, fan_out.fail_fast)
            scope.room = fan_out.max_parallel
            members = [(address, template.item) for address in found.members]
        else:
            assert template.inside is not None
            called = template.called
            scope = OpenScope(owner, template.inside, called is not None and called.fail_fast)
            members = list(zip(found.members, template.inside.members, strict=True))
        scope.finishing = found.finishing is not None
        owner.inside = scope
        self._fill(scope, members)

    def _admit(self, scope: OpenScope, count: int) -> None:
        """Let the next instances of a fan-out begin, as far as there are more."""
        for instance in scope.members[scope.next : scope.next + count]:
            self._arrived.add(instance)
        scope.next += count

    def _close(self, owner: Instance) -> None:
        """What is inside has come to its end, or begins again."""
        if owner.inside is not None:
            for instance in owner.inside.members:
                if instance.inside is not None:
                    self._close(instance)
                self._starts.drop(instance.address)
                self._instances.pop(instance.address, None)
                self._listening.discard(instance.address)
            owner.inside = None

    def _read_by_items(self, fan_out: Instance) -> dict[str, str]:
        item = fan_out.template.item
        around, nodes = surroundings(self.state, fan_out.template, fan_out.address), self.state.nodes
        found = ((name, around.find(nodes, name)) for name in (item.reads if item is not None else ()))
        return {name: "" if now is None else fingerprint(now) for name, now in found}

    def _watch(self, instance: Instance, now: NodeState) -> None:
        self._starts.track(instance, now)
        if now.phase.requests:
            self._limit(instance)
        if now.wait is not None and now.wait.kind == e.SIGNAL:
            self._listening.add(instance.address)
        else:
            self._listening.discard(instance.address)

    def _count(self, instance: Instance, now: NodeState) -> None:
        """Keep in mind who failed, and who ends more than itself: a cancel node that ran, or a gate that was
        rejected."""
        phase, scope = now.phase, instance.scope
        if phase.status == "failed" and scope.fails_fast and scope.body is not None and not now.allowed:
            # All that may catch it, also once one of them has.
            scope.spared |= rescuers_of(instance.template, instance.address)
        if phase.status == "failed" and self.state.has_failed(now):
            scope.failed.add(instance.place)
            if scope.fails_fast:
                self._ending.append(scope)
        else:
            scope.failed.discard(instance.place)
        halts = is_halting(now)
        if instance.halts is not None:
            instance.halts.halts.pop(instance.place, None)
            instance.halts = None
        if halts and scope.body is not None:
            instance.halts = self._halt(scope, instance.place, instance.address)

    def _find_halts(self, instance: Instance) -> None:
        """What is inside of a group that has ended may still be what ends more than that."""
        template = instance.template
        if template.inside is None or template.calls or instance.address not in self.state.scopes:
            return
        for place, halted in halting_in(self.state, template, instance.address, instance.place):
            self._halt(instance.scope, place, halted.id)

    def _halt(self, scope: OpenScope, place: Position, address: str) -> OpenScope:
        """The instance at this place ends this scope, or the one around it that contains such ends."""
        while not scope.contains_halts and scope.owner is not None:
            scope = scope.owner.scope
        scope.halts[place] = address
        if scope.owner is not None:
            self._ending.append(scope)
        return scope

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
        elif isinstance(event, e.SignalReceived):
            for address in self._listening:
                self._arrived.add(self._instances[address])
        elif isinstance(event, e.WorkflowFinishing):
            self._root.finishing, self._root.overdue = True, False
            self._begin(self._root)
        elif isinstance(event, e.NodeEvent):
            instance = self._instances.get(event.node)
            if instance is not None:  # else it is in something that is over
                self._outdated |= instance.settled
                self._advance_node(instance, event)

    def _advance_node(self, instance: Instance, event: e.NodeEvent) -> None:
        now = self.state.nodes[event.node]
        self._starts.drop(event.node)
        self._watch(instance, now)
        self._count(instance, now)
        if isinstance(event, e.NodeCompleted) and event.caught:
            for caught in event.caught:
                self._count(self._instances[caught], self.state.nodes[caught])
        if instance.template.is_composite:
            if instance.inside is not None and (isinstance(event, e.ScopeOpened) or opened(self.state, now) is None):
                self._close(instance)
            if isinstance(event, e.ScopeOpened):
                self._open(instance)
            if isinstance(event, e.ScopeFinishing) and instance.inside is not None:
                instance.inside.finishing, instance.inside.overdue = True, False
                self._begin(instance.inside)
        if instance.unsettled == 0:
            self._arrived.add(instance)
        call = spent_around(self.templates, self.state, now) if self.templates.has_budgets else ""
        if call:
            self._reconsider(f"{call}.")

    def _reconsider(self, prefix: str) -> None:
        """Decide anew about the turns of agents that wait for room in a call whose budget is spent."""
        for address in [*self._starts.of_agents(), *self._timers]:
            if address.startswith(prefix):
                self._starts.drop(address)
                self._arrived.add(self._instances[address])

    @property
    def live(self) -> set[str]:
        """The addresses of those whose turn runs."""
        return self._starts.live

    def busy(self, agent: str) -> int:
        """How many turns of a bounded agent are under way in this run."""
        return self._starts.busy(agent)

    def busy_agent(self, address: str) -> str:
        """The bounded agent whose turn is under way here; '' for none."""
        return self._starts.busy_agent(address)

    def ready(self, agent: str, most: int, at: int) -> list[str]:
        """The addresses of those that would start, and no more than `most`, if this agent had room for them."""
        held = self.state.is_spent or agent in closed_lanes(self.state.lanes, at)
        return [] if held else self._starts.ready(agent, most)

    def in_order(self, nodes: Iterable[str]) -> list[str]:
        """These instances in the order of the file and of the items."""
        return sorted(nodes, key=self._place)

    def _place(self, address: str) -> Position:
        found = self._instances.get(address)
        return () if found is None else found.place

    # ------------------------------------------------------------------ time

    def _due(self, address: str) -> tuple[int, ...]:
        """When the instance of this address is due, by the clock. A check of a wait is tried again, and expires, also
        while it waits for a slot."""
        now = self.state.nodes.get(address)
        if now is None or now.live or address not in self._instances:
            return ()
        times = (now.due_at, now.wait.due_at if now.wait is not None else None)
        return tuple(due for due in times if due is not None)

    def _limit(self, instance: Instance) -> None:
        limit = limit_of(instance.template, self.state, self.state.nodes[instance.address])
        if limit is not None:
            self._limits.set(limit, instance)

    def _limit_of(self, address: str) -> tuple[int, ...]:
        """When the time of the instance of this address is over, by how long the run is owned."""
        instance, now = self._instances.get(address), self.state.nodes.get(address)
        if instance is None or now is None or now.terminal:
            return ()
        limit = limit_of(instance.template, self.state, now)
        return () if limit is None else (limit,)

    def _settle(self, instance: Instance) -> None:
        instance.settled = True
        scope = instance.scope
        if instance.template.is_final:
            scope.finals -= 1
        else:
            scope.left -= 1
        if scope.body is None:
            self._admit(scope, 1)
        else:
            for i in scope.body.dependents[instance.place[-1]]:
                dependent = scope.members[i]
                dependent.unsettled -= 1
                if dependent.unsettled == 0:
                    self._arrived.add(dependent)
        if not scope.unsettled and scope.owner is not None:
            self._arrived.add(scope.owner)

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
        overdue = run_overdue(self.workflow, self.state, at)
        if overdue is not None:
            return [Record(overdue, "the run's timeout")]
        end = self._end_early(at)
        if self.state.finishing is not None:
            late = self._finally_over(at)
            if late:
                return self._winding_up_finally(late, at)
        stops = self._winding_up(end, at) if end is not None else self._end_scopes(at) if self._ending else []
        records = [one for one in stops if isinstance(one, Record)]
        if records and end is not None:
            return stops
        records = records or self._decide_arrived(at)
        if records:
            return list(records)
        overtime = self._overtime(at) if self._limits else None
        if overtime is not None:
            return list(overtime) or self.next_steps(at)
        first = self._starts.first(spent=self.state.is_spent, closed=closed_lanes(self.state.lanes, at))
        return [*stops, *(first or self._idle(at))]

    def _decide_arrived(self, at: int) -> list[Record]:
        """Decide every node whose dependencies have settled; those that will run wait for a slot from then on."""
        for address in (*self._timers.take(at), *self._gates.take(at)):
            self._arrived.add(self._instances[address])
        undone: list[tuple[Position, Instance, list[Record]]] = []
        taken: set[str] = set()
        late: list[Instance] = []
        while self._arrived:
            instance = self._instances.get(self._arrived.pop())
            decision = self._judge(instance, at) if instance is not None else None
            if instance is None or decision is None:
                continue
            if isinstance(decision, StartTurn):
                self._starts.add(instance, decision)
                continue
            if isinstance(decision, e.NodeCompleted) and decision.signal is not None:
                if decision.signal in taken:  # by a wait before this one, which looks again
                    late.append(instance)
                    continue
                taken.add(decision.signal)
            closed = (
                questions_closed(self.state, instance.address, at) if isinstance(decision, e.NodeInvalidated) else []
            )
            undone.append((instance.place, instance, [*closed, Record(decision, "decided without running")]))
        for instance in (*late, *(one for _, one, _ in undone)):
            self._arrived.add(instance)
        undone.sort(key=lambda one: one[0])
        return [record for _, _, records in undone for record in records]

    def _judge(self, instance: Instance, at: int) -> Decision:
        now = self.state.nodes[instance.address]
        phase = now.phase
        if instance.settled or not instance.may_begin:
            return None
        if not now.is_undecided and not self._asks_in_vain(instance, now, at):
            return None
        is_stopped = bool(self._ending) and instance.is_stopped
        if isinstance(phase, Finished):
            may_change = phase.status in ("completed", "failed") and not is_stopped and self.state.keeps(now)
            stale = changed_input(now, self._inputs(instance)) if may_change else None
            if stale is not None:
                return self._invalidated(instance, stale, at)
            self._settle(instance)
            return None
        if is_stopped:
            return None
        inputs = self._inputs(instance)
        if instance.template.is_composite and instance.address in self.state.scopes:
            stale = changed_input(now, inputs)
            # A fan-out that is not open reads its items anyway, a group its nodes, and keeps what it can.
            is_kept = instance.template.item is not None or (stale is not None and is_read_inside(instance, stale))
            if stale is not None and (instance.inside or not is_kept):
                return self._invalidated(instance, stale, at)
            if instance.inside is not None:
                if not instance.inside.has_begun:
                    self._begin(instance.inside)
                    if timed_out(instance.template, self.state, now, at) is not None:
                        self._end_overdue(instance.inside)
                if instance.inside.unsettled:
                    return None
        return self._in_time(instance, now, decide(instance.template, self.state, now, inputs, at), at)

    def _invalidated(self, instance: Instance, stale: str, at: int) -> e.NodeInvalidated:
        return e.NodeInvalidated(
            at, instance.address, "inside" if is_read_inside(instance, stale) else "dependency", stale
        )

    def _in_time(self, instance: Instance, now: NodeState, decision: Decision, at: int) -> Decision:
        """The decision, if its time has come; else the instance is looked at again then."""
        if decision is not None and not isinstance(decision, StartTurn):
            return decision
        for due in self._due(instance.address):
            if due > at:
                (self._timers if now.gate is None else self._gates).set(due, instance)
        return None if now.due_at is not None and now.due_at > at else decision

    def _asks_in_vain(self, instance: Instance, now: NodeState, at: int) -> bool:
        """Whether it asks somebody about failures that a resume has made good: then it is skipped."""
        asks = bool(now.requests and instance.template.node.catches) and not now.live
        return asks and nothing_to_catch(instance.template, self.state, now.id, at) is not None

    def _inputs(self, instance: Instance) -> dict[str, str]:
        """What this instance depends on, as it is now."""
        scope, nodes, place = instance.scope, self.state.nodes, instance.place[-1]
        if scope.body is None:
            return scope.inputs_of(place)
        waits = [scope.members[other] for other in scope.body.waits[place]]
        inputs = {other.template.node.id: fingerprint(nodes[other.address]) for other in waits}
        if scope.owner is not None and instance.template.item_names:
            inputs |= place_among_items(instance)
        return inputs

    def _idle(self, at: int) -> list[Command]:
        """Nothing can start. Turns run, something is due later, people are waited for, or the run is over."""
        spent, closed = self.state.is_spent, closed_lanes(self.state.lanes, at)
        lanes = NOT_HELD if spent else self._starts.held(closed)
        waits = self._waits(lanes)
        if self.live or self._root.overdue or (not spent and self._starts.wait_for_other_runs(closed)):
            return waits
        if self.state.finishing is not None:
            return waits if self._root.finals else [self._finished(self.state.finishing, at)]
        if not self._root.left:
            return [self._end(run_end(self.state, self.templates.root, at), "every node has settled")]
        winds_up = any(scope.finishing is not None and scope.is_open for scope in self.state.scopes.values())
        if winds_up or self._is_soon_due(lanes, at):
            return waits
        held = spent and bool(self._starts.of_agents())
        if held or lanes.agents or any(now.status == "waiting" for now in self.state.nodes.values()):
            if self.state.status == "running":
                why = "the budget is spent" if held else "nothing can continue without an answer"
                return [Record(e.WorkflowPaused(at, held, self._due_at(lanes), lanes.agents), why)]
            return []
        raise InternalError("stuck: nothing runs, nothing can start and nobody is waited for; this is a bug")

    def _is_soon_due(self, lanes: Held, at: int) -> bool:
        """Whether the process that drives the run waits for what is due next: a retry, or a wait or a closed lane that
        does not take longer than it has patience for. Not for a gate, which people answer, nor for a lane that opens
        after a timeout: that stands still while the run is paused."""
        due = self._timers.next()
        if due is not None and self.state.nodes[due[1]].retry_at is not None:
            return True
        times = [] if due is None else [due[0]]
        if lanes.until is not None and all(lanes.until < one.until for one in self._deadlines()):
            times.append(lanes.until)
        return bool(times) and (self.patience_ms is None or min(times) - at <= self.patience_ms)

    def pause(self, at: int) -> e.WorkflowPaused | None:
        """The pause of a run that its process leaves while there is nothing but waits; None: there is more."""
        due, lanes = self._timers.next(), self._starts.held(closed_lanes(self.state.lanes, at))
        is_wait = lanes.until is not None if due is None else self.state.nodes[due[1]].wait is not None
        if self.live or self.state.status != "running" or not is_wait:
            return None
        if not all(isinstance(one, Wait) for one in self.next_steps(at)):
            return None
        return e.WorkflowPaused(at, due_at=self._due_at(lanes), agents=lanes.agents)

    def _due_at(self, lanes: Held) -> int | None:
        return min((one.until for one in self._due_next(lanes)), default=None)

    def _due_next(self, lanes: Held) -> list[Wait]:
        """What is due next that needs nobody's answer."""
        dues = [due for one in (self._timers, self._gates) if (due := one.next()) is not None]
        opens = [] if lanes.until is None else [Wait(lanes.until, "a closed lane opens")]
        return [*opens, *(Wait(due, f"{address} is due") for due, address in dues)]

    def _waits(self, lanes: Held) -> list[Command]:
        return [*self._due_next(lanes), *self._deadlines()]

    def _deadlines(self) -> list[Wait]:
        """When the time of the run, of its `finally`, or of a node with others inside is over."""
        limit = self._limits.next()
        found = {
            "the run's timeout": run_deadline(self.workflow, self.state),
            "the timeout of finally": finally_deadline(self.workflow, self.state),
            f"the timeout of {limit and limit[1]}": None if limit is None else reached_at(self.state, limit[0]),
        }
        return [Wait(until, what) for what, until in found.items() if until is not None]

    # ------------------------------------------------------------------ the end

    def _end_early(self, at: int) -> e.WorkflowFailed | e.WorkflowCancelled | None:
        """The end that the run heads for before all nodes have settled, if it does: asked for, out of time, by a
        cancel node, a rejection, or `fail_fast`."""
        if self.state.finishing is not None:
            return None
        if self.state.cancel is not None:
            return end_requested(self.state.cancel, at)
        if self._root.halts:
            return cancelled_by(self.state.nodes[self._root.halts[min(self._root.halts)]], at)
        if not self._root.fails_fast or not self._root.failed:
            return None
        if all(self.state.nodes[one].terminal for one in self._root.spared):
            failed = self._root.members[min(self._root.failed)[0]].address
            return e.WorkflowFailed(at, e.Failure("node-failed", f"'{failed}' failed and fail_fast is set"))
        return None

    def _winding_up(self, end: e.WorkflowFailed | e.WorkflowCancelled, at: int) -> list[Command]:
        """Stop what runs, close what waits, skip what has not started; then end."""
        reason = "fail_fast" if isinstance(end, e.WorkflowFailed) and self.state.cancel is None else "cancelled"
        because = end.error.message if isinstance(end, e.WorkflowFailed) else end.reason
        winding = WindingUp(self.templates, self.state, reason, because, at)
        winding.inside("", {one.path for one in self.templates.root.finals})
        self._root.overdue = True
        self._ending.append(self._root)
        self._begin_finishing(winding)
        is_over = winding.is_done and not (self.state.cut_short and winding.commands)
        return [*winding.commands, *([self._end(end, reason)] if is_over else ())]

    def _end(self, end: End, reason: str) -> Record:
        """The end of the run, or what precedes it: its `finally` runs, or is skipped where another cancel came."""
        finals = tuple(one.path for one in self.templates.root.finals)
        return Record(finishing(end, finals) if finals else told(self.state, end), reason)

    def _finally_over(self, at: int) -> str:
        """Why the nodes of `finally` are to end before they have settled; '' if they are not."""
        deadline = finally_deadline(self.workflow, self.state)
        if deadline is None or not self._root.finals:
            return ""
        if self.state.cut_short:
            return "the run was cancelled again"
        return "" if at < deadline else f"finally took longer than {self.workflow.finally_timeout_ms} ms"

    def _winding_up_finally(self, because: str, at: int) -> list[Command]:
        spared = {one.address for one in self._root.members if not one.template.is_final}
        winding = WindingUp(self.templates, self.state, "cancelled", because, at).inside("", spared)
        if self.state.finishing is None or not winding.is_done or winding.commands:
            return winding.commands
        return [self._finished(self.state.finishing, at)]

    def _finished(self, decided: e.WorkflowFinishing, at: int) -> Record:
        return Record(told(self.state, finished(decided, at)), "finally has ended")

    def _end_scopes(self, at: int) -> list[Command]:
        """The same for a part of the run that ends early, or for all but those that are to catch a failure."""
        commands: list[Command] = []
        found = {scope.place: scope for scope in self._ending if scope.is_open}
        self._ending = [found[place] for place in sorted(found) if found[place].unsettled and found[place].ends_early]
        for scope in self._ending:
            if scope.owner is not None and scope.owner.is_stopped:
                continue
            reason, because = why_it_ends(scope)
            spared = set(scope.spared) if reason == "fail_fast" else set()
            if not scope.finishing:
                spared |= {one.address for one in scope.members if one.template.is_final}
            winding = WindingUp(self.templates, self.state, reason, because, at).inside(scope.address, spared)
            self._begin_finishing(winding)
            commands += winding.commands
        return commands

    def _begin_finishing(self, winding: WindingUp) -> None:
        """Let the `finally` of what is wound up run, whatever the nodes around it wait for."""
        for address in winding.finishing:
            inside = self._instances[address].inside
            if inside is not None and inside.finishing and not inside.has_begun:
                self._begin(inside)

    def _overtime(self, at: int) -> list[Record] | None:
        """Let end whatever is out of time: what runs is wound up, one that asks people fails at once. None: nothing."""
        found = False
        records: list[Record] = []
        for address in self._limits.take(self.state.owned(at)):
            instance, now = self._instances[address], self.state.nodes[address]
            if instance.inside is not None and not now.live:
                self._end_overdue(instance.inside)
                found = True
            elif now.gate is not None:
                late = timed_out(instance.template, self.state, now, at)
                assert late is not None
                failed = failed_or_tried_again(instance.template.node, now, late, at)
                records.append(Record(failed, f"the timeout of {now.id}"))
        return records if found or records else None

    def _end_overdue(self, scope: OpenScope) -> None:
        scope.overdue = True
        self._ending.append(scope)
