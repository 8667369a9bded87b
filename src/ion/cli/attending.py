"""Following a run that somebody else drives, or that waits, and asking the person at this terminal what it asks."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from ion.api import reading
from ion.api.following import POLL_SECONDS
from ion.views.following import Follower, follow
from ion.views.waiting import labels_in

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.cli.asking import Asker
    from ion.cli.view import View


def follow_and_ask(workspace: Workspace, run_id: str, view: View, *, from_start: bool) -> bool:
    """Show the events of a run until no living process drives it and no question is left that the person here wants to
    answer; `from_start`: also those that are there already. Gives whether something was answered here.

    Ctrl-C ends the watching of a living run with `KeyboardInterrupt`; else it only means: later.
    """
    if view.asker is None:
        if from_start:
            follow(workspace, run_id, view.observers, from_start=True)
        return False
    import asyncio

    view.asker.answered = False
    view.asker.labels = labels_in(workspace, run_id, reading.read_state(workspace, run_id))
    asyncio.run(_attend(workspace, run_id, view, view.asker, from_start=from_start))
    return view.asker.answered


async def _attend(workspace: Workspace, run_id: str, view: View, asker: Asker, *, from_start: bool) -> None:
    import asyncio

    following = asyncio.ensure_future(_follow(workspace, run_id, view, asker, from_start=from_start))

    def stop() -> None:
        asker.give_up()
        following.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        await asker.attend(run_id, following)
        await following
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _follow(workspace: Workspace, run_id: str, view: View, asker: Asker, *, from_start: bool) -> None:
    """As `views.following.follow`, without holding up the questions."""
    import asyncio

    follower = Follower(workspace, run_id)
    follower.catch_up(view.observers if from_start else (asker,))
    alive = True
    while alive:
        alive, events = await asyncio.to_thread(follower.look)
        follower.show(events, view.observers)
        if alive:
            await asyncio.sleep(POLL_SECONDS)
