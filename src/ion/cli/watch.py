"""`ion watch`: following a run that somebody else drives, and asking the person at this terminal what it asks."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from ion.cli import completing
from ion.cli.context import CliContext, in_context

if TYPE_CHECKING:
    from ion import Run
    from ion.cli.asking import Asker
    from ion.cli.view import View


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--plain", is_flag=True, help="Show progress line by line, also on a terminal.")
@in_context
def watch(cli: CliContext, run: str | None, plain: bool) -> int:
    """Follow RUN, which another process drives, from its first event until it ends or waits for an answer.

    On a terminal you are asked what it waits for; the run continues where it is running, or else here.
    """
    from ion import Run
    from ion.api.reading import source_changed
    from ion.cli import ending, terminal
    from ion.cli.continuing import continue_run
    from ion.cli.view import OutputOptions, open_watching
    from ion.views.waiting import open_labels

    with cli.open() as workspace:
        found = Run.find(workspace, run)
        view = open_watching(workspace, cli, found.run_id, plain=plain)
        try:
            answered = follow_and_ask(found, view, from_start=True)
        finally:
            view.end()
        if answered:
            ending.finish(workspace, cli, continue_run(found, cli, OutputOptions(plain=plain)), as_json=False)
        else:
            result = found.result()
            changed = source_changed(workspace, found.run_id, result.state)
            ending.say_next(terminal.talk(), cli, result, open_labels(workspace, result), changed)
    return 0


def follow_and_ask(run: Run, view: View, *, from_start: bool) -> bool:
    """Show the events of a run until no living process drives it and no question is left that the person here wants to
    answer; `from_start`: also those that are there already. Gives whether something was answered here.

    Ctrl-C ends the watching of a living run with `KeyboardInterrupt`; else it only means: later.
    """
    from ion.views.following import follow
    from ion.views.waiting import labels_in

    if view.asker is None:
        if from_start:
            follow(run, view.observers, from_start=True)
        return False
    import asyncio

    view.asker.answered = False
    view.asker.labels = labels_in(run.workspace, run.run_id, run.state())
    asyncio.run(_attend(run, view, view.asker, from_start=from_start))
    return view.asker.answered


async def _attend(run: Run, view: View, asker: Asker, *, from_start: bool) -> None:
    import asyncio

    following = asyncio.ensure_future(_follow(run, view, asker, from_start=from_start))

    def stop() -> None:
        asker.give_up()
        following.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        await asker.attend(run.run_id, following)
        await following
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _follow(run: Run, view: View, asker: Asker, *, from_start: bool) -> None:
    """As `views.following.follow`, without holding up the questions."""
    import asyncio

    from ion.api.reading import POLL_SECONDS
    from ion.views.following import Follower

    follower = Follower(run)
    follower.catch_up(view.observers if from_start else (asker,))
    alive = True
    while alive:
        alive, events = await asyncio.to_thread(follower.look)
        follower.show(events, view.observers)
        if alive:
            await asyncio.sleep(POLL_SECONDS)
