"""`ion serve` as a command; what its pages show is in tests/web."""

from __future__ import annotations

import subprocess
import sys

from web.kit import serving

from .kit import Ion, Project


def test_without_its_extra_one_line_says_what_to_install(project: Project) -> None:
    hidden = "import sys; sys.modules['uvicorn'] = None; sys.argv[0] = 'ion'; from ion.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", hidden, "serve", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error[missing-extra]: ion serve needs starlette and uvicorn",
        "   = pip install 'ion-workflows[serve]'",
    ]


def test_it_prints_an_address_and_ends_on_ctrl_c(project: Project) -> None:
    with serving(project) as server:
        assert server.lines[0] == f"Ion shows {project.folder}"
        assert server.get("/").status == 200
    assert server.process.returncode == 0


def test_two_of_them_show_the_same(built: Ion, project: Project) -> None:
    with serving(project) as one, serving(project) as other:
        assert one.get("/").text == other.get("/").text
        assert "mine" in one.get("/").text
        assert one.cookie != other.cookie


def test_a_port_that_is_taken_is_said(project: Project) -> None:
    with serving(project) as server:
        done = project.run("serve", "--port", str(server.port))
    assert done.status == 2
    assert f"port {server.port} of this machine cannot be used" in done.err


def test_what_it_needs_is_loaded_by_it_alone() -> None:
    code = (
        "import sys; from ion.cli.main import outcome; outcome(['--help']); outcome(['runs', '--help']);"
        "assert not {'starlette', 'uvicorn', 'anyio', 'ion.web'} & {*sys.modules}, sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)
