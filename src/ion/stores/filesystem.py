"""The store in plain files: a folder per run, readable with any tool, safe to copy run by run.

    DIR/format                  which layout this is
    DIR/runs/RUN/log            the truth: every write, one checked line each (`logfile.py`)
    DIR/runs/RUN/source.json    the frozen source
    DIR/runs/RUN/lease          who owns the run; replaced whole
    DIR/runs/RUN/written        how far the log was acknowledged; may know less
    DIR/runs/RUN/row            a cache of what the log says up to some offset; may be missing or old
    DIR/unended/RUN             an empty file for each run that has not ended (for one that has, only after a crash)
    DIR/records                 what is kept beside the runs, a file each under the hash of its name
    DIR/blobs                   outputs too big for the log (`blobs.py`)
    DIR/new                     runs being made or deleted

A write locks the run's log, reads what others appended since, checks, appends, syncs. A run appears by renaming a
finished folder, and so wholly or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import convert, structs

from ion.core.events import Event, Recorded
from ion.digests import sha256_of
from ion.errors import DamagedStoreError, NotFoundError, StoreError
from ion.names import is_run_id
from ion.stores import encoding, logfile, rules
from ion.stores.base import Lease, Owner, WorkflowRun
from ion.stores.disk import (
    inode_of,
    make_folder,
    not_in_place,
    replace_file,
    storage_errors,
    sync_folder,
    write_file,
)
from ion.stores.lease import lease_clock, require_free
from ion.stores.logstate import LogState

_FORMAT = 2  # since 2 the runs that have not ended are marked
# The epoch, the owner and the end of a lease.
_LEASE = tuple[int, Owner | None, int | None]
_FORGOTTEN_AFTER_S = 3600


class FileStore(rules.BaseStore):
    """`WorkflowStore` in the folder `folder`. `clock` is the clock of leases (`lease.lease_clock`)."""

    def __init__(self, folder: Path, *, clock: Callable[[Owner | None], int] = lease_clock) -> None:
        self._folder = folder
        self._blob_folder = folder / "blobs"
        self._clock = clock
        self._lock = threading.RLock()
        self._logs: dict[str, LogState] = {}
        self._closed = False
        with storage_errors(f"cannot open the store {folder}"):
            _prepare(folder, self._mark_all)

    @property
    def url(self) -> str:
        return f"file:{self._folder}"

    @property
    def unwritable(self) -> StoreError | None:
        if os.access(self._folder / "runs", os.W_OK):
            return None
        return StoreError(f"the store {self._folder} cannot be written", hint="make it writable for this user")

    def get_workflow_run(self, run_id: str) -> WorkflowRun:
        with self._reading(run_id) as (log, file, size):
            log.read_on(file, size)
            return self._owned(run_id, log.row)

    def _list(self, wanted: rules.Wanted) -> list[WorkflowRun]:
        with storage_errors(f"cannot read the store {self._folder}"):
            run_ids = [path.name for path in (self._folder / "runs").iterdir() if is_run_id(path.name)]
        rows = []
        for run_id in run_ids:
            if run_id.startswith(wanted.prefix):
                with contextlib.suppress(NotFoundError):  # deleted since it was seen
                    rows.append(self._row_or_damage(run_id))
        return rules.selected(rows, wanted)

    def list_due_runs(self, project: str, *, until: int) -> list[WorkflowRun]:
        with storage_errors(f"cannot read the store {self._folder}"):
            run_ids = [path.name for path in (self._folder / "unended").iterdir() if is_run_id(path.name)]
        rows = []
        for run_id in run_ids:
            with contextlib.suppress(NotFoundError):  # it died while it made or deleted the run
                rows.append(self._row_or_damage(run_id))
        return rules.due(rows, project, until)

    def get_record(self, name: str) -> str | None:
        with storage_errors(f"cannot read the store {self._folder}"):
            return self._read_record(self._record(name))

    def set_record(self, name: str, text: str, *, instead_of: str | None) -> bool:
        path = self._record(name)
        with (
            self._lock,
            storage_errors(f"cannot write the store {self._folder}"),
            logfile.locked(path.with_name("lock")),
        ):
            if self._read_record(path) != instead_of:
                return False
            replace_file(path, logfile.checked_line([name, text]))
            return True

    def _record(self, name: str) -> Path:
        return self._folder / "records" / sha256_of(name.encode("utf-8", "surrogatepass"))

    def _read_record(self, path: Path) -> str | None:
        try:
            _name, text = logfile.parse_line(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise logfile.damaged_at(path, 0, str(error)) from error
        return str(text)

    def get_source(self, run_id: str) -> str:
        with self._reading(run_id) as (log, file, size):
            log.read_on(file, size)
            data = (self._place(run_id) / "source.json").read_bytes()
            return encoding.decode_source(run_id, data, log.source_check)

    def create_workflow_event(
        self, run_id: str, events: Sequence[Event], *, lease: Lease | None, after: int | None = None
    ) -> int:
        with self._writing(run_id, owned=lease is not None) as (log, descriptor):
            run = self._owned(run_id, log.row)
            rules.admit(run, lease, after)
            log.requests.require_open(run_id, events)
            ended_at = rules.changes(events).get("ended_at", run.ended_at)
            if run.ended_at is not None and ended_at is None:
                self._mark(run_id)
            if events:
                line = logfile.unit_line(run.last_seq + 1, events)
                try:
                    logfile.append(descriptor, log.end, line)
                except StoreError as error:
                    log.unusable = error
                    raise
                log.absorb(logfile.Unit(run.last_seq + 1, tuple(events), log.end, log.end + len(line), {}))
                log.note_written(descriptor)
                log.save()
            if ended_at is not None:
                self._unmark(run_id)
            return log.row.last_seq

    def get_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        records: list[Recorded] = []
        with self._reading(run_id) as (log, file, size):
            seq, start = log.place_of(after + 1)
            for unit in log.units(file, size, seq, start):
                if unit.start == log.end:
                    log.absorb(unit)
                records.extend(Recorded(seq, event) for seq, event in enumerate(unit.events, unit.seq) if seq > after)
                if limit is not None and len(records) >= limit:
                    break
        return records[:limit]

    def get_open_requests(self, run_id: str) -> dict[str, str]:
        with self._reading(run_id) as (log, file, size):
            log.read_on(file, size)
            return dict(log.requests.node_of)

    def lease_clock(self, owner: Owner | None) -> int:
        return self._clock(owner)

    def delete_workflow_run(self, run_id: str) -> None:
        """Also of a damaged run: only its lease is read."""
        place, grave = self._place(run_id), self._new()
        with self._lock, self._errors(run_id), logfile.locked(place / "log"):
            run = self._owned(run_id, encoding.unreadable_run(run_id))
            require_free(run, self._clock(run.owner))
            place.rename(grave)
            sync_folder(place.parent)
            self._logs.pop(run_id, None)
            self._unmark(run_id)
        shutil.rmtree(grave, ignore_errors=True)  # what is left goes with the next run that is made

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._logs.clear()

    def _change_lease(
        self, run_id: str, change: Callable[[WorkflowRun, rules.Clock], rules.NewLease], *, owned: bool = False
    ) -> None:
        with self._writing(run_id, owned=owned) as (log, _descriptor):
            new = change(self._owned(run_id, log.row), self._clock)
            if new is not None:
                replace_file(self._place(run_id) / "lease", _lease_line(*new))

    def _create(self, run: WorkflowRun, source: str, events: Sequence[Event]) -> None:
        run_id = run.run_id
        place, made = self._place(run_id), self._new()
        with self._lock, storage_errors(f"cannot create run {run_id}"):
            self._clear_forgotten()
            if place.exists():
                raise rules.run_exists(run_id)
            data, check = encoding.encode_source(source)
            make_folder(made)
            try:
                write_file(made / "source.json", data)
                write_file(made / "log", logfile.unit_line(1, events, project=run.project, source=check))
                write_file(made / "lease", _lease_line(run.epoch, run.owner, run.lease_expires_at))
                sync_folder(made)
                if run.ended_at is None:
                    self._mark(run_id)
                made.rename(place)
            except BaseException as error:
                shutil.rmtree(made, ignore_errors=True)
                if isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    raise rules.run_exists(run_id) from error
                raise
            sync_folder(place.parent)

    def _mark(self, run_id: str) -> None:
        """Note that the run has not ended, before it is so."""
        (self._folder / "unended" / run_id).touch(mode=0o600)
        sync_folder(self._folder / "unended")

    def _unmark(self, run_id: str) -> None:
        """Forget the mark of a run that has ended; one that stays costs a look."""
        with contextlib.suppress(OSError):
            (self._folder / "unended" / run_id).unlink()

    def _place(self, run_id: str) -> Path:
        if not is_run_id(run_id):
            raise rules.no_such_run(run_id)
        return self._folder / "runs" / run_id

    def _mark_all(self, marks: Path) -> None:
        """Make the folder of marks, complete from the first moment on, for the runs that there are."""
        made = self._new()
        make_folder(made)
        for path in (self._folder / "runs").iterdir():
            if is_run_id(path.name) and self._row_or_damage(path.name).ended_at is None:
                (made / path.name).touch(mode=0o600)
        sync_folder(made)
        try:
            made.rename(marks)
        except OSError:
            if not marks.exists():  # else another process was faster
                raise
            shutil.rmtree(made, ignore_errors=True)
        sync_folder(self._folder)

    def _new(self) -> Path:
        return self._folder / "new" / os.urandom(8).hex()

    def _clear_forgotten(self) -> None:
        """Remove what processes left that died while they made or deleted a run."""
        for path in (self._folder / "new").iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody else clears too
                if time.time() - path.stat().st_ctime > _FORGOTTEN_AFTER_S:
                    shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _errors(self, run_id: str, *, owned: bool = False) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store {self._folder} is closed")
        with storage_errors(f"cannot read or write run {run_id} in {self._folder}"):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError) as error:
                place = self._place(run_id)
                if place.is_dir():
                    missing = error.filename or str(place / "log")
                    raise logfile.damaged_at(Path(missing), 0, "it is not there") from error
                if owned and run_id in self._logs:  # nobody may delete a run that has an owner
                    raise not_in_place(f"the run {place}") from error
                raise rules.no_such_run(run_id) from error

    @contextlib.contextmanager
    def _writing(self, run_id: str, *, owned: bool = False) -> Iterator[tuple[LogState, int]]:
        """The run's log, locked and read to its end; `owned` by who writes. Nothing is acknowledged that is not in the
        log which others find."""
        path = self._place(run_id) / "log"
        with self._lock, self._errors(run_id, owned=owned), logfile.locked(path) as descriptor:
            with open(descriptor, "rb", closefd=False) as file:
                size = os.fstat(descriptor).st_size
                log = self._known(run_id, path, file, size)
                log.read_on(file, size)
            yield log, descriptor
            written = os.fstat(descriptor)
            if inode_of(path) != (written.st_dev, written.st_ino):
                raise not_in_place(f"the log {path}")

    @contextlib.contextmanager
    def _reading(self, run_id: str) -> Iterator[tuple[LogState, BinaryIO, int]]:
        path = self._place(run_id) / "log"
        with self._lock, self._errors(run_id):
            file, size = logfile.open_at_rest(path)
            with file:
                yield self._known(run_id, path, file, size), file, size

    def _known(self, run_id: str, path: Path, file: BinaryIO, size: int) -> LogState:
        """What is known of this log so far. Raises `DamagedStoreError` if it has become shorter than that."""
        log = self._logs.get(run_id)
        head = logfile.read_head(file)
        if log is None or log.head != head:
            log = self._logs[run_id] = LogState.saved(run_id, path, head, size) or LogState(run_id, path, head)
            log.require_acknowledged(file, size)
        if log.unusable is not None:
            raise log.unusable.with_traceback(None)
        if log.end > size:
            raise logfile.damaged_at(path, size, f"it ends here and had continued to {log.end}")
        return log

    def _row_or_damage(self, run_id: str) -> WorkflowRun:
        """The row; of a log that is damaged or cannot be read, with the status `damaged`, so that one run does not hide
        the others."""
        try:
            return self.get_workflow_run(run_id)
        except StoreError as error:
            if not isinstance(error, DamagedStoreError) and not isinstance(error.__cause__, OSError):
                raise
            log = self._logs.get(run_id)
            run = encoding.unreadable_run(run_id) if log is None or log.run is None else log.run
            return structs.replace(run, status="damaged")

    def _owned(self, run_id: str, run: WorkflowRun) -> WorkflowRun:
        """The row with its present owner."""
        path = self._place(run_id) / "lease"
        try:
            epoch, owner, expires_at = convert(
                logfile.parse_line(path.read_bytes()), tuple[int, Owner | None, int | None]
            )
        except FileNotFoundError:
            epoch, owner, expires_at = 0, None, None
        except ValueError as error:
            raise DamagedStoreError(
                f"{path} is damaged: {error}",
                hint="delete it if no process is at work on this run",
                file=str(path),
                offset=0,
            ) from error
        return structs.replace(run, epoch=epoch, owner=owner, lease_expires_at=expires_at)


def _lease_line(epoch: int, owner: Owner | None, expires_at: int | None) -> bytes:
    return logfile.checked_line([epoch, owner, expires_at])


def _prepare(folder: Path, mark_all: Callable[[Path], None]) -> None:
    """Make the store's folder, or check that it is one. `mark_all` marks the runs of one of an older format."""
    if not folder.exists():
        make_folder(folder)
    mark = folder / "format"
    if not mark.exists():
        if any(not path.name.startswith(".") for path in folder.iterdir()) and not mark.exists():
            raise StoreError(f"{folder} holds other files", hint="name an empty or new folder with --store file:DIR")
        _write_mark(mark)
    found = _read_mark(mark)
    if found > _FORMAT:
        raise StoreError(
            f"the store {folder} was written by a newer Ion (its format is {found}, this Ion knows {_FORMAT})",
            hint="update Ion: uv tool upgrade ion-workflows",
        )
    for name in ("runs", "new", "blobs", "records"):
        if not (folder / name).exists():
            make_folder(folder / name)
    if not (folder / "records" / "lock").exists():
        write_file(folder / "records" / "lock", b"")
    if not (folder / "unended").exists():
        mark_all(folder / "unended")
    if found < _FORMAT:
        _write_mark(mark)


def _write_mark(mark: Path) -> None:
    """Processes that start at once all write the same."""
    temporary = mark.with_name(f".format.{os.urandom(8).hex()}.tmp")
    write_file(temporary, logfile.checked_line(_FORMAT))
    temporary.rename(mark)
    sync_folder(mark.parent)


def _read_mark(mark: Path) -> int:
    try:
        return int(logfile.parse_line(mark.read_bytes()))
    except (ValueError, TypeError) as error:
        raise DamagedStoreError(
            f"{mark} is damaged: {error}", hint="restore it from a backup", file=str(mark)
        ) from error
