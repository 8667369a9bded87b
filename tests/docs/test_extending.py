"""docs/extending.md: the patch that adds a node kind, applied to a copy of Ion, is all that such a kind needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ion

ROOT = Path(__file__).parents[2]
PATCH = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs/extending.md").read_text(), re.MULTILINE | re.DOTALL)[0]
WORKFLOW = """
name: noted
description: A note between two steps
nodes:
  - {id: a, bash: echo hello}
  - {id: said, depends_on: [a], note: 'It said $a.output.'}
  - {id: b, depends_on: [said], when: $said.output == 'It said hello.', bash: 'echo "$said.output Good."'}
"""


def patched(text: str, lines: list[str]) -> str:
    """`text` with these lines of a patch: each context or removed line is the only one that reads so."""
    found, at = text.splitlines(), 0
    for line in lines:
        if line.startswith("+"):
            found.insert(at, line[1:])
            at += 1
            continue
        (place,) = [number for number, one in enumerate(found) if one == line[1:] and number >= at] or [-1]
        assert place >= 0, f"no line reads {line[1:]!r}"
        at = place + 1
        if line.startswith("-"):
            del found[place]
            at = place
    return "\n".join(found) + "\n"


def test_a_node_kind_needs_this_patch_and_nothing_else(tmp_path: Path) -> None:
    assert len(PATCH.splitlines()) <= 40
    shutil.copytree(Path(ion.__file__).parent, tmp_path / "src/ion")
    for part in re.split(r"^\+\+\+ ", PATCH, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        file = tmp_path / name
        file.write_text(patched(file.read_text() if file.exists() else "", lines))
    workflows = tmp_path / "project/.ion/workflows"
    workflows.mkdir(parents=True)
    (workflows / "noted.yaml").write_text(WORKFLOW)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    for command, expected in (
        (["validate", "noted"], "no problems in 1 file"),
        (["run", "noted", "--dry-run"], ""),
        (["run", "noted", "--run-id", "r1"], "It said hello. Good."),
        (["show", "r1", "said"], "It said hello."),
        (["graph", "noted"], "said"),
    ):
        argv = [sys.executable, "-m", "ion.cli", *command]
        done = subprocess.run(
            argv, cwd=workflows.parents[1], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, expected in done.stdout + done.stderr) == (0, True), done.stdout + done.stderr
