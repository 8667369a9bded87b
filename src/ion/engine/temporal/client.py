"""Requests to a cluster: start the drive of a run, notify it of new events. Decides nothing about the run."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ion.engine.temporal.cluster import UNKNOWN_AGENT, WORKFLOW_NAME, Cluster, workflow_id
from ion.errors import IonError, UsageError

if TYPE_CHECKING:
    from temporalio.client import Client

    from ion.engine.temporal.codec import DriveOrder

PATIENCE_S = 30
# A worker asks for turns at least this often, in seconds; the server remembers those that are gone for minutes.
_LONGEST_POLL_S = 70


class EngineError(IonError):
    """The cluster cannot be reached, or does not do what it is asked."""

    code = "engine"


async def connect(cluster: Cluster) -> Client:
    """A client. Raises `EngineError` if nobody answers there, `UsageError` if a file or variable that the URL names
    is missing."""
    from temporalio.client import Client

    from ion.engine.temporal.security import connection

    how = connection(cluster, os.environ)
    try:
        return await Client.connect(cluster.address, **how)
    except (RuntimeError, OSError) as error:
        said = str(error).splitlines()[0]
        raise EngineError(
            f"the Temporal server {cluster.address} does not answer: {said}",
            hint="is it running, and is the address right? What was recorded stays",
        ) from error


async def drive(cluster: Cluster, queue: str, run_id: str, order: DriveOrder) -> None:
    """Start the workflow that drives the run, unless it exists already."""
    from temporalio.common import WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError
    from temporalio.service import RPCError

    client = await connect(cluster)
    try:
        await client.start_workflow(
            WORKFLOW_NAME,
            order,
            id=workflow_id(queue, run_id),
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
    except WorkflowAlreadyStartedError:
        await _ask_to_read(client, queue, run_id)
    except RPCError as error:
        raise EngineError(f"the Temporal server {cluster.address} refuses: {error.message}") from error


async def notify(cluster: Cluster, queue: str, run_id: str) -> bool:
    """Have the workflow read what is new in the log; False if no workflow drives this run."""
    return await _ask_to_read(await connect(cluster), queue, run_id)


async def wait_for_end(cluster: Cluster, queue: str, run_id: str) -> None:
    """Wait until the workflow that drove the run to its end is over itself: its last step is to release the run. A
    drive that started before that would lose the run at once."""
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError, RPCStatusCode

    client = await connect(cluster)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await client.get_workflow_handle(workflow_id(queue, run_id)).result()
    except WorkflowFailureError:
        return  # over, in whichever way
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise EngineError(f"the Temporal server {cluster.address} refuses: {error.message}") from error
    except TimeoutError as error:
        raise EngineError(f"the run {run_id} is not released", hint="is a worker running?") from error


async def take_agent(cluster: Cluster, queue: str, run_id: str, agent: str) -> bool:
    """Have the workflow give its prompts to this agent; False if no workflow drives this run. Raises `UsageError` if
    the workers do not know the agent."""
    return await _update(await connect(cluster), queue, run_id, "take-agent", [agent])


async def unpolled(cluster: Cluster, queue: str, run_id: str, queues: Iterable[str]) -> set[str]:
    """Those of the task queues that no worker polls for turns, if a turn of the run waits for a worker."""
    from temporalio.api.enums.v1 import PendingActivityState
    from temporalio.service import RPCError

    client = await connect(cluster)
    try:
        description = await client.get_workflow_handle(workflow_id(queue, run_id)).describe()
        pending = description.raw_description.pending_activities
        if all(turn.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED for turn in pending):
            return set()
        return {name for name in queues if not await _is_polled(client, cluster, name)}
    except RPCError as error:
        raise EngineError(f"the Temporal server {cluster.address} refuses: {error.message}") from error


async def _is_polled(client: Client, cluster: Cluster, queue: str) -> bool:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    request = DescribeTaskQueueRequest(
        namespace=cluster.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    said = await client.workflow_service.describe_task_queue(request)
    newest = max((poller.last_access_time.ToSeconds() for poller in said.pollers), default=0)
    return newest >= time.time() - _LONGEST_POLL_S


async def _ask_to_read(client: Client, queue: str, run_id: str) -> bool:
    return await _update(client, queue, run_id, "notify", [])


async def _update(client: Client, queue: str, run_id: str, name: str, arguments: list[Any]) -> bool:
    from temporalio.client import WorkflowUpdateFailedError
    from temporalio.exceptions import ApplicationError
    from temporalio.service import RPCError, RPCStatusCode

    try:
        await client.get_workflow_handle(workflow_id(queue, run_id)).execute_update(
            name, args=arguments, rpc_timeout=timedelta(seconds=PATIENCE_S)
        )
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise EngineError(
            f"the run {run_id} cannot be notified: {error.message}", hint="is a worker running?"
        ) from error
    except WorkflowUpdateFailedError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type == UNKNOWN_AGENT:
            raise UsageError(error.cause.message, code=UNKNOWN_AGENT) from error
        return True  # the workflow ended, or continued as a new one, while it was asked
    return True
