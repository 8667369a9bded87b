"""Concurrency groups: how many runs of a project's workflows are under way at once.

A run takes its places when a process has become its owner and before it is driven. Who has one is kept in the store,
one record for each group, changed by compare-and-set; whether a run still has its place follows from its row: not if it
has ended, waits in a queue, or its owner died. So nobody has to give a place back, and who was killed keeps none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from msgspec import Struct
from msgspec.json import Decoder

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


class Places(Struct, frozen=True):
    """The runs that have taken a place in a group, the oldest first, and those that wait for one, in their order; as
    they were when somebody last took a place."""

    holders: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()


class NamedGroup(Struct, frozen=True):
    """A concurrency group that a run belongs to."""

    name: str
    group: Group


def groups_of(workspace: Workspace, started: WorkflowStarted) -> list[NamedGroup]:
    """The groups of a run that begins so: those of the settings that are accepted, and that of its schedule."""
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
    return found


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
        places = _places(one.name, _text(workspace, one))
        holding, ahead = _looked_at(workspace, run_id, one, places)
        if not _kept(workspace, run_id, one, places) and len(holding) + len(ahead) >= one.group.limit:
            return one
    return None


def queue_place(workspace: Workspace, run_id: str, name: str) -> int:
    """Which in its queue a queued run is; the next one is number 1."""
    one = NamedGroup(name, Group(()))
    _, ahead = _looked_at(workspace, run_id, one, _places(name, _text(workspace, one)))
    return len(ahead) + 1


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
    holding, _ = _looked_at(workspace, run_id, one, _places(one.name, _text(workspace, one)))
    for oldest in holding[:1]:
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
        holding, ahead = _looked_at(workspace, run_id, one, before)
        has_place = _kept(workspace, run_id, one, before) or len(holding) + len(ahead) < one.group.limit
        behind = [other for other in before.queue if other not in ahead and other != run_id]
        if has_place:
            after = Places((*holding, run_id), (*ahead, *behind))
        else:
            after = Places(tuple(holding), (*ahead, run_id, *behind))
        if workspace.store.set_record(record, codec.encode(after), instead_of=text):
            return has_place


def _looked_at(workspace: Workspace, run_id: str, one: NamedGroup, places: Places) -> tuple[list[str], list[str]]:
    """The other runs that really have a place now, and those that wait and come before this one."""
    holding = [other for other in places.holders if other != run_id and _holds(workspace, other, one.group)]
    earlier = places.queue[: places.queue.index(run_id)] if run_id in places.queue else places.queue
    return holding, [other for other in earlier if (run := _run(workspace, other)) and run.status == "queued"]


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
