"""Concurrency groups: how many runs of a project's workflows are under way at once.

A run takes its places when a process has become its owner and before it is driven. Who has one is kept in the store,
one record for each group, changed by compare-and-set; whether a run still has its place follows from its row: not if it
has ended, waits in a queue, or its owner died. So nobody has to give a place back, and who was killed keeps none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Struct, field
from msgspec.json import Decoder
from msgspec.structs import replace

from ion import clocks, codec
from ion.api.acceptance import judge_group, read_acceptance
from ion.api.deployment import Group
from ion.api.workspace import Workspace, project_name, who
from ion.core import requests
from ion.core.events import WorkflowStarted
from ion.engine.run_reader import read_run
from ion.errors import DamagedStoreError, NotFoundError, RefusedError
from ion.stores.base import WorkflowRun
from ion.stores.lease import owner_is_live

# Whose turn it is has so long to take its place; then those behind it may: its machine may be off, its clock may not
# be allowed to continue it. It keeps its place in the queue.
TURN_MS = 5 * 60_000
# How many runs of a hook that names no group are under way at once.
RUNS_OF_HOOK = 4


class Places(Struct, frozen=True):
    """The runs that have taken a place in a group, the oldest first, and those that wait for one, in their order; as
    they were when somebody last took a place. `turns` says of those for which there was a place since when somebody
    saw that (ms since the epoch)."""

    holders: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    turns: dict[str, int] = field(default_factory=dict)


class NamedGroup(Struct, frozen=True):
    """A concurrency group that a run belongs to."""

    name: str
    group: Group


def groups_of(workspace: Workspace, started: WorkflowStarted) -> list[NamedGroup]:
    """The groups of a run that begins so: those of the settings that are accepted, and that of its schedule or
    hook."""
    settings = workspace.settings
    found = []
    if any(started.workflow in group.workflows for group in settings.concurrency.values()):
        acceptance = read_acceptance(workspace)
        found = [
            NamedGroup(name, group)
            for name, group in settings.concurrency.items()
            if started.workflow in group.workflows and judge_group(workspace, name, acceptance).state == "accepted"
        ]
    name = started.by.get("schedule")
    schedule = settings.schedules.get(name) if isinstance(name, str) else None
    if schedule is not None and schedule.overlap in ("queue", "cancel"):
        group = Group((schedule.workflow,), on_full="queue" if schedule.overlap == "queue" else "cancel_oldest")
        found.append(NamedGroup(f"schedule {name}", group))
    hook = started.by.get("hook")
    if isinstance(hook, str) and hook in settings.hooks:
        one = _group_of_hook(workspace, hook)
        found += [one] if one not in found else []
    return found


def _group_of_hook(workspace: Workspace, name: str) -> NamedGroup:
    """The group that a hook names, if it is accepted."""
    settings = workspace.settings
    hook = settings.hooks[name]
    named = hook.concurrency or ""
    if named and judge_group(workspace, named, read_acceptance(workspace)).state == "accepted":
        return NamedGroup(named, settings.concurrency[named])
    return NamedGroup(f"hook {name}", Group((hook.workflow,), limit=RUNS_OF_HOOK))


def not_in_effect(workspace: Workspace, workflow: str) -> list[str]:
    """What is to be said of the groups of a workflow that are not accepted."""
    named = [name for name, group in workspace.settings.concurrency.items() if workflow in group.workflows]
    acceptance = read_acceptance(workspace) if named else None
    return [
        f"the concurrency group '{name}' is not accepted, and does not hold: ion schedules accept"
        for name in named
        if acceptance is not None and judge_group(workspace, name, acceptance).state != "accepted"
    ]


def take(workspace: Workspace, run_id: str, groups: Iterable[NamedGroup]) -> NamedGroup | None:
    """Take a place in each group for a run that this process owns. None: it has them; else the first group that
    has none for it, where the run is in the queue from now on."""
    for one in groups:
        if not _take(workspace, run_id, one):
            return one
    return None


def full(workspace: Workspace, run_id: str, groups: Iterable[NamedGroup]) -> NamedGroup | None:
    """The first group that has no place for a run now."""
    for one in groups:
        text = _text(workspace, one)
        places = _places(one.name, text)
        found = _look(workspace, run_id, one, places)
        if not found.has_place:
            if found.turns != places.turns:  # whoever is faster has seen the same
                after = replace(places, turns=found.turns)
                workspace.store.set_record(_record(workspace, one.name), codec.encode(after), instead_of=text)
            return one
    return None


def queue_place(workspace: Workspace, run_id: str, name: str) -> int:
    """Which in its queue a queued run is; the next one is number 1."""
    places = _places(name, _text(workspace, NamedGroup(name, Group(()))))
    return 1 + sum(1 for _ in _queued_before(workspace, run_id, places))


def refused(one: NamedGroup) -> RefusedError:
    """The error for a run that gets no place and is not queued."""
    limit = one.group.limit
    runs = "a run" if limit == 1 else f"{limit} runs"
    return RefusedError(
        f"the concurrency group '{one.name}' is full: {runs} of it {'is' if limit == 1 else 'are'} under way",
        code="full",
        hint="ion runs shows them; try again when one has ended",
    )


def cancel_oldest(workspace: Workspace, run_id: str, one: NamedGroup) -> None:
    """Ask for the end of the run that has had its place in the group for the longest time."""
    for oldest in _holding(workspace, run_id, one, _places(one.name, _text(workspace, one)))[:1]:
        reason, by = f"the run {run_id} needs its place in '{one.name}'", who(workspace.via)
        with contextlib.suppress(RefusedError):  # it has ended, or is asked to end already
            state = read_run(workspace.store, oldest).state
            request = requests.cancel(state, at=clocks.now_ms(), reason=reason, by=by)
            workspace.store.create_workflow_event(oldest, [request], lease=None)


def _take(workspace: Workspace, run_id: str, one: NamedGroup) -> bool:
    record = _record(workspace, one.name)
    while True:
        text = workspace.store.get_record(record)
        before = _places(one.name, text)
        found = _look(workspace, run_id, one, before)
        if found.has_place:
            queue = tuple(other for other in before.queue if other != run_id)
            after = Places((*found.holding, run_id), queue, found.turns)
        else:
            others = (other for other in before.queue if other == run_id or not _is_over(workspace, other))
            after = Places(found.holding, tuple(dict.fromkeys((*others, run_id))), found.turns)
        if workspace.store.set_record(record, codec.encode(after), instead_of=text):
            return found.has_place


class _Look(Struct, frozen=True):
    """Whether a group has a place for a run, which others really have one, and whose turn it is now, if the run takes
    it (`Places.turns`)."""

    has_place: bool
    holding: tuple[str, ...]
    turns: dict[str, int]


def _look(workspace: Workspace, run_id: str, one: NamedGroup, places: Places) -> _Look:
    now = clocks.now_ms()
    passed = {other for other, since in places.turns.items() if now - since > TURN_MS}
    holding = _holding(workspace, run_id, one, places)
    kept = _kept(workspace, run_id, one, places)
    free = max(0, one.group.limit - len(holding) - kept)
    in_time = (other for other in _queued_before(workspace, run_id, places) if other not in passed)
    first = list(islice(in_time, free))
    turns = {other: since for other, since in places.turns.items() if other in passed and other in places.queue}
    turns |= {other: min(now, places.turns.get(other, now)) for other in first}
    turns.pop(run_id, None)
    return _Look(kept or len(first) < free, holding, turns)


def _holding(workspace: Workspace, run_id: str, one: NamedGroup, places: Places) -> tuple[str, ...]:
    """The other runs that really have a place now."""
    return tuple(other for other in places.holders if other != run_id and _holds(workspace, other, one.group))


def _queued_before(workspace: Workspace, run_id: str, places: Places) -> Iterator[str]:
    """Those that wait for a place and come before this run."""
    earlier = places.queue[: places.queue.index(run_id)] if run_id in places.queue else places.queue
    return (other for other in earlier if (run := _run(workspace, other)) and run.status == "queued")


def _is_over(workspace: Workspace, run_id: str) -> bool:
    """Whether a run waits for no place any more; not one that a process has just acquired."""
    run = _run(workspace, run_id)
    return run is None or (run.ended_at is not None and not _is_owned(workspace, run))


def _kept(workspace: Workspace, run_id: str, one: NamedGroup, places: Places) -> bool:
    """Whether a run that is to be continued has kept its place while it was paused."""
    run = _run(workspace, run_id) if run_id in places.holders and one.group.hold == "run" else None
    return run is not None and run.status == "paused"


def _holds(workspace: Workspace, run_id: str, group: Group) -> bool:
    """Also one that a process has just acquired, to continue it: its row does not say so yet."""
    run = _run(workspace, run_id)
    if run is None or run.status in ("completed", "cancelled"):
        return False
    if run.status == "paused" and group.hold == "run":
        return True
    return _is_owned(workspace, run)


def _is_owned(workspace: Workspace, run: WorkflowRun) -> bool:
    return owner_is_live(run.owner, run.lease_expires_at, workspace.store.lease_clock(run.owner))


def _run(workspace: Workspace, run_id: str) -> WorkflowRun | None:
    try:
        return workspace.store.get_workflow_run(run_id)
    except (NotFoundError, DamagedStoreError):
        return None


def _text(workspace: Workspace, one: NamedGroup) -> str | None:
    return workspace.store.get_record(_record(workspace, one.name))


def _record(workspace: Workspace, name: str) -> str:
    return codec.encode(["group", project_name(workspace), name])


def _places(name: str, text: str | None) -> Places:
    if text is None:
        return Places()
    try:
        return codec.decode(text, Decoder(Places))
    except ValueError as error:
        raise DamagedStoreError(f"what the store keeps of the group '{name}' is damaged: {error}") from error
