"""The state of a run and its nodes: what a fold of the run's events makes, and nothing else (`fold.py`)."""

from __future__ import annotations

from ion.core import events as e
from ion.core.event_facts import TERMINAL_RUN_STATES
from ion.core.gates import Gate, Verdict
from ion.records import dataclass, field, nothing

TERMINAL_NODE_STATES = frozenset({"completed", "failed", "skipped", "cancelled"})
# The reason of a skip by the trigger rule that a failure caused, directly or through other such skips.
UPSTREAM_FAILED = "upstream_failed"


@dataclass(slots=True)
class NodeState:
    """One node. Times are ms since the epoch, durations ms. `owned_from` is for how long the run had been owned when
    the node started, `took_ms` how long it was owned from then to the node's end.

    `begun`: it has started since it was last decided whether it runs. `turn` is the turn that runs now, if one does.
    `attempt` counts starts of the present turn, `attempts` those of all turns that work, `starts` simply all.
    `retries` and `reasks` are those spent on the present turn. `reply` is the last one: of a
    loop's iteration, to a rejection of the gate, or what the node completed with. `iterations` are finished ones,
    `previous_output` is that of the one before the last; `judged` says that what follows the last one has been decided.
    `answer` and `resolved` are answers that
    nothing acted on yet. `permissions` are the open ones by request, `verdicts` those answered in the present turn by
    key; `cleared` says that the turn was ended to wait for them and all have come.
    """

    id: str
    kind: str
    status: str = "pending"
    begun: bool = False
    reason: str | None = None
    detail: str = ""
    error: e.Failure | None = None
    reply: e.Reply | None = None
    inputs: dict[str, str] = field(default_factory=nothing)
    turn: str | None = None
    iteration: int = 0
    signaled: bool = False
    attempt: int = 0
    attempts: int = 0
    starts: int = 0
    retries: int = 0
    reasks: int = 0
    reask: tuple[str, ...] = ()
    retry_at: int | None = None
    retry_ms: int = 0
    usage: dict[str, float] = field(default_factory=nothing)
    spent_usd: float = 0
    iterations: int = 0
    previous_output: e.Content | None = None
    judged: bool = True
    gate: Gate | None = None
    prompt: e.PromptRequested | None = None
    resolved: e.ApprovalResolved | None = None
    answer: e.PromptAnswered | None = None
    permissions: dict[str, Gate] = field(default_factory=nothing)
    verdicts: dict[str, Verdict] = field(default_factory=nothing)
    cleared: bool = False
    requests: int = 0
    rejections: int = 0
    reworked: int = 0
    rejection_reason: str = ""
    user_input: str = ""
    started_at: int | None = None
    ended_at: int | None = None
    owned_from: int | None = None
    took_ms: int | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL_NODE_STATES

    @property
    def output(self) -> e.Content | None:
        """What it completed with."""
        return self.reply.output if self.reply is not None and self.status == "completed" else None

    @property
    def last_output(self) -> e.Content | None:
        """That of the last reply."""
        return self.reply.output if self.reply is not None else None

    @property
    def agent(self) -> str | None:
        return self.reply.agent if self.reply is not None else None

    @property
    def session(self) -> str | None:
        return self.reply.session if self.reply is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.reply.notes if self.reply is not None else ()

    @property
    def live(self) -> bool:
        """A turn of this node runs (or ran when its owner died)."""
        return self.turn is not None

    @property
    def vote(self) -> str:
        """What it is, once settled, to the trigger rules of others: `completed`, `skipped` or `failed`, and that is
        also a skip that a failure caused."""
        return "failed" if self.status == "cancelled" or self.reason == UPSTREAM_FAILED else self.status

    @property
    def unpermitted(self) -> bool:
        """Its turn was ended, since a permission that it needs is not answered yet."""
        return bool(self.permissions) and self.turn is None and self.retry_at is None


@dataclass(slots=True)
class RunState:
    """A run after the first `seq` events of its log. `owned_ms` is the time that some process owned it up to
    `owned_since` (None: nobody does), `owner_at` when its owner last wrote something; the run's timeout counts from
    `timed_from`, a value of `owned_ms`. `deaths` counts owners that died in a row without anything settling in between.
    `spent_usd` is what agents reported in all, failed attempts included; `over_budget` says that the run is paused
    because of `max_budget_usd`; `worker` is the one that carries out all nodes, if there is such a one."""

    status: str = "pending"
    seq: int = 0
    started: e.WorkflowStarted | None = None
    agent: str | None = None
    nodes: dict[str, NodeState] = field(default_factory=dict)
    error: e.Failure | None = None
    reason: str = ""
    output_node: str | None = None
    cancel: e.CancelRequested | None = None
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
    worker: str | None = None
    over_budget: bool = False

    def owned(self, at: int) -> int:
        """For how long some process has owned the run by `at` (ms since the epoch)."""
        return self.owned_ms + (max(0, at - self.owned_since) if self.owned_since is not None else 0)

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
    """What a dependent saw of this node: its state, or the hash of its output, which only a completed one has."""
    if node.output is not None:
        return f"completed:{node.output.sha256[:16]}"
    return UPSTREAM_FAILED if node.reason == UPSTREAM_FAILED else node.status
