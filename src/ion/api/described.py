"""The nodes of a run as JSON (cli.md), each with what is inside of it, and their outputs, times and usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ion.core.addresses import instances_in, members_of
from ion.core.events import Content, Failure
from ion.core.foreseen import Handled, handled
from ion.core.requests import REJECTED
from ion.core.state import NodeState, RunState
from ion.core.tallies import Tally, total
from ion.kinds import KINDS
from ion.stores.base import WorkflowStore


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


class Described:
    """The nodes of a run as JSON, each with what is inside of it, `through` what masks it."""

    def __init__(
        self, state: RunState, owned: int, outputs: Outputs, through: Callable[[Any], Any] = lambda value: value
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


def describe_nodes(store: WorkflowStore, run_id: str, state: RunState) -> Described:
    """The nodes of a run, none of them described yet."""
    return Described(state, 0, Outputs(run_id, store, None))


def _around(state: RunState, address: str) -> Iterator[str]:
    while owner := state.nodes[address].owner:
        yield owner
        address = owner


def _node(node: NodeState, owned: int, outputs: Outputs) -> dict[str, Any]:
    return {
        "status": node.status,
        **outputs.fields(node.output, node.id),
        "error": error_fields(node.error) if node.status in ("failed", "waiting") else None,
        "reason": "cancelled" if node.reason == REJECTED else node.reason,  # cli.md has no other word for it
        "attempts": node.attempts,
        "iterations": node.progress.iterations if KINDS[node.kind].iterates else None,
        "duration_ms": node_duration(node, owned),
        "agent": node.agent,
        "notes": list(node.notes),
    }


def error_fields(error: Failure | None) -> dict[str, Any] | None:
    return None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}


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


class Outputs:
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


def content_fields(
    run_id: str, store: WorkflowStore, files: Path | None, content: Content, name: str
) -> dict[str, Any]:
    """`output`, and for a text that is too long to print `output_file` and `output_bytes`."""
    return Outputs(run_id, store, files).fields(content, name)


def text_of(store: WorkflowStore, content: Content) -> str:
    """A text, wherever it is kept; bytes that are not UTF-8 become U+FFFD."""
    if content.text is not None:
        return content.text
    with store.open_blob(content.sha256) as stream:
        return stream.read().decode("utf-8", "replace")
