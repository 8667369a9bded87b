"""One prompt in one session: collects the reply, answers questions, and ends within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ion.agents.acp import permissions
from ion.agents.acp.protocol import AgentRefusedError, Ended, GoneError, PermissionOption, ToolCall, Update
from ion.agents.acp.running import Running, Session
from ion.agents.base import AgentError, Permission, PromptRequest, PromptResult, UnpermittedError
from ion.agents.clock import Clock
from ion.agents.parsers import refused_calls
from ion.masking import tail

MAX_REPLY_CHARACTERS = 16 * 1024 * 1024
_CANCEL_SECONDS = 10.0
_MAX_CALLS = 1000
_LINE_CHARACTERS = 200
_MAX_QUESTIONS = 100
_LIMITS = {"max_tokens": "its limit of tokens", "max_turn_requests": "its limit of requests in one turn"}
_TOO_MUCH = {
    "long": f"replied with more than {MAX_REPLY_CHARACTERS} characters",
    "many": f"asked for more than {_MAX_QUESTIONS} permissions at once",
}


class PromptTurn:
    """A prompt while it is answered. `said` gets each piece of the reply as it comes. `counted`: a turn that a model
    answered always reports its usage."""

    def __init__(
        self,
        running: Running,
        session: Session,
        request: PromptRequest,
        policy: str,
        said: Callable[[str], None],
        *,
        counted: bool = False,
    ) -> None:
        self._running = running
        self._session = session
        self._request = request
        self._policy = policy
        self._said = said
        self._counted = counted
        self._pieces: list[tuple[str | None, str]] = []
        self._refused: list[str] = []
        self._length = 0
        self._calls: dict[str, ToolCall] = {}
        self._progress = Progress(request.progress)
        self._verdicts = dict(request.verdicts)
        self._asked: dict[str, Permission] = {}
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._clock: Clock | None = None
        self._cost: float | None = None

    # ------------------------------------------------------------------ what the agent says

    def updated(self, update: Update) -> None:
        """Handle what the agent sent; called in the order in which it was sent."""
        if self._clock is not None:
            self._clock.alive()
        if update.text:
            self._length += len(update.text)
            if self._length > MAX_REPLY_CHARACTERS:
                self._stop("long")
                return
            self._pieces.append((update.message, update.text))
            self._said(update.text)
        if update.cost is not None:
            self._cost = update.cost
        self._progress.show(update, self._known(update.tool) if update.tool is not None else None)

    def _known(self, call: ToolCall) -> ToolCall:
        self._calls[call.id] = known = permissions.merged(self._calls.get(call.id), call)
        if known.status in ("completed", "failed"):
            del self._calls[call.id]
        elif len(self._calls) > _MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        return known

    async def permitted(self, call: ToolCall, choices: tuple[PermissionOption, ...]) -> int | None:
        """What to answer the agent."""
        if self._stopped.done():
            return None
        call = permissions.merged(self._calls.get(call.id), call)
        allowed = permissions.by_policy(self._policy, call)
        if allowed is not None:
            if not allowed:
                self._refused.append(call.kind or "other")
            return permissions.choice_for(allowed, choices)
        asks = permissions.permission(self._running.name, call, choices)
        decision = self._verdicts.get(asks.key) or await self._decided(asks)
        return None if decision is None else permissions.choice_of(decision, choices)

    async def _decided(self, asks: Permission) -> str | None:
        """A person's decision; None once the turn is ended without an answer, or for another reason."""
        self._asked[asks.key] = asks
        if len(self._asked) > _MAX_QUESTIONS:
            self._stop("many")
            return None
        if self._request.ask is None or self._clock is None:
            self._stop("unpermitted")
            return None
        with self._clock.standing_still():
            asking = asyncio.ensure_future(self._request.ask(asks))
            try:
                first: set[asyncio.Future[Any]] = {asking, self._stopped}
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asking.cancel()
        decision = asking.result() if asking.done() and not asking.cancelled() else None
        if decision is None:
            self._stop("unpermitted")
            return None
        self._asked.pop(asks.key, None)
        self._verdicts[asks.key] = decision
        return decision

    def _stop(self, why: str) -> None:
        if not self._stopped.done():
            self._stopped.set_result(why)

    # ------------------------------------------------------------------ from its beginning to its end

    async def run(self, prompt: str, clock: Clock) -> PromptResult:
        """Ask, within the limits of the clock. Raises `AgentError`, `UnpermittedError`, `AgentRefusedError`."""
        self._clock = clock
        clock.alive()
        self._session.turn = self
        about = {"run": self._request.run_id, "node": self._request.node, "idempotencyKey": self._request.key}
        call = asyncio.ensure_future(self._running.link.prompt(self._session.opened.session, prompt, about))
        try:
            overdue = await clock.overdue(call, self._stopped)
            if not call.done():
                await self._end(call)
        except asyncio.CancelledError:
            self._stop("cancelled")
            await self._end(call)
            raise
        finally:
            self._session.turn = None
            self._stop("over")
            if not call.done():
                call.cancel()
        if overdue:
            raise AgentError(
                "timeout", f"agent {self._name} {overdue}{self._running.last_words()}", usage=self._usage(call)
            )
        return await self._result(call)

    async def _end(self, call: asyncio.Future[Ended]) -> None:
        """Ask for the end of the turn. An agent that does not react is ended, and with it every other turn in it:
        this turn must not continue."""
        self._stop("ended")
        seconds = min(_CANCEL_SECONDS, max(1.0, self._request.grace_ms / 1000))
        try:
            async with asyncio.timeout(seconds):
                await self._running.link.cancel(self._session.opened.session)
                await asyncio.wait({call})
        except (TimeoutError, GoneError):
            await self._running.end()
            await asyncio.wait({call}, timeout=1.0)
        except asyncio.CancelledError:
            self._running.close()
            raise

    async def _result(self, call: asyncio.Future[Ended]) -> PromptResult:
        why = self._stopped.result() if self._stopped.done() else ""
        usage = self._usage(call)
        if why == "unpermitted":
            raise UnpermittedError(tuple(self._asked.values()), usage=usage)
        if why in _TOO_MUCH:
            raise AgentError("bad_output", f"agent {self._name} {_TOO_MUCH[why]}", usage=usage)
        try:
            ended = await call
        except GoneError as error:
            raise await self._running.died(error.message) from error
        except AgentRefusedError as error:
            if error.kind != "broken":
                raise
            message = f"agent {self._name} answered: {error.message}{self._running.last_words()}"
            raise AgentError("crashed", message, usage=usage) from error
        text = self._reply()
        match ended.reason:
            case "done":
                if self._was_not_answered(ended):
                    last = "".join(piece for _, piece in self._pieces)
                    raise AgentError("crashed", self._with_text("ended the turn without an answer of a model", last))
                notes = refused_calls(self._refused)
                return PromptResult(text, self._session.opened.session, usage=usage, notes=notes)
            case "refused":
                raise AgentError("refused", self._with_text("refused to continue", text), usage=usage)
            case "cancelled":
                raise AgentError("cancelled", self._with_text("says that its turn was cancelled", text), usage=usage)
        limit = _LIMITS.get(ended.reason, ended.reason)
        raise AgentError("bad_output", self._with_text(f"stopped before it was done: {limit}", text), usage=usage)

    def _reply(self) -> str:
        """The last message. Pieces without a message name are the whole reply if none has one, else notices of the
        program."""
        last = next((message for message, _ in reversed(self._pieces) if message is not None), None)
        return "".join(piece for message, piece in self._pieces if message == last)

    def _was_not_answered(self, ended: Ended) -> bool:
        """Whether the turn ended with the program's own words, because no model answered: it reports no usage, and
        the last text is not part of a named message."""
        return self._counted and not ended.usage and (not self._pieces or self._pieces[-1][0] is None)

    @property
    def _name(self) -> str:
        return self._running.name

    def _with_text(self, what: str, text: str) -> str:
        said = tail(text.strip(), 500)
        return f"agent {self._name} {what}" + (f": {said}" if said else "")

    def _usage(self, call: asyncio.Future[Ended]) -> dict[str, float]:
        """What the turn has cost, as far as the agent says; totals of a session are counted from its beginning."""
        spent: dict[str, float] = {}
        if call.done() and not call.cancelled() and call.exception() is None:
            spent.update(call.result().usage)
        if self._cost is not None:
            if self._session.cost is not None:
                spent["cost_usd"] = max(0.0, self._cost - self._session.cost)
            self._session.cost, self._cost = self._cost, None
        return spent


class Progress:
    """What an agent does in one turn, as short lines for whoever watches: tool calls as they start and fail, the state
    of its plan, and its thoughts. `say` gets each as it comes; untrusted text, on one line."""

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self._say = say
        self._thought = ""
        self._last = ""

    def show(self, update: Update, call: ToolCall | None) -> None:
        """Report what is new; `call` is the update's tool call with all that is known of it."""
        if update.thought:
            self._think(update.thought)
        elif call is not None and update.tool is not None:
            failed = "failed: " if update.tool.status == "failed" else ""
            if failed or update.tool.title or update.tool.status is None:
                self._line(f"{failed}{call.title or call.kind or 'a tool'}")
        elif update.plan:
            done = sum(status == "completed" for status, _ in update.plan)
            at = next((text for status, text in update.plan if status == "in_progress"), "")
            self._line(f"plan {done}/{len(update.plan)}{': ' if at else ''}{at}")

    def _think(self, text: str) -> None:
        *lines, rest = (self._thought + text).split("\n")
        self._thought = rest[-_LINE_CHARACTERS * 4 :]
        for line in lines:
            if line.strip():
                self._line(f"thinks: {line}")

    def _line(self, text: str) -> None:
        line = " ".join(text[: 4 * _LINE_CHARACTERS].split())
        line = line if len(line) <= _LINE_CHARACTERS else f"{line[: _LINE_CHARACTERS - 1]}…"
        if self._say is not None and line and line != self._last:
            self._last = line
            self._say(line)
