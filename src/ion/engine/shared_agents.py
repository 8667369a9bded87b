"""How many turns of an agent all runs of a project have at once, where its settings bound it (`max_parallel`).

The store keeps one record for each such agent, changed by compare-and-set: which run has how many turns, and which wait
for one, in their order. What a run has there counts while the process that took it owns the run: nobody has to give it
back, and who was killed keeps nothing. A run that waits for a turn looks at the record from time to time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.json import Decoder

from ion import clocks, codec
from ion.core.commands import AgentLimits
from ion.core.plan import Plan
from ion.errors import DamagedStoreError, NotFoundError
from ion.stores.base import Lease, WorkflowStore
from ion.stores.lease import owner_is_live

# How often the record is read while a turn waits, and how often, if it has not changed, who in it is alive.
LOOK_MS = 500
_LOOK_AT_OWNERS_MS = 2000


class Demand(Struct, frozen=True):
    """How many turns of an agent a run wants; `busy` are under way."""

    agent: str
    wanted: int
    busy: int


class Share(Struct, frozen=True):
    """How many turns of an agent a run has, and whether it waits for more. `token` is its owner's."""

    run_id: str
    token: str
    turns: int
    waits: bool


_decoder = Decoder(tuple[Share, ...])


class SharedAgents(Mapping[str, int]):
    """How many turns at once a drive may have of each agent: of those that all runs of the project share no more than
    it has taken, of the others as many as their limit says."""

    def __init__(self, store: WorkflowStore, lease: Lease, limits: AgentLimits, room: Mapping[str, int]) -> None:
        """`room` is what the limits leave to this run of what its process has."""
        self._store = store
        self._lease = lease
        self._limits = limits.limits
        self._room = room
        self._records = limits.shared
        self._taken = dict.fromkeys(limits.shared, 0)
        self._waits: set[str] = set()
        self._told: set[str] = set()
        self._seen: dict[str, tuple[str | None, int]] = {}
        self._looked = 0

    def __getitem__(self, agent: str) -> int:
        return self._taken[agent] if agent in self._taken else self._room[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._room)

    def __len__(self) -> int:
        return len(self._room)

    @property
    def next_look_ms(self) -> int | None:
        """How long until the record is to be read again; None: this run waits for no turn."""
        return max(0, self._looked + LOOK_MS - clocks.steady_ms()) if self._waits else None

    def demands(self, plan: Plan, at: int) -> list[Demand]:
        """What is to be taken or given back now, before the run waits for what comes next. An
        agent whose lane is closed needs none."""
        found = []
        for agent, taken in self._taken.items():
            busy, waits = plan.busy(agent), agent in self._waits
            wanted = busy + len(plan.ready(agent, self._limits[agent] - busy, at))
            if self.next_look_ms == 0 if waits and wanted > taken else waits or wanted != taken:
                found.append(Demand(agent, wanted, busy))
        return found

    def demands_after(self, plan: Plan, ended: Iterable[str]) -> list[Demand]:
        """The same once the turns of these nodes have ended: another run may come first now."""
        freed = Counter(map(plan.busy_agent, ended))
        return [
            Demand(agent, taken, plan.busy(agent) - freed[agent])
            for agent, taken in self._taken.items()
            if freed[agent]
        ]

    def news(self, plan: Plan, at: int) -> list[tuple[str, str]]:
        """What is to be said, once for each agent, of a node that waits for a turn of it."""
        new = self._waits - self._told
        self._told |= new
        return [
            (node, f"waits for {agent}: all runs of the project have {self._limits[agent]} at once")
            for agent in sorted(new)
            for node in plan.ready(agent, 1, at)
        ]

    def settle(self, demands: Sequence[Demand]) -> int:
        """Take and give back turns, as far as this run comes before others; how many more it has then."""
        self._looked = clocks.steady_ms()
        before = sum(self._taken.values())
        for one in demands:
            self._settle(one)
        return sum(self._taken.values()) - before

    def leave(self) -> None:
        """Give everything back."""
        self.settle([Demand(agent, 0, 0) for agent, taken in self._taken.items() if taken or agent in self._waits])

    def _settle(self, demand: Demand) -> None:
        agent, record = demand.agent, self._records[demand.agent]
        while True:
            text = self._store.get_record(record)
            if agent in self._waits and demand.wanted > self._taken[agent] and self._is_as_seen(agent, text):
                return
            live = [one for one in _shares(agent, text) if self._is_mine(one) or self._is_live(one)]
            after = self._shared_out(live, demand)
            if after == live or self._store.set_record(record, codec.encode(after), instead_of=text):
                break
        mine = next(filter(self._is_mine, after), None)
        self._taken[agent] = mine.turns if mine is not None else 0
        if mine is not None and mine.waits:
            self._waits.add(agent)
            self._seen[agent] = text, clocks.steady_ms()
        else:
            self._waits.discard(agent)

    def _shared_out(self, live: Sequence[Share], demand: Demand) -> list[Share]:
        """Those that come first have one turn each before this run has another. With it, it goes to the end."""
        place = next((i for i, one in enumerate(live) if self._is_mine(one)), len(live))
        has_waited = place < len(live) and live[place].waits
        others = [one for one in live if not self._is_mine(one)]
        ahead = sum(one.waits for one in (live[:place] if has_waited else others))
        room = self._limits[demand.agent] - sum(one.turns for one in others) - ahead
        turns = max(demand.busy, min(demand.wanted, room))
        waits = turns < demand.wanted
        if not turns and not waits:
            return others
        mine = Share(self._lease.run_id, self._lease.owner.token, turns, waits)
        keeps_place = place < len(live) and has_waited == waits and turns <= demand.busy
        return [*others[:place], mine, *others[place:]] if keeps_place else [*others, mine]

    def _is_mine(self, share: Share) -> bool:
        return share.token == self._lease.owner.token

    def _is_live(self, share: Share) -> bool:
        """Whether the process that took it still owns the run."""
        try:
            run = self._store.get_workflow_run(share.run_id)
        except (NotFoundError, DamagedStoreError):
            return False
        if run.owner is None or run.owner.token != share.token:
            return False
        return owner_is_live(run.owner, run.lease_expires_at, self._store.lease_clock(run.owner))

    def _is_as_seen(self, agent: str, text: str | None) -> bool:
        seen, at = self._seen.get(agent, (None, 0))
        return text == seen and clocks.steady_ms() < at + _LOOK_AT_OWNERS_MS


def _shares(agent: str, text: str | None) -> tuple[Share, ...]:
    if text is None:
        return ()
    try:
        return codec.decode(text, _decoder)
    except ValueError as error:
        raise DamagedStoreError(f"what the store keeps of the agent '{agent}' is damaged: {error}") from error
