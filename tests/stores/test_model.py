"""Every store against the store in memory: whatever is done to both, in whatever order, both say and hold the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_kit import LEASE_MS, STARTED, STORES, HandClock, begin, dead, elsewhere, living

from ion.core import events as e
from ion.errors import IonError
from ion.stores.base import Lease, WorkflowStore
from ion.stores.memory import MemoryStore

RUNS = st.sampled_from(["r1", "r2"])
NODES = st.sampled_from([node for node, _kind in STARTED.nodes])
REQUESTS = st.sampled_from(["q/1", "q/2", "q/3"])
TEXTS = st.text(max_size=20)
TIMES = st.integers(2_000, 9_000)
FAILURES = st.builds(e.Failure, TEXTS, TEXTS)
OUTPUTS = TEXTS.map(e.Content)
OWNERS = {"living": living(), "dead": dead(), "elsewhere": elsewhere()}

EVENTS = st.one_of(
    st.builds(e.NodeStarted, TIMES, NODES, st.just("bash")),
    st.builds(e.NodeCompleted, TIMES, NODES, st.builds(e.Reply, OUTPUTS)),
    st.builds(e.NodeFailed, TIMES, NODES, FAILURES),
    st.builds(e.NodeInvalidated, TIMES, NODES, st.just("always_run")),
    st.builds(e.ApprovalRequested, TIMES, NODES, REQUESTS, TEXTS),
    st.builds(e.PromptRequested, TIMES, NODES, REQUESTS, OUTPUTS),
    st.builds(e.ApprovalResolved, TIMES, NODES, REQUESTS, TEXTS),
    st.builds(e.WorkflowPaused, TIMES, due_at=st.none() | TIMES),
    st.builds(e.WorkflowQueued, TIMES, TEXTS),
    st.builds(e.WorkflowResumed, TIMES),
    st.builds(e.WorkflowCompleted, TIMES),
    st.builds(e.WorkflowFailed, TIMES, FAILURES),
)
REQUEST_EVENTS = st.one_of(
    st.builds(e.ApprovalResolved, TIMES, NODES, REQUESTS, TEXTS),
    st.builds(e.PromptAnswered, TIMES, NODES, REQUESTS, OUTPUTS),
    st.builds(e.CancelRequested, TIMES, TEXTS),
)


def outcome(act: Callable[[WorkflowStore], Any], store: WorkflowStore) -> Any:
    """What an act returns, or the error it raises, comparable."""
    try:
        return act(store)
    except IonError as error:
        return (type(error), error.error_code, error.message)


class StoreLikeMemory(RuleBasedStateMachine):
    """`name` is the store that is held against memory; subclasses set it."""

    name = ""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = HandClock()
        self.model: WorkflowStore = MemoryStore(clock=self.clock)
        self.store = STORES[self.name](self.folder, self.clock)
        self.leases: list[Lease] = []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def both(self, act: Callable[[WorkflowStore], Any]) -> Any:
        expected, actual = outcome(act, self.model), outcome(act, self.store)
        assert actual == expected
        return actual

    def a_lease(self, pick: Any) -> Lease:
        """Mostly one of the newest, which is likely to be good."""
        return pick.choice(self.leases[-2:] if pick.random() < 0.8 else self.leases)

    @rule(run=RUNS, owner=st.sampled_from(sorted(OWNERS)), at=TIMES)
    def create(self, run: str, owner: str, at: int) -> None:
        lease = self.both(lambda store: begin(store, run, owner=OWNERS[owner], at=at))
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(use_true_random=False), events=st.lists(EVENTS, max_size=4), up_to_date=st.booleans())
    def owner_writes(self, pick: Any, events: list[e.Event], up_to_date: bool) -> None:
        lease = self.a_lease(pick)
        rows = [run.last_seq for run in self.model.list_workflow_runs() if run.run_id == lease.run_id]
        after = rows[0] if rows and up_to_date else pick.choice([None, 1])
        self.both(lambda store: store.create_workflow_event(lease.run_id, events, lease=lease, after=after))

    @rule(run=RUNS, events=st.lists(REQUEST_EVENTS, min_size=1, max_size=2))
    def anybody_asks(self, run: str, events: list[e.Event]) -> None:
        self.both(lambda store: store.create_workflow_event(run, events, lease=None))

    @rule(run=RUNS, owner=st.sampled_from(sorted(OWNERS)))
    def acquire(self, run: str, owner: str) -> None:
        lease = self.both(lambda store: store.acquire_lease(run, OWNERS[owner], lease_ms=LEASE_MS))
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(use_true_random=False), release=st.booleans())
    def renew_or_release(self, pick: Any, release: bool) -> None:
        lease = self.a_lease(pick)
        if release:
            self.both(lambda store: store.release_lease(lease))
        else:
            self.both(lambda store: store.renew_lease(lease, lease_ms=LEASE_MS))

    @rule(run=RUNS)
    def delete(self, run: str) -> None:
        self.both(lambda store: store.delete_workflow_run(run))

    @rule(ms=st.sampled_from([1, LEASE_MS - 1, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        self.clock.now += ms

    @rule(data=st.binary(max_size=40))
    def keep_blob(self, data: bytes) -> None:
        content = self.both(lambda store: store.put_blob(data))
        assert self.both(lambda store: store.open_blob(content.sha256).read()) == data

    @precondition(lambda self: self.name != "memory")
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = STORES[self.name](self.folder, self.clock)

    @rule(name=TEXTS, text=TEXTS, before=st.none() | TEXTS)
    def set_record(self, name: str, text: str, before: str | None) -> None:
        self.both(lambda store: store.set_record(name, text, instead_of=before))
        self.both(lambda store: store.set_record(name, text + "2", instead_of=store.get_record(name)))
        self.both(lambda store: store.get_record(name))

    @rule(until=TIMES)
    def look_for_due_runs(self, until: int) -> None:
        self.both(lambda store: store.list_due_runs("/project", until=until))

    @rule(run=RUNS, after=st.integers(0, 6), limit=st.none() | st.integers(0, 6))
    def read_part(self, run: str, after: int, limit: int | None) -> None:
        self.both(lambda store: store.get_workflow_events(run, after=after, limit=limit))

    @invariant()
    def hold_the_same(self) -> None:
        if not hasattr(self, "store"):
            return
        for run in self.both(lambda store: store.list_workflow_runs()):
            assert self.store.get_workflow_run(run.run_id) == run
            self.both(lambda store, run_id=run.run_id: store.get_workflow_events(run_id))
            self.both(lambda store, run_id=run.run_id: store.get_completed_dag_node_outputs(run_id))


@pytest.mark.parametrize("name", [name for name in STORES if name != "memory"])
def test_store_is_like_memory(name: str) -> None:
    machine = type("Machine", (StoreLikeMemory,), {"name": name})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=20 if name == "postgres" else 60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
