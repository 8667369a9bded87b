"""A store that has lived long: many runs that have ended, and some that wait for a time that has not come."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from unittest import mock

import ion
from ion import codec
from ion.core import events as e
from ion.engine.freeze import digest_of
from ion.language.workflow import Bash, Node, Workflow
from ion.stores import encoding, rules

ENDED = 100_000
WAITING = 1_000
_LATE = 4_000_000_000_000  # ms since the epoch
_SOURCE = json.dumps(Workflow("old", (Node("a", Bash("true")),)).to_json())


def fill(project: Path, *, ended: int = ENDED, waiting: int = WAITING) -> None:
    """Make the store of `project` with as many runs of each kind, in one transaction."""
    (project / ".ion").mkdir(parents=True)
    file = project / ".ion" / "ion.db"
    ion.create_store(f"sqlite:{file}").close()
    start = e.WorkflowStarted(1, "old", digest_of(_SOURCE), (("a", "bash"),), cwd=str(project))
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        for number in range(ended + waiting):
            last = e.WorkflowCompleted(2) if number < ended else e.WorkflowPaused(2, due_at=_LATE)
            _insert(database, f"r{number}", project, [start, last])


def fill_store(url: str, project: Path, *, ended: int = ENDED, waiting: int = WAITING) -> None:
    """The same in another store, as imports, without waiting for the disk."""
    (project / ".ion").mkdir(parents=True)
    start = e.WorkflowStarted(1, "old", digest_of(_SOURCE), (("a", "bash"),), cwd=str(project))
    with contextlib.closing(ion.create_store(url, project=project)) as store, mock.patch("os.fsync"):
        for number in range(ended + waiting):
            last = e.WorkflowCompleted(2) if number < ended else e.WorkflowPaused(2, due_at=_LATE)
            store.import_workflow_run(f"r{number}", project=str(project), source=_SOURCE, events=[start, last])


def _insert(database: sqlite3.Connection, run_id: str, project: Path, events: list[e.Event]) -> None:
    row = encoding.columns(rules.first_row(run_id, str(project), events, None, None))
    database.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(row))})", row)
    database.execute("INSERT INTO sources VALUES (?, ?, ?)", (run_id, *encoding.encode_source(_SOURCE)))
    for seq, event in enumerate(events, 1):
        text = codec.encode(event)
        database.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?)", (run_id, seq, text, encoding.checksum(run_id, seq, text))
        )
