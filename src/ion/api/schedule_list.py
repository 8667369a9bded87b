"""What there is to know of a project's schedules, hooks and concurrency groups, for people: `ion schedules`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from ion import clocks
from ion.api.acceptance import Judged, judge_group, judge_hook, judge_schedule, read_acceptance
from ion.api.deployment import Group, Hook, Schedule
from ion.api.listing import status_of
from ion.api.places import RUNS_OF_HOOK
from ion.api.schedules import SlotState, read_state
from ion.api.slots import next_slots
from ion.api.workspace import Workspace
from ion.clocks import timestamp
from ion.errors import IonError, NotFoundError
from ion.language.values import canonical

_NEXT = 3
_LAST = 5


class ListedSchedule(Struct, frozen=True):
    """A schedule, its next slots (ms since the epoch) and its last runs with their statuses, the newest first. `state`
    is `active` or `paused`, or as in `Judged`; `problem` says why it starts nothing."""

    name: str
    schedule: Schedule
    judged: Judged
    slots: SlotState
    state: str
    problem: str
    next: tuple[int, ...]
    last: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `ion schedules --json` prints."""
        schedule = self.schedule
        return {
            "name": self.name,
            "workflow": schedule.workflow,
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "inputs": schedule.inputs,
            "overlap": schedule.overlap,
            "catch_up": schedule.catch_up,
            "state": self.state,
            "problem": self.problem,
            "next": [timestamp(slot) for slot in self.next],
            "last": [{"run_id": run_id, "status": status} for run_id, status in self.last],
            "skipped": [{"slot": timestamp(one.slot), "reason": one.reason} for one in reversed(self.slots.skipped)],
        }


class ListedHook(Struct, frozen=True):
    """A hook; `state` as in `Judged`, `problem` says why it does nothing."""

    name: str
    hook: Hook
    judged: Judged

    @property
    def state(self) -> str:
        return self.judged.state

    @property
    def problem(self) -> str:
        return self.judged.problem

    @property
    def rules(self) -> list[tuple[str, str]]:
        """All that it says, as names and values."""
        hook, (verifier, options) = self.hook, self.hook.verifier
        how = ", ".join((f"{verifier} with {hook.secret_env}", *(f"{key} {value}" for key, value in options.items())))
        told = hook.signal
        to = "" if told is None else f" of the run at {told.run}" if told.run else " of the runs with these inputs"
        does = ("starts", hook.workflow) if told is None else ("signal", f"{told.event} to {hook.workflow}{to}")
        source = hook.start or told
        rows = [
            ("path", f"POST /hooks/{self.name}"),
            ("signed", how),
            ("events", ", ".join(hook.events) + (f" ({hook.event_header})" if hook.event_header else "")),
            *(("when", f"{dotted} = {_choice(wanted)}") for dotted, wanted in hook.when.items()),
            ("same", hook.delivery_header),
            does,
            *(("input", f"{name} = {dotted}") for name, dotted in (source.inputs if source else {}).items()),
            ("at once", hook.concurrency or f"at most {RUNS_OF_HOOK}") if told is None else ("", ""),
        ]
        return [(key, value) for key, value in rows if value]

    def to_json(self) -> dict[str, Any]:
        """The object that `ion schedules --json` prints."""
        settings = {key: value for key, value in to_builtins(self.hook).items() if value}
        return {"name": self.name, **settings, "state": self.state, "problem": self.problem}


class ListedGroup(Struct, frozen=True):
    """A concurrency group; `state` as in `Judged`."""

    name: str
    group: Group
    judged: Judged

    @property
    def state(self) -> str:
        return self.judged.state

    def to_json(self) -> dict[str, Any]:
        """The object that `ion schedules --json` prints."""
        group = self.group
        rules = {"limit": group.limit, "on_full": group.on_full, "hold": group.hold}
        return {"name": self.name, "workflows": list(group.workflows), **rules, "state": self.state}


def _choice(wanted: Any) -> str:
    return " or ".join(canonical(one) for one in (wanted if isinstance(wanted, list) else [wanted]))


def list_schedules(workspace: Workspace) -> list[ListedSchedule]:
    """The schedules of the settings, in their order."""
    acceptance = read_acceptance(workspace)
    return [
        _listed(workspace, name, judge_schedule(workspace, name, acceptance)) for name in workspace.settings.schedules
    ]


def list_hooks(workspace: Workspace) -> list[ListedHook]:
    """The hooks of the settings, in their order."""
    acceptance, hooks = read_acceptance(workspace), workspace.settings.hooks
    return [ListedHook(name, hook, judge_hook(workspace, name, acceptance)) for name, hook in hooks.items()]


def list_groups(workspace: Workspace) -> list[ListedGroup]:
    """The concurrency groups of the settings, in their order."""
    acceptance, groups = read_acceptance(workspace), workspace.settings.concurrency
    return [ListedGroup(name, group, judge_group(workspace, name, acceptance)) for name, group in groups.items()]


def _listed(workspace: Workspace, name: str, judged: Judged) -> ListedSchedule:
    schedule, slots = workspace.settings.schedules[name], read_state(workspace, name)
    state, problem = judged.state, judged.problem
    coming: tuple[int, ...] = ()
    if state == "accepted":
        state = "paused" if slots.paused else "active"
    try:
        coming = tuple(next_slots(schedule, clocks.now_ms(), _NEXT))
    except IonError as error:
        state, problem = "broken", error.message
    return ListedSchedule(
        name=name,
        schedule=schedule,
        judged=judged,
        slots=slots,
        state=state,
        problem=problem,
        next=coming if state == "active" else (),
        last=tuple((run_id, _status(workspace, run_id)) for run_id in reversed(slots.runs[-_LAST:])),
    )


def _status(workspace: Workspace, run_id: str) -> str:
    try:
        return status_of(workspace.store, workspace.store.get_workflow_run(run_id))
    except NotFoundError:
        return "gone"
