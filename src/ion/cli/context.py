"""Where a command works: the options that every command takes, and commands for pasting that work in the same place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from ion.masking import without_password

if TYPE_CHECKING:
    from ion.api.workspace import Workspace


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


def watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that drives a run the options of what else watches it."""
    for option in (
        click.option("--otel", is_flag=True, help="Make OpenTelemetry spans."),
        click.option("--notify", metavar='"COMMAND"', help="Run this when the run pauses or ends."),
        click.option("--log", metavar="FILE", help="Append each event to this file, as a JSON line."),
    ):
        function = option(function)
    return function


def progress(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that continues a run the options of how that is shown."""
    for option in (
        click.option("--quiet", is_flag=True, help="Show no progress."),
        click.option("--plain", is_flag=True, help="Show progress line by line, also on a terminal."),
    ):
        function = option(function)
    return function


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
