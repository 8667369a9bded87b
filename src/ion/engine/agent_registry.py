"""The agents that answered in one drive: those that keep something open are ended when it releases the run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ion.agents.base import Agent, LastingAgent
from ion.language.workflow import Node

_log = logging.getLogger("ion")


class AgentRegistry:
    """Chooses agents as `choose` does, and remembers which it chose."""

    def __init__(self, choose: Callable[[Node], Agent | None]) -> None:
        self._choose = choose
        self._seen: dict[int, Agent] = {}
        self._lasting: list[LastingAgent] = []

    def agent_for(self, node: Node) -> Agent | None:
        """The agent that answers this node's prompts; None: the caller answers them."""
        agent = self._choose(node)
        if agent is not None and id(agent) not in self._seen:
            self._seen[id(agent)] = agent
            if isinstance(agent, LastingAgent):  # dear for a protocol, so not for each prompt
                self._lasting.append(agent)
        return agent

    async def end(self, run_id: str) -> None:
        """End them all. A failure does not change the run's outcome, which is already recorded."""
        for agent in self._lasting:
            try:
                await agent.end_run(run_id)
            except Exception:  # noqa: BLE001  (an embedder's agent may raise anything)
                _log.warning("the agent %s did not end what it had open for the run", agent.name, exc_info=True)
