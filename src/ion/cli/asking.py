"""Asking the person at the terminal: gates and permissions are answered right where the run is shown.

A question is put while the run goes on elsewhere, one at a time; whoever answers it from another terminal meanwhile
closes it here. Nothing is asked unless a person sits in front of both ends of the terminal. What is typed goes through
the same requests as `ion approve`, so that an answer counts exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ion.api import requests
from ion.cli.formatting import cut, one_line
from ion.cli.terminal import Screen
from ion.core import events as e
from ion.core.gates import PERMISSION, Gate
from ion.core.marks import closes_all
from ion.core.state import RunState
from ion.errors import RefusedError
from ion.records import dataclass, field

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.cli.behind import Behind

_SHOWN_LINES = 20
_YES = frozenset({"a", "y", "yes", "approve", "allow"})
_NO = frozenset({"r", "n", "no", "reject", "refuse", "deny"})
_LATER = frozenset({"l", "later", "q"})
_COMMENT = frozenset({"c", "comment"})


def person_present() -> bool:
    """Whether somebody can read a question on stderr and type an answer, and this is no job in the background."""
    if os.environ.get("CI") or sys.stdin is None or sys.stderr is None:
        return False
    try:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Answer:
    """What a person decided: `approve`, `reject`, or one of the gate's decisions; with what they said."""

    decision: str
    said: str = ""


@dataclass
class Asker:
    """Watches a run for questions, and puts them. `pause` and `resume` make room on the screen for one; `behind` is
    what the screen writes to."""

    workspace: Workspace
    screen: Screen
    behind: Behind
    pause: Callable[[], None]
    resume: Callable[[], None]
    _open: dict[str, e.ApprovalRequested] = field(default_factory=dict)
    _closed: dict[str, str] = field(default_factory=dict)
    _later: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:  # noqa: ARG002
        event = recorded.event
        if isinstance(event, e.WorkflowResumed):
            self._open.clear()
            for node in state.nodes.values():
                self._note_open(node.id, node.gate)
                for gate in node.permissions.values():
                    self._note_open(node.id, gate)
        elif isinstance(event, e.ApprovalRequested):
            self._open[event.request] = event
        elif isinstance(event, e.ApprovalResolved):
            by = event.by.get("user")
            self._close(event.request, f"{event.decision}{f' by {by}' if by else ''}")
        elif closes_all(event):
            for request in tuple(self._open):
                self._close(request, "the run has ended")
        elif isinstance(event, e.NodeStarted | e.NodeFailed | e.NodeCancelled | e.NodeCompleted):
            for request in [one.request for one in self._open.values() if one.node == event.node]:
                if event.node in state.nodes and request not in state.nodes[event.node].permissions:
                    self._close(request, "it is not asked any more")
        self._news.set()

    def progress(self, run_id: str, node: str, line: str) -> None:
        pass

    def _note_open(self, node: str, gate: Gate | None) -> None:
        if gate is not None:
            self._open[gate.request] = e.ApprovalRequested(
                gate.opened_at,
                node,
                gate.request,
                gate.message,
                gate.gate,
                gate.iteration,
                gate.signaled,
                gate.decisions,
            )

    def _close(self, request: str, how: str) -> None:
        self._open.pop(request, None)
        self._closed[request] = how

    def _next(self) -> e.ApprovalRequested | None:
        return next((one for one in self._open.values() if one.request not in self._later), None)

    async def attend(self, run_id: str, drive: asyncio.Future[Any]) -> None:
        """Put every question that comes up, until the drive is over and none is left that somebody wants to answer."""
        while True:
            question = self._next()
            if question is not None:
                await self._put(run_id, question)
                continue
            if drive.done():
                return
            self._news.clear()
            news: asyncio.Future[Any] = asyncio.ensure_future(self._news.wait())
            await asyncio.wait((news, drive), return_when=asyncio.FIRST_COMPLETED)
            news.cancel()

    def give_up(self) -> None:
        """No more questions: whoever was asked pressed Ctrl-C."""
        self._later.update(self._open)
        self._news.set()

    async def _put(self, run_id: str, question: e.ApprovalRequested) -> None:
        self.pause()
        try:
            answer = await self._answer(question)
            if answer is None:
                self._later.add(question.request)
            else:
                await self._record(run_id, question, answer)
        finally:
            self.resume()

    async def _record(self, run_id: str, question: e.ApprovalRequested, answer: Answer) -> None:
        try:
            await asyncio.to_thread(_request, self.workspace, run_id, question, answer)
        except RefusedError as error:
            self.screen.line("  ", ("attention", "not recorded"), f": {error.message}")
        self._close(question.request, answer.decision)

    # ------------------------------------------------------------------ the conversation

    async def _answer(self, question: e.ApprovalRequested) -> Answer | None:
        """What the person decides; None: later, or it was answered elsewhere."""
        self._show(question)
        while True:
            line = await self._type(self._choices(question), question.request)
            if line is None:
                return None
            word, _, said = line.strip().partition(" ")
            answer = await self._meant(question, word.lower(), said.strip())
            if answer is not None:
                return answer
            if word.lower() in _LATER or question.request in self._closed or question.request in self._later:
                return None

    async def _meant(self, question: e.ApprovalRequested, word: str, said: str) -> Answer | None:
        permission = question.gate == PERMISSION
        if word.isdecimal() and 1 <= int(word) <= len(question.decisions):
            return Answer(question.decisions[int(word) - 1], said)
        if word in question.decisions:
            return Answer(word, said)
        if question.decisions and not permission:
            return None
        if word in _YES:
            return Answer("approve", said)
        if word in _NO:
            reason = said or await self._type("  why not? ›", question.request)
            return Answer("reject", reason) if reason is not None else None
        if word in _COMMENT and not permission:
            comment = said or await self._type("  comment ›", question.request)
            return Answer("approve", comment) if comment else None
        return None

    def _show(self, question: e.ApprovalRequested) -> None:
        screen = self.screen
        first, *rest = question.message.splitlines() or [""]
        turn = f"  (iteration {question.iteration})" if question.iteration else ""
        screen.line()
        screen.line(
            ("attention", "⏸" if screen.unicode else "gate"), " ", ("strong", question.node), f"   {first}{turn}"
        )
        if rest:
            screen.line()
            for line in rest[:_SHOWN_LINES]:
                screen.line("    ", cut(line, screen.width - 4))
            if len(rest) > _SHOWN_LINES:
                screen.line("    ", ("faint", f"… {len(rest) - _SHOWN_LINES} more lines: ion show"))
        for number, decision in enumerate(question.decisions, 1):
            if question.gate != PERMISSION:
                screen.line(f"    [{number}] {decision}")
        screen.line()

    def _choices(self, question: e.ApprovalRequested) -> str:
        if question.gate == PERMISSION:
            return "  [a]llow   [r]efuse   [l]ater   ›"
        if question.decisions:
            return f"  1–{len(question.decisions)}, or a decision and a comment   [l]ater   ›"
        return "  [a]pprove   [r]eject   [c]omment   [l]ater   ›"

    async def _type(self, prompt: str, request: str) -> str | None:
        """A line that the person types; None at the end of input, or when the question is over."""
        descriptor = sys.stdin.fileno()
        # In this order in the thread that writes: whoever types while a question cannot be read yet answers nothing,
        # and whoever types as soon as the prompt stands there is heard.
        self.behind.then(lambda: self._forget_typed_ahead(descriptor))
        self.screen.prompt(prompt)
        typed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            if await self._still(self._shown(), request):
                asyncio.get_running_loop().add_reader(descriptor, _read, descriptor, typed)
                await self._still(typed, request)
        finally:
            asyncio.get_running_loop().remove_reader(descriptor)
        if not typed.done():
            self.screen.line()
            if request in self._closed:
                self.screen.line("  ", ("attention", "answered elsewhere"), f": {one_line(self._closed[request])}")
            return None
        data = typed.result()
        return data.decode("utf-8", "replace").rstrip("\n") if data else None

    def _shown(self) -> asyncio.Future[None]:
        """Done once all that was written stands on the terminal: nobody answers what they cannot read yet."""
        loop = asyncio.get_running_loop()
        shown: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(lambda: None if shown.done() else shown.set_result(None))

        self.behind.then(tell)
        return shown

    async def _still(self, something: asyncio.Future[Any], request: str) -> bool:
        """Wait for it; False if the question is over before."""
        while not something.done() and request not in self._closed and request not in self._later:
            self._news.clear()
            news: asyncio.Future[Any] = asyncio.ensure_future(self._news.wait())
            await asyncio.wait((something, news), return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        return something.done()

    @staticmethod
    def _forget_typed_ahead(descriptor: int) -> None:
        """What was typed before the question stood there is no answer to it."""
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)


def _read(descriptor: int, typed: asyncio.Future[bytes]) -> None:
    """What stands in the terminal's buffer is a line, or nothing at its end."""
    if not typed.done():
        try:
            typed.set_result(os.read(descriptor, 1 << 16))
        except OSError:
            typed.set_result(b"")


def _request(workspace: Workspace, run_id: str, question: e.ApprovalRequested, answer: Answer) -> None:
    """Record the answer. Raises `RefusedError` if another one was first."""
    which = question.request if question.gate == PERMISSION else None
    node, said = question.node, answer.said
    if answer.decision == "approve" and "approve" not in question.decisions:
        requests.approve(workspace, run_id, node, comment=said, request=which, via="cli")
    elif answer.decision == "reject" and "reject" not in question.decisions:
        requests.reject(workspace, run_id, node, reason=said, request=which, via="cli")
    else:
        requests.respond(workspace, run_id, node, answer.decision, text=said, request=which, via="cli")
