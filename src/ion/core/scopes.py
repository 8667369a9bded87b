"""Scopes: the instances inside of a node, as a run has opened them (language.md §13).

A composite node is one node to its siblings; what runs inside of it are instances with addresses of their own. Their
states stand beside all others in `RunState.nodes`; a `ScopeState` says which they are, in order, and what they were
given.
"""

from __future__ import annotations

from msgspec import Struct, field

from ion.core.events import Content, ScopeFinishing, Value


class ScopeState(Struct):
    """The instances inside of the node `owner` since it was last opened.

    `members` are their addresses in order, with their places. A fan-out has `items`, a JSON array, a called workflow
    has `given`, a JSON object of its `inputs` and `arguments`; `read` is what conditions read of them, for each item
    or once. `is_open`: its end has not been taken in by the owner. `finishing`: that of a called workflow is decided,
    and its `finally` runs, since the run had been owned for `finishing_from` ms.
    """

    owner: str
    members: dict[str, int] = field(default_factory=dict)
    iteration: int = 0
    items: Content | None = None
    given: Content | None = None
    read: tuple[dict[str, Value], ...] = ()
    is_open: bool = True
    finishing: ScopeFinishing | None = None
    finishing_from: int = 0

    @property
    def prefix(self) -> str:
        """What the addresses of its members begin with."""
        return f"{self.owner}.{self.iteration}." if self.iteration else f"{self.owner}."


def numbered(known: dict[str, int], keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The keys, told apart where items are equal, and the number of each item: the one that it had, or a new one that
    no item of this fan-out ever had; `known` are those that it had."""
    free = max(known.values(), default=-1) + 1
    seen: dict[str, int] = {}
    whole: list[str] = []
    numbers: list[int] = []
    for key in keys:
        count = seen[key] = seen.get(key, -1) + 1
        name = f"{key}-{count}" if count else key
        number = known.get(name)
        if number is None:
            number, free = free, free + 1
        whole.append(name)
        numbers.append(number)
    return tuple(whole), tuple(numbers)
