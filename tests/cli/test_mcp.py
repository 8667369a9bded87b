"""`ion mcp` without its extra; what the server does is in tests/mcp."""

from __future__ import annotations

import subprocess
import sys

from .kit import Project


def test_without_the_sdk_one_line_says_what_to_install(project: Project) -> None:
    hidden = "import sys; sys.modules['mcp'] = None; sys.argv[0] = 'ion'; from ion.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", hidden, "mcp", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error[missing-extra]: ion mcp needs the MCP SDK",
        "   = pip install 'ion-workflows[mcp]'",
    ]
