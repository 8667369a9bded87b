"""A run moves between stores of any kind as one file, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_kit import LEASE_MS, STORES, HandClock, approved, begin, gate, living, log_of

from ion.core import events as e
from ion.errors import DamagedStoreError, IonError, NotFoundError, RefusedError, UsageError
from ion.stores import transfer
from ion.stores.base import WorkflowStore
from ion.stores.memory import MemoryStore
from ion.stores.transfer import export_run


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkflowStore]:
    made = STORES[request.param](tmp_path, HandClock())
    yield made
    made.close()


def import_run(store: WorkflowStore, file: io.BytesIO, project: str | None = None) -> str:
    """What a store does with the file, whatever the language says of the frozen workflow in it."""
    return transfer.import_run(store, file, check=lambda _source, _events, _store: None, project=project)


SCRIPT = b"print('a frozen script')\n"


def a_run(store: WorkflowStore) -> None:
    """A run with all that can lie beside a log: an open gate, a big output, a script, odd characters."""
    script = store.put_blob(SCRIPT).sha256
    source = json.dumps({"digest": "ab" * 32, "scripts": {"tidy": {"files": {"tidy.py": script}}}, "odd": "\ud800 ünï"})
    started = e.WorkflowStarted(1_000, "report", "d1", (("build", "bash"), ("ask", "approval")), arguments="\0 \ud800")
    lease = store.create_workflow_run(
        "r1", project="/there", source=source, event=started, owner=living(), lease_ms=LEASE_MS
    )
    big = store.put_blob(b"0123456789" * 30_000)
    store.create_workflow_event(
        "r1", [e.NodeCompleted(2, "build", e.Reply(big)), gate("ask/1"), gate("ask/2")], lease=lease
    )
    store.create_workflow_event("r1", [approved("ask/1"), e.WorkflowPaused(4)], lease=lease)


def exported(store: WorkflowStore) -> bytes:
    file = io.BytesIO()
    export_run(store, "r1", file)
    return file.getvalue()


@pytest.fixture(scope="module")
def export() -> bytes:
    source = MemoryStore()
    a_run(source)
    return exported(source)


def test_from_every_store_the_same_file(store: WorkflowStore, export: bytes) -> None:
    a_run(store)
    assert exported(store) == export


def test_into_every_store_the_same_run(store: WorkflowStore, export: bytes) -> None:
    assert import_run(store, io.BytesIO(export)) == "r1"
    run = store.get_workflow_run("r1")
    assert (run.workflow, run.project, run.status, run.last_seq, run.owner) == ("report", "/there", "paused", 6, None)
    assert exported(store) == export
    output = store.get_completed_dag_node_outputs("r1")["build"]
    with store.open_blob(output.sha256) as file:
        assert file.read() == b"0123456789" * 30_000
    with pytest.raises(RefusedError):
        store.create_workflow_event("r1", [approved("ask/1")], lease=None)
    lease = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    assert store.create_workflow_event("r1", [approved("ask/2")], lease=lease, after=6) == 7


def test_it_may_come_to_another_project(export: bytes) -> None:
    store = MemoryStore()
    import_run(store, io.BytesIO(export), project="/here")
    assert store.get_workflow_run("r1").project == "/here"


def test_a_run_is_never_written_over(store: WorkflowStore, export: bytes) -> None:
    begin(store)
    before = log_of(store)
    with pytest.raises(RefusedError) as refusal:
        import_run(store, io.BytesIO(export))
    assert refusal.value.error_code == "run-exists"
    assert log_of(store) == before


def test_an_export_needs_the_whole_run(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(NotFoundError):
        export_run(store, "r1", io.BytesIO())
    store.create_workflow_event(
        "r1", [e.NodeCompleted(2, "build", e.Reply(e.Content(blob="cd" * 32, length=9)))], lease=begin(store)
    )
    with pytest.raises(DamagedStoreError, match="cdcd"):
        export_run(store, "r1", io.BytesIO())


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"{}\n", b"[]\n", b"name: workflow\n", b"\xff\n", b'{"ion_run": "1"}\n', b"[" * 100_000 + b"\n"],
    ids=range(8),
)
def test_another_file_is_refused(text: bytes) -> None:
    with pytest.raises((UsageError, DamagedStoreError)):
        import_run(MemoryStore(), io.BytesIO(text))


@pytest.mark.parametrize(("version", "why"), [(b"3", "newer Ion"), (b"1", "earlier preview of Ion")])
def test_the_export_of_another_ion_is_refused(export: bytes, version: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        import_run(MemoryStore(), io.BytesIO(export.replace(b'{"ion_run":2', b'{"ion_run":' + version)))


def test_every_cut_off_export_is_refused(export: bytes) -> None:
    ends = [i for i in range(len(export)) if export[i : i + 1] == b"\n"]
    for size in [*range(400), *ends, *(end + 1 for end in ends[:-1]), *range(len(export) - 300, len(export))]:
        store = MemoryStore()
        with pytest.raises((UsageError, DamagedStoreError)):
            import_run(store, io.BytesIO(export[:size]))
        assert store.list_workflow_runs() == []


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_a_changed_export_is_refused_or_the_same_run(export: bytes, data: st.DataObject) -> None:
    small = export[:2_000], export[2_000:-2_000], export[-2_000:]
    part = data.draw(st.sampled_from([0, 2]))
    place = data.draw(st.integers(0, 1_999))
    changed = bytearray(small[part])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    text = b"".join([changed if i == part else bytes(s) for i, s in enumerate(small)])
    store = MemoryStore()
    try:
        import_run(store, io.BytesIO(text))
    except IonError:
        assert store.list_workflow_runs() == []
    else:
        assert text.splitlines()[:-1] == export.splitlines()[:-1]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "node_started", "at": 2, "node": "no such node"},
        {"type": "node_started", "at": "now", "node": "build"},
        {"type": ["list"], "at": 2},
        {"type": "unheard_of", "at": 2},
        {"at": 2},
    ],
    ids=range(5),
)
def test_events_that_make_no_run_are_refused(export: bytes, event: dict[str, object]) -> None:
    """Not an accident but a forged file, its hash made to fit."""
    lines = export.splitlines(keepends=True)
    lines[-2] = json.dumps({"seq": 6, "event": event}).encode() + b"\n"
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    lines[-1] = json.dumps({"events": 6, "sha256": digest}).encode() + b"\n"
    store = MemoryStore()
    with pytest.raises(DamagedStoreError, match="line"):
        import_run(store, io.BytesIO(b"".join(lines)))
    assert store.list_workflow_runs() == []
