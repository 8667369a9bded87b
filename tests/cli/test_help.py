"""`ion help`: pages of the documentation and the help of commands, from a checkout as from a wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ion.api import installed
from ion.errors import NotFoundError

from .kit import Ion

ROOT = Path(__file__).parents[2]


def test_a_page_is_printed_whole(ion: Ion) -> None:
    assert ion("help", "glossary").out == (ROOT / "docs/glossary.md").read_text(encoding="utf-8")


def test_a_command_is_a_topic_too(ion: Ion) -> None:
    assert ion("help", "graph").out == ion("graph", "--help").out


def test_without_a_topic_all_commands_and_pages_are_named(ion: Ion) -> None:
    shown = ion("help").out
    for page in (ROOT / "docs").glob("*.md"):
        assert f"\n  {page.stem} " in shown
    assert "\n  validate " in shown


def test_an_unknown_topic_is_told_the_nearest(ion: Ion) -> None:
    failed = ion("help", "langauge")
    assert (failed.status, "unknown topic 'langauge'" in failed.err, "ion help language" in failed.err) == (
        2,
        True,
        True,
    )


def test_no_topic_leads_out_of_the_pages(ion: Ion) -> None:
    assert ion("help", "../README").status == 2


def test_a_package_without_pages_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installed, "__file__", str(tmp_path / "src/ion/api/installed.py"))
    with pytest.raises(NotFoundError, match="no pages"):
        installed.pages()


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(installed.extras()) == set(project["optional-dependencies"])
    assert installed.extras()["acp"] is not None  # one of the tools for development
