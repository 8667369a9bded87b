"""What a plan says is to be done now, each with its reason, and which agents bound it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, field

from ion.core import events as e
from ion.core.decide import StartTurn
from ion.kinds import AGENT_TURNS


class AgentLimits(Struct, frozen=True):
    """Which agent answers which node's prompts, by the path of the node (none: the caller), and how many turns at once
    of those agents that are bounded. An agent's prompts wait in a queue of their own: one that is busy keeps nobody
    else waiting. `shared` are those whose limit holds for all runs of the project, each with the name of its record in
    the store."""

    agents: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    def lane(self, path: str, turn: str | None) -> str:
        """The agent that a turn needs, or '' for none."""
        return self.agents.get(path, "") if turn in AGENT_TURNS else ""


NO_AGENT_LIMITS = AgentLimits()


class Record(Struct, frozen=True):
    """Append this event: it is decided without carrying anything out."""

    event: e.Event
    reason: str = ""


class Stop(Struct, frozen=True):
    """End the running turn of a node; its outcome is then `Stopped`."""

    node: str
    reason: str


class Wait(Struct, frozen=True):
    """Nothing else to do before `until` (ms since the epoch), unless a turn ends or a request comes."""

    until: int
    reason: str


class ChooseWorker(Struct, frozen=True):
    """Choose the worker that carries out all turns of this run; until then none is carried out."""

    reason: str = "the run is pinned to one worker"


Command: TypeAlias = Record | StartTurn | Stop | Wait | ChooseWorker
