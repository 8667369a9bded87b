"""A project folder and a store for each test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ion
from ion.stores.base import WorkflowStore


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ion" / "workflows").mkdir(parents=True)
    return folder


@pytest.fixture(params=["memory:", "sqlite:.ion/ion.db"])
def store(request: pytest.FixtureRequest, project: Path) -> Iterator[WorkflowStore]:
    opened = ion.create_store(request.param, project=project)
    yield opened
    opened.close()


@pytest.fixture
def write(project: Path) -> Callable[..., Path]:
    """Write a workflow file into the project; gives its path."""

    def _write(text: str, name: str = "w") -> Path:
        place = project / ".ion" / "workflows" / f"{name}.yaml"
        place.write_text(f"name: {name}\ndescription: test\n" + textwrap.dedent(text))
        return place

    return _write
