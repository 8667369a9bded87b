"""`ion agents`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ion.cli.context import CliContext, as_json, in_context
from ion.errors import FAILED

if TYPE_CHECKING:
    from ion.api.agent_list import Checked, KnownAgent
    from ion.cli.terminal import Screen

_MAX_REPLY = 200


@click.command()
@click.option("--check", is_flag=False, flag_value="", metavar="[NAME]", help="Ask one (the default) for a word.")
@as_json
@in_context
def agents(cli: CliContext, check: str | None, as_json: bool) -> int:
    """List the agents that can be named: those of the settings and the presets, and what of them is installed.

    With --check one prompt is sent, which costs what it costs; the exit status is 1 if it is not answered.
    """
    from ion.api.agent_list import check_agent, known_agents
    from ion.cli import terminal

    with cli.open() as workspace:
        if check is None:
            found = known_agents(workspace)
            if as_json:
                terminal.write_json([one.to_json() for one in found])
            else:
                _table(terminal.data(), found)
            return 0
        checked = check_agent(workspace, check or None)
    if as_json:
        terminal.write_json(checked.to_json())
    else:
        _show(terminal.data(), checked)
    return FAILED if checked.error is not None else 0


def _table(screen: Screen, found: list[KnownAgent]) -> None:
    """Those that are here or that somebody named; of the other presets only the names."""
    from textwrap import wrap

    rows = [one for one in found if one.path or one.source != "preset"]
    missing = [one.name for one in found if one not in rows]
    if rows:
        _rows(screen, rows)
        screen.line()
    if any(one.is_default for one in rows):
        screen.line(("faint", "* answers where nothing else is said"))
    if missing:
        said = f"Not installed: {', '.join(missing)}. What installs them: ion agents --json"
        screen.lines(wrap(said, screen.width, break_on_hyphens=False))


def _rows(screen: Screen, found: list[KnownAgent]) -> None:
    from ion.views.text import cut, cut_middle, one_line, pad, width

    names = min(max(4, *(width(one_line(one.name)) for one in found)), 30)
    screen.line(("faint", f"  {pad('NAME', names)}  {pad('FROM', 12)}  {pad('AT ONCE', 7)}  PROGRAM"))
    for one in found:
        where = one.path or f"{one.program} is not installed" + (f" · {one.install}" if one.install else "")
        role = "" if one.path else "faint"
        screen.line(
            f"{'*' if one.is_default else ' '} ",
            (role, pad(cut_middle(one_line(one.name), names), names)),
            f"  {pad(one.source, 12)}  {one.max_parallel:<7}  ",
            (role, cut(one_line(where), max(20, screen.width - names - 29))),
        )


def _show(screen: Screen, checked: Checked) -> None:
    from ion.views.text import cut, duration, one_line
    from ion.views.words import COST, dollars

    mark = "good" if checked.error is None else "bad"
    word = "answers" if checked.error is None else "does not answer"
    cost = checked.usage.get(COST)
    paid = "" if cost is None else f", {dollars(cost)}"
    screen.line(("strong", one_line(checked.name)), " ", (mark, word), f" ({duration(checked.duration_ms)}{paid})")
    if checked.error is None:
        screen.line("  ", cut(one_line(checked.reply), _MAX_REPLY))
        return
    screen.lines(f"  {line}" for line in f"{checked.error['code']}: {checked.error['message']}".splitlines())
    if checked.error["hint"]:
        screen.line(("hint", f"  = {checked.error['hint']}"))
