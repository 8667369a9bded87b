"""A worker: carries out workflows and their turns until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ion.engine.temporal.activities import Activities
from ion.engine.temporal.client import EngineError, connect
from ion.engine.temporal.cluster import Cluster, labelled, pinned
from ion.engine.temporal.known_runs import EngineConfigFor, KnownRuns
from ion.engine.temporal.workflow import IonRun

if TYPE_CHECKING:
    from temporalio.client import Client

_PAUSE_S = 2.0
# A turn that is under way when the worker is told to go may take this long to end its processes.
_GRACE = timedelta(seconds=10)


class WorkerConfig(Struct, frozen=True):
    """A worker's identity and tasks. `slots` is how many turns run at once, `labels` which nodes with `runs_on` are
    carried out besides those without (`only_labelled`: instead of them); a pinned run is placed by the `name`."""

    queue: str
    slots: int
    name: str = "worker"
    labels: tuple[str, ...] = ()
    only_labelled: bool = False


async def work(
    cluster: Cluster, config: WorkerConfig, engine_config_for: EngineConfigFor, say: Callable[[str], None]
) -> None:
    """Work until SIGTERM or SIGINT; wait for a cluster that does not answer."""
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
    async with working(client, config, engine_config_for):
        labels = f", labels {', '.join(config.labels)}" if config.labels else ""
        say(f"works for {cluster.url} as {config.name}{labels}")
        if cluster.is_open:
            say(
                f"whoever reaches {cluster.address} may speak to this worker, and reads what passes there: "
                "give all who work for it a key (docs/temporal.md, Security)"
            )
        await told.wait()
        say("was asked to stop; what runs here goes back to the cluster")


@contextlib.asynccontextmanager
async def working(client: Client, config: WorkerConfig, engine_config_for: EngineConfigFor) -> AsyncIterator[None]:
    """Work as long as the block lasts."""
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    runs = KnownRuns(engine_config_for)
    activities = Activities(runs, config.queue, config.name, config.slots)
    shared: dict[str, Any] = {
        "max_concurrent_activities": config.slots,
        "graceful_shutdown_timeout": _GRACE,
    }
    workers = [
        Worker(
            client,
            task_queue=config.queue,
            workflows=[IonRun],
            activities=activities.all,
            no_remote_activities=config.only_labelled,
            workflow_runner=UnsandboxedWorkflowRunner(),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
            **shared,
        ),
        Worker(client, task_queue=pinned(config.queue, config.name), activities=[activities.turn], **shared),
    ]
    for label in config.labels:
        queue = labelled(config.queue, label)
        workers.append(Worker(client, task_queue=queue, activities=[activities.turn, activities.place], **shared))
    releasing = asyncio.create_task(runs.release_idle())
    try:
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker)
            yield
    finally:
        releasing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await releasing
        await runs.close()
