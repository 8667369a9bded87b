"""The graph of a workflow: cycles, layers, reachability, whose session a node continues.

Functions over ids and mappings of ids, all iterative and linear in nodes and edges (except `reaches`, which says so),
because a file may have tens of thousands of nodes and may be hostile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from ion.kinds import AGENT_KINDS, KINDS

# For each node, the nodes that it waits for. Names that are no key count as settled.
Waits: TypeAlias = Mapping[str, Sequence[str]]

_TARGETS_AT_ONCE = 4096


def topological(waits: Waits) -> list[str]:
    """The nodes, each after those that it waits for, otherwise in the order of `waits`. Nodes of a cycle, and nodes
    that wait for them, are left out."""
    missing = {node: sum(other in waits for other in set(others)) for node, others in waits.items()}
    followers = _followers(waits)
    ready = [node for node, number in missing.items() if not number]
    for node in ready:  # grows while it is walked
        for follower in followers.get(node, ()):
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    return ready


def _followers(waits: Waits) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {}
    for node, others in waits.items():
        for other in dict.fromkeys(others):
            followers.setdefault(other, []).append(node)
    return followers


def find_cycles(waits: Waits) -> list[list[str]]:
    """One cycle for each strongly connected component: its nodes, each waiting for the next and the last for the
    first. Linear: Tarjan 1972, then one walk inside each."""
    position = {node: number for number, node in enumerate(waits)}
    cycles = [_cycle_from(min(knot, key=position.__getitem__), set(knot), waits) for knot in _knots(waits)]
    return sorted(cycles, key=lambda cycle: position[cycle[0]])


def _cycle_from(first: str, members: Collection[str], waits: Waits) -> list[str]:
    """The cycle that is reached from `first`, always to the first neighbour inside the component."""
    seen: dict[str, int] = {}
    walk: list[str] = []
    node = first
    while node not in seen:
        seen[node] = len(walk)
        walk.append(node)
        node = next(other for other in waits[node] if other in members)
    return walk[seen[node] :]


def _knots(waits: Waits) -> Iterator[list[str]]:
    """The strongly connected components that contain a cycle."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    for root in waits:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(root, waits, index, low, open_nodes, is_open, work)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in waits:
                    continue
                if other not in index:
                    _enter(other, waits, index, low, open_nodes, is_open, work)
                    break
                if other in is_open:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    knot = _leave(node, open_nodes, is_open)
                    if len(knot) > 1 or node in waits[node]:
                        yield knot


def _enter(
    node: str,
    waits: Waits,
    index: dict[str, int],
    low: dict[str, int],
    open_nodes: list[str],
    is_open: set[str],
    work: list[tuple[str, Iterator[str]]],
) -> None:
    index[node] = low[node] = len(index)
    open_nodes.append(node)
    is_open.add(node)
    work.append((node, iter(waits[node])))


def _leave(node: str, open_nodes: list[str], is_open: set[str]) -> list[str]:
    start = len(open_nodes) - 1
    while open_nodes[start] != node:
        start -= 1
    knot = open_nodes[start:]
    del open_nodes[start:]
    is_open.difference_update(knot)
    return knot


def layers(waits: Waits) -> list[list[str]]:
    """The topological layers: a node is one below the lowest of those that it waits for (Archon's layers)."""
    depth: dict[str, int] = {}
    rows: list[list[str]] = []
    for node in topological(waits):
        depth[node] = max((depth[other] + 1 for other in waits[node] if other in depth), default=0)
    for node in waits:
        if node in depth:
            while len(rows) <= depth[node]:
                rows.append([])
            rows[depth[node]].append(node)
    return rows


def reaches(pairs: Iterable[tuple[str, str]], waits: Waits) -> set[tuple[str, str]]:
    """Those of the (node, target) pairs in which `node` waits for `target`, directly or through others.

    Sets are bits of one number for each node, some thousand targets at a time: memory stays small and the time is that
    of one walk over all edges for each batch.
    """
    wanted = list(dict.fromkeys(pairs))
    targets = list(dict.fromkeys(target for _, target in wanted))
    order = topological(waits) if wanted else []
    found = set()
    for start in range(0, len(targets), _TARGETS_AT_ONCE):
        bit = {target: 1 << number for number, target in enumerate(targets[start : start + _TARGETS_AT_ONCE])}
        above: dict[str, int] = {}
        for node in order:
            bits = 0
            for other in waits[node]:
                bits |= above.get(other, 0) | bit.get(other, 0)
            above[node] = bits
        found |= {(node, target) for node, target in wanted if above.get(node, 0) & bit.get(target, 0)}
    return found


class SessionWish(Struct, frozen=True, gc=False):
    """What decides whose session a node continues. `identity` distinguishes one agent from another; `context` is
    `""`, `fresh`, `shared`, or the id of a node to resume. `several`: it has instances, each with sessions of its
    own."""

    kind: str
    context: str = ""
    resume: str = ""
    identity: tuple[str, ...] = ()
    several: bool = False


def sessions(wishes: Mapping[str, SessionWish], depends_on: Waits) -> dict[str, str]:
    """For each agent node that continues another's session, that other (language.md §3.3).

    A walk over the layers: a node alone in its layer continues the last agent node that was alone in its layer; a layer
    of several, or of one that has instances, resets that, except for `shared`. A loop starts fresh and passes on its
    last session.
    """
    continued: dict[str, str] = {}
    last = last_ever = ""
    for row in layers(depends_on):
        for node in row:
            wish = wishes[node]
            source = wish.resume
            alone = len(row) == 1 and not wish.several
            if not source and alone and not KINDS[wish.kind].iterates and wish.context != "fresh":
                source = last_ever if wish.context == "shared" else last
            if source and wish.kind in AGENT_KINDS and wishes[source].identity == wish.identity:
                continued[node] = source
        if len(row) > 1 or wishes[row[0]].several:
            last = ""
        elif wishes[row[0]].kind in AGENT_KINDS:
            last = last_ever = row[0]
    return continued
