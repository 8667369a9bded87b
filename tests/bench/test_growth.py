"""The cost of a run grows with its size and no faster: four times the nodes, about four times the calls.

Growth, not speed, and counted, not timed: `python -m bench` has the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import growth
from work import CallCount

SIZE = 150
TIMES = 4
# Quadratic growth would be four times linear.
BOUND = 1.5 * TIMES


@pytest.mark.parametrize("name", ["run-chain", "run-fan", "resume", "show", "fold"])
def test_the_cost_grows_in_line_with_the_size(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    @contextmanager
    def counted(_figures: growth.Figures) -> Iterator[None]:
        with CallCount() as count:
            yield
        counts.append(count.calls)

    monkeypatch.setattr(growth, "_timed", counted)
    for count in (SIZE // 2, SIZE, SIZE * TIMES):
        folder = tmp_path / str(count)
        (folder / ".ion").mkdir(parents=True)
        growth.MEASURES[name](count, folder)
    _first, small, large = counts  # what a process does once, is in the first
    assert large <= BOUND * small
    assert large > small
