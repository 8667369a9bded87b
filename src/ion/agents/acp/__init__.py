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

from ion import process
from ion.agents.acp.protocol import AgentRefusedError
from ion.agents.acp.running import Running, Session, start
from ion.agents.acp.turn import PromptTurn
from ion.agents.base import AgentError, PromptRequest, PromptResult, with_schema
from ion.agents.clock import Clock
from ion.agents.presets import OWN_OPTIONS, Preset
from ion.names import NAMES_OF_A_TURN
from ion.process.child import ProcessSpec

DEFAULT_POLICY = "ask"
_Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]
# They belong to one prompt, and a process serves many.
_OF_ONE_PROMPT = ("ION_NODE_ID", "ION_IDEMPOTENCY_KEY", *NAMES_OF_A_TURN)
# Options of a node and what they are in a session; an agent need not offer them.
_SETTINGS = {"model": "model", "effort": "effort", "modelReasoningEffort": "effort", "mode": "mode"}
_CODES = {"login": "not_logged_in", "busy": "rate_limited", "broken": "crashed"}
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
    _said: set[str] = field(default_factory=set)
    _started: int = 0
    _folder: Path | None = None

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Ask in the request's session, or a new one. Raises `AgentError`, `UnpermittedError`."""
        request = with_schema(request)  # the protocol has no place for it
        clock = Clock(request.timeout_ms, request.idle_timeout_ms)
        try:
            async with contextlib.AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(clock.seconds_left()):
                        running = await self._running(request)
                        session, prompt = await self._session(running, request)
                        await held.enter_async_context(session.busy)
                        await self._set_up(running, session, request)
                except TimeoutError:
                    raise AgentError("timeout", f"agent {self.name} timed out after {request.timeout_ms} ms") from None
                with _logged(request, running.stderr) as said:
                    counted = self.preset.usage == "always"
                    turn = PromptTurn(running, session, request, self.permission, said, counted=counted)
                    return await turn.run(prompt, clock)
        except AgentRefusedError as error:
            raise self._refused(error) from error
        except process.SpawnError as error:
            raise self.preset.not_started(error) from error

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

    async def _session(self, running: Running, request: PromptRequest) -> tuple[Session, str]:
        """The session, and the text to send in it."""
        cwd = str(request.cwd.absolute())
        if request.session is not None:
            old = await running.old_session(request.session, cwd)
            if old is not None:
                return old, request.prompt
            self._say(request, f"{self.name} cannot continue the session {request.session}: asked in a new one")
        fresh = request.prompt if request.fresh_prompt is None or request.session is None else request.fresh_prompt
        return await running.new_session(cwd), fresh

    async def _set_up(self, running: Running, session: Session, request: PromptRequest) -> None:
        """Apply the node's options, as far as the agent offers them."""
        for name, value in self._options(session, request).items():
            kind = _SETTINGS.get(name)
            setting = next((one for one in session.opened.settings if one.kind == kind), None)
            if name in OWN_OPTIONS or value is None:
                continue
            if setting is None:
                self._warn(request, name)
                continue
            wanted = _named(str(value), setting.values)
            if wanted is None:
                message = f"agent {self.name} has no {name} '{value}'"
                raise AgentError("refused", message, hint=f"one of: {', '.join(setting.values)}")
            call = running.link.change(session.opened.session, setting, wanted)
            await running.call(call, f"when it was given its {name}")
        if request.system is not None and "systemPrompt" not in request.options:
            self._warn(request, "systemPrompt")

    def _options(self, session: Session, request: PromptRequest) -> dict[str, Any]:
        """The node's options over the agent's.

        If neither names a mode, the mode is the one in which the agent asks: in another one it would decide for itself
        what `permission` should decide. A session without modes has nothing to set; a session with other modes is
        refused, and the error lists its modes.
        """
        options = {**self.options, **request.options}
        if self.preset.asking_mode and any(one.kind == "mode" for one in session.opened.settings):
            options.setdefault("mode", self.preset.asking_mode)
        return options

    def _warn(self, request: PromptRequest, option: str) -> None:
        """Once for each option, however many prompts have it."""
        if option not in self._said:
            self._said.add(option)
            self._say(request, f"{self.name} offers no {option} by ACP: it is not passed on")

    @staticmethod
    def _say(request: PromptRequest, line: str) -> None:
        if request.progress is not None:
            request.progress(line)

    def _refused(self, error: AgentRefusedError) -> AgentError:
        if error.kind == "login":
            message = f"agent {self.name} is not logged in: {error.message}"
            return AgentError("not_logged_in", message, hint=self.preset.login)
        return AgentError(_CODES.get(error.kind, "bad_output"), f"agent {self.name} answered: {error.message}")


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
