"""One script, inline or by name, on whatever runs it here.

A script reads its values from the environment; only node references in inline code are spliced in. A named one runs
from the run's frozen copy, with the files that lay beside it.
"""

from __future__ import annotations

from pathlib import Path

from ion.core.outcomes import Outcome
from ion.language.workflow import Script
from ion.nodes import program, runtimes
from ion.nodes.base import Context, Turn
from ion.nodes.texts import Values
from ion.nodes.variables import environment


async def run(turn: Turn, context: Context) -> Outcome:
    """Run the node's script; exit status 0 completes it.

    Raises `MissingRuntimeError`, `ReferenceError_`, `process.SpawnError`, `process.OutputError`.
    """
    script = turn.node.body
    assert isinstance(script, Script)
    values = Values(turn, context)
    named = None if script.name is None else _named(script.name, context)
    code = values.splice(script.code or "") if named is None else named.read_text("utf-8", "replace")
    env = environment(turn, context, values, code=code).variables
    runtime = runtimes.find(script, env)
    path = named or _written(runtime, code, turn, context)
    ended = await program.run(runtimes.command(runtime, script, path), turn, context, env)
    shown = {} if named else {str(path): f"{turn.node.id}{path.suffix}"}
    return program.failure(ended, turn, context, shown) or await program.completed(turn, context)


def _named(name: str, context: Context) -> Path:
    return context.folders.source / name / context.workflow.scripts[name].entry


def _written(runtime: runtimes.Runtime, code: str, turn: Turn, context: Context) -> Path:
    suffix, text = runtimes.inline(runtime, code)
    path = context.folders.scratch / f"{turn.log_name}{suffix}"
    with program.create(path) as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))
    return path
