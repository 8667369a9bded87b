"""One bash script, and a loop's `until_bash`.

No value is ever pasted into the script: `language.shell` puts variables where the references are, and their values are
loaded from a data file, copied there piece by piece, so that size and bytes do not matter. The script itself runs from
a file, since an argument holds at most 128 KiB. Nobody else can read either file (`process.files`).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from ion import process
from ion.core.events import Content
from ion.core.outcomes import Failed, Judged, Outcome
from ion.errors import MissingRuntimeError, UnreadableReferenceError
from ion.language import shell
from ion.language.references import engine_names, reference_text
from ion.language.values import canonical
from ion.language.workflow import Bash, Loop, LoopGroup, Reference, Shell
from ion.nodes import program
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values, exact
from ion.nodes.variables import Environment, environment
from ion.process import SpawnError

_CHUNK_BYTES = 1 << 20


async def run(turn: Turn, context: Context) -> Outcome:
    """Run the node's script; exit status 0 completes it.

    Raises `UnreadableReferenceError`, `MissingRuntimeError`, `process.SpawnError`, `process.OutputError`.
    """
    body = turn.node.body
    assert isinstance(body, Bash)
    return await program.finished(await _run(body.shell, turn, context), turn, context)


async def run_until(turn: Turn, context: Context) -> Outcome:
    """Run a loop's `until_bash`: status 0 ends the loop, any other does not; a signal or the timeout fails it."""
    body = turn.node.body
    assert isinstance(body, Loop | LoopGroup)
    assert body.until_bash is not None
    failed = await _run(body.until_bash, turn, context)
    return failed if failed is not None and failed.error.code != "exit-status" else Judged(done=failed is None)


async def run_check(text: Shell, turn: Turn, context: Context) -> Outcome:
    """Run the check of a wait once; exit status 0 completes it."""
    return await program.finished(await _run(text, turn, context), turn, context)


async def _run(text: Shell, turn: Turn, context: Context) -> Failed | None:
    """Prepare (in a thread if that may take a while), run and clean up. Returns the failure, if any."""
    with contextlib.ExitStack() as files:
        if _may_take_long(text, turn, context):
            prepared = await program.in_thread(_prepare, text, turn, context, files)
        else:
            prepared = _prepare(text, turn, context, files)
        try:
            argv = [_bash(prepared.environment.get("PATH")) or "bash", prepared.script]
            ended = await program.run(argv, turn, context, prepared.environment, prepared.handed)
        except SpawnError as error:
            if error.missing:
                raise MissingRuntimeError("bash is not installed", hint="install bash, or put it on PATH") from error
            raise
    return program.failure(ended, turn, context, {f"{prepared.script}:": "bash:", prepared.head: ""})


@lru_cache(maxsize=16)
def _bash(path: str | None) -> str | None:
    """The path of bash on this PATH, looked up once for all programs."""
    return shutil.which("bash", path=path)


def _may_take_long(text: Shell, turn: Turn, context: Context) -> bool:
    """Whether large values may be copied, or git may be asked for a branch."""
    read = (turn.find(other, context) for other in turn.node.waits_for)
    outputs = (turn.previous, turn.judged, *(now.output for now in read if now is not None))
    return any(output is not None and output.text is None for output in outputs) or "BASE_BRANCH" in text.text


class _Prepared(Struct, frozen=True, gc=False):
    """What bash runs, the prologue before the author's first line, its environment, and the files in memory that it
    inherits."""

    script: str
    head: str
    environment: dict[str, str]
    handed: tuple[process.ProgramFile, ...]


class _Value(Struct, frozen=True, gc=False):
    """A value for the script: a text, or an output that is kept by its bytes."""

    name: str
    context: Context
    kept: Content | None = None
    text: str = ""
    consumed: int = 0

    def read(self) -> str:
        return self.text if self.kept is None else self.context.read(self.kept)

    def pieces(self) -> Iterator[bytes]:
        if self.kept is None:
            yield self.text.encode("utf-8", "surrogateescape")
            return
        with self.context.open(self.kept) as stream:
            while piece := stream.read(_CHUNK_BYTES):
                yield piece


def _prepare(text: Shell, turn: Turn, context: Context, files: contextlib.ExitStack) -> _Prepared:
    """Write the script and its values; the caller closes `files`."""
    values = Values(turn, context)
    rewritten = shell.rewrite(text, lambda reference: _value(reference, values, context))
    env = environment(turn, context, values, text=text.text, without=shell.unsafe_in_environment)
    variables = rewritten.variables | _too_large(env, text, context)
    stem = f"{context.folders.scratch}/{turn.log_name}"
    # On the first line, as what loads the values is: the author's lines keep their numbers.
    head, handed = "builtin set -euo pipefail; " if text.strict else "", []
    if variables:
        small = all(value.kept is None for value in variables.values())
        pieces = (piece for value in variables.values() for piece in _checked(value))
        data = files.enter_context(process.write_program_file(f"{stem}.data", pieces, in_memory=small))
        head += shell.preamble(variables, data.path)
        if data.descriptor is not None:
            # The values are for this script and not for what it starts.
            head += f"builtin exec {data.descriptor}<&-; "
            handed.append(data)
    whole = (head + rewritten.text).encode("utf-8", "surrogateescape")
    script = files.enter_context(process.write_program_file(f"{stem}.sh", [whole]))
    if script.descriptor is not None:
        handed.append(script)
    return _Prepared(script.path, head, env.variables, tuple(handed))


def _value(reference: Reference, values: Values, context: Context) -> _Value:
    name = reference_text(reference)
    whole = values.whole(reference)
    if whole is not None and whole.text is None:
        return _Value(name, context, whole)
    value, consumed = values.value(reference)
    return _Value(name, context, text=exact(canonical(value)), consumed=consumed)


def _too_large(env: Environment, text: Shell, context: Context) -> dict[str, _Value]:
    """Values that the environment cannot carry are still variables of the script. One that bash cannot hold (it
    contains a NUL) only matters if the script names it."""
    found = {}
    for name, path in env.files.items():
        value = path.read_bytes().decode("utf-8", "surrogateescape")
        if "\0" not in value or name in engine_names(text.text):
            found[name] = _Value(f"${name}", context, text=value)
    return found


def _checked(value: _Value) -> Iterator[bytes]:
    """The bytes of a value and the NUL that ends it."""
    for piece in value.pieces():
        if b"\0" in piece:
            raise UnreadableReferenceError(
                f"{value.name} holds a NUL character, which no variable of bash can hold",
                hint="pass it to a script node by with:, which reads it from the file in INPUTS_<NAME>_FILE",
            )
        yield piece
    yield b"\0"
