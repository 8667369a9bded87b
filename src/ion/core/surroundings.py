"""What an instance sees around it: the nodes that it can name, its item, its iteration, its inputs (language.md §13).

Addresses alone say most of it: an id means the instance whose address begins as the nearest scope's members do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from ion.core.events import Content, ScopeFinishing, Value, WorkflowFinishing
from ion.core.scopes import ScopeState
from ion.core.state import NodeState, RunState
from ion.language.templates import Template


class Given(Struct, frozen=True):
    """What an instance finds under `$INPUTS`: the item at `place` of a fan-out, by its `name` ('': it has none); or,
    `name` None, all inputs of the called workflow that it is in."""

    content: Content
    name: str | None = None
    place: int = 0
    values: dict[str, Value] = field(default_factory=dict)


class Surroundings(Struct, frozen=True):
    """What an instance sees around it. `prefixes` lead to the nodes that it can name, the nearest first; `given` is in
    the same order; `ending` is how the workflow ends, for what its `finally` runs. The rest are the values of
    `$ITEM_INDEX`, `$ITEM_COUNT`, and of the iteration that it is in."""

    prefixes: tuple[str, ...] = ("",)
    given: tuple[Given, ...] = ()
    item_index: int | None = None
    item_count: int | None = None
    iteration: int = 0
    previous: str = ""
    output: Content | None = None
    user_input: str = ""
    rejection_reason: str = ""
    ending: WorkflowFinishing | ScopeFinishing | None = None

    def find(self, nodes: dict[str, NodeState], node: str) -> NodeState | None:
        """The instance that the id `node` means here."""
        for prefix in self.prefixes:
            found = nodes.get(prefix + node)
            if found is not None:
                return found
        return None


TOP = Surroundings()


def scopes_around(state: RunState, address: str) -> Iterator[tuple[ScopeState, str]]:
    """The scopes that an instance is in, from within, as far as it sees: to the workflow whose text it is in. Each with
    the member of it that the instance is, or is in."""
    owner = state.nodes[address].owner
    while owner:
        scope = state.scopes[owner]
        yield scope, address
        if scope.given is not None:
            return
        address, owner = owner, state.nodes[owner].owner


def surroundings(state: RunState, template: Template, address: str, *, inside: bool = False) -> Surroundings:
    """What the instance sees, for its texts and its condition. `inside`: the text is read after its own nodes have
    ended, and sees them too."""
    if not inside and not state.nodes[address].owner:
        return TOP if state.finishing is None else Surroundings(ending=state.finishing)
    prefixes: list[str] = []
    given: list[Given] = []
    values: dict[str, Any] = {}
    if inside and address in state.scopes:
        prefixes.append(state.scopes[address].prefix)
    called = False
    for scope, member in scopes_around(state, address):
        if scope.items is None:
            prefixes.append(scope.prefix)
        else:
            fan_out = template.all[scope.owner].node.fan_out
            place = scope.members[member]
            read = scope.read[place] if scope.read else {}
            given.append(Given(scope.items, fan_out.name if fan_out else "", place, read))
            values.setdefault("item_index", place)
            values.setdefault("item_count", len(scope.members))
        if scope.iteration and "iteration" not in values:
            progress = state.nodes[scope.owner].progress
            values |= {
                "iteration": scope.iteration,
                "previous": f"{scope.owner}.{scope.iteration - 1}.",
                "output": progress.reply.output if progress.reply is not None else None,
                "user_input": progress.user_input,
                "rejection_reason": progress.rejection_reason,
            }
        if scope.given is not None:
            called = True
            values["ending"] = scope.finishing
            given.append(Given(scope.given, values=scope.read[0] if scope.read else {}))
    if not called:
        prefixes.append("")
        values["ending"] = state.finishing
    return Surroundings(prefixes=tuple(prefixes), given=tuple(given), **values)
