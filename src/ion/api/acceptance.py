"""What of a project's deployment its user has accepted: `ion schedules accept`.

A repository's settings may name what starts by itself, and anybody who can push to it can change them. So a schedule,
a hook or a concurrency group takes effect once its user has seen it; what was accepted is kept as a digest, in the
user's own folder and not in the project. The digest of a schedule or hook covers its workflow with commands and
scripts, and what the settings do to a run, so that no `git pull` changes unseen what a clock runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct, ValidationError, field
from msgspec.json import Decoder

from ion import clocks, codec
from ion.api.inputs import check_inputs, check_names
from ion.api.settings import effect_of
from ion.api.workflows import load
from ion.api.workspace import Workspace
from ion.digests import sha256_of
from ion.engine.freeze import source_of
from ion.engine.seals import user_state_folder
from ion.errors import IonError, StoreError, UsageError
from ion.language.templates import templates_of
from ion.language.workflow import Wait, Workflow
from ion.stores.disk import storage_errors, write_file


class Accepted(Struct, frozen=True):
    """The digest of what was accepted, and when (ms since the epoch)."""

    digest: str
    at: int


class Acceptance(Struct, frozen=True):
    """What was accepted, by name."""

    schedules: dict[str, Accepted] = field(default_factory=dict)
    hooks: dict[str, Accepted] = field(default_factory=dict)
    concurrency: dict[str, Accepted] = field(default_factory=dict)


class Judged(Struct, frozen=True):
    """A schedule, hook or group as it is now: `state` is `accepted`, `new`, `changed` or `broken` (`problem` says why).
    `at` is when it was accepted (ms since the epoch)."""

    name: str
    state: str
    at: int = 0
    digest: str = ""
    problem: str = ""
    workflow: Workflow | None = None


def judge_schedule(workspace: Workspace, name: str, acceptance: Acceptance) -> Judged:
    """A schedule, with the workflow that it starts."""
    schedule = workspace.settings.schedules[name]
    try:
        workflow = load(workspace, schedule.workflow)
        check_inputs(workflow, dict(schedule.inputs))
    except IonError as error:
        return Judged(name, "broken", problem=error.message)
    content = [schedule, source_of(workflow), effect_of(workspace.settings)]
    return _judged(name, content, acceptance.schedules, workflow)


def judge_hook(workspace: Workspace, name: str, acceptance: Acceptance) -> Judged:
    """A hook, with the workflow that it starts or sends signals to, and the group of its runs."""
    settings = workspace.settings
    hook = settings.hooks[name]
    try:
        workflow = load(workspace, hook.workflow)
        taken = hook.start or hook.signal
        if taken is not None:
            check_names(workflow, taken.inputs, whole=hook.start is not None)
        if hook.signal is not None:
            _check_event(workflow, hook.signal.event)
    except IonError as error:
        return Judged(name, "broken", problem=error.message)
    group = settings.concurrency.get(hook.concurrency or "")
    content = [hook, group, source_of(workflow), effect_of(settings)]
    return _judged(name, content, acceptance.hooks, workflow)


def _check_event(workflow: Workflow, event: str) -> None:
    waits = [one.node.body for one in templates_of(workflow) if isinstance(one.node.body, Wait)]
    if event not in (names := {wait.event for wait in waits if wait.event}):
        hint = f"its waits are for: {', '.join(sorted(names))}" if names else "it has no wait for a signal"
        raise UsageError(f"no wait of '{workflow.name}' is for the signal '{event}': {hint}")


def judge_group(workspace: Workspace, name: str, acceptance: Acceptance) -> Judged:
    """A concurrency group."""
    return _judged(name, workspace.settings.concurrency[name], acceptance.concurrency)


def _judged(name: str, content: object, accepted: dict[str, Accepted], workflow: Workflow | None = None) -> Judged:
    digest = sha256_of(codec.encode([name, content]).encode())
    known = accepted.get(name)
    if known is None:
        return Judged(name, "new", digest=digest, workflow=workflow)
    state = "accepted" if known.digest == digest else "changed"
    return Judged(name, state, at=known.at, digest=digest, workflow=workflow)


def accept(
    workspace: Workspace, *, schedules: list[Judged], groups: list[Judged], hooks: list[Judged] | None = None
) -> None:
    """Record that the user has seen these, as they are. What was accepted before and is not in the settings any more is
    forgotten. Raises `StoreError`."""
    before, settings, now = read_acceptance(workspace), workspace.settings, clocks.now_ms()

    def merged(old: dict[str, Accepted], named: object, judged: list[Judged]) -> dict[str, Accepted]:
        kept = {name: one for name, one in old.items() if name in (named if isinstance(named, dict) else {})}
        return kept | {one.name: Accepted(one.digest, now) for one in judged if one.state in ("new", "changed")}

    made = Acceptance(
        schedules=merged(before.schedules, settings.schedules, schedules),
        hooks=merged(before.hooks, settings.hooks, hooks or []),
        concurrency=merged(before.concurrency, settings.concurrency, groups),
    )
    file = _file(workspace)
    with storage_errors(f"cannot write {file}"):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}.tmp")
        try:
            write_file(temporary, codec.encode(made).encode())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


def read_acceptance(workspace: Workspace) -> Acceptance:
    """What was accepted in this project by this user. Raises `StoreError` if that cannot be read."""
    try:
        text = _file(workspace).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Acceptance()
    except OSError as error:
        raise StoreError(f"{_file(workspace)} cannot be read: {error.strerror}") from error
    try:
        return codec.decode(text, Decoder(Acceptance))
    except (ValueError, ValidationError) as error:
        hint = "delete it, and accept again: ion schedules accept"
        raise StoreError(f"{_file(workspace)} is damaged: {error}", hint=hint) from error


def _file(workspace: Workspace) -> Path:
    try:
        folder = user_state_folder()
    except RuntimeError as error:
        raise StoreError("this user has no home folder", hint="set XDG_STATE_HOME") from error
    name = sha256_of(os.fsencode(workspace.project))
    return folder / "accepted" / f"{name}.json"
