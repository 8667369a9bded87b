"""The runs that a process looks at again and again: each log is read once, and then only what is new.

`ion serve` stands on this. Nothing here is more than what the store holds: another process, or this one started again,
shows the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, field

from ion.api.described import Described, describe_nodes, owned_ms
from ion.api.listing import now_of, status_of
from ion.api.workspace import Workspace
from ion.core.events import NodeEvent, Recorded
from ion.core.fold import apply
from ion.core.state import RunState
from ion.engine.loading import no_collection
from ion.engine.run_reader import RunReader
from ion.errors import IonError
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowRun, WorkflowStore

# Of all runs that are kept together, so many nodes and instances: about a hundred megabytes.
MOST_NODES = 60_000
# A log is read so many events at a time.
STRETCH = 5_000


class RunView(Struct, frozen=True):
    """A run at one moment, without the values that `RunResult` holds. `status` is `interrupted` for a running one whose
    owner is dead; `now` is in ms since the epoch by the clock of its owner. `workflow` is None if it cannot be read."""

    row: WorkflowRun
    status: str
    now: int
    state: RunState
    described: Described
    frozen: Workflow | None
    store: WorkflowStore
    of_node: dict[str, list[int]]

    def events(self, *, after: int, limit: int) -> list[Recorded]:
        """So many events of its log, from the one after number `after` on."""
        return self.store.get_workflow_events(self.run_id, after=after, limit=limit)

    def events_of(self, address: str, most: int) -> list[Recorded]:
        """The last events about an instance, at most so many."""
        found: list[Recorded] = []
        for seq in self.of_node.get(address, [])[-most:]:
            if not found or found[-1].seq < seq:
                found += self.events(after=seq - 1, limit=1)
        return found

    @property
    def run_id(self) -> str:
        return self.row.run_id

    @property
    def workflow(self) -> str:
        """The name of its workflow."""
        return self.row.workflow


class _Kept(Struct, dict=True):
    """What was read of a run. `of_node` has the numbers of the events about each instance."""

    reader: RunReader
    started_at: int
    of_node: dict[str, list[int]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    described: Described | None = None
    frozen: Workflow | None = None


class Readers:
    """The runs of one project, for any number of threads. `found` is told the id of each run that is read anew;
    `most_nodes` bounds what is kept of those that were looked at last."""

    def __init__(
        self, workspace: Workspace, found: Callable[[str], None] | None = None, most_nodes: int = MOST_NODES
    ) -> None:
        self.workspace = workspace
        self._found = found
        self._most = most_nodes
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Kept] = OrderedDict()

    @contextmanager
    def read(self, run_id: str) -> Iterator[RunView]:
        """The run as it is now; it stays so until the end of the `with`. Raises `NotFoundError`, `StoreError`."""
        row = self.workspace.store.get_workflow_run(run_id)
        kept = self._kept(row)
        with kept.lock:
            yield self._view(kept, row)
        self._forget_some()

    def _kept(self, row: WorkflowRun) -> _Kept:
        with self._lock:
            kept = self._runs.get(row.run_id)
            if kept is None or kept.started_at != row.started_at or kept.reader.seq > row.last_seq:
                kept = self._runs[row.run_id] = _Kept(RunReader(self.workspace.store, row.run_id), row.started_at)
            self._runs.move_to_end(row.run_id)
            return kept

    def _view(self, kept: _Kept, row: WorkflowRun) -> RunView:
        reader, seq = kept.reader, kept.reader.seq
        if not seq and self._found is not None:
            self._found(row.run_id)
        while reader.seq < row.last_seq and self._read_some(kept):
            if reader.seq >= row.last_seq:
                row = self.workspace.store.get_workflow_run(row.run_id)
        status, now = status_of(self.workspace.store, row), now_of(row)
        if kept.described is None or reader.seq != seq:
            kept.described = describe_nodes(self.workspace.store, row.run_id, reader.state)
        kept.described.owned = owned_ms(reader.state, status, now)
        return RunView(
            row=row,
            status=status,
            now=now,
            state=reader.state,
            described=kept.described,
            frozen=_workflow_of(kept),
            store=self.workspace.store,
            of_node=kept.of_node,
        )

    def _read_some(self, kept: _Kept) -> bool:
        """Read the next stretch of a log; whether there was one."""
        reader, before = kept.reader, kept.reader.seq
        with no_collection():
            for item in self.workspace.store.get_workflow_events(reader.run_id, after=reader.seq, limit=STRETCH):
                apply(reader.state, item.event)
                reader.seq = item.seq
                if isinstance(item.event, NodeEvent):
                    kept.of_node.setdefault(item.event.node, []).append(item.seq)
        return reader.seq > before

    def _forget_some(self) -> None:
        """Forget runs that nobody looked at for the longest time, but never the last one."""
        with self._lock:
            sizes = {run_id: len(kept.reader.state.nodes) for run_id, kept in self._runs.items()}
            total = sum(sizes.values())
            for run_id in list(self._runs)[:-1]:
                if total <= self._most:
                    return
                total -= sizes[run_id]
                del self._runs[run_id]


def _workflow_of(kept: _Kept) -> Workflow | None:
    """The frozen workflow; a run whose workflow cannot be read is shown all the same."""
    if kept.frozen is None:
        try:
            kept.frozen = kept.reader.workflow
        except IonError:
            return None
    return kept.frozen
