"""One agent's process: its start, its sessions, the turns that run in them, and its end.

It lives as long as the run is driven here. When it dies, every turn in it has crashed; the next prompt starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from ion import process
from ion.agents.acp import v1
from ion.agents.acp.protocol import (
    Abilities,
    AgentRefusedError,
    GoneError,
    OpenedSession,
    PermissionOption,
    SessionSetting,
    SessionSetup,
    ToolCall,
    Update,
)
from ion.agents.acp.v1 import AcpConnectionV1
from ion.agents.base import AgentError
from ion.process.child import ProcessSpec
from ion.process.stdio import StdioProcess, start_stdio

_Result = TypeVar("_Result")
# A launcher of the settings' command, such as npx, may first have to download the agent.
BEGIN_SECONDS = 180.0
CALL_SECONDS = 60.0
_DEATH_SECONDS = 2.0
STDERR_CHARACTERS = 4000


class SessionTurn(Protocol):
    """What a turn (`turn.PromptTurn`) hears of its agent while it runs."""

    def updated(self, update: Update) -> None: ...

    async def permitted(self, call: ToolCall, choices: tuple[PermissionOption, ...]) -> int | None: ...


class Session(Struct):
    """A session in a process. `turn` is the one that runs in it, `told` the system prompt that it has been given;
    `cost` is what it has cost before, in dollars, `used` the usage that the agent has reported of it: None: unknown."""

    opened: OpenedSession
    setup: SessionSetup
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    turn: SessionTurn | None = None
    told: str | None = None
    cost: float | None = 0.0
    used: Mapping[str, float] | None = field(default_factory=dict)

    def count_on(self, total: Mapping[str, Any]) -> None:
        """If what it has used is unknown, it is what was recorded of it, if that is anything."""
        known = {name: used for name, used in total.items() if name != "session"}
        cost = known.pop("cost_usd", None)
        self.cost = cost if self.cost is None else self.cost
        self.used = known or None if self.used is None else self.used

    @property
    def total(self) -> dict[str, Any]:
        """What it has used in all, as far as the agent reports that, for the next turn in it."""
        reported = {**(self.used or {}), **({"cost_usd": self.cost} if self.cost else {})}
        return {"session": self.opened.session, **reported} if reported else {}

    def setting(self, kind: str) -> SessionSetting | None:
        """Its setting of this kind, if the agent offers one."""
        return next((one for one in self.opened.settings if one.kind == kind), None)

    def update(self, settings: tuple[SessionSetting, ...]) -> None:
        """Take over the settings that have changed."""
        now = {one.kind: one for one in (*self.opened.settings, *settings)}
        self.opened = replace(self.opened, settings=tuple(now.values()))


class Share(Struct):
    """The part of a process's stderr that comes while a prompt is answered: where it begins, and whether no other
    prompt was answered meanwhile, so that it is about this one."""

    begin: int
    alone: bool


class Running:
    """A process that speaks ACP, made by `start`."""

    def __init__(self, name: str, conversation: StdioProcess, grace_ms: int) -> None:
        self.name = name
        self.grace_ms = grace_ms
        self.sessions: dict[str, Session] = {}
        self._shares: list[Share] = []
        self.abilities = Abilities()
        self._stdio = conversation
        self.link = AcpConnectionV1(conversation, self)
        self._ending: asyncio.Task[None] | None = None
        self._by_itself = False
        self._reopening = asyncio.Lock()
        conversation.child.over.add_done_callback(self._over)

    @property
    def alive(self) -> bool:
        """Whether it can be prompted."""
        return self._ending is None and self.link.alive and not self._stdio.child.over.done()

    # ------------------------------------------------------------------ what the agent says (`protocol.AcpClient`)

    def updated(self, session: str, update: Update) -> None:
        """Pass it to the turn that runs in the session. Without a turn it is replayed history, or late, and is
        dropped."""
        turn = self._turn_in(session)
        if turn is not None:
            turn.updated(update)

    async def permitted(self, session: str, call: ToolCall, choices: tuple[PermissionOption, ...]) -> int | None:
        turn = self._turn_in(session)
        return None if turn is None else await turn.permitted(call, choices)

    def _turn_in(self, session: str) -> SessionTurn | None:
        found = self.sessions.get(session)
        return None if found is None else found.turn

    # ------------------------------------------------------------------ what Ion asks

    async def call(self, call: Awaitable[_Result], what: str, seconds: float = CALL_SECONDS) -> _Result:
        """Wait for a call, with a time limit. Raises `AgentError` for a silent or dead agent, and
        `AgentRefusedError`."""
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError:
            message = f"agent {self.name} did not answer {what} within {seconds:.0f} s{self.last_words()}"
            await self.end()
            raise AgentError("timeout", message) from None
        except GoneError as error:
            raise await self.died(error.message) from error

    async def new_session(self, cwd: str, setup: SessionSetup, system: str | None) -> Session:
        """A new, empty session. Raises `AgentError`, `AgentRefusedError`."""
        placed = system if self.abilities.system else None
        opened = await self.call(self.link.open(cwd, setup, placed), "session/new")
        if opened.session in self.sessions:
            raise AgentRefusedError("wrong", "it gave two sessions the same name, so that nobody can tell them apart")
        self.sessions[opened.session] = Session(opened, setup, told=placed)
        return self.sessions[opened.session]

    async def old_session(self, session: str, cwd: str, setup: SessionSetup) -> Session | None:
        """A session of this process, or of an earlier one; None if the agent cannot continue it. One that was opened
        otherwise is opened again with `setup` if the agent can do that: see `Session.setup`."""
        async with self._reopening:  # a history that is said again must not get into a turn that continues by then
            known = self.sessions.get(session)
            if known is not None and (known.setup == setup or known.turn is not None):
                return known
            if not (self.abilities.resume or self.abilities.load):
                return known
            try:
                call = self.link.reopen(session, cwd, setup, self.abilities)
                opened = await self.call(call, "for its session")
            except AgentRefusedError as error:
                if error.kind == "login":
                    raise
                return known
            if known is None:
                known = self.sessions[session] = Session(opened, setup, cost=None, used=None)
            known.opened, known.setup = opened, setup
            return known

    # ------------------------------------------------------------------ its end

    async def died(self, problem: str = "", share: Share | None = None) -> AgentError:
        """The error of an agent that is gone; the rest of it is ended."""
        await asyncio.wait({self._stdio.child.exited}, timeout=_DEATH_SECONDS)
        await self.end()
        if problem:
            what = f"was ended: {problem}"
        elif self._by_itself:
            what = f"ended in the middle of its work [{_status(self._stdio)}]"
        else:
            what = "was ended, or closed its output, in the middle of its work"
        return AgentError("crashed", f"agent {self.name} {what}{self.last_words(share)}")

    def _over(self, over: asyncio.Future[str]) -> None:
        """It has ended, or its stderr can no longer be read (a full disk) and it would hang."""
        if over.cancelled() or self._ending is not None:
            return
        self._by_itself = over.result() == "exited"
        self._ending = asyncio.create_task(self._end())

    @contextlib.contextmanager
    def answering(self) -> Iterator[Share]:
        """While this lasts a prompt is answered."""
        for other in self._shares:
            other.alone = False
        mine = Share(self._stderr_size(), alone=not self._shares)
        self._shares.append(mine)
        try:
            yield mine
        finally:
            self._shares.remove(mine)

    def last_words(self, share: Share | None = None) -> str:
        """The end of its stderr, for an error's message (of a prompt: of its share); '' if it is empty, or may be about
        another prompt."""
        if not share.alone if share is not None else self._shares:
            return ""
        said = process.tail(self._stdio.stderr, STDERR_CHARACTERS, share.begin if share is not None else 0).strip()
        return f": {said}" if said else ""

    def _stderr_size(self) -> int:
        try:
            return self._stdio.stderr.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def stderr(self) -> Path:
        """The file of its stderr."""
        return self._stdio.stderr

    async def end(self) -> None:
        """End it and all that it started. May be called several times at once."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        try:
            await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            self.close()
            raise

    async def _end(self) -> None:
        try:
            await self._stdio.end(self.grace_ms)
        finally:
            await self.link.close()

    def close(self) -> None:
        """Kill it. Does not await."""
        self._stdio.close()


def _status(conversation: StdioProcess) -> str:
    code = conversation.child.returncode
    return "no status" if code is None else f"exit {code}" if code >= 0 else f"signal {-code}"


async def start(name: str, program: ProcessSpec, grace_ms: int) -> Running:
    """Start an agent and agree with it on the protocol. Raises `AgentError`, `AgentRefusedError`,
    `process.SpawnError`."""
    running = Running(name, start_stdio(program, v1.LONGEST_LINE), grace_ms)
    try:
        running.abilities = await running.call(running.link.begin(), "initialize", BEGIN_SECONDS)
    except AgentRefusedError as error:
        await running.end()
        if error.kind != "unknown":
            raise
        message = f"agent {name} does not speak the Agent Client Protocol: {error.message}"
        raise AgentError("bad_output", message, hint="is this how it is started as an ACP agent?") from error
    except BaseException:
        await running.end()
        raise
    return running
