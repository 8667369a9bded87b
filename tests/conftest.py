"""What holds for every test: none is timed, since machines are busy."""

from __future__ import annotations

import functools
import os

import pytest
from hypothesis import settings

settings.register_profile("ion", deadline=None)
settings.load_profile("ion")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Half as many workers again as there are cores, for about a third of the suite's time is spent in waiting."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have a clock that goes a hundred times faster, so that nobody waits out the delays of retries (at least a
    second each). Times in events are that clock's."""
    from conformance.kit import Clock
    from ion.api import requests
    from ion.engine import runs
    from ion.engine.local import Drive

    clock = Clock()
    monkeypatch.setattr(runs, "Drive", functools.partial(Drive, clock=clock))
    monkeypatch.setattr(runs, "now_ms", clock)
    monkeypatch.setattr(requests, "now_ms", clock)
