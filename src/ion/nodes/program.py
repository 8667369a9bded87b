"""A turn that is a program: run it, take its output, or say why it failed. Shared by bash and scripts.

The output is stdout without one final newline. Plain, short text goes into the event; everything else is kept as bytes
without being read, so that 100 MB need no memory and bytes that are not text are not lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from msgspec.structs import replace

from ion import process
from ion.core.events import INLINE_LIMIT_BYTES, Content, Failure
from ion.core.foreseen import allowed_failures
from ion.core.outcomes import Completed, Failed
from ion.errors import OutputFormatError
from ion.foreign import loads
from ion.kinds import TURNS
from ion.masking import CUT
from ion.nodes.base import Context, Turn, reply_of
from ion.nodes.checking import check_reply
from ion.nodes.replies import LONGEST_REPLY, CheckedReply

STDERR_SHOWN = 2000
STDERR_BYTES = 4096
_NOTHING = Content("")
_P = ParamSpec("_P")
_Result = TypeVar("_Result")


async def run(
    argv: Sequence[str],
    turn: Turn,
    context: Context,
    env: Mapping[str, str],
    handed: Sequence[process.ProgramFile] = (),
) -> process.Exit:
    """Run a program for this turn; its log is the turn's. Raises `process.SpawnError`, also if the run's folder no
    longer exists, because the program could not find what other nodes left there."""
    if not os.path.isdir(context.folders.artifacts):  # noqa: PTH112  (for each program)
        raise process.SpawnError(
            argv[0],
            f"the run's folder {context.folders.artifacts} no longer exists",
            hint="find what removes it (git clean -x takes .ion too: add -e .ion); ion resume makes it again, empty",
        )
    return await process.run(
        argv,
        cwd=context.cwd,
        env=env,
        log=log_of(turn, context),
        handed=handed,
        register=context.folders.register,
        timeout_ms=limit(turn),
        grace_ms=context.grace_ms,
        said=partial(context.lines, turn.address) if context.lines is not None else None,
    )


def log_of(turn: Turn, context: Context) -> str:
    """The path stem of what the turn's program writes (a path object for each would be expensive)."""
    return f"{context.folders.logs}/{turn.log_name}"


def limit(turn: Turn) -> int | None:
    """How long the program may take, in ms. A loop has no limit unless it declares one; its check has the limit of a
    bash node (language.md §3, §7)."""
    return TURNS[turn.kind].timeout_ms if turn.node.timeout_ms is None else turn.node.timeout_ms


def create(path: Path) -> BinaryIO:
    """Create a file, readable by its owner only, for what a program runs or reads; an existing file is replaced.

    Raises `OSError`, and `process.ScarceError` if it may work later.
    """
    try:
        return os.fdopen(process.create(path), "wb")
    except OSError as error:
        if process.is_scarce(error):
            raise process.ScarceError("a program", error) from error
        raise


async def in_thread(function: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> _Result:
    """Call a function that may take a while on the disk. A cancelled turn waits for it: it writes nothing later."""
    call = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})
        call.exception()  # the cancellation is what counts
        raise


async def finished(failed: Failed | None, turn: Turn, context: Context) -> Completed | Failed:
    """The outcome of a program that has ended: what it printed, if that is as promised; or why it failed, with what it
    printed if it may fail. A large output is kept in a thread, since its disk may take a while."""
    if failed is not None and allowed_failures(turn.template) is None:
        return failed
    printed = f"{log_of(turn, context)}.out"
    try:
        large = os.stat(printed).st_size > INLINE_LIMIT_BYTES  # noqa: PTH116  (as in `log_of`)
    except FileNotFoundError:
        output = _NOTHING
    else:
        path = Path(printed)
        output = await in_thread(take, path, context.keep) if large else take(path, context.keep)
    if failed is None and turn.node.output_format is not None:
        checked = await _checked(turn.node.output_format, output, turn, context)
        if isinstance(checked, Content):
            output = checked
        else:
            failed = Failed(replace(checked, stderr=_stderr(turn, context)))
            if allowed_failures(turn.template) is None:
                return failed
    reply = reply_of(turn, context, output)
    if turn.template.stderr_is_read:
        reply = replace(reply, stderr=_stderr(turn, context))
    return Completed(reply) if failed is None else replace(failed, reply=reply)


async def _checked(output_format: dict[str, Any], output: Content, turn: Turn, context: Context) -> Content | Failure:
    """The output as compact JSON, if it is one JSON document that fits."""
    if output.size > LONGEST_REPLY:
        return Failure("bad_output", f"stdout is longer than {LONGEST_REPLY >> 20} MiB, too long for output_format")
    text = await in_thread(context.read, output) if output.text is None else output.text
    try:
        loads(text)
        log = f"{context.folders.scratch}/{turn.log_name}-check"
        checked = await check_reply(output_format, text, log=log, register=context.folders.register, limit_ms=None)
    except (ValueError, RecursionError) as error:
        hint = "messages belong on stderr: echo … >&2"
        return Failure("bad_output", f"stdout is not one JSON document: {error}", hint)
    except OutputFormatError as error:
        return Failure("bad_output", error.message, error.hint)
    if isinstance(checked, CheckedReply):
        return context.keep(checked.text)
    return Failure("bad_output", f"stdout does not fit output_format: {'; '.join(checked)}")


def failure(ended: process.Exit, turn: Turn, context: Context, names: Mapping[str, str]) -> Failed | None:
    """Why a program failed, with the end of its stderr; None if it did not fail. `names` maps paths that Ion made up
    to what the message calls them."""
    what = turn.kind
    if ended.timed_out:
        code, message = "timeout", f"{what} timed out after {limit(turn)} ms"
    elif ended.signal is not None:
        code, message = "signal", f"{what} was ended by {ended.signal}"
    elif ended.status is None:
        code, message = "spawn", f"{what} ended, but its status was lost: the program around Ion ignores SIGCHLD"
    elif ended.status != 0:
        code, message = "exit-status", f"{what} failed [exit {ended.status}]"
    else:
        return None
    said = process.tail(process.beside(log_of(turn, context), ".err"), STDERR_SHOWN).strip()
    for path, name in names.items():
        said = said.replace(path, name)
    message = f"{message}: {said}" if said else message
    return Failed(Failure(code, message, exit_status=ended.status, stderr=_stderr(turn, context)))


def _stderr(turn: Turn, context: Context) -> str:
    """The end of what the program wrote to stderr, if something reads it: cut at a character, and marked there."""
    if not turn.template.stderr_is_read:
        return ""
    text = process.tail(process.beside(log_of(turn, context), ".err"), STDERR_BYTES)
    data = text.encode("utf-8", "replace")
    if len(data) > STDERR_BYTES:
        text = CUT + data[len(CUT.encode()) - STDERR_BYTES :].decode("utf-8", "ignore")
    return text.strip("\n")


def take(path: Path, keep: Callable[[str | Path], Content]) -> Content:
    """The output in a file: its bytes without one final newline (a long file is truncated in place).

    Up to 256 KiB of text are inline. Larger output, and bytes that are not text (invalid UTF-8, or a NUL), are kept as
    bytes: bash gets every one of them back, and texts for people and agents show U+FFFD instead.
    """
    size = path.stat().st_size
    if size <= INLINE_LIMIT_BYTES + 1:
        data = path.read_bytes()
        text = _text(data[:-1] if data.endswith(b"\n") else data)
        if text is not None:
            return Content(text)
    _cut_newline(path, size)
    return keep(path)


def _text(data: bytes) -> str | None:
    if b"\0" in data or len(data) > INLINE_LIMIT_BYTES:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _cut_newline(path: Path, size: int) -> None:
    with path.open("rb") as stream:
        stream.seek(size - 1)
        last = stream.read(1)
    if last == b"\n":
        os.truncate(path, size - 1)
