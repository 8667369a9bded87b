"""A process that works on a store beside others, for the tests of races and of kill -9.

`python actor.py MODE URL FOLDER ARGUMENT…`: says `ready`, waits for a line on stdin, acts, and prints what it was told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from store_kit import LEASE_MS, approved, begin, living

from ion.core import events as e
from ion.errors import RefusedError
from ion.stores import create_store
from ion.stores.base import WorkflowStore


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def told(act: Callable[[], object]) -> str:
    try:
        act()
    except RefusedError as refusal:
        return refusal.error_code
    return "won"


def create(store: WorkflowStore, *run_ids: str) -> None:
    """Create each run; of several actors one is first."""
    for run_id in run_ids:
        say(run_id, told(lambda run_id=run_id: begin(store, run_id)))  # type: ignore[misc]


def acquire(store: WorkflowStore, *run_ids: str) -> None:
    """Become the owner of each run and stay alive until told to go."""
    for run_id in run_ids:
        say(run_id, told(lambda run_id=run_id: store.acquire_lease(run_id, living(), lease_ms=LEASE_MS)))  # type: ignore[misc]
    say("done")
    sys.stdin.readline()


def answer(store: WorkflowStore, decision: str, *run_ids: str) -> None:
    """Answer the gate of each run."""
    for run_id in run_ids:
        event = e.ApprovalResolved(3_000, "ask", approved().request, decision)
        say(run_id, told(lambda run_id=run_id, event=event: store.create_workflow_event(run_id, [event], lease=None)))  # type: ignore[misc]


def append(store: WorkflowStore, run_id: str) -> None:
    """Take the run over and append to it for ever, saying what is durable: each event, and each output."""
    lease = store.acquire_lease(run_id, living(), lease_ms=LEASE_MS)
    seq = store.get_workflow_run(run_id).last_seq
    while True:
        text = f"output after {seq} " * (seq % 50)
        content = e.Content(text) if seq % 7 else store.put_blob(text.encode())
        batch = [e.NodeStarted(seq, "build", "bash"), e.NodeCompleted(seq + 1, "build", e.Reply(content))]
        seq = store.create_workflow_event(run_id, batch, lease=lease, after=seq)
        say(seq)


def main() -> None:
    mode, url, folder, *arguments = sys.argv[1:]
    say("ready")
    sys.stdin.readline()
    store = create_store(url, project=Path(folder))
    {"create": create, "acquire": acquire, "answer": answer, "append": append}[mode](store, *arguments)
    store.close()


if __name__ == "__main__":
    main()
