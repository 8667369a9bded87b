"""Agents that speak the Agent Client Protocol: a process that lives as long as the run is driven, with one session for
each prompt, or the session that a prompt continues.

One process serves all nodes of a run with the same working directory and environment, several at a time. What it asks
for is decided by policy or by a person. `protocol` is what the router speaks, `v1` the wire format, `running` a
process, `turn` one prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from ion import process
from ion.agents.acp.mcp_servers import mcp_servers
from ion.agents.acp.protocol import AgentRefusedError, SessionSetting, SessionSetup
from ion.agents.acp.running import Running, Session, start
from ion.agents.acp.turn import PromptTurn, refused
from ion.agents.base import PROMPT_SUFFIX, AgentError, PromptRequest, PromptResult, with_schema
from ion.agents.clock import Clock
from ion.agents.presets import Preset, as_text, tool_names, without_effect
from ion.agents.streams import Activity
from ion.names import NAMES_OF_A_TURN
from ion.process.child import ProcessSpec

DEFAULT_POLICY = "ask"
_Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]
# They belong to one prompt, and a process serves many.
_OF_ONE_PROMPT = ("ION_NODE_ID", "ION_IDEMPOTENCY_KEY", *NAMES_OF_A_TURN)
# Options of a node and what they are in a session; an agent need not offer them.
_SETTINGS = {"model": "model", "effort": "effort", "modelReasoningEffort": "effort", "mode": "mode"}
_STDERR_BYTES = 64 * 1024


class _Surroundings(Struct):
    """Where a process runs, and the process, if it is running."""

    lock: asyncio.Lock
    running: Running | None = None


class AcpAgent(Struct, eq=False, dict=True):
    """An agent that is a program which speaks ACP on its stdin and stdout. `preset` says how it is driven, `permission`
    is `allow`, `allow-reads`, `deny` or `ask`, `options` are defaults for the options of nodes, `env` is added to the
    environment."""

    preset: Preset
    name: str
    permission: str = DEFAULT_POLICY
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    _places: dict[_Key, _Surroundings] = field(default_factory=dict)
    _started: int = 0
    _folder: Path | None = None

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Ask in the request's session, or a new one. Raises `AgentError`, `UnpermittedError`."""
        request = with_schema(request)  # the protocol has no place for it
        clock = Clock(request.timeout_ms, request.idle_timeout_ms)
        options = {**self.options, **request.options}
        notes = [
            f"{self.name} has no option for {one}: it is not passed on" for one in without_effect(self.preset, options)
        ]
        if self.widens(request.options):
            notes.append(f"{self.name}: {self.not_taken(request.options)}")
            options["mode"] = self.options.get("mode")
        try:
            async with contextlib.AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(clock.seconds_left()):
                        running = await self._running(request)
                        setup = await self._setup(running, options, request, notes)
                        session, prompt = await self._session(running, setup, request, notes)
                        await held.enter_async_context(session.busy)
                        await self._set_up(running, session, options, notes)
                        prompt = as_text(self.preset, self._with_system(session, request.system, prompt))
                except TimeoutError:
                    raise AgentError("timeout", f"agent {self.name} timed out after {request.timeout_ms} ms") from None
                if request.log is not None:
                    process.keep(process.beside(request.log, PROMPT_SUFFIX), prompt)
                with _logged(request, running.stderr) as said, self._activity(request) as activity:
                    turn = PromptTurn(running, session, request, self.preset, self.permission, said, activity.take)
                    result = await turn.run(prompt, clock)
                    return replace(result, notes=(*notes, *result.notes))
        except AgentRefusedError as error:
            raise refused(self.preset, self.name, error) from error
        except process.SpawnError as error:
            raise self.preset.not_started(error) from error

    @contextlib.contextmanager
    def _activity(self, request: PromptRequest) -> Iterator[Activity]:
        """What shows the steps of the turn, and keeps its transcript."""
        progress = request.progress
        told = None if progress is None else lambda line: progress(f"{self.name} · {line}")
        path = None if request.log is None else process.beside(request.log, ".txt")
        activity = Activity(None, request.cwd, path, told)
        try:
            yield activity
        finally:
            activity.close()

    async def end_run(self, run_id: str) -> None:
        """End every process that was started for the run."""
        places = [self._places.pop(key) for key in list(self._places) if key[0] == run_id]
        alive = [place.running for place in places if place.running is not None]
        try:
            await asyncio.gather(*(running.end() for running in alive))
        finally:
            for running in alive:
                running.close()
            if self._folder is not None and not self._places:
                import shutil

                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    # ------------------------------------------------------------------ its process and session

    async def _running(self, request: PromptRequest) -> Running:
        """The process for this prompt; a dead one is replaced. Concurrent prompts share one start."""
        env = {**(request.env or os.environ), **self.preset.env, **self.env, "NO_COLOR": "1"}
        for name in _OF_ONE_PROMPT:
            env.pop(name, None)
            env.pop(f"{name}_FILE", None)
        cwd = request.cwd.absolute()
        key = (request.run_id, str(cwd), frozenset(env.items()))
        place = self._places.setdefault(key, _Surroundings(asyncio.Lock()))
        async with place.lock:
            if place.running is None or not place.running.alive:
                if place.running is not None:
                    await place.running.end()
                place.running = None
                argv = (*self.preset.command, *self.preset.arguments)
                program = ProcessSpec(argv, cwd, env, self._log(request), register=request.register)
                place.running = await start(self.name, program, request.grace_ms)
            return place.running

    def _log(self, request: PromptRequest) -> Path:
        """The path stem of the process's own log, beside the logs of the run's nodes."""
        self._started += 1
        name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.name)[:50]}-{os.getpid()}-{self._started}"
        if request.register is not None:
            return request.register.parent / "agents" / name
        if self._folder is None:
            import tempfile

            self._folder = Path(tempfile.mkdtemp(prefix="ion-acp-"))
        return self._folder / name

    async def _session(
        self, running: Running, setup: SessionSetup, request: PromptRequest, notes: list[str]
    ) -> tuple[Session, str]:
        """The session, and the text to send in it."""
        cwd = str(request.cwd.absolute())
        if request.session is not None:
            old = await running.old_session(request.session, cwd, setup)
            if old is not None:
                if old.setup != setup:
                    notes.append("its session had begun with other mcp or tools, and keeps them")
                return old, request.prompt
            notes.append(f"{self.name} cannot continue the session {request.session}: asked in a new one")
        fresh = request.prompt if request.fresh_prompt is None or request.session is None else request.fresh_prompt
        return await running.new_session(cwd, setup, request.system), fresh

    async def _setup(
        self, running: Running, options: Mapping[str, Any], request: PromptRequest, notes: list[str]
    ) -> SessionSetup:
        """What the node's session is opened with."""
        servers = await asyncio.to_thread(mcp_servers, options.get("mcp"), request.cwd, request.env or os.environ)
        known = tuple(server for server in servers if server.kind in running.abilities.servers)
        notes += [
            f"{self.name} connects to no {one.kind} MCP server: {one.name}" for one in servers if one not in known
        ]
        tools = {
            name: tuple(tool_names(options[option]))
            for option, flags in self.preset.options.items()
            for name in flags.some
            if options.get(option) is not None
        }
        return SessionSetup(known, tools)

    @staticmethod
    def _with_system(session: Session, system: str | None, prompt: str) -> str:
        """The prompt, after the system prompt if its session has not been given that: one that continues keeps the
        system prompt of its beginning, whatever it is opened again with."""
        if system is None or session.told == system:
            return prompt
        session.told = system
        return f"{system}\n\n---\n\n{prompt}"

    def widens(self, options: Mapping[str, Any]) -> bool:
        """Whether a node names a mode that may decide what the settings leave to their `permission`: a workflow allows
        no more than its user does. The user may name any mode."""
        mode = options.get("mode")
        if mode is None or self.permission == "allow":
            return False
        return mode not in (self.options.get("mode"), *self.preset.asking.values(), *self.preset.narrow_modes)

    def not_taken(self, options: Mapping[str, Any]) -> str:
        """What is said of such a mode."""
        return (
            f"the mode '{options['mode']}' of the workflow is not taken, since `permission: {self.permission}` holds;"
            " the settings may name one (`options: {mode: …}`)"
        )

    async def _set_up(self, running: Running, session: Session, options: Mapping[str, Any], notes: list[str]) -> None:
        """Apply the options that are settings of a session, as far as the agent offers them: first the model, since
        it decides on the others.

        If no mode is named, it is the one in which the agent asks: in another one it would decide for itself what
        `permission` should decide. An agent that has such a mode, in a session that cannot be set to it, is refused.
        """
        wanted = {kind: options[name] for name, kind in _SETTINGS.items() if options.get(name) is not None}
        allowing = self.preset.allowing if self.permission == "allow" else {}
        asking = {} if "mode" in wanted else allowing or self.preset.asking
        for kind, value in {**wanted, **asking}.items():
            setting = session.setting(kind)
            if setting is not None:
                await self._change(running, session, setting, str(value))
            elif kind in wanted:
                notes.append(f"{self.name} offers no {kind} in this session: it is not passed on")
            elif kind == "mode" and self.permission != "allow":
                message = f"agent {self.name} offers no mode in which it asks before it acts"
                raise AgentError("refused", message, hint=f"it has to have the mode {value}; is it another version?")

    async def _change(self, running: Running, session: Session, setting: SessionSetting, value: str) -> None:
        """Set it, and make sure that it is set."""
        wanted = _named(value, setting.values)
        if wanted is None:
            message = f"agent {self.name} has no {setting.kind} '{value}'"
            raise AgentError("refused", message, hint=f"one of: {', '.join(setting.values)}")
        call = running.link.change(session.opened.session, setting, wanted)
        session.update(await running.call(call, f"when it was given its {setting.kind}"))
        now = session.setting(setting.kind)
        if now is None or now.current != wanted:
            is_ = f"is '{now.current}'" if now is not None else "is gone"
            raise AgentError("refused", f"agent {self.name} was set to the {setting.kind} '{wanted}', and it {is_}")


def _named(wanted: str, values: Mapping[str, str]) -> str | None:
    """The id of a value, given by its id or name."""
    if wanted in values:
        return wanted
    return next((key for key, name in values.items() if wanted.lower() in (key.lower(), name.lower())), None)


@contextlib.contextmanager
def _logged(request: PromptRequest, stderr: Path) -> Iterator[Callable[[str], None]]:
    """The reply goes into the prompt's log as it comes; at the end also the stderr of the process meanwhile, which
    may be about other prompts too."""
    if request.log is None:
        yield lambda _: None
        return
    before = _size(stderr)
    with contextlib.ExitStack() as files:
        out: list[BinaryIO] = []

        def said(text: str) -> None:
            if not out and request.log is not None:
                out.append(files.enter_context(os.fdopen(process.create(process.beside(request.log, ".out")), "wb", 0)))
            out[0].write(text.encode("utf-8", "replace"))

        try:
            yield said
        finally:
            _copy(stderr, before, process.beside(request.log, ".err"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy(source: Path, begin: int, target: Path) -> None:
    """Copy what was added since, but at most the end of it."""
    size = _size(source)
    if size <= begin:
        return
    with source.open("rb") as stream:
        stream.seek(max(begin, size - _STDERR_BYTES))
        data = stream.read(_STDERR_BYTES)
    with os.fdopen(process.create(target), "wb") as copy:
        copy.write(data)
