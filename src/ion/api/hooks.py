"""Webhooks: what a delivery whose sender is known does to a project, once however often it comes.

What becomes of a delivery is decided once, in the store, by compare-and-set, under what its body is and under the id
that its sender gave it: senders repeat what they got no answer to, and who has recorded a signed body may send it again
with another id. The run that it starts has an id made of that decision, so that a process which dies in between is
completed by the next delivery of the same, and none starts it twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field
from msgspec.json import Decoder
from msgspec.structs import replace

from ion import clocks, codec
from ion.api.acceptance import judge_hook, read_acceptance
from ion.api.deployment import Hook, HookSignal
from ion.api.preparing import RunSpec, prepare
from ion.api.run import Run
from ion.api.schedules import why_not_in_effect
from ion.api.workspace import Workspace, project_name
from ion.core.events import WorkflowStarted
from ion.engine import runs
from ion.errors import DamagedStoreError, NotFoundError, RefusedError, UsageError
from ion.language.workflow import Workflow
from ion.names import is_run_id
from ion.nodes.requirements import require_runtimes
from ion.stores.base import WorkflowRun
from ion.stores.lease import this_process

# For so long the same delivery is known.
KNOWN_MS = 30 * 86_400_000
_MOST_RUNS = 1000
_UNDER_WAY = ("pending", "queued", "running", "paused")
_MISSING = object()


class Delivery(Struct, frozen=True):
    """A request to a hook whose sender is known. `id` is what the sender calls it ('': nothing), `event` what it is
    about, as far as a header says so."""

    hook: str
    body: bytes
    id: str = ""
    event: str = ""


class Delivered(Struct, frozen=True):
    """What became of a delivery: the runs that it started or sent a signal to. `known`: it had come before."""

    runs: tuple[str, ...] = ()
    known: bool = False


class _Decision(Struct, frozen=True):
    """What was decided about a delivery, when (ms since the epoch), and whether that is done."""

    at: int
    runs: tuple[str, ...]
    done: bool = False


class _Known(Struct, frozen=True):
    """Deliveries of a hook, by the hash of their body, and which body came with an id, by the id's hash."""

    bodies: dict[str, _Decision] = field(default_factory=dict)
    ids: dict[str, tuple[int, str]] = field(default_factory=dict)


def deliver(workspace: Workspace, delivery: Delivery) -> Delivered:
    """Do what the hook says, durably once this returns; `Delivered()` if it is not of interest to the hook.

    Raises `UsageError` if the payload is to blame (code `bad-json`, `missing-field`, `inputs`), `RefusedError` if the
    hook is not accepted as it is (`not-accepted`), and what a start raises.
    """
    name, settings = delivery.hook, workspace.settings
    if name not in settings.hooks:
        raise RefusedError(f"the hook '{name}' is not in the settings any more", code="not-accepted")
    hook, judged = settings.hooks[name], judge_hook(workspace, name, read_acceptance(workspace))
    if judged.state != "accepted" or judged.workflow is None:
        raise RefusedError(f"the hook '{name}' does nothing: {why_not_in_effect(judged)}", code="not-accepted")
    payload = _payload(delivery.body)
    if not _is_wanted(hook, delivery, payload):
        return Delivered()
    body = _hash(delivery.body)
    decision = _known(workspace, delivery, body)
    if decision is not None and decision.done:
        return Delivered(decision.runs, known=True)
    taken = hook.start if hook.start is not None else hook.signal
    assert taken is not None
    inputs = {wanted: _required(payload, dotted) for wanted, dotted in taken.inputs.items()}
    if decision is None:
        now = clocks.now_ms()
        targets = (
            (_run_id(workspace, name, body, now),)
            if hook.signal is None
            else _targets(workspace, hook.signal, payload, inputs)
        )
        if not targets:
            return Delivered()
        if hook.start is not None:
            _prepared(workspace, name, judged.workflow, inputs, targets[0])  # what cannot start is not known
        decision = _decide(workspace, delivery, body, _Decision(now, targets))
    for run_id in decision.runs:
        if hook.signal is None:
            _start(workspace, name, judged.workflow, inputs, run_id)
        else:
            _send(workspace, hook.signal.event, run_id, payload, f"hook {name} {body[:32]}")
    _change(workspace, name, body, lambda known: _with_body(known, body, replace(decision, done=True)))
    return Delivered(decision.runs)


# ------------------------------------------------------------------ what is read in the payload


def _payload(body: bytes) -> Any:
    try:
        return codec.decode(body, Decoder())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}", code="bad-json") from error


def _is_wanted(hook: Hook, delivery: Delivery, payload: Any) -> bool:
    if hook.events and delivery.event not in hook.events:
        return False
    return all(
        any(_same(_at(payload, dotted), one) for one in (wanted if isinstance(wanted, list) else [wanted]))
        for dotted, wanted in hook.when.items()
    )


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)


def _at(payload: Any, dotted: str) -> Any:
    """What is at a dotted name, `_MISSING` if nothing is. A number is also an index of a list."""
    for name in dotted.split("."):
        if isinstance(payload, dict) and name in payload:
            payload = payload[name]
        elif isinstance(payload, list) and name.isascii() and name.isdecimal() and int(name[:9]) < len(payload):
            payload = payload[int(name[:9])]
        else:
            return _MISSING
    return payload


def _required(payload: Any, dotted: str) -> Any:
    value = _at(payload, dotted)
    if value is _MISSING:
        raise UsageError(f"the payload has no '{dotted}'", code="missing-field")
    return value


# ------------------------------------------------------------------ what is started, or told


def _run_id(workspace: Workspace, name: str, body: str, at: int) -> str:
    """The id of the run of a delivery, the same on every machine."""
    when = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y%m%d")
    return f"{name}-{when}-{_hash(codec.encode([project_name(workspace), name, body, at]).encode())[:12]}"


def _prepared(workspace: Workspace, name: str, workflow: Workflow, inputs: dict[str, Any], run_id: str) -> Any:
    new = prepare(workspace, RunSpec(workflow, inputs=inputs, run_id=run_id, hook=name))
    require_runtimes(workflow, os.environ)
    return new


def _start(workspace: Workspace, name: str, workflow: Workflow, inputs: dict[str, Any], run_id: str) -> None:
    """Create the run; nobody drives it yet."""
    new = _prepared(workspace, name, workflow, inputs, run_id)
    owner = this_process(new.config.lease_ms)
    try:
        _, lease = runs.create(new.config, new.run, owner, new.config.lease_ms)
        workspace.store.release_lease(lease)
    except RefusedError as error:
        if error.error_code != "run-exists":
            raise


def _targets(workspace: Workspace, signal: HookSignal, payload: Any, inputs: dict[str, Any]) -> tuple[str, ...]:
    """The runs to which a signal is for, oldest first."""
    if workspace.is_new:
        return ()
    found = _named(workspace, _required(payload, signal.run)) if signal.run else _under_way(workspace, signal.workflow)
    ours = [row for row in found if row.workflow == signal.workflow and row.ended_at is None]
    return tuple(row.run_id for row in reversed(ours) if _has_inputs(workspace, row.run_id, inputs))


def _named(workspace: Workspace, run_id: Any) -> list[WorkflowRun]:
    if not isinstance(run_id, str) or not is_run_id(run_id):
        return []
    with contextlib.suppress(NotFoundError):
        row = workspace.store.get_workflow_run(run_id)
        return [row] if row.project == str(workspace.project) else []
    return []


def _under_way(workspace: Workspace, workflow: str) -> list[WorkflowRun]:
    project = str(workspace.project)
    return [
        row
        for status in _UNDER_WAY
        for row in workspace.store.list_workflow_runs(
            project=project, status=status, workflow=workflow, limit=_MOST_RUNS
        )
    ]


def _has_inputs(workspace: Workspace, run_id: str, inputs: dict[str, Any]) -> bool:
    if not inputs:
        return True
    started = workspace.store.get_workflow_events(run_id, limit=1)[0].event
    if not isinstance(started, WorkflowStarted):
        return False
    given = started.inputs
    return all(name in given and _text(given[name]) == _text(value) for name, value in inputs.items())


def _text(value: Any) -> str:
    """As two values are compared of which one may come from a command line."""
    return value if isinstance(value, str) else codec.encode(value)


def _send(workspace: Workspace, event: str, run_id: str, payload: Any, delivery: str) -> None:
    with contextlib.suppress(RefusedError, NotFoundError, UsageError):  # it has ended, or waits for no such event
        Run(workspace, run_id).signal(event, payload, delivery=delivery)


# ------------------------------------------------------------------ what is known of earlier deliveries


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _known(workspace: Workspace, delivery: Delivery, body: str) -> _Decision | None:
    """What was decided about the same body, else about another one that came with the same id."""
    if workspace.is_new:
        return None
    decision = _read(workspace, delivery.hook, body).bodies.get(body)
    if decision is not None or not delivery.id:
        return decision
    key = _hash(delivery.id.encode("utf-8", "surrogatepass"))
    _, other = _read(workspace, delivery.hook, key).ids.get(key, (0, body))
    decision = _read(workspace, delivery.hook, other).bodies.get(other)
    if decision is not None and not decision.done:
        message = f"another body came to the hook '{delivery.hook}' with the same id, and is not dealt with yet"
        raise RefusedError(message, code="busy")
    return decision


def _decide(workspace: Workspace, delivery: Delivery, body: str, decision: _Decision) -> _Decision:
    """Keep what is decided about a delivery. Returns what counts: another process may have been faster."""
    known = _change(workspace, delivery.hook, body, lambda known: _with_body(known, body, decision, first=True))
    if delivery.id:
        key = _hash(delivery.id.encode("utf-8", "surrogatepass"))
        _change(
            workspace, delivery.hook, key, lambda known: replace(known, ids={**known.ids, key: (decision.at, body)})
        )
    return known.bodies[body]


def _with_body(known: _Known, body: str, decision: _Decision, *, first: bool = False) -> _Known:
    if first and body in known.bodies:
        return known
    return replace(known, bodies={**known.bodies, body: decision})


def _change(workspace: Workspace, hook: str, key: str, change: Callable[[_Known], _Known]) -> _Known:
    """Change what is kept beside a hash, however many others do at the same time. What is older than `KNOWN_MS` is
    forgotten then."""
    record = _record(workspace, hook, key)
    while True:
        before = workspace.store.get_record(record)
        known = change(_fresh(hook, before))
        if workspace.store.set_record(record, codec.encode(known), instead_of=before):
            return known


def _read(workspace: Workspace, hook: str, key: str) -> _Known:
    return _fresh(hook, workspace.store.get_record(_record(workspace, hook, key)))


def _record(workspace: Workspace, hook: str, key: str) -> str:
    """One of 256 for each hook, so that none grows long."""
    return codec.encode(["hook", project_name(workspace), hook, key[:2]])


def _fresh(hook: str, text: str | None) -> _Known:
    if text is None:
        return _Known()
    try:
        known = codec.decode(text, Decoder(_Known))
    except ValueError as error:
        raise DamagedStoreError(f"what the store keeps of the hook '{hook}' is damaged: {error}") from error
    since = clocks.now_ms() - KNOWN_MS
    return _Known(
        bodies={key: one for key, one in known.bodies.items() if one.at > since},
        ids={key: one for key, one in known.ids.items() if one[0] > since},
    )
