"""Messages, help texts and docstrings are plain English: a few idioms that a stranger stumbles over appear nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import ion

SOURCE = Path(ion.__file__).parent
FORBIDDEN = re.compile(
    r"\b(is|are)\s+no\b(?!\s+longer)"  # "is not a", "unknown", "invalid"
    r"|\b(go|goes|going|gone|went)\s+on\b"  # "continue"
    r"|\bmend(s|ed|ing)?\b"  # "fix"
    r"|\bfor\s+want\s+of\b"  # "without"
    r"|\bstands?\s+in\b"  # "is in", "replaces"
)


def found_in(text: str) -> list[tuple[int, str]]:
    """The line of each string in this source that has one of the idioms, and the words around it."""
    return [
        (node.lineno, node.value[max(0, match.start() - 40) : match.end() + 40])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for match in FORBIDDEN.finditer(node.value)
    ]


def test_no_text_has_one_of_the_idioms() -> None:
    files = {str(path.relative_to(SOURCE)): path for path in sorted(SOURCE.rglob("*.py"))}
    found = {name: found_in(path.read_text()) for name, path in files.items()}
    assert {name: places for name, places in found.items() if places} == {}


IN_PAGES = re.compile(rf"{FORBIDDEN.pattern}|\b[Ww]hoever\b|out of account|let go of|wholly or not at all")


def test_no_page_has_one_of_the_idioms() -> None:
    root = SOURCE.parents[1]
    pages = [root / "README.md", root / "CONTRIBUTING.md", root / "SECURITY.md", *sorted((root / "docs").glob("*.md"))]
    found = {page.name: [match[0] for match in IN_PAGES.finditer(page.read_text())] for page in pages}
    assert {name: words for name, words in found.items() if words} == {}


def test_docstrings_and_parts_of_messages_are_looked_at() -> None:
    source = '"""This is\nno file."""\nraise ValueError(f"{name!r} is no number, so it goes on")\n'
    assert [line for line, _ in found_in(source)] == [1, 3, 3]
