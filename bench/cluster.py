"""A run on Temporal's development server, with one worker on this machine; timed while both are there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def program() -> str | None:
    """The development server's, if it is installed."""
    return shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def run(name: str, folder: Path, jobs: int) -> float:
    """How long, in seconds, the first event of a run of this workflow is before its last."""
    import ion

    with _server(folder) as engine, _running("worker", "--engine", engine, "--jobs", str(jobs), folder=folder):
        command = [sys.executable, "-m", "ion.cli", "run", name, "--engine", engine, "--quiet", "--jobs", str(jobs)]
        subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    data = ion.get_run("last", project=folder).data
    return float(data["duration_ms"]) / 1000


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    found = program()
    assert found is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "never"]
    words += ["--db-filename", str(folder / "temporal.db")]
    with subprocess.Popen([found, *words], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as server:
        try:
            _until_it_answers(port)
            yield f"temporal://127.0.0.1:{port}"
        finally:
            server.kill()


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def _running(*words: str, folder: Path) -> Iterator[None]:
    """A command of Ion beside, from when it says its first line."""
    command = [sys.executable, "-m", "ion.cli", *words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        try:
            process.stderr.readline()
            yield
        finally:
            process.terminate()
            process.wait()
