"""The event types: everything that can happen in a run, as data (language.md §10).

Each event is a frozen record with `at` (milliseconds since the epoch, given by the writer: nothing here reads a clock).
The store numbers events; `Recorded` pairs an event with its number. `to_json`/`from_json` are exact inverses, fields at
their defaults are left out, and an unknown type is refused rather than skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar, TypeAlias

from msgspec import Struct, field

from ion import names, typed
from ion.errors import DamagedStoreError
from ion.kinds import KINDS, TURNS
from ion.records import nothing

# Longer texts live beside the log as blobs named by their hash (design.md, "Store").
INLINE_LIMIT_BYTES = 256 * 1024
# The kind of a request that an agent makes in the middle of a turn.
PERMISSION = "permission"


class Content(Struct, frozen=True, gc=False):
    """A text kept whole: inline in `text`, or (`text` None) in the store's blob named `sha256`.

    `size` is in bytes of UTF-8.
    """

    sha256: str
    size: int
    text: str | None = None

    @classmethod
    def inline(cls, text: str) -> Content:
        data = text.encode("utf-8", "surrogatepass")
        return cls(hashlib.sha256(data).hexdigest(), len(data), text)

    def to_json(self) -> dict[str, Any]:
        if self.text is None:
            return {"blob": self.sha256, "bytes": self.size}
        return {"text": self.text}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Content:
        """Raises `ValueError` for an invalid hash or size."""
        if "text" in data:
            return cls.inline(data["text"])
        sha256, size = data["blob"], data["bytes"]
        if not names.is_sha256(sha256) or type(size) is not int or size < 0:
            raise ValueError(f"{sha256!r:.80} of {size!r:.20} bytes names no output")
        return cls(sha256, size)


class Failure(Struct, frozen=True, gc=False):
    """Why an attempt or a node failed. `code` decides whether trying again may help (`apply_outcome.retry_class`)."""

    code: str
    message: str
    hint: str = ""
    exit_status: int | None = None

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        return data if self.exit_status is None else {**data, "exit_status": self.exit_status}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Failure:
        """Raises `ValueError` if a field has another type."""
        failure = cls(data["code"], data["message"], data.get("hint", ""), data.get("exit_status"))
        _require_types(failure.to_json(), _FAILURE_CHECKS)
        return failure


class Reply(Struct, frozen=True, gc=False):
    """What a turn gave. `values`: for each reference that a condition makes to its node (`output`, `output.field`),
    `{"text"}` up to 4 KiB, else `{"sha256", "length"}`, or `{"error"}`. The rest is of an agent's turn: whose session
    it was, what it cost, whether Ion repaired its JSON, and what it left undone, in words. The JSON of an event has
    these fields among its own.
    """

    output: Content
    values: dict[str, dict[str, Any]] = field(default_factory=nothing)
    session: str | None = None
    agent: str | None = None
    usage: dict[str, Any] = field(default_factory=nothing)
    repaired: bool = False
    notes: tuple[str, ...] = ()


class Event(Struct, frozen=True, gc=False):
    """The base of all events. `at` is milliseconds since the epoch."""

    type: ClassVar[str] = ""
    at: int


class NodeEvent(Event, frozen=True, gc=False):
    """The base of events about one node."""

    node: str


class WorkflowStarted(Event, frozen=True, gc=False):
    """The first event of a run. `nodes` are [id, kind] in file order; `by` says who and where; `rerun_of` is the run
    (`run_id`) whose outcomes before the node `from` this one keeps; `engine` is the URL of what drives it, if no
    process of its own does."""

    type: ClassVar[str] = "workflow_started"
    workflow: str
    digest: str
    nodes: tuple[tuple[str, str], ...]
    file: str = ""
    inputs: dict[str, Any] = field(default_factory=nothing)
    arguments: str = ""
    context: str = ""
    agent: str | None = None
    cwd: str = ""
    max_concurrency: int | None = None
    ion_version: str = ""
    git_head: str | None = None
    by: dict[str, Any] = field(default_factory=nothing)
    max_budget_usd: float | None = None
    rerun_of: dict[str, Any] = field(default_factory=nothing)
    engine: str | None = None


class WorkflowPaused(Event, frozen=True, gc=False):
    """`over_budget`: agents have something to do, and the run's budget is spent."""

    type: ClassVar[str] = "workflow_paused"
    over_budget: bool = False


class WorkflowResumed(Event, frozen=True, gc=False):
    """A process continued the run. `cause` is `resume` or `answer`; `agent` overrides the run's from here on;
    `owner_died` says that the process before did not release the run by itself; `owned_until` (ms since the epoch)
    is when it is last known to have owned it."""

    type: ClassVar[str] = "workflow_resumed"
    cause: str = "resume"
    agent: str | None = None
    by: dict[str, Any] = field(default_factory=nothing)
    owner_died: bool = False
    owned_until: int | None = None


class WorkflowCompleted(Event, frozen=True, gc=False):
    """`output_node` is the node whose output is the run's."""

    type: ClassVar[str] = "workflow_completed"
    output_node: str | None = None


class WorkflowFailed(Event, frozen=True, gc=False):
    type: ClassVar[str] = "workflow_failed"
    error: Failure


class WorkflowCancelled(Event, frozen=True, gc=False):
    """`node` is the cancel node or the rejected gate, if one of them ended the run."""

    type: ClassVar[str] = "workflow_cancelled"
    reason: str = ""
    node: str | None = None


class CancelRequested(Event, frozen=True, gc=False):
    """`cause` is `person`, or `timeout` when the run's own time is over."""

    type: ClassVar[str] = "cancel_requested"
    reason: str = ""
    cause: str = "person"
    by: dict[str, Any] = field(default_factory=nothing)


class BudgetRaised(Event, frozen=True, gc=False):
    """The run may spend `max_budget_usd` in all from here on, more than it has spent by now."""

    type: ClassVar[str] = "budget_raised"
    max_budget_usd: float
    by: dict[str, Any] = field(default_factory=nothing)


class WorkflowPlaced(Event, frozen=True, gc=False):
    """From here on one worker of the cluster that drives the run carries out all of its nodes (`workspace: pinned`)."""

    type: ClassVar[str] = "workflow_placed"
    worker: str


class NodeStarted(NodeEvent, frozen=True, gc=False):
    """One attempt at one turn begins.

    `turn` is `prompt`, `bash`, `script`, `until_bash`, `gate`, `rejection`, `answer` or `cancel`. `inputs` holds, for
    each node waited for, what it was when this one ran (`state.fingerprint`): resume compares by it. `signaled` goes
    from a loop's check to its gate. `reply` is the rework that a gate follows at once.
    """

    type: ClassVar[str] = "node_started"
    turn: str
    attempt: int = 1
    iteration: int = 0
    inputs: dict[str, str] = field(default_factory=nothing)
    signaled: bool = False
    reply: Reply | None = None


class NodeCompleted(NodeEvent, frozen=True, gc=False):
    type: ClassVar[str] = "node_completed"
    reply: Reply


class NodeFailed(NodeEvent, frozen=True, gc=False):
    type: ClassVar[str] = "node_failed"
    error: Failure
    usage: dict[str, Any] = field(default_factory=nothing)


class NodeSkipped(NodeEvent, frozen=True, gc=False):
    """`reason` is `trigger_rule`, `upstream_failed` (the trigger rule, because of a failure), `when`, `timeout`,
    `fail_fast` or `cancelled`; `detail` says it with names and values."""

    type: ClassVar[str] = "node_skipped"
    reason: str
    detail: str = ""


class NodeCancelled(NodeEvent, frozen=True, gc=False):
    """`reason` is `fail_fast`, `cancelled` or `rejected`."""

    type: ClassVar[str] = "node_cancelled"
    reason: str


class NodeRetrying(NodeEvent, frozen=True, gc=False):
    """An attempt failed and another follows at `due_at` (ms since the epoch). `reask` holds what was wrong with a reply
    that did not fit `output_format`. An `error` with the code `permission` is none: the agent needs permissions that
    were answered while its turn ended."""

    type: ClassVar[str] = "node_retrying"
    error: Failure
    due_at: int
    reask: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=nothing)


class NodeInvalidated(NodeEvent, frozen=True, gc=False):
    """A completed node will run again: `reason` is `always_run`, or `dependency`, and then `dependency` names it."""

    type: ClassVar[str] = "node_invalidated"
    reason: str
    dependency: str | None = None


class IterationCompleted(NodeEvent, frozen=True, gc=False):
    """A loop's turn was answered. `signaled`: the signal or the field says that the loop is done."""

    type: ClassVar[str] = "iteration_completed"
    iteration: int
    reply: Reply
    signaled: bool = False


class IterationJudged(NodeEvent, frozen=True, gc=False):
    """`until_bash` judged that a loop's last iteration is not the final one."""

    type: ClassVar[str] = "iteration_judged"
    iteration: int


class ApprovalRequested(NodeEvent, frozen=True, gc=False):
    """A gate is open. `request` names it in this run; `kind` is `approval`, `iteration` (of a loop), or `permission`.

    A permission is asked for by the agent in the middle of a turn: `key` says for what (the answer is remembered by it
    while the turn lasts), `kinds` are the kinds of the `decisions`. `held`: the turn continues meanwhile. The same
    request again, not held: its turn was ended, and the prompt is asked again once all its requests are answered.
    """

    type: ClassVar[str] = "approval_requested"
    request: str
    message: str
    kind: str = "approval"
    iteration: int = 0
    signaled: bool = False
    decisions: tuple[str, ...] = ()
    key: str = ""
    kinds: tuple[str, ...] = ()
    held: bool = False
    usage: dict[str, Any] = field(default_factory=nothing)


class ApprovalResolved(NodeEvent, frozen=True, gc=False):
    """A gate was answered: `decision` is `approved`, `rejected`, or one of the gate's own decisions."""

    type: ClassVar[str] = "approval_resolved"
    request: str
    decision: str
    comment: str = ""
    by: dict[str, Any] = field(default_factory=nothing)


class PromptRequested(NodeEvent, frozen=True, gc=False):
    """A prompt waits for the caller. `key` is the idempotency key."""

    type: ClassVar[str] = "prompt_requested"
    request: str
    prompt: Content
    system: str | None = None
    iteration: int = 0
    attempt: int = 1
    session: str | None = None
    output_format: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=nothing)
    key: str = ""


class PromptAnswered(NodeEvent, frozen=True, gc=False):
    type: ClassVar[str] = "prompt_answered"
    request: str
    output: Content
    session: str | None = None
    by: dict[str, Any] = field(default_factory=nothing)


# A request is opened by one event and answered by another; the store lets one answer win.
Request: TypeAlias = ApprovalRequested | PromptRequested
Answer: TypeAlias = ApprovalResolved | PromptAnswered


class Recorded(Struct, frozen=True, gc=False):
    """An event in a run's log: `seq` counts from 1 without gaps."""

    seq: int
    event: Event


EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls
    for cls in (
        WorkflowStarted,
        WorkflowPaused,
        WorkflowResumed,
        WorkflowCompleted,
        WorkflowFailed,
        WorkflowCancelled,
        CancelRequested,
        BudgetRaised,
        WorkflowPlaced,
        NodeStarted,
        NodeCompleted,
        NodeFailed,
        NodeSkipped,
        NodeCancelled,
        NodeRetrying,
        NodeInvalidated,
        IterationCompleted,
        IterationJudged,
        ApprovalRequested,
        ApprovalResolved,
        PromptRequested,
        PromptAnswered,
    )
}
_RECORDS: tuple[type[Any], ...] = (*EVENT_TYPES.values(), Reply)
_FIELDS = {cls: tuple((name, default) for name, _, default in typed.fields_of(cls)) for cls in _RECORDS}
_REPLY_FIELDS = frozenset(name for name, _ in _FIELDS[Reply])
_WITH_REPLY = frozenset(cls for cls in EVENT_TYPES.values() if "reply" in (name for name, _ in _FIELDS[cls]))
_CONTENT_FIELDS = ("output", "prompt")
_TUPLE_FIELDS = ("decisions", "kinds", "notes", "reask")


def _is_moment_or_none(value: Any) -> bool:
    return value is None or names.is_moment(value)


def _is_node_id_or_none(value: Any) -> bool:
    return value is None or names.is_node_id(value)


def _are_nodes(value: Any) -> bool:
    """Whether these are the ids of nodes, each once, and their kinds."""
    ids, kinds = [node for node, _ in value], {kind for _, kind in value}
    return all(map(names.is_node_id, ids)) and len({*ids}) == len(ids) and kinds <= KINDS.keys()


def _is_turn(value: Any) -> bool:
    return type(value) is str and value in TURNS


def _are_values(value: Any) -> bool:
    """Whether these are values as `values.condition_values` makes them."""
    return isinstance(value, dict) and all(map(_is_value, value.values()))


def _is_value(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    texts = [value[name] for name in ("error", "text", "sha256") if name in value]
    whole = "sha256" not in value or type(value.get("length")) is int
    return bool(texts) and whole and all(type(text) is str for text in texts)


# What a field holds, besides what its type says, wherever its name appears.
_CHECKS_BY_NAME: dict[str, typed.Check] = {
    "at": names.is_moment,
    "due_at": names.is_moment,
    "owned_until": _is_moment_or_none,
    "node": names.is_node_id,
    "output_node": _is_node_id_or_none,
    "dependency": _is_node_id_or_none,
    "nodes": _are_nodes,
    "turn": _is_turn,
    "values": _are_values,
}


def _checks(cls: type[Any]) -> dict[str, typed.Check]:
    known = {"Content": Content, "Failure": Failure, "Reply": Reply}
    checks = {name: typed.check_of(annotation, known) for name, annotation, _ in typed.fields_of(cls)}
    named = {name: _CHECKS_BY_NAME[name] for name in checks.keys() & _CHECKS_BY_NAME.keys()}
    if cls is WorkflowCancelled:
        named["node"] = _is_node_id_or_none
    return {**checks, **named}


_CHECKS = {cls: _checks(cls) for cls in _RECORDS}
_FAILURE_CHECKS = _checks(Failure)


def _require_types(values: dict[str, Any], checks: dict[str, typed.Check]) -> None:
    for name, value in values.items():
        if not checks[name](value):
            raise ValueError(f"its field {name!r} cannot be {value!r:.80}")


def to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object: `type`, `at`, and every field that differs from its default."""
    data: dict[str, Any] = {"type": event.type}
    _add(data, event)
    return data


def _add(data: dict[str, Any], record: Event | Reply) -> None:
    for name, default in _FIELDS[type(record)]:
        value = getattr(record, name)
        if value is default or value == default:
            continue
        if isinstance(value, Reply):
            _add(data, value)
        else:
            data[name] = value.to_json() if isinstance(value, Content | Failure) else value


def contents(event: Event) -> Iterator[Content]:
    """The texts that this event holds or names."""
    found = (getattr(event, name, None) for name in ("output", "prompt", "reply"))
    return (one.output if isinstance(one, Reply) else one for one in found if one is not None)


def from_json(data: dict[str, Any]) -> Event:
    """The event that `to_json` wrote.

    Every event from a file, a database or a cluster is parsed and checked here, once: its types, and the names of nodes
    and outputs. Raises `DamagedStoreError` for an unknown type (a newer Ion wrote it) or invalid fields.
    """
    values = dict(data)
    name = values.pop("type", None)
    cls = EVENT_TYPES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise DamagedStoreError(
            f"the log holds an event of the unknown type {name!r}", hint="it may come from a newer Ion; use that one"
        )
    try:
        for key in _CONTENT_FIELDS:
            if key in values:
                values[key] = Content.from_json(values[key])
        if "error" in values:
            values["error"] = Failure.from_json(values["error"])
        for key in _TUPLE_FIELDS:
            if key in values:
                values[key] = tuple(values[key])
        if cls is WorkflowStarted:
            values["nodes"] = tuple((node, kind) for node, kind in values["nodes"])
        if cls in _WITH_REPLY and "output" in values:
            reply = {key: values.pop(key) for key in _REPLY_FIELDS & values.keys()}
            _require_types(reply, _CHECKS[Reply])
            values["reply"] = Reply(**reply)
        _require_types(values, _CHECKS[cls])
        return cls(**values)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DamagedStoreError(f"the log holds a {name} event that cannot be read: {error}") from error
