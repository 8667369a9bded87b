"""The steps of SOPs and their constraints (facts 25 to 34)."""

from __future__ import annotations

import pytest
from sop_kit import at, codes, document, good, only, steps

from ion.language.sop import parse_sop
from ion.language.sop.steps import level, slug, split_number


@pytest.mark.parametrize(
    ("heading", "number", "name"),
    [
        ("1. A", "1", "A"),
        ("1) A", "1", "A"),
        ("Step 1: A", "1", "A"),
        ("STEP 1 - A", "1", "A"),
        ("0. A", "0", "A"),
        ("1 A", "1", "A"),
        ("1: A", "1", "A"),
        ("1.1 A", "1.1", "A"),
        ("1.1. A", "1.1", "A"),
        ("Phase 1: A", "1", "A"),
        ("１．準備", "1", "準備"),
        ("ステップ1：準備", "1", "準備"),
        ("1. **A**", "1", "A"),
        ("1. [A](#a)", "1", "A"),
        ("1. A ##", "1", "A"),
        ("Step 1", "1", "Step 1"),
    ],
)
def test_headings_of_steps(heading: str, number: str, name: str) -> None:
    """Fact 25, and more ways to number."""
    (step,) = steps(f"### {heading}\n\nbody\n\n**Constraints:**\n- You MUST x")
    assert (step.number, step.name) == (number, name)


def test_a_step_without_a_number() -> None:
    """Fact 25: taken in the order of the document, with a warning."""
    text = document(steps="### Build\n\nx\n\n### Test\n\ny\n")
    assert [step.name for step in good(text).steps] == ["Build", "Test"]
    assert codes(text).count("numbering") == 2


def test_words_that_begin_with_a_digit_are_no_number() -> None:
    assert [step.name for step in steps("### 2FA setup\n\nx\n")] == ["2FA setup"]


@pytest.mark.parametrize(
    ("numbers", "warnings"),
    [
        ("1 2 3", 0),
        ("0 1 2", 0),
        ("1 3", 1),
        ("2 3", 1),
        ("1 1", 1),
        ("2 1", 2),
        ("1.1 1.2 2.1 2.2 3", 0),
        ("1.1 1.3", 1),
        ("1.1 2.2", 1),
        ("1 2.1 2.2 3", 0),
        ("1 3 4 7", 2),
    ],
)
def test_numbers_go_up_by_one(numbers: str, warnings: int) -> None:
    """Fact 25: the order is that of the document in any case."""
    text = document(steps="\n".join(f"### {number}. S{i}\n\nx\n" for i, number in enumerate(numbers.split())))
    assert codes(text).count("numbering") == warnings
    assert [step.name for step in good(text).steps] == [f"S{i}" for i in range(len(numbers.split()))]


def parts(text: str) -> list[tuple[str, list[str]]]:
    """The name of each step, with those of its parts."""
    return [(step.name, [part.name for part in step.substeps]) for step in steps(text)]


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        ("1. A|2. B|2.1 C|2.2 D|3. E", [("A", []), ("B", ["C", "D"]), ("E", [])]),
        ("1. A|1.1. B|1.1.1 C|Step 1.2: D|2. E", [("A", ["B", "C", "D"]), ("E", [])]),
        ("Step 1: A|Step 1.1: B|Step 2: C", [("A", ["B"]), ("C", [])]),
        ("0. A|0.1 B|1. C", [("A", ["B"]), ("C", [])]),
        ("1. A|10. B|1.1 C", [("A", []), ("B", []), ("C", [])]),
        ("1. A|2.1 B|2.2 C|3. D", [("A", []), ("B", []), ("C", []), ("D", [])]),
        (
            "1. A|Verdict Criteria|2. B|2.1 C|Output Format",
            [("A", ["Verdict Criteria"]), ("B", ["C", "Output Format"])],
        ),
        ("1. A|X|Y|Z", [("A", ["X", "Y", "Z"])]),
        ("Before|1. A|X|2. B", [("Before", []), ("A", ["X"]), ("B", [])]),
        ("A|3 ways to go|C", [("A", []), ("ways to go", []), ("C", [])]),
        ("3. A|4. B|X|5. C", [("A", []), ("B", ["X"]), ("C", [])]),
        ("A|B|C", [("A", []), ("B", []), ("C", [])]),
        ("Step 1: A|Step 2a: B|Step 2b: C|2FA", [("A", []), ("B", []), ("C", ["2FA"])]),
        ("1. A|1a) B|1b) C|2. D", [("A", ["B", "C"]), ("D", [])]),
    ],
)
@pytest.mark.parametrize("level", ["###", "####"])
def test_what_stands_at_the_level_of_steps_and_is_a_part_of_one(
    headings: str, expected: list[tuple[str, list[str]]], level: str
) -> None:
    """`2.1` after `2`, and what has no number among steps that are numbered; in both cases with a warning at its
    line. What stands before the first number is a step: somebody has to do it."""
    text = "\n".join(f"{level} {heading}\n\ntext of {heading}\n" for heading in headings.split("|"))
    assert parts(text) == expected
    warned = [one for one in parse_sop(document(steps=text)).problems if one.code == "part-of-step"]
    assert [one.message.split("'")[1] for one in warned] == [
        heading for heading in headings.split("|") if any(split_number(heading)[1] in names for _, names in expected)
    ]


def test_a_step_may_be_nothing_but_its_parts() -> None:
    """As in 8 of 67 real files, which were refused for the empty step."""
    (step,) = steps("### 2. Explore\n\n### 2.1 Read\n\nx\n\n**Constraints:**\n- You MUST x\n\n### 2.2 Ask\n\ny\n")
    assert step.text.startswith("### 2. Explore\n\n### 2.1 Read")
    assert (step.lead, [part.text.split("\n")[0] for part in step.substeps]) == (
        "### 2. Explore",
        ["### 2.1 Read", "### 2.2 Ask"],
    )
    assert [one.level for one in step.constraints] == ["must"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["Plan & Track: `x` (phase)"], ["plan-track-x-phase"]),
        (["A", "A", "A"], ["a", "a-2", "a-3"]),
        (["A", "A-2", "A"], ["a", "a-2", "a-3"]),
        (["準備", "計画"], ["step-1", "step-2"]),
        (["API の設計"], ["api"]),
        (["2FA setup"], ["step-2fa-setup"]),
        (["Évaluer à fond"], ["evaluer-a-fond"]),
        (["INPUTS"], ["inputs"]),
        (["2024"], ["step-1"]),
    ],
)
def test_ids(names: list[str], ids: list[str]) -> None:
    """Fact 26."""
    text = "\n".join(f"### {number}. {name}\n\nx\n" for number, name in enumerate(names, 1))
    assert [step.id for step in steps(text)] == ids


def test_ids_fit_into_file_names() -> None:
    long = slug("a very long name " * 30)
    assert len(long) <= 100
    assert not long.endswith("-")


def test_sub_steps_stay_in_their_step() -> None:
    """Fact 28: their constraints are their step's."""
    body = (
        "### 1. A\n\nlead\n\n#### 1.1 Q\n\none\n\n**Constraints:**\n- You MUST q\n\n#### 1.2 R\n\ntwo\n\n"
        "**Constraints:**\n- You SHOULD r\n- You MAY s\n"
    )
    (step,) = steps(body)
    assert step.lead == "### 1. A\n\nlead"
    assert [(sub.number, sub.name) for sub in step.substeps] == [("1.1", "Q"), ("1.2", "R")]
    assert step.substeps[0].text == "#### 1.1 Q\n\none\n\n**Constraints:**\n- You MUST q"
    assert [one.level for one in step.constraints] == ["must", "should", "may"]


def test_the_text_of_a_step_is_kept_to_the_byte() -> None:
    """Fact 29: blanks at the end of lines, tabs, nested bullets, fences, quotes."""
    body = (
        "### 1.  A  \n\nbody  \n\ttab\n\n- x\n    - deep\n        1. deeper   \n\n> quote\n>   two\n\n"
        "```sh\n## no heading\n```\n\n| a |\n|---|\n| b |\n\nlast  "
    )
    text = f"# T\n\n## Steps\n\n{body}\n\n## More\n\nx\n"
    assert good(text).steps[0].text == body


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("You MUST do x", "must"),
        ("You MUST NOT do x", "must_not"),
        ("You SHALL NOT do x", "must_not"),
        ("You MUST NEVER do x", "must_not"),
        ("NEVER do x", "must_not"),
        ("You SHOULD NOT do x", "should_not"),
        ("You SHOULD NEVER do x", "should_not"),
        ("It is NOT RECOMMENDED", "should_not"),
        ("You SHALL do x", "must"),
        ("x is REQUIRED", "must"),
        ("You SHOULD do x", "should"),
        ("It is RECOMMENDED", "should"),
        ("You MAY do x", "may"),
        ("x is OPTIONAL", "may"),
        ("You MUST ONLY p, NEVER q", "must"),
        ("If x, You MUST y and SHOULD NOT z", "must"),
        ("For PDD mode: You MUST x", "must"),
        ("you must x", ""),
        ("a MUSTARD", ""),
        ("nothing", ""),
    ],
)
def test_levels(words: str, expected: str) -> None:
    """Fact 30: the first keyword wins."""
    assert level(words) == expected


def test_keywords_in_code_have_no_level() -> None:
    """Fact 30; a nested bullet belongs to its constraint, and its keyword counts after the parent's."""
    (step,) = steps(
        "### 1. A\n\n**Constraints:**\n- Write `MUST NOT` and ``a ` MUST`` there\n- plain\n  - nested SHOULD\n"
        "- fenced\n  ```\n  MUST\n  ```\n- You MAY x\n"
    )
    assert [one.level for one in step.constraints] == ["", "should", "", "may"]
    assert step.constraints[1].text == "plain\n- nested SHOULD"


@pytest.mark.parametrize(
    "label",
    [
        "**Constraints:**\n",
        "**Constraints**:\n",
        "**Constraints**\n",
        "Constraints:\n",
        "**Constraints:**\n\n",
        "__Constraints:__\n",
        "#### Constraints\n\n",
        "**Constraints for this step:**\n",
        "Some words before\n**Constraints:**\n",
    ],
)
def test_labels_of_constraints(label: str) -> None:
    """Fact 31."""
    (step,) = steps(f"### 1. A\n\nbody\n\n{label}- You MUST x\n- You MAY y\n")
    assert [(one.level, one.text) for one in step.constraints] == [("must", "You MUST x"), ("may", "You MAY y")]


def test_other_labelled_lists_are_text() -> None:
    """Fact 31."""
    (step,) = steps("### 1. A\n\n**Constraints:**\n- You MUST x\n\n**Build Validation:**\n- You MUST y\n")
    assert len(step.constraints) == 1
    assert "You MUST y" in step.text


def test_the_place_of_a_constraint() -> None:
    text = document(steps="### 1. A\n\n**Constraints:**\n\n- You MUST x\n- You MAY y\n")
    assert [text.split("\n")[one.line - 1] for one in good(text).constraints] == ["- You MUST x", "- You MAY y"]


def test_a_step_without_constraints() -> None:
    """Fact 32: only a warning."""
    text = document(steps="### 1. A\n\njust text\n")
    assert codes(text) == ["no-constraints"]
    assert good(text).steps[0].constraints == ()


def test_an_empty_step() -> None:
    """Fact 32: there is nothing to ask for."""
    text = document(steps="### 1. A\n\n### 2. B\n\nx\n")
    problem = only(text, "empty-step")
    assert (at(text, problem), problem.severity) == ("### 1. A", "error")


def test_a_list_of_steps() -> None:
    """Fact 33: each item is one, its name its bold words or its first sentence."""
    items = "1. **Set up**: make the folder\n   - nested\n\n2. Read it. Then think.\n3. Go\n"
    text = document(steps=f"Do this:\n\n{items}\nThe end.\n")
    found = good(text).steps
    assert [(step.number, step.name, step.id) for step in found] == [
        ("1", "Set up", "set-up"),
        ("2", "Read it", "read-it"),
        ("3", "Go", "go"),
    ]
    assert found[0].text == "1. **Set up**: make the folder\n   - nested"
    assert "list-steps" in codes(text)
    assert "Do this:" in good(text).outline
    assert "The end." in good(text).outline


def test_constraints_in_a_list_of_steps() -> None:
    (step,) = steps("1. Build\n\n   **Constraints:**\n   - You MUST x\n")
    assert [one.level for one in step.constraints] == ["must"]


def test_long_items_have_short_names() -> None:
    (step,) = steps("1. " + "many words " * 40)
    assert len(step.name) <= 80


def test_neither_headings_nor_a_list() -> None:
    """Fact 33."""
    assert only(document(steps="Only words.\n\n- a bullet\n"), "no-steps").severity == "error"


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        ("## Overview\n\no\n\n## Step\n\nx", "did you mean '## Step' in line 7?"),
        ("## Procedure\n\nx", "did you mean '## Procedure' in line 3?"),
        ("## Stps\n\nx", "did you mean '## Stps'"),
        ("## 手順\n\nx", "did you mean '## 手順'"),
        ("### Steps\n\nx", "is a heading of level 3"),
        ("## Other\n\nx", "write '## Steps'"),
    ],
)
def test_no_section_of_steps(sections: str, meant: str) -> None:
    """Fact 34: what there is, and what was probably meant."""
    problem = only(f"# T\n\n{sections}\n", "no-steps")
    assert meant in problem.hint
    for line in sections.split("\n"):
        if line.startswith("## "):
            assert f"'{line}'" in problem.message


def test_steps_at_another_level() -> None:
    text = document(steps="#### 1. A\n\nx\n\n#### 2. B\n\ny\n")
    assert [step.name for step in good(text).steps] == ["A", "B"]
    assert codes(text).count("step-level") == 1
