"""The file store's own promises: what a crash leaves is cut, what decays is named and harms only its run, caches are
never believed over the log."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from store_kit import LEASE_MS, HandClock, approved, begin, dead, gate, living, log_of

from ion.core import events as e
from ion.errors import DamagedStoreError, IonError, NotFoundError, RefusedError, StoreError
from ion.stores import blobs, create_store, disk, filesystem, logfile
from ion.stores.filesystem import FileStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def log_file(folder: Path, run_id: str = "r1") -> Path:
    return folder / "runs" / run_id / "log"


def completed(text: str) -> e.NodeCompleted:
    return e.NodeCompleted(2_000, "build", e.Reply(e.Content(text)))


class TestFolder:
    def test_what_it_makes_is_for_its_owner_only(self, tmp_path: Path) -> None:
        umask = os.umask(0)
        try:
            store = create_store("file:runs", project=tmp_path)
            lease = begin(store)
            store.put_blob(b"secret")
            store.update_workflow_run("r1", status="paused", at=2, lease=lease)
        finally:
            os.umask(umask)
        assert store.url == f"file:{tmp_path}/runs"
        made = [tmp_path / "runs", *(tmp_path / "runs").rglob("*")]
        assert {path.name for path in made} >= {"log", "lease", "row", "source.json", "format", "blobs", "new"}
        modes = {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()}
        assert modes == {0o700}
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}

    def test_the_project_s_own_folder_is_made_if_need_be(self, tmp_path: Path) -> None:
        begin(create_store("file:.ion/runs", project=tmp_path))
        begin(create_store("sqlite:.ion/deeper/ion.db", project=tmp_path))
        assert stat.S_IMODE((tmp_path / ".ion").stat().st_mode) == 0o700

    def test_a_folder_with_other_things_is_left_alone(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "thesis.tex").write_text("")
        with pytest.raises(StoreError, match="other files"):
            FileStore(folder)
        assert [path.name for path in folder.iterdir()] == ["thesis.tex"]

    def test_an_empty_folder_becomes_a_store(self, folder: Path) -> None:
        folder.mkdir()
        begin(FileStore(folder))
        assert FileStore(folder).get_workflow_run("r1").status == "running"

    def test_the_store_of_a_newer_ion_is_refused(self, folder: Path) -> None:
        FileStore(folder)
        (folder / "format").write_bytes(logfile.checked_line(3))
        with pytest.raises(StoreError, match="newer Ion"):
            FileStore(folder)

    @pytest.mark.parametrize("place", ["no/such", "file"])
    def test_a_place_that_cannot_be_is_named(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError) as failure:
            create_store(f"file:{place}", project=tmp_path)
        assert failure.value.hint
        assert str(tmp_path) in failure.value.message

    def test_what_a_dead_maker_left_goes_after_an_hour_and_is_never_a_run(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = FileStore(folder)
        left = folder / "new" / "0123456789abcdef"
        left.mkdir()
        (left / "log").write_bytes(b"half")
        begin(store)
        assert [run.run_id for run in store.list_workflow_runs()] == ["r1"]
        assert left.exists(), "somebody may be at work in it"
        monkeypatch.setattr(filesystem, "_FORGOTTEN_AFTER_S", -1)
        begin(store, "r2")
        assert list((folder / "new").iterdir()) == []

    def test_a_run_folder_that_was_removed_is_no_run(self, folder: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        shutil.rmtree(folder / "runs" / "r1")
        with pytest.raises(NotFoundError):
            store.create_workflow_event("r1", [gate()], lease=lease)
        assert store.list_workflow_runs() == []

    def test_a_log_that_became_a_link_is_not_followed(self, folder: Path, tmp_path: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        target = tmp_path / "precious"
        log_file(folder).rename(target)
        log_file(folder).symlink_to(target)
        before = target.read_bytes()
        with pytest.raises(StoreError):
            store.create_workflow_event("r1", [gate()], lease=lease)
        assert target.read_bytes() == before

    def test_a_run_made_anew_under_the_same_name_is_another(self, folder: Path) -> None:
        """What one process remembers of a deleted run does not leak into the next one of that name."""
        mine, other = FileStore(folder), FileStore(folder)
        begin(mine, owner=dead())
        mine.create_workflow_event("r1", [gate()] * 5, lease=None)
        other.delete_workflow_run("r1")
        begin(other, at=7_000)
        assert mine.get_workflow_run("r1").started_at == 7_000
        assert len(log_of(mine)) == 1


class TestTornWrites:
    def test_cut_at_every_byte_the_last_write_is_gone_wholly_or_there(self, folder: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        store.create_workflow_event("r1", [gate()], lease=lease)
        whole = log_file(folder).read_bytes()
        store.create_workflow_event("r1", [approved(), completed("ünï"), e.WorkflowPaused(9)], lease=lease)
        longer = log_file(folder).read_bytes()
        for size in range(len(whole), len(longer)):
            shutil.rmtree(folder)
            begin(FileStore(folder))
            log_file(folder).write_bytes(longer[:size])
            fresh = FileStore(folder)
            assert log_of(fresh)[1:] == [gate()], size
            assert fresh.get_workflow_run("r1").last_seq == 2
            assert fresh.create_workflow_event("r1", [approved()], lease=None) == 3
            assert log_of(FileStore(folder))[1:] == [gate(), approved()], size

    @pytest.mark.parametrize("how", ["truncated", "rewritten"])
    @pytest.mark.parametrize("status", ["running", "paused"])
    def test_what_was_acknowledged_is_no_torn_write(self, folder: Path, how: str, status: str) -> None:
        """Nothing that somebody was told of runs again: the cut is named, by every method, and nothing is cut off."""
        store = FileStore(folder)
        lease = begin(store, owner=dead())
        offset = log_file(folder).stat().st_size
        store.create_workflow_event("r1", [completed("x" * 2000)], lease=lease)
        if status == "paused":
            offset = log_file(folder).stat().st_size
            store.update_workflow_run("r1", status="paused", at=2, lease=lease)
        whole = log_file(folder).read_bytes()
        cut = whole[:-8]
        if how == "truncated":
            os.truncate(log_file(folder), len(cut))
        else:
            log_file(folder).rename(folder / "before")  # as an editor does it
            log_file(folder).write_bytes(cut)
        content = log_file(folder).read_bytes()
        for act in (
            lambda: FileStore(folder).get_workflow_run("r1"),
            lambda: FileStore(folder).get_workflow_events("r1"),
            lambda: FileStore(folder).acquire_lease("r1", living(), lease_ms=LEASE_MS),
            lambda: FileStore(folder).create_workflow_event("r1", [e.CancelRequested(3)], lease=None),
        ):
            with pytest.raises(DamagedStoreError, match="acknowledged") as failure:
                act()
            assert failure.value.offset in (offset, len(cut))
        assert [run.status for run in FileStore(folder).list_workflow_runs()] == ["damaged"]
        assert log_file(folder).read_bytes() == content

    def test_whole_writes_that_are_gone_are_noticed(self, folder: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        first = log_file(folder).stat().st_size
        store.create_workflow_event("r1", [gate()], lease=lease)
        os.truncate(log_file(folder), first)
        with pytest.raises(DamagedStoreError, match=f"byte {first}: it ends here"):
            FileStore(folder).get_workflow_run("r1")

    @pytest.mark.parametrize("lost", [[0], [1], [2], [3], [0, 1], [1, 2], [0, 3], [0, 1, 2, 3]])
    def test_a_last_write_with_blocks_that_never_reached_the_disk_is_torn(self, folder: Path, lost: list[int]) -> None:
        store = FileStore(folder)
        lease = begin(store)
        whole = log_file(folder).read_bytes()
        store.create_workflow_event("r1", [completed("x" * (1_800 - len(whole)))], lease=lease)
        content = log_file(folder).read_bytes()
        blocks = [content[start : start + 512] for start in range(0, len(content), 512)]
        assert len(whole) < 512, "the write begins in the first block"
        assert len(blocks) == 4
        blocks = [bytes(len(block)) if number in lost else block for number, block in enumerate(blocks)]
        log_file(folder).write_bytes(whole + b"".join(blocks)[len(whole) :])
        log_file(folder).with_name("written").unlink()
        fresh = FileStore(folder)
        assert len(log_of(fresh)) == 1
        assert fresh.create_workflow_event("r1", [e.CancelRequested(3)], lease=None) == 2
        assert log_file(folder).read_bytes().startswith(whole)
        assert b"\0" not in log_file(folder).read_bytes()

    def test_reading_cuts_nothing(self, folder: Path) -> None:
        begin(FileStore(folder))
        with log_file(folder).open("ab") as log:
            log.write(b"0123abcd 99 {half")
        torn = log_file(folder).read_bytes()
        store = FileStore(folder)
        log_of(store)
        store.list_workflow_runs()
        assert log_file(folder).read_bytes() == torn

    @pytest.mark.parametrize("failing", ["pwrite", "fdatasync"])
    def test_a_write_that_fails_half_way_is_taken_back(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        store = FileStore(folder)
        lease = begin(store)
        before = log_file(folder).read_bytes()
        real_write = os.pwrite

        def half_then_full(descriptor: int, data: bytes, offset: int) -> int:
            if len(data) < 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real_write(descriptor, bytes(data)[: len(data) // 2], offset)

        def bad_disk(_descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, failing, {"pwrite": half_then_full, "fdatasync": bad_disk}[failing])
            with pytest.raises(StoreError) as failure:
                store.create_workflow_event("r1", [completed("x" * 100)], lease=lease)
        assert failure.value.hint
        assert log_file(folder).read_bytes() == before
        assert log_of(FileStore(folder)) == [log_of(FileStore(folder))[0]]
        if failing == "pwrite":
            assert store.create_workflow_event("r1", [gate()], lease=lease) == 2, "there is room again"
        else:
            with pytest.raises(StoreError, match="disk failed"):
                store.create_workflow_event("r1", [gate()], lease=lease)
            assert FileStore(folder).create_workflow_event("r1", [gate()], lease=lease) == 2

    def test_short_writes_are_completed(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = FileStore(folder)
        lease = begin(store)
        real_write = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real_write(fd, bytes(data)[:7], offset))
        store.create_workflow_event("r1", [completed("x" * 100)], lease=lease)
        assert log_of(FileStore(folder))[1:] == [completed("x" * 100)]


class TestDamage:
    def damaged_store(self, folder: Path) -> tuple[FileStore, int]:
        """Two runs; in the middle of the first one's log a byte is wrong. With the offset of the damaged write."""
        store = FileStore(folder)
        begin(store, "r2", owner=dead())
        lease = begin(store, owner=dead())
        store.create_workflow_event("r1", [completed("first")], lease=lease)
        offset = log_file(folder).stat().st_size
        store.create_workflow_event("r1", [completed("second")], lease=lease)
        store.create_workflow_event("r1", [completed("third")], lease=lease)
        log_file(folder).write_bytes(log_file(folder).read_bytes().replace(b"second", b"secund"))
        return FileStore(folder), offset

    def test_a_damaged_middle_is_named_by_file_and_offset_and_nothing_is_cut(self, folder: Path) -> None:
        store, offset = self.damaged_store(folder)
        before = log_file(folder).read_bytes()
        for act in (
            lambda: store.get_workflow_run("r1"),
            lambda: store.get_workflow_events("r1"),
            lambda: store.create_workflow_event("r1", [e.CancelRequested(1)], lease=None),
            lambda: store.acquire_lease("r1", living(), lease_ms=LEASE_MS),
        ):
            with pytest.raises(DamagedStoreError) as failure:
                act()
            assert f"{log_file(folder)} is damaged at byte {offset}" in failure.value.message
        assert log_file(folder).read_bytes() == before

    def test_the_other_runs_are_not_touched_by_it(self, folder: Path) -> None:
        store, _offset = self.damaged_store(folder)
        rows = {run.run_id: run for run in store.list_workflow_runs()}
        assert {run_id: run.status for run_id, run in rows.items()} == {"r1": "damaged", "r2": "running"}
        assert rows["r1"].workflow == "report"
        assert store.create_workflow_event("r2", [e.CancelRequested(1)], lease=None) == 2
        store.delete_workflow_run("r1")
        assert [run.run_id for run in store.list_workflow_runs()] == ["r2"]

    def test_a_log_without_a_beginning_is_damaged(self, folder: Path) -> None:
        begin(FileStore(folder))
        log_file(folder).write_bytes(b"")
        store = FileStore(folder)
        with pytest.raises(DamagedStoreError, match="start is missing"):
            store.get_workflow_run("r1")
        assert [run.status for run in store.list_workflow_runs()] == ["damaged"]

    def test_a_log_that_became_shorter_is_damaged(self, folder: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        first = log_file(folder).stat().st_size
        store.update_workflow_run("r1", status="paused", at=2, lease=lease)
        os.truncate(log_file(folder), first)
        with pytest.raises(DamagedStoreError, match=f"byte {first}"):
            store.get_workflow_run("r1")

    def test_a_copy_made_while_the_run_went_on_is_the_run_up_to_then(self, folder: Path, tmp_path: Path) -> None:
        """The log was copied first, the row later: the log is believed."""
        store = FileStore(folder)
        lease = begin(store)
        store.create_workflow_event("r1", [gate()], lease=lease)
        shutil.copytree(folder, tmp_path / "copy")
        store.update_workflow_run("r1", status="completed", at=2, lease=lease)
        shutil.copy(folder / "runs" / "r1" / "row", tmp_path / "copy" / "runs" / "r1")
        copy = FileStore(tmp_path / "copy")
        assert (copy.get_workflow_run("r1").status, copy.get_workflow_run("r1").last_seq) == ("running", 2)
        assert copy.create_workflow_event("r1", [approved()], lease=None) == 3

    def test_a_missing_write_is_noticed(self, folder: Path) -> None:
        store, offset = self.damaged_store(folder)
        lines = log_file(folder).read_bytes().splitlines(keepends=True)
        log_file(folder).write_bytes(b"".join(lines[:2] + lines[3:]))
        log_file(folder).with_name("written").unlink()
        with pytest.raises(DamagedStoreError, match=f"byte {offset}: event 3 was to follow, not 4"):
            store.get_workflow_events("r1")

    @pytest.mark.parametrize("name", ["source.json", "lease"])
    def test_other_damaged_files_are_named(self, folder: Path, name: str) -> None:
        begin(FileStore(folder))
        path = folder / "runs" / "r1" / name
        path.write_bytes(path.read_bytes()[:-2] + b"x\n")
        store = FileStore(folder)
        with pytest.raises(DamagedStoreError, match="damaged"):
            {"source.json": store.get_source, "lease": store.get_workflow_run}[name]("r1")

    def test_a_decayed_log_never_gives_another(self, folder: Path) -> None:
        """One flipped bit anywhere: the log is read as it was written, or damage is reported."""
        store = FileStore(folder)
        lease = begin(store, owner=dead())
        for i in range(20):
            store.create_workflow_event("r1", [gate(f"q{i}"), completed(f"output {i} " * i)], lease=lease)
        written, content = log_of(store), log_file(folder).read_bytes()
        reported = 0
        for seed in range(500):
            chance = random.Random(seed)
            place = chance.randrange(len(content)) if seed % 2 else len(content) - 1 - chance.randrange(300)
            decayed = bytearray(content)
            decayed[place] ^= 1 << chance.randrange(8)
            log_file(folder).write_bytes(decayed)
            try:
                assert log_of(FileStore(folder)) == written, f"seed {seed}"
            except DamagedStoreError:
                reported += 1
        assert reported == 500


class TestCache:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda row, _older: row.unlink(),
            lambda row, _older: row.write_bytes(b""),
            lambda row, _older: row.write_bytes(row.read_bytes()[:-9]),
            lambda row, _older: row.write_bytes(b"\0" * 300),
            lambda row, _older: row.write_bytes(logfile.checked_line(["of another shape"])),
            lambda row, _older: row.write_bytes(logfile.checked_line(["00", 1, 2, ["r1"], 4])),
            lambda row, older: row.write_bytes(older),
        ],
        ids=["deleted", "empty", "truncated", "zeros", "short", "foreign", "stale"],
    )
    def test_a_spoiled_row_is_made_again_from_the_log(self, folder: Path, spoil: Callable[[Path, bytes], None]) -> None:
        store = FileStore(folder)
        lease = begin(store)
        row = folder / "runs" / "r1" / "row"
        store.create_workflow_event("r1", [gate("q1"), e.WorkflowPaused(5)], lease=lease)
        older = row.read_bytes()
        store.create_workflow_event("r1", [gate("q2"), e.WorkflowResumed(6)], lease=lease)
        store.create_workflow_event("r1", [approved("q1"), e.WorkflowPaused(7)], lease=lease)
        expected = store.get_workflow_run("r1"), log_of(store)
        spoil(row, older)
        fresh = FileStore(folder)
        assert (fresh.get_workflow_run("r1"), log_of(fresh)) == expected
        with pytest.raises(RefusedError):
            fresh.create_workflow_event("r1", [approved("q1")], lease=None)
        assert fresh.create_workflow_event("r1", [approved("q2")], lease=None) == 8

    def test_the_row_of_another_log_is_not_believed(self, folder: Path, tmp_path: Path) -> None:
        other = FileStore(tmp_path / "other")
        other.update_workflow_run("r1", status="completed", at=2, lease=begin(other, at=5_000))
        begin(FileStore(folder))
        shutil.copy(tmp_path / "other" / "runs" / "r1" / "row", folder / "runs" / "r1")
        run = FileStore(folder).get_workflow_run("r1")
        assert (run.status, run.started_at, run.last_seq) == ("running", 1_000, 1)

    def test_a_long_log_is_not_read_again_for_a_row_or_for_its_end(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = FileStore(folder)
        lease = begin(store)
        for i in range(200):
            store.create_workflow_event("r1", [completed(f"{i} " + "x" * 2_000)], lease=lease)
        read: list[int] = []
        real = logfile.parse_line
        monkeypatch.setattr(logfile, "parse_line", lambda line: (read.append(len(line)), real(line))[1])
        fresh = FileStore(folder)
        assert fresh.get_workflow_run("r1").last_seq == 201
        assert [record.seq for record in fresh.get_workflow_events("r1", after=195)] == [196, 197, 198, 199, 200, 201]
        assert sum(read) < 250_000, "of about 420,000"
        assert [record.seq for record in store.get_workflow_events("r1", after=100, limit=1)] == [101]
        assert len(fresh.get_workflow_events("r1")) == 201

    def test_a_full_disk_under_the_cache_fails_no_write(self, folder: Path) -> None:
        store = FileStore(folder)
        lease = begin(store)
        (folder / "runs" / "r1" / ".row.tmp").mkdir()
        assert store.update_workflow_run("r1", status="paused", at=2, lease=lease) == 2
        assert FileStore(folder).get_workflow_run("r1").status == "paused"


class TestLines:
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    @example("\ud800 \0 \n \u2028")
    def test_a_line_gives_back_what_it_was_made_of(self, data: object) -> None:
        line = logfile.checked_line(data)
        assert line.count(b"\n") == 1
        assert b"\0" not in line
        assert logfile.parse_line(line) == data

    @given(st.binary())
    @example(b"00000000 1 1\n")
    @example(b"4f9f2cab 0 \n")
    @example(b"\n")
    def test_anything_else_is_refused(self, line: bytes) -> None:
        with pytest.raises(ValueError, match=r"another|no length"):
            logfile.parse_line(line)


class Disk:
    """The power-cut model: what is in a file at its last sync, and which names a folder had at its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, tuple[int, bool]]] = {}

    def file_synced(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.contents[status.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    def folder_synced(self, folder: Path) -> None:
        self.names[folder.stat().st_ino] = {
            path.name: (path.lstat().st_ino, path.is_dir()) for path in folder.iterdir()
        }

    def after_power_cut(self, target: Path) -> None:
        """Write what has survived; of a file that was never synced only its name."""
        self._restore(self.root.stat().st_ino, target)

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, (child, is_folder) in self.names.get(inode, {}).items():
            if is_folder:
                self._restore(child, target / name)
            else:
                (target / name).write_bytes(self.contents.get(child, b""))


def test_a_power_cut_at_any_moment_keeps_all_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    model, acknowledged, moments = Disk(root), [0], 0

    def cut() -> None:
        """The power fails here: open what is left."""
        nonlocal moments
        moments += 1
        left = tmp_path / f"left{moments}"
        model.after_power_cut(left)
        patched.undo()
        store = FileStore(left / "store", clock=HandClock())
        rows = store.list_workflow_runs()
        if acknowledged[0]:
            assert rows[0].last_seq >= acknowledged[0]
            lease = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
            for event in log_of(store):
                if isinstance(event, e.NodeCompleted) and event.reply.output.text is None:
                    with store.open_blob(event.reply.output.sha256) as file:
                        assert len(file.read()) == event.reply.output.size
            store.create_workflow_event("r1", [e.CancelRequested(5)], lease=lease)
        assert all(run.status != "damaged" for run in rows)
        shutil.rmtree(left)
        patch()

    def patch() -> None:
        for module in modules:
            for name, replacement in (("sync", synced), ("sync_folder", folder_synced)):
                if hasattr(module, name):
                    patched.setattr(module, name, replacement)

    def synced(descriptor: int) -> None:
        cut()
        model.file_synced(descriptor)
        cut()

    def folder_synced(folder: Path) -> None:
        cut()
        model.folder_synced(folder)
        cut()

    modules = (disk, blobs, filesystem, logfile)
    patched = pytest.MonkeyPatch()
    patch()
    try:
        store = FileStore(root / "store", clock=HandClock())
        lease = begin(store, owner=dead())
        acknowledged[0] = 1
        for i in range(4):
            output = store.put_blob(f"output {i}".encode())
            batch = [e.NodeStarted(1, "build", "bash"), e.NodeCompleted(2, "build", e.Reply(output))]
            acknowledged[0] = store.create_workflow_event("r1", batch, lease=lease)
            store.renew_lease(lease, lease_ms=LEASE_MS)
        store.update_workflow_run("r1", status="paused", at=3, lease=lease)
        store.release_lease(lease)
    finally:
        patched.undo()
    assert moments > 60


def test_nobody_can_name_a_place_outside_the_store(folder: Path) -> None:
    store = FileStore(folder)
    begin(store)
    for run_id in ("../../etc", "..", "/etc", "r1/../r1", "r1/log"):
        with pytest.raises(IonError):
            store.get_source(run_id)
