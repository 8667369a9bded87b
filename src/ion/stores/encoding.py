"""Events, rows and names as every store writes them, and back: the same texts in each, so that a run can move.

Events and sources carry a checksum: no medium is trusted to notice its own decay. Whatever was not written so is a
`DamagedStoreError`, never a wrong value.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Sequence
from functools import lru_cache
from types import NoneType
from typing import Any

from ion.core import events as e
from ion.errors import DamagedStoreError
from ion.stores.base import Owner, WorkflowRun

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_ROW_NAMES = tuple(field.name for field in dataclasses.fields(WorkflowRun))
_NUMBER_OR_NONE, _TEXT_OR_NONE = (int, NoneType), (str, NoneType)
_ROW_TYPES: tuple[Any, ...] = (str, str, str, str, str, int, _NUMBER_OR_NONE, int, int, _TEXT_OR_NONE, _NUMBER_OR_NONE)


def damaged(message: str) -> DamagedStoreError:
    """What one run lost; the others are not touched by it."""
    return DamagedStoreError(message, hint="restore the store from a backup; other runs in it can still be read")


def encode(data: Any) -> str:
    """JSON text that every medium can hold: lone surrogates and NUL are escaped, all else stays readable."""
    text = _encode_json(data)
    return text if _is_utf8(text) else _encode_ascii(data)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checksum(*parts: object) -> int:
    """The CRC-32 of the parts, to find decay (not malice)."""
    return zlib.crc32("\n".join(map(str, parts)).encode())


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
    """The event that `encode(to_json(event))` wrote. Raises `DamagedStoreError` if it is not what was written."""
    if checksum(run_id, seq, text) != check:
        raise damaged(f"event {seq} of run {run_id} is damaged: its checksum differs")
    return e.Recorded(seq, e.from_json(json.loads(text)))


def require_whole(run_id: str, records: Sequence[e.Recorded], after: int, last: int) -> None:
    """Raise `DamagedStoreError` unless `records` are the events after number `after` up to `last`, none missing."""
    if [record.seq for record in records] != list(range(after + 1, last + 1)):
        raise damaged(f"the log of run {run_id} has gaps between event {after} and event {last}")


def row(values: Sequence[Any]) -> WorkflowRun:
    """A database's row, its columns in the order of `WorkflowRun`. Raises `DamagedStoreError` if they do not fit."""
    try:
        if not all(isinstance(value, kind) for value, kind in zip(values, _ROW_TYPES, strict=True)):
            raise TypeError("a column has another type")
        by_name = dict(zip(_ROW_NAMES, values, strict=True))
        for name in ("workflow", "project", "digest"):
            by_name[name] = from_column(by_name[name])
        return WorkflowRun(**{**by_name, "owner": owner_from_json(by_name["owner"])})
    except (TypeError, ValueError) as error:
        raise damaged(f"the row of run {str(values[0])!r} is damaged: {error}") from error


def columns(run: WorkflowRun) -> tuple[Any, ...]:
    """The inverse of `row`."""
    texts = (run.run_id, column(run.workflow), column(run.project), run.status, column(run.digest))
    numbers = (run.started_at, run.ended_at, run.last_seq, run.epoch)
    return (*texts, *numbers, owner_to_json(run.owner), run.lease_expires_at)


@lru_cache(maxsize=64)
def owner_to_json(owner: Owner | None) -> str | None:
    return None if owner is None else encode(dataclasses.asdict(owner))


def owner_from_json(text: str | None) -> Owner | None:
    return None if text is None else Owner(**json.loads(text))


def column(text: str) -> str:
    """A name as a database's text column can hold it: one with NUL or lone surrogates (a path may have them) as
    JSON."""
    return text if _is_utf8(text) and "\0" not in text and not text.startswith('"') else _encode_ascii(text)


def from_column(text: str) -> str:
    """The inverse of `column`."""
    value: str = json.loads(text) if text.startswith('"') else text
    return value
