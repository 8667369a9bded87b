"""Replies held against schemas that take for ever: ended by their own limit, the node's, and the end of the turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from turn_kit import World

from ion import procfs
from ion.agents.base import PromptResult
from ion.agents.callable import CallableAgent
from ion.core.outcomes import Completed, Failed
from ion.errors import OutputFormatError
from ion.nodes import checking
from ion.nodes.checking import check_reply_now
from ion.nodes.replies import CheckedReply
from processes import eventually

# Tries every way to divide the letters into words before it says no.
FOR_EVER: dict[str, Any] = {"properties": {"a": {"type": "string", "pattern": r"^(\w+\s?)*$"}}}
REPLY = '{"a": "%s!"}' % ("a" * 50)


def world(folder: Path, reply: Any, timeout: str = "") -> World:
    """A node with such a schema, and an agent that says `reply`, or what `reply` is a function of."""
    schema = r"{properties: {a: {type: string, pattern: '^(\w+\s?)*$'}}}"
    node = f"nodes:\n  - {{id: x, prompt: hi, {timeout} output_format: {schema}}}\n"
    return World(folder, node, agent=CallableAgent(reply if callable(reply) else lambda _: reply))


def programs(folder: Path) -> list[str]:
    """What is left of a check in the run's folder."""
    return [path.name for path in (folder / "run" / "scratch").rglob("*") if path.is_file()]


async def test_a_reply_is_checked_elsewhere(tmp_path: Path) -> None:
    good = await world(tmp_path, '{"a": "one two"}').run("x")
    assert isinstance(good, Completed)
    assert good.reply.output.text == '{"a":"one two"}'
    bad = await world(tmp_path, '{"a": "?"}').run("x")
    assert isinstance(bad, Failed)
    assert bad.reask == (r"$.a: '?' does not match '^(\\w+\\s?)*$'",)
    assert programs(tmp_path) == []


async def test_the_nodes_timeout_ends_a_check_and_nothing_stands_still_meanwhile(tmp_path: Path) -> None:
    turns = 0

    async def look() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += (tmp_path / "run" / "programs").exists()

    watcher = asyncio.create_task(look())
    outcome = await world(tmp_path, REPLY, "timeout: 1s,").run("x")
    watcher.cancel()
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.reask) == ("bad_output", ())
    assert "within the node's time limit" in outcome.error.message
    assert "pattern" in outcome.error.hint
    assert turns > 3, "the loop continues while the program that checks is there"
    assert programs(tmp_path) == []


async def test_a_cancelled_turn_ends_its_check(tmp_path: Path) -> None:
    made = world(tmp_path, REPLY)
    turn = asyncio.create_task(made.run("x"))
    register = tmp_path / "run" / "programs"
    await eventually(register.exists)
    pid = int(register.read_text().split()[0])
    assert procfs.identity(pid)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert not procfs.identity(pid)
    assert programs(tmp_path) == []


def test_a_check_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PROCESSOR_SECONDS", 1)
    assert isinstance(check_reply_now(FOR_EVER, '{"a": "one"}'), CheckedReply)
    with pytest.raises(OutputFormatError, match="within 1 s of work"):
        check_reply_now(FOR_EVER, REPLY)


def test_a_repair_that_takes_for_ever_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PROCESSOR_SECONDS", 1)
    with pytest.raises(OutputFormatError, match="within 1 s of work"):
        check_reply_now({}, "{a:b c" * 30_000)


async def test_json_of_an_agents_own_that_is_not_json(tmp_path: Path) -> None:
    for structured in ({"a": float("nan")}, {"a": object()}):
        outcome = await world(tmp_path, PromptResult("x", structured=structured)).run("x")
        assert isinstance(outcome, Failed)
        assert "is not JSON" in outcome.error.message
