"""What the settings of a project say about its deployment: which workflows start by themselves and when, and how many
of them may run at once. A workflow file says nothing of that, so that it stays portable."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ion.errors import UsageError

# Times are those of UTC where no other zone is named: two machines agree on that.
DEFAULT_TIMEZONE = "UTC"
NAME_RULE = "up to 40 of a-z 0-9 _ -, beginning with a letter or digit"
NAME = r"^[a-z0-9][a-z0-9_-]{0,39}\Z"


class Schedule(Struct, frozen=True):
    """When a workflow starts by itself: at each slot of `cron` in `timezone`. `overlap` is what happens in a slot while
    an earlier run of the schedule is under way; `catch_up` says which of the slots of the last 24 hours are started
    that passed while no clock ran."""

    workflow: str
    cron: str
    timezone: str = DEFAULT_TIMEZONE
    inputs: dict[str, Any] = field(default_factory=dict)
    overlap: Literal["skip", "queue", "cancel", "allow"] = "skip"
    catch_up: Literal["none", "last", "all"] = "last"


class Group(Struct, frozen=True):
    """Workflows of which at most `limit` runs are under way at once. `on_full` is what happens to one more; with `hold`
    `process` a run has no place while it is paused."""

    workflows: tuple[str, ...]
    limit: int = 1
    on_full: Literal["queue", "refuse", "cancel_oldest"] = "queue"
    hold: Literal["run", "process"] = "run"


def _one_of(*names: str) -> tuple[Any, str]:
    return Annotated[str, Meta(pattern=rf"\A(?:{'|'.join(names)})\Z")], f"one of: {', '.join(names)}"


_Text = Annotated[str, Meta(pattern=r"\S")]
# What may stand in each, as a type and in words; those that must come first.
SCHEDULE_SHAPES: dict[str, tuple[Any, str]] = {
    "workflow": (_Text, "the name of a workflow"),
    "cron": (_Text, 'a cron expression, such as "30 2 * * 1-5"'),
    "timezone": (_Text, "the name of a time zone, such as Europe/Berlin"),
    "inputs": (dict[str, Any], "a mapping from an input to its value"),
    "overlap": _one_of("skip", "queue", "cancel", "allow"),
    "catch_up": _one_of("none", "last", "all"),
}
GROUP_SHAPES: dict[str, tuple[Any, str]] = {
    "workflows": (Annotated[list[_Text], Meta(min_length=1)], "a list of names of workflows"),
    "limit": (Annotated[int, Meta(gt=0)], "a number above 0"),
    "on_full": _one_of("queue", "refuse", "cancel_oldest"),
    "hold": _one_of("run", "process"),
}
REQUIRED = {"schedules": ("workflow", "cron"), "concurrency": ("workflows",)}


def require_timezone(name: str) -> None:
    """Raise `UsageError` for an unknown time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"unknown time zone {name!r:.80}", hint="such as Europe/Berlin, or UTC") from error
