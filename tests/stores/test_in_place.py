"""A store that was removed or replaced under whoever uses it acknowledges nothing any more, and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_kit import STORES, HandClock, begin, gate, living

from ion.errors import StoreError
from ion.stores.base import WorkflowStore


@pytest.fixture(params=["sqlite", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkflowStore]:
    made = STORES[request.param](tmp_path, HandClock())
    yield made
    made.close()


def place_of(store: WorkflowStore) -> Path:
    return Path(store.url.partition(":")[2])


def remove(place: Path) -> None:
    for path in place.parent.glob(f"{place.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def replace(place: Path) -> None:
    """Another store, as it was a moment ago, takes its place (a backup that is put back)."""
    copies = [(path, path.with_name(f"copy-{path.name}")) for path in place.parent.glob(f"{place.name}*")]
    for path, copy in copies:
        shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    remove(place)
    for path, copy in copies:
        copy.rename(path)


@pytest.mark.parametrize("harm", [remove, replace])
def test_nothing_is_acknowledged_that_nobody_will_find(store: WorkflowStore, harm: Callable[[Path], None]) -> None:
    lease = begin(store)
    store.create_workflow_event("r1", [gate()], lease=lease)
    place = place_of(store)
    if harm is replace and place.is_dir():  # the copy says what the store said, and is the store from here on
        replace(place)
        assert store.create_workflow_event("r1", [gate()], lease=lease) == 3
        return
    harm(place)
    for write in (
        lambda: store.create_workflow_event("r1", [gate()], lease=lease),
        lambda: store.renew_lease(lease, lease_ms=1),
    ):
        with pytest.raises(StoreError, match="no longer exists") as failure:
            write()
        assert "git clean" in failure.value.hint


def test_a_log_that_is_replaced_during_a_write_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ion.stores import logfile

    store = STORES["file"](tmp_path, HandClock())
    lease = begin(store)
    log = tmp_path / "store" / "runs" / "r1" / "log"
    append = logfile.append

    def append_and_replace(descriptor: int, end: int, data: bytes) -> None:
        append(descriptor, end, data)
        replace(log)

    monkeypatch.setattr(logfile, "append", append_and_replace)
    with pytest.raises(StoreError, match="no longer exists"):
        store.create_workflow_event("r1", [gate()], lease=lease)


def test_a_write_ahead_log_that_is_gone_is_noticed(tmp_path: Path) -> None:
    """What is written to it is lost when this process ends."""
    store = STORES["sqlite"](tmp_path, HandClock())
    lease = begin(store)
    (tmp_path / "ion.db-wal").unlink()
    with pytest.raises(StoreError, match="no longer exists"):
        store.create_workflow_event("r1", [gate()], lease=lease)


def test_other_openings_and_closings_are_no_removal(tmp_path: Path) -> None:
    store = STORES["sqlite"](tmp_path, HandClock())
    lease = begin(store)
    for turn in range(3):
        other = STORES["sqlite"](tmp_path, HandClock())
        assert other.get_workflow_run("r1").last_seq == turn + 1
        other.close()
        store.create_workflow_event("r1", [gate()], lease=lease)
    store.release_lease(lease)
    assert store.acquire_lease("r1", living(), lease_ms=1).epoch == 2
