"""What carrying out one turn can result in: all that `nodes/` can tell the core."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct, field

from ion.core.events import Content, Failure, Reply, Value


class _Outcome(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True, tag_field="kind"):
    """On the way from a worker an outcome is JSON, with a name of its own for its kind."""


class Completed(_Outcome, frozen=True, gc=False, tag="completed"):
    """The turn has an output. `signaled` says that a loop's signal or field was found in the reply (tags are already
    removed from its output)."""

    reply: Reply
    signaled: bool = False


class Failed(_Outcome, frozen=True, gc=False, tag="failed"):
    """The attempt failed. `reask`: what was wrong with a reply that did not fit `output_format`; `reply`: what it gave
    all the same, if its failure may be allowed."""

    error: Failure
    reask: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    reply: Reply | None = None


class Judged(_Outcome, frozen=True, gc=False, tag="judged"):
    """`until_bash` ended: `done` is whether its exit status was 0."""

    done: bool


class GateOpened(_Outcome, frozen=True, gc=False, tag="gate"):
    """The gate's message is rendered; a person must answer."""

    message: str


class WaitOpened(_Outcome, frozen=True, gc=False, tag="wait"):
    """A wait can begin. `until` (ms since the epoch) is the instant that its text names."""

    until: int | None = None


class PromptOpened(_Outcome, frozen=True, gc=False, tag="prompt"):
    """No agent is configured: the prompt waits for the caller."""

    prompt: Content
    system: str | None = None
    session: str | None = None
    output_format: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    key: str = ""


class Question(Struct, frozen=True, gc=False):
    """A permission that an agent asks for. `key` is the same whenever it asks for the same; `decisions` are what may
    be answered, `kinds` what each means (`allow_once`, `allow_always`, `reject_once`, `reject_always`)."""

    key: str
    message: str
    decisions: tuple[str, ...]
    kinds: tuple[str, ...]


class Unpermitted(_Outcome, frozen=True, gc=False, tag="permissions"):
    """The agent needs permissions, and the turn was ended rather than held until they are answered. The prompt is
    then asked again, and finds the answers in `NodeState.tries`."""

    questions: tuple[Question, ...]
    usage: dict[str, Any] = field(default_factory=dict)


class Stopped(_Outcome, frozen=True, gc=False, tag="stopped"):
    """The engine stopped the turn (cancel, fail_fast)."""

    reason: str


class Expanded(_Outcome, frozen=True, gc=False, tag="expanded"):
    """What a composite node is given has been read: the `items` of a fan-out as a JSON array, with a key for the
    content of each, or what a called workflow is `given`, as a JSON object. `read` is what conditions inside will read
    of it: for each item, or once."""

    items: Content | None = None
    keys: tuple[str, ...] = ()
    given: Content | None = None
    read: tuple[dict[str, Value], ...] = ()


Outcome: TypeAlias = (
    Completed | Failed | Expanded | Judged | GateOpened | WaitOpened | PromptOpened | Unpermitted | Stopped
)
