"""Which program runs a script, and in what form it wants the code: four runtimes, two of them with a fallback.

`uv` falls back to `python3` and `bun` to `node` where they are not installed. Inline Python runs as `python -c` would
(modules are found in the working directory) but from a file, since an argument holds no more than 128 KiB.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ion.errors import MissingRuntimeError
from ion.language.workflow import Script
from ion.records import dataclass

_INSTALL = {
    "uv": "install uv (https://docs.astral.sh/uv) or python3",
    "python": "install python3",
    "bun": "install bun (https://bun.sh) or node",
    "node": "install node (https://nodejs.org)",
}
_FALLBACKS = {"uv": ("uv", "python"), "python": ("python",), "bun": ("bun", "node"), "node": ("node",)}
_PROGRAMS = {"uv": ("uv",), "python": ("python3", "python"), "bun": ("bun",), "node": ("node",)}
# What makes code an ES module: an import or export statement, or an `await` outside of every block.
_MODULE = re.compile(r"^[ \t]*(?:import\b(?!\s*[(.])|export\b)|^(?![ \t]|.*\basync\b).*\bawait\b", re.MULTILINE)
# bun gives both kinds of modules a `require`; node does not. One line, so that line numbers stay the author's.
_REQUIRE = 'import { createRequire as __ion } from "node:module"; const require = __ion(import.meta.url); '


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that is installed: its `name` (that of the fallback, if it is one) and its `program`."""

    name: str
    program: str


def find(script: Script, env: Mapping[str, str]) -> Runtime:
    """The runtime for this script on the PATH of `env`.

    Raises `MissingRuntimeError`: neither it nor its fallback is installed, or they cannot provide its dependencies.
    """
    wanted = script.runtime + (f" with {', '.join(script.deps)}" if script.deps else "")
    fallbacks: tuple[str, ...] = _FALLBACKS[script.runtime]
    if script.deps:
        fallbacks = ("uv",) if script.runtime in ("uv", "python") else ()
    if script.name is not None and script.name.endswith(".ts"):
        fallbacks = tuple(name for name in fallbacks if name != "node")
    for name in fallbacks:
        for program in _PROGRAMS[name]:
            if (path := shutil.which(program, path=env.get("PATH"))) is not None:
                return Runtime(name, path)
    raise MissingRuntimeError(f"nothing here runs {wanted}", hint=_INSTALL[script.runtime])


def inline(runtime: Runtime, code: str) -> tuple[str, str]:
    """The ending of the file for inline code, and what to write into it."""
    if runtime.name in ("uv", "python"):
        return ".py", code
    if runtime.name == "bun":
        return ".ts", code
    if not _MODULE.search(code):
        return ".cjs", code
    return ".mjs", code if "createRequire" in code else _REQUIRE + code


def command(runtime: Runtime, script: Script, path: Path) -> list[str]:
    """The command line that runs the script in `path`."""
    run = [str(path)]
    if script.name is None and path.suffix == ".py":
        # Nothing is assigned, so that the script finds its names as empty as `python -c` would leave them.
        run = ["-c", f"exec(compile(open({str(path)!r}, 'rb').read(), {str(path)!r}, 'exec'))"]
    match runtime.name:
        case "uv":
            return [runtime.program, "run", "--quiet", *(f"--with={dep}" for dep in script.deps), "python", *run]
        case "bun" if script.name is None:
            return [runtime.program, "--no-env-file", "run", *run]  # as the Archon dialect does
        case "bun":
            return [runtime.program, "run", *run]
    return [runtime.program, *run]
