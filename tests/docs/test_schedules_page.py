"""docs/schedules.md: what it shows really ran, and printed that."""

from __future__ import annotations

from pathlib import Path

import console_blocks

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")


def test_the_page_shows_what_happens(tmp_path: Path) -> None:
    assert console_blocks.run(PAGE, tmp_path) >= 6
