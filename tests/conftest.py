"""What holds for every test: none is timed, since machines are busy."""

from __future__ import annotations

import os
import signal
import tempfile

import pytest
from hypothesis import settings

from conformance.kit import Clock
from ion import clocks

# Under nohup, in a background job of a script and under many CI runners these are ignored, and children inherit that.
# With a handler that does nothing this process ignores them still, and a child has them as a terminal gives them.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda _number, _frame: None)

# What proves that this user started a run is not written into the home of whoever runs the tests.
_STATE = tempfile.TemporaryDirectory(prefix="ion-test-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

settings.register_profile("ion", deadline=None)
settings.load_profile("ion")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half as many again as there are processors: many tests wait for programs more than they compute."""
    return -(-(os.cpu_count() or 1) * 3 // 2)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Runs have a clock that goes a hundred times faster, so that nobody waits out the delays of retries (at least a
    second each). Times in events are that clock's."""
    clock = Clock()
    monkeypatch.setattr(clocks, "now_ms", clock)
    monkeypatch.setattr(clocks, "running_from", lambda _zero: clock)
    return clock
