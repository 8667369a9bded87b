"""The SQLite store's own promises: its file, its faults said in words, and work that does not grow with history."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from store_kit import HandClock, approved, begin, dead, gate, log_of

from ion.core import events as e
from ion.errors import DamagedStoreError, NotFoundError, StoreError, UsageError
from ion.stores import blobs, create_store, sqlite_file
from ion.stores.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ion.db"


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


class TestFile:
    def test_a_url_is_relative_to_the_project_and_made_absolute(self, tmp_path: Path) -> None:
        store = create_store("sqlite:.ion/ion.db", project=tmp_path)
        assert store.url == f"sqlite:{tmp_path}/.ion/ion.db"
        begin(store)
        store.close()
        again = create_store(store.url, project=Path("/elsewhere"))
        assert again.get_workflow_run("r1").workflow == "report"
        again.close()

    def test_what_it_makes_is_for_its_owner_only(self, tmp_path: Path) -> None:
        umask = os.umask(0)
        try:
            store = create_store("sqlite:new/ion.db", project=tmp_path)
            begin(store)
            blob = store.put_blob(b"secret").sha256
        finally:
            os.umask(umask)
        folder = tmp_path / "new"
        made = {path.relative_to(folder).as_posix(): mode_of(path) for path in folder.rglob("*")}
        assert made == {
            "ion.db": "0o600",
            "ion.db-wal": "0o600",
            "ion.db-shm": "0o600",
            "blobs": "0o700",
            "blobs/.lock": "0o600",
            f"blobs/{blob[:2]}": "0o700",
            f"blobs/{blob[:2]}/{blob}": "0o600",
        }
        assert mode_of(folder) == "0o700"
        store.close()

    def test_a_commit_is_synced_before_it_returns(self, path: Path) -> None:
        store = SqliteStore(path)
        pragmas = {
            name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        store.close()

    @pytest.mark.parametrize("url", ["sqlite:", "sqlite:a\0b", "sqlite", "memory:x", "", "mysql:x", ":", "/a/path"])
    def test_a_url_that_names_no_store_is_refused(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as refusal:
            create_store(url, project=tmp_path)
        assert refusal.value.hint
        assert list(tmp_path.iterdir()) == []

    def test_only_the_store_that_is_named_is_loaded(self, tmp_path: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from ion.stores import create_store; "
            "create_store('memory:', project=Path()); "
            "print(sorted({'sqlite3', 'asyncio', 'psycopg'} & set(sys.modules)))"
        )
        assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


class TestFaults:
    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="No such file or directory") as failure:
            create_store("sqlite:no/such/ion.db", project=tmp_path)
        assert str(tmp_path / "no" / "such") in failure.value.message
        assert "create the folder" in failure.value.hint

    def test_a_folder_is_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="unable to open"):
            SqliteStore(tmp_path)

    @pytest.mark.parametrize("content", [b"name: my workflow\n", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 200])
    def test_another_file_is_left_as_it_is(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(DamagedStoreError):
            SqliteStore(path)
        assert path.read_bytes() == content

    def test_the_database_of_another_program_is_left_as_it_is(self, path: Path) -> None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE bookmarks (url)")
        other.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="another program"):
            SqliteStore(path)
        assert path.read_bytes() == before

    def test_the_store_of_a_newer_ion_is_refused(self, path: Path) -> None:
        SqliteStore(path).close()
        newer = sqlite3.connect(path)
        newer.execute("PRAGMA user_version = 9999")
        newer.close()
        with pytest.raises(StoreError, match="newer Ion") as failure:
            SqliteStore(path)
        assert "9999" in failure.value.message

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_store_that_may_not_be_written_says_so(self, path: Path) -> None:
        SqliteStore(path).close()
        path.chmod(0o400)
        with pytest.raises(StoreError) as failure:
            begin(SqliteStore(path))
        assert "writable" in failure.value.hint

    def test_a_write_that_is_refused_by_the_medium_says_so_and_is_undone(self, path: Path) -> None:
        store = SqliteStore(path)
        lease = begin(store)
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="readonly") as failure:
            store.create_workflow_event("r1", [gate()], lease=lease)
        assert "writable" in failure.value.hint
        store._connection.execute("PRAGMA query_only = OFF")
        assert store.create_workflow_event("r1", [gate()], lease=lease) == 2
        store.close()

    def test_a_full_disk_says_so_and_the_run_goes_on_when_there_is_room(self, path: Path) -> None:
        store = SqliteStore(path)
        lease = begin(store)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        big = e.NodeCompleted(2, "build", e.Reply(e.Content("x" * 200_000)))
        with pytest.raises(StoreError, match="no room") as failure:
            store.create_workflow_event("r1", [gate(), big], lease=lease)
        assert "make room" in failure.value.hint
        assert len(log_of(store)) == 1
        store._connection.execute("PRAGMA max_page_count = 100000")
        assert store.create_workflow_event("r1", [gate(), big], lease=lease) == 3
        store.close()

    def test_a_file_that_may_not_grow_stops_the_store_with_a_clear_error(self, path: Path) -> None:
        """A real failing write (EFBIG): SQLite calls it an I/O error, after which the connection is used no more."""
        lease_holder = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from store_kit import begin, gate
from ion.core.events import Content, NodeCompleted, Reply
from ion.errors import StoreError
from ion.stores.sqlite import SqliteStore
from pathlib import Path
store = SqliteStore(Path({str(path)!r}))
lease = begin(store)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
large = NodeCompleted(2, "build", Reply(Content("x" * 9000)))
while True:
    try:
        print(store.create_workflow_event("r1", [large], lease=lease))
    except StoreError as error:
        print(error.message)
        break
try:
    store.get_workflow_run("r1")
except StoreError as error:
    print(error.message)
"""
        *acknowledged, first, second = subprocess.check_output(
            [sys.executable, "-c", lease_holder], text=True
        ).splitlines()
        assert first == second
        assert str(path) in first
        store = SqliteStore(path)
        assert store.get_workflow_run("r1").last_seq >= int(acknowledged[-1]) > 5
        assert len(log_of(store)) == store.get_workflow_run("r1").last_seq
        store.close()

    def test_a_store_held_by_another_process_is_waited_for_and_then_named(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
        store = SqliteStore(path)
        lease = begin(store)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has held"):
            store.create_workflow_event("r1", [gate()], lease=lease)
        assert len(log_of(store)) == 1, "reading waits for nobody"
        other.execute("ROLLBACK")
        assert store.create_workflow_event("r1", [gate()], lease=lease) == 2
        other.close()
        store.close()

    def test_the_first_opening_of_a_backup_waits_for_another_one(self, path: Path) -> None:
        """SQLite itself does not wait before it switches to WAL."""
        store = SqliteStore(path.with_name("original.db"))
        begin(store)
        assert store._connection is not None
        store._connection.execute("VACUUM INTO ?", (str(path),))
        store.close()
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.close)
        release.start()
        SqliteStore(path).close()
        release.join()

    @pytest.mark.parametrize("kind", ["no bytes", "no tables"])
    def test_an_empty_file_is_not_taken_for_a_new_store(self, path: Path, kind: str) -> None:
        path.touch()
        if kind == "no tables":
            empty = sqlite3.connect(path)
            empty.execute("PRAGMA journal_mode = WAL")
            empty.execute("VACUUM")
            empty.close()
        before = path.read_bytes()
        with pytest.raises(DamagedStoreError, match="is empty") as failure:
            SqliteStore(path)
        assert "delete it to begin a new store" in failure.value.hint
        assert path.read_bytes() == before

    def test_a_new_store_appears_whole(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever dies while it is made leaves no store, and one that another process made meanwhile stays."""

        def somebody_is_faster(temporary: Path, place: Path) -> None:
            assert not place.exists()
            monkeypatch.undo()
            other = SqliteStore(place)
            begin(other)
            other.close()
            sqlite_file._give_name(temporary, place)

        monkeypatch.setattr(sqlite_file, "_give_name", somebody_is_faster)
        store = SqliteStore(path)
        assert store.get_workflow_run("r1").workflow == "report"
        store.close()
        assert [found.name for found in path.parent.iterdir()] == ["ion.db"]

    @pytest.mark.parametrize("left", ["closed", "killed"])
    def test_a_medium_that_takes_no_writes_can_be_looked_at(
        self, path: Path, left: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on a mounted backup: also what only the write-ahead log of a process that was killed has."""
        store = SqliteStore(path)
        lease = begin(store)
        store.create_workflow_event("r1", [gate()], lease=lease)
        if left == "killed":
            for file in (path, path.with_name("ion.db-wal")):
                (path.parent / "copy").mkdir(exist_ok=True)
                (path.parent / "copy" / file.name).write_bytes(file.read_bytes())
        store.close()
        if left == "killed":
            path = path.parent / "copy" / path.name

        def refused(*_arguments: object, **_named: object) -> sqlite3.Connection:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        monkeypatch.setattr(sqlite_file, "_switch_to_wal", refused)
        monkeypatch.setattr(sqlite_file, "_shared", refused)
        store = SqliteStore(path)
        assert [run.last_seq for run in store.list_workflow_runs()] == [2]
        assert len(log_of(store)) == 2
        with pytest.raises(StoreError, match="I/O error"):
            store.create_workflow_event("r1", [approved()], lease=None)
        store.close()

    def test_a_decayed_file_never_gives_another_log(self, path: Path) -> None:
        """One flipped bit anywhere in the file: the log is read as it was written, or damage is reported."""
        store = SqliteStore(path)
        lease = begin(store, owner=dead())
        for i in range(40):
            output = e.Content(f"output {i} " * (i * 3))
            store.create_workflow_event(
                "r1", [gate(f"q{i}"), e.NodeCompleted(i, "build", e.Reply(output))], lease=lease
            )
        written, source = log_of(store), store.get_source("r1")
        store.close()
        content, reported = path.read_bytes(), 0
        for seed in range(200):
            chance = random.Random(seed)
            decayed = bytearray(content)
            decayed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(decayed)
            try:
                store = SqliteStore(path, clock=HandClock())
                store.list_workflow_runs()
                assert log_of(store) == written, f"seed {seed}"
                assert store.get_source("r1") == source, f"seed {seed}"
            except (StoreError, NotFoundError):
                reported += 1
            finally:
                store.close()
        assert reported > 20

    def test_a_damaged_output_is_noticed_when_it_is_read(self, path: Path) -> None:
        store = SqliteStore(path)
        content = store.put_blob(b"x" * 3_000_000)
        kept = path.parent / "blobs" / content.sha256[:2] / content.sha256
        for damaged in (b"x" * 2_999_999 + b"y", b"x" * 2_999_999, b""):
            kept.write_bytes(damaged)
            with store.open_blob(content.sha256) as file, pytest.raises(DamagedStoreError, match="damaged"):
                file.read()
        assert store.put_blob(b"x" * 3_000_000) == content
        with store.open_blob(content.sha256) as file:
            assert len(file.read()) == 3_000_000, "keeping the same bytes again heals it"
        store.close()

    def test_a_failed_copy_leaves_nothing_behind(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_room(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        store = SqliteStore(path)
        monkeypatch.setattr(blobs, "sync", no_room)
        with pytest.raises(StoreError, match="No space left"):
            store.put_blob(b"data")
        assert list((path.parent / "blobs").iterdir()) == []
        store.close()

    def test_a_write_that_cannot_be_expressed_leaves_no_trace(self, path: Path) -> None:
        store = SqliteStore(path)
        lease = begin(store)
        with pytest.raises(TypeError):
            store.create_workflow_event("r1", [gate(), e.WorkflowResumed(3, by={"pid": object()})], lease=lease)
        assert log_of(store) == log_of(store)[:1]
        assert store.create_workflow_event("r1", [gate()], lease=lease) == 2
        store.close()

    def test_a_closed_store_says_so(self, path: Path) -> None:
        store = SqliteStore(path)
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.list_workflow_runs()


class TestWork:
    def steps_of_a_write(self, store: SqliteStore, run_id: str) -> int:
        """How many instructions SQLite carries out for a run's first writes."""
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        store._connection.set_progress_handler(count, 1)
        lease = begin(store, run_id, owner=dead())
        store.create_workflow_event(run_id, [gate()], lease=lease, after=1)
        store.create_workflow_event(run_id, [approved()], lease=None)
        store.create_workflow_event(run_id, [e.NodeStarted(4, "ask", "gate")], lease=lease, after=3)
        assert len(store.list_workflow_runs(project="/project", limit=1)) == 1
        assert len(store.get_workflow_events(run_id, after=3)) == 1
        store._connection.set_progress_handler(None, 1)
        return steps

    def test_a_write_costs_the_same_after_any_history(self, path: Path) -> None:
        store = SqliteStore(path)
        self.steps_of_a_write(store, "first")
        empty = self.steps_of_a_write(store, "early")
        for number in range(30):
            lease = begin(store, f"old{number}", owner=dead())
            batch = [gate(f"q{i}") for i in range(300)] + [e.NodeStarted(2, "build", "bash")] * 300
            store.create_workflow_event(lease.run_id, batch, lease=lease)
        assert self.steps_of_a_write(store, "late") <= empty * 1.05
        store.close()

    def test_threads_share_a_store(self, path: Path) -> None:
        store = SqliteStore(path)
        leases = [begin(store, f"r{i}") for i in range(8)]

        def work(index: int) -> None:
            for seq in range(1, 26):
                store.create_workflow_event(
                    f"r{index}", [e.NodeStarted(2, "build", "bash")], lease=leases[index], after=seq
                )
                store.create_workflow_event("r0", [e.CancelRequested(2)], lease=None) if index else None

        threads = [threading.Thread(target=work, args=(index,)) for index in range(1, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(log_of(store, f"r{i}")) for i in range(8)] == [1 + 7 * 25] + [26] * 7
        store.close()
