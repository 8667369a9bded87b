"""The instances of a run by their addresses: those inside of others, in order, and forgetting them."""

from __future__ import annotations

from collections.abc import Iterator

from ion.core.state import NodeState, RunState
from ion.kinds import KINDS


def members_of(state: RunState, address: str) -> Iterator[NodeState]:
    """The instances inside of this one, in order; without an address the outermost ones."""
    if address:
        scope = state.scopes.get(address)
        yield from (state.nodes[member] for member in (scope.members if scope is not None else ()))
    else:
        yield from (node for node in state.nodes.values() if not node.owner)


def in_tree_order(state: RunState, address: str = "") -> Iterator[NodeState]:
    """The instances inside of this one at any depth, each before those inside of it: as a person reads them."""
    for node in members_of(state, address):
        yield node
        if node.id in state.scopes:
            yield from in_tree_order(state, node.id)


def is_halting(now: NodeState) -> bool:
    """Whether it ends more than itself: a cancel node that ran, or a gate that was rejected."""
    phase = now.phase
    return KINDS[now.kind].ends_run if phase.status == "completed" else phase.reason == "rejected"


def drop(state: RunState, address: str) -> None:
    """Forget an instance, and all inside of it."""
    node = state.nodes.pop(address, None)
    if node is not None:
        state.forgotten[address] = node.starts, node.asked
        empty(state, address)


def empty(state: RunState, address: str) -> None:
    """Forget all inside of an instance, of every iteration."""
    scope = state.scopes.pop(address, None)
    if scope is None:
        return
    names = [member[len(scope.prefix) :] for member in scope.members]
    for iteration in range(1, scope.iteration):
        for name in names:
            drop(state, f"{address}.{iteration}.{name}")
    for member in scope.members:
        drop(state, member)
