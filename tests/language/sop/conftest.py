"""A project with SOPs in it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ion" / "workflows").mkdir(parents=True)
    return folder


@pytest.fixture
def write(project: Path) -> Callable[..., Path]:
    """Write an SOP into the project; gives its path."""

    def _write(text: str = THREE_STEPS, name: str = "pay") -> Path:
        place = project / ".ion" / "workflows" / f"{name}.sop.md"
        place.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return place

    return _write
