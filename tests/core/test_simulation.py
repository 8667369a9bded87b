"""Runs under random faults, deaths, requests and restarts, thousands in seconds: the pure core, a store that fails, a
clock turned by hand. A failing seed is printed.

After the faults stop, every run must end, and its log must satisfy the oracle:
O1 what was acknowledged is in the log · O2 no second success of a node · O3 no start after a success (unless it was
invalidated) · O4 it ends within a bound · O5 folding the log gives the plan's own state · O6 no agent does more at
once than it may · O7 none is asked once the budget is spent · O8 an answer is acted on, and once · O9 no time counts in
which nobody owned the run, nor twice · O10 waits · O11 closed lanes hold, and fail nothing.

Prompts are answered by an agent, by the host, or over MCP; requests of every kind come in every state, also those that
fit nothing (`MET` counts them).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from simulate import CheckedPlan, Simulation, workflow

from ion.core import events as e
from ion.core import requests
from ion.core.commands import AgentLimits
from ion.core.expanding import call_of, items_of
from ion.core.fold import apply, fold
from ion.core.outcomes import (
    Completed,
    Expanded,
    Failed,
    GateOpened,
    Judged,
    Outcome,
    PromptOpened,
    Question,
    Stopped,
    Unpermitted,
    WaitOpened,
)
from ion.core.resume import resume_cause, resume_events
from ion.core.state import NodeState, RunState
from ion.core.step import Asked, Ended, News, Placed, begin_again
from ion.core.values import condition_values
from ion.engine import driver
from ion.engine.driver import drive
from ion.errors import IonError, RefusedError, StaleStateError, StoreUnavailableError
from ion.kinds import AGENT_TURNS
from ion.language.conditions import parse_condition
from ion.language.templates import Template, path_of, templates_of
from ion.language.workflow import (
    TRIGGER_RULES,
    Allowed,
    Approval,
    Bash,
    Cancel,
    Decision,
    FanOut,
    Group,
    Loop,
    LoopGroup,
    Node,
    OnReject,
    Prompt,
    Retry,
    Scope,
    Shell,
    Wait,
    Workflow,
    WorkflowCall,
)
from ion.stores.base import Lease, Owner
from ion.stores.memory import MemoryStore
from ion.testing import DiedError, SimulatedWorld, completed, finished

KINDS = ("allow_once", "allow_always", "reject_once")
BOUND = 4000
FINAL = re.compile(r"f\d$")  # a node of `finally`, which begins anew in another life of the run
OF_NODES = ("approve", "reject", "respond", "submit")
MET: Counter[tuple[str, str]] = Counter()


def random_workflow(rng: random.Random) -> Workflow:
    nodes: list[Node] = []
    for i in range(rng.randint(1, 8)):
        earlier = [node.id for node in nodes]
        waits = rng.sample(earlier, min(len(earlier), rng.choice((0, 1, 1, 2, 3))))
        order = tuple(w for w in waits if rng.random() < 0.15)
        catches = tuple(w for w in waits if w not in order and rng.random() < 0.2)
        depends = tuple(w for w in waits if w not in (*order, *catches))
        when = None
        if waits and rng.random() < 0.25:
            when = parse_condition(f"${rng.choice(waits)}.output {rng.choice(('==', '!='))} 'v1'")
        body = random_body(rng)
        nodes.append(
            Node(
                f"n{i}",
                body,
                depends_on=depends,
                order=order,
                catches=catches,
                allow_failure=random_allowed(rng),
                when=when,
                trigger_rule=rng.choice(TRIGGER_RULES),
                options={"maxBudgetUsd": rng.choice((1, 2.5))} if rng.random() < 0.15 else {},
                retry=Retry(rng.randint(1, 3), 1000, rng.choice(("transient", "all")))
                if isinstance(body, Bash | Prompt) and rng.random() < 0.4
                else None,
                always_run=isinstance(body, Bash) and rng.random() < 0.15,
                on_timeout="skip" if isinstance(body, Bash) and rng.random() < 0.3 else "fail",
            )
        )
    return Workflow(
        "random",
        tuple(nodes),
        finally_nodes=random_finally(rng),
        fail_fast=rng.random() < 0.15,
        timeout_ms=rng.choice((None, None, None, 200_000)),
        max_budget_usd=rng.choice((None, None, 2, 5)),
        workspace=rng.choice((*["shared"] * 4, "pinned")),
    )


def random_finally(rng: random.Random, prefix: str = "f") -> tuple[Node, ...]:
    """Three times in four none; else a script, and perhaps a prompt after it."""
    first = Node(f"{prefix}0", Bash(Shell("true")), retry=rng.choice((None, Retry(1, 1000, "all"))))
    second = Node(f"{prefix}1", Prompt("go"), depends_on=(first.id,), trigger_rule=rng.choice(TRIGGER_RULES))
    return rng.choice((*[()] * 6, (first,), (first, second)))


def random_allowed(rng: random.Random) -> Allowed | None:
    return rng.choice((*[None] * 6, Allowed(), Allowed(codes=("timeout", "max_iterations")), Allowed((3,))))


def random_body(rng: random.Random) -> Any:
    shell = Shell("true")
    kind = rng.choices(("bash", "prompt", "loop", "approval", "wait", "cancel"), (5, 4, 3, 3, 2, 0.2))[0]
    if kind == "bash":
        return Bash(shell)
    if kind == "prompt":
        return Prompt("go")
    if kind == "cancel":
        return Cancel("enough")
    if kind == "wait":
        return random_wait(rng)
    if kind == "approval":
        choice = rng.random()
        on_reject = OnReject("redo", rng.randint(1, 3)) if choice < 0.5 else None
        decisions = (Decision("approve"), Decision("defer")) if choice > 0.7 else ()
        return Approval(
            "?",
            capture_response=rng.random() < 0.5,
            on_reject=on_reject,
            decisions=decisions,
            timeout_ms=rng.choice((None, None, 20_000)),
            on_timeout=rng.choice(("fail", "approve", "defer" if decisions else "reject")),
            remind_ms=rng.choice(((), (5_000, 10_000))),
        )
    checked = rng.random() < 0.4
    return Loop(
        rng.randint(1, 4),
        prompt="go",
        until="DONE",
        until_bash=shell if checked else None,
        until_all=checked and rng.random() < 0.5,
        interactive=rng.random() < 0.3,
        gate_message="more?",
        signal_completes=rng.random() < 0.3,
    )


def random_wait(rng: random.Random) -> Wait:
    deadline = rng.choice((None, 20_000))
    expired = rng.choice(("continue", "fail", "skip")) if deadline else "continue"
    return rng.choice(
        (
            Wait(duration_ms=rng.choice((1, 10_000))),
            Wait(until="$LATER"),
            Wait(event=rng.choice(("go", "stop")), deadline_ms=deadline, on_expired=expired),
            Wait(check=Shell("true"), every_ms=3_000, deadline_ms=deadline, on_expired=expired),
        )
    )


class Nested:
    """Makes random workflows whose nodes have others inside, two deep."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0
        self.called: dict[str, Workflow] = {}

    def workflow(self) -> Workflow:
        rng = self.rng
        nodes = self.nodes(2)
        limits = {"timeout_ms": rng.choice((None, None, 500_000)), "max_budget_usd": rng.choice((None, None, 9))}
        return Workflow(
            "nested",
            nodes,
            fail_fast=rng.random() < 0.1,
            workflows=self.called,
            finally_nodes=random_finally(rng),
            **limits,
        )

    def nodes(self, depth: int, item: str = "") -> tuple[Node, ...]:
        rng = self.rng
        nodes: list[Node] = []
        for _ in range(rng.randint(1, 3)):
            earlier = [node.id for node in nodes]
            waits = tuple(rng.sample(earlier, min(len(earlier), rng.choice((0, 1, 2)))))
            self.count += 1
            catches = waits[: rng.choice((0, 0, 0, 1))]
            when = f"${waits[0]}.output != 'v1'" if waits and rng.random() < 0.2 else ""
            node = self.node(depth, f"n{self.count}", item)
            node = replace(
                node,
                depends_on=waits[len(catches) :],
                catches=catches,
                allow_failure=random_allowed(rng),
                when=parse_condition(when) if when else None,
                trigger_rule=rng.choice(TRIGGER_RULES),
                always_run=not isinstance(node.body, Approval) and rng.random() < 0.1,
            )
            nodes.append(node)
        return tuple(nodes)

    def node(self, depth: int, name: str, item: str) -> Node:
        rng = self.rng
        fanned = rng.random() < 0.4
        body = self.composite(depth - 1, name, "item" if fanned else item) if depth and rng.random() < 0.6 else None
        if body is None:
            body = random_body(rng)
        retry = Retry(1, 1000, "all") if not isinstance(body, Approval | Cancel | Wait) and rng.random() < 0.2 else None
        if not fanned or isinstance(body, Approval | Cancel | Wait):
            return Node(name, body, retry=retry)
        when = parse_condition("$INPUTS.item != 'v1'") if rng.random() < 0.3 else None
        fan_out = FanOut(
            items="$LIST",
            max_parallel=rng.choice((1, 2, None)),
            join=rng.choice(("all_success", "all_done")),
            fail_fast=rng.random() < 0.2,
            when=when,
        )
        return Node(name, body, retry=retry, fan_out=fan_out)

    def composite(self, depth: int, name: str, item: str) -> Any:
        rng = self.rng
        kind = rng.choice(("group", "loop_group", "workflow"))
        nodes = self.nodes(depth, item)
        scope = Scope(nodes, rng.choice((None, nodes[-1].id)))
        if kind == "group":
            return Group(scope)
        if kind == "workflow":
            self.called[name] = Workflow(
                name,
                nodes,
                returns=scope.returns,
                fail_fast=rng.random() < 0.3,
                finally_nodes=random_finally(rng, f"{name}f"),
            )
            return WorkflowCall(name)
        return LoopGroup(
            scope,
            rng.randint(1, 3),
            until="DONE",
            until_node=rng.choice((None, nodes[-1].id)),
            until_bash=rng.choice((None, Shell("true"))),
            until_all=rng.random() < 0.3,
            interactive=rng.random() < 0.3,
        )


class Universe(SimulatedWorld):
    """One run of a random workflow and all that happens to it."""

    def __init__(self, seed: int, *, nested: bool = False) -> None:
        rng = random.Random(seed)
        flow = Nested(rng).workflow() if nested else random_workflow(rng)
        self.nested = nested
        paths = [one.path for one in templates_of(flow)]
        names = {path: rng.choice(("a", "b", "c")) for path in paths if rng.random() < 0.8}
        super().__init__(
            flow,
            clock=1_000,
            slots=rng.choice((1, 2, 8)),
            agent_limits=AgentLimits(names, {"a": 1, "b": 2} if rng.random() < 0.7 else {}),
            patience_ms=rng.choice((None, 0, 5_000)),
        )
        self.rng = rng
        self.signals = any(isinstance(one.node.body, Wait) and one.node.body.event for one in templates_of(flow))
        self.store = MemoryStore()
        self.healthy = False
        self.answerers = {path: self.rng.choice(("agent", "agent", "cli", "mcp")) for path in paths}
        self.acknowledged = 0
        self.lives = 0

    # what can go wrong

    def chance(self, probability: float) -> bool:
        return not self.healthy and self.rng.random() < probability

    def jitter(self) -> float:
        return self.rng.random()

    def draining(self) -> bool:
        self.drains = self.chance(0.03)
        return self.drains

    async def read(self, after: int) -> list[e.Recorded]:
        return self.store.get_workflow_events("r", after=after)

    async def append(self, events: Sequence[e.Event], after: int) -> None:
        begun = [event for event in events if isinstance(event, e.NodeStarted) and event.turn != "gate"]
        assert not (self.drains and begun), "a turn begins though none was to begin"
        if self.chance(0.04):
            raise StoreUnavailableError("before the commit")
        self.acknowledged = self.store.create_workflow_event("r", events, lease=self.lease, after=after)
        if self.chance(0.04):
            raise StoreUnavailableError("after the commit")

    def events(self) -> list[e.Event]:
        return [item.event for item in self.store.get_workflow_events("r")]

    @property
    def state(self) -> RunState:
        return fold(self.events())

    def owner(self) -> Owner:
        self.lives += 1
        return Owner("elsewhere", "boot", self.lives, "0", str(self.lives))

    # what people do

    def person(self) -> None:
        """Somebody answers something, or asks for the end; being told that it is too late is fine."""
        state = self.state
        try:
            event = self.signal(state) if self.signals and self.rng.random() < 0.3 else self.request(state)
            if event is not None:
                self.store.create_workflow_event("r", [event], lease=None)
        except (RefusedError, IonError):
            return

    def signal(self, state: RunState) -> e.Event | None:
        """One of a few deliveries, so that many come twice; some are for one wait."""
        name, delivery = self.rng.choice(("go", "stop")), str(self.rng.randint(1, 12 if self.healthy else 5))
        target = self.rng.choice((None, None, self.rng.choice([*state.nodes])))
        return requests.signal(
            self.workflow, state, name, at=self.clock, by={}, payload='"x"', delivery=name + delivery, target=target
        )

    def request(self, state: RunState) -> e.Event | None:
        return self.misplaced(state) if self.chance(0.6) else self.fitting(state)

    def misplaced(self, state: RunState) -> e.Event | None:
        """Any request about any node, whatever state it is in, more often if it runs; rarely one that ends the run."""
        running = [node.id for node in state.nodes.values() if node.live] * 3
        node = state.nodes[self.rng.choice([*state.nodes, *running])]
        named = self.rng.choice((None, None, f"{node.id}.{self.rng.randint(1, 3)}"))
        kind = self.rng.choices(("approve", "reject", "respond", "submit", "budget", "cancel"), (6, 6, 6, 6, 1, 0.5))[0]
        via = self.rng.choice(("cli", "mcp"))
        MET[kind, phase(node) if kind in OF_NODES else state.status] += 1
        by, at = {"via": via}, self.clock
        asked: dict[str, Callable[[], e.Event | None]] = {
            "approve": lambda: requests.answer(state, node.id, "approve", at=at, text="", by=by, request=named),
            "reject": lambda: requests.answer(state, node.id, "reject", at=at, text="no", by=by, request=named),
            "respond": lambda: requests.answer(state, node.id, "defer", at=at, text="", by=by, request=named),
            "submit": lambda: requests.submit(state, node.id, self.text(), at=at, by=by, request=named),
            "budget": lambda: requests.raise_budget(state, state.spent_usd + 1, at=at, by=by),
            "cancel": lambda: requests.cancel(state, at=at, reason="enough", by=by),
        }
        event = asked[kind]()
        assert not (state.ended and kind != "budget"), f"{kind} of a run that is {state.status}"
        return event

    def fitting(self, state: RunState) -> e.Event | None:
        by = {"user": "ana"}
        gates, pending = requests.open_gates(state), requests.open_prompts(state)
        permissions = [(n, gate) for n, gate in requests.open_questions(state) if gate.kind == "permission"]
        if permissions and self.rng.random() < 0.6:
            node, gate = self.rng.choice(permissions)
            wanted = self.rng.choice(("approve", "reject", *KINDS))
            return requests.answer(state, node.id, wanted, at=self.clock, text="", by=by, request=gate.request)
        if state.is_spent and self.rng.random() < 0.5:
            more = state.spent_usd + self.rng.randint(1, 4)
            return requests.raise_budget(state, more, at=self.clock, by=by)
        if gates and (not pending or self.rng.random() < 0.5):
            node = self.rng.choice(gates)
            decisions = node.gate.decisions if node.gate else ()
            if decisions:
                return requests.answer(state, node.id, self.rng.choice(decisions), at=self.clock, text="", by=by)
            if self.rng.random() < 0.3:
                return requests.answer(state, node.id, "reject", at=self.clock, text="no", by=by)
            return requests.answer(state, node.id, "approve", at=self.clock, text=self.rng.choice(("", "do x")), by=by)
        if pending:
            node = self.rng.choice(pending)
            request = node.prompt.request if node.prompt and self.answerers[path_of(node.id)] == "mcp" else None
            return requests.submit(state, node.id, self.text(), at=self.clock, by=by, request=request)
        return None

    def text(self) -> e.Content:
        return e.Content(self.value())

    def value(self) -> str:
        return self.rng.choice(("v1", "v2"))

    def outcome(self, now: NodeState) -> Outcome:
        if now.turn == "gate":
            return GateOpened("?")
        if now.turn == "wait":
            return WaitOpened(self.clock + self.rng.choice((-5_000, 10_000)))
        if now.turn == "check" and self.chance(0.5):
            return Failed(e.Failure("exit-status", "not yet", exit_status=1))
        if now.turn == "until_bash":
            return Judged(self.rng.random() < 0.4)
        if now.turn in AGENT_TURNS and self.answerers[path_of(now.id)] != "agent":
            return PromptOpened(e.Content("go"))
        if now.turn == "expand" and not self.chance(0.1):
            return self.expanded(templates_of(self.workflow)[now.id])
        questions = self.questions(now)
        if now.turn in ("prompt", "rejection") and self.chance(0.2):
            return Unpermitted(questions, self.usage())
        if self.agent_limits.lane(path_of(now.id), now.turn) and self.chance(0.1):
            return self.limited()
        if self.chance(0.2):
            code = self.rng.choice(("timeout", "exit-status", "refused", "bad_output"))
            reask = ("wrong",) if code == "bad_output" and now.turn == "prompt" else ()
            return Failed(e.Failure(code, "failed"), reask, self.usage() if now.turn in AGENT_TURNS else {})
        if now.turn == "expand":
            return Failed(e.Failure("bad_items", "no list"))
        content = now.answer.output if now.answer else e.Content(self.value())
        values = condition_values(templates_of(self.workflow)[now.id], content, lambda c: c.text or "")
        usage = self.usage() if now.turn in AGENT_TURNS else {}
        return Completed(e.Reply(content, values, usage=usage), signaled=self.rng.random() < 0.5)

    def limited(self) -> Failed:
        code = self.rng.choice(("quota_exhausted", "rate_limited"))
        resets_at = self.rng.choice((None, self.clock + self.rng.randint(-1_000, 400_000)))
        return Failed(e.Failure(code, "at its limit", resets_at=resets_at), usage=self.usage())

    def expanded(self, template: Template) -> Expanded:
        if template.item is None:
            return call_of({}, "", template, e.Content)
        items = [self.rng.choice(("v1", "v2", "v3", 4)) for _ in range(self.rng.choice((0, 1, 2, 3)))]
        return items_of(items, template, e.Content)

    def usage(self) -> dict[str, Any]:
        return self.rng.choice(({}, {"cost_usd": 0.5, "input_tokens": 10}, {"cost_usd": 1}))

    def questions(self, now: NodeState) -> tuple[Question, ...]:
        """What an agent may ask for; a few keys, so that it often asks for the same again."""
        keys = self.rng.sample(("rm", "push", "curl"), self.rng.randint(1, 2))
        return tuple(Question(key, f"may I {key}?", KINDS, KINDS) for key in keys)

    def asked(self) -> list[Asked]:
        """Agents ask for permissions while their turns continue."""
        often = {"prompt": 0.1, "rejection": 0.9}
        nodes = (self.plan.state.nodes[node] for node in sorted(self.plan.live))
        asking = [now for now in nodes if self.chance(often.get(now.turn or "", 0))]
        return [Asked(now.id, now.starts, self.questions(now)) for now in asking]

    # one process driving the run

    def live(self) -> None:
        """Take the run up, drive it until it ends, pauses, or this process dies."""
        self.lease = self.store.acquire_lease("r", self.owner(), lease_ms=1) if self.lives else self.create()
        state = self.state
        self.turns, self.stopping, self.placing = {}, {}, False
        self.working, self.seen, self.given = set(), state.seq, set()
        self.plan = CheckedPlan(self.workflow, state, self.slots, self.agent_limits, self.patience_ms)
        try:
            begin = self.beginning(state) if self.lives > 1 else []
            if begin is not None:
                finished(drive(self.plan, self, begin))
                assert not self.turns, "turns are left under way"
        except (DiedError, StoreUnavailableError):
            self.plan.restart(self.state)  # this plan knows of events that may not have gone in
        finally:
            self.store.release_lease(self.lease)

    def create(self) -> Lease:
        engine = "temporal://elsewhere" if self.workflow.workspace == "pinned" else None
        event = replace(self.started(), at=self.clock, engine=engine)
        return self.store.create_workflow_run(
            "r", project="p", source="{}", event=event, owner=self.owner(), lease_ms=1
        )

    def beginning(self, state: RunState) -> list[e.Event] | None:
        agent = "claude" if self.chance(0.1) else None
        cause = resume_cause(state, agent=agent, resume=self.rng.random() < 0.7, at=self.clock)
        if cause is None:
            return None
        if agent is not None:
            self.answerers = dict.fromkeys(self.answerers, "agent")
        died = self.rng.random() < 0.2 and not self.healthy
        return resume_events(self.workflow, state, cause=cause, at=self.clock, by={}, agent=agent, owner_died=died)

    def place(self) -> None:
        assert not self.placing, "placed twice"
        super().place()

    def stop(self, node: str, reason: str) -> None:
        assert node in self.turns, "stopped though it does not run"
        assert node not in self.stopping, "stopped twice"
        super().stop(node, reason)

    def start(self, now: NodeState) -> None:
        assert not self.drains, "a turn is carried out though none was to be"
        assert now.live
        assert self.workflow.workspace != "pinned" or self.plan.state.worker is not None, "carried out by any worker"
        assert now.id not in self.turns, "a turn is carried out twice"
        assert (now.id, now.starts) not in self.given, "a turn is carried out again whose outcome came"
        super().start(now)

    def observe(self, recorded: Sequence[e.Recorded], state: RunState) -> None:
        assert [item.seq for item in recorded] == list(range(self.seen + 1, state.seq + 1)), "seen once, and in order"
        self.seen = state.seq

    async def wait(self, until: int | None) -> list[News]:
        """What came; among it what ended before, whose outcome comes once more."""
        self.check_bounds()
        if self.rng.random() < 0.05:
            assert fold(self.events()[: self.plan.state.seq]) == self.plan.state, "O5"
        for _ in range(3):
            if self.chance(0.25):
                self.person()
        if self.chance(0.05):
            raise DiedError
        self.clock += self.rng.randint(1, 5_000)
        if not self.turns and until is not None:
            self.clock = max(self.clock, until)
        return [*self.placed(), *self.ended(), *self.asked()]

    def placed(self) -> list[News]:
        if not self.placing or self.chance(0.5):
            return []
        self.placing = False
        return [Placed("one")]

    def ended(self) -> Iterator[Ended]:
        for now in [self.plan.state.nodes[node] for node in sorted(self.plan.state.nodes)]:
            if self.chance(0.05):
                yield Ended(now.id, now.starts - now.live, completed("late"))
            often = 0.8 if now.id in self.stopping else 0.25 if now.permissions else 0.5
            if now.id in self.turns and self.rng.random() < often:
                yield self.end_of(now)

    def end_of(self, now: NodeState) -> Ended:
        start, reason = self.turns.pop(now.id), self.stopping.pop(now.id, None)
        if self.chance(0.03) and self.begun_again(now):
            start += 1
        if self.chance(0.02):
            return Ended(now.id, start, None)
        self.given.add((now.id, start))
        stopped = reason is not None and self.rng.random() < 0.8
        return Ended(now.id, start, Stopped(reason or "") if stopped else self.outcome(now))

    def begun_again(self, now: NodeState) -> bool:
        """Another worker had taken the turn for lost, and begun it once more."""
        event = begin_again(now, self.clock)
        try:
            self.store.create_workflow_event("r", [event], lease=self.lease, after=self.plan.state.seq)
        except StaleStateError:
            return False
        return True

    def check_bounds(self) -> None:
        """O6; those that were working before are."""
        nodes = self.plan.state.nodes
        working = {
            node
            for node in self.plan.live
            if nodes[node].turn in ("prompt", "bash", "rejection", "until_bash", "check")
            and not nodes[node].permissions
        }
        for lane, limit in self.agent_limits.limits.items():
            mine = {node for node in working if self.agent_limits.lane(path_of(node), nodes[node].turn) == lane}
            assert len(mine) <= max(limit, len(mine & self.working)), f"O6: {lane} does more than it may"
        assert len(working) <= max(self.slots, len(working & self.working))
        self.working = set(self.plan.live)

    # the oracle

    def history(self) -> None:
        """Live until the run has ended: first with faults, then healed."""
        for life in range(60):
            self.healthy = life >= 25
            self.live()
            assert len(self.events()) >= self.acknowledged, "O1: an acknowledged event is gone"
            if self.state.status in ("completed", "cancelled"):
                break
            if self.state.status == "failed" and (self.healthy or self.rng.random() < 0.5):
                break
            for _ in range(3):
                self.person()
            if self.state.due_at is not None and self.rng.random() < 0.5:
                self.clock = max(self.clock, self.state.due_at)
        self.healthy = False
        for _ in range(2):
            self.person()
        log = self.events()
        assert len(log) < BOUND, "O4: too much happened"
        assert self.state.ended, f"O4: it never ended: {self.state.status}"
        assert fold(log) == self.plan.state, "O5"
        check_log(self.workflow, log)
        check_budget(self.agent_limits, log)
        check_answers(log)
        check_time(log)
        check_waits(log)
        check_lanes(self.agent_limits, log)


def check_lanes(agent_limits: AgentLimits, log: list[e.Event]) -> None:
    """O11: no turn of an agent begins while its lane is closed, no node fails because of a quota, and attempts that
    met one do not count."""
    state = RunState()
    for event in log:
        if isinstance(event, e.NodeStarted) and not begun_again(state, event):
            lane = state.lanes.get(agent_limits.lane(path_of(event.node), event.turn))
            assert lane is None or event.at >= lane.until, f"O11: {event.node} began while its lane was closed"
        if isinstance(event, e.NodeFailed):
            assert event.error.code != "quota_exhausted", f"O11: {event.node} failed because of a quota"
        before = state.nodes[event.node] if isinstance(event, e.NodeRetrying) else None
        counts = None if before is None else (before.tries.retries, before.tries.reasks)
        apply(state, event)
        if isinstance(event, e.NodeRetrying) and event.agent is not None:
            tries = state.nodes[event.node].tries
            assert (tries.retries, tries.reasks) == counts, "O11"
            assert event.agent in state.lanes


def phase(node: NodeState) -> str:
    """What a request meets: what the node does or waits for now."""
    if node.live:
        return f"running: {node.turn}{', asks' if node.permissions else ''}"
    waits = {
        "gate": node.gate is not None,
        "prompt": node.prompt is not None,
        "limited": node.held_by is not None,
        "permission": bool(node.permissions) and node.retry_at is None,
        "retry": node.retry_at is not None,
        "approved": isinstance(node.answer, e.ApprovalResolved),
        "submitted": isinstance(node.answer, e.PromptAnswered),
        "permitted": node.is_answered,
    }
    return next((f"{node.status}: {name}" for name, does in waits.items() if does), node.status)


def check_answers(log: list[e.Event]) -> None:
    """O8: what was approved completes, what was rejected does not ask again at once; a submitted answer is read, again
    only if its reader was cut off, and nothing else begins before that."""
    state = RunState()
    resolved: dict[str, str] = {}
    submitted: set[str] = set()
    read: set[str] = set()
    for event in log:
        if isinstance(event, e.WorkflowResumed):
            read.clear()
            submitted -= {one for one in submitted if FINAL.search(one)}
        if isinstance(event, e.ScopeOpened | e.NodeInvalidated):
            for group in (resolved, submitted, read):
                for node in [one for one in group if one.startswith(f"{event.node}.")]:
                    group.pop(node) if isinstance(group, dict) else group.discard(node)
        if isinstance(event, e.NodeEvent):
            now = state.nodes[event.node]
            done = isinstance(event, e.NodeSkipped | e.NodeCancelled) or _is_unjudged(event)
            decision = resolved.pop(event.node, None)
            if decision is not None and not done:
                assert _follows(now, decision, event), f"O8: {event.node} was {decision}, then {event}"
            if isinstance(event, e.NodeStarted) and event.turn == "answer":
                assert event.node in submitted, f"O8: {event.node} reads an answer again that was acted on"
                read.add(event.node)
            elif event.node in read or done:
                read.discard(event.node)
                submitted.discard(event.node)
            assert event.node not in submitted or event.node in read, f"O8: {event.node} lost its answer by {event}"
        if isinstance(event, e.PromptAnswered):
            submitted.add(event.node)
        if isinstance(event, e.ApprovalResolved) and now.gate is not None and now.gate.request == event.request:
            resolved[event.node] = event.decision
        apply(state, event)


def check_budget(agent_limits: AgentLimits, log: list[e.Event]) -> None:
    """O7: no agent's turn starts once the budget is spent, and nothing that was spent is forgotten."""
    state = RunState()
    for event in log:
        if (
            isinstance(event, e.NodeStarted)
            and agent_limits.lane(path_of(event.node), event.turn)
            and not begun_again(state, event)
        ):
            assert not state.is_spent, f"O7: {event.node} asked its agent with {state.spent_usd} spent"
        apply(state, event)
    told = sum(
        getattr(one, "usage", {}).get("cost_usd", 0) for event in log for one in (event, getattr(event, "reply", None))
    )
    assert told == state.spent_usd
    if not any(isinstance(event, e.ScopeOpened) for event in log):  # instances that are forgotten take theirs along
        assert told == sum(node.usage.get("cost_usd", 0) for node in state.nodes.values())


def begun_again(state: RunState, event: e.NodeStarted) -> bool:
    """By another worker, which took the turn for lost."""
    return state.nodes[event.node].turn == event.turn


def check_time(log: list[e.Event]) -> None:
    """O9: neither the run nor a node has had more time than there was between an owner's coming and its last word."""
    state, stretches, since = RunState(), 0, 0
    for event in log:
        if isinstance(event, e.WorkflowResumed):
            stretches, since = stretches + max(0, state.owner_at - since), event.at
        apply(state, event)
    assert state.owned_ms <= stretches + state.owner_at - since, "O9"
    for node in state.nodes.values():
        if node.took_ms is not None:
            assert node.owned_from is not None
            assert 0 <= node.owned_from <= node.owned_from + node.took_ms <= state.owned_ms, f"O9: {node.id}"


def check_waits(log: list[e.Event]) -> None:
    """O10: a wait is over at its time and not before; each delivery counts once, and a wait takes what it is for."""
    state = RunState()
    taken: set[str] = set()
    for event in log:
        now = state.nodes.get(event.node) if isinstance(event, e.NodeEvent) else None
        if now is not None and isinstance(event, e.WaitStarted):
            assert now.wait is None, f"O10: {now.id} began to wait twice"
        if now is not None and now.wait is not None and isinstance(event, e.NodeCompleted):
            signal = state.signals[event.signal] if event.signal is not None else None
            if signal is not None:
                assert signal.id not in taken
                assert (signal.event, signal.target or now.id) == (now.wait.event, now.id)
                taken.add(signal.id)
            elif now.turn is None:
                assert now.wait.due_at is not None
                assert event.at >= now.wait.due_at
        if isinstance(event, e.GateExpired):
            assert now is not None
            assert now.gate is not None
            assert now.gate.due_at is not None
            assert event.at >= now.gate.due_at
        apply(state, event)


def check_log(workflow: Workflow, log: list[e.Event]) -> None:
    """O2, O3, and that nothing starts before what it waits for has settled."""
    done: set[str] = set()
    state = RunState()
    ended = False
    for event in log:
        assert not ended or isinstance(event, e.WorkflowResumed), "something happened after the end"
        ended = isinstance(event, e.WorkflowCompleted | e.WorkflowFailed | e.WorkflowCancelled)
        if isinstance(event, e.NodeCompleted):
            assert event.node not in done, f"O2: {event.node} succeeded twice"
            done.add(event.node)
        elif isinstance(event, e.NodeInvalidated):
            done.discard(event.node)
        elif isinstance(event, e.NodeStarted):
            assert event.node not in done, f"O3: {event.node} started after it had succeeded"
            template, prefix = templates_of(workflow)[event.node], event.node[: event.node.rfind(".") + 1]
            waits = template.node.waits_for if not event.node[-1].isdigit() or "." not in event.node else ()
            assert all(state.nodes[prefix + other].terminal for other in waits), f"{event.node} did not wait"
        before = {node for node in done if node in state.nodes and state.nodes[node].status == "completed"}
        scope = state.scopes.get(event.node) if isinstance(event, e.ScopeOpened) else None
        apply(state, event)
        if isinstance(event, e.ScopeOpened | e.NodeInvalidated | e.WorkflowResumed):
            done = {node for node in done if node in state.nodes and state.nodes[node].status == "completed"}
        if isinstance(event, e.ScopeOpened) and scope is not None and scope.iteration <= event.iteration:
            left = {node for node in before - done if node in state.nodes}
            again = {node for node in left if templates_of(workflow)[node].is_final}
            assert all(state.nodes[node].kind == "cancel" for node in left - again), f"{left} had completed"


def _is_unjudged(event: e.NodeEvent) -> bool:
    """Whether its condition could not be read: what it looks at ran again since, and failed."""
    return isinstance(event, e.NodeFailed) and event.error.code == "condition"


def _follows(now: NodeState, decision: str, event: e.NodeEvent) -> bool:
    """Whether the event acts on this answer to the node's gate."""
    if isinstance(event, e.NodeFailed):
        return event.error.code in ("budget", "max_iterations")
    if now.kind == "approval" and decision != "rejected":
        return isinstance(event, e.NodeCompleted)
    return not isinstance(event, e.NodeStarted) or event.turn in ("prompt", "rejection")


def test_what_is_simulated_is_what_drives_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any, **_named: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(driver, "step", broken)
    with pytest.raises(ZeroDivisionError):
        run_seed(1)
    with pytest.raises(ZeroDivisionError):
        Simulation(workflow(Node("a", Bash(Shell("true"))))).run()


@pytest.mark.parametrize("block", range(4))
def test_random_histories_of_nodes_inside_of_nodes(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        run_seed(seed, nested=True)


PHASES = {
    *("pending", "pending: approved", "pending: submitted", "pending: permitted", "completed", "failed", "skipped"),
    *("running: bash", "running: prompt", "running: prompt, asks", "running: rejection", "running: rejection, asks"),
    *("running: answer", "running: gate", "running: until_bash", "waiting: gate", "waiting: prompt"),
    *("waiting: permission", "waiting: retry", "waiting: limited", "cancelled"),
}
STATUSES = {"running", "paused", "completed", "failed", "cancelled"}


def test_random_histories_in_which_requests_of_every_kind_come_in_every_state() -> None:
    MET.clear()
    for seed in range(1000, 1800):
        run_seed(seed)
    wanted = {(kind, phase) for kind in OF_NODES for phase in PHASES}
    wanted |= {(kind, status) for kind in ("budget", "cancel") for status in STATUSES}
    assert wanted <= MET.keys(), f"never met: {sorted(wanted - MET.keys())}"


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_ten_thousand_random_histories() -> None:
    for seed in range(10_000):
        run_seed(seed)


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_two_thousand_random_histories_of_nodes_inside_of_nodes() -> None:
    for seed in range(200, 2_200):
        run_seed(seed, nested=True)


def run_seed(seed: int, *, nested: bool = False) -> None:
    try:
        Universe(seed, nested=nested).history()
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
