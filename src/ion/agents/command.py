"""Any program as an agent: a command line made from the request, the answer read from its output.

The prompt is on stdin, because an argument holds at most 128 KiB and a prompt may begin with a dash; programs that do
not read stdin get it as an argument or a file. `presets` makes the command line, `parsers` read the output.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from ion import process
from ion.agents.base import PROMPT_SUFFIX, AgentError, PromptRequest, PromptResult, with_schema
from ion.agents.counting import of_this_turn
from ion.agents.parsers import parser
from ion.agents.presets import InFile, Launch, Preset, as_text, launch, schema_for, without_effect
from ion.agents.reading import Printed, Reading, conclude
from ion.agents.streams import STEPS, Activity
from ion.errors import UsageError
from ion.masking import tail

# A reply is held in memory; no agent has this much to say.
MAX_REPLY_BYTES = 64 * 1024 * 1024
_SHOWN = 2000
_STDERR_BYTES = 256 * 1024


class CommandAgent(Struct, frozen=True, gc=False):
    """An agent that is a program. `preset` says how it is driven, whatever its name; `pointer` and `session_pointer`
    are for the parser `json`; `env` is added to the environment of its process, `options` are defaults for the
    options of the nodes."""

    preset: Preset
    name: str
    pointer: str = ""
    session_pointer: str = ""
    env: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _totals: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _systems: dict[str, Any] = field(default_factory=dict)

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Run the program once, within the request's working directory and limits; a second time, in a new session, if
        it reports that the session no longer exists.

        Raises `AgentError`: `not_found` (also by exit status 127, a shell's code for it), `timeout`, `crashed`,
        `refused` (a value that cannot be passed on), `bad_output`, and what the output itself names.
        """
        request = replace(request, options=self._options(request))
        schema = schema_for(self.preset, request.output_format)
        request = replace(with_schema(request) if schema is None else request, output_format=schema)
        self._say_what_is_left_out(request)
        session = request.session if self.preset.resume else None
        prompt = request.prompt if session == request.session else request.fresh_prompt or request.prompt
        prompt = as_text(self.preset, prompt)
        with _log(request) as log:
            try:
                return await self._ask(request, prompt, session, log)
            except _SessionGoneError:
                if request.progress is not None:
                    request.progress(f"{self.name} no longer has the session {session}: asked in a new one")
                return await self._ask(request, as_text(self.preset, request.fresh_prompt or request.prompt), None, log)

    async def _ask(self, request: PromptRequest, prompt: str, session: str | None, log: Path) -> PromptResult:
        order = launch(self.preset, request, prompt, session)
        process.keep(process.beside(log, PROMPT_SUFFIX), prompt)
        activity = self._activity(request, log)
        try:
            ended = await self._run(order, request, log, activity)
        except process.SpawnError as error:
            raise self.preset.not_started(error) from error
        except process.OutputError as error:
            raise AgentError("crashed", error.message) from error
        finally:
            if activity is not None:
                activity.close()
        out = _read(process.beside(log, ".out"), self.name, self.preset.noise.encode())
        printed = Printed(out, _last(process.beside(log, ".err")), ended.status)
        reading = parser(self.preset.parser, self.pointer, self.session_pointer)(printed)
        before = None if session is None else request.session_total or self._totals.get(session, {})
        if reading.session is not None and reading.total:
            self._totals[reading.session] = reading.total
        reading = of_this_turn(reading, before, self.preset.usage)
        if session is not None and self._is_gone(ended, reading, printed, session):
            raise _SessionGoneError
        return self._with_kept_system(self._conclude(ended, reading, request, printed), request, session)

    def _with_kept_system(self, result: PromptResult, request: PromptRequest, resumed: str | None) -> PromptResult:
        """The result with a note if its systemPrompt is another than the one that its session began with."""
        system = request.options.get("systemPrompt")
        if resumed is None and result.session is not None:
            self._systems[result.session] = system
        if not self.preset.system_once or resumed not in self._systems or self._systems[resumed] == system:
            return result
        note = f"its systemPrompt may not count: {self.name} keeps that of the first prompt of a session"
        return replace(result, notes=(*result.notes, note))

    def _activity(self, request: PromptRequest, log: Path) -> Activity | None:
        """What follows its output, if that is a stream of events."""
        steps, progress = STEPS.get(self.preset.parser), request.progress
        if steps is None:
            return None
        told = None if progress is None else lambda line: progress(f"{self.name} · {line}")
        return Activity(steps, request.cwd, process.beside(log, ".txt"), told)

    async def _run(self, order: Launch, request: PromptRequest, log: Path, activity: Activity | None) -> process.Exit:
        with contextlib.ExitStack() as files:
            argv = [_path(word, process.beside(log, f".{i}.arg"), files) for i, word in enumerate(order.words)]
            return await process.run(
                argv,
                cwd=request.cwd,
                env={**(request.env or os.environ), **self.preset.env, **self.env, "NO_COLOR": "1", "TERM": "dumb"},
                log=log,
                register=request.register,
                stdin=order.stdin.encode("utf-8", "replace"),
                timeout_ms=request.timeout_ms,
                idle_timeout_ms=None if self.preset.silent else request.idle_timeout_ms,
                grace_ms=request.grace_ms,
                events=None if activity is None else activity.line,
                signs=None if activity is None else lambda: activity.signs,
            )

    def _is_gone(self, ended: process.Exit, reading: Reading, printed: Printed, session: str) -> bool:
        """Whether it ended without a turn, with its message for a session that no longer exists."""
        if not self.preset.gone or not ended.status or reading.text is not None:
            return False
        sign = self.preset.gone.replace("{session}", session).encode()
        return sign in printed.stdout or sign in printed.stderr

    def _conclude(
        self, ended: process.Exit, reading: Reading, request: PromptRequest, printed: Printed
    ) -> PromptResult:
        said = _shown(printed.stderr) or _shown(printed.stdout)
        if ended.timed_out:
            what = f"timed out after {request.timeout_ms} ms"
        elif ended.idle:
            what = f"said nothing for {request.idle_timeout_ms} ms"
        elif ended.signal is not None:
            what = f"was ended by {ended.signal}"
        elif ended.status is None:
            what = "ended, but its status was lost: the program around Ion ignores SIGCHLD"
        else:
            return self._with_hint(reading, ended.status, said)
        code = "timeout" if ended.timed_out or ended.idle else "crashed"
        message = f"agent {self.name} {what}" + (f": {said}" if said else "")
        raise AgentError(code, message, usage=dict(reading.usage), session_total=reading.session_total)

    def _with_hint(self, reading: Reading, status: int, said: str) -> PromptResult:
        try:
            return conclude(reading, status, said, self.name)
        except AgentError as error:
            if error.error_code == "not_logged_in":
                error.hint = self.preset.login
            raise

    def _options(self, request: PromptRequest) -> dict[str, Any]:
        system = {} if request.system is None else {"systemPrompt": request.system}
        return {**self.options, **request.options, **system}

    def _say_what_is_left_out(self, request: PromptRequest) -> None:
        """Once for each option, however many prompts have it."""
        new = [one for one in without_effect(self.preset, request.options) if one not in self._said]
        self._said.update(new)
        if request.progress is not None:
            for one in new:
                request.progress(f"{self.name} has no option for {one}: it is not passed on")


class _SessionGoneError(Exception):
    """The session to continue no longer exists."""


def _path(word: str | InFile, place: Path, files: contextlib.ExitStack) -> str:
    """The argument. The file that an argument names gets a name on disk, since a launcher passes no descriptor on."""
    if isinstance(word, str):
        return word
    try:
        handed = process.write_program_file(place, [word.text.encode("utf-8", "replace")], in_memory=False)
    except OSError as error:
        raise AgentError("crashed", f"the file {place} cannot be written: {error.strerror}") from error
    files.enter_context(handed)
    return word.before + handed.path + word.after


def command_agent(line: str, *, parser: str = "text") -> CommandAgent:
    """An agent from a command line, split into words as a shell does; the path of a file is one word as it is.

    Raises `UsageError` for a line that cannot be split or is empty.
    """
    words = command_words(line)
    name = Path(words[0]).name
    return CommandAgent(Preset(name, command=words, parser=parser), name)


def command_words(line: str) -> tuple[str, ...]:
    """The words of a command line. Raises `UsageError`."""
    if os.sep in line and Path(line).is_file():
        return (line,)
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"the agent {line!r} is not a valid command line: {error}", hint="check its quotes") from error
    if not words:
        raise UsageError("the agent's command line is empty", hint='name a program, as in --agent "claude -p"')
    return words


@contextlib.contextmanager
def _log(request: PromptRequest) -> Iterator[Path]:
    if request.log is not None:
        yield request.log
        return
    with tempfile.TemporaryDirectory(prefix="ion-agent-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "agent"


def _read(path: Path, name: str, noise: bytes) -> bytes:
    try:
        size = path.stat().st_size
    except FileNotFoundError:  # it printed nothing
        return b""
    if noise and size > MAX_REPLY_BYTES // 64:
        with path.open("rb") as stream:
            data = b"".join(line for line in stream if not line.startswith(noise))
        size = len(data)
    else:
        data = b"" if size > MAX_REPLY_BYTES else path.read_bytes()
    if size > MAX_REPLY_BYTES:
        raise AgentError("bad_output", f"agent {name} printed {size} bytes, more than {MAX_REPLY_BYTES}")
    return data


def _last(path: Path) -> bytes:
    """The end of a file, where a program writes its error object."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _STDERR_BYTES))
            return stream.read()
    except FileNotFoundError:
        return b""


def _shown(data: bytes) -> str:
    return tail(data.decode("utf-8", "replace"), _SHOWN).strip()
