"""What the steps are asked with: nothing of the source is lost, values go in once, the rest is literal (fact 29)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sop_kit import STEP, document, good

from ion.language.references import Resolved, render
from ion.language.sop import Sop, to_workflow
from ion.language.sop.to_workflow import fill_in
from ion.language.workflow import EngineReference, InputReference, NodeReference, Prompt, Reference

FILES = sorted((Path(__file__).parent / "files").glob("*.sop.md"))


def by_name(reference: Reference) -> Resolved:
    """A resolver for which each input is its own placeholder, so that a filled in text equals its source."""
    match reference:
        case InputReference(name):
            return Resolved(f"{{{name}}}")
        case NodeReference(node):
            return Resolved(f"<output of {node}>")
        case EngineReference(name):
            return Resolved(f"<{name}>")


def bodies(sop: Sop) -> list[Prompt]:
    found = [node.body for node in to_workflow(sop).nodes]
    assert all(isinstance(body, Prompt) for body in found)
    return found  # type: ignore[return-value]


def whole(sop: Sop) -> list[str]:
    """The whole texts of the steps, filled in."""
    return [render(body.text, by_name) for body in bodies(sop)]


def short(sop: Sop) -> list[str]:
    """The short texts of the steps that have one, filled in."""
    return [render(body.continued, by_name) for body in bodies(sop) if body.continued is not None]


def read(path: Path) -> Sop:
    return good(path.read_text(encoding="utf-8"), file=path.name)


def lines(text: str) -> set[str]:
    return {line for line in text.split("\n") if line.strip()}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_of_the_source_is_lost(path: Path, split: bool) -> None:
    """Each line that is not blank is in some prompt, to the byte; each outside of the steps is in all of them."""
    sop = replace(read(path), split=split)
    texts = [lines(text) for text in whole(sop)]
    assert lines(sop.source) <= set().union(*texts)
    for text in texts:
        assert lines(sop.outline) <= text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_other_line_breaks_lose_nothing_either(path: Path, ends: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert whole(good("\ufeff" + text.replace("\n", ends), file=path.name)) == whole(read(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_step_is_in_its_prompts_to_the_byte(path: Path) -> None:
    sop = read(path)
    for step, text in zip(sop.steps, whole(sop), strict=True):
        assert f"===\n{step.text}\n\n===" in text
    for step, text in zip(sop.steps[1:], short(sop), strict=True):
        assert f"===\n{step.text}\n\n===" in text


def test_a_short_text_leaves_the_document_to_the_session() -> None:
    """But not the values: SOPs name their parameters in prose."""
    sop = read(next(path for path in FILES if path.name == "full.sop.md"))
    for text in short(sop):
        assert "Desired Outcome" not in text
        assert "<output of" not in text
        assert "=== <WORKFLOW_ID>: parameter mode ===\n{mode}\n" in text
    assert len(short(sop)) == len(sop.steps) - 1
    assert all(len(text) < len(long) / 2 for text, long in zip(short(sop), whole(sop)[1:], strict=True))


def test_a_whole_text_has_what_earlier_steps_gave() -> None:
    sop = good(document(steps=STEP + "\n### 2. B\n\nb\n\n### 3. C\n\nc\n"))
    assert [text.count("<output of a>") for text in whole(sop)] == [0, 1, 1]
    assert "=== <WORKFLOW_ID>: result of 2. B ===\n<output of b>\n" in whole(sop)[2]


def test_the_table_of_parameters_is_in_every_text() -> None:
    sop = good(document(parameters="- **a** (required): x\n- **b** (optional): y", steps=STEP + "\n### 2. B\n\nb\n"))
    for text in whole(sop) + short(sop):
        assert "=== <WORKFLOW_ID>: parameter a ===\n{a}\n=== <WORKFLOW_ID>: parameter b ===\n{b}\n" in text
        assert "was not given" in text


def test_what_is_said_to_the_run_reaches_the_steps() -> None:
    assert "if anything ===\n<ARGUMENTS>\n" in whole(good(document()))[0]


def test_fresh_has_no_short_texts() -> None:
    sop = replace(good(document(steps=STEP + "\n### 2. B\n\nb\n")), context="fresh")
    assert short(sop) == []
    assert [node.continues for node in to_workflow(sop).nodes] == [None, None]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{a}", "<$a>"),
        ("{a}{b}", "<$a><$b>"),
        ("{a}-draft.md", "<$a>-draft.md"),
        ("{a}_v2 {a}x {a}1 {a}-", "<$a>_v2 <$a>x <$a>1 <$a>-"),
        ("{a}.b {a}/x", "<$a>.b <$a>/x"),
        ("\\{a} \\\\{a}", "\\<$a> \\\\<$a>"),
        ("${a} $ {a}", "${a} $ <$a>"),
        ("{{a}} {{a} {a}}", "{{a}} {{a} {a}}"),
        ("{NN} {title} { a } {A}", "{NN} {title} { a } {A}"),
        ("`{a}`", "`<$a>`"),
        ("$ARGUMENTS $a.output.x $INPUTS.a \\$ARGUMENTS", "$ARGUMENTS $a.output.x $INPUTS.a \\$ARGUMENTS"),
        ("$INPUTS.{a} \\$INPUTS.{a}", "$INPUTS.<$a> \\$INPUTS.<$a>"),
        ("$INPUTS.{c} \\\\$b.output", "$INPUTS.{c} \\\\$b.output"),
        ("$a.out{b} $ARGUMENTS{a}", "$a.out<$b> $ARGUMENTS<$a>"),
    ],
)
def test_what_is_filled_in_and_what_is_literal(written: str, expected: str) -> None:
    """Fact 29."""
    assert render(fill_in(written, {"a", "b"}), lambda reference: Resolved(f"<${reference.name}>")) == expected  # type: ignore[union-attr]


PIECES = st.sampled_from(
    [
        "{a}",
        "{a-b}",
        "{c}",
        "$",
        "\\",
        "{",
        "}",
        "a",
        "-",
        "_",
        "INPUTS.",
        "$a.output",
        ".x",
        "$ARGUMENTS",
        " ",
        "\n",
        "é",
    ]
)


@given(st.lists(PIECES).map("".join))
def test_any_text_comes_back_as_it_is(text: str) -> None:
    """With every value its own placeholder, filling in changes nothing."""
    assert render(fill_in(text, {"a", "a-b"}), by_name) == text


@given(st.lists(PIECES).map("".join))
def test_without_parameters_nothing_is_filled_in(text: str) -> None:
    assert render(fill_in(text, ()), lambda reference: pytest.fail(str(reference))) == text
