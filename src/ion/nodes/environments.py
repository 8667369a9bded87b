"""The dependencies of scripts: installed once, kept in the user's cache, shared by all runs.

An environment is keyed by the runtime's version and the sorted dependencies, and lives in
`$XDG_CACHE_HOME/ion/environments/KEY` (`~/.cache` without that variable). One process builds it, under a file lock, in
a folder of its own; the file `ready` names that folder once it is complete. A kill in the middle leaves a folder that
nobody reads, and the next builder removes it.
"""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ion import process
from ion.digests import sha256_of
from ion.errors import DependencyError
from ion.nodes import program, runtimes
from ion.nodes.base import Context, Turn
from ion.nodes.runtimes import Runtime

# An installation has a bound of its own: a node's timeout speaks of its script, not of somebody's network.
INSTALL_TIMEOUT_MS = 600_000
_POLL_S = 0.1
_READY = "ready"
# What an environment must hold to be usable: it may have been thinned out, or its interpreter removed.
_PROOF = {"python": "bin/python", "bun": "node_modules", "node": "node_modules", "uv": ""}


async def provide(runtime: Runtime, turn: Turn, context: Context, env: Mapping[str, str]) -> Path | None:
    """Return the folder with the runtime's dependencies, and build it if it does not exist; None without dependencies.

    The installer runs in its own process group as part of the run: it ends with the turn, or after ten minutes. Its
    output is in the node's log as `venv` and `install`. Raises `DependencyError` (code `timeout` after ten minutes),
    `MissingRuntimeError` and `process.SpawnError`.
    """
    if not runtime.deps:
        return None
    folder = await program.in_thread(_folder, runtime, env)
    if (found := _ready(folder, runtime)) is not None:
        return found
    context.progress(turn.address, f"installing {', '.join(runtime.deps)}")
    deadline = time.monotonic() + INSTALL_TIMEOUT_MS / 1000
    async with _alone(folder, runtime, deadline):
        return _ready(folder, runtime) or await _build(folder, runtime, turn, context, env, deadline)


def _folder(runtime: Runtime, env: Mapping[str, str]) -> Path:
    """Where the environment of these dependencies lives."""
    cache = env.get("XDG_CACHE_HOME") or ""
    base = Path(cache) if cache.startswith("/") else Path(env.get("HOME") or Path.home()) / ".cache"
    version = runtimes.version(runtime.name, runtime.program, env)
    key = json.dumps([1, runtime.name, version, platform.machine(), sorted(set(runtime.deps))])
    return base / "ion" / "environments" / sha256_of(key.encode())[:32]


def _ready(folder: Path, runtime: Runtime) -> Path | None:
    try:
        place = folder / (folder / _READY).read_text("ascii")
    except FileNotFoundError:
        return None
    return place if (place / _PROOF[runtime.name]).exists() else None


@asynccontextmanager
async def _alone(folder: Path, runtime: Runtime, deadline: float) -> AsyncIterator[None]:
    """Hold the lock: no other process and no other node builds this environment meanwhile."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder.with_suffix(".lock"))
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout as error:
            if time.monotonic() > deadline:
                raise _out_of_time(runtime) from error
        await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()


async def _build(
    folder: Path, runtime: Runtime, turn: Turn, context: Context, env: Mapping[str, str], deadline: float
) -> Path:
    await program.in_thread(_remove_left, folder)
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="build-", dir=folder))
    try:
        for step, argv in _steps(runtime, place):
            log = context.folders.logs / turn.address / f"{turn.start}-{step}"
            ended = await process.run(
                argv,
                cwd=place,
                env=env,
                log=log,
                timeout_ms=max(1, round((deadline - time.monotonic()) * 1000)),
                grace_ms=context.grace_ms,
            )
            if ended.timed_out:
                raise _out_of_time(runtime)
            if ended.status != 0:
                raise _failed(runtime, ended, process.tail(process.beside(log, ".err"), program.STDERR_SHOWN).strip())
    except BaseException:
        await program.in_thread(shutil.rmtree, place, ignore_errors=True)  # what stays, the next builder removes
        raise
    _declare_ready(folder, place)
    return place


def _remove_left(folder: Path) -> None:
    """Remove what unfinished builders left, and an environment that cannot be used any more. A surviving builder may
    still write there; then something stays until the next time, which harms nobody."""
    (folder / _READY).unlink(missing_ok=True)
    for left in folder.glob("build-*"):
        shutil.rmtree(left, ignore_errors=True)


def _declare_ready(folder: Path, place: Path) -> None:
    temporary = folder / f"{place.name}.ready"
    temporary.write_text(place.name, "ascii")
    temporary.replace(folder / _READY)


def _steps(runtime: Runtime, place: Path) -> list[tuple[str, list[str]]]:
    """The command lines that fill `place`, each with the name of its log. uv's own cache is filled here too, so that
    the script's own time is not spent on it."""
    deps = list(runtime.deps)
    match runtime.name:
        case "uv":
            return [("install", [*runtimes.uv(runtime), "python", "-c", "pass"])]
        case "python":
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
            return [("venv", [runtime.program, "-m", "venv", str(place)]), ("install", [*pip, "--", *deps])]
    (place / "package.json").write_text('{"private": true}\n', "utf-8")
    if runtime.name == "bun":
        return [("install", [runtime.installer, "add", "--no-progress", "--", *deps])]
    return [("install", [runtime.installer, "install", "--no-audit", "--no-fund", "--", *deps])]


def _failed(runtime: Runtime, ended: process.Exit, said: str) -> DependencyError:
    how = f"ended by {ended.signal}" if ended.signal else f"exit {ended.status}"
    message = f"{', '.join(runtime.deps)} cannot be installed [{how}]"
    return DependencyError(f"{message}: {said}" if said else message, hint="is the network there, and the name right?")


def _out_of_time(runtime: Runtime) -> DependencyError:
    deps = ", ".join(runtime.deps)
    return DependencyError(f"{deps} were not installed within {INSTALL_TIMEOUT_MS // 60_000} minutes", code="timeout")
