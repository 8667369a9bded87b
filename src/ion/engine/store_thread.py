"""One thread beside the event loop, in which a run's store is called: the loop continues while a disk syncs.

It does what `run_in_executor` does with less overhead: a run calls its store once for each turn of its loop, and the
handover is then most of what a turn costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Call = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class StoreThread:
    """Calls functions one after the other, in the order in which they come. The first call starts the thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """What `function` returns or raises. If the waiting task is cancelled, the call still finishes.

        If the system has no threads left at this moment it is called here, and the loop waits for it.
        """
        if self._thread is None and not self._begin():
            return function(*arguments)
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._calls.put((future, function, arguments))
        return await future

    def _begin(self) -> bool:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def close(self) -> None:
        """Wait for running calls, and end the thread."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            result, problem = None, None
            try:
                result = function(*arguments)
            except BaseException as error:  # noqa: BLE001  (it is raised again where the call is awaited)
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, future, result, problem)
            del call, future, function, arguments, result, problem


def _settle(future: asyncio.Future[Any], result: Any, problem: BaseException | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(result)
    else:
        future.set_exception(problem)
