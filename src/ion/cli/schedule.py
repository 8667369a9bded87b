"""`ion schedule install` and `uninstall`: the one entry of the host that calls `ion tick` for a project."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ion.cli import terminal
from ion.cli.context import CliContext, in_context
from ion.errors import IonError, NotFoundError, UsageError
from ion.masking import without_password

if TYPE_CHECKING:
    from ion.api.host_clock import HostClock

_TIMEOUT_S = 60


@click.group(no_args_is_help=False)
@in_context
def schedule(cli: CliContext) -> None:
    """Have this machine call ion tick each minute, for one project."""
    click.get_current_context().obj = cli


def _kinds(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--systemd`, `--launchd` and `--cron`, of which one is to be given, and hand it that as `kind`."""

    @click.option("--cron", is_flag=True, help="A line of your crontab.")
    @click.option("--launchd", is_flag=True, help="An agent of launchd (macOS).")
    @click.option("--systemd", is_flag=True, help="A timer of your systemd.")
    @functools.wraps(function)
    def command(*, systemd: bool, launchd: bool, cron: bool, **values: Any) -> Any:
        given = [name for name, flag in (("systemd", systemd), ("launchd", launchd), ("cron", cron)) if flag]
        if len(given) != 1:
            raise UsageError("name one of --systemd, --launchd and --cron", hint=f"here: --{_usual()}")
        return function(kind=given[0], **values)

    return command


def _usual() -> str:
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if Path("/run/systemd/system").is_dir() else "cron"


@schedule.command()
@_kinds
@click.option("--print", "only_print", is_flag=True, help="Only print what would be written.")
@in_context
def install(cli: CliContext, kind: str, only_print: bool) -> int:
    """Write the entry of this machine that calls ion tick each minute for this project, with the PATH of now.

    It holds no secret: a run that needs one which its environment lacks is named by ion doctor, and not continued.
    """
    clock = _clock(cli)
    if only_print:
        terminal.data().lines(_text(kind, clock).splitlines())
        return 0
    screen = terminal.talk()
    for done in {"systemd": _install_systemd, "launchd": _install_launchd, "cron": _install_cron}[kind](clock):
        screen.line(done)
    screen.line("It is removed by: ", cli.command("schedule", "uninstall", f"--{kind}"))
    return 0


@schedule.command()
@_kinds
@in_context
def uninstall(cli: CliContext, kind: str) -> int:
    """Remove the entry that ion schedule install wrote for this project."""
    clock = _clock(cli)
    remove = {"systemd": _uninstall_systemd, "launchd": _uninstall_launchd, "cron": _uninstall_cron}[kind]
    for done in remove(clock):
        terminal.talk().line(done)
    return 0


def _clock(cli: CliContext) -> HostClock:
    from ion.api.host_clock import host_clock

    with cli.open() as workspace:
        return host_clock(workspace, cli.store)


def _text(kind: str, clock: HostClock) -> str:
    from ion.api.host_clock import cron_line, launchd_plist, systemd_units

    if kind == "cron":
        return cron_line(clock)
    if kind == "launchd":
        return launchd_plist(clock).decode()
    return "\n".join(f"# {name}\n{text}" for name, text in systemd_units(clock).items())


# ------------------------------------------------------------------ systemd


def _install_systemd(clock: HostClock) -> list[str]:
    from ion.api.host_clock import systemd_units

    written = [_write(_units() / name, text.encode()) for name, text in systemd_units(clock).items()]
    _call("systemctl", "--user", "daemon-reload")
    _call("systemctl", "--user", "enable", "--now", f"{clock.name}.timer")
    said = [f"wrote  {path}" for path in written]
    lingers = _call("loginctl", "show-user", str(os.getuid()), "--property=Linger", must=False)
    if "Linger=no" in lingers:
        said.append("It runs while you are logged in; to have it run always: loginctl enable-linger")
    return said


def _uninstall_systemd(clock: HostClock) -> list[str]:
    files = [_units() / f"{clock.name}.{suffix}" for suffix in ("timer", "service")]
    _require_any(files)
    _call("systemctl", "--user", "disable", "--now", f"{clock.name}.timer", must=False)
    removed = [_remove(file) for file in files]
    _call("systemctl", "--user", "daemon-reload", must=False)
    return removed


def _units() -> Path:
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".config") / "systemd" / "user"


# ------------------------------------------------------------------ launchd


def _install_launchd(clock: HostClock) -> list[str]:
    from ion.api.host_clock import launchd_plist

    file = _write(_agents() / f"{clock.name}.plist", launchd_plist(clock))
    domain = f"gui/{os.getuid()}"
    _call("launchctl", "bootout", f"{domain}/{clock.name}", must=False)
    _call("launchctl", "bootstrap", domain, str(file))
    return [f"wrote  {file}"]


def _uninstall_launchd(clock: HostClock) -> list[str]:
    file = _agents() / f"{clock.name}.plist"
    _require_any([file])
    _call("launchctl", "bootout", f"gui/{os.getuid()}/{clock.name}", must=False)
    return [_remove(file)]


def _agents() -> Path:
    return Path.home() / "Library" / "LaunchAgents"


# ------------------------------------------------------------------ cron


def _install_cron(clock: HostClock) -> list[str]:
    from ion.api.host_clock import cron_line, with_cron_line

    _call("crontab", "-", stdin=with_cron_line(_crontab(), clock, installed=True))
    return [f"wrote into your crontab:  {cron_line(clock)}"]


def _uninstall_cron(clock: HostClock) -> list[str]:
    from ion.api.host_clock import with_cron_line

    table = _crontab()
    without = with_cron_line(table, clock, installed=False)
    if without == table:
        raise NotFoundError("your crontab has no line of this project")
    _call("crontab", "-", stdin=without)
    return ["removed the line from your crontab"]


def _crontab() -> str:
    """The user's crontab, '' if there is none. Raises `IonError` if it cannot be read: it would be lost."""
    try:
        return _call("crontab", "-l")
    except IonError as error:
        if "no crontab for" in error.message:
            return ""
        raise


# ------------------------------------------------------------------ files and programs


def _write(file: Path, data: bytes) -> Path:
    from ion.api.host_clock import write_entry

    write_entry(file, data)
    return file


def _remove(file: Path) -> str:
    file.unlink(missing_ok=True)
    return f"removed  {file}"


def _require_any(files: list[Path]) -> None:
    if not any(file.exists() for file in files):
        raise NotFoundError(f"{files[0]} does not exist: nothing is installed for this project")


def _call(program: str, *arguments: str, stdin: str | None = None, must: bool = True) -> str:
    """What a program of the host prints. Raises `IonError` if it is missing, or fails and `must` not."""
    try:
        done = subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        if must:
            hint = "--print shows the entry, to install it another way"
            raise IonError(f"{program} is not installed here", hint=hint, code="missing-runtime") from None
        return ""
    except subprocess.TimeoutExpired:
        raise IonError(f"{program} did not end within {_TIMEOUT_S} s") from None
    if must and done.returncode != 0:
        said = without_password(done.stderr.strip() or done.stdout.strip()) or f"status {done.returncode}"
        raise IonError(f"{program} {' '.join(arguments)} failed: {said}", hint="what was written stays")
    return done.stdout if done.returncode == 0 else ""
