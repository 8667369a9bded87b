"""The store in memory: for tests, for embedding without files, and as the model for the other stores.

One lock around everything is its transaction: each method checks first and changes after, so nothing half done is seen.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field, structs

from ion.core.events import Content, Event, Recorded
from ion.digests import sha256_of
from ion.stores import rules
from ion.stores.base import Lease, Owner, WorkflowRun
from ion.stores.blobs import missing
from ion.stores.disk import storage_errors
from ion.stores.lease import lease_clock, require_free


class _Kept(Struct):
    run: WorkflowRun
    source: str
    events: list[Event]
    requests: rules.OpenRequests = field(default_factory=rules.OpenRequests)


class MemoryStore(rules.BaseStore):
    """`WorkflowStore` for the life of this object. `clock` is the clock of leases (`lease.lease_clock`)."""

    def __init__(self, *, clock: Callable[[Owner | None], int] = lease_clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._runs: dict[str, _Kept] = {}
        self._blobs: dict[str, bytes] = {}
        self._put_at: dict[str, int] = {}
        self._records: dict[str, str] = {}

    @property
    def url(self) -> str:
        return "memory:"

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        with self._lock:
            return self._get(run_id).run

    def _list(self, wanted: rules.Wanted) -> list[WorkflowRun]:
        with self._lock:
            runs = [kept.run for kept in self._runs.values()]
        return rules.selected(runs, wanted)

    def list_due_runs(self, project: str, *, until: int) -> list[WorkflowRun]:
        with self._lock:
            return rules.due((kept.run for kept in self._runs.values()), project, until)

    def get_record(self, name: str) -> str | None:
        with self._lock:
            return self._records.get(name)

    def set_record(self, name: str, text: str, *, instead_of: str | None) -> bool:
        with self._lock:
            if self._records.get(name) != instead_of:
                return False
            self._records[name] = text
            return True

    def get_source(self, run_id: str) -> str:
        with self._lock:
            return self._get(run_id).source

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        with self._lock:
            kept = self._get(run_id)
            rules.admit(kept.run, lease, after)
            kept.requests.require_open(run_id, events)
            kept.requests.apply(events)
            kept.events.extend(events)
            kept.run = rules.advanced(kept.run, events)
            return kept.run.last_seq

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        with self._lock:
            events = self._get(run_id).events[after : None if limit is None else after + limit]
        return [Recorded(seq, event) for seq, event in enumerate(events, after + 1)]

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        with self._lock:
            return dict(self._get(run_id).requests.node_of)

    def lease_clock(self, owner: Owner | None) -> int:
        return self._clock(owner)

    def put_blob(self, data: bytes | Path) -> Content:
        with storage_errors("cannot keep an output"):
            content = data if isinstance(data, bytes) else data.read_bytes()
        sha256 = sha256_of(content)
        with self._lock:
            self._blobs[sha256] = content
            self._put_at[sha256] = self._clock(None)
        return Content(blob=sha256, length=len(content))

    def open_blob(self, sha256: str) -> BinaryIO:
        with self._lock:
            content = self._blobs.get(sha256)
        if content is None:
            raise missing(sha256)
        return io.BytesIO(content)

    def delete_blobs(self, used: AbstractSet[str], *, before: int) -> tuple[int, int]:
        with self._lock:
            old = [sha256 for sha256, at in self._put_at.items() if sha256 not in used and at < before]
            for sha256 in old:
                del self._put_at[sha256]
            return len(old), sum(len(self._blobs.pop(sha256)) for sha256 in old)

    def delete_workflow_run(self, run_id: str) -> None:
        with self._lock:
            run = self._get(run_id).run
            require_free(run, self._clock(run.owner))
            del self._runs[run_id]

    def close(self) -> None:
        """Nothing to release: what is kept goes with the object."""

    def _change_lease(
        self,
        run_id: str,
        change: Callable[[WorkflowRun, rules.Clock], rules.NewLease],
        *,
        owned: bool = False,  # noqa: ARG002
    ) -> None:
        with self._lock:
            kept = self._get(run_id)
            new = change(kept.run, self._clock)
            if new is not None:
                epoch, owner, expires_at = new
                kept.run = structs.replace(kept.run, epoch=epoch, owner=owner, lease_expires_at=expires_at)

    def _create(self, run: WorkflowRun, source: str, events: Sequence[Event]) -> None:
        kept = _Kept(run, source, list(events))
        kept.requests.apply(events)
        with self._lock:
            if run.run_id in self._runs:
                raise rules.run_exists(run.run_id)
            self._runs[run.run_id] = kept

    def _get(self, run_id: str) -> _Kept:
        kept = self._runs.get(run_id)
        if kept is None:
            raise rules.no_such_run(run_id)
        return kept
