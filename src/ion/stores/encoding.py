"""Events, rows and names as every store writes them, and back: the same texts in each, so that a run can move.

Events and sources carry a checksum: no medium is trusted to notice its own decay. Anything that was not written so is a
`DamagedStoreError`, never a wrong value.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from msgspec import convert, structs

from ion import codec
from ion.core import events as e
from ion.core.event_facts import TERMINAL_RUN_STATES
from ion.errors import DamagedStoreError
from ion.names import LATEST_MS, is_moment, is_run_id
from ion.stores.base import Owner, WorkflowRun

_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
ROW_NAMES = WorkflowRun.__struct_fields__
# Runs are listed newest first; one whose time cannot be is damaged, and comes last.
_TIMES_TO_LIST = (f"started_at <= {LATEST_MS}", f"started_at > {LATEST_MS}")
_BEFORE = "(started_at, runs.run_id) < (:before_at, :before_id)"
_STATUSES = frozenset({"running", "paused", "queued", *TERMINAL_RUN_STATES})
# What a column may hold: others can write to a database too.
_ROW_CHECKS: dict[str, Callable[[Any], bool]] = {
    "run_id": is_run_id,
    **dict.fromkeys(("workflow", "project", "digest"), lambda value: isinstance(value, str)),
    "status": lambda value: value in _STATUSES,
    "started_at": is_moment,
    "ended_at": lambda value: value is None or is_moment(value),
    "last_seq": lambda value: isinstance(value, int) and value > 0,
    "epoch": lambda value: isinstance(value, int),
    "owner": lambda value: value is None or isinstance(value, str),
    **dict.fromkeys(("lease_expires_at", "due_at"), lambda value: value is None or isinstance(value, int)),
}


def times_to_list(before: tuple[int, str] | None) -> tuple[str, ...]:
    """The conditions under which runs are listed, one after the other; `before` as in `rules.Wanted`."""
    possible, impossible = _TIMES_TO_LIST
    if before is None:
        return _TIMES_TO_LIST
    if before[0] <= LATEST_MS:
        return f"{possible} AND {_BEFORE}", impossible
    return (f"{impossible} AND {_BEFORE}",)


def damaged(message: str) -> DamagedStoreError:
    """The error for one damaged run; the others are not affected."""
    return DamagedStoreError(message, hint="restore the store from a backup; other runs in it can still be read")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checksum(run_id: str, seq: int, text: str) -> int:
    """The CRC-32 of an event in its place, to find decay (not malice)."""
    return zlib.crc32(f"{run_id}\n{seq}\n{text}".encode())


def encode_source(source: str) -> tuple[bytes, int]:
    """A frozen source as bytes, exactly, and their checksum."""
    data = source.encode("utf-8", "surrogatepass")
    return data, zlib.crc32(data)


def decode_source(run_id: str, data: object, check: object) -> str:
    """The inverse of `encode_source`. Raises `DamagedStoreError` if it is not what was written."""
    if not isinstance(data, bytes) or zlib.crc32(data) != check:
        raise damaged(f"the frozen source of run {run_id} is damaged: its checksum differs")
    return data.decode("utf-8", "surrogatepass")


def decode_event(run_id: str, seq: int, text: str, check: int) -> e.Recorded:
    """The event that `events.encode` wrote. Raises `DamagedStoreError` if it is not what was written."""
    if checksum(run_id, seq, text) != check:
        raise damaged(f"event {seq} of run {run_id} is damaged: its checksum differs")
    return e.Recorded(seq, e.decode(text))


def decode_newest(run: WorkflowRun, text: str | None, check: int | None, more: bool) -> e.Event:
    """The event that the row takes for the newest. Raises `DamagedStoreError` if the log ends before it, or does not
    end with it (`more`)."""
    if text is None or check is None or more:
        what = "does not end with" if more else "ends before"
        raise damaged(f"the log of run {run.run_id} {what} event {run.last_seq}, the newest that its row knows")
    return decode_event(run.run_id, run.last_seq, text, check).event


def require_whole(run_id: str, records: Sequence[e.Recorded], after: int, last: int) -> None:
    """Raise `DamagedStoreError` unless `records` are the events after number `after` up to `last`, none missing."""
    if [record.seq for record in records] != list(range(after + 1, last + 1)):
        raise damaged(f"the log of run {run_id} has gaps between event {after} and event {last}")


def row(values: Sequence[Any]) -> WorkflowRun:
    """A database's row, its columns in the order of `WorkflowRun`. Raises `DamagedStoreError` if they are invalid."""
    try:
        by_name = dict(zip(ROW_NAMES, values, strict=True))
        for name, check in _ROW_CHECKS.items():
            if not check(by_name[name]):
                raise ValueError(f"its {name} cannot be {by_name[name]!r:.80}")
        for name in ("workflow", "project", "digest"):
            by_name[name] = from_column(by_name[name])
        return WorkflowRun(**{**by_name, "owner": owner_from_json(by_name["owner"])})
    except (TypeError, ValueError) as error:
        raise damaged(f"the row of run {values[0]!r:.80} is damaged: {error}") from error


def damaged_row(values: Sequence[Any]) -> WorkflowRun:
    """What can still be shown of a row that is damaged, or whose log is."""
    by_name = dict(zip(ROW_NAMES, values, strict=True))
    shown = {name: value for name in ("workflow", "project") if isinstance(value := by_name[name], str)}
    started_at = by_name["started_at"] if is_moment(by_name["started_at"]) else 0
    run = unreadable_run(str(by_name["run_id"]), **shown, started_at=started_at)
    try:
        owner = owner_from_json(by_name["owner"])
    except (TypeError, ValueError):
        return run
    expires_at = by_name["lease_expires_at"]
    return structs.replace(run, owner=owner, lease_expires_at=expires_at if isinstance(expires_at, int) else None)


def row_or_damage(values: Sequence[Any]) -> WorkflowRun:
    """The row, whatever its log says; as far as it can be read."""
    try:
        return row(values)
    except DamagedStoreError:
        return damaged_row(values)


def unreadable_run(run_id: str, *, workflow: str = "", project: str = "", started_at: int = 0) -> WorkflowRun:
    """The row of a run of which no more can be read, so that it is listed and does not hide the others."""
    return WorkflowRun(
        run_id=run_id, workflow=workflow, project=project, status="damaged", digest="", started_at=started_at
    )


def kept_status(status: str | None) -> str | None:
    """The status to ask a database for when runs of this status are wanted: it does not know which are damaged."""
    return None if status == "damaged" else status


def of_status(status: str | None, runs: Iterable[WorkflowRun]) -> list[WorkflowRun]:
    """Those that really are of this status."""
    return [run for run in runs if status is None or run.status == status]


def columns(run: WorkflowRun) -> tuple[Any, ...]:
    """The inverse of `row`."""
    texts = (run.run_id, column(run.workflow), column(run.project), run.status, column(run.digest))
    numbers = (run.started_at, run.ended_at, run.last_seq, run.epoch)
    return (*texts, *numbers, owner_to_json(run.owner), run.lease_expires_at, run.due_at)


@lru_cache(maxsize=64)
def owner_to_json(owner: Owner | None) -> str | None:
    return None if owner is None else codec.encode(owner)


def owner_from_json(text: str | None) -> Owner | None:
    """Raises `ValueError` or `TypeError` for anything but an owner."""
    return None if text is None else convert(json.loads(text), Owner)


def column(text: str) -> str:
    """A name as a database's text column can hold it: one with NUL or lone surrogates (a path may have them) as
    JSON."""
    return text if _is_utf8(text) and "\0" not in text and not text.startswith('"') else _encode_ascii(text)


def from_column(text: str) -> str:
    """The inverse of `column`."""
    value: str = json.loads(text) if text.startswith('"') else text
    return value
