"""Asking the person at the terminal: gates and permissions are answered right where the run is shown.

A question is put while other nodes run, one at a time; an answer from another terminal
closes it here. Nothing is asked unless a person sits in front of both ends of the terminal. What is typed goes through
the same requests as `ion approve`, so that an answer counts exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from ion import Run, RunState
from ion import events as e
from ion.cli.background_writer import LINES
from ion.cli.terminal import Screen
from ion.errors import IonError, RefusedError
from ion.names import is_within
from ion.views.answers import LATER, VIEW, Answer, AnswerChoice, keys_of, meant, offer, unknown
from ion.views.text import one_line
from ion.views.waiting import PERMISSION, Labels, labels_at, waiting_in

if TYPE_CHECKING:
    from ion.api.workspace import Workspace
    from ion.cli.background_writer import BackgroundWriter, Meanwhile

# Lines around a message that must stand on the screen with it: its header, the decisions' frame, the prompt.
_LINES_AROUND = 7
# How long a pasted text may take to come whole once its first line is there.
_PASTE_S = 0.05
_PASTED_LINES = 100
# Events after which nothing is asked any more, and those after which perhaps a node asks no more.
_ENDS = (e.WorkflowFinishing, e.WorkflowCompleted, e.WorkflowFailed, e.WorkflowCancelled)
_OVERTAKING = (e.NodeStarted, e.NodeFailed, e.NodeCancelled, e.NodeCompleted, e.GateExpired, e.ScopeOpened)


def person_present() -> bool:
    """Whether somebody can read a question on stderr and type an answer, and this process is in the foreground."""
    if os.environ.get("CI") or sys.stdin is None or sys.stderr is None:
        return False
    try:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


class Asker(Struct, dict=True):
    """Watches a run for questions, and puts them. `pause` and `resume` make room on the screen for one; `writer` is
    what the screen writes to; `meanwhile` says what happens while one is open, unless lines do that anyway. `labels`
    are those of the workflow's decisions. `answered`: something was answered here."""

    wants_lines = False

    workspace: Workspace
    screen: Screen
    writer: BackgroundWriter
    pause: Callable[[], None]
    resume: Callable[[], None]
    meanwhile: Meanwhile | None = None
    labels: Labels = field(default_factory=dict)
    answered: bool = False
    _open: dict[str, e.ApprovalRequested] = field(default_factory=dict)
    _closed: dict[str, str] = field(default_factory=dict)
    _later: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:  # noqa: ARG002
        event = recorded.event
        if isinstance(event, e.WorkflowResumed):
            self._open = {one.request: one.gate for one in waiting_in(state) if one.gate is not None}
        elif isinstance(event, e.ApprovalRequested):
            self._open[event.request] = event
        elif isinstance(event, e.ApprovalResolved):
            by = event.by.get("user")
            self._close(event.request, f"{event.decision}{f' by {by}' if by else ''}")
        elif isinstance(event, _ENDS):
            for request in tuple(self._open):
                self._close(request, "the run has ended")
        elif isinstance(event, _OVERTAKING):
            for one in [one for one in self._open.values() if is_within(one.node, event.node)]:
                now = state.nodes.get(one.node)
                if now is None or one.request not in now.requests:
                    self._close(one.request, "it is not asked any more")
        self._news.set()

    def progress(self, run_id: str, node: str, line: str) -> None:
        pass

    def _close(self, request: str, how: str) -> None:
        self._open.pop(request, None)
        self._closed[request] = how

    async def attend(self, run_id: str, drive: asyncio.Future[Any]) -> None:
        """Put every question that comes up, until the drive is over and none is left that somebody wants to answer."""
        self._news = asyncio.Event()  # one belongs to one loop
        while True:
            question = next((one for one in self._open.values() if one.request not in self._later), None)
            if question is not None:
                await self._put(run_id, question)
                continue
            if drive.done():
                return
            await self._news_or(drive)

    async def _news_or(self, something: asyncio.Future[Any]) -> None:
        """Wait until it is done or something has happened in the run."""
        self._news.clear()
        news: asyncio.Future[Any] = asyncio.ensure_future(self._news.wait())
        await asyncio.wait((something, news), return_when=asyncio.FIRST_COMPLETED)
        news.cancel()

    def give_up(self) -> None:
        """No more questions: the person pressed Ctrl-C."""
        self._later.update(self._open)
        self._news.set()

    async def _put(self, run_id: str, question: e.ApprovalRequested) -> None:
        self.pause()
        if self.meanwhile is not None:
            self.meanwhile.begin()
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
            run, which = Run(self.workspace, run_id), question.request if question.kind == PERMISSION else None
            await asyncio.to_thread(run.answer, answer.decision, question.node, text=answer.said, request=which)
        except IonError as error:
            self.screen.line("  ", ("attention", "not recorded"), f": {error.message}")
            if not isinstance(error, RefusedError):  # it is open as before, and can be taken up again
                self._later.add(question.request)
                return
        else:
            self.answered = True
        self._close(question.request, answer.decision)

    # ------------------------------------------------------------------ the conversation

    async def _answer(self, question: e.ApprovalRequested) -> Answer | None:
        """What the person decides; None: later, or it was answered elsewhere."""
        left = self._show(question)
        while True:
            line = await self._type(offer(question, view=bool(left)), question.request)
            if line is None:
                return None
            word, _, said = line.partition("\n")[0].strip().partition(" ")
            choice = meant(question, word)
            if choice is not None:
                answer = await self._with_text(question, choice, said.strip())
                if answer is not None:
                    return answer
            elif word.lower() in LATER:
                return None
            elif word.lower() in VIEW:
                await self._view(question)
            elif word:
                self._say(unknown(question, word))
            if question.request in self._closed or question.request in self._later:
                return None

    async def _with_text(self, question: e.ApprovalRequested, choice: AnswerChoice, said: str) -> Answer | None:
        """The answer with what is said with it; None: it is not given after all."""
        if said and choice.silent:
            why = "no rounds are left" if question.last else "with one it would be another round"
            self._say(f"to {choice.name} takes no comment; {why}")
            return None
        if not said and choice.asks:
            typed = await self._type(f"  {choice.asks}", question.request)
            if typed is None:
                return None
            said = typed.strip()
        if not said and choice.needs:
            self._say("nothing was said, so nothing was answered")
            return None
        return Answer(choice.decision, said)

    def _say(self, text: str) -> None:
        self.screen.lines(f"  {line}" for line in self.screen.wrap(text, indent=2))

    def _show(self, question: e.ApprovalRequested) -> int:
        """The question, with as much of its message as the screen has room for; gives how many lines are left."""
        screen = self.screen
        lines = self._lines(question)
        labels = labels_at(self.labels, question.node)
        decisions = () if question.kind == PERMISSION else question.decisions
        room = max(3, shutil.get_terminal_size().lines - _LINES_AROUND - LINES - len(decisions))
        screen.line()
        screen.line(("attention", "⏸" if screen.unicode else "gate"), " ", ("strong", question.node), f"   {lines[0]}")
        for line in lines[1:room]:
            screen.line(f"    {line}" if line else "")
        left = len(lines[room:])
        if left:
            screen.line("    ", ("faint", f"… {left} more {'lines' if left > 1 else 'line'}: [v]iew all"))
        if decisions:
            screen.line()
        keys = keys_of(question)
        shown = [f"[{key}]" if key == name else f"[{key}] {name}" for key, name in zip(keys, decisions, strict=False)]
        longest = max(map(len, shown), default=0)
        for text, name in zip(shown, decisions, strict=True):
            screen.line(f"    {text:<{longest}}   {labels.get(name, '')}")
        screen.line()
        return left

    def _lines(self, question: e.ApprovalRequested) -> list[str]:
        turn = f"  (iteration {question.iteration})" if question.iteration else ""
        head = len(question.node) + (5 if self.screen.unicode else 8)
        first, *rest = question.message.splitlines() or [""]
        apart = [""] if rest and rest[0].strip() else []
        return self.screen.wrap("\n".join([f"{first}{turn}", *apart, *rest]), indent=4, first=head - 4)

    async def _view(self, question: e.ApprovalRequested) -> None:
        """The whole message, a screen at a time."""
        lines = self._lines(question)
        page = max(3, shutil.get_terminal_size().lines - 2 - LINES)
        self.screen.line()
        for start in range(0, len(lines), page):
            self.screen.lines(f"    {line}" if line else "" for line in lines[start : start + page])
            seen = min(start + page, len(lines))
            if seen < len(lines):
                prompt = f"  {seen} of {len(lines)} lines   Enter: more   [q]uit   ›"
                typed = await self._type(prompt, question.request)
                if typed is None or typed.strip():
                    return
        self.screen.line()

    async def _type(self, prompt: str, request: str) -> str | None:
        """What the person types, most often a line; None at the end of input, or when the question is over."""
        descriptor = sys.stdin.fileno()
        # In this order in the thread that writes: what is typed before the question can be read is dropped, and what
        # is typed once the prompt is there counts.
        self.writer.then(partial(_forget_typed, descriptor))
        stands = f"{self.screen.plain(prompt)} "
        if self.meanwhile is not None:
            self.meanwhile.open(stands)
        else:
            self.writer.stand(stands)
        typed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            if await self._still(self._shown(), request):
                asyncio.get_running_loop().add_reader(descriptor, _read, descriptor, typed)
                await self._still(typed, request)
        finally:
            asyncio.get_running_loop().remove_reader(descriptor)
            if self.meanwhile is not None:
                self.meanwhile.close()
            else:
                self.writer.stand("")
            if not typed.done():
                self.writer.write("\n")
        if not typed.done():
            if request in self._closed:
                self.screen.line("  ", ("attention", "answered elsewhere"), f": {one_line(self._closed[request])}")
            return None
        data = typed.result()
        if not data.endswith(b"\n"):  # Ctrl-D: nothing was echoed that would end the line
            self.writer.write("\n")
        return data.decode("utf-8", "replace").rstrip("\n") if data else None

    def _shown(self) -> asyncio.Future[None]:
        """Done once all that was written is on the terminal: nobody answers what they cannot read yet."""
        loop = asyncio.get_running_loop()
        shown: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(lambda: None if shown.done() else shown.set_result(None))

        self.writer.then(tell)
        return shown

    async def _still(self, something: asyncio.Future[Any], request: str) -> bool:
        """Wait for it; False if the question is over before."""
        while not something.done() and request not in self._closed and request not in self._later:
            await self._news_or(something)
        return something.done()


def _forget_typed(descriptor: int) -> None:
    import termios

    with contextlib.suppress(termios.error):
        termios.tcflush(descriptor, termios.TCIFLUSH)


def _read(descriptor: int, typed: asyncio.Future[bytes]) -> None:
    """What is in the terminal's buffer: a line, several of a text that was pasted, or nothing at its end."""
    if typed.done():
        return
    try:
        data = os.read(descriptor, 1 << 16)
        for _ in range(_PASTED_LINES if data else 0):
            if not select.select([descriptor], (), (), _PASTE_S)[0]:
                break
            data += os.read(descriptor, 1 << 16)
    except OSError:
        data = b""
    typed.set_result(data)
