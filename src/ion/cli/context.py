"""What a command line says: where a command works (and commands for pasting that work there too), the options that
several commands take, and their values, some of them in files. A wrong value is a `UsageError`."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from msgspec import Struct

from ion.errors import UsageError
from ion.masking import without_password

if TYPE_CHECKING:
    from ion.api.workspace import Workspace


_UNIT_MS = {"": 0, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATIENCE_MS = 600_000


class OutputOptions(Struct, frozen=True):
    """How a command line wants a run to be shown, and who else watches it. `strict_clean`: a run that completed with
    failures is one that failed, to the exit status. `patience` (ms) is what was asked for."""

    as_json: bool = False
    events: bool = False
    quiet: bool = False
    plain: bool = False
    log: str | None = None
    notify: str | None = None
    otel: bool = False
    strict_clean: bool = False
    patience: int | None = None

    @property
    def patience_ms(self) -> int | None:
        """For how long the process waits with a run of which nothing but waits is left. None: as long as it takes,
        where a person looks at it."""
        from ion.cli import terminal

        return self.patience if terminal.is_terminal(sys.stderr) else self.unattended_patience_ms

    @property
    def unattended_patience_ms(self) -> int:
        """The same of a process in the background."""
        return _PATIENCE_MS if self.patience is None else self.patience


class CliContext(Struct, frozen=True):
    """The `--store` and `--project` that were given."""

    store: str | None = None
    project: str | None = None

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """The workspace here; its store is closed at the end. The secrets of a run that is looked up are masked."""
        from ion.api.workspace import open_workspace
        from ion.views.masking import hide_run

        workspace = open_workspace(self.project, self.store, found=hide_run, via="cli")
        try:
            yield workspace
        finally:
            workspace.close()

    def command(self, *words: str) -> str:
        """A command that a person can paste, with the options that bring it here: without the password
        of the store, which is for PGPASSWORD or ~/.pgpass. The words stand as they are."""
        import shlex

        store = None if self.store is None else without_password(self.store)
        options = [("--project", self.project), ("--store", store)]
        given = [f"{name} {shlex.quote(value)}" for name, value in options if value is not None]
        return " ".join(["ion", *words, *given])


def in_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--store` and `--project`, and hand it the `CliContext` as its first argument."""

    @click.option("--store", metavar="URL", help="Where runs are kept: sqlite:PATH or file:DIR.")
    @click.option("--project", metavar="DIR", help="The project; default: found from the working directory.")
    @functools.wraps(function)
    def command(*, store: str | None, project: str | None, **values: Any) -> Any:
        return function(CliContext(store, project), **values)

    return command


plain_option = click.option("--plain", is_flag=True, help="Show progress line by line, also on a terminal.")


def watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that drives a run the options of what else watches it."""
    function = click.option("--otel", is_flag=True, help="Make OpenTelemetry spans.")(function)
    function = click.option("--notify", metavar='"COMMAND"', help="Run this when the run pauses or ends.")(function)
    return click.option("--log", metavar="FILE", help="Append each event to this file, as a JSON line.")(function)


def duration(_context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Milliseconds of `90s`, `5m`, `2h`, `3d`; `0` is none of them."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d|)", value)
    if match is None or (not match[2] and int(match[1])):
        raise UsageError(f"{option.opts[0]} takes a time, not {value!r}", hint="as in 90s, 5m, 2h, 3d, or 0")
    return int(match[1]) * _UNIT_MS[match[2]]


def progress(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that continues a run the options of how that is shown, and of what its exit status says."""
    function = click.option("--quiet", is_flag=True, help="Show no progress.")(function)
    strict = click.option("--strict-clean", is_flag=True, help="Exit with 1 also if failures were allowed or caught.")
    patience = click.option(
        "--patience",
        metavar="TIME",
        callback=duration,
        help="Leave a run with nothing but longer waits to a clock; default: 10m, on a terminal never.",
    )
    return plain_option(patience(strict(function)))


def shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand a command all of these options that it takes as one `OutputOptions`."""

    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        given = {name: values.pop(name) for name in OutputOptions.__struct_fields__ if name in values}
        return function(*arguments, output=OutputOptions(**given), **values)

    return command


jobs = click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many nodes run at once.")
max_budget = click.option(
    "--max-budget-usd",
    "budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="What the run may spend in all, in US dollars.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# For commands that print nothing but JSON anyway.
always_json = click.option("--json", is_flag=True, expose_value=False, help="Print JSON, as without it.")


def _sop_folders(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[Path, ...]:
    """The folders of `--sop-paths`; of one that is not there it is said so, and the others count."""
    if value is None:
        return ()
    from ion.api.sops import sop_folders
    from ion.cli import terminal

    folders, wrong = sop_folders(value)
    terminal.talk().lines(f"warning: {one}" for one in wrong)
    return folders


sop_paths = click.option(
    "--sop-paths",
    metavar="DIR:DIR…",
    callback=_sop_folders,
    help="Folders whose SOPs come before all others; the first that has a name wins.",
)


# ------------------------------------------------------------------ values of options, some of them in files

# The longest text that is taken from one file or from stdin, in bytes; the longest line of MCP and ACP too.
LONGEST = 64 * 1024 * 1024


def read_inputs(pairs: Iterable[str], file: str | None) -> dict[str, Any]:
    """The inputs of `--inputs FILE` with those of `--input k=v` over them; `k=@file` takes a file's text."""
    inputs = {}
    if file is not None:
        from ion.foreign import loads

        text = _decode(_read(file), file)
        try:
            inputs = loads(text)
        except ValueError as error:
            raise UsageError(f"--inputs {file} is not JSON: {error}") from None
        if not isinstance(inputs, dict):
            raise UsageError(f"--inputs {file} must hold a JSON object", hint='as in: {"name": "value"}')
    given: dict[str, str] = {}
    for pair in pairs:
        name, value = split_pair("--input", pair)
        if name in given:
            raise UsageError(f"--input {name} was given twice")
        given[name] = read_text(value)
    return {**inputs, **given}


def split_pair(option: str, pair: str) -> tuple[str, str]:
    """`name=value` in two."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} takes NAME=VALUE, not {pair!r}", hint=f"as in: {option} {name or 'name'}=value")
    return name, value


def read_text(value: str) -> str:
    """The text itself, or all of that in the file of `@file`."""
    if not value.startswith("@"):
        return value
    try:
        return _decode(_read(value[1:]), value[1:])
    except UsageError as error:
        error.hint = error.hint or "@ takes a file's text; a text that begins with @ can be given with --inputs"
        raise


def read_answer(file: str) -> str:
    """The text of a file, or of stdin for `-`, less one final end of line (as a program's output, language.md §6)."""
    return _decode(_read(file), file).removesuffix("\n")


def _read(file: str) -> bytes:
    """The bytes of a file, or of stdin for `-`: at most `LONGEST`, so that /dev/zero fills no memory."""
    try:
        if file != "-":
            with Path(file).open("rb") as stream:
                return _bounded(stream, f"the file {file}")
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return _bounded(sys.stdin.buffer, "stdin")
    except OSError as error:
        raise UsageError(f"the file {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"the file {file!r} cannot be read: {error}") from None


def _bounded(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise UsageError(f"{name} is longer than {LONGEST:,} bytes", hint="put it into a file, and give its path")
    return data


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{'stdin' if file == '-' else file} is not UTF-8 text (at byte {error.start})") from None
