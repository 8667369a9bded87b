"""Problems on the screen: the layout of screens.md, what reaches a terminal, the summary line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from ion.errors import Problem
from ion.language.problems import printable
from ion.views.problems import render_problem, render_problems, summary

TEXT = "name: x\nnodes:\n  - id: implement\n    depend_on: [classify]\n"
TYPO = Problem(
    "unknown-field",
    "'depend_on' is not a field of a bash node",
    file="/home/ana/app/.ion/workflows/fix-issue.yaml",
    line=4,
    column=5,
    length=9,
    hint="did you mean 'depends_on'?\nit would change what runs: without it 'implement' starts at once",
)


def test_an_error_shows_its_line_with_a_caret() -> None:
    """The layout of screens.md: head, place, line, caret with the suggestion, further hints."""
    assert render_problem(TYPO, TEXT, relative_to=Path("/home/ana/app")) == snapshot("""\
error[unknown-field]: 'depend_on' is not a field of a bash node
  --> .ion/workflows/fix-issue.yaml:4:5
  |
4 |     depend_on: [classify]
  |     ^^^^^^^^^ did you mean 'depends_on'?
  |
  = it would change what runs: without it 'implement' starts at once\
""")


def test_a_warning_is_short() -> None:
    """A warning is its head, its place and its hint."""
    warning = Problem("order-by-reference", "'a' refers to $b.output", "warning", "w.yaml", 31, 20, hint="add it")
    assert render_problem(warning, TEXT) == snapshot("""\
warning[order-by-reference]: 'a' refers to $b.output
  --> w.yaml:31:20
   = add it\
""")


def test_a_hint_that_suggests_nothing_stands_below() -> None:
    """Only a `did you mean` stands beside the caret."""
    problem = Problem("bad-id", "no", file="w", line=3, column=9, length=9, hint="choose another")
    assert render_problem(problem, TEXT).splitlines()[-3:] == [
        "  |         ^^^^^^^^^",
        "  |",
        "  = choose another",
    ]


def test_without_a_source_or_a_place_only_words_are_shown() -> None:
    """A file that cannot be read, or a problem of no line, has no snippet."""
    assert render_problem(Problem("x", "gone", file="w", line=7, column=1)) == "error[x]: gone\n  --> w:7:1"
    assert render_problem(Problem("x", "gone", path="nodes[0]")) == "error[x]: gone\n  --> nodes[0]"
    assert render_problem(Problem("x", "gone")) == "error[x]: gone"


def test_colours_are_the_business_of_the_face() -> None:
    """A style gets each piece with its role and may wrap it."""
    roles = set()

    def style(role: str, text: str) -> str:
        roles.add(role)
        return f"<{text}>" if role == "caret" else text

    assert "<^^^^^^^^^> did you mean" in render_problem(TYPO, TEXT, style=style)
    assert roles == {"error", "message", "gutter", "place", "source", "caret", "hint"}


@pytest.mark.parametrize(
    ("line", "column", "length", "caret_at"),
    [
        ("\t\tx: 1", 3, 1, 8),  # a tab is four blanks
        ("日本: x", 5, 1, 6),  # wide characters take two columns
        ("e\u0301: x", 5, 1, 3),  # combining ones none
        ("\x1b[31mx", 6, 1, 8),  # an escape is shown as \x1b
    ],
)
def test_the_caret_stands_below_its_character(line: str, column: int, length: int, caret_at: int) -> None:
    """Whatever the characters before it, the caret is in the column that a terminal shows."""
    problem = Problem("x", "m", file="f", line=1, column=column, length=length)
    caret = render_problem(problem, line).splitlines()[-1]
    assert caret.index("^") - len("  | ") == caret_at


def test_a_long_line_is_cut_around_the_place() -> None:
    """A line of a thousand characters shows what is wrong, with dots on both sides."""
    line = "a" * 500 + "WRONG" + "b" * 500
    problem = Problem("x", "m", file="f", line=1, column=501, length=5)
    shown, caret = render_problem(problem, line).splitlines()[-2:]
    assert len(shown) < 120
    assert shown[caret.index("^") : caret.index("^") + 5] == "WRONG"
    assert shown[4] == shown[-1] == "…"


@given(st.text(), st.text(), st.integers(0, 5), st.integers(0, 200), st.integers(0, 300))
def test_nothing_unprintable_reaches_the_terminal(text: str, said: str, line: int, column: int, length: int) -> None:
    """Escapes, controls, bidirectional and invisible characters of a file are shown, never sent."""
    problem = Problem(said, said, "error", said, line, column, said, said, length)
    rendered = render_problem(problem, text)
    assert all(character.isprintable() or character == "\n" for character in rendered)


def test_printable_shows_what_would_hide_or_reorder() -> None:
    assert printable("a\x1b[0m\u202eb\u200bc\ud800") == "a\\x1b[0m\\u202eb\\u200bc\\ud800"
    assert printable("plain é 日本 😀") == "plain é 日本 😀"


def test_several_files_are_read_from_the_disk(tmp_path: Path) -> None:
    """Problems are sorted by file and place, and the lines come from the files."""
    (tmp_path / "b.yaml").write_text("bee: 1\n")
    (tmp_path / "a.yaml").write_text("ant: 1\n")
    problems = [
        Problem("x", "second", file=str(tmp_path / "b.yaml"), line=1, column=1, length=3),
        Problem("x", "first", file=str(tmp_path / "a.yaml"), line=1, column=1, length=3),
        Problem("x", "gone", file=str(tmp_path / "c.yaml"), line=1, column=1),
    ]
    text = render_problems(problems, relative_to=tmp_path)
    assert text.index("1 | ant") < text.index("1 | bee") < text.index("gone")


@pytest.mark.parametrize(
    ("errors", "warnings", "files", "expected"),
    [
        (1, 1, 6, "1 error, 1 warning in 1 of 6 files"),
        (2, 0, 1, "2 errors in 1 file"),
        (0, 3, 2, "3 warnings in 1 of 2 files"),
        (0, 0, 1, "no problems in 1 file"),
        (0, 0, 6, "no problems in 6 files"),
    ],
)
def test_the_summary_line(errors: int, warnings: int, files: int, expected: str) -> None:
    problems = [Problem("x", "m", file="f")] * errors + [Problem("x", "m", "warning", file="f")] * warnings
    assert summary(problems, files) == expected
