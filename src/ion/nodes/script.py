"""One script, inline or by name, on the runtime that is installed here.

A script reads its values from the environment; only node references in inline code are replaced in its text. A named
script runs from the run's frozen copy, with the files beside it. JavaScript finds packages by the location of the
script, so its dependencies are linked beside it; a named script is copied for that, since two nodes may need different
ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ion.core.outcomes import Outcome
from ion.language.workflow import Script
from ion.nodes import environments, program, runtimes
from ion.nodes.base import Context, Turn, scripts_folder
from ion.nodes.texts import Values
from ion.nodes.variables import environment


async def run(turn: Turn, context: Context) -> Outcome:
    """Run the node's script; exit status 0 completes it.

    Raises `MissingRuntimeError`, `UnreadableReferenceError`, `process.SpawnError`, `process.OutputError`.
    """
    script = turn.node.body
    assert isinstance(script, Script)
    values = Values(turn, context)
    named = None if script.name is None else _named(script.name, turn, context)
    code = values.splice(script.code or "") if named is None else named.read_text("utf-8", "replace")
    env = environment(turn, context, values, code=code).variables
    runtime = await program.in_thread(runtimes.find, script, env, named.name if named else "")
    place = await environments.provide(runtime, turn, context, env)
    path = named or _written(runtime, code, turn, context)
    if place is not None and runtime.name in ("bun", "node"):
        path = await program.in_thread(_beside, place / "node_modules", script, path, turn, context)
    ended = await program.run(runtimes.command(runtime, script, path, place), turn, context, env)
    shown = {} if named else {str(path): f"{turn.node.id}{path.suffix}"}
    return await program.finished(program.failure(ended, turn, context, shown), turn, context)


def _named(name: str, turn: Turn, context: Context) -> Path:
    workflow = turn.template.workflow
    folder = scripts_folder(context.folders.source, workflow, context.workflow)
    return folder / name / workflow.scripts[name].entry


def _written(runtime: runtimes.Runtime, code: str, turn: Turn, context: Context) -> Path:
    suffix, text = runtimes.inline(runtime, code)
    path = context.folders.scratch / f"{turn.log_name}{suffix}"
    with program.create(path) as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))
    return path


def _beside(packages: Path, script: Script, path: Path, turn: Turn, context: Context) -> Path:
    """Put the script and `packages` side by side; returns where the script is now."""
    folder = context.folders.scratch / turn.address
    if script.name is not None:
        folder = folder / "named"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(context.folders.source / script.name, folder)
        path = folder / path.relative_to(context.folders.source / script.name)
        if path.suffix == ".ts" and not (folder / "package.json").exists():
            (folder / "package.json").write_text('{"type": "module"}\n', "utf-8")  # as bun takes it
    link = folder / "node_modules"
    link.unlink(missing_ok=True)
    link.symlink_to(packages)
    return path
