"""A process that leads a run through all kinds of writes, for `test_sweep.py`: `python life.py URL FOLDER`.

It prints the number of each event once it is acknowledged, then `done`; or `failed` and why, if the store says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from store_kit import LEASE_MS, approved, begin, gate, living

from ion.core import events as e
from ion.errors import StoreError
from ion.stores import create_store
from ion.stores.base import WorkflowStore


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def lead(store: WorkflowStore) -> None:
    store.release_lease(begin(store))
    say(1)
    lease = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    say(store.create_workflow_event("r1", [e.NodeStarted(2, "build", "bash"), gate()], lease=lease))
    output = store.put_blob(b"output " * 1_000)
    say(store.create_workflow_event("r1", [e.NodeCompleted(3, "build", e.Reply(output))], lease=lease))
    say(store.create_workflow_event("r1", [approved()], lease=None))
    store.renew_lease(lease, lease_ms=LEASE_MS)
    say(store.update_workflow_run("r1", status="paused", at=4, lease=lease))
    store.release_lease(lease)
    lease = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    say(store.update_workflow_run("r1", status="running", at=5, lease=lease))
    store.close()


def main() -> None:
    try:
        lead(create_store(sys.argv[1], project=Path(sys.argv[2])))
    except StoreError as error:
        say(f"failed {error.message}")
    else:
        say("done")


if __name__ == "__main__":
    main()
