"""What a reader of an SOP should look at: jumps, people, rules without a reason (facts 45 and 46)."""

from __future__ import annotations

import pytest
from sop_kit import STEP, at, codes, document, good, only

from ion.errors import Problem
from ion.language.sop import parse_sop


def warnings(body: str, code: str) -> list[Problem]:
    """The warnings of that code about a step with this text, after a step 1 and before a step 3."""
    last = "### 3. Build\n\ny\n\n#### 3.1 Wire\n\nz\n"
    text = document(steps=f"### 1. Clarify Requirements\n\nx\n\n### 2. A\n\n{body}\n\n{last}")
    found = [one for one in parse_sop(text).problems if one.code == code]
    assert {one.severity for one in found} <= {"warning"}
    return found


@pytest.mark.parametrize(
    "words",
    [
        "return to step 1",
        "Return to the previous step",
        "return to requirements",
        "offer to return to requirements clarification",
        "go back to step 1",
        "jump to step 3",
        "jump back to the phase before",
        "loop back to step 1",
        "skip to step 3",
        "Otherwise, return to clarify what is open",
    ],
)
def test_words_that_go_elsewhere(words: str) -> None:
    """Fact 45."""
    (found,) = warnings(f"If it fails, {words}.", "sop-jump")
    assert "steps run only forward" in found.message


@pytest.mark.parametrize("words", ["proceed with step 6", "see step 3.2", "steps 9 and 10", "Step 4.4"])
def test_a_step_that_is_not_there(words: str) -> None:
    """Fact 45."""
    (found,) = warnings(f"Then {words}.", "sop-jump")
    assert "no step has that name" in found.message


def test_both_on_one_line_are_both_told() -> None:
    """Fact 45: each at its place, with the words."""
    text = document(steps="### 1. A\n\nIf it works, proceed with step 6. Otherwise, return to step 5.2 to fix it.\n")
    found = [one for one in parse_sop(text).problems if one.code == "sop-jump"]
    assert [at(text, one)[: one.length] for one in found] == ["step 6", "return to step 5.2"]
    assert all("no step has that name" in one.message for one in found)


@pytest.mark.parametrize(
    "words",
    [
        "after step 1 is done",
        "before moving to Step 3",
        "see step 3.1",
        "return to the caller",
        "return the result to the user",
        '"Step 9: name" is the form',
        "**Step 7: Fallback**",
        "`return to step 1`",
        "```\nreturn to step 1, step 9\n```",
        "get back to me",
        "step forward",
    ],
)
def test_words_that_go_nowhere(words: str) -> None:
    assert warnings(words, "sop-jump") == []


def test_unnumbered_steps_are_counted() -> None:
    text = document(steps="### A\n\nsee step 2\n\n### B\n\nsee step 3\n")
    assert [one.line for one in parse_sop(text).problems if one.code == "sop-jump"] == [19]


@pytest.mark.parametrize(
    "words",
    [
        "You MUST wait for the user",
        "wait for explicit user direction",
        "Wait for their approval",
        "You MUST NOT go on without explicit user confirmation",
        "You MUST ask user to approve the plan",
        "ask the user if they agree",
        "ask the user for confirmation",
        "until user explicitly approves",
        "confirm with the user",
        "It needs human sign-off",
        "manual approval",
    ],
)
def test_words_that_ask_for_a_person(words: str) -> None:
    (found,) = warnings(f"{words} first.", "sop-confirmation")
    assert found.message.startswith("'A' asks for a person")


@pytest.mark.parametrize("words", ["wait for the build", "tell the user", "`wait for the user`", "user documentation"])
def test_words_that_ask_for_nobody(words: str) -> None:
    assert warnings(words, "sop-confirmation") == []


def test_a_person_is_told_once_for_each_step() -> None:
    """At the first place, with the lines of the others."""
    (found,) = warnings("wait for the user\n\nask the user if it is good\n\nwait for approval", "sop-confirmation")
    assert "(also in line 21, 23)" in found.message


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("You MUST NOT x", True),
        ("You SHOULD NOT x", True),
        ("You MUST NEVER x", True),
        ("You MUST NOT write last", True),
        ("You MUST NOT x because y", False),
        ("You MUST NOT x since y", False),
        ("You MUST NOT x as y", False),
        ("You MUST NOT x, to avoid y", False),
        ("You MUST NOT x so that y", False),
        ("You MUST NOT x\n  - because of y", False),
        ("You MUST x, NOT y", False),
        ("You MUST x", False),
    ],
)
def test_rules_without_a_reason(rule: str, told: bool) -> None:
    """Fact 46: whole words only, in all of the bullet."""
    text = document(steps=f"### 1. A\n\nx\n\n**Constraints:**\n- {rule}\n")
    assert codes(text) == (["reasonless"] if told else [])
    if told:
        assert at(text, only(text, "reasonless")) == rule


def test_a_placeholder_that_is_nearly_a_name() -> None:
    """Others are templates, and none of our business."""
    text = document(
        parameters="- **project_name** (required): x",
        steps=STEP.replace("body", "{projct_name} {NN} {title} {project_name} {{project_nam}}"),
    )
    problem = only(text, "unknown-placeholder")
    assert (at(text, problem)[: problem.length], problem.hint) == ("{projct_name}", "did you mean '{project_name}'?")
    assert codes(text) == ["unknown-placeholder"]


def test_lint_is_never_an_error() -> None:
    text = document(steps="### 1. A\n\nreturn to step 9, wait for the user\n\n**Constraints:**\n- You MUST NOT x\n")
    assert codes(text, "error") == []
    assert good(text).steps
