"""A run as the faces show it: the JSON shape of cli.md, made from the state alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ion.core.addresses import instances_in, members_of
from ion.core.events import PERMISSION, Content, Failure
from ion.core.foreseen import Handled, handled
from ion.core.requests import REJECTED, node_of
from ion.core.state import NodeState, RunState
from ion.core.tallies import Tally, total
from ion.core.waiting import Waiting, waiting_in
from ion.engine.loading import no_collection
from ion.errors import RUN_STATUS_EXIT
from ion.kinds import KINDS
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
    """What a run waits for. `kind` is `approval`, `iteration`, `permission`, `prompt`, `timer`, `signal`, `check` or
    `budget` (`node` is None); `message` is what is asked, of a prompt its text. `request` says which of several
    permissions, `event` is the name of a signal, `due_at` (ISO-8601, UTC) when it is over by itself, if ever."""

    kind: str
    message: str
    node: str | None = None
    decisions: tuple[str, ...] = ()
    request: str | None = None
    event: str | None = None
    due_at: str | None = None


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


def timestamp(at: int | None) -> str | None:
    """Milliseconds since the epoch as ISO-8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_result(
    run_id: str, state: RunState, *, status: str, now: int, store: WorkflowStore, files: Path | None = None
) -> RunResult:
    """Describe a run. `files` is the folder for outputs over 256 KiB (None: a new temporary one)."""
    started = state.started
    outputs = _Outputs(run_id, store, files)
    result = state.nodes[state.output_node].output if state.output_node is not None else None
    described = Described(state, owned_ms(state, status, now), outputs)
    with no_collection():
        nodes = described.nodes(FIRST_INSTANCES)
    data = {
        "run_id": run_id,
        "workflow": started.workflow if started else "",
        "status": status,
        **outputs.fields(result, state.output_node or ""),
        "error": _error(_failure(state)),
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


def describe_nodes(store: WorkflowStore, run_id: str, state: RunState) -> Described:
    """The nodes of a run, none of them described yet."""
    return Described(state, 0, _Outputs(run_id, store, None))


def run_duration(state: RunState, status: str, now: int) -> int | None:
    """Milliseconds from the start to the end, to now if it runs, else to the last thing that happened."""
    if state.started_at is None:
        return None
    end = state.ended_at or (now if status == "running" else state.last_at)
    return max(0, end - state.started_at)


def owned_ms(state: RunState, status: str, now: int) -> int:
    """For how many milliseconds some process has owned the run: until now if it runs, else until its owner's last
    write."""
    return state.owned(now if status == "running" else state.owner_at)


def node_duration(node: NodeState, owned: int) -> int | None:
    """Milliseconds from a node's start to its end, or to now if it has not ended; None if it never started. The time
    in which nobody drove the run does not count. `owned` is `owned_ms` of the run."""
    if node.owned_from is None:
        return None
    return node.took_ms if node.took_ms is not None else owned - node.owned_from


def _failure(state: RunState) -> Failure | None:
    if state.error is None and state.status == "cancelled":
        return Failure("cancelled", state.reason or "cancelled")
    return state.error


def _error(error: Failure | None) -> dict[str, Any] | None:
    return None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}


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


class Described:
    """The nodes of a run as JSON, each with what is inside of it, `through` what masks it."""

    def __init__(
        self, state: RunState, owned: int, outputs: _Outputs, through: Callable[[Any], Any] = lambda value: value
    ) -> None:
        self._state = state
        self.owned = owned
        self._outputs = outputs
        self._through = through
        self._items: dict[str, list[Any]] = {}

    def masked(self, through: Callable[[Any], Any]) -> Described:
        """The same, through this function."""
        return Described(self._state, self.owned, self._outputs, through)

    @cached_property
    def handled(self) -> Handled:
        """The failures that do not fail the run."""
        return handled(self._state)

    @cached_property
    def not_clean(self) -> frozenset[str]:
        """The instances inside of which there are such failures."""
        found = (*self.handled.allowed, *self.handled.caught, *self.handled.in_finally)
        return frozenset(around for one in found for around in _around(self._state, one))

    @cached_property
    def tally(self) -> Tally:
        """What is inside of the nodes, counted."""
        return Tally(self._state)

    def usage_of(self, node: NodeState) -> dict[str, float]:
        """What agents reported for it and all inside of it."""
        return _rounded(self._usage_inside.get(node.id, node.usage))

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.handled.allowed)

    @cached_property
    def _usage_inside(self) -> dict[str, dict[str, float]]:
        """That of the composite instances."""
        found: dict[str, dict[str, float]] = {owner: {} for owner in self._state.scopes}
        for node in self._state.nodes.values():
            around = node if node.usage else None
            while around is not None:
                if around.id in found:
                    _add(found[around.id], node.usage)
                around = self._state.nodes.get(around.owner)
        return found

    def nodes(self, most: int | None) -> dict[str, Any]:
        """Those of the file by their ids. `most` instances of each node are described; None: all."""
        found = {node.id: self._entry(node, most) for node in members_of(self._state, "")}
        shown: dict[str, Any] = self._through(found)
        return shown

    def of(self, node: NodeState, most: int | None) -> dict[str, Any]:
        """One instance, with its address and its item."""
        shown: dict[str, Any] = self._through(self._of(node, most))
        return shown

    def _of(self, node: NodeState, most: int | None) -> dict[str, Any]:
        return {"address": node.id, "item": self.item(node), **self._entry(node, most)}

    def item(self, node: NodeState) -> Any:
        """What an instance of a fan-out is for; None: it is not one."""
        scope = self._state.scopes.get(node.owner)
        if scope is None or scope.items is None:
            return None
        items = self._items.get(node.owner)
        if items is None:
            items = self._items[node.owner] = json.loads(self._outputs.text(scope.items))
        return items[scope.members[node.id]]

    def _entry(self, node: NodeState, most: int | None) -> dict[str, Any]:
        entry = {**_node(node, self.owned, self._outputs), "usage": self.usage_of(node)}
        entry["allowed"] = node.id in self._allowed
        entry["caught_by"] = self.handled.caught.get(node.id)
        if node.id in self._state.scopes:
            counts = self.tally.counts[node.id]
            found = instances_in(self._state, node.id)
            entry["counts"] = {**counts, "total": total(counts)}
            entry["instances"] = [self._of(one, most) for one in found[:most]]
            if most is not None and len(found) > most:
                entry["instances_left"] = len(found) - most
        return entry


def _around(state: RunState, address: str) -> Iterator[str]:
    while owner := state.nodes[address].owner:
        yield owner
        address = owner


def _node(node: NodeState, owned: int, outputs: _Outputs) -> dict[str, Any]:
    return {
        "status": node.status,
        **outputs.fields(node.output, node.id),
        "error": _error(node.error) if node.status in ("failed", "waiting") else None,
        "reason": "cancelled" if node.reason == REJECTED else node.reason,  # cli.md has no other word for it
        "attempts": node.attempts,
        "iterations": node.progress.iterations if KINDS[node.kind].iterates else None,
        "duration_ms": node_duration(node, owned),
        "agent": node.agent,
        "notes": list(node.notes),
    }


def total_usage(state: RunState) -> dict[str, float]:
    """What agents reported for the whole run, failed attempts included: `input_tokens`, `output_tokens`, `cost_usd`."""
    total: dict[str, float] = {}
    for node in state.nodes.values():
        _add(total, node.usage)
    return _rounded(total)


def _add(total: dict[str, float], usage: dict[str, float]) -> None:
    for name, amount in usage.items():
        total[name] = total.get(name, 0) + amount


def _rounded(usage: dict[str, float]) -> dict[str, float]:
    return {name: round(amount, 6) for name, amount in usage.items()}


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
    if one.due_at is not None:
        item["due_at"] = timestamp(one.due_at)
    return item


def content_fields(
    run_id: str, store: WorkflowStore, files: Path | None, content: Content, name: str
) -> dict[str, Any]:
    """`output`, and for a text that is too long to print `output_file` and `output_bytes`."""
    return _Outputs(run_id, store, files).fields(content, name)


def text_of(store: WorkflowStore, content: Content) -> str:
    """A text, wherever it is kept; bytes that are not UTF-8 become U+FFFD."""
    if content.text is not None:
        return content.text
    with store.open_blob(content.sha256) as stream:
        return stream.read().decode("utf-8", "replace")


class _Outputs:
    """Texts of a run, and files for those that are too long to print."""

    def __init__(self, run_id: str, store: WorkflowStore, files: Path | None) -> None:
        self._run_id = run_id
        self._store = store
        self._files = files

    def text(self, content: Content) -> str:
        return text_of(self._store, content)

    def fields(self, content: Content | None, name: str) -> dict[str, Any]:
        if content is None or content.text is not None:
            return {"output": content.text if content else None}
        return {"output": None, "output_file": str(self._file(content, name)), "output_bytes": content.size}

    def _file(self, content: Content, name: str) -> Path:
        if self._files is None:
            import tempfile

            self._files = Path(tempfile.mkdtemp(prefix=f"ion-{self._run_id}-"))
        place = self._files / f"{name}.{content.sha256[:12]}.output"
        if not place.exists():
            import shutil
            import tempfile

            place.parent.mkdir(parents=True, exist_ok=True)
            # A name of its own: two readers of a run may come for the same output at the same time.
            with (
                self._store.open_blob(content.sha256) as source,
                tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
            Path(target.name).replace(place)
        return place
