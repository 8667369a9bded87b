"""`ion schedules`: what starts by itself in this project, and what its user says to that."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from ion.cli import terminal
from ion.cli.context import CliContext, as_json, in_context
from ion.errors import FAILED, UsageError
from ion.views.text import moment, one_line, pad, plural
from ion.views.words import GROUP_MEANINGS, SCHEDULE_MEANINGS, SCHEDULE_ROLES

if TYPE_CHECKING:
    from ion import Workflow
    from ion.api.schedule_list import ListedGroup, ListedHook, ListedSchedule
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen


@click.group(invoke_without_command=True)
@as_json
@in_context
@click.pass_context
def schedules(context: click.Context, cli: CliContext, as_json: bool) -> int:
    """List what starts by itself: the schedules, hooks and concurrency groups of .ion/config.yaml, with the next
    times and the last runs.

    A clock starts what is due: ion tick. Hooks are called at ion serve --hooks-port.
    """
    if context.invoked_subcommand is not None:
        return 0
    with cli.open() as workspace:
        found, hooks, groups = _all(workspace)
    if as_json:
        terminal.write_json(
            {
                "schedules": [one.to_json() for one in found],
                "hooks": [one.to_json() for one in hooks],
                "concurrency": [one.to_json() for one in groups],
            }
        )
        return 0
    screen = terminal.data()
    for one in found:
        _show(screen, one)
    for hook in hooks:
        _show_hook(screen, hook)
    for group in groups:
        _show_group(screen, group)
    if not found and not hooks and not groups:
        terminal.talk().line("This project has no schedules; .ion/config.yaml would name them.")
    elif any((_new(found), _new(hooks), _new(groups))):
        terminal.talk().line("To let them take effect: ", cli.command("schedules", "accept"))
    return 0


_Listed = TypeVar("_Listed", "ListedSchedule", "ListedHook", "ListedGroup")


def _new(listed: list[_Listed]) -> list[_Listed]:
    """Those that can be accepted."""
    return [one for one in listed if one.judged.state in SCHEDULE_MEANINGS]


def _all(workspace: Workspace) -> tuple[list[ListedSchedule], list[ListedHook], list[ListedGroup]]:
    from ion.api.schedule_list import list_groups, list_hooks, list_schedules

    return list_schedules(workspace), list_hooks(workspace), list_groups(workspace)


def _show(screen: Screen, one: ListedSchedule) -> None:
    from ion import clocks

    schedule, now = one.schedule, clocks.now_ms()
    state = (SCHEDULE_ROLES.get(one.state, "bad"), one.state)
    when = f"  {one_line(schedule.workflow)}  {one_line(schedule.cron)} {schedule.timezone}"
    screen.line(("strong", one.name), "  ", state, when)
    if one.problem:
        screen.line("  ", ("bad", one_line(one.problem)))
    for slot in one.next:
        screen.line(f"  next     {moment(slot, now)}")
    for run_id, status in one.last:
        screen.line(f"  {status:<8} ", run_id)
    for passed in reversed(one.slots.skipped[-3:]):
        screen.line(f"  skipped  {moment(passed.slot, now)}  ", ("faint", passed.reason))


def _show_hook(screen: Screen, one: ListedHook) -> None:
    state = (SCHEDULE_ROLES.get(one.state, "bad"), one.state)
    screen.line(("strong", one.name), "  ", state, f"  {one_line(one.hook.workflow)}  POST /hooks/{one.name}")
    if one.problem:
        screen.line("  ", ("bad", one_line(one.problem)))


def _show_group(screen: Screen, one: ListedGroup) -> None:
    group, state = one.group, (SCHEDULE_ROLES.get(one.state, "bad"), one.state)
    which = f"  at most {group.limit} of {', '.join(map(one_line, group.workflows))}, on_full {group.on_full}"
    screen.line(("strong", one.name), "  ", state, which)


@schedules.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@in_context
def accept(cli: CliContext, yes: bool, as_json: bool) -> int:
    """Show what of the schedules, hooks and concurrency groups is new or has changed, and let it take effect.

    What is accepted is this very content, with the workflows that it starts; what changes later is shown here again,
    and does nothing until then. The exit status is 1 if a schedule or hook cannot be accepted as it is.
    """
    from ion.api.acceptance import accept as accept_all

    with cli.open() as workspace:
        found, hooks, groups = _all(workspace)
        both: list[ListedSchedule | ListedHook] = [*found, *hooks]
        broken = [one for one in both if one.state == "broken"]
        new = [one for one in _new(found) if one.state != "broken"]
        new_hooks, new_groups = _new(hooks), _new(groups)
        if not as_json:
            _show_new(terminal.talk(), new, new_hooks, new_groups, broken)
        names = [*(one.name for one in new), *(one.name for one in new_hooks), *(one.name for one in new_groups)]
        if names:
            _ask(yes=yes)
            accept_all(
                workspace,
                schedules=[one.judged for one in new],
                hooks=[one.judged for one in new_hooks],
                groups=[one.judged for one in new_groups],
            )
    if as_json:
        terminal.write_json({"accepted": names, "broken": [one.name for one in broken]})
    elif names:
        terminal.talk().line(f"Accepted: {', '.join(names)}. {_next(cli, new_hooks)}")
    return FAILED if broken else 0


def _next(cli: CliContext, hooks: list[ListedHook]) -> str:
    if hooks:
        return f"Hooks are called at: {cli.command('serve', '--hooks-port', 'N')}"
    return f"A clock starts what is due: {cli.command('tick')}"


def _show_new(
    screen: Screen,
    new: list[ListedSchedule],
    hooks: list[ListedHook],
    groups: list[ListedGroup],
    broken: list[ListedSchedule | ListedHook],
) -> None:
    for one in broken:
        screen.line(("strong", one.name), " cannot be accepted: ", one_line(one.problem))
    for one in new:
        schedule, workflow = one.schedule, one.judged.workflow
        screen.line(("strong", one.name), f" {SCHEDULE_MEANINGS[one.judged.state]}:")
        screen.line(f"  {schedule.cron} {schedule.timezone}, overlap {schedule.overlap}, catch_up {schedule.catch_up}")
        for name, value in schedule.inputs.items():
            screen.line(f"  {pad('input', 8)} {one_line(name)} = {one_line(str(value))}")
        _show_workflow(screen, workflow)
    for hook in hooks:
        screen.line(("strong", hook.name), f" {SCHEDULE_MEANINGS[hook.state]}:")
        for key, value in hook.rules:
            screen.line(f"  {pad(key, 8)} {one_line(value)}")
        _show_workflow(screen, hook.judged.workflow)
    for group in groups:
        screen.line(("strong", group.name), f" {GROUP_MEANINGS[group.judged.state]}:")
        _show_group(screen, group)
    if not new and not hooks and not groups and not broken:
        screen.line("Nothing is new; all that is there is accepted.")


def _show_workflow(screen: Screen, workflow: Workflow | None) -> None:
    if workflow is not None:
        screen.line(f"  {pad('workflow', 8)} {one_line(workflow.name)}, {workflow.file}")
        screen.line(f"  {pad('', 8)} {plural(len(workflow.nodes), 'node')}: look at it with ion show or an editor")


def _ask(*, yes: bool) -> None:
    import sys

    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("cannot ask whether to accept them: stdin is not a terminal", hint="--yes accepts them")
    click.confirm("Accept?", abort=True, err=True)


@schedules.command()
@click.argument("name")
@as_json
@in_context
def pause(cli: CliContext, name: str, as_json: bool) -> int:
    """Let the schedule NAME start nothing until ion schedules resume."""
    return _set_paused(cli, name, as_json, paused=True)


@schedules.command()
@click.argument("name")
@as_json
@in_context
def resume(cli: CliContext, name: str, as_json: bool) -> int:
    """Let the schedule NAME start again what is due from now on."""
    return _set_paused(cli, name, as_json, paused=False)


def _set_paused(cli: CliContext, name: str, as_json: bool, *, paused: bool) -> int:
    from ion.api.schedules import set_paused

    with cli.open() as workspace:
        set_paused(workspace, name, paused=paused)
    if as_json:
        terminal.write_json({"name": name, "paused": paused})
    else:
        terminal.talk().line(f"The schedule {name} is {'paused' if paused else 'active again'}.")
    return 0
