"""`ion validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, as_json, in_context

if TYPE_CHECKING:
    from ion.api.workflows import Validation


@click.command()
@click.argument("targets", nargs=-1, metavar="[PATH|NAME]…", shell_complete=completing.workflows)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@as_json
@in_context
def validate(cli: CliContext, targets: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Check workflow files, folders of them or names, and show every problem; without any, all that can be found.

    The exit status is 1 if a file has an error (with --strict: or a warning).
    """
    from ion.api import workflows
    from ion.cli import terminal
    from ion.errors import FAILED

    with cli.open() as workspace:
        found = workflows.validate(workspace, targets)
    if as_json:
        terminal.write_json([problem.to_json() for problem in found.problems])
    else:
        _show(found)
    fails = any(strict or problem.severity == "error" for problem in found.problems)
    return FAILED if fails else 0


def _show(found: Validation) -> None:
    from ion.cli import terminal
    from ion.cli.failures import show_problems
    from ion.views.problems import summary

    screen = terminal.data()
    if found.problems:
        show_problems(screen, found.problems)
        screen.line()
    screen.line(summary(found.problems, found.files))
