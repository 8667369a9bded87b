"""What a worker keeps of the runs that it has worked for: their logs as far as they were read, and what their turns
share. A run that does not continue is released, with what its agents keep open and the checkouts that it needs no
more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from ion.agents.base import Agent
from ion.core import events as e
from ion.engine.agent_registry import AgentRegistry
from ion.engine.checkouts import check_out, remove_checkouts
from ion.engine.observe import Observers
from ion.engine.run_reader import RunReader, read_run, secret_names
from ion.engine.runs import EngineConfig, context_of
from ion.engine.temporal.codec import INLINE_LIMIT_BYTES
from ion.errors import IonError, NotFoundError, StoreError
from ion.language.workflow import Node
from ion.masking import secret_values
from ion.nodes.base import Context
from ion.nodes.program import in_thread
from ion.process.survivors import end_left_behind, register_here
from ion.stores.base import WorkflowStore

_log = logging.getLogger("ion")

# So often a worker looks whether the runs that it has worked for still continue.
_HOUSEKEEPING_S = 15.0
EngineConfigFor = Callable[[str | None], EngineConfig]


class KnownRun(Struct, dict=True):
    """A run that this worker has worked for: its log as far as it was read, its context, and how many of its turns
    run here."""

    reader: RunReader
    context: Context
    registry: AgentRegistry
    turns: int = 0


class KnownRuns:
    """The runs of one worker. `engine_config_for` returns the configuration of a run with this agent (`UsageError`: the
    agent is not configured here)."""

    def __init__(self, engine_config_for: EngineConfigFor) -> None:
        self.engine_config_for = engine_config_for
        self._known: dict[str, KnownRun] = {}
        self._secrets: dict[str, tuple[str, ...]] = {}
        # A run is read, and begun or released, by one task at a time: all of its turns share what is known of it.
        self._alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def store(self) -> WorkflowStore:
        """That of all runs."""
        return self.engine_config_for(None).store

    async def release_idle(self) -> None:
        """Release runs that do not continue: close what their agents keep open here, and remove the checkouts of those
        that have ended. Never returns."""
        while True:
            await asyncio.to_thread(self.remove_checkouts)
            await asyncio.sleep(_HOUSEKEEPING_S)
            for run_id in [run_id for run_id, known in self._known.items() if not known.turns]:
                with contextlib.suppress(StoreError):  # then there is nothing to tell yet
                    if await asyncio.to_thread(self._status, run_id) != "running":
                        await self._forget(run_id)

    async def release(self, run_id: str) -> None:
        """The drive of this run is over; what the programs of a cancelled one left here is ended."""
        self._secrets.pop(run_id, None)
        known = self._known.get(run_id)
        if known is not None and await asyncio.to_thread(self._status, run_id) == "cancelled":
            folders, grace_ms = known.context.folders, known.context.grace_ms
            await in_thread(end_left_behind, folders.register, run_id, folders.artifacts, grace_ms)
        await self._forget(run_id)

    async def close(self) -> None:
        """Release all runs."""
        for run_id in list(self._known):
            await self._forget(run_id)

    def _status(self, run_id: str) -> str:
        try:
            return self.store.get_workflow_run(run_id).status
        except NotFoundError:
            return "unknown"

    def remove_checkouts(self) -> None:
        """Those of runs that have ended."""
        try:
            config = self.engine_config_for(None)
            remove_checkouts(config.project, config.data / "checkouts", self._needs_files)
        except (IonError, OSError) as error:
            _log.warning("checkouts of ended runs stay: %s", error)

    def _needs_files(self, run_id: str) -> bool:
        """Also if this store does not know the run: it may be in another store."""
        known = self._known.get(run_id)
        return (known is not None and known.turns > 0) or self._status(run_id) not in ("completed", "cancelled")

    def lock_of(self, run_id: str) -> asyncio.Lock:
        """Held while the run is read, and while a turn of it begins."""
        return self._alone.setdefault(run_id, asyncio.Lock())

    async def _forget(self, run_id: str) -> None:
        """Release a run, unless turns of it are under way."""
        async with self.lock_of(run_id):
            known = self._known.get(run_id)
            if known is not None and not known.turns:
                del self._known[run_id]
                await known.registry.end(run_id)

    def secrets_of(self, run_id: str) -> tuple[str, ...]:
        """The values that no message may hold, as this worker has them in its environment."""
        if run_id not in self._secrets:
            config = self.engine_config_for(None)
            names = (*secret_names(config.store, run_id), *config.secrets)
            self._secrets[run_id] = secret_values(names, config.environ)
        return self._secrets[run_id]

    async def up_to_now(self, run_id: str) -> KnownRun:
        """What is known of a run, read up to now. In a thread: its files may have to be fetched first."""
        known = self._known.get(run_id)
        if known is None:
            known = self._known[run_id] = await in_thread(self._get_to_know, run_id)
        else:
            await in_thread(known.reader.read_new)
        return known

    def _get_to_know(self, run_id: str) -> KnownRun:
        found = read_run(self.store, run_id)
        assert found.state.started is not None
        config, started = self._with_files(found, found.state.started)
        registry = AgentRegistry(self._chooser(found))
        context = context_of(
            config=config,
            run_id=run_id,
            workflow=found.workflow,
            started=started,
            engaged=registry,
            observers=Observers(()),
            inline_limit=INLINE_LIMIT_BYTES,
        )
        context = replace(context, folders=replace(context.folders, register=register_here(context.folders.run)))
        return KnownRun(found, context, registry)

    def _chooser(self, found: RunReader) -> Callable[[Node], Agent | None]:
        """Who answers, also when the run is given another agent: each is made once for the run."""
        settings: dict[str | None, EngineConfig] = {}

        def choose(node: Node) -> Agent | None:
            agent = found.state.agent
            if agent not in settings:
                settings[agent] = self.engine_config_for(agent)
            return settings[agent].agent_for(node)

        return choose

    def _with_files(self, found: RunReader, started: e.WorkflowStarted) -> tuple[EngineConfig, e.WorkflowStarted]:
        """The configuration of a run with its files: the project folder in which the run was started is the same
        folder of the project here, or of its checkout."""
        config = self.engine_config_for(found.state.agent)
        theirs, cwd = Path(self.store.get_workflow_run(found.run_id).project), Path(started.cwd)
        if not cwd.is_relative_to(theirs):
            return config, started
        project = config.project
        if found.workflow.workspace == "git" and started.git_head is not None:
            project = check_out(project, config.data / "checkouts", found.run_id, started.git_head)
        return replace(config, project=project), replace(started, cwd=str(project / cwd.relative_to(theirs)))
