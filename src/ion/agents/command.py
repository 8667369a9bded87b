"""Any program as an agent: the prompt on its stdin, its answer from its stdout.

stdin, because an argument holds no more than 128 KiB and a prompt may begin with a dash. It has succeeded only if it
ended with status 0 and a parser found a result in what it printed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ion import process
from ion.agents.base import AgentError, PromptRequest, PromptResult
from ion.errors import UsageError
from ion.records import dataclass

# A reply is held in memory; no agent has this much to say.
MAX_REPLY_BYTES = 64 * 1024 * 1024
_SHOWN = 2000
_NOT_FOUND = 127

Parser = Callable[[bytes], PromptResult]


def _text(stdout: bytes) -> PromptResult:
    """All of stdout less one final newline."""
    return PromptResult(stdout.decode("utf-8", "replace").removesuffix("\n"))


# By name, as configurations choose them. Each raises `AgentError` if there is no result in what was printed.
PARSERS: dict[str, Parser] = {"text": _text}


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """An agent that is a program. `parser` is a key of `PARSERS`."""

    argv: tuple[str, ...]
    name: str
    parser: str = "text"

    async def prompt(self, request: PromptRequest) -> PromptResult:
        """Run the program once, in the request's working directory and limits.

        Raises `AgentError`: `not_found` (also by exit status 127, a shell's word for it), `timeout`, `crashed`,
        `bad_output`, and what the parser says.
        """
        if request.system is not None and request.progress is not None:
            request.progress(f"{self.name} has no option for systemPrompt: it is not passed on")
        with _log(request) as log:
            try:
                ended = await self._run(request, log)
            except process.SpawnError as error:
                code = "not_found" if error.missing else "crashed"
                raise AgentError(code, error.message, hint=error.hint) from error
            except process.OutputError as error:
                raise AgentError("crashed", error.message) from error
            self._check(ended, request, log)
            return PARSERS[self.parser](_read(process.beside(log, ".out"), self.name))

    async def _run(self, request: PromptRequest, log: Path) -> process.Exit:
        return await process.run(
            self.argv,
            cwd=request.cwd,
            env={**(request.env or os.environ), "NO_COLOR": "1", "TERM": "dumb"},
            log=log,
            register=request.register,
            stdin=request.prompt.encode("utf-8", "replace"),
            timeout_ms=request.timeout_ms,
            idle_timeout_ms=request.idle_timeout_ms,
            grace_ms=request.grace_ms,
        )

    def _check(self, ended: process.Exit, request: PromptRequest, log: Path) -> None:
        code = "crashed"
        if ended.timed_out:
            code, message = "timeout", f"timed out after {request.timeout_ms} ms"
        elif ended.idle:
            code, message = "timeout", f"said nothing for {request.idle_timeout_ms} ms"
        elif ended.signal is not None:
            message = f"was ended by {ended.signal}"
        elif ended.status is None:
            message = "ended, but its status was lost: the program around Ion ignores SIGCHLD"
        elif ended.status != 0:
            code = "not_found" if ended.status == _NOT_FOUND else "crashed"
            message = f"failed [exit {ended.status}]"
        else:
            return
        said = process.tail(process.beside(log, ".err"), _SHOWN).strip()
        said = said or process.tail(process.beside(log, ".out"), _SHOWN).strip()
        raise AgentError(code, f"agent {self.name} {message}" + (f": {said}" if said else ""))


def command_agent(line: str, *, parser: str = "text") -> CommandAgent:
    """An agent from a command line, split into words as a shell does; the path of a file is one word as it is.

    Raises `UsageError` for a line that cannot be split or is empty.
    """
    if os.sep in line and Path(line).is_file():
        return CommandAgent((line,), Path(line).name, parser)
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"the agent {line!r} is no command line: {error}", hint="check its quotes") from error
    if not words:
        raise UsageError("the agent's command line is empty", hint='name a program, as in --agent "claude -p"')
    return CommandAgent(words, Path(words[0]).name, parser)


@contextlib.contextmanager
def _log(request: PromptRequest) -> Iterator[Path]:
    if request.log is not None:
        yield request.log
        return
    with tempfile.TemporaryDirectory(prefix="ion-agent-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "agent"


def _read(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
    except FileNotFoundError:  # it printed nothing
        return b""
    if size > MAX_REPLY_BYTES:
        raise AgentError("bad_output", f"agent {name} printed {size} bytes, more than {MAX_REPLY_BYTES}")
    return path.read_bytes()
