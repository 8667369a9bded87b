"""A run as the faces show it: the JSON shape of cli.md, made from the state alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ion.api.described import Described, Outputs, error_fields, owned_ms, run_duration, text_of, total_usage
from ion.clocks import timestamp
from ion.core.addresses import members_of
from ion.core.events import PERMISSION, Failure
from ion.core.requests import node_of
from ion.core.state import NodeState, RunState
from ion.core.waiting import Waiting, waiting_in
from ion.engine.loading import no_collection
from ion.errors import RUN_STATUS_EXIT
from ion.stores.base import WorkflowStore

# How many instances of a node are described, unless all are asked for.
FIRST_INSTANCES = 100


class RunShown(Protocol):
    """What a run looks like to those who show it: a `RunResult`, or a `readers.RunView`."""

    @property
    def run_id(self) -> str: ...

    @property
    def workflow(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def state(self) -> RunState: ...

    @property
    def described(self) -> Described: ...


class NodeResult(Struct, frozen=True):
    """A node of a run at one moment, or an instance inside of one; `id` is its address. `output` is its text, or None
    (not completed, or longer than 256 KiB: then it is the file `output_file` of `output_bytes`). `iterations` is of
    loops; `usage` is what agents reported.

    `instances` are those inside of it, in order, of a repeated group those of every iteration; `counts` says how many
    of them have which status (and `total`), of a repeated group in its last iteration. `item` is what an instance of a
    fan-out is for. A failure may be `allowed`, or `caught_by` another node; the former has an output all the same.
    """

    id: str
    status: str
    output: str | None
    error: Failure | None
    reason: str | None
    attempts: int
    iterations: int | None
    duration_ms: int | None
    agent: str | None
    usage: dict[str, float]
    notes: tuple[str, ...]
    output_file: Path | None = None
    output_bytes: int | None = None
    item: Any = None
    instances: tuple[NodeResult, ...] = ()
    counts: dict[str, int] = {}
    allowed: bool = False
    caught_by: str | None = None


class WaitingFor(Struct, frozen=True):
    """What a run waits for. `kind` is `approval`, `iteration`, `permission`, `prompt`, `timer`, `signal`, `check`,
    `budget` or `quota` (`node` is None); `message` is what is asked, of a prompt its text. `request` says which of
    several permissions, `event` is the name of a signal, `due_at` (ISO-8601, UTC) when it is over by itself, if ever.
    A quota is that of an `agent`; `resets_at` is when that said it ends. `tries` says how often a check was tried."""

    kind: str
    message: str
    node: str | None = None
    decisions: tuple[str, ...] = ()
    request: str | None = None
    event: str | None = None
    due_at: str | None = None
    agent: str | None = None
    resets_at: str | None = None
    tries: int | None = None


class RunResult(Struct, frozen=True, dict=True):
    """A run at one moment. `status` is `interrupted` for a running one whose owner is dead.

    `state` is the whole fold; `output` is the text of the run's result, or None (not completed, or no node gave one).
    `data` is what `to_json` gives.
    """

    run_id: str
    workflow: str
    status: str
    state: RunState
    output: str | None
    data: dict[str, Any]
    described: Described

    def __repr__(self) -> str:
        # asyncio.run makes a text of what its task gave; that of a whole state takes as long as the run.
        return f"RunResult({self.run_id!r}, {self.workflow!r}, {self.status!r})"

    @property
    def error(self) -> Failure | None:
        """Why the run failed or was cancelled."""
        return _failure(self.state)

    @cached_property
    def nodes(self) -> dict[str, NodeResult]:
        """The nodes of the file by their ids, in file order; what is inside of one are its `instances`."""
        return {node.id: self._result(node) for node in members_of(self.state, "")}

    def node(self, address: str) -> NodeResult:
        """A node, or the instance of this address: `review.2.lint`, also written `review[2].lint`. Raises
        `NotFoundError`."""
        return self._result(node_of(self.state, address))

    def _result(self, node: NodeState) -> NodeResult:
        return _node_result(self.state, self.described.of(node, None))

    @cached_property
    def waiting(self) -> tuple[WaitingFor, ...]:
        """What the run waits for: answers of people or the caller, times and signals, in file order."""
        return tuple(
            WaitingFor(
                item["kind"],
                item.get("message", item.get("prompt", "")),
                item["node"],
                tuple(item.get("decisions", ())),
                item.get("request"),
                item.get("event"),
                item.get("due_at"),
                item.get("agent"),
                item.get("resets_at"),
                item.get("tries"),
            )
            for item in self.data["waiting"]
        )

    @property
    def clean(self) -> bool:
        """Whether no failure was allowed or caught so far, and nothing of `finally` failed."""
        return self.described.handled.is_clean

    @property
    def finishing(self) -> bool:
        """Whether the end is decided, and the nodes of `finally` run before it is written."""
        return self.state.finishing is not None

    @property
    def finally_failed(self) -> tuple[str, ...]:
        """The addresses of the nodes of `finally` that failed, or were ended."""
        return self.described.handled.in_finally

    @property
    def allowed(self) -> tuple[str, ...]:
        """The addresses of the nodes whose failures were allowed."""
        return self.described.handled.allowed

    @property
    def caught(self) -> dict[str, str]:
        """The addresses of the nodes whose failures were caught, each with that of the node that caught it."""
        return dict(self.described.handled.caught)

    @property
    def exit_status(self) -> int:
        """The exit status that this state means (cli.md)."""
        return RUN_STATUS_EXIT[self.status]

    def to_json(self, *, instances: bool = False) -> dict[str, Any]:
        """The object that `ion show --json` prints. `instances`: with all that are inside of nodes, not only the first
        100 of each."""
        if not instances:
            return self.data
        return {**self.data, "nodes": self.described.nodes(None)}


def run_result(
    run_id: str, state: RunState, *, status: str, now: int, store: WorkflowStore, files: Path | None = None
) -> RunResult:
    """Describe a run. `files` is the folder for outputs over 256 KiB (None: a new temporary one)."""
    started = state.started
    outputs = Outputs(run_id, store, files)
    result = state.nodes[state.output_node].output if state.output_node is not None else None
    described = Described(state, owned_ms(state, status, now), outputs)
    with no_collection():
        nodes = described.nodes(FIRST_INSTANCES)
    data = {
        "run_id": run_id,
        "workflow": started.workflow if started else "",
        "status": status,
        **outputs.fields(result, state.output_node or ""),
        "error": error_fields(_failure(state)),
        "clean": described.handled.is_clean,
        "allowed": list(described.handled.allowed),
        "caught": [{"node": node, "by": by} for node, by in described.handled.caught.items()],
        **({"finishing": True} if state.finishing is not None else {}),
        **({"finally_failed": list(described.handled.in_finally)} if described.handled.in_finally else {}),
        "rerun_of": (started.rerun_of or None) if started else None,
        "started_at": timestamp(state.started_at),
        "duration_ms": run_duration(state, status, now),
        "nodes": nodes,
        "waiting": [_waiting(one, store) for one in waiting_in(state)],
        "usage": total_usage(state),
        "max_budget_usd": state.max_budget_usd,
    }
    text = None if result is None else text_of(store, result)
    return RunResult(run_id, data["workflow"], status, state, text, data, described)


def _failure(state: RunState) -> Failure | None:
    if state.error is None and state.status == "cancelled":
        return Failure("cancelled", state.reason or "cancelled")
    return state.error


def _node_result(state: RunState, data: dict[str, Any]) -> NodeResult:
    shown: dict[str, Any] = {**data, "notes": tuple(data["notes"]), "error": None}
    node = state.nodes[shown.pop("address")]
    if "instances" in data:
        shown["instances"] = tuple(_node_result(state, one) for one in data["instances"])
    if data["error"] is not None and node.error is not None:
        shown["error"] = replace(node.error, message=data["error"]["message"], hint=data["error"]["hint"])
    if "output_file" in data:
        shown["output_file"] = Path(data["output_file"])
    return NodeResult(id=node.id, **shown)


def _waiting(one: Waiting, store: WorkflowStore) -> dict[str, Any]:
    item: dict[str, Any] = {"node": one.node or None, "kind": one.kind}
    if one.prompt is not None:
        return {**item, "prompt": text_of(store, one.prompt)}
    item["message"] = one.message
    if one.gate is not None and one.gate.decisions:
        item["decisions"] = list(one.gate.decisions)
    if one.gate is not None and one.gate.last:
        item["last"] = True
    if one.kind == PERMISSION:
        item["request"] = one.request
    if one.event:
        item["event"] = one.event
    if one.tries is not None:
        item["tries"] = one.tries
    if one.due_at is not None:
        item["due_at"] = timestamp(one.due_at)
    if one.agent:
        item["agent"] = one.agent
    if one.resets_at is not None:
        item["resets_at"] = timestamp(one.resets_at)
    return item
