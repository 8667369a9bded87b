"""A run as one file of JSON lines, to move it between stores of any kind, or to keep it.

    {"ion_run": 1, "run_id", "project", "source"}       first
    {"blob": sha256, "bytes": n}  {"chunk": base64}…     each output that lives beside the log, script files too
    {"seq": n, "event": {…}}                            the log
    {"events": n, "sha256": …}                          last: of all the bytes before it

Importing checks everything before the run appears, which it then does wholly or not at all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from msgspec.structs import replace

from ion import codec
from ion.core import events as e
from ion.core.fold import fold
from ion.errors import DamagedStoreError, NotFoundError, UsageError
from ion.foreign import decoder
from ion.masking import mask_json, mask_stream
from ion.stores import rules
from ion.stores.base import WorkflowStore
from ion.stores.disk import storage_errors

_FORMAT = 2
_CHUNK_BYTES = 768 * 1024
_LONGEST_LINE = 256 * 1024 * 1024
_DEEPEST = 200
# The fields of events that hold what people, programs and agents said.
_FREE_TEXTS = frozenset({
    "inputs", "arguments", "context", "reason", "detail", "message", "comment", "values", "system", "reask", "options",
    "usage", "by", "read",
})  # fmt: skip
_HASH_TEXT = re.compile(r'"([0-9a-f]{64})"')


def export_run(store: WorkflowStore, run_id: str, file: BinaryIO, *, secrets: tuple[str, ...] = ()) -> None:
    """Write the run, its frozen source and all its outputs to `file`; `secrets` are values to be masked in its events
    and outputs (an output that held one has another hash then).

    Raises `NotFoundError`, `DamagedStoreError` if something of it is gone or damaged, `StoreError` if `file` cannot
    take it.
    """
    digest = hashlib.sha256()

    def put(data: Any) -> None:
        line = codec.encode(data).encode() + b"\n"
        digest.update(line)
        file.write(line)

    run, source = store.get_workflow_run(run_id), store.get_source(run_id)
    records = store.get_workflow_events(run_id)
    with storage_errors(f"cannot export run {run_id}"):
        put({"ion_run": _FORMAT, "run_id": run_id, "project": run.project, "source": source})
        masked: dict[str, dict[str, Any]] = {}
        for sha256, required in _blobs_of(source, records).items():
            if required and secrets and (content := _masked_blob(store, sha256, secrets)) is not None:
                masked[sha256] = content
                _put_blob(store, sha256, put, required=True, name=content["blob"], secrets=secrets)
            else:
                _put_blob(store, sha256, put, required=required)
        for record in records:
            put({"seq": record.seq, "event": _masked_event(codec.to_json(record.event), secrets, masked)})
        put({"events": len(records), "sha256": digest.hexdigest()})
        file.flush()


def import_run(
    store: WorkflowStore,
    file: BinaryIO,
    *,
    check: rules.FrozenCheck,
    project: str | None = None,
    name: str = "this",
) -> str:
    """Create the run that `export_run` wrote and return its id; `project` replaces the one it ran in.

    `name` is the file's, for messages. No cluster drives the run from here on, whatever it was driven by.

    Raises `UsageError` if the file is not an export, `DamagedStoreError` if it is a damaged one or tells of a run that
    cannot be, `RefusedError` (code `run-exists`) if the id is taken: a run is never written over.
    """
    lines = _Lines(file)
    first = _first_line(lines, name)
    run_id = lines.text(first, "run_id")
    source = lines.text(first, "source")
    rules.require_run_id(run_id)
    _require_absent(store, run_id)
    told = _read_body(store, lines)
    started, *others = told
    if not isinstance(started, e.WorkflowStarted) or any(isinstance(event, e.WorkflowStarted) for event in others):
        raise lines.damaged("its first event, and no other, is the run's start")
    try:
        check(source, told, store)
    except DamagedStoreError as error:
        raise lines.damaged(error.message) from error
    place = project if project is not None else lines.text(first, "project")
    by = {name: value for name, value in started.by.items() if name != "seal"}  # nobody here started it
    events = [replace(started, engine=None, by=by), *others]
    store.import_workflow_run(run_id, project=place, source=source, events=events)
    return run_id


def _first_line(lines: _Lines, name: str) -> dict[str, Any]:
    try:
        first = lines.next()
    except DamagedStoreError:
        first = {}
    version = first.get("ion_run")
    if type(version) is not int:
        raise UsageError(f"{name} is not an export of Ion", hint="make one with: ion export RUN --output FILE")
    if version > _FORMAT:
        raise UsageError(f"{name} was exported by a newer Ion (format {version})", hint="update Ion")
    if version < _FORMAT:
        hint = "import it with that Ion, whose store this one cannot read either"
        raise UsageError(f"{name} was exported by an earlier preview of Ion (format {version})", hint=hint)
    return first


def _require_absent(store: WorkflowStore, run_id: str) -> None:
    try:
        store.get_workflow_run(run_id)
    except NotFoundError:
        return
    raise rules.run_exists(run_id)


def _blobs_of(source: str, records: list[e.Recorded]) -> dict[str, bool]:
    """The hashes of what is kept beside the log, and whether it must exist: of what looks like a hash in the source,
    only the files of scripts are kept."""
    found = dict.fromkeys(_HASH_TEXT.findall(source), False)
    found.update((content.sha256, True) for content in _kept_beside(record.event for record in records))
    return found


def _kept_beside(events: Iterable[e.Event]) -> Iterator[e.Content]:
    """The texts beside the log that these events name."""
    for event in events:
        yield from (content for content in e.contents(event) if content.text is None)


def _masked_blob(store: WorkflowStore, sha256: str, secrets: tuple[str, ...]) -> dict[str, Any] | None:
    """The new hash of a kept output once it is masked; None if nothing in it needs masking."""
    digest, size = hashlib.sha256(), 0
    with store.open_blob(sha256) as stream:
        for chunk in mask_stream(stream, secrets):
            digest.update(chunk)
            size += len(chunk)
    return None if digest.hexdigest() == sha256 else {"blob": digest.hexdigest(), "bytes": size}


def _masked_event(event: dict[str, Any], secrets: tuple[str, ...], blobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The event with its free texts masked; what the run's state is made of (names, kinds, hashes) stays."""
    if not secrets:
        return event
    shown = {key: mask_json(value, secrets) if key in _FREE_TEXTS else value for key, value in event.items()}
    for key in ("output", "prompt", "items", "given"):
        if key in shown:
            shown[key] = blobs.get(shown[key].get("blob"), shown[key])
            shown[key] = {**shown[key], **mask_json({k: v for k, v in shown[key].items() if k == "text"}, secrets)}
    if "error" in shown:
        texts = {key: value for key, value in shown["error"].items() if key in ("message", "hint")}
        shown["error"] = {**shown["error"], **mask_json(texts, secrets)}
    if "reply" in shown:
        shown["reply"] = _masked_event(shown["reply"], secrets, blobs)
    return shown


def _put_blob(
    store: WorkflowStore, sha256: str, put: Any, *, required: bool, name: str = "", secrets: tuple[str, ...] = ()
) -> None:
    try:
        stream = store.open_blob(sha256)
    except DamagedStoreError:
        if required:
            raise
        return
    with stream:
        put({"blob": name or sha256})
        chunks = mask_stream(stream, secrets) if secrets else iter(lambda: stream.read(_CHUNK_BYTES), b"")
        for chunk in chunks:
            put({"chunk": base64.b64encode(chunk).decode("ascii")})


def _read_body(store: WorkflowStore, lines: _Lines) -> list[e.Event]:
    events: list[e.Event] = []
    kept: set[e.Content] = set()
    data = lines.next()
    while "sha256" not in data:
        if "blob" in data:
            content, data = _keep_blob(store, lines, lines.text(data, "blob"))
            kept.add(content)
            continue
        if data.get("seq") != len(events) + 1:
            raise lines.damaged(f"event {len(events) + 1} is missing")
        events.append(lines.event(data))
        data = lines.next()
    if data["sha256"] != lines.digest_before or data.get("events") != len(events):
        raise lines.damaged("its content has another hash")
    if not events:
        raise lines.damaged("it holds no events")
    try:
        fold(events)
    except DamagedStoreError as error:
        raise lines.damaged(error.message) from error
    for missing in {*_kept_beside(events)} - kept:
        raise lines.damaged(f"the output {missing.sha256} of {missing.size} bytes is not in it")
    return events


def _keep_blob(store: WorkflowStore, lines: _Lines, sha256: str) -> tuple[e.Content, dict[str, Any]]:
    """Keep the blob whose chunks follow, and return it and the line after them."""
    with tempfile.NamedTemporaryFile(prefix="ion-import-") as file:
        data = lines.next()
        with storage_errors("cannot unpack an output"):
            while "chunk" in data:
                file.write(lines.chunk(data))
                data = lines.next()
            file.flush()
        content = store.put_blob(Path(file.name))
    if content.sha256 != sha256:
        raise lines.damaged(f"the output {sha256:.80} has another content")
    return content, data


class _Lines:
    """The lines of an export, each a JSON object, with the hash of what came before the last one read."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines = self._read(file)
        self._number = 0
        self.digest_before = ""

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        digest = hashlib.sha256()
        while line := file.readline(_LONGEST_LINE):
            self._number += 1
            self.digest_before = digest.hexdigest()
            digest.update(line)
            yield line

    def next(self) -> dict[str, Any]:
        line = next(self._lines, b"")
        if not line.endswith(b"\n"):
            raise self.damaged("it ends too early")
        try:
            data = decoder().decode(line.decode())
        except (ValueError, RecursionError) as error:
            raise self.damaged("it is not JSON") from error
        if not isinstance(data, dict) or not _is_shallow(data):
            raise self.damaged("it is not a JSON object, or one too deep")
        return data

    def text(self, data: dict[str, Any], key: str) -> str:
        value = data.get(key)
        if not isinstance(value, str):
            raise self.damaged(f"'{key}' is missing")
        return value

    def chunk(self, data: dict[str, Any]) -> bytes:
        try:
            return base64.b64decode(self.text(data, "chunk"), validate=True)
        except binascii.Error as error:
            raise self.damaged("a chunk is not base64") from error

    def event(self, data: dict[str, Any]) -> e.Event:
        if not isinstance(data.get("event"), dict):
            raise self.damaged("'event' is missing")
        try:
            event = e.from_json(data["event"])
        except DamagedStoreError as error:
            raise self.damaged(error.message) from error
        return event

    def damaged(self, why: str) -> DamagedStoreError:
        return DamagedStoreError(
            f"the exported run is damaged at line {self._number}: {why}", hint="export it again from its store"
        )


def _is_shallow(data: Any) -> bool:
    """Whether nothing is nested deeper than later code can handle."""
    level = [data]
    for _ in range(_DEEPEST):
        level = [item for value in level for item in _items(value)]
        if not level:
            return True
    return False


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
