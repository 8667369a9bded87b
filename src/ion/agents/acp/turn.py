"""One prompt in one session: collects the reply, answers questions, and ends within its limits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ion.agents.acp import permissions
from ion.agents.acp.protocol import AgentRefusedError, Ended, GoneError, PermissionOption, ToolCall, Update
from ion.agents.acp.running import Running, Session, Share
from ion.agents.base import AgentError, Permission, PromptRequest, PromptResult, UnpermittedError
from ion.agents.clock import Clock
from ion.agents.parsers import codex_code
from ion.agents.presets import Preset
from ion.agents.reading import refused_calls
from ion.agents.streams import Step
from ion.masking import tail

MAX_REPLY_CHARACTERS = 16 * 1024 * 1024
_CANCEL_SECONDS = 10.0
_MAX_CALLS = 1000
_LONGEST_THOUGHT = 1000
_MAX_QUESTIONS = 100
_LIMITS = {"max_tokens": "its limit of tokens", "max_turn_requests": "its limit of requests in one turn"}
_TOO_MUCH = {
    "long": f"replied with more than {MAX_REPLY_CHARACTERS} characters",
    "many": f"asked for more than {_MAX_QUESTIONS} permissions at once",
}


class PromptTurn:
    """A prompt while it is answered. `said` gets the text of its replies as it comes, `take` each step."""

    def __init__(
        self,
        running: Running,
        session: Session,
        request: PromptRequest,
        preset: Preset,
        policy: str,
        said: Callable[[str], None],
        take: Callable[[Step], None],
    ) -> None:
        self._running = running
        self._session = session
        self._request = request
        self._preset = preset
        self._policy = policy
        self._said = said
        self._steps = StepsOfTurn(take)
        self._pieces: list[tuple[str | int, str]] = []
        self._calls_begun = 0
        self._last_notice = ""
        self._refused: list[str] = []
        self._refused_last = False
        self._length = 0
        self._calls: dict[str, ToolCall] = {}
        self._verdicts = dict(request.verdicts)
        self._asked: dict[str, Permission] = {}
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._clock: Clock | None = None
        self._share: Share | None = None
        self._cost: float | None = None
        self._counted: Counter[str] = Counter()

    # ------------------------------------------------------------------ what the agent says

    def updated(self, update: Update) -> None:
        """Handle what the agent sent; called in the order in which it was sent."""
        if self._clock is not None:
            self._clock.alive()
        if update.text and update.message is None and self._preset.named_messages:
            update = replace(update, text="", notice=update.text)
        self._calls_begun += update.begins
        if update.text:
            self._length += len(update.text)
            if self._length > MAX_REPLY_CHARACTERS:
                self._stop("long")
                return
            # A message without a name ends where the agent calls a tool.
            message = update.message if update.message is not None else self._calls_begun
            self._pieces.append((message, update.text))
            self._refused_last &= self._preset.refusal_ends
            self._said(update.text)
            self._steps.text(message, update.text)
        if update.text or update.notice:
            self._last_notice = update.notice or ("" if update.message is not None else update.text)
        if update.cost is not None:
            self._cost = update.cost
        self._counted.update(update.usage)
        self._steps.show(update, self._known(update.tool) if update.tool is not None else None)

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
                self._refused_last = True
            return permissions.choice_for(allowed, choices)
        asks = permissions.permission(self._running.name, call, choices)
        decision = self._verdicts.get(asks.key) or await self._decided(asks)
        if decision is None:
            return None
        self._refused_last = not decision.startswith("allow")
        return permissions.choice_of(decision, choices)

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
        self._session.count_on(self._request.session_total)
        try:
            with self._running.answering() as self._share:
                return await self._run(prompt, clock)
        except AgentError as error:
            error.session_total = self._session.total
            raise

    async def _run(self, prompt: str, clock: Clock) -> PromptResult:
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
            self._steps.end()
            self._session.turn = None
            self._stop("over")
            if not call.done():
                call.cancel()
        if overdue:
            message = f"agent {self._name} {overdue}{self._running.last_words(self._share)}"
            raise AgentError("timeout", message, usage=self._usage(call))
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
            raise await self._running.died(error.message, self._share) from error
        except AgentRefusedError as error:
            more = self._running.last_words(self._share) if error.kind == "broken" else ""
            raise refused(self._preset, self._name, error, usage, more) from error
        text = self._reply()
        match ended.reason:
            case "done":
                if self._was_not_answered(ended):
                    what = self._with_text("ended the turn without an answer of a model", self._last_notice)
                    raise AgentError(codex_code(self._last_notice) or "crashed", what)
                notes = refused_calls(self._refused)
                if self._refused_last:
                    what = self._with_text("ended its turn when a tool call was refused", text)
                    raise AgentError("refused", what, hint="; ".join(notes), usage=usage)
                total = self._session.total
                return PromptResult(text, self._session.opened.session, usage=usage, notes=notes, session_total=total)
            case "refused":
                raise AgentError("refused", self._with_text("refused to continue", text), usage=usage)
            case "cancelled":
                raise AgentError("cancelled", self._with_text("says that its turn was cancelled", text), usage=usage)
        limit = _LIMITS.get(ended.reason, ended.reason)
        raise AgentError("bad_output", self._with_text(f"stopped before it was done: {limit}", text), usage=usage)

    def _reply(self) -> str:
        """The last message. Of an agent that names its messages, what has no name is a notice of the program."""
        spoken = [message for message, text in self._pieces if text.strip()]
        last = next((one for one in reversed(spoken) if isinstance(one, str)), spoken[-1] if spoken else None)
        return "".join(text for message, text in self._pieces if message == last)

    def _was_not_answered(self, ended: Ended) -> bool:
        """Whether the turn ended with the program's own words, because no model answered: it reports no usage, and
        the last text is not part of a named message."""
        silent = not self._pieces or bool(self._last_notice)
        return self._preset.usage in ("always", "total") and not ended.usage and silent

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
        spent = spent or dict(self._counted)
        if spent and self._preset.usage == "total":
            before, self._session.used = self._session.used, dict(spent)
            spent = {} if before is None else {name: max(0, n - before.get(name, 0)) for name, n in spent.items()}
        if self._cost is not None:
            known = self._session.cost
            if known is not None:  # one that is opened again may count anew
                spent["cost_usd"] = self._cost - known if self._cost >= known else self._cost
            self._session.cost, self._cost = self._cost, None
        return spent


_CODES = {
    "busy": "rate_limited",
    "quota": "quota_exhausted",
    "refused": "refused",
    "root": "refused",
    "broken": "crashed",
}
_ROOT_HINT = "in a container, as root, it starts with IS_SANDBOX=1 in its `env`; elsewhere do not be root"


def refused(
    preset: Preset, name: str, error: AgentRefusedError, usage: dict[str, float] | None = None, more: str = ""
) -> AgentError:
    """The failure of a prompt for an error that the agent answered with."""
    if error.kind == "login":
        message = f"agent {name} is not logged in: {error.message}"
        return AgentError("not_logged_in", message, hint=preset.login, usage=usage)
    message = f"agent {name} answered: {error.message}{more}"
    code = _CODES.get(error.kind, "bad_output")
    hint = _ROOT_HINT if error.kind == "root" else ""
    return AgentError(code, message, hint=hint, usage=usage, resets_at=error.resets_at)


class StepsOfTurn:
    """The steps that updates are: tool calls as they start and fail, the state of the plan, thoughts, notices, and the
    lines of the reply. `take` gets each as it comes."""

    def __init__(self, take: Callable[[Step], None]) -> None:
        self._take = take
        self._message: str | int | None = None
        self._text = self._thought = ""

    def text(self, message: str | int, text: str) -> None:
        """A piece of a message."""
        if message != self._message:
            self.end()
            self._message = message
        *lines, self._text = (self._text + text).split("\n")
        for line in lines:
            self._line("says", line)

    def end(self) -> None:
        """The message has ended."""
        self._line("says", self._text)
        self._text = ""

    def show(self, update: Update, call: ToolCall | None) -> None:
        """What does not belong to a message; `call` is the update's tool call with all that is known of it."""
        if update.thought:
            *lines, rest = (self._thought + update.thought).split("\n")
            self._thought = rest[-_LONGEST_THOUGHT:]
            for line in lines:
                self._line("thinks", line)
        elif update.notice:
            self._line("trouble", update.notice)
        elif call is not None and update.tool is not None:
            self.end()
            is_whole = update.tool.details.get("rawInput") != {}  # else the input is still on its way
            name = call.title or call.kind or "a tool"
            if update.tool.status == "failed":
                self._line("failed", name)
            elif is_whole and (update.tool.title or update.tool.status is None):
                self._line("does", name)
        elif update.plan:
            done = sum(status == "completed" for status, _ in update.plan)
            at = next((text for status, text in update.plan if status == "in_progress"), "")
            self._line("does", f"plan {done}/{len(update.plan)}{': ' if at else ''}{at}")

    def _line(self, kind: str, text: str) -> None:
        if text.strip():
            self._take(Step(kind, text))
