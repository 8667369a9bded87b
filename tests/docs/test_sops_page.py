"""Every command of docs/sops.md, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sops.md"


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    (tmp_path / ".ion").mkdir()
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(commands) >= 8
    shell = f'set -e\nion() {{ {sys.executable} -P -m ion.cli "$@"; }}\n' + "\n".join(commands)
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "no-config")}
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "invoices" in done.stdout
    for written in ("sort-mail.yaml", "fresh.yaml", "skills/sort-mail/SKILL.md", "commands/sort-mail.md"):
        assert (tmp_path / written).is_file()
