"""What a typed word means at a gate: no key does the opposite of its word."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ion.core.events import ApprovalRequested
from ion.views.answers import LATER, VIEW, choices, keys_of, meant, offer, unknown


def question(kind: str = "approval", *, decisions: tuple[str, ...] = (), **fields: Any) -> ApprovalRequested:
    return ApprovalRequested(1, "ask", "ask.1", "Go?", kind=kind, decisions=decisions, **fields)


PERMISSION = question("permission", decisions=("allow_once", "allow_always", "reject_once"))
QUESTIONS = {
    "approval": question(),
    "finished": question("iteration", signaled=True, iteration=2),
    "unfinished": question("iteration", iteration=2),
    "last": question("iteration", signaled=True, iteration=2, last=True),
    "unfinished_last": question("iteration", iteration=2, last=True),
    "permission": PERMISSION,
    "decisions": question(decisions=("approve", "hold", "never")),
}


@pytest.mark.parametrize("one", QUESTIONS.values(), ids=QUESTIONS)
def test_every_key_that_is_offered_is_understood_and_no_word_means_two_things(one: ApprovalRequested) -> None:
    for key in re.findall(r"\[(\w)\]", offer(one, view=True)):
        assert meant(one, key) is not None or key in LATER | VIEW
    words = [word for choice in choices(one) for word in choice.words]
    assert len(words) == len(set(words))
    assert not set(words) & (LATER | VIEW)


@pytest.mark.parametrize(
    ("which", "word", "decision", "needs_text"),
    [
        ("approval", "a", "approve", False),
        ("approval", "YES", "approve", False),
        ("approval", "w", "approve", True),
        ("approval", "r", "reject", False),
        ("finished", "f", "approve", False),
        ("finished", "a", "approve", True),
        ("unfinished", "a", "approve", False),
        ("unfinished", "approve", "approve", False),
        ("unfinished", "reject", "reject", False),
        ("permission", "a", "approve", False),
        ("permission", "allow_always", "allow_always", False),
        ("permission", "n", "reject", False),
        ("decisions", "2", "hold", False),
        ("decisions", "never", "never", False),
    ],
)
def test_what_a_word_means(which: str, word: str, decision: str, needs_text: bool) -> None:
    choice = meant(QUESTIONS[which], word)
    assert choice is not None
    assert (choice.decision, choice.needs) == (decision, needs_text)


@pytest.mark.parametrize(
    ("which", "word"),
    [
        ("approval", "c"),
        ("approval", "comment"),
        ("finished", "approve"),
        ("finished", "y"),
        ("unfinished", "f"),
        ("decisions", "4"),
        ("decisions", "yes"),
        ("permission", "1"),
    ],
)
def test_a_word_that_could_mean_either_means_nothing(which: str, word: str) -> None:
    assert meant(QUESTIONS[which], word) is None
    assert unknown(QUESTIONS[which], word)


def test_finishing_takes_no_comment() -> None:
    """Approving with one would be another round."""
    finish = meant(QUESTIONS["finished"], "f")
    assert finish is not None
    assert finish.silent


def test_after_the_last_iteration_another_one_is_not_offered() -> None:
    assert offer(QUESTIONS["last"], view=False) == "  [f]inish   [l]ater   ›"
    assert offer(QUESTIONS["unfinished_last"], view=False) == "  [r]eject   [l]ater   ›"
    for which in ("last", "unfinished_last"):
        assert meant(QUESTIONS[which], "a") is None
        assert "another" not in unknown(QUESTIONS[which], "a")
    assert "another" not in unknown(QUESTIONS["unfinished_last"], "f")


def test_decisions_that_are_called_as_a_number_or_as_a_key() -> None:
    numbers = question(decisions=("2", "1", "approve"))
    assert keys_of(numbers) == ("2", "1", "approve")
    found = [meant(numbers, word) for word in ("1", "2")]
    assert [one.decision for one in found if one is not None] == ["1", "2"]
    named = question(decisions=("approve", "later"))
    later = meant(named, "later")
    assert later is not None
    assert later.decision == "later"
    assert "[l]ater" not in offer(named, view=False)
    assert "[q]uit for now" in offer(named, view=False)
