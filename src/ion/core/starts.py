"""The turns that are decided and wait for a slot or for their agent, and those that have begun.

A turn that works holds a slot of `max_concurrency`. A turn of an agent waits in that agent's line, so that one that is
busy keeps nobody else waiting; a gate, or what reads the items of a fan-out, starts at once.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from ion.core.commands import AgentLimits
from ion.core.decide import StartTurn
from ion.core.instances import Instance, Line
from ion.core.lanes import NOT_HELD, Held
from ion.core.state import NodeState
from ion.kinds import AGENT_TURNS, SLOT_TURNS


class Starts:
    """`instances` are those of the plan, by address; `live` are the addresses of those whose turn runs."""

    def __init__(self, instances: Mapping[str, Instance], max_concurrency: int, agent_limits: AgentLimits) -> None:
        self._instances = instances
        self._max_concurrency = max_concurrency
        self._limits = agent_limits.limits
        self._waiting: dict[str, StartTurn] = {}
        self._at_once = Line()
        self._lines: dict[str, Line] = {}
        self._slots: set[str] = set()
        self._busy: dict[str, set[str]] = {agent: set() for agent in self._limits}
        self.live: set[str] = set()

    def track(self, instance: Instance, now: NodeState) -> None:
        """Note whether a turn of this instance runs, and what that holds."""
        turn, asks, address = now.phase.turn, now.phase.requests, instance.address
        if turn is not None:
            self.live.add(address)
        else:
            self.live.discard(address)
        works = turn in SLOT_TURNS and not asks
        if works:
            self._slots.add(address)
        else:
            self._slots.discard(address)
        busy = self._busy.get(instance.agent)
        if busy is not None:
            if works and turn in AGENT_TURNS:
                busy.add(address)
            else:
                busy.discard(address)

    def add(self, instance: Instance, start: StartTurn) -> None:
        """Let a turn wait until it can start."""
        self._waiting[instance.address] = start
        self._line(start).add(instance)

    def drop(self, address: str) -> None:
        """It has started, or is not to start any more."""
        self._waiting.pop(address, None)

    def first(self, *, spent: bool, closed: Container[str] = ()) -> list[StartTurn]:
        """Those that can start now; they wait until they are dropped. `spent`: none of an agent can; `closed` are the
        agents whose lanes are."""
        room = self._max_concurrency - len(self._slots)
        found: list[StartTurn] = []
        for agent, line in list(self._lines.items()):
            if agent not in closed:
                found += self._first(line, min(room, self._room_of(agent, room, spent=spent)))
        if len(self._lines) > 1:
            found.sort(key=lambda start: self._instances[start.node].place)
        return [*self._first(self._at_once, len(self._waiting)), *found[: max(0, room)]]

    def of_agents(self) -> list[str]:
        """The addresses of those that wait to be answered by an agent."""
        return [address for address, start in self._waiting.items() if start.turn in AGENT_TURNS]

    def held(self, closed: Mapping[str, int]) -> Held:
        """What holds turns back of these closed lanes, which are the times by the agents."""
        if not closed:
            return NOT_HELD
        agents = {agent for start in self._waiting.values() if (agent := self._agent(start)) in closed}
        return Held(tuple(sorted(agents)), min((closed[agent] for agent in agents), default=None))

    def wait_for_other_runs(self, closed: Container[str]) -> bool:
        """Whether a turn waits for an agent whose turns all belong to other runs, and whose lane is not closed."""
        agents = {self._agent(start) for start in self._waiting.values()}
        return any(agent not in closed and self._is_full(agent) for agent in agents)

    def busy(self, agent: str) -> int:
        """How many turns of a bounded agent are under way in this run."""
        return len(self._busy.get(agent, ()))

    def busy_agent(self, address: str) -> str:
        """The bounded agent whose turn is under way here; '' for none."""
        return next((agent for agent, busy in self._busy.items() if address in busy), "")

    def ready(self, agent: str, most: int) -> list[str]:
        """The addresses of those that would start, and no more than `most`, if this agent had room for them."""
        line = self._lines.get(agent)
        room = min(most, self._max_concurrency - len(self._slots))
        return [] if line is None else [start.node for start in self._first(line, room)]

    def _is_full(self, agent: str) -> bool:
        return agent in self._busy and self._limits[agent] <= len(self._busy[agent])

    def _agent(self, start: StartTurn) -> str:
        return self._instances[start.node].agent if start.turn in AGENT_TURNS else ""

    def _line(self, start: StartTurn) -> Line:
        if start.turn not in SLOT_TURNS:
            return self._at_once
        agent = self._agent(start)
        line = self._lines.get(agent)
        if line is None:
            line = self._lines[agent] = Line()
        return line

    def _room_of(self, agent: str, room: int, *, spent: bool) -> int:
        """How many more turns an agent may have now."""
        if not agent:
            return room
        if spent:
            return 0
        limit = self._limits.get(agent)
        return room if limit is None else limit - len(self._busy[agent])

    def _first(self, line: Line, count: int) -> list[StartTurn]:
        """The first `count` of a line that are still to start; they stay in it until they have started.

        A line also holds what was left in it: instances that started since, or whose next turn is in another one.
        """
        found: list[StartTurn] = []
        while line and len(found) < count:
            address = line.pop()
            start = self._waiting.get(address)
            if start is None:
                continue
            if self._line(start) is line and not self._instances[address].is_stopped:
                found.append(start)
        for start in found:
            line.add(self._instances[start.node])
        return found
