"""A world for each test, in memory or in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ion
from conformance.kit import World


def _world(url: str, folder: Path) -> Iterator[World]:
    project = folder / "project"
    (project / ".ion").mkdir(parents=True)
    store = ion.create_store(url, project=project)
    yield World(project, store)
    store.close()


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings of whoever runs the tests nor a run around them count."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ION_STORE", "ION_RUN_ID", "ION_AGENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose runs are kept in memory."""
    yield from _world("memory:", tmp_path)


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[World]:
    """A world whose runs are kept in SQLite."""
    yield from _world("sqlite:.ion/ion.db", tmp_path)
