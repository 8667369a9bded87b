"""The cost of a run grows with its size and no faster: four times the nodes, about four times the processor time.

Growth, not speed: both sizes are measured in turn in one process, and the least of several rounds counts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.growth import MEASURES

SIZE = 500
TIMES = 4
# Twice linear leaves room for a busy machine; quadratic growth would be four times linear.
BOUND = 2 * TIMES


@pytest.mark.parametrize("name", ["run-chain", "run-fan", "resume", "show", "fold"])
def test_the_cost_grows_in_line_with_the_size(name: str, tmp_path: Path) -> None:
    small, large = [], []
    for turn in range(3):
        for count, found in ((SIZE, small), (SIZE * TIMES, large)):
            folder = tmp_path / f"{turn}-{count}"
            (folder / ".ion").mkdir(parents=True)
            found.append(MEASURES[name](count, folder)["cpu"])
    assert min(large) <= BOUND * max(min(small), 0.001)
