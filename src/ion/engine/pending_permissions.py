"""Turns that are held open while a person is asked for a permission.

An agent asks in the middle of its turn. The question is recorded by the drive's own loop, like everything else, and the
turn waits for the verdict to appear in the run's state; another process may answer. Nothing here is durable: if this
process dies, the question is in the log, and the turn starts again with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ion.core.outcomes import Question
from ion.core.state import RunState
from ion.engine.options import HOLD_MS


class PendingPermissions:
    """The questions of one drive that wait for a verdict. `wake` is called when there is a new one."""

    def __init__(self, wake: Callable[[], None], hold_ms: int = HOLD_MS) -> None:
        self._wake = wake
        self._seconds = hold_ms / 1000
        self._waiting: list[tuple[str, Question, asyncio.Future[str]]] = []
        self.unrecorded: list[tuple[str, Question]] = []

    async def ask(self, node: str, question: Question) -> str | None:
        """The decision, or None if nobody decided in time."""
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        entry = (node, question, verdict)
        self._waiting.append(entry)
        self.unrecorded.append((node, question))
        self._wake()
        try:
            async with asyncio.timeout(self._seconds):
                return await verdict
        except TimeoutError:
            return None
        finally:
            self._waiting.remove(entry)

    def take_unrecorded(self) -> list[tuple[str, Question]]:
        """The questions, each with its node, that have come since."""
        new, self.unrecorded = self.unrecorded, []
        return new

    def answer(self, state: RunState) -> None:
        """Pass on the verdicts that have come."""
        for node, question, verdict in self._waiting:
            found = state.nodes[node].tries.verdicts.get(question.key)
            if found is not None and not verdict.done():
                verdict.set_result(found.decision)
