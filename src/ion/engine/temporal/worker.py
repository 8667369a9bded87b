"""A worker: carries workflows and their turns until it is told to go."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from ion.engine.temporal.activities import Hands, SettingFor
from ion.engine.temporal.client import EngineError, connect
from ion.engine.temporal.place import Cluster
from ion.engine.temporal.workflow import IonRun

if TYPE_CHECKING:
    from temporalio.client import Client

_PAUSE_S = 2.0
# A turn that is under way when the worker is told to go may take this long to end its processes.
_GRACE = timedelta(seconds=10)


async def work(
    cluster: Cluster, queue: str, setting_for: SettingFor, *, slots: int, say: Callable[[str], None]
) -> None:
    """Work for the runs of this queue until SIGTERM or SIGINT; a cluster that does not answer is waited for. `slots` is
    how many turns run at once."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    client = None
    while client is None and not told.is_set():
        try:
            client = await connect(cluster)
        except EngineError as error:
            say(f"{error.message}; waiting for it")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
                    await told.wait()
    if client is None:
        return
    async with working(client, queue, setting_for, slots=slots):
        say(f"works for {cluster.url}")
        await told.wait()
        say("was told to go; what runs here is given back")


@contextlib.asynccontextmanager
async def working(client: Client, queue: str, setting_for: SettingFor, *, slots: int) -> AsyncIterator[None]:
    """Work for the runs of this queue as long as the block lasts."""
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    hands = Hands(setting_for)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[IonRun],
        activities=hands.all,
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=slots,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        graceful_shutdown_timeout=_GRACE,
    )
    housekeeping = asyncio.create_task(hands.keep_house())
    try:
        async with worker:
            yield
    finally:
        housekeeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await housekeeping
        await hands.close()
