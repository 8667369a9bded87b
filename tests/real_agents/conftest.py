"""The folder of the agents, the stand-in of their providers, a project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_agents.places import Place, place
from real_agents.provider import Provider


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    folder = os.environ.get("ION_REAL_AGENTS", "")
    if not (Path(folder) / "bin" / "claude").exists() or not folder:
        pytest.fail("ION_REAL_AGENTS names no folder made by tests/real_agents/install.sh FOLDER", pytrace=False)
    with Provider() as provider:
        yield place(Path(folder).resolve(), tmp_path, provider)
