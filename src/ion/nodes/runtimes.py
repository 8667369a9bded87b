"""Which program runs a script, and in what form it takes the code: four runtimes, two of them with a fallback.

`uv` falls back to `python3` and `bun` to `node` if they are not installed. Dependencies also need an installer
(`environments.py` runs it), and TypeScript on a `node` that cannot read it needs a published transpiler. Inline Python
runs as `python -c` would (modules are found in the working directory) but from a file, since an argument holds at most
128 KiB.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from ion.errors import MissingRuntimeError
from ion.language.workflow import Script

_INSTALL = {
    "uv": "install uv (https://docs.astral.sh/uv) or python3",
    "python": "install python3",
    "bun": "install bun (https://bun.sh) or node",
    "node": "install node (https://nodejs.org)",
}
_FALLBACKS = {"uv": ("uv", "python"), "python": ("python",), "bun": ("bun", "node"), "node": ("node",)}
# What is taken where there are dependencies: `python` has them from uv too, which is faster and needs no venv module.
_FALLBACKS_WITH_DEPS = {**_FALLBACKS, "python": ("uv", "python")}
_INSTALLERS = {"uv": "uv", "python": "python3", "bun": "bun", "node": "npm"}
_PROGRAMS = {"uv": ("uv",), "python": ("python3", "python"), "bun": ("bun",), "node": ("node",)}
# What makes code an ES module: an import or export statement, or an `await` outside of every block.
_MODULE = re.compile(r"^[ \t]*(?:import\b(?!\s*[(.])|export\b)|^(?![ \t]|.*\basync\b).*\bawait\b", re.MULTILINE)
# bun gives both kinds of modules a `require`; node does not. One line, so that line numbers stay the author's.
_REQUIRE = 'import { createRequire as __ion } from "node:module"; const require = __ion(import.meta.url); '


# The transpiler for TypeScript on a node that cannot read it: a module loader, so neighbours are read as well.
TRANSPILER = "tsx@4"
_LOADER = "node_modules/tsx/dist/loader.mjs"
_PROBE_SECONDS = 30


class Runtime(Struct, frozen=True, gc=False):
    """A runtime that is installed: its `name` (or the name of the fallback), its `program`, what installs its
    dependencies, which these are (the script's, and Ion's own for TypeScript), and options for the program."""

    name: str
    program: str
    installer: str = ""
    deps: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def find(script: Script, env: Mapping[str, str], entry: str = "") -> Runtime:
    """The runtime for this script on the PATH of `env`. `entry` is the file of a named script.

    Raises `MissingRuntimeError` if neither it nor its fallback is installed, or they cannot provide its dependencies.
    """
    names = (_FALLBACKS_WITH_DEPS if script.deps else _FALLBACKS)[script.runtime]
    hint = _INSTALL[script.runtime]
    for name in names:
        program = next((path for one in _PROGRAMS[name] if (path := _which(one, env)) is not None), None)
        if program is None:
            continue
        options: tuple[str, ...] = ()
        deps = script.deps
        if name == "node" and entry.endswith(".ts"):
            options, extra = _typescript(version(name, program, env))
            deps += extra
        installer = program if name != "node" else _which("npm", env)
        if not deps or installer is not None:
            return Runtime(name, program, installer or "", deps, options)
        hint = f"install {_INSTALLERS[name]}" + ("" if script.deps else ", a node from 22.6 on, or bun")
    wanted = "TypeScript on " if entry.endswith(".ts") and hint != _INSTALL[script.runtime] else ""
    wanted += script.runtime + (f" with {', '.join(script.deps)}" if script.deps else "")
    raise MissingRuntimeError(f"nothing here runs {wanted}", hint=hint)


def version(name: str, program: str, env: Mapping[str, str]) -> str:
    """The version that a program reports; for Python also its location, since environments refer to that.

    Raises `MissingRuntimeError` if it reports none.
    """
    question = ["-c", "import sys; print(sys.version, sys.base_prefix)"] if name == "python" else ["--version"]
    try:
        asked = subprocess.run(
            [program, *question],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingRuntimeError(f"{program} does not say its version ({error})", hint=_INSTALL[name]) from error
    return asked.stdout.decode("utf-8", "replace").strip()


def _which(program: str, env: Mapping[str, str]) -> str | None:
    return shutil.which(program, path=env.get("PATH"))


def _typescript(node_version: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The options and the dependencies with which this node runs TypeScript: it strips types itself from 22.6 on, by
    default from 22.18 and 23.6 on (nodejs.org/api/typescript.html)."""
    numbers = [int(number) for number in re.findall(r"\d+", node_version)[:2]]
    if numbers >= [23, 6] or [22, 18] <= numbers < [23]:
        return (), ()
    return (("--experimental-strip-types",), ()) if numbers >= [22, 6] else ((), (TRANSPILER,))


def inline(runtime: Runtime, code: str) -> tuple[str, str]:
    """The file ending for inline code, and what to write into the file."""
    if runtime.name in ("uv", "python"):
        return ".py", code
    if runtime.name == "bun":
        return ".ts", code
    if not _MODULE.search(code):
        return ".cjs", code
    return ".mjs", code if "createRequire" in code else _REQUIRE + code


def command(runtime: Runtime, script: Script, path: Path, environment: Path | None = None) -> list[str]:
    """The command line that runs the script at `path`. `environment` holds the dependencies (None: no dependencies)."""
    run = [str(path)]
    if script.name is None and path.suffix == ".py":
        # Nothing is assigned, so that the script finds its names as empty as `python -c` would leave them.
        run = ["-c", f"exec(compile(open({str(path)!r}, 'rb').read(), {str(path)!r}, 'exec'))"]
    match runtime.name:
        case "uv":
            return [*uv(runtime), "python", *run]
        case "python" if environment is not None:
            return [str(environment / "bin" / "python"), *run]
        case "bun" if script.name is None:
            return [runtime.program, "--no-env-file", "run", *run]  # as the Archon dialect does
        case "bun":
            return [runtime.program, "run", *run]
        case "node" if TRANSPILER in runtime.deps and environment is not None:
            return [runtime.program, "--import", (environment / _LOADER).as_uri(), *run]
    return [runtime.program, *runtime.options, *run]


def uv(runtime: Runtime) -> list[str]:
    """`uv run` with the dependencies. It neither locks nor installs the user's project, but uses an existing virtual
    environment."""
    return [runtime.program, "run", "--no-project", "--quiet", *(f"--with={dep}" for dep in runtime.deps)]
