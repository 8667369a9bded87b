"""One prompt and its answer: of a prompt or command node, of a loop's turn, of a rejected gate.

The text is rendered, the agent is asked (or the prompt is left pending for the caller), and the reply is read: whether
it is empty, fits `output_format`, and ends the loop. An answer to an open prompt is read in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, field

from ion import process
from ion.agents.base import Agent, AgentError, Permission, PromptRequest, PromptResult, UnpermittedError
from ion.core.events import Failure, Reply
from ion.core.foreseen import allowed_failures
from ion.core.loops import read_signal
from ion.core.outcomes import Completed, Failed, Outcome, PromptOpened, Question, Unpermitted
from ion.core.spending import SESSION_TOTAL
from ion.core.values import condition_values
from ion.errors import OutputFormatError
from ion.foreign import unicode
from ion.language.references import find_references
from ion.language.workflow import Approval, Command, EngineReference, Loop, Prompt
from ion.names import is_moment
from ion.nodes.base import Context, Turn, reply_of
from ion.nodes.checking import check_reply
from ion.nodes.replies import CheckedReply, ask_again
from ion.nodes.texts import Values, printable
from ion.nodes.variables import environment

_CONTEXT_NAMES = frozenset({"CONTEXT", "EXTERNAL_CONTEXT", "ISSUE_CONTEXT"})
# An agent keeps its own limits; this much later it is given up.
_OVERDUE_MS = 2000
# A reply that came at the last moment is still looked at.
_LEAST_CHECK_MS = 1000


class _Asked(Struct, frozen=True, gc=False):
    """A rendered prompt and its context. `fresh` is the text for a new session, if that differs; `names` are the
    engine's names that it reads."""

    text: str
    system: str | None
    options: dict[str, Any]
    session: str | None
    fresh: str | None = None
    names: frozenset[str] = frozenset()


async def run(turn: Turn, context: Context) -> Outcome:
    """Ask the node's agent, or leave the prompt pending if it has no agent. Raises `UnreadableReferenceError`."""
    began = time.monotonic()
    agent = context.agent_for(turn.node)
    values = Values(turn, context)
    asked = _asked(turn, context, values, None if agent is None else agent.name)
    if agent is None:
        return _open_prompt(asked, turn, context)
    answered = await _ask(agent, asked, turn, context, values)
    if isinstance(answered, Failed | Unpermitted):
        return answered
    usage = _usage(answered.usage, answered.session_total)
    others = tuple(f"the usage {name!r} is not a number" for name in answered.usage if name not in usage)
    notes = (*answered.notes, *others)
    said = _Said(answered.text, answered.structured, answered.session, agent.name, usage, notes)
    return await _read(said, turn, context, began)


def _usage(usage: Mapping[str, Any], session_total: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of a turn's usage."""
    total = {SESSION_TOTAL: dict(session_total)} if session_total else {}
    return {**_numbers(usage), **total}


def _numbers(usage: Mapping[str, Any]) -> dict[str, float]:
    """What can be added up: what an agent says of its usage comes from outside."""
    return {name: one for name, one in usage.items() if type(one) in (int, float) and math.isfinite(one)}


async def run_answer(turn: Turn, context: Context) -> Outcome:
    """Read the caller's answer to an open prompt."""
    assert turn.answer is not None
    said = _Said(context.read(turn.answer.output), session=turn.answer.session)
    return await _read(said, turn, context, time.monotonic())


# ---------------------------------------------------------------------- what is asked


def _asked(turn: Turn, context: Context, values: Values, agent: str | None) -> _Asked:
    session = turn.session if turn.session_agent == agent else None
    template, fresh = _template(turn), None
    if session is not None and isinstance(turn.node.body, Prompt) and turn.node.body.continued is not None:
        fresh = _filled(template, context, values)
        template = turn.node.body.continued
    text = _filled(template, context, values)
    options = _options(turn.node.options, values)
    system = options.get("systemPrompt")
    if turn.reask:
        text = ask_again(text, turn.reask)
    return _Asked(text, system if isinstance(system, str) else None, options, session, fresh, _engine_names(template))


def _filled(template: str, context: Context, values: Values) -> str:
    text = values.render(template)
    if context.external_context and _CONTEXT_NAMES.isdisjoint(_engine_names(template)):
        text = f"{text}\n\n---\n\n{printable(context.external_context)}"
    return text


def _engine_names(template: str) -> frozenset[str]:
    """The engine's names that a prompt reads; an escaped one is only text."""
    found = (one.reference for one in find_references(template))
    return frozenset(reference.name for reference in found if isinstance(reference, EngineReference))


def _template(turn: Turn) -> str:
    match turn.node.body:
        case Prompt(text):
            return text
        case Command(name) | Loop(command=str(name)):
            return turn.template.workflow.commands[name].text
        case Loop(prompt=str(text)):
            return text
        case Approval(on_reject=rejected) if rejected is not None:
            return rejected.prompt
    raise TypeError(f"'{turn.node.id}' has no prompt")


def _options(options: dict[str, Any], values: Values) -> dict[str, Any]:
    """The node's options, unchanged except for the texts in them (language.md §3.3)."""
    filled = dict(options)
    if isinstance(options.get("systemPrompt"), str):
        filled["systemPrompt"] = values.render(options["systemPrompt"])
    if isinstance(options.get("agents"), dict):
        filled["agents"] = {name: _agent_texts(agent, values) for name, agent in options["agents"].items()}
    return filled


def _agent_texts(agent: Any, values: Values) -> Any:
    if not isinstance(agent, dict):
        return agent
    return {
        key: values.render(item) if key in ("prompt", "description") and isinstance(item, str) else item
        for key, item in agent.items()
    }


def _open_prompt(asked: _Asked, turn: Turn, context: Context) -> PromptOpened:
    key = context.idempotency_key(turn.address, turn.iteration)
    text = context.keep(asked.text)
    return PromptOpened(text, asked.system, asked.session, turn.node.output_format, asked.options, key)


def _request(asked: _Asked, turn: Turn, context: Context, values: Values, ask: _Asking | None) -> PromptRequest:
    node = turn.node
    return PromptRequest(
        run_id=context.run_id,
        node=turn.address,
        prompt=asked.text,
        key=context.idempotency_key(turn.address, turn.iteration),
        cwd=context.cwd,
        iteration=turn.iteration,
        attempt=turn.attempt,
        system=asked.system,
        session=asked.session,
        session_total=turn.session_total if asked.session is not None else {},
        output_format=node.output_format,
        options=asked.options,
        env=environment(turn, context, values, text=" ".join(f"${name}" for name in asked.names)).variables,
        timeout_ms=node.timeout_ms,
        idle_timeout_ms=node.idle_timeout_ms,
        grace_ms=context.grace_ms,
        progress=partial(context.progress, turn.address),
        log=context.folders.logs / turn.log_name,
        register=context.folders.register,
        fresh_prompt=asked.fresh,
        verdicts={key: verdict.decision for key, verdict in context.nodes[turn.address].tries.verdicts.items()},
        ask=ask,
    )


async def _ask(
    agent: Agent, asked: _Asked, turn: Turn, context: Context, values: Values
) -> PromptResult | Failed | Unpermitted:
    """Ask, and handle everything an agent can do: answer, need permissions, fail with a typed error, crash, hang."""
    limit = turn.node.timeout_ms
    overdue = asyncio.timeout(None if limit is None else (limit + context.grace_ms + _OVERDUE_MS) / 1000)
    ask = None if context.ask is None else _Asking(partial(context.ask, turn.address), overdue)
    request = _request(asked, turn, context, values, ask)
    try:
        async with overdue:
            return await agent.prompt(request)
    except UnpermittedError as error:
        return Unpermitted(tuple(map(_question, error.permissions)), _numbers(error.usage))
    except AgentError as error:
        resets_at = error.resets_at if is_moment(error.resets_at) else None
        failure = Failure(error.error_code, error.message, error.hint, resets_at=resets_at)
        return Failed(failure, usage=_usage(error.usage, error.session_total))
    except TimeoutError as error:
        how = f"did not keep its time limit of {limit} ms" if overdue.expired() else f"raised TimeoutError: {error}"
        return Failed(Failure("timeout", f"agent {agent.name} {how}"))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Failed(Failure("cancelled", f"agent {agent.name} cancelled its own work"))
    except process.ScarceError:
        raise
    except Exception as error:  # noqa: BLE001  (an embedder's agent may raise anything; the run must not break on it)
        return Failed(Failure("crashed", f"agent {agent.name} raised {type(error).__name__}: {error}"))


class _Asking:
    """Lets a person decide. The clock of the agent's time limit stops meanwhile."""

    def __init__(self, ask: Callable[[Question], Awaitable[str | None]], overdue: asyncio.Timeout) -> None:
        self._ask = ask
        self._overdue = overdue
        self._open = 0
        self._left: float | None = None

    async def __call__(self, permission: Permission) -> str | None:
        clock = asyncio.get_running_loop().time
        if not self._open and (when := self._overdue.when()) is not None:
            self._left = when - clock()
            self._overdue.reschedule(None)
        self._open += 1
        try:
            return await self._ask(_question(permission))
        finally:
            self._open -= 1
            if not self._open and self._left is not None:
                with contextlib.suppress(RuntimeError):  # the agent has been given up
                    self._overdue.reschedule(clock() + self._left)


def _question(permission: Permission) -> Question:
    return Question(permission.key, printable(permission.message), permission.decisions, permission.kinds)


# ---------------------------------------------------------------------- what is answered


class _Said(Struct, frozen=True, gc=False):
    text: str
    structured: Any = None
    session: str | None = None
    agent: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


async def _read(said: _Said, turn: Turn, context: Context, began: float) -> Outcome:
    node = turn.node
    text = unicode(said.text)
    if said.structured is None and not text.strip():
        return _unfit("the reply is empty", text, said, turn, context)
    loop = node.body if isinstance(node.body, Loop) else None
    signaled, cleaned = read_signal(text, loop.until) if loop is not None else (False, text)
    reply = CheckedReply(cleaned, None)
    if node.output_format is not None:
        try:
            checked = await _checked(said, text, turn, context, began)
        except OutputFormatError as error:
            _keep_in_log(text, turn, context)
            return _unfit(error.message, text, said, turn, context, hint=error.hint)
        if not isinstance(checked, CheckedReply):
            _keep_in_log(text, turn, context)
            message = f"the reply does not fit output_format: {'; '.join(checked)}"
            return _unfit(message, text, said, turn, context, reask=checked)
        reply = checked
    if loop is not None and loop.until_field is not None:
        field_holds = isinstance(reply.value, dict) and reply.value.get(loop.until_field) is True
        both = loop.until_all and loop.until is not None
        signaled = signaled and field_holds if both else signaled or field_holds
    output = context.keep(reply.text)
    values = condition_values(turn.template, output, context.read)
    notes = tuple(map(printable, said.notes))
    brought = Reply(
        output,
        values,
        session=said.session,
        agent=said.agent,
        usage=said.usage,
        repaired=reply.repaired,
        notes=notes,
    )
    return Completed(brought, signaled)


def _keep_in_log(text: str, turn: Turn, context: Context) -> None:
    """A reply that is not taken is in the node's log, also where no program has written it there."""
    path = process.beside(context.folders.logs / turn.log_name, ".out")
    if not path.exists():
        with os.fdopen(process.create(path), "wb") as log:
            log.write(text.encode("utf-8", "replace"))


def _unfit(
    message: str, text: str, said: _Said, turn: Turn, context: Context, *, hint: str = "", reask: tuple[str, ...] = ()
) -> Failed:
    """The failure of a reply; the reply is kept all the same if the node may fail."""
    may_fail = allowed_failures(turn.template) is not None
    kept = reply_of(turn, context, context.keep(text)) if may_fail else None
    return Failed(Failure("bad_output", message, hint), reask=reask, usage=said.usage, reply=kept)


async def _checked(
    said: _Said, text: str, turn: Turn, context: Context, began: float
) -> CheckedReply | tuple[str, ...]:
    """The agent's own JSON counts if it returns one; Ion still checks that it fits."""
    assert turn.node.output_format is not None
    if said.structured is not None:
        try:
            text = json.dumps(said.structured)
        except (TypeError, ValueError, RecursionError) as error:
            return (f"the agent's own JSON is not JSON: {error}",)
    limit = turn.node.timeout_ms
    left = None if limit is None else max(_LEAST_CHECK_MS, limit - round((time.monotonic() - began) * 1000))
    log = f"{context.folders.scratch}/{turn.log_name}-check"
    return await check_reply(turn.node.output_format, text, log=log, register=context.folders.register, limit_ms=left)
