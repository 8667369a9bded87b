"""`ion doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli.context import CliContext, as_json, in_context
from ion.errors import FAILED

if TYPE_CHECKING:
    from ion.api.doctor import Damage, Diagnosis
    from ion.cli.terminal import Screen


@click.command()
@as_json
@in_context
def doctor(cli: CliContext, as_json: bool) -> int:
    """Say what is installed, where runs are kept, and what of them is damaged. Nothing is changed or repaired.

    Every run is read through, outputs too. The exit status is 1 if something is damaged.
    """
    from ion.api.doctor import diagnose
    from ion.cli import terminal

    with cli.open() as workspace:
        found = diagnose(workspace)
    if as_json:
        terminal.write_json(found.to_json())
    else:
        _show(terminal.data(), found)
    return FAILED if found.damage else 0


def _show(screen: Screen, found: Diagnosis) -> None:
    from ion.views.text import plural

    for name, what in found.installed.items():
        screen.line(f"{name:<14} ", what or ("faint", "not installed"))
    screen.line(f"{'project':<14} {found.project}")
    runs = "none there yet" if found.runs is None and not found.damage else plural(found.runs or 0, "run")
    screen.line(f"{'store':<14} {found.store}  ({runs})")
    for one in found.damage:
        _show_damage(screen, one)
    for path in found.stale:
        screen.line(("attention", "left over"), f"  {path}  (of a process that died; it can be deleted)")
    for note in found.notes:
        screen.line(("attention", "note"), f"  {note}")
    if found.damage:
        screen.line(("bad", f"{plural(len(found.damage), 'damaged place')}."), " Nothing was changed.")
    else:
        screen.line(("good", "No damage found."))


def _show_damage(screen: Screen, one: Damage) -> None:
    place = "" if one.offset is None else f" at byte {one.offset}"
    screen.line(("bad", "damaged"), f"  {f'run {one.run_id}: ' if one.run_id else ''}{one.message}")
    if one.file and one.file not in one.message:
        screen.line(f"         in {one.file}{place}")
    screen.line(("hint", f"         {one.hint}"))
