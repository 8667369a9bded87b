"""Schedules: for each slot exactly one run, whatever number of clocks look, on however many machines with one store.

What becomes of a slot is decided once, in the schedule's record in the store, by compare-and-set: it is started, or
skipped with a reason. Its run's id is made of project, schedule and slot, so that a clock which dies after the decision
is completed by the next one, and none starts it twice. A clock that is set back decides nothing anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.json import Decoder
from msgspec.structs import replace

from ion import clocks, codec
from ion.api.acceptance import Acceptance, Judged, judge_schedule, read_acceptance
from ion.api.deployment import Schedule
from ion.api.listing import status_of
from ion.api.preparing import RunSpec, prepare
from ion.api.run import Run
from ion.api.slots import slots_between
from ion.api.workspace import Workspace, project_name
from ion.digests import sha256_of
from ion.engine import runs
from ion.errors import DamagedStoreError, IonError, NotFoundError, RefusedError
from ion.nodes.requirements import require_runtimes
from ion.stores.lease import this_process

DAY_MS = 86_400_000
# A slot that is later than this was missed.
ON_TIME_MS = 5 * 60_000
_LOOKED = "clock.looked"
_RUNS_KEPT = 20
_SKIPPED_KEPT = 50


class SkippedSlot(Struct, frozen=True):
    """A slot (ms since the epoch) in which nothing was started, and why: `overlap`, `paused` or `missed`."""

    slot: int
    reason: str


class SlotState(Struct, frozen=True):
    """What was decided about a schedule's slots, up to and with `until` (ms since the epoch): `runs` are the ids of the
    last runs, the newest last; those of the slots `starting` may not exist yet."""

    until: int = 0
    paused: bool = False
    starting: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    skipped: tuple[SkippedSlot, ...] = ()


class StartedSlot(Struct, frozen=True):
    """A slot whose run was created."""

    schedule: str
    slot: int
    run_id: str
    workflow: str


class LeftSchedule(Struct, frozen=True):
    """A schedule that is due and starts nothing, and why."""

    schedule: str
    reason: str


class SchedulePass(Struct, frozen=True):
    """What one look at the schedules did."""

    started: tuple[StartedSlot, ...] = ()
    skipped: dict[str, tuple[SkippedSlot, ...]] = field(default_factory=dict)
    left: tuple[LeftSchedule, ...] = ()


def start_due(workspace: Workspace) -> SchedulePass:
    """Create the runs of all slots that are due. Nobody drives them yet: a clock finds them as runs of its own."""
    _note_look(workspace)
    if not workspace.settings.schedules:
        return SchedulePass()
    started: list[StartedSlot] = []
    skipped: dict[str, tuple[SkippedSlot, ...]] = {}
    left: list[LeftSchedule] = []
    acceptance = read_acceptance(workspace)
    for name, schedule in workspace.settings.schedules.items():
        try:
            judged = _judged_if_due(workspace, name, schedule, acceptance)
            if judged is None:
                continue
            if judged.state != "accepted":
                left.append(LeftSchedule(name, why_not_in_effect(judged)))
                continue
            state, passed = _decide(workspace, name, schedule, judged.at)
            if passed:
                skipped[name] = passed
            for slot in state.starting:
                run_id = _start(workspace, name, schedule, judged, slot)
                if run_id is not None:
                    started.append(StartedSlot(name, slot, run_id, schedule.workflow))
        except IonError as error:
            left.append(LeftSchedule(name, error.message))
    return SchedulePass(tuple(started), skipped, tuple(left))


def _note_look(workspace: Workspace) -> None:
    with contextlib.suppress(OSError):  # a project that cannot be written to has no runs that could start
        (workspace.project / ".ion" / _LOOKED).touch()


def looked_at(workspace: Workspace) -> int | None:
    """When a clock looked at this project for the last time (ms since the epoch), None if none ever did."""
    try:
        return (workspace.project / ".ion" / _LOOKED).stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def why_not_in_effect(judged: Judged) -> str:
    """Why a schedule or group that is not accepted as it is does nothing."""
    reasons = {"new": "it is not accepted", "changed": "it, or what it runs, has changed since it was accepted"}
    return judged.problem or f"{reasons[judged.state]}: ion schedules accept"


def _judged_if_due(workspace: Workspace, name: str, schedule: Schedule, acceptance: Acceptance) -> Judged | None:
    """The schedule, if it has something to do. Its workflow is loaded only then."""
    known, now = acceptance.schedules.get(name), clocks.now_ms()
    state = read_state(workspace, name)
    if not state.starting and not _due(schedule, state, known.at if known is not None else now - ON_TIME_MS, now):
        return None
    return judge_schedule(workspace, name, acceptance)


def _due(schedule: Schedule, state: SlotState, accepted_at: int, now: int) -> list[int]:
    """The slots about which nothing was decided yet. What was decided a day ahead was so by a clock that was wrong."""
    until = state.until if state.until <= now + DAY_MS else 0
    return slots_between(schedule, max(until, accepted_at, now - DAY_MS), now)


def _decide(
    workspace: Workspace, name: str, schedule: Schedule, accepted_at: int
) -> tuple[SlotState, tuple[SkippedSlot, ...]]:
    """Decide about the slots that are due; what is to be started then, and what was skipped."""
    passed: tuple[SkippedSlot, ...] = ()

    def decided(state: SlotState) -> SlotState:
        nonlocal passed
        now = clocks.now_ms()
        due = _due(schedule, state, accepted_at, now)
        starting = [slot for slot in state.starting if slot > now - DAY_MS]
        runs_known, skipped = list(state.runs), []
        wanted = _wanted(schedule, due, now)
        for slot in due:
            reason = "paused" if state.paused else "" if slot in wanted else "missed"
            if not reason and schedule.overlap == "skip" and _under_way(workspace, name, runs_known, starting):
                reason = "overlap"
            if reason:
                skipped.append(SkippedSlot(slot, reason))
            else:
                starting.append(slot)
                runs_known.append(slot_run_id(workspace, name, slot))
        passed = tuple(skipped)
        return replace(
            state,
            until=due[-1] if due else state.until,
            starting=tuple(starting),
            runs=tuple(runs_known[-_RUNS_KEPT:]),
            skipped=(*state.skipped, *passed)[-_SKIPPED_KEPT:],
        )

    return change_state(workspace, name, decided), passed


def _wanted(schedule: Schedule, due: list[int], now: int) -> list[int]:
    if schedule.catch_up == "all":
        return due
    return [slot for slot in due[-1:] if schedule.catch_up == "last" or now - slot <= ON_TIME_MS]


def _under_way(workspace: Workspace, name: str, run_ids: list[str], starting: list[int]) -> bool:
    """Whether one of these runs has not ended. One that was cut off, and that nobody drives, does not count; one that
    was just created does."""
    about_to_be = {slot_run_id(workspace, name, slot) for slot in starting}
    for run_id in run_ids:
        try:
            run = workspace.store.get_workflow_run(run_id)
        except NotFoundError:
            if run_id in about_to_be:
                return True
            continue
        if run.ended_at is None and (run.last_seq == 1 or status_of(workspace.store, run) != "interrupted"):
            return True
    return False


def _start(workspace: Workspace, name: str, schedule: Schedule, judged: Judged, slot: int) -> str | None:
    """Create the run of a slot and note that it is there; None if another clock has created it. Raises what a start
    raises."""
    if schedule.overlap == "cancel":
        _cancel_earlier(workspace, name, slot)
    assert judged.workflow is not None
    run_id = slot_run_id(workspace, name, slot)
    new = prepare(workspace, RunSpec(judged.workflow, inputs=dict(schedule.inputs), run_id=run_id, schedule=name))
    require_runtimes(judged.workflow, os.environ)
    created: str | None = run_id
    try:
        owner = this_process(new.config.lease_ms)
        _, lease = runs.create(new.config, new.run, owner, new.config.lease_ms)
        workspace.store.release_lease(lease)
    except RefusedError as error:
        if error.error_code != "run-exists":
            raise
        created = None
    change_state(
        workspace, name, lambda state: replace(state, starting=tuple(one for one in state.starting if one != slot))
    )
    return created


def _cancel_earlier(workspace: Workspace, name: str, slot: int) -> None:
    reason = f"the schedule '{name}' starts its next run"
    new = slot_run_id(workspace, name, slot)
    for run_id in read_state(workspace, name).runs:
        if run_id == new:
            return
        try:
            if workspace.store.get_workflow_run(run_id).ended_at is None:
                Run(workspace, run_id).cancel(reason=reason)
        except (NotFoundError, RefusedError):
            continue  # it is gone, or has ended meanwhile


# ------------------------------------------------------------------ what is kept of a schedule


def slot_run_id(workspace: Workspace, name: str, slot: int) -> str:
    """The id of the run of a slot, the same on every machine."""
    when = datetime.fromtimestamp(slot / 1000, UTC).strftime("%Y%m%dt%H%Mz")
    text = codec.encode([project_name(workspace), name, slot])
    return f"{name}-{when}-{sha256_of(text.encode())[:8]}"


def read_state(workspace: Workspace, name: str) -> SlotState:
    """What was decided about a schedule's slots."""
    return _decoded(name, None if workspace.is_new else workspace.store.get_record(_record(workspace, name)))


def change_state(workspace: Workspace, name: str, change: Callable[[SlotState], SlotState]) -> SlotState:
    """Change it, however many others do at the same time; `change` may be called again. Returns it as it is then."""
    record = _record(workspace, name)
    while True:
        before = workspace.store.get_record(record)
        state = change(_decoded(name, before))
        text = codec.encode(state)
        if text == before or workspace.store.set_record(record, text, instead_of=before):
            return state


def set_paused(workspace: Workspace, name: str, *, paused: bool) -> None:
    """Let a schedule start nothing, or start again what is due from now on: slots that passed meanwhile are recorded as
    skipped. Raises `NotFoundError` for an unknown one."""
    schedule = schedule_of(workspace, name)
    known = read_acceptance(workspace).schedules.get(name)

    def changed(state: SlotState) -> SlotState:
        now = clocks.now_ms()
        due = _due(schedule, state, known.at, now) if state.paused and known is not None else []
        skipped = (*state.skipped, *(SkippedSlot(slot, "paused") for slot in due))[-_SKIPPED_KEPT:]
        return replace(state, paused=paused, until=due[-1] if due else state.until, skipped=skipped)

    change_state(workspace, name, changed)


def schedule_of(workspace: Workspace, name: str) -> Schedule:
    """The schedule of this name. Raises `NotFoundError`."""
    schedules = workspace.settings.schedules
    if name not in schedules:
        known = ", ".join(schedules) or "this project has none"
        raise NotFoundError(f"unknown schedule {name!r:.80}", hint=f"in .ion/config.yaml: {known}")
    return schedules[name]


def _record(workspace: Workspace, name: str) -> str:
    return codec.encode(["schedule", project_name(workspace), name])


def _decoded(name: str, text: str | None) -> SlotState:
    if text is None:
        return SlotState()
    try:
        return codec.decode(text, Decoder(SlotState))
    except ValueError as error:
        raise DamagedStoreError(f"what the store keeps of the schedule '{name}' is damaged: {error}") from error
