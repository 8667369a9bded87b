"""The event types: everything that can happen in a run, as data (language.md §10).

Each event is a frozen record with `at` (milliseconds since the epoch, given by the writer: nothing here reads a clock).
The store numbers events; `Recorded` pairs an event with its number. As JSON an event is an object of its `type` and of
the fields that differ from their defaults; what is read is checked against the types here, once, and an unknown type is
refused rather than skipped. Types are not written as texts (`from __future__ import annotations`): that takes a
twentieth of `ion runs`.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union

import msgspec
from msgspec import Meta, Struct, field

from ion import codec, names
from ion.digests import sha256_of
from ion.errors import DamagedStoreError
from ion.foreign import loads
from ion.kinds import KINDS, TURNS

# Longer texts live beside the log as blobs named by their hash (docs/durability.md).
INLINE_LIMIT_BYTES = 256 * 1024
# The kind of a request that an agent makes in the middle of a turn.
PERMISSION = "permission"
# What a wait waits for.
TIMER: Literal["timer"] = "timer"
SIGNAL: Literal["signal"] = "signal"
CHECK: Literal["check"] = "check"

# A float holds every whole number up to here, and so does every JSON reader.
Int: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Moment: TypeAlias = Annotated[int, Meta(ge=0, le=names.LATEST_MS)]
NodeId: TypeAlias = Annotated[str, Meta(pattern=names.NODE_ID)]
Address: TypeAlias = Annotated[str, Meta(pattern=names.ADDRESS)]
Sha256: TypeAlias = Annotated[str, Meta(pattern=names.SHA256)]
Kind: TypeAlias = Annotated[str, Meta(pattern=rf"^({'|'.join(KINDS)})\Z")]
EndState: TypeAlias = Annotated[str, Meta(pattern=r"^(completed|failed|cancelled)\Z")]
# The last of what a program wrote to stderr, where something reads it.
Stderr: TypeAlias = Annotated[str, Meta(max_length=4096)]
Turn: TypeAlias = Annotated[str, Meta(pattern=rf"^({'|'.join(TURNS)})\Z")]


class Content(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A text kept whole: inline in `text`, or in the store's blob of that hash, `length` bytes long."""

    text: str | None = None
    blob: Sha256 | None = None
    length: Annotated[int, Meta(ge=0, le=2**53)] = field(default=0, name="bytes")

    def __post_init__(self) -> None:
        if (self.text is None) == (self.blob is None):
            raise ValueError("an output is a text or a blob")

    @property
    def sha256(self) -> str:
        return self.blob or sha256_of(self._encoded)

    @property
    def size(self) -> int:
        """In bytes of UTF-8."""
        return self.length if self.text is None else len(self._encoded)

    @property
    def _encoded(self) -> bytes:
        return (self.text or "").encode("utf-8", "surrogatepass")


class Failure(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Why an attempt or a node failed. `code` decides whether trying again may help (`apply_outcome.retry_class`).
    `resets_at` is when the limit ends that an agent met, as far as it says."""

    code: str
    message: str
    hint: str = ""
    exit_status: Int | None = None
    stderr: Stderr = ""
    resets_at: Moment | None = None

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        return data if self.exit_status is None else {**data, "exit_status": self.exit_status}


class Value(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What a condition will read: the text up to 4 KiB, else its hash and length in bytes, or why there is none."""

    text: str | None = None
    sha256: Sha256 | None = None
    length: Int = 0
    error: str | None = None

    def __post_init__(self) -> None:
        if [self.text, self.sha256, self.error].count(None) != 2:
            raise ValueError("a value is a text, a hash or an error")


class Reply(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What a turn gave. `values`: one for each reference that a condition makes to its node (`output`,
    `output.field`). The rest is of an agent's turn: whose session it was, what it cost, whether Ion repaired its JSON,
    and what it left undone, in words. `stderr` is the end of what a program wrote there.
    """

    output: Content
    values: dict[str, Value] = field(default_factory=dict)
    session: str | None = None
    agent: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    repaired: bool = False
    notes: tuple[str, ...] = ()
    stderr: Stderr = ""


class Event(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag=lambda name: re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower(),
):
    """The base of all events. `at` is milliseconds since the epoch."""

    at: Moment

    @property
    def type(self) -> str:
        """`node_completed` and the like."""
        return str(self.__struct_config__.tag)


class NodeEvent(Event, frozen=True, gc=False):
    """The base of events about one instance of a node, named by its address."""

    node: Address


class WorkflowStarted(Event, frozen=True, gc=False):
    """The first event of a run. `nodes` are [id, kind] in file order; `by` says who and where; `rerun_of` is the run
    (`run_id`) whose outcomes before the node `from` this one keeps; `engine` is the URL of what drives it, if no
    process of its own does."""

    workflow: str
    digest: str
    nodes: tuple[tuple[NodeId, Kind], ...]
    file: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    arguments: str = ""
    context: str = ""
    agent: str | None = None
    cwd: str = ""
    max_concurrency: Int | None = None
    ion_version: str = ""
    git_head: str | None = None
    by: dict[str, Any] = field(default_factory=dict)
    max_budget_usd: float | None = None
    rerun_of: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None

    def __post_init__(self) -> None:
        if len({node for node, _ in self.nodes}) < len(self.nodes):
            raise ValueError("two of its nodes have one id")


class WorkflowPaused(Event, frozen=True, gc=False):
    """`over_budget`: agents have something to do, and the run's budget is spent. `due_at` (ms since the epoch): when
    the run continues without anybody's answer, once a process is there to drive it; None: it does not. `agents` are
    those whose closed lanes hold turns back."""

    over_budget: bool = False
    due_at: Moment | None = None
    agents: tuple[str, ...] = ()


class WorkflowQueued(Event, frozen=True, gc=False):
    """The run waits for a place in this concurrency group of its project, and is continued then."""

    group: str


class WorkflowResumed(Event, frozen=True, gc=False):
    """A process continued the run. `cause` is `resume` or `answer`; `agent` overrides the run's from here on;
    `owner_died` says that the process before did not release the run by itself; `owned_until` (ms since the epoch)
    is when it is last known to have owned it."""

    cause: str = "resume"
    agent: str | None = None
    by: dict[str, Any] = field(default_factory=dict)
    owner_died: bool = False
    owned_until: Moment | None = None


class WorkflowFinishing(Event, frozen=True, gc=False):
    """The end of the run is decided: its `status`, and what the event of that end will say. Before that
    `finally_nodes` run."""

    status: EndState
    finally_nodes: tuple[NodeId, ...]
    error: Failure | None = None
    reason: str = ""
    output_node: Address | None = None
    node: Address | None = None

    def __post_init__(self) -> None:
        if (self.error is not None) != (self.status == "failed"):
            raise ValueError("a failure has an error, and no other end has one")


class WorkflowCompleted(Event, frozen=True, gc=False):
    """`output_node` is the node whose output is the run's; `clean`: no failure was allowed or caught. `finally_failed`,
    of every end, are the nodes of `finally`, of called workflows too, that failed or were ended."""

    output_node: Address | None = None
    clean: bool = True
    finally_failed: tuple[Address, ...] = ()


class WorkflowFailed(Event, frozen=True, gc=False):
    error: Failure
    finally_failed: tuple[Address, ...] = ()


class WorkflowCancelled(Event, frozen=True, gc=False):
    """`node` is the cancel node or the rejected gate, if one of them ended the run."""

    reason: str = ""
    node: Address | None = None
    finally_failed: tuple[Address, ...] = ()


class CancelRequested(Event, frozen=True, gc=False):
    """`cause` is `person`, or `timeout` when the run's own time is over."""

    reason: str = ""
    cause: str = "person"
    by: dict[str, Any] = field(default_factory=dict)


class BudgetRaised(Event, frozen=True, gc=False):
    """The run may spend `max_budget_usd` in all from here on, more than it has spent by now."""

    max_budget_usd: float
    by: dict[str, Any] = field(default_factory=dict)


class LaneClosed(Event, frozen=True, gc=False):
    """An agent is at its limit: none of its turns begins before `until` (ms since the epoch). `error` is what it said;
    its code is `quota_exhausted` also for the third time in a row that it was limited without saying until when.
    `closings` counts those in a row."""

    agent: str
    error: Failure
    until: Moment
    closings: Annotated[int, Meta(ge=0, le=2**53)] = 0


class LaneOpened(Event, frozen=True, gc=False):
    """An agent answers again, or somebody continued the run and so asks it to try."""

    agent: str


class WorkflowPlaced(Event, frozen=True, gc=False):
    """From here on one worker of the cluster that drives the run carries out all of its nodes (`workspace: pinned`)."""

    worker: str


class NodeStarted(NodeEvent, frozen=True, gc=False):
    """One attempt at one turn begins.

    `turn` is a key of `kinds.TURNS`. `inputs` holds, for
    each node waited for, what it was when this one ran (`state.fingerprint`): resume compares by it. `signaled` goes
    from a loop's check to its gate. `reply` is the rework that a gate follows at once.
    """

    turn: Turn
    attempt: Int = 1
    iteration: Int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    signaled: bool = False
    reply: Reply | None = None


class NodeCompleted(NodeEvent, frozen=True, gc=False):
    """`caught` are the failed nodes whose failures it caught by that; `signal` is the delivery that a wait took."""

    reply: Reply
    caught: tuple[Address, ...] = ()
    signal: str | None = None


class NodeFailed(NodeEvent, frozen=True, gc=False):
    """With a `reply`, what it gave all the same, the failure was allowed."""

    error: Failure
    usage: dict[str, Any] = field(default_factory=dict)
    reply: Reply | None = None


class NodeSkipped(NodeEvent, frozen=True, gc=False):
    """`reason` is `trigger_rule`, `upstream_failed` (the trigger rule, because of a failure), `no_failure` (none to
    catch), `when`, `timeout`, `expired` (a wait), `fail_fast` or `cancelled`; `detail` has names and values."""

    reason: str
    detail: str = ""


class NodeCancelled(NodeEvent, frozen=True, gc=False):
    """`reason` is `fail_fast`, `cancelled` or `rejected`."""

    reason: str


class NodeRetrying(NodeEvent, frozen=True, gc=False):
    """An attempt failed and another follows at `due_at` (ms since the epoch). `reask` holds what was wrong with a reply
    that did not fit `output_format`. An `error` with the code `permission` is none: the agent needs permissions that
    were answered while its turn ended. With an `agent`, that one is at its limit: the attempt does not count, and
    another follows once the agent's lane is open."""

    error: Failure
    due_at: Moment
    reask: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    agent: str | None = None


class WaitStarted(NodeEvent, frozen=True, gc=False):
    """A wait begins. `kind` is `timer`, `signal` (of the name `event`) or `check`. At `due_at` (ms since the epoch) it
    is over, or has expired; None: it waits for as long as it takes."""

    kind: Literal["timer", "signal", "check"]
    due_at: Moment | None = None
    event: str = ""


class SignalReceived(Event, frozen=True, gc=False):
    """Somebody sent the signal `event`. `id` names this delivery: the same one again changes nothing. `payload` is
    JSON. `target` is the only wait that may take it; None: any may."""

    event: str
    id: str
    payload: str | None = None
    target: Address | None = None
    by: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.payload is not None:
            loads(self.payload)


class NodeInvalidated(NodeEvent, frozen=True, gc=False):
    """A completed node will run again: `reason` is `always_run`; or `dependency`, which names it, has
    changed. With `inside` only nodes inside of it read that, and all others keep their outcomes."""

    reason: str
    dependency: Address | None = None


class IterationCompleted(NodeEvent, frozen=True, gc=False):
    """A loop's turn was answered. `signaled`: the signal or the field says that the loop is done."""

    iteration: Int
    reply: Reply
    signaled: bool = False


class IterationJudged(NodeEvent, frozen=True, gc=False):
    """`until_bash` judged that a loop's last iteration is not the final one."""

    iteration: Int


class ScopeOpened(NodeEvent, frozen=True, gc=False):
    """The instances inside of a node begin, or those of them that have not completed begin again.

    `nodes` are the ids and kinds of a graph, in file order; `iteration` counts those of a loop. A fan-out has `items`,
    a JSON array, and for each of them a key for its content and the number in its instance's address. `given` is what
    a called workflow is given, a JSON object. `read` is what conditions read of either, for each item or once.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    nodes: tuple[tuple[NodeId, Kind], ...] = ()
    iteration: Int = 0
    items: Content | None = None
    keys: tuple[str, ...] = ()
    numbers: tuple[Annotated[int, Meta(ge=0, lt=10**9)], ...] = ()
    given: Content | None = None
    read: tuple[dict[str, Value], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.keys) == len(self.numbers) == len({*self.keys}) == len({*self.numbers}):
            raise ValueError("its items do not have one number each")
        if len({name for name, _ in self.nodes}) < len(self.nodes):
            raise ValueError("two of its nodes have one id")


class ScopeFinishing(NodeEvent, frozen=True, gc=False):
    """The end of a called workflow is decided: its `status`. Its `finally_nodes` run before its node ends so.
    `error` is that of a failure; `reason`, why it is stopped with all around it."""

    finally_nodes: tuple[NodeId, ...]
    status: Annotated[str, Meta(pattern=r"^(completed|failed|skipped|cancelled)\Z")]
    error: Failure | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.error is not None) != (self.status == "failed"):
            raise ValueError("a failure has an error, and no other end has one")


class ApprovalRequested(NodeEvent, frozen=True, gc=False):
    """A gate is open. `request` names it in this run; `kind` is `approval`, `iteration` (of a loop), or `permission`.
    `last`: the loop has used up its iterations, so another one cannot be asked for. At `due_at` (ms since the epoch)
    its time is over; people are reminded at the times `remind_at`.

    A permission is asked for by the agent in the middle of a turn: `key` says for what (the answer is remembered by it
    while the turn lasts), `kinds` are the kinds of the `decisions`. `held`: the turn continues meanwhile. The same
    request again, not held: its turn was ended, and the prompt is asked again once all its requests are answered.
    """

    request: str
    message: str
    kind: str = "approval"
    iteration: Int = 0
    signaled: bool = False
    last: bool = False
    decisions: tuple[str, ...] = ()
    key: str = ""
    kinds: tuple[str, ...] = ()
    held: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    due_at: Moment | None = None
    remind_at: tuple[Moment, ...] = ()


class GateReminded(NodeEvent, frozen=True, gc=False):
    """A gate is still open at the time of one of its reminders, of which so many (`reminders`) have come by now."""

    request: str
    reminders: Int


class GateExpired(NodeEvent, frozen=True, gc=False):
    """Nobody answered the gate in its time. `decision` is what then holds: `failed`, or as in `ApprovalResolved`."""

    request: str
    decision: str


class ApprovalResolved(NodeEvent, frozen=True, gc=False):
    """A gate was answered: `decision` is `approved`, `rejected`, or one of the gate's own decisions."""

    request: str
    decision: str
    comment: str = ""
    by: dict[str, Any] = field(default_factory=dict)


class PromptRequested(NodeEvent, frozen=True, gc=False):
    """A prompt waits for the caller. `key` is the idempotency key."""

    request: str
    prompt: Content
    system: str | None = None
    iteration: Int = 0
    attempt: Int = 1
    session: str | None = None
    output_format: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    key: str = ""


class PromptAnswered(NodeEvent, frozen=True, gc=False):
    request: str
    output: Content
    session: str | None = None
    by: dict[str, Any] = field(default_factory=dict)


# A request is opened by one event and answered by another; the store lets one answer win.
Request: TypeAlias = ApprovalRequested | PromptRequested
Answer: TypeAlias = ApprovalResolved | PromptAnswered


class Recorded(Struct, frozen=True, gc=False):
    """An event in a run's log: `seq` counts from 1 without gaps."""

    seq: Int
    event: Event


EVENT_TYPES: dict[str, type[Event]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        WorkflowStarted,
        WorkflowPaused,
        WorkflowQueued,
        WorkflowResumed,
        WorkflowFinishing,
        WorkflowCompleted,
        WorkflowFailed,
        WorkflowCancelled,
        CancelRequested,
        BudgetRaised,
        LaneClosed,
        LaneOpened,
        WorkflowPlaced,
        NodeStarted,
        NodeCompleted,
        NodeFailed,
        NodeSkipped,
        NodeCancelled,
        NodeRetrying,
        WaitStarted,
        SignalReceived,
        NodeInvalidated,
        ScopeOpened,
        ScopeFinishing,
        IterationCompleted,
        IterationJudged,
        ApprovalRequested,
        ApprovalResolved,
        GateReminded,
        GateExpired,
        PromptRequested,
        PromptAnswered,
    )
}


@cache
def _decoder() -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(Union[tuple(EVENT_TYPES.values())])  # noqa: UP007


def decode(text: str | bytes) -> Event:
    """The event that `codec.encode` wrote.

    Every event from a file or a database is parsed and checked here, once: its types, and the names of nodes and
    outputs. Raises `DamagedStoreError` for an unknown type (a newer Ion wrote it) or invalid fields.
    """
    try:
        return _decoder().decode(text)
    except (ValueError, RecursionError):  # or it holds a text that is not valid Unicode
        return from_json(json.loads(text))


def from_json(data: Any) -> Event:
    """As `decode`, from JSON data: of a cluster, or of another's file."""
    try:
        return codec.from_json(data, _decoder())
    except ValueError as error:
        name = data.get("type") if isinstance(data, dict) else None
        hint = "another version of Ion may have written it; use that one"
        if not isinstance(name, str) or name not in EVENT_TYPES:
            raise DamagedStoreError(f"the log holds an event of the unknown type {name!r:.80}", hint=hint) from error
        raise DamagedStoreError(f"the log holds a {name} event that cannot be read: {error}", hint=hint) from error


def contents(event: Event) -> Iterator[Content]:
    """The texts that this event holds or names."""
    found = (getattr(event, name, None) for name in ("output", "prompt", "reply", "items", "given"))
    return (one.output if isinstance(one, Reply) else one for one in found if one is not None)
