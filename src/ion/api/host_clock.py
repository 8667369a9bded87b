"""The entry of the host that calls `ion tick` each minute, for one project: of systemd, launchd or cron.

Everything in it is absolute, and has the PATH of now, since a clock has another environment than a shell; nothing in it
is secret. Whatever a path may hold is escaped for its target; what no target can hold is refused. What a tick leaves in
the background outlives it: systemd and launchd would end it otherwise.
"""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import sys
from pathlib import Path

from msgspec import Struct

from ion.api.workspace import Workspace
from ion.digests import sha256_of
from ion.errors import UsageError
from ion.masking import passwords
from ion.stores.disk import storage_errors, write_file

KINDS = ("systemd", "launchd", "cron")
# What says where Ion finds the user's settings and what proves that a run is the user's own, if it is not the default.
_VARIABLES = ("PATH", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
_LONGEST_SLUG = 30


class HostClock(Struct, frozen=True):
    """A clock to be: the words of its command, and the environment that it needs. `name` is a name for files and units
    that no other project has."""

    name: str
    words: tuple[str, ...]
    environment: dict[str, str]


def host_clock(workspace: Workspace, store: str | None) -> HostClock:
    """The clock of this project; `store` is the URL that was given for it. Raises `UsageError` for what no entry can
    hold: control characters, text that is not UTF-8, a password."""
    project = str(workspace.project.resolve())
    words = [sys.executable, "-P", "-m", "ion.cli", "tick", "--project", project]
    if store is not None:
        if any(passwords(store)):
            hint = "leave it out, and put it into ~/.pgpass"
            raise UsageError("the password of the store would be readable in the host's entry", hint=hint)
        words += ["--store", store]
    environment = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    environment["PATH"] = os.pathsep.join(folder for folder in folders if folder.startswith("/"))
    for text in (*words, *environment.values()):
        _require_plain(text)
    return HostClock(_name(project), tuple(words), environment)


def _name(project: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", Path(project).name).strip("-")[:_LONGEST_SLUG] or "project"
    return f"ion-{slug}-{sha256_of(project.encode())[:8]}"


def _require_plain(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!a:.200} is not UTF-8 text, and cannot be in an entry of the host") from None
    if any(ord(character) < ord(" ") or ord(character) == 0x7F for character in text):
        raise UsageError(f"{text!r:.200} has control characters, and cannot be in an entry of the host")


# ------------------------------------------------------------------ as each target writes it


def systemd_units(clock: HostClock) -> dict[str, str]:
    """The two units, by the names of their files. Raises `UsageError` for a Python that systemd cannot start."""
    if set(clock.words[0]) & set("'\"\\"):
        raise UsageError(f"systemd starts no program whose path has quotes or backslashes: {clock.words[0]}")
    environment = "".join(f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in clock.environment.items())
    program, *others = map(_unit_word, clock.words)  # in a program's name `$` is plain
    command = " ".join([program, *(word.replace("$", "$$") for word in others)])
    service = f"""\
# Written by: ion schedule install --systemd
[Unit]
Description=The clock of Ion: {clock.name}

[Service]
Type=oneshot
{environment}ExecStart={command}
KillMode=process
"""
    timer = f"""\
# Written by: ion schedule install --systemd
[Unit]
Description=The clock of Ion, each minute: {clock.name}

[Timer]
OnCalendar=minutely
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{clock.name}.service": service, f"{clock.name}.timer": timer}


def _unit_word(word: str) -> str:
    """A word of a unit file: no specifier, no quote and no escape has a meaning in it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def launchd_plist(clock: HostClock) -> bytes:
    """The property list."""
    return plistlib.dumps(
        {
            "Label": clock.name,
            "ProgramArguments": list(clock.words),
            "EnvironmentVariables": clock.environment,
            "StartInterval": 60,
            "RunAtLoad": True,
            "AbandonProcessGroup": True,
            "ProcessType": "Background",
        }
    )


def cron_line(clock: HostClock) -> str:
    """The line of a crontab; the comment at its end says whose it is."""
    assigned = [f"{name}={shlex.quote(value)}" for name, value in clock.environment.items()]
    command = " ".join(["env", *assigned, *map(shlex.quote, clock.words)])
    percent = command.replace("%", "\\%")  # which ends a command otherwise
    return f"* * * * * {percent} >/dev/null 2>&1 {cron_mark(clock)}"


def cron_mark(clock: HostClock) -> str:
    """What the line of this project ends with."""
    return f"# {clock.name}"


def with_cron_line(table: str, clock: HostClock, *, installed: bool) -> str:
    """A crontab with the line of this project once, or without it; all others stay as they are."""
    mark = f" {cron_mark(clock)}"
    kept = [line for line in table.splitlines() if not line.endswith(mark)]
    lines = [*kept, cron_line(clock)] if installed else kept
    return "".join(f"{line}\n" for line in lines)


def write_entry(file: Path, data: bytes) -> None:
    """Write a file of an entry, which appears complete. Raises `StoreError`."""
    with storage_errors(f"cannot write {file}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}.tmp")
        try:
            write_file(temporary, data, mode=0o644)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
