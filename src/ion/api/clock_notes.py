"""What `ion doctor` says of clocks: what is overdue, what no clock continues and why, and that no clock runs."""

from __future__ import annotations

from ion import clocks
from ion.api.clock import look
from ion.api.schedule_list import list_groups, list_hooks, list_schedules
from ion.api.schedules import looked_at, why_not_in_effect
from ion.api.workspace import Workspace
from ion.clocks import timestamp

# A clock that has not looked for so long does not run; what has been due for so long is overdue.
LATE_MS = 5 * 60_000


def clock_notes(workspace: Workspace) -> list[str]:
    """The remarks; none where all is well."""
    now, looked = clocks.now_ms(), looked_at(workspace)
    found, schedules, groups = look(workspace), list_schedules(workspace), list_groups(workspace)
    notes = [
        f"the schedule '{one.name}' starts nothing: {one.problem or why_not_in_effect(one.judged)}"
        for one in schedules
        if one.state in ("new", "changed", "broken")
    ]
    notes += [
        f"the hook '{one.name}' does nothing: {why_not_in_effect(one.judged)}"
        for one in list_hooks(workspace)
        if one.state != "accepted"
    ]
    notes += [
        f"the concurrency group '{one.name}' does not hold: {why_not_in_effect(one.judged)}"
        for one in groups
        if one.state != "accepted"
    ]
    notes += [f"no clock continues the run {left.run_id}: {left.reason}" for left in found.left]
    if looked is None or now - looked > LATE_MS:
        when = "has ever looked here" if looked is None else f"has looked here since {timestamp(looked)}"
        hint = "ion tick is one, ion schedule install has this machine call it"
        overdue = [due for due in found.due if due.due_at is None or now - due.due_at > LATE_MS]
        if overdue:
            which = overdue[0].run_id + (f" and {len(overdue) - 1} more" if len(overdue) > 1 else "")
            notes.append(f"{which} could continue, and no clock {when}: {hint}")
        elif any(one.state == "active" for one in schedules):
            notes.append(f"schedules are accepted, and no clock {when}: {hint}")
    return notes
