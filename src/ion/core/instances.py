"""What a plan keeps of each instance, and of each open scope: the counts that make its next step cheap."""

from __future__ import annotations

import heapq
from typing import TypeAlias

from ion.language.templates import ScopeTemplate, Template
from ion.names import ITEM_NAMES

# The position of an instance in the order of the file and of the items: the places on the way to it.
Position: TypeAlias = tuple[int, ...]


class Instance:
    """One instance of a node in a scope that is open. `unsettled` counts what it still waits for; `inside` is its own
    scope once that is looked at; `agent` is who answers its prompts; `halts` is the scope that it ends."""

    __slots__ = ("address", "agent", "halts", "inside", "place", "scope", "settled", "template", "unsettled")

    def __init__(self, address: str, template: Template, scope: OpenScope, place: Position, agent: str) -> None:
        self.address = address
        self.template = template
        self.scope = scope
        self.place = place
        self.agent = agent
        self.unsettled = 0
        self.settled = False
        self.inside: OpenScope | None = None
        self.halts: OpenScope | None = None

    @property
    def may_begin(self) -> bool:
        """Whether it is the time of what it is part of: of its scope, or of the `finally` of that."""
        return self.scope.has_begun and self.template.is_final == self.scope.finishing

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped or skipped from now on, with all inside of it."""
        scope = self.scope
        if self.template.is_final and scope.finishing:
            return scope.overdue
        stops = scope.ends_early and (scope.overdue or bool(scope.halts) or self.address not in scope.spared)
        return stops or (scope.owner is not None and scope.owner.is_stopped)


class OpenScope:
    """The instances of a graph, or of a fan-out (`body` None; `inputs` is what all items read besides their own).
    `left` of the `members` have not settled, and `finals` of those of its `finally`, which run once it is `finishing`;
    `failed` are those that failed, neither allowed nor caught, `halts` those that end the whole scope; `spared` are the
    addresses of those that a failure does not stop: what is to catch it; `next` is the first item that has no room yet,
    `room` how many may be under way. `has_begun`: the node around it is settled in all that it waits for, so what is
    inside may run. `overdue`: the time of that node is over."""

    __slots__ = (
        *("body", "failed", "fails_fast", "halts", "has_begun", "inputs"),
        *("finals", "finishing", "left", "members", "next", "overdue", "owner", "room", "spared"),
    )

    def __init__(self, owner: Instance | None, body: ScopeTemplate | None, fails_fast: bool) -> None:
        self.owner = owner
        self.body = body
        self.fails_fast = fails_fast
        self.members: list[Instance] = []
        self.inputs: dict[str, str] = {}
        self.left = self.finals = 0
        self.finishing = False
        self.next = 0
        self.room: int | None = None
        self.has_begun = False
        self.overdue = False
        self.failed: set[Position] = set()
        self.spared: set[str] = set()
        self.halts: dict[Position, str] = {}

    @property
    def address(self) -> str:
        """That of the node around it; '' for the run's."""
        return "" if self.owner is None else self.owner.address

    @property
    def place(self) -> Position:
        return () if self.owner is None else self.owner.place

    @property
    def contains_halts(self) -> bool:
        """Whether what would end the run ends this scope instead: in a called workflow, and in an item."""
        return self.owner is not None and (self.owner.template.calls or self.owner.scope.body is None)

    @property
    def ends_early(self) -> bool:
        """Whether what is under way in it is to end, or if it is finishing, its `finally`."""
        if self.overdue or self.finishing:
            return self.overdue
        return bool(self.halts) or (self.fails_fast and bool(self.failed))

    @property
    def unsettled(self) -> int:
        """How many have to settle before it comes to its end, or to its `finally`."""
        return self.finals if self.finishing else self.left

    @property
    def is_open(self) -> bool:
        return self.owner is None or self.owner.inside is self

    def item_values(self, place: int) -> dict[str, str]:
        """The values of the names that the item at this place has."""
        return {"ITEM_INDEX": str(place), "ITEM_COUNT": str(len(self.members))}

    def inputs_of(self, place: int) -> dict[str, str]:
        """What the item at this place depends on besides its own value."""
        if self.inputs.keys().isdisjoint(ITEM_NAMES):
            return self.inputs
        own = self.item_values(place)
        return {name: own.get(name, value) for name, value in self.inputs.items()}


class Line:
    """Instances by their place, each once, the first of them first."""

    __slots__ = ("_heap", "_here")

    def __init__(self) -> None:
        self._heap: list[tuple[Position, str]] = []
        self._here: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, instance: Instance) -> None:
        if instance.address not in self._here:
            self._here.add(instance.address)
            heapq.heappush(self._heap, (instance.place, instance.address))

    def pop(self) -> str:
        _, address = heapq.heappop(self._heap)
        self._here.remove(address)
        return address


def why_it_ends(scope: OpenScope) -> tuple[str, str]:
    """Why a part of the run ends early, as the reason of those that it ends, and in words."""
    if scope.overdue and scope.finishing:
        return "cancelled", "finally took too long"
    if scope.overdue and scope.owner is not None:
        return "cancelled", f"'{scope.owner.address}' took longer than {scope.owner.template.limit_ms} ms"
    if scope.halts:
        return "cancelled", f"'{scope.halts[min(scope.halts)]}' ended it"
    return "fail_fast", f"'{scope.members[min(scope.failed)[-1]].address}' failed and fail_fast is set"


def is_read_inside(instance: Instance, name: str) -> bool:
    """Whether only nodes inside of this one read this name of its item."""
    return name in ITEM_NAMES and instance.template.item_names.get(name) is False


def place_among_items(instance: Instance) -> dict[str, str]:
    """What a node reads of the place of the item that it is in; nothing in a called workflow, which does not see it."""
    names, scope = instance.template.item_names, instance.scope
    while scope.body is not None and scope.owner is not None and not scope.owner.template.calls:
        instance, scope = scope.owner, scope.owner.scope
    if scope.body is not None:
        return {}
    values = scope.item_values(instance.place[-1])
    return {name: values[name] for name in names}
