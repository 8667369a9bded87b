"""Dependencies of scripts: real installers, real packages, once per session; and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import force_setattr
from test_script import path_with, script
from turn_kit import World

from ion.core.outcomes import Completed, Outcome
from ion.language.workflow import Script, ScriptFile
from ion.nodes import environments
from processes import PATIENCE_S, eventually

pytestmark = pytest.mark.timeout(120)

SIX = "import six\nprint('six', six.moves.range(3)[2])"
IS_NUMBER = "import isNumber from 'is-number'\nconsole.log('is-number', isNumber('5'))"
CLOSED = "http://127.0.0.1:9"
OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), CLOSED),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    **dict.fromkeys(("PIP_RETRIES", "npm_config_fetch_retries"), "0"),
    "UV_OFFLINE": "1",
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of a test session, so that each thing is fetched once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "environments-cache"


def with_cache(cache: Path, environ: dict[str, str] | None = None, **more: str) -> dict[str, str]:
    return {**(os.environ if environ is None else environ), "XDG_CACHE_HOME": str(cache), **more}


def python_alone(folder: Path, cache: Path) -> dict[str, str]:
    """An environment in which python3 is there and uv is not."""
    return with_cache(cache, path_with(folder, "python3"))


def builds(cache: Path) -> list[Path]:
    return list((cache / "ion" / "environments").glob("*/build-*/"))


def logged(world: World, step: str = "1-install") -> str:
    """What a step printed; the file of a stream on which it wrote nothing is not there."""
    files = [world.context.folders.logs / "x" / f"{step}.{stream}" for stream in ("out", "err")]
    return "".join(file.read_text() for file in files if file.exists())


def named(world: World, entry: str, files: dict[str, str], script: Script) -> World:
    """Let the world's node `x` be a script by name, with these files in its frozen folder."""
    force_setattr(world.workflow.by_id["x"], "body", script)
    world.workflow.scripts["report"] = ScriptFile(f"/gone/{entry}", entry, {})
    for name, text in files.items():
        path = world.context.folders.source / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return world


@pytest.mark.parametrize(
    ("runtime", "code", "deps", "output"),
    [
        ("uv", SIX, "[six]", "six 2"),
        ("python", SIX, "[six]", "six 2"),
        ("bun", IS_NUMBER, "[is-number@7]", "is-number true"),
        ("node", IS_NUMBER, "[is-number@7]", "is-number true"),
    ],
)
async def test_a_dependency_on_each_runtime(
    tmp_path: Path, cache: Path, runtime: str, code: str, deps: str, output: str
) -> None:
    world = script(tmp_path, runtime, code, f"deps: {deps}", environ=with_cache(cache))
    assert await world.output("x") == output
    assert world.said in ([], [("x", f"installing {deps[1:-1]}")])


async def test_python_without_uv_has_a_virtual_environment(tmp_path: Path, cache: Path) -> None:
    """Its packages are there, what the installer said is in the node's log, and modules of the project are found."""
    world = script(tmp_path, "uv", f"import mine\n{SIX}", "deps: [six]", environ=python_alone(tmp_path, cache))
    (world.context.cwd / "mine.py").write_text("x = 7")
    assert await world.output("x") == "six 2"
    if world.said:  # not built by another test yet
        assert "six" in logged(world)


async def test_an_environment_is_built_once(tmp_path: Path, cache: Path) -> None:
    environ = with_cache(cache)
    await script(tmp_path, "node", IS_NUMBER, "deps: [is-number@7]", environ=environ).output("x")
    again = script(tmp_path, "node", IS_NUMBER, "deps: [is-number@7]", environ={**environ, **OFFLINE})
    assert await again.output("x", start=2) == "is-number true"
    assert again.said == []


async def test_commonjs_finds_its_packages_too(tmp_path: Path, cache: Path) -> None:
    code = "const n = require('is-number'); console.log(n(5))"
    assert await script(tmp_path, "node", code, "deps: [is-number@7]", environ=with_cache(cache)).output("x") == "true"


async def test_uv_leaves_the_project_alone(tmp_path: Path, cache: Path) -> None:
    """A project whose dependencies do not exist is neither locked nor installed; its modules are found."""
    world = script(tmp_path, "uv", f"import mine\n{SIX}", "deps: [six]", environ=with_cache(cache))
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["no-such-package-zz"]\n'
    (world.context.cwd / "pyproject.toml").write_text(project)
    (world.context.cwd / "mine.py").write_text("x = 7")
    assert await world.output("x") == "six 2"
    assert {path.name for path in world.context.cwd.iterdir()} <= {"pyproject.toml", "mine.py", "__pycache__"}


async def test_a_named_script_has_neighbours_and_packages(tmp_path: Path, cache: Path) -> None:
    files = {
        "report.mjs": "import n from 'is-number'\nimport {x} from './lib/helper.mjs'\nconsole.log(n(5), x)",
        "lib/helper.mjs": "export const x = 'helped'",
    }
    world = script(tmp_path, "node", "x;", environ=with_cache(cache))
    named(world, "report.mjs", files, Script("node", name="report", deps=("is-number@7",)))
    assert await world.output("x") == "true helped"
    assert not (world.context.folders.source / "report" / "node_modules").exists()


async def test_typescript_by_name_on_node(tmp_path: Path, cache: Path) -> None:
    """Whatever this node can do itself: types, a neighbour in TypeScript, and an `await` at the top."""
    files = {
        "report.ts": "import {x} from './helper.ts'\nconst n: number = await 41\nconsole.log(n + x)",
        "helper.ts": "export const x: number = 1",
    }
    world = script(tmp_path, "node", "x;", environ=with_cache(cache))
    named(world, "report.ts", files, Script("node", name="report"))
    assert await world.output("x") == "42"


@pytest.mark.parametrize(("runtime", "without_uv"), [("uv", False), ("python", True), ("bun", False), ("node", False)])
async def test_offline_the_error_says_which_dependency(tmp_path: Path, runtime: str, without_uv: bool) -> None:
    environ = python_alone(tmp_path, tmp_path) if without_uv else with_cache(tmp_path)
    environ |= {**OFFLINE, "BUN_INSTALL_CACHE_DIR": str(tmp_path / "bun")}
    world = script(tmp_path, runtime, "x = 1", "deps: [no-such-package-zz]", environ=environ)
    error = await world.error("x")
    assert error.code == "dependencies", error
    assert error.message.startswith("no-such-package-zz cannot be installed [exit ")
    assert "no-such-package-zz" in error.message.partition("]: ")[2]
    assert builds(tmp_path) == []
    assert not (world.context.folders.logs / "x" / "1-script.out").exists()


FAKE_NPM = """#!/bin/sh
case "$1" in --version) echo 1; exit;; esac
echo "$$" >> "$STARTED"
echo to stdout; echo to stderr >&2
mkdir node_modules; [ -e "$HANG" ] && sleep 60
mkdir node_modules/dep; echo 'module.exports = 42' > node_modules/dep/index.js
"""


def fake_npm(folder: Path) -> dict[str, str]:
    """An environment whose npm installs `dep`, notes each start in `started`, and hangs while the file `hang` is."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = path_with(folder, "node", "sh", "mkdir", "sleep")
    (folder / "bin" / "npm").write_text(FAKE_NPM)
    (folder / "bin" / "npm").chmod(0o755)
    return with_cache(folder, environ, STARTED=str(folder / "started"), HANG=str(folder / "hang"))


def with_dep(folder: Path, environ: dict[str, str], extra: str = "") -> World:
    folder.mkdir(exist_ok=True)
    return script(folder, "node", "console.log(require('dep'))", f"deps: [dep]\n        {extra}", environ=environ)


async def started(folder: Path) -> int:
    """The process id of the installer, once it runs."""
    note = folder / "started"
    await eventually(lambda: note.exists() and note.read_text().endswith("\n"))
    return int(note.read_text().split()[-1])


async def test_what_the_installer_prints_is_in_the_log_and_not_in_the_output(tmp_path: Path) -> None:
    world = with_dep(tmp_path, fake_npm(tmp_path))
    assert await world.output("x") == "42"
    assert logged(world) == "to stdout\nto stderr\n"
    assert world.said == [("x", "installing dep")]


async def test_two_nodes_at_once_build_one_environment(tmp_path: Path) -> None:
    environ = fake_npm(tmp_path)
    worlds = [with_dep(tmp_path / name, environ) for name in "abc"]
    outcomes: list[Outcome] = await asyncio.gather(*(world.run("x") for world in worlds))
    assert all(isinstance(outcome, Completed) for outcome in outcomes)
    assert len((tmp_path / "started").read_text().split()) == 1


TURN = """
import asyncio, os, sys
from pathlib import Path
from test_environments import with_dep
print(asyncio.run(with_dep(Path(sys.argv[1]), dict(os.environ)).output("x")))
"""


def other_process(folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that carries the turn out, with `folder` for its run."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", TURN, str(folder)]
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(command, env={**environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE)


async def test_two_processes_at_once_build_one_environment(tmp_path: Path) -> None:
    environ = fake_npm(tmp_path)
    processes = [other_process(tmp_path / name, environ) for name in "ab"]
    assert [process.communicate(timeout=PATIENCE_S)[0] for process in processes] == [b"42\n", b"42\n"]
    assert len((tmp_path / "started").read_text().split()) == 1


async def test_a_kill_in_the_middle_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    """Ion dies and its installer lives on: the next turn builds anew and what was left is removed."""
    environ = fake_npm(tmp_path)
    (tmp_path / "hang").touch()
    process = other_process(tmp_path / "a", environ)
    installer = await started(tmp_path)
    process.kill()
    process.communicate()
    assert len(builds(tmp_path)) == 1
    (tmp_path / "hang").unlink()
    assert await with_dep(tmp_path / "b", environ).output("x") == "42"
    assert len(builds(tmp_path)) == 1
    os.killpg(installer, signal.SIGKILL)


async def test_a_cancelled_turn_ends_its_installer(tmp_path: Path) -> None:
    environ = fake_npm(tmp_path)
    (tmp_path / "hang").touch()
    world = with_dep(tmp_path, environ)
    task = asyncio.create_task(world.run("x"))
    await started(tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (world.alive(), builds(tmp_path)) == ([], [])
    (tmp_path / "hang").unlink()
    assert await world.output("x", start=2) == "42"


async def test_the_nodes_timeout_does_not_bound_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = fake_npm(tmp_path)
    (tmp_path / "hang").touch()
    monkeypatch.setattr(environments, "INSTALL_TIMEOUT_MS", 400)
    world = with_dep(tmp_path, environ, "timeout: 50")
    error = await world.error("x")
    assert (error.code, error.message[:26]) == ("timeout", "dep were not installed wit")
    assert world.alive() == []


async def test_an_environment_that_was_thinned_out_is_built_again(tmp_path: Path) -> None:
    environ = fake_npm(tmp_path)
    assert await with_dep(tmp_path, environ).output("x") == "42"
    shutil.rmtree(builds(tmp_path)[0] / "node_modules")
    assert await with_dep(tmp_path, environ).output("x", start=2) == "42"
    assert len(builds(tmp_path)) == 1


async def test_the_order_of_the_dependencies_does_not_matter_and_their_versions_do(tmp_path: Path) -> None:
    environ = fake_npm(tmp_path)
    for number, deps in enumerate(["[dep, b]", "[b, dep]", "[dep@2, b]"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        await script(folder, "node", "require('dep')", f"deps: {deps}", environ=environ).output("x")
    assert len(builds(tmp_path)) == 2
