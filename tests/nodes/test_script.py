"""Scripts on the runtimes that are really here, and what happens where one is not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from msgspec.structs import force_setattr
from turn_kit import World

from ion.core.outcomes import Completed
from ion.errors import MissingRuntimeError
from ion.language.workflow import Script, ScriptFile
from ion.nodes import runtimes


def script(folder: Path, runtime: str, code: str, extra: str = "", **options: object) -> World:
    """A world with a node `a` and one script node `x`."""
    lines = "".join(f"          {line}\n" for line in code.splitlines())
    nodes = f"""
    inputs: {{who: {{default: "it's me"}}}}
    nodes:
      - {{id: a, bash: echo}}
      - id: x
        runtime: {runtime}
        {extra}
        script: |
{lines}"""
    return World(folder, nodes, **options)


def path_with(folder: Path, *programs: str) -> dict[str, str]:
    """An environment whose PATH holds only these programs."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for program in programs:
        # python3 itself, as what stands on PATH may be a shell script that picks one
        found = sys.executable if program == "python3" else shutil.which(program)
        assert found is not None, f"this test needs {program}"
        (bin_folder / program).symlink_to(found)
    return {**os.environ, "PATH": str(bin_folder)}


PRINT = {
    "python": "import os\nprint(os.environ['INPUTS_WHO'], os.environ['ION_NODE_ID'])",
    "node": "console.log(process.env.INPUTS_WHO, process.env.ION_NODE_ID)",
}


@pytest.mark.parametrize("runtime", ["python", "node"])
async def test_scripts_read_their_values_from_the_environment(tmp_path: Path, runtime: str) -> None:
    assert await script(tmp_path, runtime, PRINT[runtime]).output("x") == "it's me x"


@pytest.mark.parametrize(("runtime", "fallback"), [("uv", "python3"), ("bun", "node")])
async def test_runtimes_have_a_fallback(tmp_path: Path, runtime: str, fallback: str) -> None:
    code = PRINT["python" if runtime == "uv" else "node"]
    world = script(tmp_path, runtime, code, environ=path_with(tmp_path, fallback))
    assert await world.output("x") == "it's me x"


@pytest.mark.parametrize(
    ("runtime", "hint"), [("uv", "python3"), ("python", "python3"), ("bun", "bun"), ("node", "node")]
)
async def test_no_runtime_at_all(tmp_path: Path, runtime: str, hint: str) -> None:
    error = await script(tmp_path, runtime, "x = 1", environ=path_with(tmp_path)).error("x")
    assert (error.code, error.message) == ("missing-runtime", f"nothing here runs {runtime}")
    assert hint in error.hint


async def test_dependencies_that_cannot_be_provided_are_named(tmp_path: Path) -> None:
    environ = path_with(tmp_path, "node")
    error = await script(tmp_path, "node", "x = 1", "deps: [is-number]", environ=environ).error("x")
    assert (error.code, error.message) == ("missing-runtime", "nothing here runs node with is-number")
    assert error.hint == "install npm"


async def test_only_node_references_are_spliced_and_as_raw_text(tmp_path: Path) -> None:
    code = "x = '$ARGUMENTS $INPUTS.who \\\\$WORKFLOW_ID'\nprint(x, $a.output.n + 1, '''$a.output''')"
    world = script(tmp_path, "python", code, arguments="no").completed("a", '{"n": 41}')
    assert await world.output("x") == '$ARGUMENTS $INPUTS.who \\$WORKFLOW_ID 42 {"n": 41}'


async def test_typed_bindings(tmp_path: Path) -> None:
    code = "import json, os\nprint(json.loads(os.environ['INPUTS_V'])['n'] + 1)"
    world = script(tmp_path, "python", code, "with: {v: {n: $a.output.n}}").completed("a", '{"n": 41}')
    assert await world.output("x") == "42"


async def test_a_large_value_arrives_as_a_file(tmp_path: Path) -> None:
    code = "import os\nprint('INPUTS_V' in os.environ, len(open(os.environ['INPUTS_V_FILE']).read()))"
    world = script(tmp_path, "python", code, "with: {v: $a.output}").completed("a", "é" * 200_000)
    assert await world.output("x") == "False 200000"


async def test_inline_python_is_as_python_c(tmp_path: Path) -> None:
    """Modules of the working directory are found, nothing of Ion's is in its names, and it may be large."""
    code = f"import mine\nprint(mine.x, sorted(n for n in dir() if n[0] != '_'), __name__)\n# {'x' * 300_000}"
    world = script(tmp_path, "python", code)
    (world.context.cwd / "mine.py").write_text("x = 7")
    assert await world.output("x") == "7 ['mine'] __main__"


@pytest.mark.parametrize(
    "code",
    [
        "const os = require('os'); console.log(typeof os.cpus)",
        "import os from 'node:os'; console.log(typeof os.cpus)",
        "import os from 'node:os'\nconsole.log(typeof require('fs').readFileSync)",
        "const os = await import('node:os'); console.log(typeof os.cpus)",
        "async function f() { return await import('os') }\nf().then(os => console.log(typeof os.cpus))",
        "import {createRequire as c} from 'module'; const createRequire = c; console.log(typeof createRequire)",
        "const run = async () => { await 1; console.log('function') }\nrun()",
        "for await (const x of ['function']) console.log(x)",
    ],
)
async def test_both_kinds_of_javascript_run_on_node(tmp_path: Path, code: str) -> None:
    assert await script(tmp_path, "node", code).output("x") == "function"


async def test_errors_name_the_authors_line(tmp_path: Path) -> None:
    world = script(tmp_path, "python", "x = 1\nraise ValueError('boom')")
    error = await world.error("x")
    assert error.code == "exit-status"
    assert error.message.startswith("script failed [exit 1]: Traceback")
    assert 'File "x.py", line 2' in error.message
    assert str(tmp_path) not in error.message
    error = await script(tmp_path, "node", "import os from 'os'\nthrow new Error('boom')").error("x")
    assert "x.mjs:2" in error.message


async def test_status_signal_and_timeout(tmp_path: Path) -> None:
    assert (await script(tmp_path, "python", "import sys\nsys.exit(7)").error("x")).exit_status == 7
    killed = await script(tmp_path, "python", "import os\nos.kill(os.getpid(), 9)").error("x")
    assert (killed.code, killed.message) == ("signal", "script was ended by SIGKILL")
    slow = script(tmp_path, "python", "import time\ntime.sleep(60)", "timeout: 300")
    assert (await slow.error("x")).code == "timeout"
    assert not slow.alive()


async def test_a_named_script_runs_from_its_frozen_copy_with_its_neighbours(tmp_path: Path) -> None:
    world = script(tmp_path, "python", "x = 1")
    body = Script("python", name="report")
    force_setattr(world.workflow.by_id["x"], "body", body)
    world.workflow.scripts["report"] = ScriptFile("/gone/report.py", "report.py", {})
    folder = world.context.folders.source / "report"
    folder.mkdir(parents=True)
    (folder / "report.py").write_text(
        "import helper, os, sys\nprint(helper.x, os.environ['BASE_BRANCH'], sys.argv[1:])"
    )
    (folder / "helper.py").write_text("x = 'helped'")
    force_setattr(world.context, "base_branch", lambda: "trunk")
    assert await world.output("x") == "helped trunk []"


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
async def test_uv_runs_inline_code(tmp_path: Path) -> None:
    world = script(tmp_path, "uv", "print('by uv')")
    outcome = await world.run("x")
    assert isinstance(outcome, Completed), outcome
    assert outcome.reply.output.text == "by uv"


@pytest.mark.skipif(shutil.which("bun") is None, reason="bun is not installed")
async def test_bun_runs_typescript_of_both_kinds(tmp_path: Path) -> None:
    code = "import os from 'os'\nconst n: number = await 41\nconsole.log(n + 1, typeof require('fs').readFileSync)"
    assert await script(tmp_path, "bun", code).output("x") == "42 function"


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        (Script("uv", code=""), ["uv", "python3"], "uv"),
        (Script("uv", code=""), ["python3"], "python"),
        (Script("uv", code="", deps=("x",)), ["uv", "python3"], "uv"),
        (Script("python", code=""), ["uv", "python3"], "python"),
        (Script("python", code="", deps=("x",)), ["uv", "python3"], "uv"),
        (Script("python", code=""), ["uv"], None),
        (Script("bun", code=""), ["bun", "node"], "bun"),
        (Script("bun", code=""), ["node"], "node"),
        (Script("node", code=""), ["bun"], None),
        (Script("python", code="", deps=("x",)), ["python3"], "python"),
        (Script("uv", code="", deps=("x",)), ["python3"], "python"),
        (Script("node", code="", deps=("x",)), ["bun", "node"], None),
        (Script("node", code="", deps=("x",)), ["node", "npm"], "node"),
        (Script("bun", code="", deps=("x",)), ["node", "npm"], "node"),
        (Script("bun", code="", deps=("x",)), ["bun", "node"], "bun"),
    ],
)
def test_which_runtime_is_taken(tmp_path: Path, wanted: Script, there: list[str], found: str | None) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": str(tmp_path)}
    if found is None:
        with pytest.raises(MissingRuntimeError):
            runtimes.find(wanted, env)
    else:
        assert runtimes.find(wanted, env).name == found


def test_the_command_lines(tmp_path: Path) -> None:
    path = Path("/r/x.py")
    uv = runtimes.Runtime("uv", "/bin/uv", "/bin/uv", ("requests>=2", "rich"))
    bun = runtimes.Runtime("bun", "/bin/bun")
    assert runtimes.command(uv, Script("uv", name="x"), path) == [
        *["/bin/uv", "run", "--no-project", "--quiet", "--with=requests>=2", "--with=rich", "python", "/r/x.py"]
    ]
    assert runtimes.command(bun, Script("bun", name="x"), Path("/r/x.ts")) == ["/bin/bun", "run", "/r/x.ts"]
    inline = runtimes.command(bun, Script("bun", code=""), Path("/r/x.ts"))
    assert inline == ["/bin/bun", "--no-env-file", "run", "/r/x.ts"]


@pytest.mark.parametrize(
    ("version", "options", "deps"),
    [
        ("v20.19.0", (), ("tsx@4",)),
        ("v22.5.1", (), ("tsx@4",)),
        ("v22.6.0", ("--experimental-strip-types",), ()),
        ("v22.17.1", ("--experimental-strip-types",), ()),
        ("v22.18.0", (), ()),
        ("v23.5.0", ("--experimental-strip-types",), ()),
        ("v23.6.0", (), ()),
        ("v24.1.0", (), ()),
    ],
)
def test_typescript_on_node_by_its_version(
    tmp_path: Path, version: str, options: tuple[str, ...], deps: tuple[str, ...]
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    found = runtimes.find(Script("bun", name="x"), {"PATH": str(tmp_path)}, "x.ts")
    assert (found.name, found.options, found.deps) == ("node", options, deps)
    assert runtimes.command(found, Script("bun", name="x"), Path("/x.ts"))[1:-1] == list(options)


def test_typescript_on_an_old_node_without_npm(tmp_path: Path) -> None:
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    (tmp_path / "node").chmod(0o755)
    with pytest.raises(MissingRuntimeError) as caught:
        runtimes.find(Script("node", name="x"), {"PATH": str(tmp_path)}, "x.ts")
    assert caught.value.message == "nothing here runs TypeScript on node"
    assert caught.value.hint == "install npm, a node from 22.6 on, or bun"
