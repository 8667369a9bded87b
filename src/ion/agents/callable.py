"""A Python function as an agent: synchronous or not, from a request to a text or a result.

A synchronous function runs in a daemon thread of its own: it cannot be stopped, but it cannot block a cancelled run,
the end of the program, or shared threads either.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.agents.clock import Clock

Answer: TypeAlias = PromptResult | str
Function: TypeAlias = Callable[[PromptRequest], Answer | Awaitable[Answer]]


class CallableAgent(Struct, frozen=True, gc=False):
    """An agent that is a function. An exception of the function passes through; only `AgentError` is a typed
    failure."""

    function: Function
    name: str = "callable"

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Call the function within the request's limits; a call of `request.progress` is a sign of life.

        Raises `AgentError`: `timeout`, or `bad_output` if it returned neither text nor a `PromptResult`.
        """
        clock = Clock(request.timeout_ms, request.idle_timeout_ms)
        if request.idle_timeout_ms is not None:
            request = replace(request, progress=partial(_told, clock, request.progress))
        call = asyncio.ensure_future(_call(self.function, request))
        try:
            overdue = await clock.overdue(call)
        finally:
            await _stop(call, request.grace_ms)
        if overdue:
            raise AgentError("timeout", f"agent {self.name} {overdue}")
        answer = call.result()
        if isinstance(answer, str):
            return PromptResult(answer)
        if isinstance(answer, PromptResult):
            return answer
        kind = type(answer).__name__
        raise AgentError("bad_output", f"agent {self.name} returned {kind}, neither text nor a PromptResult")


def _told(clock: Clock, progress: Callable[[str], None] | None, line: str) -> None:
    clock.alive()
    if progress is not None:
        progress(line)


async def _stop(call: asyncio.Future[Any], grace_ms: int) -> None:
    """Cancel the call if it is still running; one that does not end is abandoned after the grace period."""
    if not call.done():
        call.cancel()
        await asyncio.wait({call}, timeout=grace_ms / 1000)
        if call.done() and not call.cancelled():
            call.exception()  # the limit is what counts, not what it raised on its way out


async def _call(function: Function, request: PromptRequest) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        answer: Any = function(request)
    else:
        answer = await _in_thread(function, request)
    return await answer if inspect.isawaitable(answer) else answer


def _in_thread(function: Function, request: PromptRequest) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def resolve(answer: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    def work() -> None:
        answer, problem = None, None
        try:
            answer = context.run(function, request)
        except BaseException as error:  # noqa: BLE001  (it is raised again where the answer is awaited)
            # A thread's exit, or an end of iteration, would mean something else over there.
            problem = (
                error if isinstance(error, Exception) and not isinstance(error, StopIteration) else _renamed(error)
            )
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(resolve, answer, problem)

    threading.Thread(target=work, name=f"ion-agent-{request.node}", daemon=True).start()
    return future


def _renamed(error: BaseException) -> Exception:
    return AgentError("crashed", f"the agent's function raised {type(error).__name__}: {error}")
