"""Where the moments of a run are on a line from 0 to 1: evenly, but long stretches in which nothing worked are folded,
so that an hour at work is not a dot beside a night of waiting.

Times are in ms of the time in which somebody drove the run.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from ion.api.described import node_duration

if TYPE_CHECKING:
    from ion.api.result import RunShown
    from ion.core.state import NodeState

# A longer stretch in which nothing works is folded.
LONGEST_GAP_MS = 5 * 60_000
# What a folded stretch takes of the line, and all of them together at most.
_FOLD, _FOLDS = 0.04, 0.4


class Gap(Struct, frozen=True):
    """A stretch that is folded, and its places on the line."""

    start: int
    end: int
    first: float
    last: float

    @property
    def length(self) -> int:
        return self.end - self.start


class Scale(Struct, frozen=True):
    """`times` and their `places`; between two of them it is even."""

    times: tuple[int, ...]
    places: tuple[float, ...]
    gaps: tuple[Gap, ...]

    @property
    def whole(self) -> int:
        return self.times[-1]

    def place(self, at: int) -> float:
        """Where a moment is, from 0 to 1."""
        after = bisect.bisect_right(self.times, at)
        if after == 0 or after == len(self.times):
            return 0.0 if after == 0 else 1.0
        begin, end = self.times[after - 1], self.times[after]
        first, last = self.places[after - 1], self.places[after]
        return first + (last - first) * (at - begin) / (end - begin)


def scale_of(run: RunShown) -> Scale:
    """The line of a run. What waits for people does not work; what is inside of a node does, not the node."""
    whole = run.described.owned
    return scale(whole, (span for node in run.state.nodes.values() if (span := _worked(run, node, whole)) is not None))


def _worked(run: RunShown, node: NodeState, whole: int) -> tuple[int, int] | None:
    took = node_duration(node, whole)
    if node.owned_from is None or took is None or node.kind == "approval" or node.id in run.state.scopes:
        return None
    return node.owned_from, node.owned_from + took


def scale(whole: int, spans: Iterable[tuple[int, int]], longest: int = LONGEST_GAP_MS) -> Scale:
    """The line from 0 to `whole`, given when something worked."""
    gaps, done = [], 0
    for start, end in sorted(spans):
        if start - done > longest:
            gaps.append((done, start))
        done = max(done, end)
    if whole - done > longest:
        gaps.append((done, whole))
    whole = max(1, whole)
    left = whole - sum(end - start for start, end in gaps)
    fold = min(_FOLD, _FOLDS / len(gaps)) if gaps else 0.0
    if left <= 0:
        fold = 1 / len(gaps)
    even = (1 - fold * len(gaps)) / left if left > 0 else 0.0
    times, places, folded = [0], [0.0], []
    for start, end in gaps:
        first = places[-1] + (start - times[-1]) * even
        for time, place in ((start, first), (end, first + fold)):
            if time > times[-1]:
                times.append(time)
                places.append(place)
        folded.append(Gap(start, end, first, first + fold))
    if whole > times[-1]:
        times.append(whole)
        places.append(1.0)
    return Scale(tuple(times), tuple(places), tuple(folded))
