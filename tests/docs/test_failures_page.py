"""docs/failures.md: its workflow loads without a word, and what it says in tables is read as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import console_blocks
from ion.language.load import parse_workflow

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text(encoding="utf-8")
(FILE,) = [step for step in console_blocks.steps(PAGE) if isinstance(step, console_blocks.File)]


def test_the_page_shows_what_happens(tmp_path: Path) -> None:
    assert console_blocks.run(PAGE, tmp_path) >= 9


def test_its_workflow_loads_without_a_word() -> None:
    assert parse_workflow(FILE.text).problems == ()


def fields() -> list[str]:
    """What the tables tell to write: fields of a node, in backticks in the column of Ion."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    cells = [re.split(r"(?<!\\)\|", row)[2] for row in rows]
    return [one for cell in cells for one in re.findall(r"`((?!finally)[a-z_]+: [^`]*[^`: ])`", cell)]


@pytest.mark.parametrize("field", fields())
def test_what_it_tells_to_write_is_a_field(field: str) -> None:
    home = "finally" if field.startswith("when") else "nodes"
    node = f"{{id: x, bash: 'true', {field}}}"
    text = f"name: x\ndescription: d\n{home}:\n- {node}\n"
    text += "nodes: [{id: a, bash: x}]\n" if home == "finally" else "- {id: deploy, bash: 'true'}\n"
    assert [one for one in parse_workflow(text).problems if one.severity != "hint"] == []


def test_it_has_tables() -> None:
    assert len(fields()) >= 10
