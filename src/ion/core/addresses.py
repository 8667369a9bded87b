"""The instances of a run by their addresses: those inside of others, in order, and forgetting them."""

from __future__ import annotations

from collections.abc import Iterator

from ion.core.state import NodeState, RunState
from ion.kinds import KINDS

# The code of a node that failed because one inside of it did, where that one's own code would say it of the node.
NODE_FAILED = "node-failed"


def members_of(state: RunState, address: str) -> Iterator[NodeState]:
    """The instances inside of this one, in order; without an address the outermost ones."""
    if not address:
        return (node for node in state.nodes.values() if not node.owner)
    scope = state.scopes.get(address)
    return map(state.nodes.__getitem__, scope.members if scope is not None else ())


def finals_in(state: RunState, address: str) -> tuple[str, ...]:
    """The instances of the `finally` of a workflow, once that has begun: of the run, or of the one called here."""
    if not address:
        return state.finally_nodes
    scope = state.scopes.get(address)
    names = scope.finishing.finally_nodes if scope is not None and scope.finishing is not None else ()
    return tuple(f"{address}.{name}" for name in names)


def instances_in(state: RunState, address: str) -> list[NodeState]:
    """As `members_of`, with those of a loop's iterations before."""
    scope = state.scopes.get(address)
    if scope is None or scope.iteration < 2:
        return list(members_of(state, address))
    names = [member[len(scope.prefix) :] for member in scope.members]
    every = (f"{address}.{iteration}.{name}" for iteration in range(1, scope.iteration + 1) for name in names)
    return [state.nodes[one] for one in every if one in state.nodes]


def origin_of(state: RunState, node: NodeState) -> NodeState:
    """The instance whose failure is that of this one: the first inside of it, at any depth, that failed so."""
    while node.status == "failed" and node.error is not None:
        code = node.error.code
        inner = next((one for one in members_of(state, node.id) if state.has_failed(one) and _failed(one, code)), None)
        if inner is None:
            break
        node = inner
    return node


def _failed(node: NodeState, code: str) -> bool:
    return node.status == "failed" and node.error is not None and (code == NODE_FAILED or node.error.code == code)


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


def ended_with(state: RunState, address: str) -> str:
    """What a rejection at this instance ends: the item, or the call of a workflow, that is the nearest around it; '':
    the run."""
    while owner := state.nodes[address].owner:
        scope = state.scopes[owner]
        if scope.items is not None or scope.given is not None:
            return address if scope.given is None else owner
        address = owner
    return ""


def drop(state: RunState, address: str) -> None:
    """Forget an instance, and all inside of it."""
    node = state.nodes.pop(address, None)
    if node is not None:
        state.forgotten[address] = node.starts, node.asked
        state.caught.pop(address, None)
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
