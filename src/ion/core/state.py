"""The state of a run and its nodes: what a fold of the run's events makes, and nothing else (`fold.py`)."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

from msgspec import Struct, field

from ion.core import events as e
from ion.core.event_facts import TERMINAL_RUN_STATES
from ion.core.lanes import Lane
from ion.core.scopes import ScopeState

# The reason of a skip by the trigger rule that a failure caused, directly or through other such skips.
UPSTREAM_FAILED = "upstream_failed"
# The reason of a skip because none of those failed that it was to catch.
NO_FAILURE = "no_failure"


class Pending(Struct):
    """It waits for others, for room, or to act on `answer`. `begun`: it has started since it was last decided whether
    it runs, and was asked to continue."""

    status: ClassVar[str] = "pending"
    turn: ClassVar[None] = None
    requests: ClassVar[dict[str, e.Request]] = {}
    reason: ClassVar[None] = None
    begun: bool = False
    answer: e.Answer | None = None


class Running(Struct):
    """`turn` runs (or ran when its owner died); None: a loop is between two of them, or what is inside of it runs.
    `requests` are permissions that are asked for meanwhile; `answer` is what an `answer` turn takes in; `since` is how
    many events the log had when the turn began."""

    status: ClassVar[str] = "running"
    reason: ClassVar[None] = None
    turn: str | None = None
    requests: dict[str, e.Request] = field(default_factory=dict)
    answer: e.PromptAnswered | None = None
    since: int = 0


class Waiting(Struct):
    """For answers to `requests`, by their ids; for the time `until` or a signal; to try again at `until` after
    `error`, `delay_ms` later than that; or to try again once the lane of `agent` is open.
    A permission that the failed attempt asked for may still be answered."""

    status: ClassVar[str] = "waiting"
    turn: ClassVar[None] = None
    answer: ClassVar[None] = None
    reason: ClassVar[None] = None
    requests: dict[str, e.Request] = field(default_factory=dict)
    until: int | None = None
    delay_ms: int = 0
    error: e.Failure | None = None
    agent: str | None = None


class Finished(Struct):
    """`took_ms` is how long the run was owned from the node's start to its end; `allowed` is a failure that was."""

    turn: ClassVar[None] = None
    requests: ClassVar[dict[str, e.Request]] = {}
    answer: ClassVar[None] = None
    status: str
    at: int
    took_ms: int | None = None
    reason: str | None = None
    detail: str = ""
    error: e.Failure | None = None
    allowed: bool = False


Phase: TypeAlias = Pending | Running | Waiting | Finished


class Tries(Struct, frozen=True, gc=False):
    """What the present turn has come to: its starts, the retries and re-asks spent on it, what was wrong with its last
    reply, the permissions that were answered in it, by key, and how long it has waited for limits of the rate."""

    attempt: int = 0
    retries: int = 0
    reasks: int = 0
    reask: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    rested_ms: int = 0


# What most nodes have, and share: nothing changes a phase or tries in place.
PENDING = Pending()
NO_TRIES = Tries()
FIRST_TRY = Tries(attempt=1)


class Progress(Struct):
    """What a resume keeps of a node that has not completed. `reply` is the last one: of a loop's iteration, to a
    rejection of the gate, or what the node completed with. `iterations` are finished ones, `previous_output` is that
    of the one before the last; `judged` says that what follows the last one has been decided, `signaled` that a reply
    or a check said it is done. `reworked` of the `rejections` have been answered by a reply.
    """

    reply: e.Reply | None = None
    iterations: int = 0
    iteration: int = 0
    signaled: bool = False
    judged: bool = True
    previous_output: e.Content | None = None
    rejections: int = 0
    reworked: int = 0
    rejection_reason: str = ""
    user_input: str = ""
    spent_usd: float = 0


class Verdict(Struct, frozen=True, gc=False):
    """The answer to a permission: one of the decisions that the agent offered, and its kind."""

    decision: str
    kind: str


class NodeState(Struct):
    """One instance of a node: the phase it is in, and what it has come to so far. Times are ms since the epoch,
    durations ms. `id` is its address, `owner` that of the composite node that it is inside of ('' for none).

    `attempts` counts the starts of turns that work, `starts` simply all, `asked` its requests. `started_at` is when it
    first started since it was last decided whether it runs, `owned_from` for how long the run had been owned then; from
    `timed_from`, a value of the same clock, counts the timeout of a composite node. `wait` is the wait that it is in.
    Of its last gate so many `reminders` have come, and `expired` says that nobody answered it in its time.
    """

    id: str
    kind: str
    owner: str = ""
    phase: Phase = field(default_factory=lambda: PENDING)
    progress: Progress = field(default_factory=Progress)
    tries: Tries = NO_TRIES
    inputs: dict[str, str] = field(default_factory=dict)
    attempts: int = 0
    starts: int = 0
    asked: int = 0
    usage: dict[str, float] = field(default_factory=dict)
    started_at: int | None = None
    owned_from: int | None = None
    timed_from: int | None = None
    wait: e.WaitStarted | None = None
    reminders: int = 0
    expired: bool = False

    @property
    def status(self) -> str:
        return self.phase.status

    @property
    def terminal(self) -> bool:
        return isinstance(self.phase, Finished)

    @property
    def begun(self) -> bool:
        """Whether it has started since it was last decided whether it runs."""
        phase = self.phase
        return (
            phase.begun
            if isinstance(phase, Pending)
            else not isinstance(phase, Finished) or self.started_at is not None
        )

    @property
    def turn(self) -> str | None:
        """The turn that runs now (or ran when its owner died), if one does."""
        return self.phase.turn

    @property
    def live(self) -> bool:
        return self.phase.turn is not None

    @property
    def requests(self) -> dict[str, e.Request]:
        """All that it asks of people or the caller, by id, oldest first."""
        return self.phase.requests

    @property
    def gate(self) -> e.ApprovalRequested | None:
        """Its open gate."""
        found = (one for one in self.requests.values() if isinstance(one, e.ApprovalRequested))
        return next((one for one in found if one.kind != e.PERMISSION), None)

    @property
    def prompt(self) -> e.PromptRequested | None:
        """Its prompt, if that waits for the caller."""
        return next((one for one in self.requests.values() if isinstance(one, e.PromptRequested)), None)

    @property
    def permissions(self) -> dict[str, e.ApprovalRequested]:
        """What its agent asks leave for."""
        found = (one for one in self.requests.values() if isinstance(one, e.ApprovalRequested))
        return {one.request: one for one in found if one.kind == e.PERMISSION}

    @property
    def is_undecided(self) -> bool:
        """Whether something may be decided about it: no turn of it runs, and it is not only others who may answer."""
        asks = self.status == "waiting" and self.requests and self.due_at is None and not self.held_by
        return not self.live and not asks

    @property
    def answer(self) -> e.Answer | None:
        """An answer that nothing acted on yet."""
        return self.phase.answer

    @property
    def is_answered(self) -> bool:
        """Whether all that it asked for has come."""
        return self.answer is not None or (isinstance(self.phase, Pending) and self.phase.begun)

    @property
    def due_at(self) -> int | None:
        """When it continues without anybody's answer, or reminds of it."""
        if not isinstance(self.phase, Waiting):
            return None
        gate = self.gate if self.phase.until is None and self.kind == "approval" else None
        if gate is None:
            return self.phase.until
        return min((*gate.remind_at[self.reminders :], *((gate.due_at,) if gate.due_at else ())), default=None)

    @property
    def retry_at(self) -> int | None:
        """When what failed is tried again. The check of a wait that has not passed yet has not failed."""
        return self.due_at if self.wait is None else None

    @property
    def held_by(self) -> str | None:
        """The agent whose closed lane its turn has met, and waits for."""
        return self.phase.agent if isinstance(self.phase, Waiting) else None

    @property
    def error(self) -> e.Failure | None:
        """Why it failed, or tries again."""
        return self.phase.error if isinstance(self.phase, Waiting | Finished) else None

    @property
    def reason(self) -> str | None:
        return self.phase.reason

    @property
    def detail(self) -> str:
        return self.phase.detail if isinstance(self.phase, Finished) else ""

    @property
    def ended_at(self) -> int | None:
        return self.phase.at if isinstance(self.phase, Finished) else None

    @property
    def took_ms(self) -> int | None:
        return self.phase.took_ms if isinstance(self.phase, Finished) else None

    @property
    def vote(self) -> str:
        """What it is, once settled, to the trigger rules of others: `completed`, also if its failure was allowed or it
        had none to catch; `skipped`; or `failed`, and that is also a skip that a failure caused."""
        phase = self.phase
        if phase.status == "completed" or phase.reason == NO_FAILURE or self.allowed:
            return "completed"
        return "failed" if phase.status == "cancelled" or phase.reason == UPSTREAM_FAILED else phase.status

    @property
    def allowed(self) -> bool:
        """Whether it failed, and was allowed to."""
        return isinstance(self.phase, Finished) and self.phase.allowed

    @property
    def succeeded(self) -> bool:
        """Whether it completed, or has failed and was allowed to: then it has an output."""
        return self.phase.status == "completed" or self.allowed

    @property
    def last_output(self) -> e.Content | None:
        """That of the last reply."""
        return self.progress.reply.output if self.progress.reply is not None else None

    @property
    def output(self) -> e.Content | None:
        """What it completed with, or gave before a failure that was allowed."""
        reply = self.progress.reply
        return reply.output if reply is not None and self.succeeded else None

    @property
    def agent(self) -> str | None:
        return self.progress.reply.agent if self.progress.reply is not None else None

    @property
    def session(self) -> str | None:
        return self.progress.reply.session if self.progress.reply is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.progress.reply.notes if self.progress.reply is not None else ()


class RunState(Struct):
    """A run after the first `seq` events of its log. `nodes` are all instances by address, each after the one that it
    is inside of; `scopes` say what is inside of the composite ones; `forgotten` how often those had started and asked
    that are there no longer, since one of the same address counts from there; `numbers` gives each item that a fan-out
    ever had, by its content, the number that it keeps in this run, also when the fan-out itself is forgotten; `caught`
    are failures that were caught: the address of the node, and of the one that caught it. `finishing`: the end is
    decided and `finally_nodes` run, since `finishing_since`; `cut_short`: they are to end too, by another cancel.
    `finally_failed` are those that did not complete.
    `owned_ms` is the time that some process owned it up to `owned_since` (None: nobody does), `owner_at` when its owner
    last wrote something; the run's timeout counts from `timed_from`, a value of `owned_ms`. `deaths` counts owners that
    died in a row without anything settling in between. `spent_usd` is what agents reported in all, failed attempts
    included; `over_budget` says that the run is paused because of `max_budget_usd`; `due_at` is when a paused run
    continues by itself; `lanes` are those of agents that met a limit and have not answered since, `held_by` the
    agents whose lanes a paused run waits for; `queued` says for what a queued one waits; `session_totals` has what
    each session of an agent has used, as that says; `worker` is the one that carries out all nodes, if there is such
    a one. `signals` are those that no wait has taken, by the ids of their deliveries; `deliveries` are the ids of
    all."""

    status: str = "pending"
    seq: int = 0
    started: e.WorkflowStarted | None = None
    agent: str | None = None
    nodes: dict[str, NodeState] = field(default_factory=dict)
    scopes: dict[str, ScopeState] = field(default_factory=dict)
    forgotten: dict[str, tuple[int, int]] = field(default_factory=dict)
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    caught: dict[str, str] = field(default_factory=dict)
    error: e.Failure | None = None
    reason: str = ""
    output_node: str | None = None
    cancel: e.CancelRequested | None = None
    finishing: e.WorkflowFinishing | None = None
    finishing_since: int = 0
    finally_nodes: tuple[str, ...] = ()
    finally_failed: tuple[str, ...] = ()
    cut_short: bool = False
    started_at: int | None = None
    ended_at: int | None = None
    last_at: int = 0
    owned_ms: int = 0
    owned_since: int | None = None
    owner_at: int = 0
    timed_from: int = 0
    resumes: int = 0
    deaths: int = 0
    spent_usd: float = 0
    max_budget_usd: float | None = None
    session_totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    worker: str | None = None
    over_budget: bool = False
    signals: dict[str, e.SignalReceived] = field(default_factory=dict)
    deliveries: set[str] = field(default_factory=set)
    due_at: int | None = None
    lanes: dict[str, Lane] = field(default_factory=dict)
    held_by: tuple[str, ...] = ()
    queued: e.WorkflowQueued | None = None

    def owned(self, at: int) -> int:
        """For how long some process has owned the run by `at` (ms since the epoch)."""
        return self.owned_ms + (max(0, at - self.owned_since) if self.owned_since is not None else 0)

    def has_failed(self, node: NodeState) -> bool:
        """Whether it failed, neither allowed nor caught."""
        return node.status == "failed" and not node.allowed and node.id not in self.caught

    def keeps(self, node: NodeState) -> bool:
        """Whether a resume keeps what it came to: it completed, or it ran and its failure was allowed or caught."""
        if node.status == "completed":
            return True
        return node.started_at is not None and (node.allowed or (node.id in self.caught and node.status == "failed"))

    @property
    def is_spent(self) -> bool:
        """Whether the run's budget is used up: no further turn of an agent starts."""
        return self.max_budget_usd is not None and self.spent_usd >= self.max_budget_usd

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL_RUN_STATES

    @property
    def engine(self) -> str | None:
        """The URL of the cluster that drives the run; None: processes do."""
        return self.started.engine if self.started is not None else None


def fingerprint(node: NodeState) -> str:
    """What a dependent saw of this node: its state, with the hash of its output if it has one."""
    phase, reply = node.phase, node.progress.reply
    if reply is not None and (phase.status == "completed" or node.allowed):
        return f"{phase.status}:{reply.output.sha256[:16]}"
    return phase.reason if phase.reason in (UPSTREAM_FAILED, NO_FAILURE) else phase.status


def changed_input(now: NodeState, inputs: dict[str, str]) -> str | None:
    """The dependency whose value has changed since the node ran."""
    return next((other for other, value in inputs.items() if now.inputs.get(other) != value), None)
