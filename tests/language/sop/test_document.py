"""The document around the steps: what is a heading, front matter, sections, variants (facts 35 to 40)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sop_kit import STEP, at, codes, document, good, only

from ion.language.sop import Sop, parse_sop, sop_name


@pytest.mark.parametrize(
    "code",
    [
        "```\n## Steps\n\n### 2. Fake\n```",
        "~~~~\n~~~\n## Steps\n~~~\n### 2. Fake\n~~~~",
        "- bullet\n  ```\n  ## Steps\n  ### 2. Fake\n  ```\n- next",
        "````markdown\n```\n# Fake\n```\n## Steps\n````",
        "    ## Steps\n\n    ### 2. Fake",
        "<!--\n## Steps\n### 2. Fake\n-->",
        "> ## Steps\n> ### 2. Fake",
        "- ## Steps\n- ### 2. Fake",
    ],
)
def test_headings_in_code_are_text(code: str) -> None:
    """Fact 35."""
    text = document(steps=f"### 1. A\n\n{code}\n\nend\n\n**Constraints:**\n- You MUST x\n")
    assert codes(text) == []
    assert [step.name for step in good(text).steps] == ["A"]
    assert code in good(text).steps[0].text


@pytest.mark.parametrize("fence", ["```", "~~~~", "```python", "- x\n  ```"])
def test_a_fence_that_is_never_closed(fence: str) -> None:
    """Fact 35: told where it opens, since all below it would be code."""
    text = document(steps=f"### 1. A\n\n{fence}\ncode\n", more="## More\n\nx\n")
    if not fence.startswith("-"):
        problem = only(text, "unclosed-fence")
        assert at(text, problem) == fence
        assert problem.severity == "error"
    else:  # the end of the bullet closes it
        assert "unclosed-fence" not in codes(text)


def test_a_fence_on_the_last_line_is_closed() -> None:
    assert "unclosed-fence" not in codes(document(steps="### 1. A\n\n```\ncode\n```"))
    assert "unclosed-fence" in codes(document(steps="### 1. A\n\n```\ncode\n``"))
    assert "unclosed-fence" in codes(document(steps="### 1. A\n\nx\n\n```"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("## Steps", "## STEPS:"),
        lambda text: text.replace("## Steps", "## Steps ##"),
        lambda text: text.replace("## Parameters", "##   parameters"),
    ],
)
def test_what_makes_no_difference(change: object) -> None:
    """Fact 36."""
    text = document(parameters="- **a** (required): x", steps=STEP + "\n### 2. B\n\ny\n")
    other = good(change(text))  # type: ignore[operator]
    assert _same(other) == _same(good(text))
    assert codes(change(text)) == codes(text)  # type: ignore[operator]


def _same(sop: Sop) -> Sop:
    """An SOP less what its headings look like."""
    return replace(sop, outline="", source="", sections=())


def test_sections_stand_in_any_order() -> None:
    """Fact 36."""
    text = f"# T\n\n## Steps\n\n{STEP}\n## Notes\n\nn\n\n## Parameters\n\n- **a** (required): x\n\n## Overview\n\no\n"
    sop = good(text)
    assert [one.name for one in sop.parameters] == ["a"]
    assert sop.overview == "o"
    assert [section.title for section in sop.sections] == ["Notes", "Parameters", "Overview"]
    assert codes(text) == []


def test_front_matter() -> None:
    """Fact 37: its name and description count; it stays in the document."""
    text = f'---\nname: other\ndescription: "d: e"\nversion: 1\n---\n{document()}'
    sop = good(text, file="x/pay.sop.md")
    assert (sop.name, sop.description) == ("other", "d: e")
    assert sop.outline.startswith("---\nname: other\n")
    assert sop.body.startswith("# T\n")
    assert codes(text) == []


def test_without_front_matter_the_file_names_it() -> None:
    assert good(document(), file="sops/a.b.sop.md").name == "a.b"
    assert good(document(), file="").name == "t"
    assert sop_name("pay.sop.md") == "pay"


@pytest.mark.parametrize(
    ("front", "code", "line"),
    [
        ("description: a: b", "yaml-syntax", 2),
        ("name: x\nname: y", "duplicate-key", 3),
        ("name: [x]", "front-matter", 2),
        ("just words", "front-matter", 2),
        ("context: often", "front-matter", 2),
        ("split: all", "front-matter", 2),
    ],
)
def test_front_matter_that_is_wrong(front: str, code: str, line: int) -> None:
    """Fact 37: with the line in the file."""
    text = f"---\n{front}\n---\n{document()}"
    problem = only(text, code)
    assert (problem.line, problem.severity) == (line, "error")


def test_front_matter_that_is_never_closed() -> None:
    """Fact 37."""
    assert only(f"---\nname: x\n{document()}", "front-matter").line == 1


@pytest.mark.parametrize("text", ["---\n---\n", "--- \n# a comment\n...\n"])
def test_front_matter_that_says_nothing(text: str) -> None:
    assert codes(text + document()) == []


def test_choices_in_front_matter() -> None:
    sop = good(f"---\ncontext: fresh\nsplit: substeps\n---\n{document()}")
    assert (sop.context, sop.split) == ("fresh", True)


def test_no_title() -> None:
    """Fact 38."""
    assert only("## Steps\n\n" + STEP, "no-title").severity == "error"
    assert only("#\n\nText\n\n## Steps\n\n" + STEP, "no-title").line == 1


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "  \t\r\n"])
def test_an_empty_file(text: str) -> None:
    """Fact 38: and nothing else is said of it."""
    assert codes(text) == ["empty"]


def test_a_second_title() -> None:
    """Fact 38: a warning; its text stays in the document."""
    text = document(more="# U\n\nmore\n")
    assert codes(text) == ["second-title"]
    assert good(text).title == "T"
    assert "# U\n\nmore" in good(text).outline


@pytest.mark.parametrize("section", ["Steps", "Parameters"])
def test_a_section_that_stands_twice(section: str) -> None:
    """Fact 38."""
    problem = only(document(more=f"## {section}\n\n### 1. B\n\nx\n"), "duplicate-section")
    assert problem.severity == "error"
    assert "in line" in problem.message


def test_no_overview() -> None:
    """Fact 38: a warning, and no description."""
    text = document(overview=None)
    assert codes(text) == ["no-overview"]
    assert (good(text).overview, good(text).description) == ("", "")


def test_an_empty_overview() -> None:
    """Fact 38: it is empty, and not the next section."""
    assert good(document(overview="")).overview == ""
    assert codes(document(overview="")) == []


def test_the_overview_as_a_description() -> None:
    sop = good(document(overview="First\nline.\n\n- and *more*\n\n### Note\n\nx"))
    assert sop.overview == "First\nline.\n\n- and *more*\n\n### Note\n\nx"
    assert sop.description == "First line. - and *more* ### Note x"


def test_all_sections_stay_in_the_document() -> None:
    """Fact 39: in their order, around the headings of the steps."""
    text = (
        "# T\n\nintro\n\n## Role\n\nYou are x.\n\n## Steps\n\nbefore\n\n### 1. A\n\nbody\n\n#### Sub\n\nz\n\n"
        "### 2. B\n\nb\n\n## Appendix A: more\n\n| t |\n"
    )
    assert good(text).outline == (
        "# T\n\nintro\n\n## Role\n\nYou are x.\n\n## Steps\n\nbefore\n\n### 1. A\n\n### 2. B\n\n"
        "## Appendix A: more\n\n| t |"
    )


def test_a_line_of_dashes_below_a_paragraph_is_no_heading() -> None:
    """Markdown makes a heading of `text` over `---`, which would cut the step in two; a longer line is meant so."""
    text = document(steps="### 1. A\n\nbody\n---\nmore\n\n### 2. B\n\nb\n")
    assert [step.name for step in good(text).steps] == ["A", "B"]
    assert "body\n---\nmore" in good(text).steps[0].text
    under = f"Title\n=====\n\nSteps\n-----\n\n{STEP}"
    assert good(under).title == "Title"
    assert [step.name for step in good(under).steps] == ["A"]


def test_the_small_example_of_the_readme() -> None:
    """Fact 40: neither parameters nor constraints, and only two warnings."""
    text = "# Greet\n\n## Overview\n\nSay hello.\n\n## Steps\n\n### 1. Say it\n\nSay hello to the user.\n"
    assert codes(text) == ["no-parameters", "no-constraints"]


def test_the_example_of_the_spec() -> None:
    """Fact 40, on an example of the same shape: 3 steps of 5 constraints each, 4 parameters, no word about it."""
    step = "\n**Constraints:**\n- You MUST a\n- You SHOULD b\n- You MAY c\n- You SHOULD d\n- You MUST NOT e because f\n"
    parameters = (
        "- **one** (required): x\n- **two** (required): x\n- **three** (optional): x\n"
        '- **four** (optional, default: "v"): x\n\n**Constraints for parameter acquisition:**\n- You MUST ask\n'
    )
    text = document(
        parameters=parameters,
        steps="".join(f"### {number}. S{number}\n\ndo it\n{step}\n" for number in (1, 2, 3)),
        more="## Examples\n\nx\n\n## Troubleshooting\n\ny\n",
    )
    sop = good(text)
    assert (len(sop.steps), len(sop.parameters)) == (3, 4)
    assert [[one.level for one in found.constraints] for found in sop.steps] == [
        ["must", "should", "may", "should", "must_not"]
    ] * 3
    assert codes(text) == []


def test_characters_that_no_text_may_hold() -> None:
    """Placed, as in every workflow file."""
    text = document(steps="### 1. A\n\nbell \x07 here\n")
    problem = only(text, "control-character")
    assert at(text, problem).startswith("\x07")


def test_what_would_be_too_much_text() -> None:
    """Each step's prompt holds the document around the steps, so many steps in a large one are refused by name."""
    text = document(overview="x" * 100_000, steps="".join(f"### {n}. S{n}\n\nx\n\n" for n in range(1, 600)))
    assert only(text, "sop-too-large").severity == "error"
    assert parse_sop(text).sop is None
