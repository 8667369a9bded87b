"""A run as the faces show it: the JSON shape of cli.md, made from the state alone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ion.core.events import PERMISSION, Content, Failure
from ion.core.requests import REJECTED
from ion.core.state import NodeState, RunState
from ion.core.waiting import Waiting, waiting_in
from ion.engine.loading import no_collection
from ion.errors import RUN_STATUS_EXIT
from ion.kinds import KINDS
from ion.stores.base import WorkflowStore


class NodeResult(Struct, frozen=True):
    """A node of a run at one moment. `output` is its text, or None (not completed, or longer than 256 KiB: then it is
    the file `output_file` of `output_bytes`). `iterations` is of loops; `usage` is what agents reported."""

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


class WaitingFor(Struct, frozen=True):
    """What a run waits for. `kind` is `approval`, `iteration`, `permission`, `prompt` or `budget` (`node` is None);
    `message` is what is asked, of a prompt its text. `request` says which of several permissions."""

    kind: str
    message: str
    node: str | None = None
    decisions: tuple[str, ...] = ()
    request: str | None = None


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

    def __repr__(self) -> str:
        # asyncio.run makes a text of what its task gave; that of a whole state takes as long as the run.
        return f"RunResult({self.run_id!r}, {self.workflow!r}, {self.status!r})"

    @property
    def error(self) -> Failure | None:
        """Why the run failed or was cancelled."""
        return _failure(self.state)

    @cached_property
    def nodes(self) -> dict[str, NodeResult]:
        """The nodes by their ids, in file order."""
        return {name: _node_result(self.state.nodes[name], data) for name, data in self.data["nodes"].items()}

    @cached_property
    def waiting(self) -> tuple[WaitingFor, ...]:
        """What the run waits for people or the caller to answer, in file order."""
        return tuple(
            WaitingFor(
                item["kind"],
                item.get("message", item.get("prompt", "")),
                item["node"],
                tuple(item.get("decisions", ())),
                item.get("request"),
            )
            for item in self.data["waiting"]
        )

    @property
    def exit_status(self) -> int:
        """The exit status that this state means (cli.md)."""
        return RUN_STATUS_EXIT[self.status]

    def to_json(self) -> dict[str, Any]:
        """The object that `ion show --json` prints."""
        return self.data


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
    owned = owned_ms(state, status, now)
    with no_collection():
        nodes = {node.id: _node(node, owned, outputs) for node in state.nodes.values()}
    data = {
        "run_id": run_id,
        "workflow": started.workflow if started else "",
        "status": status,
        **outputs.fields(result, state.output_node or ""),
        "error": _error(_failure(state)),
        "rerun_of": (started.rerun_of or None) if started else None,
        "started_at": timestamp(state.started_at),
        "duration_ms": run_duration(state, status, now),
        "nodes": nodes,
        "waiting": [_waiting(one, store) for one in waiting_in(state)],
        "usage": total_usage(state),
        "max_budget_usd": state.max_budget_usd,
    }
    text = None if result is None else text_of(store, result)
    return RunResult(run_id, data["workflow"], status, state, text, data)


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


def _node_result(node: NodeState, data: dict[str, Any]) -> NodeResult:
    shown: dict[str, Any] = {**data, "notes": tuple(data["notes"]), "error": None}
    if data["error"] is not None and node.error is not None:
        shown["error"] = replace(node.error, message=data["error"]["message"], hint=data["error"]["hint"])
    if "output_file" in data:
        shown["output_file"] = Path(data["output_file"])
    return NodeResult(id=node.id, **shown)


def _node(node: NodeState, owned: int, outputs: _Outputs) -> dict[str, Any]:
    output = node.output if node.status == "completed" else None
    return {
        "status": node.status,
        **outputs.fields(output, node.id),
        "error": _error(node.error) if node.status in ("failed", "waiting") else None,
        "reason": "cancelled" if node.reason == REJECTED else node.reason,  # cli.md has no other word for it
        "attempts": node.attempts,
        "iterations": node.progress.iterations if KINDS[node.kind].iterates else None,
        "duration_ms": node_duration(node, owned),
        "agent": node.agent,
        "usage": dict(node.usage),
        "notes": list(node.notes),
    }


def total_usage(state: RunState) -> dict[str, float]:
    """What agents reported for the whole run, failed attempts included: `input_tokens`, `output_tokens`, `cost_usd`."""
    total: dict[str, float] = {}
    for node in state.nodes.values():
        for name, amount in node.usage.items():
            total[name] = total.get(name, 0) + amount
    return {name: round(amount, 6) for name, amount in total.items()}


def _waiting(one: Waiting, store: WorkflowStore) -> dict[str, Any]:
    item: dict[str, Any] = {"node": one.node or None, "kind": one.kind}
    if one.prompt is not None:
        return {**item, "prompt": text_of(store, one.prompt)}
    item["message"] = one.message
    if one.gate is not None and one.gate.decisions:
        item["decisions"] = list(one.gate.decisions)
    if one.kind == PERMISSION:
        item["request"] = one.request
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
