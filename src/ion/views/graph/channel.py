"""The lines between two columns: which of them share a vertical, and in what order the verticals stand.

A net is everything that leads from one set of sources to one set of targets; it has one vertical (two, if it must
dodge). A line that ends at a vertical and one that begins in the same row must not touch, so the first's vertical
is left of the second's. Where this goes round in a circle, a net dodges: it leaves its row at once, continues in the
empty one below, and turns to its targets last.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from ion.language.graph import find_cycles, topological


class Net(Struct, eq=False, dict=True):
    """Rows of a net: from where it comes, where it goes. `track` is the place of its vertical, from 0; None: it is
    straight. `after` are nets that must stand left of it."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    track: int | None = None
    after: list[Net] = field(default_factory=list)

    @property
    def straight(self) -> bool:
        return self.sources == self.targets and len(self.sources) == 1

    @property
    def span(self) -> tuple[int, int]:
        rows = self.sources + self.targets
        return min(rows), max(rows)


def route(leads: Iterable[tuple[int, tuple[int, ...]]]) -> tuple[list[Net], int]:
    """The nets for (row of a source, rows of its targets), and how many tracks they take. Rows are even; the odd ones
    between them are free for dodging."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for source, targets in leads:
        if targets:
            groups.setdefault(tuple(sorted(set(targets))), []).append(source)
    nets = [Net(tuple(sorted(sources)), targets) for targets, sources in groups.items()]
    nets = _without_circles(nets)
    return nets, _assign(nets)


def _without_circles(nets: list[Net]) -> list[Net]:
    while True:
        waits = _constraints(nets)
        cycles = find_cycles(waits)
        if not cycles:
            for number, net in enumerate(nets):
                net.after += [nets[int(other)] for other in waits[str(number)]]
            return nets
        dodging = nets.pop(int(cycles[0][0]))
        free_row = dodging.sources[0] + 1
        leaving = Net(dodging.sources, (free_row,))
        nets += [leaving, Net((free_row,), dodging.targets, after=[leaving])]


def _constraints(nets: list[Net]) -> dict[str, list[str]]:
    """For each net (by number) those that must stand left of it."""
    by_source = {
        row: number for number, net in enumerate(nets) if not net.straight for row in net.sources if row % 2 == 0
    }
    waits: dict[str, list[str]] = {}
    for number, net in enumerate(nets):
        lefts = {by_source[row] for row in net.targets if by_source.get(row, number) != number}
        lefts |= {nets.index(left) for left in net.after}
        waits[str(number)] = [] if net.straight else [str(left) for left in sorted(lefts)]
    return waits


def _assign(nets: list[Net]) -> int:
    """Give each net that turns the first track where it overlaps with no other; gives the number of tracks."""
    taken: list[list[tuple[int, int]]] = []
    waits = {str(number): [str(nets.index(left)) for left in net.after] for number, net in enumerate(nets)}
    for number in topological(waits):
        net = nets[int(number)]
        if net.straight:
            continue
        low, high = net.span
        track = max((left.track + 1 for left in net.after if left.track is not None), default=0)
        while track < len(taken) and any(start <= high and low <= end for start, end in taken[track]):
            track += 1
        if track == len(taken):
            taken.append([])
        taken[track].append((low, high))
        net.track = track
    return len(taken)
