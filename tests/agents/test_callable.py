"""Functions as agents: both kinds, their limits, and what they may do wrong."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.agents.callable import CallableAgent
from processes import PATIENCE_S, eventually

pytestmark = pytest.mark.timeout(20)

REQUEST = PromptRequest(run_id="r", node="n", prompt="hello", key="r/n", cwd=Path("/"), grace_ms=100)


async def test_a_function_of_either_kind_gives_text_or_a_result() -> None:
    async def later(request: PromptRequest) -> PromptResult:
        return PromptResult(request.prompt.upper(), session="s")

    class Later:
        async def __call__(self, request: PromptRequest) -> str:
            return request.prompt[::-1]

    assert await CallableAgent(lambda request: f"{request.prompt}!").prompt(REQUEST) == PromptResult("hello!")
    assert await CallableAgent(later).prompt(REQUEST) == PromptResult("HELLO", session="s")
    assert await CallableAgent(lambda request: later(replace(request, prompt="hello"))).prompt(REQUEST) == PromptResult(
        "HELLO", session="s"
    )
    assert await CallableAgent(Later()).prompt(REQUEST) == PromptResult("olleh")


async def test_a_synchronous_function_runs_beside_the_loop() -> None:
    where: list[threading.Thread] = []

    all_at_once = threading.Barrier(30)

    def slow(request: PromptRequest) -> str:
        where.append(threading.current_thread())
        all_at_once.wait(PATIENCE_S)
        return "done"

    agent = CallableAgent(slow)
    await asyncio.gather(*(agent.prompt(REQUEST) for _ in range(30)))
    assert threading.main_thread() not in where


async def test_context_variables_reach_the_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    assert (await CallableAgent(lambda _: variable.get()).prompt(REQUEST)).text == "here"


@pytest.mark.parametrize("answer", [None, 7, b"bytes", ["list"]])
async def test_anything_else_is_no_answer(answer: Any) -> None:
    with pytest.raises(AgentError, match="agent mine returned") as caught:
        await CallableAgent(lambda _: answer, "mine").prompt(REQUEST)
    assert caught.value.error_code == "bad_output"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AgentError("refused", "no"), AgentError),
        (ValueError("x"), ValueError),
        (StopIteration("x"), AgentError),
        (SystemExit(3), AgentError),
        (KeyboardInterrupt(), AgentError),
    ],
)
async def test_errors_of_a_thread_come_through_and_nothing_ends_the_program(
    error: BaseException, kind: type[Exception]
) -> None:
    def fail(request: PromptRequest) -> str:
        raise error

    with pytest.raises(kind):
        await CallableAgent(fail).prompt(REQUEST)


async def test_the_time_limit() -> None:
    ended: list[str] = []

    async def slow(request: PromptRequest) -> str:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("told")
        return ""

    with pytest.raises(AgentError, match="timed out after 100 ms") as caught:
        await CallableAgent(slow).prompt(replace(REQUEST, timeout_ms=100))
    assert caught.value.error_code == "timeout"
    assert ended == ["told"]


async def test_saying_something_is_a_sign_of_life() -> None:
    said: list[str] = []

    async def talking(request: PromptRequest) -> str:
        assert request.progress is not None
        for number in range(5):
            await asyncio.sleep(0.1)
            request.progress(f"step {number}")
        return "done"

    request = replace(REQUEST, idle_timeout_ms=250, progress=said.append)
    assert (await CallableAgent(talking).prompt(request)).text == "done"
    assert said == [f"step {number}" for number in range(5)]

    async def silent(request: PromptRequest) -> str:
        await asyncio.sleep(30)
        return ""

    with pytest.raises(AgentError, match="said nothing for 250 ms"):
        await CallableAgent(silent).prompt(request)


@pytest.mark.parametrize("limit", [{"timeout_ms": 100}, {}])
async def test_a_function_that_does_not_end_holds_nobody_up(limit: dict[str, int]) -> None:
    release, ended = threading.Event(), []

    async def stubborn(request: PromptRequest) -> str:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        ended.append("stubborn")
        return ""

    def endless(request: PromptRequest) -> str:
        release.wait(PATIENCE_S)
        ended.append("endless")
        return ""

    for function in (stubborn, endless):
        task = asyncio.ensure_future(CallableAgent(function).prompt(replace(REQUEST, **limit)))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        if not limit:
            task.cancel()
        with pytest.raises(AgentError if limit else asyncio.CancelledError):
            await task
    assert ended == []
    release.set()
    await eventually(lambda: sorted(ended) == ["endless", "stubborn"])


async def test_what_it_raises_on_its_way_out_does_not_hide_the_limit() -> None:
    async def rude(request: PromptRequest) -> str:
        try:
            await asyncio.sleep(30)
        finally:
            raise ValueError("on the way out")

    with pytest.raises(AgentError, match="timed out"):
        await CallableAgent(rude).prompt(replace(REQUEST, timeout_ms=50))
