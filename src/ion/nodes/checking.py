"""Validating a reply against `output_format` without blocking anything else.

A pattern can match in so many ways that no program tries them all, and Python tries them in one step that cannot be
interrupted. So a separate process does it. The system ends that process after `PROCESSOR_SECONDS` of work, and Ion ends
it with the turn. What is certain to be quick is done at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ion import process
from ion.errors import OutputFormatError
from ion.foreign import loads
from ion.masking import head
from ion.nodes.replies import CheckedReply, validate_quickly, validate_reply

PROCESSOR_SECONDS = 5
_MEMORY_BYTES = 2 << 30
# -P: no code of the working directory may replace ours
_PROGRAM = (sys.executable, "-P", "-m", "ion.nodes.checking")


async def check_reply(
    output_format: dict[str, Any], text: str, *, log: str, register: Path, limit_ms: int | None
) -> CheckedReply | tuple[str, ...]:
    """Return what `validate_reply` returns, within `limit_ms` milliseconds; cancelling the task ends it. `log` is a
    path stem for its files.

    Raises `OutputFormatError` if the schema cannot be used or the reply cannot be validated in time, and what
    `process.run` raises.
    """
    quick = validate_quickly(output_format, text)
    if quick is not None:
        return quick
    printed, said = process.beside(log, ".out"), process.beside(log, ".err")
    try:
        ended = await process.run(
            _PROGRAM,
            cwd=Path.cwd(),
            env=os.environ,
            log=log,
            stdin=_order(output_format, text),
            register=register,
            timeout_ms=limit_ms,
            grace_ms=0,
        )
        return _verdict(_text_of(printed), _text_of(said), "the node's time limit" if ended.timed_out else "")
    finally:
        printed.unlink(missing_ok=True)
        said.unlink(missing_ok=True)


def check_reply_now(output_format: dict[str, Any], text: str) -> CheckedReply | tuple[str, ...]:
    """The same without an event loop. Raises `OutputFormatError`."""
    quick = validate_quickly(output_format, text)
    if quick is not None:
        return quick
    ended = subprocess.run(_PROGRAM, input=_order(output_format, text), capture_output=True, check=False)
    return _verdict(ended.stdout.decode(), ended.stderr.decode("utf-8", "replace"))


def _text_of(file: Path) -> str:
    """What a program wrote. A file that stayed empty was not made."""
    return file.read_text("utf-8", "replace") if file.exists() else ""


def _order(output_format: dict[str, Any], text: str) -> bytes:
    return json.dumps([PROCESSOR_SECONDS, output_format, text]).encode()


def _verdict(printed: str, said: str, limit: str = "") -> CheckedReply | tuple[str, ...]:
    """What the process found. A process that was ended printed nothing."""
    if not printed:
        limit = limit or f"{PROCESSOR_SECONDS} s of work"
        why = f": {head(said.splitlines()[-1], 300)}" if said else ""
        raise OutputFormatError(
            f"the reply could not be held against output_format within {limit}{why}",
            hint="a 'pattern' with a repetition inside of a repetition may try for ever: write it without",
        )
    kind, *found = json.loads(printed)
    if kind == "unusable":
        message, hint = found
        raise OutputFormatError(message, hint=hint)
    if kind == "errors":
        return tuple(found)
    text, repaired = found
    return CheckedReply(text, loads(text), repaired)


def main() -> None:
    """The process: reads an order from stdin, writes a verdict to stdout."""
    seconds, output_format, text = json.loads(sys.stdin.buffer.read())
    _bound(seconds)
    try:
        reply = validate_reply(output_format, text)
        verdict = ["reply", reply.text, reply.repaired] if isinstance(reply, CheckedReply) else ["errors", *reply]
    except OutputFormatError as error:
        verdict = ["unusable", error.message, error.hint]
    except MemoryError:
        verdict = ["unusable", f"holding the reply against output_format takes more than {_MEMORY_BYTES >> 30} GiB", ""]
    sys.stdout.write(json.dumps(verdict))


def _bound(seconds: int) -> None:
    import resource

    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":  # others refuse it, or do not keep it
        limits[resource.RLIMIT_AS] = _MEMORY_BYTES
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        lowest = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (lowest, lowest))
    sys.setrecursionlimit(5000)


if __name__ == "__main__":
    main()
