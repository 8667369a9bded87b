"""Which runs a clock finds in a store, and what is kept beside the runs: the same in every store, also in one that an
older Ion made, and no slower for all the runs that have ended."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_kit import STORES, HandClock, approved, begin, gate, postgres

from ion.core import events as e
from ion.errors import DamagedStoreError, RefusedError
from ion.stores import logfile
from ion.stores.base import WorkflowStore
from ion.stores.filesystem import FileStore
from ion.stores.sql_store import migrations
from ion.stores.sqlite import SqliteStore


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkflowStore]:
    made = STORES[request.param](tmp_path, HandClock())
    yield made
    made.close()


def waiting(store: WorkflowStore, run_id: str, due_at: int | None, at: int = 1_000) -> None:
    """A run that was left."""
    lease = begin(store, run_id, at=at)
    store.create_workflow_event(run_id, [gate(), e.WorkflowPaused(2_000, due_at=due_at)], lease=lease)
    store.release_lease(lease)


def due(store: WorkflowStore, until: int) -> list[str]:
    return [run.run_id for run in store.list_due_runs("/project", until=until)]


class TestDue:
    def test_what_is_due_first_is_first_and_what_is_not_due_yet_is_not_there(self, store: WorkflowStore) -> None:
        for run_id, due_at in (("a", 5_000), ("b", 4_000), ("c", 6_001), ("d", None)):
            waiting(store, run_id, due_at)
        assert due(store, 3_999) == []
        assert due(store, 6_000) == ["b", "a"]
        assert store.get_workflow_run("a").due_at == 5_000
        assert store.list_due_runs("/other", until=9_000) == []

    def test_an_answer_makes_a_run_due_at_once(self, store: WorkflowStore) -> None:
        waiting(store, "a", None)
        waiting(store, "b", 8_000)
        store.create_workflow_event("a", [approved()], lease=None)
        store.create_workflow_event("b", [e.CancelRequested(2_500)], lease=None)
        assert due(store, 3_000) == ["b", "a"]
        assert [run.due_at for run in store.list_due_runs("/project", until=3_000)] == [2_500, 3_000]

    def test_a_run_that_continues_is_no_longer_due_but_looked_at_until_it_ends(self, store: WorkflowStore) -> None:
        waiting(store, "a", 2_500)
        lease = store.acquire_lease("a", begin(store, "b").owner, lease_ms=1)
        store.create_workflow_event("a", [e.WorkflowResumed(3_000)], lease=lease)
        assert [(run.run_id, run.due_at) for run in store.list_due_runs("/project", until=9_000)] == [
            ("a", None),
            ("b", None),
        ]
        store.create_workflow_event("a", [e.WorkflowFailed(4_000, e.Failure("x", ""))], lease=lease)
        assert due(store, 9_000) == ["b"]
        store.create_workflow_event("a", [e.WorkflowResumed(5_000)], lease=lease)
        assert due(store, 9_000) == ["a", "b"], "a failed run that is resumed is looked at again"
        store.create_workflow_event("a", [e.WorkflowCompleted(6_000)], lease=lease)
        assert due(store, 9_000) == ["b"]

    def test_a_run_in_a_queue_is_looked_at(self, store: WorkflowStore) -> None:
        lease = begin(store, "a")
        store.create_workflow_event("a", [e.WorkflowQueued(2_000, "deploy")], lease=lease)
        assert [(run.run_id, run.status) for run in store.list_due_runs("/project", until=0)] == [("a", "queued")]

    def test_a_deleted_run_is_not_due(self, store: WorkflowStore) -> None:
        waiting(store, "a", 2_000)
        store.delete_workflow_run("a")
        assert due(store, 9_000) == []

    def test_an_imported_run_that_waits_is_due_and_one_that_has_ended_is_not(self, store: WorkflowStore) -> None:
        begin(store, "x")
        start = store.get_workflow_events("x")[0].event
        paused, ended = e.WorkflowPaused(2, due_at=3), e.WorkflowCompleted(2)
        store.import_workflow_run("a", project="/project", source="{}", events=[start, paused])
        store.import_workflow_run("b", project="/project", source="{}", events=[start, ended])
        assert due(store, 9_000) == ["a", "x"]


class TestRecords:
    def test_a_record_is_set_only_in_place_of_what_its_writer_knows(self, store: WorkflowStore) -> None:
        assert store.get_record("slots/nightly") is None
        assert store.set_record("slots/nightly", "1", instead_of=None)
        assert not store.set_record("slots/nightly", "2", instead_of=None)
        assert not store.set_record("slots/nightly", "2", instead_of="0")
        assert store.set_record("slots/nightly", "2 \0 ü", instead_of="1")
        assert store.get_record("slots/nightly") == "2 \0 ü"
        assert store.get_record("slots") is None

    def test_of_many_that_set_it_at_once_each_counts(self, store: WorkflowStore) -> None:
        def counting() -> None:
            for _ in range(10):
                done = False
                while not done:
                    before = store.get_record("n")
                    done = store.set_record("n", str(int(before or 0) + 1), instead_of=before)

        threads = [threading.Thread(target=counting) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.get_record("n") == "40"


class TestWork:
    """Nothing is read of runs that have ended."""

    def test_sqlite_searches_the_index_of_what_has_not_ended(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "ion.db")
        asked: list[str] = []
        store._connection.set_trace_callback(asked.append)
        store.list_due_runs("/project", until=1)
        (query,) = [one for one in asked if "FROM runs" in one]
        plan = " ".join(row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "USING INDEX runs_not_ended" in plan
        assert "SCAN runs" not in plan
        store.close()

    def test_postgres_has_that_index_too(self, tmp_path: Path) -> None:
        store = postgres(tmp_path, HandClock())
        query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ion' AND indexname = 'runs_not_ended'"
        found = store._link.work(lambda connection, _again: connection.execute(query).fetchone())
        assert "(project, due_at) WHERE (ended_at IS NULL)" in found[0]
        store.close()

    def test_the_file_store_opens_only_what_has_not_ended(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "store")
        for number in range(5):
            lease = begin(store, f"ended-{number}")
            store.create_workflow_event(f"ended-{number}", [e.WorkflowCompleted(2)], lease=lease)
            (tmp_path / "store" / "runs" / f"ended-{number}" / "log").write_bytes(b"not even a log")
        waiting(store, "a", 2)
        assert [run.status for run in FileStore(tmp_path / "store").list_due_runs("/project", until=2)] == ["paused"]
        assert [path.name for path in (tmp_path / "store" / "unended").iterdir()] == ["a"]


class TestOlderStores:
    def test_an_older_sqlite_store_is_brought_up_to_date(self, tmp_path: Path) -> None:
        path = tmp_path / "ion.db"
        store = SqliteStore(path)
        waiting(store, "a", None)
        store.close()
        old = sqlite3.connect(path)
        old.executescript("DROP INDEX runs_not_ended; ALTER TABLE runs DROP COLUMN due_at; DROP TABLE records")
        old.execute("PRAGMA user_version = 1")
        old.close()
        store = SqliteStore(path)
        assert store.get_workflow_run("a").due_at is None
        store.create_workflow_event("a", [approved()], lease=None)
        assert due(store, 3_000) == ["a"]
        assert store.set_record("n", "1", instead_of=None)
        store.close()

    def test_an_older_postgres_store_is_brought_up_to_date(self, tmp_path: Path) -> None:
        store = postgres(tmp_path, HandClock())
        waiting(store, "a", None)
        newest = max(migrations("postgres"))

        def undo(connection: object, _again: bool) -> None:
            for statement in (
                "DROP INDEX ion.runs_not_ended",
                "ALTER TABLE ion.runs DROP COLUMN due_at",
                "DROP TABLE ion.records",
                f"DELETE FROM ion.migrations WHERE number >= {newest}",
            ):
                connection.execute(statement)

        store._link.work(undo)
        from ion.stores.postgres import PostgresStore

        again = PostgresStore(store._url, clock=HandClock())
        again.create_workflow_event("a", [approved()], lease=None)
        assert due(again, 3_000) == ["a"]
        for one in (store, again):
            one.close()

    def test_an_older_file_store_is_brought_up_to_date(self, tmp_path: Path) -> None:
        folder = tmp_path / "store"
        store = FileStore(folder)
        waiting(store, "a", 5)
        lease = begin(store, "ended")
        store.create_workflow_event("ended", [e.WorkflowCompleted(2)], lease=lease)
        for gone in ("unended", "records"):
            shutil.rmtree(folder / gone)
        (folder / "format").write_bytes(logfile.checked_line(1))
        assert due(FileStore(folder), 5) == ["a"]
        assert [path.name for path in (folder / "unended").iterdir()] == ["a"]
        assert (folder / "format").read_bytes() == logfile.checked_line(2)

    def test_a_damaged_record_is_said_to_be_one(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "store")
        store.set_record("n", "1", instead_of=None)
        store._record("n").write_bytes(b"0")
        with pytest.raises(DamagedStoreError, match="is damaged"):
            store.get_record("n")


def test_nobody_answers_a_run_that_has_ended(store: WorkflowStore) -> None:
    lease = begin(store, "a")
    store.create_workflow_event("a", [e.WorkflowCompleted(2)], lease=lease)
    with pytest.raises(RefusedError):
        store.create_workflow_event("a", [e.CancelRequested(3)], lease=None)
    assert due(store, 9_000) == []
