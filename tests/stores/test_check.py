"""All that a store keeps beside its logs is held against them: by whoever lists runs as far as it is cheap, by
`ion doctor` wholly."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_kit import STORES, HandClock, begin, dead, gate

from ion.core import events as e
from ion.errors import DamagedStoreError
from ion.stores import encoding, logfile
from ion.stores.base import WorkflowStore
from ion.stores.check import Damage, check_runs

Harm = Callable[[WorkflowStore, str], None]


def in_sqlite(store: WorkflowStore, statement: str) -> None:
    connection = sqlite3.connect(store.url.removeprefix("sqlite:"))
    with connection:
        connection.execute(statement)
    connection.close()


def in_postgres(store: WorkflowStore, statement: str) -> None:
    import psycopg

    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path TO ion")
        connection.execute(statement.encode())


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[WorkflowStore, Harm]]:
    """A store with the run `bad`, which is paused at a gate, and the run `good`; and how to change it behind its
    back."""
    store = STORES[request.param](tmp_path, HandClock())
    for run in ("good", "bad"):
        lease = begin(store, run, owner=dead())
        store.create_workflow_event(run, [gate(), e.WorkflowPaused(5)], lease=lease)
        store.create_workflow_event(run, [e.CancelRequested(6)], lease=None)
    yield store, {"sqlite": in_sqlite, "postgres": in_postgres}[request.param]
    store.close()


def damage(store: WorkflowStore) -> list[Damage]:
    return check_runs(store, lambda _source, _events, _store: None)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("status = 'completed', ended_at = 7", "says completed, its log says paused"),
        ("status = 'running', ended_at = 7, last_seq = 2", "does not end with event 2"),
        ("last_seq = 9", "ends before event 9"),
        ("last_seq = 3", "does not end with event 3"),
        ("ended_at = 7", "its log says paused"),
        ("status = 'flying'", "status cannot be 'flying'"),
        ("started_at = 1000000000000000000", "started_at cannot be"),
        ("started_at = -5", "started_at cannot be"),
        ("owner = '{}'", "is damaged"),
        ("owner = 'me'", "is damaged"),
    ],
)
def test_a_row_that_differs_from_its_log_is_listed_as_damaged(
    kept: tuple[WorkflowStore, Harm], change: str, said: str
) -> None:
    store, harm = kept
    assert damage(store) == []
    harm(store, f"UPDATE runs SET {change} WHERE run_id = 'bad'")
    assert {run.run_id: run.status for run in store.list_workflow_runs()} == {"good": "paused", "bad": "damaged"}
    assert [run.run_id for run in store.list_workflow_runs(status="damaged")] == ["bad"]
    assert [run.run_id for run in store.list_workflow_runs(limit=1, status="paused")] == ["good"]
    for ask in (
        lambda: store.get_workflow_run("bad"),
        lambda: store.acquire_lease("bad", dead(), lease_ms=1),
        lambda: store.create_workflow_event("bad", [e.CancelRequested(1)], lease=None),
    ):
        with pytest.raises(DamagedStoreError, match=said):
            ask()
    assert [one.run_id for one in damage(store)] == ["bad"]
    store.delete_workflow_run("bad")
    assert damage(store) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE runs SET workflow = 'other' WHERE run_id = 'bad'", "says workflow 'other', its log says 'report'"),
        ("UPDATE runs SET digest = 'd2' WHERE run_id = 'bad'", "says digest 'd2'"),
        ("UPDATE runs SET started_at = 1001 WHERE run_id = 'bad'", "says started_at 1001"),
        ("DELETE FROM requests WHERE run_id = 'bad'", "ask/1 of ask is kept as not open"),
        ("UPDATE requests SET node = 'build' WHERE run_id = 'bad'", "ask/1 of build is kept as open"),
        ("INSERT INTO requests VALUES ('bad', 'ask/2', 'ask')", "ask/2 of ask is kept as open"),
        ("UPDATE runs SET status = 'running' WHERE run_id = 'bad'", "says status 'running', its log says 'paused'"),
    ],
)
def test_everything_derived_is_compared(kept: tuple[WorkflowStore, Harm], statement: str, said: str) -> None:
    store, harm = kept
    harm(store, statement)
    found = damage(store)
    assert {one.run_id for one in found} == {"bad"}
    assert any(said in one.message for one in found)


@pytest.mark.parametrize(
    "change",
    [{"status": "completed", "ended_at": 7}, {"workflow": "other"}, {"last_seq": 9}],
    ids=["status", "workflow", "last_seq"],
)
def test_a_saved_row_of_files_is_compared_with_its_log(tmp_path: Path, change: dict[str, object]) -> None:
    from msgspec import structs

    store = STORES["file"](tmp_path, HandClock())
    lease = begin(store, owner=dead())
    store.create_workflow_event("r1", [gate(), e.WorkflowPaused(5)], lease=lease)
    row = tmp_path / "store" / "runs" / "r1" / "row"
    head, end, check, columns, requests = logfile.parse_line(row.read_bytes())
    changed = structs.replace(encoding.row(columns), **change)  # type: ignore[arg-type]
    row.write_bytes(logfile.checked_line([head, end, check, encoding.columns(changed), requests]))
    found = damage(STORES["file"](tmp_path, HandClock()))
    assert found
    assert {one.run_id for one in found} == {"r1"}


def no_log(run: Path) -> None:
    (run / "log").unlink()


def a_folder_for_a_log(run: Path) -> None:
    (run / "log").unlink()
    (run / "log").mkdir()


def a_link_for_a_log(run: Path) -> None:
    (run / "log").rename(run / "elsewhere")
    (run / "log").symlink_to(run / "elsewhere")


def no_source(run: Path) -> None:
    (run / "source.json").unlink()


@pytest.mark.parametrize("harm", [no_log, a_folder_for_a_log, a_link_for_a_log, no_source])
def test_a_run_of_files_that_cannot_be_read_hides_no_other(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    store = STORES["file"](tmp_path, HandClock())
    for run in ("good", "bad"):
        begin(store, run, owner=dead())
    harm(tmp_path / "store" / "runs" / "bad")
    fresh = STORES["file"](tmp_path, HandClock())
    listed = {run.run_id: run.status for run in fresh.list_workflow_runs()}
    assert listed == {"good": "running", "bad": "running" if harm is no_source else "damaged"}
    assert {one.run_id for one in damage(fresh)} == {"bad"}


def test_what_is_no_run_among_runs_of_files_is_named(tmp_path: Path) -> None:
    store = STORES["file"](tmp_path, HandClock())
    begin(store)
    (tmp_path / "store" / "runs" / "Copy of r1").mkdir()
    (found,) = damage(store)
    assert "Copy of r1 cannot be a run" in found.message


def test_a_frozen_workflow_that_cannot_be_is_named(tmp_path: Path) -> None:
    from ion.engine.freeze import require_frozen

    store = STORES["memory"](tmp_path, HandClock())
    begin(store)
    assert json.loads(store.get_source("r1")) == {"name": "report"}
    ((_, found),) = (check_runs(store, require_frozen),)
    assert [one.message for one in found] == ["run r1: its frozen workflow is not the one that it began with"]
