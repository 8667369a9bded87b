"""What is inside of composite nodes, counted as people count it: an item, or a node of a graph, is one, whatever is
inside of it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from ion.core.addresses import members_of
from ion.core.state import NodeState, RunState

STATUSES = ("completed", "failed", "skipped", "cancelled", "running", "waiting", "pending")
# What is worth a look though much else is not, the most urgent first.
_RANKS = {"failed": 0, "waiting": 1, "running": 2}


class Tally:
    """Of each composite instance `counts` has the statuses of those inside of it. One that runs, and in which all that
    is under way waits for an answer, waits. Kept up to date by one instance, or one scope, at a time."""

    def __init__(self, state: RunState) -> None:
        self.counts: dict[str, dict[str, int]] = {owner: dict.fromkeys(STATUSES, 0) for owner in state.scopes}
        self._open: dict[str, dict[str, tuple[int, int]]] = {owner: {} for owner in state.scopes}
        self._own: dict[str, tuple[str, str]] = {}
        self._shown: dict[str, str] = {}
        for node in state.nodes.values():
            self.put(state, node)

    def open_scope(self, state: RunState, owner: str) -> None:
        """The instances inside of this one are others than before, or begin again."""
        self.counts[owner] = dict.fromkeys(STATUSES, 0)
        self._open[owner] = {}
        for node in members_of(state, owner):
            self._shown.pop(node.id, None)
            self.put(state, node)
        self.put(state, state.nodes[owner])

    def put(self, state: RunState, node: NodeState) -> None:
        """This is what has become of an instance."""
        scope = state.scopes.get(node.owner)
        if scope is not None and node.id not in scope.members:
            return  # of an iteration before
        retries = node.status == "waiting" and node.retry_at is not None
        self._own[node.id] = (node.owner, "running" if retries else node.status)
        address = node.id
        while address in self._own:  # what is in an iteration before counts no further
            owner, status = self._own[address]
            counts = self.counts.get(address)
            if status == "running" and counts is not None and counts["waiting"] and not counts["running"]:
                status = "waiting"
            before = self._shown.get(address)
            if before == status:
                return
            self._shown[address] = status
            if not owner:
                return
            self._count(state, address, owner, before, status)
            address = owner

    def _count(self, state: RunState, address: str, owner: str, before: str | None, status: str) -> None:
        around = self.counts.get(owner)
        if around is None:
            self.open_scope(state, owner)
            return
        around[status] += 1
        if before is not None:
            around[before] -= 1
        if status in _RANKS:
            self._open[owner][address] = (_RANKS[status], state.scopes[owner].members[address])
        else:
            self._open[owner].pop(address, None)

    def forget(self, owner: str) -> None:
        """Nothing is inside of this instance any more."""
        self.counts.pop(owner, None)
        self._open.pop(owner, None)

    def status(self, address: str) -> str:
        """What people would call the state of this instance."""
        return self._shown[address]

    def is_open(self, address: str) -> bool:
        """Whether this instance has failed, waits, or runs."""
        owner, _ = self._own.get(address, ("", ""))
        return address in self._open.get(owner, ())

    def unfolded(self, owner: str, room: int) -> Iterator[tuple[str, int]]:
        """The instances inside of `owner`, at any depth, that failed, wait or run, in order and at most `room` of them;
        after those inside of one, its own address with the number of those that are left out."""
        left = [room]
        yield from self._unfolded(owner, left)

    def _unfolded(self, owner: str, left: list[int]) -> Iterator[tuple[str, int]]:
        found = list(self._open.get(owner, {}).items())
        chosen = heapq.nsmallest(left[0], found, key=lambda one: one[1])
        count = 0
        for address, _ in sorted(chosen, key=lambda one: one[1][1]):
            if left[0] <= 0:
                break
            left[0] -= 1
            count += 1
            yield address, 0
            yield from self._unfolded(address, left)
        if len(found) > count > 0:
            yield owner, len(found) - count


def total(counts: dict[str, int]) -> int:
    """How many are counted."""
    return sum(counts.values())


def counts_of(nodes: Iterable[NodeState]) -> dict[str, int]:
    """How many of them have which status."""
    counts = dict.fromkeys(STATUSES, 0)
    for node in nodes:
        counts[node.status] += 1
    return counts
