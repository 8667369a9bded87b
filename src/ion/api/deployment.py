"""What the settings of a project say about its deployment: which workflows start by themselves, when or at whose
request, and how many of them may run at once. A workflow file says nothing of that, so that it stays portable."""

from __future__ import annotations

import re
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


class HookStart(Struct, frozen=True):
    """The workflow that a delivery starts, and where in the payload each of its inputs is, by dotted names."""

    workflow: str
    inputs: dict[str, str] = field(default_factory=dict)


class HookSignal(Struct, frozen=True):
    """The signal that a delivery sends to runs of a workflow: to the one whose id is at `run` in the payload, else to
    all under way whose inputs are what is there at `inputs`, by dotted names."""

    workflow: str
    event: str
    run: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


class Hook(Struct, frozen=True):
    """What a signed request to `/hooks/NAME` does. `secret_env` is the variable that holds the secret. The delivery
    counts only if the header `event_header` is one of `events` and the payload has one of these values at each dotted
    name of `when`. `concurrency` is the group that its runs belong to; without one at most four run at once."""

    secret_env: str
    verify: str | dict[str, dict[str, str]]
    start: HookStart | None = None
    signal: HookSignal | None = None
    events: tuple[str, ...] = ()
    event_header: str = ""
    when: dict[str, Any] = field(default_factory=dict)
    delivery_header: str = ""
    concurrency: str | None = None

    @property
    def verifier(self) -> tuple[str, dict[str, str]]:
        """Its name and its options."""
        return (self.verify, {}) if isinstance(self.verify, str) else next(iter(self.verify.items()))

    @property
    def workflow(self) -> str:
        """The workflow that it starts, or whose runs it sends a signal to."""
        does = self.start or self.signal
        assert does is not None, "checked when the settings were read"
        return does.workflow


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
_Header = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{1,100}\Z")]
_Dotted = Annotated[str, Meta(pattern=r"\A[^.\s]+(?:\.[^.\s]+)*\Z")]
_DottedNames = (dict[str, _Dotted], "a mapping from an input to a dotted name of the payload, such as issue.number")
HOOK_SHAPES: dict[str, tuple[Any, str]] = {
    "secret_env": (Annotated[str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")], "the name of an environment variable"),
    "verify": (str | dict[str, dict[str, str]], "github-sha256, bearer, or {hmac-sha256: {header: …}}"),
    "start": (dict[str, Any], "a mapping, such as {workflow: NAME, inputs: {…}}"),
    "signal": (dict[str, Any], "a mapping, such as {workflow: NAME, event: NAME, run: …}"),
    "events": (Annotated[list[_Text], Meta(min_length=1)], "a list of names of events"),
    "event_header": (_Header, "the name of a header"),
    "when": (dict[_Dotted, Any], "a mapping from a dotted name of the payload to a value, or a list of values"),
    "delivery_header": (_Header, "the name of a header"),
    "concurrency": (_Text, "the name of a concurrency group"),
}
START_SHAPES: dict[str, tuple[Any, str]] = {
    "workflow": (_Text, "the name of a workflow"),
    "inputs": _DottedNames,
}
SIGNAL_SHAPES: dict[str, tuple[Any, str]] = {
    **START_SHAPES,
    "event": (Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,200}\Z")], "a name of up to 200 of A-Z a-z 0-9 . _ -"),
    "run": (_Dotted, "a dotted name of the payload, such as data.run"),
}
_DURATION = r"\A([1-9][0-9]{0,4})(s|m|h)\Z"
# A verifier → its options.
VERIFIERS: dict[str, dict[str, tuple[Any, str]]] = {
    "github-sha256": {},
    "bearer": {"header": (_Header, "the name of a header")},
    "hmac-sha256": {
        "header": (_Header, "the name of a header"),
        "timestamp_header": (_Header, "the name of a header"),
        "tolerance": (Annotated[str, Meta(pattern=_DURATION)], "a time, such as 5m"),
        "signed": (
            Annotated[str, Meta(pattern=r"\A(?=.*\{timestamp\}).*\{body\}[^{]*\Z")],
            "a text with {timestamp} and {body}",
        ),
    },
}
REQUIRED = {
    "schedules": ("workflow", "cron"),
    "concurrency": ("workflows",),
    "hooks": ("secret_env", "verify"),
    "start": ("workflow",),
    "signal": ("workflow", "event"),
    "hmac-sha256": ("header",),
}


def seconds_of(duration: str) -> int:
    """The seconds of `90s`, `5m`, `1h`."""
    match = re.match(_DURATION, duration)
    assert match is not None, "checked when the settings were read"
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def require_timezone(name: str) -> None:
    """Raise `UsageError` for an unknown time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"unknown time zone {name!r:.80}", hint="such as Europe/Berlin, or UTC") from error
