"""Reading a run: its state and its workflow, from what the store keeps of it."""

from __future__ import annotations

import functools

from msgspec import Struct, field

from ion.core.fold import apply
from ion.core.state import RunState
from ion.engine.freeze import thaw
from ion.engine.loading import no_collection
from ion.errors import DamagedStoreError
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowStore


class RunReader(Struct, dict=True):
    """A run as its log described it up to event `seq`: read once, and then only what is new."""

    store: WorkflowStore
    run_id: str
    state: RunState = field(default_factory=RunState)
    seq: int = 0

    def read_new(self) -> RunState:
        """Read what is new, and return the state."""
        with no_collection():
            for item in self.store.get_workflow_events(self.run_id, after=self.seq):
                apply(self.state, item.event)
                self.seq = item.seq
        return self.state

    @functools.cached_property
    def workflow(self) -> Workflow:
        """The result of `read_workflow`."""
        return read_workflow(self.store, self.run_id, self.state)


def read_run(store: WorkflowStore, run_id: str) -> RunReader:
    """Read a run's log."""
    found = RunReader(store, run_id)
    found.read_new()
    return found


def read_state(store: WorkflowStore, run_id: str) -> RunState:
    """The state of a run, from its log."""
    return read_run(store, run_id).state


def secret_names(store: WorkflowStore, run_id: str) -> tuple[str, ...]:
    """The secrets that the run's frozen workflow names. A damaged workflow names none: the run can be read all the
    same."""
    import json

    try:
        text = store.get_source(run_id)
        if '"secrets"' not in text:
            return ()  # most name none, and one of 10,000 nodes takes 50 ms to parse
        source = json.loads(text)
        flows = (source, *source.get("workflows", {}).values())
        return tuple(str(name) for flow in flows for name in flow.get("secrets", ()))
    except (DamagedStoreError, ValueError, AttributeError):
        return ()


def read_workflow(store: WorkflowStore, run_id: str, state: RunState) -> Workflow:
    """The run's frozen workflow. Raises `RefusedError` (code `changed`) if the source differs from what was frozen."""
    if state.started is None:
        raise DamagedStoreError(f"the log of the run {run_id} does not begin with its start")
    with no_collection():
        return thaw(store.get_source(run_id), state.started.digest)
